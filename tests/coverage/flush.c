/* Linked into every program of the coverage build, which is linked with --wrap for both functions: a program that
 * aborts, as tests of misuse must, and a forked child that leaves by _exit() write their profile first. */
#include <stdlib.h>
#include <unistd.h>

/* Of clang's runtime, where it is linked. */
__attribute__((weak)) int __llvm_profile_write_file(void);

_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

static void flush(void)
{
    if (__llvm_profile_write_file != NULL) (void)__llvm_profile_write_file();
}

_Noreturn void __wrap_abort(void)
{
    flush();
    __real_abort();
}

_Noreturn void __wrap__exit(int status)
{
    flush();
    __real__exit(status);
}
