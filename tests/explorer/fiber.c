#include "explorer/fiber.h"

#include "explorer/explorer.h"

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#else
static inline void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size)
{
    (void)save;
    (void)bottom;
    (void)size;
}
static inline void __sanitizer_finish_switch_fiber(void *saved, const void **bottom, size_t *size)
{
    (void)saved;
    (void)bottom;
    (void)size;
}
#endif

#define STACK_SIZE (256 * 1024)

/* jump(from, to): keeps what a call keeps, on the stack, and changes stacks. No system call, unlike
 * swapcontext(), which is what other machines get. */
#ifdef __x86_64__

typedef void *place;
void explorer_jump(place *from, place *to);
__asm__(".text\n.globl explorer_jump\n.type explorer_jump, @function\nexplorer_jump:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\nmovq (%rsi), %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
        ".size explorer_jump, .-explorer_jump\n");

static void prepare(place *at, char *stack, void (*enter)(void))
{
    void **top = (void **)(stack + STACK_SIZE) - 1; /* as after a call: 8 off a multiple of 16 */
    *top-- = NULL;
    *top = (void *)enter;
    *at = top - 6;
}

#else

#include <ucontext.h>
typedef ucontext_t place;

static void explorer_jump(place *from, place *to)
{
    swapcontext(from, to);
}

static void prepare(place *at, char *stack, void (*enter)(void))
{
    getcontext(at);
    at->uc_stack.ss_sp = stack;
    at->uc_stack.ss_size = STACK_SIZE;
    makecontext(at, enter, 0);
}

#endif

static struct fiber {
    place at;
    void *fake; /* AddressSanitizer's */
    int begun;
    char stack[STACK_SIZE] __attribute__((aligned(64)));
} fibers[EXPLORE_THREADS_MAX];

static place home;
static void *home_fake;
static const void *home_bottom;
static size_t home_size;
static uint32_t running;

static void enter(void)
{
    __sanitizer_finish_switch_fiber(NULL, &home_bottom, &home_size);
    for (;;) {
        fiber_body(running);
        fiber_leave();
    }
}

void fiber_reset(uint32_t fiber)
{
    fibers[fiber].begun = 0;
}

void fiber_go(uint32_t fiber)
{
    struct fiber *to = &fibers[fiber];
    if (!to->begun) {
        prepare(&to->at, to->stack, enter);
        to->fake = NULL;
        to->begun = 1;
    }
    running = fiber;
    __sanitizer_start_switch_fiber(&home_fake, to->stack, STACK_SIZE);
    explorer_jump(&home, &to->at);
    __sanitizer_finish_switch_fiber(home_fake, NULL, NULL);
}

void fiber_leave(void)
{
    struct fiber *from = &fibers[running];
    __sanitizer_start_switch_fiber(&from->fake, home_bottom, home_size);
    explorer_jump(&from->at, &home);
    __sanitizer_finish_switch_fiber(from->fake, &home_bottom, &home_size);
}
