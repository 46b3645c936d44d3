/* A pipeline in words: its order, the worst that it allows, and what the linter says to it. */
#include "base/arithmetic.h"
#include "pipeline/bounds.h"
#include "pipeline/prose.h"
#include "pipeline/text.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/retry.h"
#include "policy/timeout.h"

#define FINDINGS_SHOWN 32

/* What makes a breaker open, and for how long: its line says only what it is now. */
static void say_breaker(struct prose *prose, const struct breaker_config *config)
{
    prose_say(prose, "      opens on");
    if (config->z_tenths != 0) {
        prose_say(prose, " a failure rate surely above %" PRIu32 " %% (z %" PRIu32 ".%" PRIu32 "),",
            config->failure_percent, config->z_tenths / 10, config->z_tenths % 10);
    }
    if (config->plain_percent != 0) prose_say(prose, " %" PRIu32 " %% failed,", config->plain_percent);
    if (config->slow_ns != WEIR_NEVER) {
        prose_say(prose, " %" PRIu32 " %% that take %s,", config->slow_percent,
            duration_rough(config->slow_ns).text);
    }
    if (config->consecutive != 0) {
        prose_say(prose, " %" PRIu32 " failures in a row while it has seen fewer than %" PRIu32 " calls,",
            config->consecutive, config->calls_min);
    }
    prose_say(prose, " in the last %s; for %s", duration_rough(config->bucket_ns * WINDOW_BUCKETS).text,
        duration_rough(config->open_ns).text);
    prose_say(prose, " to %s; %" PRIu32 " probes, %" PRIu32 " to close",
        duration_rough(config->open_max_ns).text, config->probes, config->successes);
    if (config->ramp_ns != 0) prose_say(prose, ", ramp of %s", duration_rough(config->ramp_ns).text);
    prose_say(prose, "\n");
}

static void say_order(struct prose *prose, const struct weir_pipeline *pipeline, uint64_t now_ns)
{
    static const char *const modes[] = { "", " [shadow]", " [disabled]", " [forced open]",
        " [forced closed]" };
    char name[WEIR_NAME_MAX * 4 + 1];
    prose_say(prose, "pipeline \"%s\", outermost first:\n", escape(pipeline->name, name, sizeof name));
    for (uint32_t i = 0; i < pipeline->count; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        struct describe_text numbers = policy_described(policy, now_ns);
        prose_say(prose, "  %2u  %s%s%s%s\n", i, policy_text(policy).text, modes[weir_policy_mode(policy)],
            numbers.text[0] == '\0' ? "" : ": ", numbers.text);
        if (policy->head->kind == POLICY_BREAKER) say_breaker(prose, policy->config);
    }
    if (pipeline->count == 0) prose_say(prose, "  (no policy)\n");
}

static void say_attempts(
    struct prose *prose, const struct weir_pipeline *pipeline, const struct bounds *bounds)
{
    uint64_t attempts = bounds->attempts[0];
    prose_say(prose, "worst case of a call:\n  attempts       %" PRIu64 "%s\n", attempts,
        attempts > 1 ? "; retry: only calls marked idempotent, not sent or declined" : "");
    prose_say(prose, "  amplification  %" PRIu64 " operations for a call", attempts);
    for (uint32_t i = 0; i < pipeline->count; i++) {
        if (!policy_is(pipeline, i, POLICY_RETRY) || bounds->attempts[i] == bounds->attempts[i + 1]) continue;
        const struct weir_budget *budget = pipeline->policy[i]->auxiliary;
        prose_say(prose, "; the budget of %s bears %u %% of the calls and %u a second",
            policy_text(pipeline->policy[i]).text, budget->percent, budget->floor_per_s);
    }
    prose_say(prose, "\n");
}

/* The deadline to measure against: the callers' if it is known, else that of the outermost timeout, unless what
 * lies outside it adds to it. */
