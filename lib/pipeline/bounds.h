/* The worst that a pipeline's order allows, from its configs alone: for explain and the linter.
 *
 * Modes are left out: an operator's hand comes and goes, the order stays. */
#ifndef WEIR_LIB_BOUNDS_H
#define WEIR_LIB_BOUNDS_H

#include "pipeline/pipeline.h"

#define BY_CALLER (-1)

struct bounds {
    /* The time left at most when a policy is asked; [count]: the operation. Whose it is: the position of a
     * timeout (or of a fallback, by its reserve), or BY_CALLER. */
    uint64_t left_ns[WEIR_POLICIES_MAX + 1];
    int left_by[WEIR_POLICIES_MAX + 1];
    /* What a policy and all inside it may take if nothing outside cuts it short; WEIR_NEVER: no end. */
    uint64_t takes_ns[WEIR_POLICIES_MAX + 1];
    /* Operations run by one passage through it. */
    uint64_t attempts[WEIR_POLICIES_MAX + 1];
};

/* deadline_ns: the duration that callers bring; 0: none known. */
void bounds_find(const struct weir_pipeline *pipeline, uint64_t deadline_ns, struct bounds *bounds);

/* How long a call may wait at that policy before it is let in; 0: it does not. */
uint64_t bounds_wait(const struct weir_policy *policy);

/* The back-off before a retry (0: the first), at most and at least. A callee's retry-after may add to it. */
uint64_t bounds_backoff_most(const struct weir_policy *retry, uint32_t which);
uint64_t bounds_backoff_least(const struct weir_policy *retry);

static inline bool policy_is(const struct weir_pipeline *pipeline, uint32_t position, enum policy_kind kind)
{
    return pipeline->policy[position]->head->kind == kind;
}

#endif
