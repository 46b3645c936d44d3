/* Retry: try again what may be tried again, within the deadline and within a budget.
 *
 * A failure is retried only if the call is marked idempotent or the outcome NOT_SENT; a callee that declined
 * (OVERLOADED), and a policy inside that refused, were not at work and may be asked again by any call. Nothing is scheduled past the
 * deadline, nor when less would remain than a call of this pipeline typically takes. Every retry that was
 * not made has a counted reason. Delays: CONSTANT base; EXPONENTIAL base * 2^n; FULL random in
 * [0, base * 2^n] and DECORRELATED random in [base, 3 * last] (both from the AWS architecture blog,
 * "Exponential Backoff And Jitter"); all capped at max. A callee's retry-after is honoured if longer, up to a
 * day; beyond that the call ends (no_time). */
#ifndef WEIR_RETRY_H
#define WEIR_RETRY_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Retries allowed, over all policies that share it: percent of the calls plus a floor, saved up for 10 s
 * at most. A budget is charged when a retry is decided and refunded if it never runs. Calls are reported to
 * it by 16 for each thread. */
struct weir_budget;
struct weir_budget_config {
    uint32_t size;
    const char *name;     /* copied; default: "budget" */
    uint32_t percent;     /* of the calls, 1..100; default: 20 */
    uint32_t floor_per_s; /* retries a second that are always allowed, 1..1000000; default: 10 */
};
WEIR_CONFIG_INIT(weir_budget_config)
/* config may be NULL. Yours to release; each retry policy takes a reference. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_budget_create(
    const struct weir_budget_config *config, struct weir_budget **budget);
WEIR_API void weir_budget_release(struct weir_budget *budget);
struct weir_budget_stats {
    uint64_t tokens;   /* retries it would allow at now_ns */
    uint64_t capacity; /* and at most */
    uint64_t charged, refunded, denied;
};
WEIR_API struct weir_budget_stats weir_budget_stats(const struct weir_budget *budget, uint64_t now_ns);

enum weir_backoff {
    WEIR_BACKOFF_FULL = 0, /* exponential with full jitter */
    WEIR_BACKOFF_CONSTANT,
    WEIR_BACKOFF_EXPONENTIAL,
    WEIR_BACKOFF_DECORRELATED,
};

/* Bits of a set of outcomes. */
#define WEIR_ON(status) (UINT32_C(1) << (status))

struct weir_retry_config {
    uint32_t size;
    const char *name;  /* copied; default: "retry" */
    uint32_t attempts; /* in all, 1..WEIR_ATTEMPTS_MAX; default: 3 */
    enum weir_backoff backoff;
    uint64_t base_ns;           /* 1 us .. 1 h; default: 50 ms */
    uint64_t max_ns;            /* base_ns .. 1 day; default: 2 s, or base_ns if that is longer */
    uint32_t on;                /* which outcomes: WEIR_ON(...) bits of FAILED, EXPIRED, OVERLOADED, REJECTED;
                               default: FAILED, EXPIRED and OVERLOADED */
    struct weir_budget *budget; /* a reference is taken; default: one of its own, with defaults */
};
WEIR_CONFIG_INIT(weir_retry_config)

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_retry_create(
    const struct weir_retry_config *config, struct weir_policy **retry);

struct weir_retry_stats {
    uint64_t retried;   /* retries decided */
    uint64_t recovered; /* calls that ended OK after at least one */
    /* retries not made, by reason */
    uint64_t not_idempotent, exhausted, no_budget, no_time, not_wanted, not_repeatable;
};
WEIR_API struct weir_retry_stats weir_retry_stats(const struct weir_policy *retry);

#ifdef __cplusplus
}
#endif
#endif
