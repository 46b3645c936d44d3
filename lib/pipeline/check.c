/* Protection that exists in name only, found in what has passed a pipeline so far.
 *
 * The hot path counts exceptions and nothing more, so each finding is derived:
 *     NEVER_PASSED  no operation has ever run, and who refused is known: nobody passed that policy, nor those
 *                   inside it. Or an operator has disabled it.
 *     NEVER_FAILS   calls ended FAILED, EXPIRED, OVERLOADED or IGNORED (CANCELED says nothing), or a fallback
 *                   hid such ends, and the breaker has counted no failure.
 *     UNREACHABLE   on average a window holds fewer calls than the breaker's rates need, and no number of
 *                   failures in a row trips it.
 *     KEYLESS       a gate that goes by keys has refused calls without one, and none with one.
 *     TIMEOUT       calls ended by their own deadline, none by this timeout.
 * Fewer than ENOUGH calls prove nothing. A policy that other pipelines share counts theirs too: then a finding
 * may be missed, none is invented. */
#include "base/arithmetic.h"
#include "pipeline/bounds.h"
#include "pipeline/findings.h"
#include "policy/breaker.h"

#include <weir/bulkhead.h>
#include <weir/fallback.h>
#include <weir/gate.h>
#include <weir/rate.h>
#include <weir/timeout.h>

#define ENOUGH 10

struct check {
    const struct weir_pipeline *pipeline;
    struct weir_pipeline_stats stats;
    uint64_t now_ns;
    struct findings findings;
};

static struct policy_text name_at(const struct check *check, uint32_t position)
{
    return policy_short(check->pipeline->policy[position]);
}

/* ---- a policy no call has passed ---- */

/* Calls that asked the policy and were not let in. A fallback may have hidden their refusals from the
 * pipeline's own counters, so the policy's are asked. */
static uint64_t turned_away(const struct check *check, uint32_t position)
{
    const struct weir_policy *policy = check->pipeline->policy[position];
    switch ((enum policy_kind)policy->head->kind) {
    case POLICY_BREAKER: {
        struct weir_breaker_stats stats = weir_breaker_stats(policy, check->now_ns);
        return stats.refused_open + stats.refused_probes + stats.refused_ramp + stats.refused_forced;
    }
    case POLICY_BULKHEAD: {
        struct weir_bulkhead_stats stats = weir_bulkhead_stats(policy);
        return stats.refused_full + stats.refused_queue_full + stats.refused_nested + stats.refused_forced +
            stats.left;
    }
    case POLICY_RATE: {
        struct weir_rate_stats stats = weir_rate_stats(policy, check->now_ns);
        return stats.refused + stats.refused_wait + stats.refused_forced;
    }
    case POLICY_GATE: {
        struct weir_gate_stats stats = weir_gate_stats(policy);
        return stats.refused + stats.refused_keyless + stats.refused_forced;
    }
    default: break;
    }
    return time_max(check->stats.refused_by[position], counters_sum(policy->counters, POLICY_REFUSED_FORCED));
}

/* Whoever came as far as the innermost policy that turned calls away passed those outside it. What the pipeline
 * itself has counted goes before what a policy has, which may be by other pipelines, or alone. */
static uint32_t wall_of(const struct check *check)
{
    uint32_t count = check->pipeline->count, counted = count, wall = count;
    for (uint32_t i = 0; i < count; i++) {
        if (check->stats.refused_by[i] != 0) counted = i;
        if (turned_away(check, i) != 0) wall = i;
    }
    return counted != count ? counted : wall;
}

