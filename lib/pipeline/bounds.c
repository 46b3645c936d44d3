#include "pipeline/bounds.h"

#include "base/arithmetic.h"
#include "policy/bulkhead.h"
#include "policy/chaos.h"
#include "policy/fallback.h"
#include "policy/rate.h"
#include "policy/retry.h"
#include "policy/timeout.h"

/* A call is hit by one kind of harm at most. */
static uint64_t chaos_wait(const struct chaos_config *config)
{
    uint64_t latency_ns = config->ppm[WEIR_CHAOS_LATENCY] == 0 ? 0 : config->latency_max_ns;
    uint64_t lost_ns = config->ppm[WEIR_CHAOS_LOST] == 0 ? 0 : config->lost_max_ns;
    return time_max(latency_ns, lost_ns);
}

uint64_t bounds_wait(const struct weir_policy *policy)
{
    if (policy->head->kind == POLICY_RATE) {
        return ((const struct rate_config *)policy->config)->wait / GCRA_UNITS_PER_NS;
    }
    if (policy->head->kind == POLICY_CHAOS) return chaos_wait(policy->config);
    if (policy->head->kind != POLICY_BULKHEAD) return 0;
    const struct bulkhead_config *config = policy->config;
    return config->queue == 0 ? 0 : config->wait_max_ns;
}

/* The same series as policy/retry.c, each at its longest. */
uint64_t bounds_backoff_most(const struct weir_policy *retry, uint32_t which)
{
    const struct retry_config *config = retry->config;
    if (config->backoff == WEIR_BACKOFF_CONSTANT) return config->base_ns;
    uint64_t factor = config->backoff == WEIR_BACKOFF_DECORRELATED ? 3 : 2;
    uint64_t delay_ns = config->base_ns;
    if (factor == 3) delay_ns = multiply_saturating(delay_ns, factor);
    for (; which > 0 && delay_ns < config->max_ns; which--) delay_ns = multiply_saturating(delay_ns, factor);
    return time_min(delay_ns, config->max_ns);
}

uint64_t bounds_backoff_least(const struct weir_policy *retry)
{
    const struct retry_config *config = retry->config;
    return config->backoff == WEIR_BACKOFF_FULL ? 0 : config->base_ns;
}

/* A timeout sets an end of its own, a fallback takes its reserve off the one there is. */
static uint64_t left_inside(const struct weir_policy *policy, uint64_t left_ns)
{
    if (policy->head->kind == POLICY_TIMEOUT) {
        return time_min(left_ns, ((const struct timeout_config *)policy->config)->timeout_ns);
    }
    if (policy->head->kind != POLICY_FALLBACK || left_ns == WEIR_NEVER) return left_ns;
    return time_since(left_ns, ((const struct fallback_config *)policy->config)->reserve_ns);
}

static void find_left(const struct weir_pipeline *pipeline, uint64_t deadline_ns, struct bounds *bounds)
{
    bounds->left_ns[0] = deadline_ns == 0 ? WEIR_NEVER : deadline_ns;
    bounds->left_by[0] = BY_CALLER;
    for (uint32_t i = 0; i < pipeline->count; i++) {
        uint64_t left_ns = left_inside(pipeline->policy[i], bounds->left_ns[i]);
        bounds->left_ns[i + 1] = left_ns;
        bounds->left_by[i + 1] = left_ns < bounds->left_ns[i] ? (int)i : bounds->left_by[i];
    }
}

static uint64_t all_backoffs(const struct weir_policy *retry, uint32_t attempts)
{
    uint64_t sum_ns = 0;
    for (uint32_t i = 0; i + 1 < attempts; i++) sum_ns = time_add(sum_ns, bounds_backoff_most(retry, i));
    return sum_ns;
}

static uint64_t takes(const struct weir_policy *policy, uint64_t inside_ns)
{
    if (policy->head->kind == POLICY_TIMEOUT) {
        return time_min(inside_ns, ((const struct timeout_config *)policy->config)->timeout_ns);
    }
    if (policy->head->kind == POLICY_RETRY) {
        uint32_t attempts = ((const struct retry_config *)policy->config)->attempts;
        return time_add(multiply_saturating(inside_ns, attempts), all_backoffs(policy, attempts));
    }
    if (policy->head->kind == POLICY_FALLBACK) {
        /* Its function ends by the deadline outside, if there is one, and by nothing else. */
        return ((const struct fallback_config *)policy->config)->has_function ? WEIR_NEVER : inside_ns;
    }
    return time_add(inside_ns, bounds_wait(policy));
}

void bounds_find(const struct weir_pipeline *pipeline, uint64_t deadline_ns, struct bounds *bounds)
{
    find_left(pipeline, deadline_ns, bounds);
    bounds->takes_ns[pipeline->count] = WEIR_NEVER;
    bounds->attempts[pipeline->count] = 1;
    for (uint32_t i = pipeline->count; i-- > 0;) {
        const struct weir_policy *policy = pipeline->policy[i];
        bounds->takes_ns[i] = takes(policy, bounds->takes_ns[i + 1]);
        bounds->attempts[i] = bounds->attempts[i + 1];
        if (policy->head->kind != POLICY_RETRY) continue;
        uint32_t attempts = ((const struct retry_config *)policy->config)->attempts;
        bounds->attempts[i] = multiply_saturating(bounds->attempts[i], attempts);
    }
}
