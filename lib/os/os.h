/* The platform: clocks, parking, a barrier on every thread.
 * Linux; nothing outside this folder asks the system for these. */
#ifndef WEIR_LIB_OS_H
#define WEIR_LIB_OS_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <weir/clock.h>

static ALWAYS_INLINE uint64_t os_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * WEIR_S + (uint64_t)time.tv_nsec;
}

static ALWAYS_INLINE uint64_t os_now_precise(void)
{
    return os_clock(CLOCK_MONOTONIC);
}

static ALWAYS_INLINE uint64_t os_now_coarse(void)
{
    return os_clock(CLOCK_MONOTONIC_COARSE);
}

/* The fast clock (clock.c): CLOCK_MONOTONIC, if it cannot keep its promise. */
uint64_t os_now_fast(void);
/* Whether this machine has one; looks once. */
bool os_has_fast_clock(void);

static ALWAYS_INLINE uint64_t os_now(enum weir_timing timing)
{
    switch (timing) {
    case WEIR_TIMING_COARSE: return os_now_coarse();
    case WEIR_TIMING_AUTO:
    case WEIR_TIMING_FAST: return os_now_fast();
    default: return os_now_precise();
    }
}

/* Parks this thread while *word == value, at most until the instant until_ns (WEIR_NEVER: no limit); may
 * return early. wake lets one thread parked at word go on. */
void os_park(uint32_t *word, uint32_t value, uint64_t until_ns);
void os_wake(uint32_t *word);
void os_sleep_until(uint64_t until_ns);

/* Makes every other thread's stores before a point of its own visible, as if each had a full barrier: the
 * slow half of "store, then load" pairs whose fast half is plain. False: the kernel has none. */
bool os_barrier_everywhere(void);

#endif