static void nothing_ran(struct check *check)
{
    uint32_t count = check->pipeline->count, wall = wall_of(check);
    for (uint32_t i = wall == count ? 0 : wall; i < count; i++) {
        if (i == wall) {
            findings_add(&check->findings, WEIR_FINDING_INERT_NEVER_PASSED, i,
                "%s let none of %" PRIu64 " calls pass: look at its mode, its limit and what it refuses for",
                name_at(check, i).text, check->stats.begun);
        } else if (wall == count) {
            findings_add(&check->findings, WEIR_FINDING_INERT_NEVER_PASSED, i,
                "none of %" PRIu64 " calls came to %s: their contexts were over, or the pipeline was drained",
                check->stats.begun, name_at(check, i).text);
        } else {
            findings_add(&check->findings, WEIR_FINDING_INERT_NEVER_PASSED, i,
                "none of %" PRIu64 " calls came to %s: %s, outside it, let none pass", check->stats.begun,
                name_at(check, i).text, name_at(check, wall).text);
        }
    }
}

static void never_passed(struct check *check)
{
    if (check->stats.attempts == 0 && check->stats.in_flight == 0) {
        nothing_ran(check);
        return;
    }
    for (uint32_t i = 0; i < check->pipeline->count; i++) {
        if (weir_policy_mode(check->pipeline->policy[i]) != WEIR_MODE_DISABLED) continue;
        if (policy_is(check->pipeline, i, POLICY_CHAOS)) continue; /* it protects nothing */
        findings_add(&check->findings, WEIR_FINDING_INERT_NEVER_PASSED, i,
            "%s is disabled: calls go by without asking it; set its mode to ON", name_at(check, i).text);
    }
}

/* ---- a breaker for which nothing is a failure ---- */

static uint64_t hidden(const struct check *check, enum weir_status status)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < check->pipeline->count; i++) {
        if (!policy_is(check->pipeline, i, POLICY_FALLBACK)) continue;
        sum += weir_fallback_stats(check->pipeline->policy[i]).hidden[status];
    }
    return sum;
}

static void never_fails(struct check *check, uint32_t breaker)
{
    const struct weir_policy *policy = check->pipeline->policy[breaker];
    const struct breaker_config *config = policy->config;
    struct weir_breaker_stats stats = weir_breaker_stats(policy, check->now_ns);
    if (stats.counted_failed + stats.counted_slow + stats.opened != 0) return;
    const uint64_t *ended = check->stats.ended;
    uint64_t failed = ended[WEIR_FAILED] + hidden(check, WEIR_FAILED);
    uint64_t expired = ended[WEIR_EXPIRED] + hidden(check, WEIR_EXPIRED);
    uint64_t overloaded = ended[WEIR_OVERLOADED] + hidden(check, WEIR_OVERLOADED),
             ignored = ended[WEIR_IGNORED];
    if (config->overload_open_ns_max != 0) overloaded = 0; /* those may open it */
    if (failed + expired + overloaded + ignored < ENOUGH) return;
    findings_add(&check->findings, WEIR_FINDING_INERT_NEVER_FAILS, breaker,
        "%s counted no failure, yet %" PRIu64 " calls failed, %" PRIu64 " expired, %" PRIu64
        " were overloaded, "
        "%" PRIu64 " ignored: look at the outcomes it is given",
        name_at(check, breaker).text, failed, expired, overloaded, ignored);
}

/* ---- a threshold the traffic can never reach ---- */

/* How many calls a window held on average, rounded up: from the first call that did not go well (the breaker
 * knows no earlier instant) to now, with all calls before it counted in, so never too few. 0: not known. */
static uint64_t typical_window(const struct check *check, uint32_t breaker)
{
    const struct weir_policy *policy = check->pipeline->policy[breaker];
    const struct breaker_config *config = policy->config;
    const struct breaker_state *state = policy->state;
    struct weir_breaker_stats stats = weir_breaker_stats(policy, check->now_ns);
    uint64_t since_ns = atomic_load_relaxed(&state->changed_ns);
    uint64_t window_ns = config->bucket_ns * WINDOW_BUCKETS, watched_ns = time_since(check->now_ns, since_ns);
    uint64_t calls = stats.counted_ok + stats.counted_failed;
    if (stats.opened != 0 || since_ns == 0 || watched_ns < time_max(window_ns, 1) || calls < ENOUGH) return 0;
    unsigned __int128 share = (unsigned __int128)calls * window_ns;
    return time_max((uint64_t)((share + watched_ns - 1) / watched_ns), stats.calls);
}

