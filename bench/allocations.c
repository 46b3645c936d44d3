/* The program's own malloc family: symbols of an executable come before those of its libraries, so
 * libweir and libc call these as well. glibc offers its allocator under names of its own. */
#include "allocations.h"

#include <errno.h>
#include <stdlib.h>

#define HOOK __attribute__((visibility("default")))

void *libc_malloc(size_t size) __asm__("__libc_malloc");
void *libc_calloc(size_t nmemb, size_t size) __asm__("__libc_calloc");
void *libc_realloc(void *ptr, size_t size) __asm__("__libc_realloc");
void *libc_memalign(size_t alignment, size_t size) __asm__("__libc_memalign");

static _Thread_local uint64_t counted;

uint64_t allocations(void)
{
    return counted;
}

HOOK void *malloc(size_t size)
{
    counted++;
    return libc_malloc(size);
}

HOOK void *calloc(size_t nmemb, size_t size)
{
    counted++;
    return libc_calloc(nmemb, size);
}

HOOK void *realloc(void *ptr, size_t size)
{
    counted++;
    return libc_realloc(ptr, size);
}

HOOK void *aligned_alloc(size_t alignment, size_t size)
{
    counted++;
    return libc_memalign(alignment, size);
}

HOOK int posix_memalign(void **memptr, size_t alignment, size_t size)
{
    counted++;
    void *got = libc_memalign(alignment, size);
    if (!got) {
        return ENOMEM;
    }
    *memptr = got;
    return 0;
}