static uint64_t find_deadline(const struct weir_pipeline *pipeline, const struct bounds *bounds,
    uint64_t deadline_ns, uint32_t *timeout)
{
    *timeout = pipeline->count;
    if (deadline_ns != 0) return deadline_ns;
    for (uint32_t i = 0; i < pipeline->count; i++) {
        if (!policy_is(pipeline, i, POLICY_TIMEOUT)) continue;
        if (bounds->takes_ns[0] != bounds->takes_ns[i]) break;
        *timeout = i;
        return ((const struct timeout_config *)pipeline->policy[i]->config)->timeout_ns;
    }
    return WEIR_NEVER;
}

static void say_waits(struct prose *prose, const struct weir_pipeline *pipeline, uint32_t from)
{
    for (uint32_t i = from; i < pipeline->count; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        if (policy->head->kind == POLICY_RETRY) {
            uint32_t attempts = ((const struct retry_config *)policy->config)->attempts;
            uint64_t sum_ns = 0;
            for (uint32_t k = 0; k + 1 < attempts; k++)
                sum_ns = time_add(sum_ns, bounds_backoff_most(policy, k));
            if (sum_ns != 0) {
                prose_say(prose, "; %s backs off for up to %s, longer if a callee asks for it",
                    policy_text(policy).text, duration_text(sum_ns).text);
            }
        } else if (bounds_wait(policy) != 0) {
            prose_say(prose, "; %s holds for up to %s", policy_text(policy).text,
                duration_text(bounds_wait(policy)).text);
        }
    }
}

/* What is inside the deadline's owner would take, and what the deadline makes of it. */
static void say_latency(struct prose *prose, const struct weir_pipeline *pipeline,
    const struct bounds *bounds, uint64_t deadline_ns)
{
    uint32_t timeout, from;
    uint64_t limit_ns = find_deadline(pipeline, bounds, deadline_ns, &timeout);
    from = timeout < pipeline->count ? timeout + 1 : 0;
    uint64_t wants_ns = bounds->takes_ns[from];
    prose_say(prose, "  latency        ");
    if (wants_ns == WEIR_NEVER && limit_ns == WEIR_NEVER) {
        prose_say(prose, "unbounded: no timeout around it all, and no deadline is known");
    } else if (wants_ns == WEIR_NEVER) {
        prose_say(prose, "%s, the deadline: nothing inside ends earlier", duration_text(limit_ns).text);
    } else if (limit_ns == WEIR_NEVER) {
        prose_say(
            prose, "%s; no timeout around it all, and no deadline is known", duration_text(wants_ns).text);
    } else if (wants_ns > limit_ns) {
        prose_say(prose, "%s, the deadline: it cuts off timeouts, waits and back-offs of %s",
            duration_text(limit_ns).text, duration_text(wants_ns).text);
    } else {
        prose_say(prose, "%s, within the deadline of %s", duration_text(wants_ns).text,
            duration_text(limit_ns).text);
    }
    if (timeout < pipeline->count) prose_say(prose, " (%s)", policy_text(pipeline->policy[timeout]).text);
    else if (limit_ns != WEIR_NEVER) prose_say(prose, " (the callers')");
    say_waits(prose, pipeline, from);
    prose_say(prose, "\n");
}

static void say_findings(struct prose *prose, const struct weir_pipeline *pipeline, uint64_t deadline_ns)
{
    struct weir_finding findings[FINDINGS_SHOWN];
    size_t count = weir_pipeline_lint(pipeline, deadline_ns, findings, FINDINGS_SHOWN);
    if (count == 0) {
        prose_say(prose, "findings: none\n");
        return;
    }
    prose_say(prose, "findings:\n");
    for (size_t i = 0; i < count && i < FINDINGS_SHOWN; i++) {
        prose_say(prose, "  %2u  %s\n", findings[i].position, findings[i].text);
    }
    if (count > FINDINGS_SHOWN) prose_say(prose, "  and %zu more\n", count - FINDINGS_SHOWN);
}

size_t pipeline_explain(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, uint64_t now_ns, char *buffer, size_t size)
{
    struct prose prose = { buffer, size, 0 };
    struct bounds bounds;
    bounds_find(pipeline, deadline_ns, &bounds);
    say_order(&prose, pipeline, now_ns);
    say_attempts(&prose, pipeline, &bounds);
    say_latency(&prose, pipeline, &bounds, deadline_ns);
    say_findings(&prose, pipeline, deadline_ns);
    return prose.length;
}
