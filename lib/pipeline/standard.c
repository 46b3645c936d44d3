/* The pipeline that is safe as it is: timeout, retry with a budget, breaker, bulkhead, timeout of the attempt. */
#include "base/arithmetic.h"
#include "pipeline/preset.h"
#include "policy/fallback.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/retry.h>
#include <weir/timeout.h>

static const char type[] = "weir_standard_config";

static enum weir_error validate(struct weir_standard_config *c)
{
    const uint64_t day = 86400 * WEIR_S;
    enum weir_error error = error_range(type, "deadline_ns", &c->deadline_ns, WEIR_S, WEIR_US, day);
    if (error != WEIR_E_NONE) return error;
    uint64_t half_ns = time_max(c->deadline_ns / 2, WEIR_US);
    error = error_range(type, "attempt_ns", &c->attempt_ns, half_ns, WEIR_US, c->deadline_ns);
    if (error == WEIR_E_NONE) error = error_range32(type, "attempts", &c->attempts, 3, 1, WEIR_ATTEMPTS_MAX);
    if (error == WEIR_E_NONE) error = error_range32(type, "concurrency", &c->concurrency, 64, 1, 1000000);
    if (error == WEIR_E_NONE) error = error_timing(type, c->timing);
    if (error == WEIR_E_NONE && c->result_size != 0) {
        error = error_range32(type, "result_size", &c->result_size, 0, 1, WEIR_RESULT_MAX);
    }
    if (error == WEIR_E_NONE && c->queue != 0) error = error_range32(type, "queue", &c->queue, 0, 1, 4095);
    return error;
}

/* Callers of the preset have not said how long their callee is away: look again soon, come back quickly. */
#define OPEN_MAX_NS (5 * WEIR_S)
#define RAMP_NS WEIR_S

enum { DEADLINE, RETRY, BREAKER, BULKHEAD, ATTEMPT, PARTS };

/* What suits a second is scaled down for shorter deadlines: who queues gives up after half of what an attempt
 * leaves of it; back-offs begin at a twentieth. */
static enum weir_error make(
    const struct weir_standard_config *c, const char *name, struct weir_policy *part[PARTS])
{
    uint64_t wait_ns = time_max((c->deadline_ns - c->attempt_ns) / 2, 1);
    uint64_t base_ns = time_min(time_max(c->deadline_ns / 20, WEIR_US), 50 * WEIR_MS);
    enum weir_error error =
        weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .name = part_name(name, "deadline").text,
                                .timeout_ns = c->deadline_ns),
            &part[DEADLINE]);
    if (error == WEIR_E_NONE) {
        error = weir_retry_create(WEIR_CONFIG(weir_retry_config, .name = part_name(name, "retry").text,
                                      .attempts = c->attempts, .base_ns = base_ns),
            &part[RETRY]);
    }
    if (error == WEIR_E_NONE) {
        error = weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = part_name(name, "breaker").text,
                                        .open_max_ns = OPEN_MAX_NS, .ramp_ns = RAMP_NS),
            &part[BREAKER]);
    }
    if (error == WEIR_E_NONE) {
        error =
            weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .name = part_name(name, "bulkhead").text,
                                     .limit = c->concurrency, .queue = c->queue, .wait_max_ns = wait_ns),
                &part[BULKHEAD]);
    }
    if (error == WEIR_E_NONE) {
        error = weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .name = part_name(name, "attempt").text,
                                        .timeout_ns = c->attempt_ns),
            &part[ATTEMPT]);
    }
    return error;
}

static enum weir_error validate_fallback(const struct weir_policy *policy)
{
    if (policy == NULL || policy->head->kind == POLICY_FALLBACK) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID, "%s.fallback is a %s, expected a fallback", type, policy->ops->kind);
}

/* A fallback that keeps time for its function keeps it of the call's; any other answers also when that is over. */
static size_t arrange(const struct weir_standard_config *c, struct weir_policy *const part[PARTS],
    struct weir_policy *order[PARTS + 2])
{
    size_t count = 0;
    bool within = c->fallback != NULL;
    if (within) within = ((const struct fallback_config *)c->fallback->config)->reserve_ns != 0;
    if (c->fallback != NULL && !within) order[count++] = weir_policy_acquire(c->fallback);
    order[count++] = part[DEADLINE];
    if (within) order[count++] = weir_policy_acquire(c->fallback);
    for (int i = RETRY; i < PARTS; i++) order[count++] = part[i];
    if (c->innermost != NULL) order[count++] = weir_policy_acquire(c->innermost);
    return count;
}

enum weir_error weir_pipeline_standard(
    const struct weir_standard_config *given, struct weir_pipeline **pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_standard", "pipeline is NULL");
    struct weir_standard_config c;
    struct weir_policy *part[PARTS] = { NULL }, *order[PARTS + 2];
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = error_name(type, c.name, "standard", name);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error == WEIR_E_NONE) error = validate_fallback(c.fallback);
    if (error != WEIR_E_NONE) return error;
    error = make(&c, name, part);
    size_t count = arrange(&c, part, order);
    return preset_finish(error,
        WEIR_CONFIG(weir_pipeline_config, .name = name, .timing = c.timing, .clock = c.clock, .sink = c.sink,
            .classifier = c.classifier, .result_size = c.result_size),
        order, count, pipeline);
}
