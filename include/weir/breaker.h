/* Circuit breaker: stop calling what keeps failing, and find out gently when it is well again.
 *
 *                  a trigger fires
 *     CLOSED ---------------------------> OPEN <-------.
 *       ^  ^                               |           | a probe fails, or
 *       |  '--- ramp is over --- RAMP      | its time  | one's lease runs out:
 *       |                         ^        | is over   | longer than before
 *       |    successes (ramp on)  |        v           |
 *       '-------- successes ------'--- HALF_OPEN ------'
 *
 * Triggers, any of which opens it: the lower Wilson bound of the failure rate lies above failure_percent;
 * the plain rate reaches plain_percent; a number of consecutive failures, counted only while the window
 * holds fewer than calls_min calls; the rate of slow calls. While half open it admits at most `probes`
 * calls, not counting those whose outcome says nothing (they are given back). An outcome counts only in
 * the generation that admitted it: a late answer changes nothing. */
#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_breaker_config {
    uint32_t size;
    const char *name;         /* copied; default: "breaker" */
    uint64_t window_ns;       /* outcomes count for this long, 16 ms .. 1 h; default: 10 s */
    uint32_t calls_min;       /* the rates are not judged below this many calls; default: 10 */
    uint32_t failure_percent; /* 1..99, for the Wilson bound; default: 50 */
    uint32_t z_tenths;        /* its confidence, 1..100 tenths of a standard deviation; default: 30;
                                 WEIR_OFF32: this trigger is off */
    uint32_t plain_percent;   /* 1..100; default: this trigger is off */
    uint32_t consecutive;     /* 1..255; default: 5; WEIR_OFF32: off */
    uint64_t slow_ns;         /* an answer that took this long is slow; default: off */
    uint32_t slow_percent;    /* 1..100 of the calls slow; default: 80 */
    uint32_t jitter_percent;  /* 1..90: open times vary by up to this; default: 20; WEIR_OFF32: none */
    uint64_t open_ns;         /* how long to refuse at first, 1 ms .. 1 h; default: 1 s */
    uint64_t open_max_ns;     /* it doubles each time a probe fails, up to this, at most 1 day; default: 30 s,
                                      or open_ns if that is longer */
    uint32_t probes;          /* calls let in per half-open time, 1..255; default: 3 */
    uint32_t successes;       /* of these needed to close, 1..probes; default: probes */
    uint64_t probe_ns;        /* a probe unanswered for this long has failed; default: 10 s */
    uint64_t ramp_ns;         /* after closing, the share let in rises from 10 % to all; default: 5 s;
                                 WEIR_OFF: none */
    uint64_t late_failure_ns; /* a call cut off by a deadline outside the breaker is a failure if it ran
                                 this long; default: 1 s */
    uint64_t overload_open_ns_max; /* an OVERLOADED answer opens it for its retry-after, at most this
                                 long; default: off */
    uint64_t seed;                 /* of its jitter; default: drawn */
    enum weir_timing timing;       /* for acquire and release without now; default: COARSE */
    const struct weir_share_config
        *share; /* copied; in common with other processes (share.h); default: not */
};
WEIR_CONFIG_INIT(weir_breaker_config)

enum weir_breaker_state {
    WEIR_BREAKER_CLOSED,
    WEIR_BREAKER_OPEN,
    WEIR_BREAKER_HALF_OPEN,
    WEIR_BREAKER_RAMP,
};

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_breaker_create(
    const struct weir_breaker_config *config, struct weir_policy **breaker);

/* Alone, without a pipeline. OK: go on, and release exactly once, from any thread. REJECTED: nothing was
 * taken; .retry_after_ns says when a probe is due. The form without now reads no clock while closed,
 * unless slow_ns is set: then how long the call ran is not known, and one that its caller's own deadline cut off
 * (EXPIRED with the reason DEADLINE) is no failure, however long it ran. */
WEIR_API WEIR_MUST_USE struct weir_outcome weir_breaker_acquire(
    struct weir_policy *breaker, struct weir_permit *permit);
WEIR_API WEIR_MUST_USE struct weir_outcome weir_breaker_acquire_at(
    struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns);
WEIR_API void weir_breaker_release(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome);
WEIR_API void weir_breaker_release_at(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome, uint64_t now_ns);

/* Counters since its creation, gauges of now. Reading them changes nothing. */
struct weir_breaker_stats {
    enum weir_breaker_state state; /* as an admission at now_ns would find it */
    uint32_t generation;
    uint64_t until_ns; /* OPEN: the instant when a probe is due; RAMP: when it is over; else 0 */
    uint32_t probes_out, probes_won;
    uint64_t streak;                                   /* consecutive failures */
    uint64_t calls, failures, slow;                    /* in the window now */
    uint64_t counted_ok, counted_failed, counted_slow; /* ever counted in the window */
    uint64_t refused_open, refused_probes, refused_ramp, refused_forced, would_refuse;
    uint64_t given_back; /* probes whose outcome said nothing */
    uint64_t stale;      /* outcomes of another generation */
    uint64_t overloaded;
    uint64_t opened, half_opened, closed, reopened; /* transitions */
    uint64_t changed_ns;  /* the instant of the last transition, or of the first failure; 0: none yet */
    uint64_t spent_ns[4]; /* time in each enum weir_breaker_state, up to the last transition */
};
/* Aborts if the policy is no breaker. */
WEIR_API struct weir_breaker_stats weir_breaker_stats(const struct weir_policy *breaker, uint64_t now_ns);
/* "closed", "open", "half_open", "ramp"; static. From any thread, also in signal handlers. */
WEIR_API const char *weir_breaker_state_text(enum weir_breaker_state state);

#ifdef __cplusplus
}
#endif
#endif
