/* Clocks: which one a pipeline reads, and one of your own for tests.
 *
 * Reading a clock is most of the cost of a decision, so a call reads one at its begin and one at its
 * end and passes the instant down. Every function that would read a clock has a form that is given
 * now_ns, an instant of CLOCK_MONOTONIC. */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_timing {
    WEIR_TIMING_AUTO = 0, /* FAST where it holds its promise, else MIXED */
    WEIR_TIMING_PRECISE,  /* CLOCK_MONOTONIC at both ends */
    WEIR_TIMING_MIXED,  /* CLOCK_MONOTONIC at the begin, COARSE at the end; of the calls a sample is timed */
    WEIR_TIMING_COARSE, /* CLOCK_MONOTONIC_COARSE at both ends: up to 10 ms behind; not timed */
    WEIR_TIMING_FAST,   /* the TSC, anchored to CLOCK_MONOTONIC every few ms; PRECISE where there is none */
};

/* A clock of your own, for a pipeline's config (then timing is ignored). The struct is copied, what it
 * points to borrowed. now: an instant that does not go backwards on one thread; it may be called from any
 * thread that uses the pipeline. wait: called by weir_run() instead of sleeping; returns at until_ns or
 * earlier. */
struct weir_clock {
    uint64_t (*now)(void *argument);
    void (*wait)(void *argument, uint64_t until_ns);
    void *argument;
};

/* The instant now, by that clock; AUTO and MIXED read as their begin does. No system call where the
 * kernel offers the vDSO. */
WEIR_API uint64_t weir_now(enum weir_timing timing);

/* What AUTO means on this machine: WEIR_TIMING_FAST or WEIR_TIMING_MIXED. */
WEIR_API enum weir_timing weir_timing_auto(void);

#ifdef __cplusplus
}
#endif
#endif
