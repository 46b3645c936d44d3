/* Chaos: harm done on purpose, to see whether what is around it holds. It belongs innermost.
 *
 * Each call that comes to it is hit by one kind of harm or by none, drawn from the seed and the number of the call:
 * the n-th call after it was switched on is hit the same in every run. On one thread that repeats a run exactly.
 * With several threads the sequence of hits is the same, but which thread's call is the n-th is up to the
 * scheduler.
 *
 *     LATENCY  the call is held for latency_min_ns to latency_max_ns, then the operation runs. No thread blocks;
 *              policies outside count the time as the operation's.
 *     ERROR    the operation does not run; the outcome is FAILED with error_code. It counts as an attempt.
 *     RESULT   the operation runs, and whatever it answers is replaced: the work was done, the reply is garbled.
 *     LOST     the operation runs, and its answer does not arrive: the call waits until a timeout, its deadline or
 *              a cancel ends it, at most for lost_max_ns: then it is FAILED with error_code.
 *
 * RESULT and LOST leave alone what did not run or whose time is over anyway. Injected outcomes have the reason CHAOS
 * and this policy as .by; a context's deadline or a timeout that ends a LOST call is its own reason.
 *
 * It ends by itself duration_ns after the first call that finds it on. While it is off, calls go by without
 * a look at it. Mode SHADOW (FORCED_CLOSED too) counts what it would do; DISABLED is off; FORCED_OPEN refuses. */
#ifndef WEIR_CHAOS_H
#define WEIR_CHAOS_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_chaos_kind {
    WEIR_CHAOS_LATENCY = 0,
    WEIR_CHAOS_ERROR,
    WEIR_CHAOS_RESULT,
    WEIR_CHAOS_LOST,
    WEIR_CHAOS_KINDS
};
WEIR_API const char *weir_chaos_kind_text(enum weir_chaos_kind kind); /* "latency"; "?" for none */

struct weir_chaos_config {
    uint32_t size;
    const char *name; /* copied; default: "chaos" */
    uint64_t seed;    /* the same seed hits the same calls; default: 1 */
    bool off;         /* wait for weir_chaos_set_enabled(); default: on at once */

    /* Rates, in parts per million of the calls; 1000000 together at most, at least one of them above 0. */
    uint32_t latency_ppm;
    uint32_t error_ppm;
    uint32_t result_ppm;
    uint32_t lost_ppm;

    uint64_t duration_ns;    /* ends by itself after that; 1 ms .. 30 days; default: 10 min */
    uint64_t latency_min_ns; /* 1 us .. 1 h; default: 10 ms, or latency_max_ns if that is shorter */
    uint64_t latency_max_ns; /* latency_min_ns .. 1 h; default: 100 ms, or latency_min_ns if that is longer */
    int32_t error_code;      /* default: EIO */
    bool error_not_sent;     /* an ERROR has the flag NOT_SENT, so that any call may be tried again */
    enum weir_status result_status; /* FAILED or OVERLOADED; default: FAILED */
    int32_t result_code;            /* default: EIO */
    uint64_t result_retry_after_ns; /* at most 1 day; default: 0, unknown */
    uint64_t lost_max_ns;           /* 1 ms .. 1 day; default: 30 s */
    uint32_t held_max; /* calls held at once, LATENCY and LOST together; any other passes unharmed and is
                          counted as spared; 1..1000000; default: 100 */

    /* Bursts: for burst_ns of every burst_every_ns, by the clock of the calls, from the first call on, all rates
     * are burst_factor times as high; where that is more than all calls, all are hit, in the same proportions. */
    uint64_t burst_ns;       /* 1 ms .. burst_every_ns; default: no bursts */
    uint64_t burst_every_ns; /* at most 1 day; default: 10 * burst_ns */
    uint32_t burst_factor;   /* 2..1000000; default: 10 */
};
WEIR_CONFIG_INIT(weir_chaos_config)

/* INVALID, SIZE, NOMEM. Yours to release. */
WEIR_API WEIR_MUST_USE enum weir_error weir_chaos_create(
    const struct weir_chaos_config *config, struct weir_policy **chaos);

/* The switch. Off: calls that begin after it are not asked; calls that it holds look at it every 100 ms and then
 * go on, what was LOST with its real answer. On: anew, from call number 0 and for duration_ns, also if it was
 * on. From any thread; takes a short lock; not safe in signal handlers. */
WEIR_API void weir_chaos_set_enabled(struct weir_policy *chaos, bool enabled);

struct weir_chaos_stats {
    bool enabled;
    uint64_t until_ns; /* when it ends; 0: off, or no call has found it on yet */
    uint64_t calls;    /* that were asked since it was last switched on */
    uint64_t held;     /* calls that it holds now */
    uint64_t injected[WEIR_CHAOS_KINDS];
    uint64_t spared[WEIR_CHAOS_KINDS];       /* not hit, because held_max was reached */
    uint64_t would_inject[WEIR_CHAOS_KINDS]; /* in shadow */
};
WEIR_API struct weir_chaos_stats weir_chaos_stats(const struct weir_policy *chaos);

#ifdef __cplusplus
}
#endif
#endif
