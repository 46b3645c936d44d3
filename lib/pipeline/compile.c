/* From an order to the lists that a call that goes well walks. */
#include "pipeline/pipeline.h"

#include "base/arithmetic.h"
#include "base/lock.h"
#include "policy/chaos.h"
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
    struct admit_entry *admit = pipeline->admit, *switched_on = pipeline->switched_on;
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
        *switched_on++ = (struct admit_entry) { policy->first, policy->config, policy->state, i };
        if ((policy->flags & POLICY_HAS_SWITCH) == 0) *admit++ = switched_on[-1];
        else pipeline->switches |= (uint16_t)(1u << i);
    }
    for (uint32_t i = pipeline->count; i-- > 0;) {
        struct weir_policy *policy = pipeline->policy[i];
        if (policy->ops->settle == NULL || (policy->flags & WEIR_POLICY_QUIET_SETTLE) != 0) continue;
        *settle++ = (struct settle_entry) { policy->well, policy->config, policy->state, i };
    }
    pipeline->admit_end = admit;
    pipeline->switched_on_end = switched_on;
    pipeline->settle_end = settle;
}

/* What a policy asks of the begins of calls: nothing if it is switched off, unless it is to refuse them. */
static uint32_t attention_for(const struct weir_policy *policy)
{
    enum weir_mode mode = weir_policy_mode(policy);
    if ((policy->flags & POLICY_HAS_SWITCH) == 0) return mode == WEIR_MODE_ON ? 0 : ATTENTION_MODES;
    if (mode == WEIR_MODE_FORCED_OPEN) return ATTENTION_MODES;
    if (mode == WEIR_MODE_DISABLED || !chaos_is_on(policy->state)) return 0;
    return mode == WEIR_MODE_ON ? ATTENTION_SWITCHED : ATTENTION_MODES;
}

#define ATTENTION_BY_POLICIES (ATTENTION_MODES | ATTENTION_SWITCHED)

static uint32_t attention_for_all(const struct weir_pipeline *pipeline)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < pipeline->count; i++) wanted |= attention_for(pipeline->policy[i]);
    return wanted;
}

/* A mode or a switch of one of its policies has changed: calls go by the full list while any is not ON. */
void pipeline_notice(struct weir_pipeline *pipeline)
{
    uint32_t wanted = attention_for_all(pipeline);
    atomic_or_acq_rel(&pipeline->attention, wanted);
    atomic_and_release(&pipeline->attention, ~(ATTENTION_BY_POLICIES & ~wanted));
}

/* A policy has switched itself off. It says so until somebody finds the lock free, and whenever others have a call
 * go by the full list. */
void pipeline_switched_off(const struct weir_pipeline *pipeline)
{
    uint32_t attention = atomic_load_relaxed(&pipeline->attention) & ATTENTION_BY_POLICIES;
    if (attention == attention_for_all(pipeline)) return;
    if (!lock_try(&weir_registry_lock)) return;
    pipeline_notice((struct weir_pipeline *)pipeline);
    lock_drop(&weir_registry_lock);
}
