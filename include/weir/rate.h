/* Rate limit: GCRA (ITU-T I.371), a token bucket in one word.
 *
 * The word is the theoretical arrival time: a call of cost c moves it by c * T, T = period / permits, and
 * passes unless it would then lie more than burst * T ahead of now. Units are quarters of a nanosecond and
 * T is rounded up, so the true rate is never above the one asked for and at most rate / 4e9 below it
 * (0.03 % at a million a second, 2.5 % at a hundred million). In any span t at most burst + rate * t pass;
 * the sharded form parks up to `lease` tokens per thread, so there it may be threads * lease more. */
#ifndef WEIR_RATE_H
#define WEIR_RATE_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_rate_config {
    uint32_t size;
    const char *name;        /* copied; default: "rate" */
    uint64_t permits;        /* per period, 1..1000000000; default: 100 */
    uint64_t period_ns;      /* 1 us .. 1 day; default: 1 s */
    uint64_t burst;          /* tokens that may be spent at once; default: permits of 1 s, at least 1 */
    uint64_t wait_max_ns;    /* wait for a turn this long, within the deadline; default: 0, refuse */
    enum weir_form form;     /* default: SHARDED while lease is 2 or more and at most 1/64 of the burst */
    uint32_t lease;          /* tokens a thread takes at once in the sharded form; default: burst / 64,
                             at most 256 */
    enum weir_timing timing; /* for acquire without now; default: PRECISE */
    /* Copied; in common with other processes (share.h). Then wait_max_ns is to be 0, a reserve takes at once or is
     * refused, and a cost above share's lease_max never passes. Default: not. */
    const struct weir_share_config *share;
};
WEIR_CONFIG_INIT(weir_rate_config)

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_rate_create(
    const struct weir_rate_config *config, struct weir_policy **rate);

/* Alone: takes cost tokens (1 or more) or is refused; .retry_after_ns says when they would be there. A
 * cost above the burst is refused with code -1: it can never pass. Nothing is to be released. now_ns is an
 * instant of CLOCK_MONOTONIC; WEIR_NEVER aborts, as it would leave nothing to the others. */
WEIR_API WEIR_MUST_USE struct weir_outcome weir_rate_acquire(struct weir_policy *rate, uint32_t cost);
WEIR_API WEIR_MUST_USE struct weir_outcome weir_rate_acquire_at(
    struct weir_policy *rate, uint32_t cost, uint64_t now_ns);

/* Takes cost tokens whose turn comes at *at_ns (>= now_ns), at most wait_ns from now; else REJECTED and
 * nothing is taken. It may be given back, once: what has grown back by then is not restored, nor what lies
 * before turns that others wait for. now_ns as above. */
WEIR_API WEIR_MUST_USE struct weir_outcome weir_rate_reserve_at(struct weir_policy *rate, uint32_t cost,
    uint64_t wait_ns, uint64_t now_ns, struct weir_permit *permit, uint64_t *at_ns);
WEIR_API void weir_rate_give_back_at(struct weir_policy *rate, struct weir_permit *permit, uint64_t now_ns);

struct weir_rate_stats {
    uint64_t permits, period_ns, burst;
    uint64_t lease;  /* 0 in the single-word form */
    uint64_t tokens; /* that an acquire at now_ns could have, leased credit not counted */
    uint64_t leased; /* credit parked with threads */
    uint64_t refused, refused_wait, refused_forced, would_refuse, waited, given_back;
};
WEIR_API struct weir_rate_stats weir_rate_stats(const struct weir_policy *rate, uint64_t now_ns);

#ifdef __cplusplus
}
#endif
#endif
