/* What is wrong with an order, from its configs alone; check.c asks the traffic. One function a finding. */
#include "base/arithmetic.h"
#include "pipeline/bounds.h"
#include "pipeline/findings.h"
#include "policy/breaker.h"
#include "policy/fallback.h"
#include "policy/retry.h"
#include "policy/timeout.h"

struct lint {
    const struct weir_pipeline *pipeline;
    struct bounds bounds;
    struct findings findings;
};

static struct policy_text name_at(const struct lint *lint, uint32_t position)
{
    return policy_short(lint->pipeline->policy[position]);
}

/* The innermost policy of a kind outside a position. False: there is none. */
static bool find_outside(const struct lint *lint, uint32_t position, enum policy_kind kind, uint32_t *found)
{
    for (uint32_t i = position; i-- > 0;) {
        if (!policy_is(lint->pipeline, i, kind)) continue;
        *found = i;
        return true;
    }
    return false;
}

/* Whose the time is that a policy finds left: "the callers' deadline", or a timeout. */
static struct policy_text left_by(const struct lint *lint, uint32_t position)
{
    int by = lint->bounds.left_by[position];
    if (by != BY_CALLER) return name_at(lint, (uint32_t)by);
    return (struct policy_text) { "the callers' deadline" };
}

static uint32_t attempts_of(const struct lint *lint, uint32_t retry)
{
    return ((const struct retry_config *)lint->pipeline->policy[retry]->config)->attempts;
}

static void retry_inside_breaker(struct lint *lint, uint32_t retry)
{
    uint32_t breaker;
    if (attempts_of(lint, retry) < 2 || !find_outside(lint, retry, POLICY_BREAKER, &breaker)) return;
    findings_add(&lint->findings, WEIR_FINDING_RETRY_INSIDE_BREAKER, retry,
        "%s is inside %s, which sees only the last of %u attempts: put the retry outside",
        name_at(lint, retry).text, name_at(lint, breaker).text, attempts_of(lint, retry));
}

static void retry_around_retry(struct lint *lint, uint32_t retry)
{
    uint32_t outer;
    if (attempts_of(lint, retry) < 2 || !find_outside(lint, retry, POLICY_RETRY, &outer)) return;
    if (attempts_of(lint, outer) < 2) return;
    findings_add(&lint->findings, WEIR_FINDING_RETRY_AROUND_RETRY, retry,
        "%s inside %s: up to %" PRIu64 " attempts for one call; keep one of them", name_at(lint, retry).text,
        name_at(lint, outer).text, lint->bounds.attempts[outer]);
}

/* Of a retry: after an attempt that took its whole time, the earliest next one would begin too late. Retries of
 * what fails quickly may still fit, unless the back-off alone is too long. */
static void retry_cannot_fit(struct lint *lint, uint32_t retry)
{
    uint64_t left_ns = lint->bounds.left_ns[retry], attempt_ns = lint->bounds.takes_ns[retry + 1];
    uint64_t backoff_ns = bounds_backoff_least(lint->pipeline->policy[retry]);
    if (attempts_of(lint, retry) < 2 || left_ns == WEIR_NEVER) return;
    if (attempt_ns == WEIR_NEVER) attempt_ns = 0; /* nothing inside it cuts an attempt off */
    if (time_add(attempt_ns, backoff_ns) < left_ns) return;
    findings_add(&lint->findings, WEIR_FINDING_RETRY_CANNOT_FIT, retry,
        "%s: an attempt with its waits (%s) and a back-off (%s) fill %s (%s); no retry follows: shorten them",
        name_at(lint, retry).text, duration_text(attempt_ns).text, duration_text(backoff_ns).text,
        left_by(lint, retry).text, duration_text(left_ns).text);
}

static void timeout_above_deadline(struct lint *lint, uint32_t timeout)
{
    const struct timeout_config *config = lint->pipeline->policy[timeout]->config;
    uint64_t left_ns = lint->bounds.left_ns[timeout];
    if (config->timeout_ns < left_ns) return;
    findings_add(&lint->findings, WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, timeout,
        "%s of %s never ends anything: %s leaves it %s; make it shorter", name_at(lint, timeout).text,
        duration_text(config->timeout_ns).text, left_by(lint, timeout).text, duration_text(left_ns).text);
}

/* A timeout inside counts only if it comes before the deadline outside. */
static void breaker_never_trips(struct lint *lint, uint32_t breaker)
{
    const struct breaker_config *config = lint->pipeline->policy[breaker]->config;
    uint64_t left_ns = lint->bounds.left_ns[breaker];
    if (left_ns >= config->late_failure_ns) return;
    if (lint->bounds.left_by[lint->pipeline->count] > (int)breaker) return;
    findings_add(&lint->findings, WEIR_FINDING_BREAKER_NEVER_TRIPS, breaker,
        "%s: %s of %s ends silent calls before they count (%s), no timeout inside does; add one",
        name_at(lint, breaker).text, left_by(lint, breaker).text, duration_text(left_ns).text,
        duration_text(config->late_failure_ns).text);
}

