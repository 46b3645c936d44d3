/* The program's own malloc family: symbols of an executable come before those of its libraries, so
 * libweir and libc call these as well. glibc offers its allocator under names of its own. */
#include "allocations.h"

#include <errno.h>
#include <stdlib.h>

#define HOOK __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static _Thread_local uint64_t counted;

uint64_t allocations(void)
{
    return counted;
}

HOOK void *malloc(size_t size)
{
    counted++;
    return __libc_malloc(size);
}

HOOK void *calloc(size_t count, size_t size)
{
    counted++;
    return __libc_calloc(count, size);
}

HOOK void *realloc(void *memory, size_t size)
{
    counted++;
    return __libc_realloc(memory, size);
}

HOOK void *aligned_alloc(size_t alignment, size_t size)
{
    counted++;
    return __libc_memalign(alignment, size);
}

HOOK int posix_memalign(void **memory, size_t alignment, size_t size)
{
    counted++;
    void *got = __libc_memalign(alignment, size);
    if (!got) {
        return ENOMEM;
    }
    *memory = got;
    return 0;
}
