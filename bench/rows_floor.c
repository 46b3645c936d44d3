/* What nothing can be faster than: the unit, the bare operation, the CPU. */
#include "bench.h"
#include "operation.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *line_create(void)
{
    void *line = aligned_alloc(128, 128);
    require(line != NULL, "out of memory");
    return memset(line, 0, 128);
}

static uint64_t unit(void *subject, uint64_t n)
{
    uint64_t *word = subject;
    struct timespec now;
    for (uint64_t i = 0; i < n; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        __atomic_fetch_add(word, (uint64_t)now.tv_nsec, __ATOMIC_RELAXED);
    }
    return n;
}

/* What every word that threads share costs at least. */
static uint64_t xadd(void *subject, uint64_t n)
{
    uint64_t *word = subject;
    for (uint64_t i = 0; i < n; i++) {
        __atomic_fetch_add(word, i, __ATOMIC_RELAXED);
    }
    return n;
}

static uint64_t call(void *subject, uint64_t n)
{
    weir_operation *operation = operation_ok;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        fine += operation(subject, NULL).status == WEIR_OK;
    }
    return fine;
}

uint64_t floor_alu(void *subject, uint64_t n)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;
    (void)subject;
    for (uint64_t i = 0; i < n; i++) {
        a += a + 1;
        b += b + 1;
        c += c + 1;
        d += d + 1;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d)); /* keep the additions */
    }
    return n;
}

const struct row floor_rows[] = {
    { .name = "floor/unit", .threads = 1, .work = { unit, line_create, free } },
    { .name = "floor/xadd", .threads = 1, .work = { xadd, line_create, free } },
    { .name = "floor/call", .threads = 1, .work = { .run = call } },
    { .name = "floor/alu", .threads = 1, .work = { .run = floor_alu } },
    { .name = "floor/alu", .threads = 2, .work = { .run = floor_alu } },
    { .name = NULL },
};