static void bulkhead_outside_retry(struct lint *lint, uint32_t retry)
{
    uint32_t bulkhead;
    if (attempts_of(lint, retry) < 2 || !find_outside(lint, retry, POLICY_BULKHEAD, &bulkhead)) return;
    findings_add(&lint->findings, WEIR_FINDING_BULKHEAD_OUTSIDE_RETRY, bulkhead,
        "%s is outside %s: a permit is held during back-offs of up to %s; put the bulkhead inside",
        name_at(lint, bulkhead).text, name_at(lint, retry).text,
        duration_text(bounds_backoff_most(lint->pipeline->policy[retry], attempts_of(lint, retry) - 2)).text);
}

static void fallback_inside(struct lint *lint, uint32_t fallback)
{
    const struct fallback_config *config = lint->pipeline->policy[fallback]->config;
    uint32_t outer;
    if (find_outside(lint, fallback, POLICY_RETRY, &outer)) {
        const struct retry_config *retry = lint->pipeline->policy[outer]->config;
        if (retry->attempts > 1 && (retry->on & config->on) != 0) {
            findings_add(&lint->findings, WEIR_FINDING_FALLBACK_INSIDE_RETRY, fallback,
                "%s is inside %s and hides the failures that it would retry: put the fallback outside",
                name_at(lint, fallback).text, name_at(lint, outer).text);
        }
    }
    const uint32_t failures = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED);
    if ((config->on & failures) == 0) return;
    if (!find_outside(lint, fallback, POLICY_BREAKER, &outer)) return;
    findings_add(&lint->findings, WEIR_FINDING_FALLBACK_INSIDE_BREAKER, fallback,
        "%s is inside %s and hides the failures that should trip it: put the fallback outside",
        name_at(lint, fallback).text, name_at(lint, outer).text);
}

/* What lies outside a gate is taken by those that it refuses as well: permits, tokens, a half-open breaker's probes. */
static void gate_inside(struct lint *lint, uint32_t gate)
{
    static const enum policy_kind takes[] = { POLICY_BREAKER, POLICY_BULKHEAD, POLICY_RATE };
    for (uint32_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
        uint32_t outer;
        if (!find_outside(lint, gate, takes[i], &outer)) continue;
        findings_add(&lint->findings, WEIR_FINDING_GATE_INSIDE, gate,
            "%s is inside %s, of which calls that it refuses take a part first: put the gate outside",
            name_at(lint, gate).text, name_at(lint, outer).text);
        return;
    }
}

static void wait_above_deadline(struct lint *lint, uint32_t position)
{
    uint64_t wait_ns = bounds_wait(lint->pipeline->policy[position]),
             left_ns = lint->bounds.left_ns[position];
    if (wait_ns == 0 || wait_ns < left_ns) return;
    findings_add(&lint->findings, WEIR_FINDING_WAIT_ABOVE_DEADLINE, position,
        "%s lets calls wait for %s, but %s leaves %s: who waits so long has no time left; wait less",
        name_at(lint, position).text, duration_text(wait_ns).text, left_by(lint, position).text,
        duration_text(left_ns).text);
}

static void chaos_not_innermost(struct lint *lint, uint32_t chaos)
{
    if (chaos + 1 == lint->pipeline->count) return;
    findings_add(&lint->findings, WEIR_FINDING_CHAOS_NOT_INNERMOST, chaos,
        "%s is outside %s: what is inside it is not tried; put chaos innermost", name_at(lint, chaos).text,
        name_at(lint, chaos + 1).text);
}

static void no_timeout(struct lint *lint)
{
    if (lint->bounds.left_ns[lint->pipeline->count] != WEIR_NEVER) return;
    char name[WEIR_NAME_MAX * 4 + 1];
    findings_add(&lint->findings, WEIR_FINDING_NO_TIMEOUT, 0,
        "pipeline \"%.60s\" has no timeout: a call without a deadline may take for ever; add one, outermost",
        escape(lint->pipeline->name, name, sizeof name));
}

static void lint_policy(struct lint *lint, uint32_t i)
{
    switch ((enum policy_kind)lint->pipeline->policy[i]->head->kind) {
    case POLICY_RETRY:
        retry_inside_breaker(lint, i);
        bulkhead_outside_retry(lint, i);
        retry_around_retry(lint, i);
        retry_cannot_fit(lint, i);
        break;
    case POLICY_TIMEOUT: timeout_above_deadline(lint, i); break;
    case POLICY_BREAKER: breaker_never_trips(lint, i); break;
    case POLICY_BULKHEAD:
    case POLICY_RATE: wait_above_deadline(lint, i); break;
    case POLICY_FALLBACK: fallback_inside(lint, i); break;
    case POLICY_GATE: gate_inside(lint, i); break;
    case POLICY_CHAOS: chaos_not_innermost(lint, i); break;
    case POLICY_CUSTOM: break;
    }
}

size_t weir_pipeline_lint(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, struct weir_finding *findings, size_t max)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_lint", "pipeline is NULL");
    if (max != 0) WEIR_REQUIRE(findings != NULL, "weir_pipeline_lint", "findings is NULL");
    struct lint lint = { .pipeline = pipeline, .findings = { findings, max, 0 } };
    bounds_find(pipeline, deadline_ns, &lint.bounds);
    no_timeout(&lint);
    for (uint32_t i = 0; i < pipeline->count; i++) lint_policy(&lint, i);
    return lint.findings.count;
}
