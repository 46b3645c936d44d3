/* Fallback: answer something else when what is inside it did not. The outcome is then OK and DEGRADED;
 * .by is this policy, .reason and .code are those of what it hides, and hidden outcomes are counted. */
#ifndef WEIR_FALLBACK_H
#define WEIR_FALLBACK_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An operation, also used by weir_run(): runs one attempt on this thread and answers how it went. */
typedef struct weir_outcome weir_operation(void *argument, const struct weir_attempt *attempt);

struct weir_fallback_config {
    uint32_t size;
    const char *name;         /* copied; default: "fallback" */
    const void *value;        /* value_size bytes, copied: the answer, or the one when no last good is left */
    uint32_t value_size;      /* the pipeline's result_size; 0: the answer is only the outcome */
    bool last_good;           /* answer the last good result, if it is young enough */
    uint64_t age_max_ns;      /* young enough; default: 60 s */
    weir_operation *function; /* run as a step of its own, with the operation's argument, under the
                              deadline outside this policy; it may write attempt->value */
    uint64_t reserve_ns;      /* time kept back for the function: what is inside ends that much earlier */
    uint32_t on; /* which outcomes; default: FAILED, REJECTED, EXPIRED (by a timeout) and OVERLOADED */
    bool not_when_forced;    /* an operator's refusal passes by */
    bool rest_after_failure; /* a function that failed is not run again until the hidden refusal's
                              retry-after has passed */
};
WEIR_CONFIG_INIT(weir_fallback_config)

/* Order: the function first if there is one; then last good; then value. With none of them it answers the
 * bare outcome. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_fallback_create(
    const struct weir_fallback_config *config, struct weir_policy **fallback);

struct weir_fallback_stats {
    uint64_t by_function, by_last_good, by_value; /* answers given */
    uint64_t function_failed, too_old, resting;   /* and why not */
    uint64_t hidden[WEIR_STATUSES];               /* outcomes that it hid, by status */
};
WEIR_API struct weir_fallback_stats weir_fallback_stats(const struct weir_policy *fallback);

#ifdef __cplusplus
}
#endif
#endif
