/* From an order to the lists that a call that goes well walks. */
#include "pipeline/pipeline.h"

#include "base/arithmetic.h"
#include "policy/fallback.h"
#include "policy/timeout.h"

/* The deadline of a begin with nothing waiting: inwards, each timeout takes the minimum with now + its own,
 * each fallback takes its reserve off. Both together: min(deadline - all reserves, now + cap). */
static void fold(struct weir_pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->count; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        if (policy->head->kind == POLICY_TIMEOUT) {
            const struct timeout_config *config = policy->config;
            pipeline->cap_ns = time_min(pipeline->cap_ns, config->timeout_ns);
        } else if (policy->head->kind == POLICY_FALLBACK) {
            const struct fallback_config *config = policy->config;
            pipeline->reserve_ns = time_add(pipeline->reserve_ns, config->reserve_ns);
            if (pipeline->cap_ns != WEIR_NEVER) {
                pipeline->cap_ns = time_since(pipeline->cap_ns, config->reserve_ns);
            }
        }
    }
}

/* A policy that looks at the deadline must see the one of its own place, not the innermost. */
static bool may_fold(const struct weir_pipeline *pipeline)
{
    bool looked = false;
    for (uint32_t i = 0; i < pipeline->count; i++) {
        uint32_t kind = pipeline->policy[i]->head->kind;
        if (kind == POLICY_CUSTOM || (pipeline->policy[i]->flags & POLICY_READS_DEADLINE) != 0) looked = true;
        if (looked && (kind == POLICY_TIMEOUT || kind == POLICY_FALLBACK)) return false;
    }
    return true;
}

void pipeline_compile(struct weir_pipeline *pipeline)
{
    pipeline->folded = may_fold(pipeline);
    pipeline->cap_ns = WEIR_NEVER;
    struct admit_entry *admit = pipeline->admit;
    struct settle_entry *settle = pipeline->settle;
    pipeline->linked = pipeline->result_size != 0 || pipeline->events != NULL;
    if (pipeline->folded) fold(pipeline);
    if (pipeline->result_size != 0) pipeline->attention |= ATTENTION_RESULT;
    if (pipeline->reserve_ns != 0) pipeline->attention |= ATTENTION_RESERVE;
    for (uint32_t i = 0; i < pipeline->count; i++) {
        struct weir_policy *policy = pipeline->policy[i];
        const struct weir_policy_ops *ops = policy->ops;
        if (policy->wakers.count != 0) pipeline->linked = true;
        if (policy->head->kind == POLICY_RETRY) pipeline->budgeted = true;
        if (ops->admit == NULL) continue;
        if (pipeline->folded && (policy->flags & WEIR_POLICY_QUIET_ADMIT) != 0) continue;
        *admit++ = (struct admit_entry) { policy->first, policy->config, policy->state, i };
    }
    for (uint32_t i = pipeline->count; i-- > 0;) {
        struct weir_policy *policy = pipeline->policy[i];
        if (policy->ops->settle == NULL || (policy->flags & WEIR_POLICY_QUIET_SETTLE) != 0) continue;
        *settle++ = (struct settle_entry) { policy->well, policy->config, policy->state, i };
    }
    pipeline->admit_end = admit;
    pipeline->settle_end = settle;
}

/* A mode of one of its policies has changed: calls go by the full list while any is not ON. */
void pipeline_notice(struct weir_pipeline *pipeline)
{
    bool modes = false;
    for (uint32_t i = 0; i < pipeline->count; i++) {
        if (weir_policy_mode(pipeline->policy[i]) != WEIR_MODE_ON) modes = true;
    }
    if (modes) atomic_or_acq_rel(&pipeline->attention, (uint32_t)ATTENTION_MODES);
    else atomic_and_release(&pipeline->attention, ~(uint32_t)ATTENTION_MODES);
}
