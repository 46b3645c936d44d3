/* The table that gives outcomes their meaning (docs/design.md, "Outcomes"), as one function a column. */
#ifndef WEIR_LIB_OUTCOME_H
#define WEIR_LIB_OUTCOME_H

#include <weir/outcome.h>

enum outcome_view {
    VIEW_SUCCESS,
    VIEW_FAILURE,
    VIEW_NOTHING,    /* says nothing about the callee: a probe is given back */
    VIEW_OVERLOADED, /* nothing, counted apart */
};

/* Whether what ended it lies inside the policy at that position (the operation itself always does). The
 * context's deadline has .by 0 like the operation, but its own reason. */
static inline bool outcome_from_inside(const struct weir_outcome *outcome, uint32_t position)
{
    if (outcome->by == 0) return outcome->reason != WEIR_REASON_DEADLINE;
    return outcome->by > position + 1;
}

/* How a breaker or a probe at that position sees it; ran_ns: how long the attempt ran, 0 if never. */
enum outcome_view outcome_view(
    const struct weir_outcome *outcome, uint32_t position, uint64_t ran_ns, uint64_t late_failure_ns);

/* Whether a retry at that position may ever follow, budget and time apart: on is its set of statuses. */
enum outcome_retry { RETRY_YES, RETRY_UNWANTED, RETRY_NOT_IDEMPOTENT, RETRY_NOT_REPEATABLE };
enum outcome_retry outcome_retry(
    const struct weir_outcome *outcome, uint32_t position, uint32_t on, bool idempotent);

#endif
