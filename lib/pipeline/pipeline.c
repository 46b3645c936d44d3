/* Pipelines: made from an order, taken apart again. */
#include "base/lock.h"
#include "pipeline/machine.h"
#include "policy/fallback.h"

#include <stdlib.h>
#include <string.h>

static const char type[] = "weir_pipeline_config";

static enum weir_error check_order(
    struct weir_policy *const *order, size_t count, const struct weir_pipeline_config *config)
{
    if (count > WEIR_POLICIES_MAX) {
        return error_set(WEIR_E_LIMIT, "count is %zu, expected 0..%d policies", count, WEIR_POLICIES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (order[i] == NULL) return error_set(WEIR_E_INVALID, "order[%zu] is NULL, expected a policy", i);
        for (size_t j = 0; j < i; j++) {
            if (order[j] != order[i]) continue;
            return error_set(
                WEIR_E_INVALID, "order[%zu] and order[%zu] are the same policy, expected each once", j, i);
        }
        if (order[i]->head->kind != POLICY_FALLBACK) continue;
        const struct fallback_config *fallback = order[i]->config;
        uint32_t size = fallback->value_size;
        bool sized = size != 0 || fallback->last_good; /* a last good answer is of the result's size */
        if (sized && size != config->result_size) {
            return error_set(WEIR_E_INVALID, "%s.result_size is %u, expected %u as order[%zu]'s value_size",
                type, config->result_size, size, i);
        }
    }
    return WEIR_E_NONE;
}

static enum weir_error check_config(const struct weir_pipeline_config *config)
{
    if (config->result_size > WEIR_RESULT_MAX) {
        return error_set(WEIR_E_INVALID, "%s.result_size is %u, expected 0..%d", type, config->result_size,
            WEIR_RESULT_MAX);
    }
    enum weir_error error = error_timing(type, config->timing);
    if (error != WEIR_E_NONE) return error;
    if (config->clock != NULL && (config->clock->now == NULL || config->clock->wait == NULL)) {
        return error_set(WEIR_E_INVALID, "%s.clock has now or wait NULL, expected both", type);
    }
    if (config->sink != NULL && config->sink->event == NULL) {
        return error_set(WEIR_E_INVALID, "%s.sink has event NULL, expected a function", type);
    }
    if (config->classifier != NULL && config->classifier->classify == NULL) {
        return error_set(WEIR_E_INVALID, "%s.classifier has classify NULL, expected a function", type);
    }
    return WEIR_E_NONE;
}

static void *zeroed(size_t size)
{
    size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *memory = aligned_alloc(CACHE_LINE, size);
    if (memory != NULL) memset(memory, 0, size);
    return memory;
}

static void discard(struct weir_pipeline *pipeline)
{
    if (pipeline == NULL) return;
    free(pipeline->events);
    free(pipeline->cold);
    free(pipeline->line);
    weir_histogram_destroy(pipeline->latency);
    free(pipeline);
}

static struct weir_pipeline *allocate(const struct weir_pipeline_config *config)
{
    struct weir_pipeline *pipeline = zeroed(sizeof *pipeline);
    if (pipeline == NULL) return NULL;
    pipeline->line = zeroed(LINES * sizeof *pipeline->line);
    pipeline->cold = zeroed(LINES * sizeof *pipeline->cold);
    if (config->sink != NULL) pipeline->events = zeroed(sizeof *pipeline->events);
    bool whole = weir_histogram_create(&pipeline->latency) == WEIR_E_NONE && pipeline->line != NULL &&
        pipeline->cold != NULL && (config->sink == NULL || pipeline->events != NULL);
    if (whole) return pipeline;
    discard(pipeline);
    return NULL;
}

static struct weir_pipeline *registry; /* under the registry's lock; a fork finds it whole */

static void forked(void)
{
    for (struct weir_pipeline *pipeline = registry; pipeline != NULL; pipeline = pipeline->next) {
        pipeline_forked(pipeline);
    }
}

/* Puts it into its policies' lists, so that a changed mode reaches it. */
static void join(struct weir_pipeline *pipeline)
{
    lock_take(&weir_registry_lock);
    weir_pipeline_notice = pipeline_notice;
    weir_pipelines_forked = forked;
    registry_watch_forks();
    pipeline->next = registry;
    atomic_store_release(&registry, pipeline);
    for (uint32_t i = 0; i < pipeline->count; i++) {
        struct policy_link *link = &pipeline->link[i];
        link->pipeline = pipeline;
        link->next = pipeline->policy[i]->links;
        pipeline->policy[i]->links = link;
    }
    pipeline_notice(pipeline);
    lock_drop(&weir_registry_lock);
}

static void part(struct weir_pipeline *pipeline)
{
    lock_take(&weir_registry_lock);
    struct weir_pipeline **place = &registry;
    while (*place != pipeline) place = &(*place)->next;
    atomic_store_release(place, pipeline->next);
    for (uint32_t i = 0; i < pipeline->count; i++) {
        struct policy_link **link = &pipeline->policy[i]->links;
        while (*link != &pipeline->link[i]) link = &(*link)->next;
        *link = pipeline->link[i].next;
    }
    lock_drop(&weir_registry_lock);
}

enum weir_error weir_pipeline_create(const struct weir_pipeline_config *given,
    struct weir_policy *const *order, size_t count, struct weir_pipeline **result)
{
    WEIR_REQUIRE(result != NULL, "weir_pipeline_create", "pipeline is NULL");
    if (count != 0) WEIR_REQUIRE(order != NULL, "weir_pipeline_create", "order is NULL");
    struct weir_pipeline_config config;
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = error_config(type, given, &config, sizeof config);
    if (error == WEIR_E_NONE) error = error_name(type, config.name, "pipeline", name);
    if (error == WEIR_E_NONE) error = check_config(&config);
    if (error == WEIR_E_NONE) error = check_order(order, count, &config);
    if (error != WEIR_E_NONE) return error;
    struct weir_pipeline *pipeline = allocate(&config);
    if (pipeline == NULL) return error_set(WEIR_E_NOMEM, "%s: out of memory", type);
    memcpy(pipeline->name, name, sizeof name);
    pipeline->count = (uint8_t)count;
    pipeline->timing = (uint8_t)config.timing;
    pipeline->result_size = config.result_size;
    if (config.clock != NULL) {
        pipeline->clock = *config.clock;
        pipeline->timing = TIMING_CUSTOM;
    }
    if (config.sink != NULL) {
        pipeline->sink = *config.sink;
        event_ring_init(pipeline->events);
    }
    if (config.classifier != NULL) {
        pipeline->classifier = *config.classifier;
        pipeline->judged = true;
    }
    for (size_t i = 0; i < count; i++) pipeline->policy[i] = weir_policy_acquire(order[i]);
    pipeline_compile(pipeline);
    join(pipeline);
    *result = pipeline;
    return WEIR_E_NONE;
}

void weir_pipeline_destroy(struct weir_pipeline *pipeline)
{
    if (pipeline == NULL) return;
    WEIR_REQUIRE(pipeline_in_flight(pipeline) == 0, "weir_pipeline_destroy", "calls are in flight");
    part(pipeline);
    for (uint32_t i = 0; i < pipeline->count; i++) weir_policy_release(pipeline->policy[i]);
    discard(pipeline);
}

const char *weir_pipeline_name(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_name", "pipeline is NULL");
    return pipeline->name;
}

size_t weir_pipeline_count(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_count", "pipeline is NULL");
    return pipeline->count;
}

struct weir_policy *weir_pipeline_policy(const struct weir_pipeline *pipeline, size_t position)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_policy", "pipeline is NULL");
    return position < pipeline->count ? pipeline->policy[position] : NULL;
}