static void unreachable(struct check *check, uint32_t breaker)
{
    const struct breaker_config *config = check->pipeline->policy[breaker]->config;
    if (config->consecutive != 0) return; /* so many in a row trip it, however slowly they come */
    uint64_t calls = typical_window(check, breaker);
    if (calls == 0 || calls >= config->calls_min) return;
    findings_add(&check->findings, WEIR_FINDING_INERT_UNREACHABLE, breaker,
        "%s judges from %u calls on, but its window of %s holds about %" PRIu64
        ": lower calls_min, widen the window or set consecutive",
        name_at(check, breaker).text, config->calls_min,
        duration_text(config->bucket_ns * WINDOW_BUCKETS).text, calls);
}

/* ---- a gate that goes by keys, for calls without ---- */

static void keyless(struct check *check, uint32_t gate)
{
    struct weir_gate_stats stats = weir_gate_stats(check->pipeline->policy[gate]);
    if (stats.refused != 0 || stats.refused_keyless < ENOUGH) return;
    findings_add(&check->findings, WEIR_FINDING_INERT_KEYLESS, gate,
        "%s goes by keys, but refused %" PRIu64 " calls that bear none: set weir_call_options.key",
        name_at(check, gate).text, stats.refused_keyless);
}

/* ---- a timeout longer than the callers' deadlines ---- */

/* Calls ended by their own deadline, at least: those that timeouts ended and those that left a queue are taken
 * off, though some were tried again. */
static uint64_t ended_by_deadline(const struct check *check)
{
    uint64_t others = 0;
    for (uint32_t i = 0; i < check->pipeline->count; i++) {
        const struct weir_policy *policy = check->pipeline->policy[i];
        if (policy->head->kind == POLICY_TIMEOUT) others += weir_timeout_stats(policy).expired;
        if (policy->head->kind != POLICY_BULKHEAD) continue;
        struct weir_bulkhead_stats stats = weir_bulkhead_stats(policy);
        others += time_since(stats.left, stats.refused_wait);
    }
    return time_since(check->stats.ended[WEIR_EXPIRED], others);
}

static void idle_timeout(struct check *check, uint32_t timeout)
{
    struct weir_timeout_stats stats = weir_timeout_stats(check->pipeline->policy[timeout]);
    uint64_t expired = ended_by_deadline(check);
    if (stats.expired != 0 || expired < ENOUGH) return;
    findings_add(&check->findings, WEIR_FINDING_INERT_TIMEOUT, timeout,
        "%s of %s ended nothing while %" PRIu64 " calls ran into their own deadline: make it shorter",
        name_at(check, timeout).text, duration_text(stats.timeout_ns).text, expired);
}

size_t weir_pipeline_check(
    const struct weir_pipeline *pipeline, uint64_t now_ns, struct weir_finding *findings, size_t max)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_check", "pipeline is NULL");
    if (max != 0) WEIR_REQUIRE(findings != NULL, "weir_pipeline_check", "findings is NULL");
    struct check check = { .pipeline = pipeline,
        .stats = weir_pipeline_stats(pipeline),
        .now_ns = now_ns,
        .findings = { findings, max, 0 } };
    if (check.stats.begun < ENOUGH) return 0;
    never_passed(&check);
    for (uint32_t i = 0; i < pipeline->count; i++) {
        if (policy_is(pipeline, i, POLICY_GATE)) keyless(&check, i);
    }
    for (uint32_t i = 0; i < pipeline->count && check.stats.attempts != 0; i++) {
        if (weir_policy_mode(pipeline->policy[i]) == WEIR_MODE_DISABLED) continue;
        if (policy_is(pipeline, i, POLICY_BREAKER)) {
            never_fails(&check, i);
            unreachable(&check, i);
        } else if (policy_is(pipeline, i, POLICY_TIMEOUT)) {
            idle_timeout(&check, i);
        }
    }
    return check.findings.count;
}