size_t weir_pipeline_call_size(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_call_size", "pipeline is NULL");
    return sizeof(struct weir_call) + ROWS * (size_t)pipeline->result_size;
}

const struct weir_histogram *weir_pipeline_latency(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_latency", "pipeline is NULL");
    return pipeline->latency;
}

struct weir_outcome weir_call_classify(const struct weir_call *call, struct weir_outcome outcome)
{
    WEIR_REQUIRE(call != NULL, "weir_call_classify", "call is NULL");
    const struct weir_pipeline *pipeline = call->pipeline;
    if (!pipeline->judged) return outcome;
    uint8_t kept = outcome.flags & WEIR_NOT_REPEATABLE; /* a fact, and not for judging */
    outcome = pipeline->classifier.classify(pipeline->classifier.argument, outcome);
    WEIR_REQUIRE(outcome.status < WEIR_STATUSES, "weir_classifier.classify", "the answer's status is none");
    outcome.flags |= kept;
    return outcome;
}

struct weir_outcome weir_call_fallback(struct weir_call *call, void *argument)
{
    WEIR_REQUIRE(call != NULL, "weir_call_fallback", "call is NULL");
    bool asked = call->phase == PHASE_FALLING;
    WEIR_REQUIRE(asked, "weir_call_fallback", "no step asked for a fallback function");
    const struct weir_policy *policy = call->pipeline->policy[call->falling - 1];
    weir_operation *function = (weir_operation *)policy->auxiliary;
    WEIR_REQUIRE(function != NULL, "weir_call_fallback", "a policy without a function answered FALL_BACK");
    return function(argument, &call->attempt);
}

size_t weir_pipeline_deliver(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_deliver", "pipeline is NULL");
    if (pipeline->events == NULL) return 0;
    return event_ring_deliver(pipeline->events, &pipeline->sink, pipeline);
}
