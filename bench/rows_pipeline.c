/* Calls through a pipeline of five: timeout, retry, breaker, rate, bulkhead. */
#include "bench.h"
#include "operation.h"

#include <weir/weir.h>

struct shape {
    enum weir_timing timing;
    enum weir_form form;
    bool without_retry;
    enum { NO_CHAOS, CHAOS_OFF, CHAOS_ON } chaos; /* on: one call in a million waits for 1 us */
};

static void *make(struct shape shape)
{
    struct weir_policy *order[6] = { NULL };
    struct weir_pipeline *pipeline;
    size_t count = 0;
    created(weir_timeout_create(NULL, &order[count++]), "a timeout");
    if (!shape.without_retry) {
        created(weir_retry_create(NULL, &order[count++]), "a retry");
    }
    created(weir_breaker_create(NULL, &order[count++]), "a breaker");
    created(weir_rate_create(
                WEIR_CONFIG(weir_rate_config, .permits = 1000000000, .burst = 1000000000, .form = shape.form),
                &order[count++]),
        "a rate limit");
    created(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .form = shape.form), &order[count++]),
        "a bulkhead");
    if (shape.chaos != NO_CHAOS) {
        created(weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .latency_ppm = 1, .latency_max_ns = WEIR_US,
                                      .off = shape.chaos == CHAOS_OFF),
                    &order[count++]),
            "a chaos");
    }
    created(weir_pipeline_create(
                WEIR_CONFIG(weir_pipeline_config, .timing = shape.timing), order, count, &pipeline),
        "a pipeline");
    while (count > 0) {
        weir_policy_release(order[--count]);
    }
    return pipeline;
}

static void *standard(void)
{
    return make((struct shape) { .timing = WEIR_TIMING_AUTO });
}

static void *coarse(void)
{
    return make((struct shape) { .timing = WEIR_TIMING_COARSE });
}

static void *fast(void)
{
    return make((struct shape) { .timing = WEIR_TIMING_FAST });
}

static void *single_word(void)
{
    return make((struct shape) { .form = WEIR_FORM_SINGLE });
}

static void *without_retry(void)
{
    return make((struct shape) { .without_retry = true });
}

static void *chaos_off(void)
{
    return make((struct shape) { .chaos = CHAOS_OFF });
}

static void *chaos_on(void)
{
    return make((struct shape) { .chaos = CHAOS_ON });
}

static void *empty(void)
{
    struct weir_pipeline *pipeline;
    created(weir_pipeline_create(NULL, NULL, 0, &pipeline), "an empty pipeline");
    return pipeline;
}

static void destroy(void *pipeline)
{
    weir_pipeline_destroy(pipeline);
}

static uint64_t run(void *pipeline, uint64_t n)
{
    weir_operation *operation = operation_ok;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        fine += weir_run(pipeline, NULL, operation, pipeline).status == WEIR_OK;
    }
    return fine;
}

/* The clock that is given moves by a nanosecond a call. */
static uint64_t run_given(void *pipeline, uint64_t n)
{
    weir_operation *operation = operation_ok;
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        fine += weir_run_at(pipeline, NULL, operation, pipeline, now_ns).status == WEIR_OK;
    }
    return fine;
}

/* A driver of its own, as an event loop would be. */
static uint64_t steps_given(void *pipeline, uint64_t n)
{
    weir_operation *operation = operation_ok;
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_call call;
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        struct weir_step step = weir_call_begin(&call, pipeline, NULL, now_ns);
        while (step.action == WEIR_RUN) {
            struct weir_outcome outcome = operation(pipeline, &call.attempt);
            step = weir_call_settle(&call, step.attempt, outcome, now_ns);
        }
        fine += step.action == WEIR_DONE && call.outcome.status == WEIR_OK;
    }
    return fine;
}

/* Begin and settle alone: there is no operation. */
static uint64_t steps_empty(void *pipeline, uint64_t n)
{
    const struct weir_outcome ok = { .status = WEIR_OK };
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_call call;
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        struct weir_step step = weir_call_begin(&call, pipeline, NULL, now_ns);
        fine += weir_call_settle(&call, step.attempt, ok, now_ns).action == WEIR_DONE;
    }
    return fine;
}

#define ROW(row, count, run, create, ...)                                            \
    {                                                                                \
        .name = row, .threads = count, .work = { run, create, destroy }, __VA_ARGS__ \
    }

const struct row pipeline_rows[] = {
    ROW("pipeline5/default", 1, run, standard, .reach_unit = 1.5),
    ROW("pipeline5/coarse", 1, run, coarse, .reach_unit = 0.95),
    ROW("pipeline5/given", 1, run_given, standard, .reach_unit = 0.65),
    ROW("pipeline5/fast", 1, run, fast, .reach_unit = 1.15),
    ROW("pipeline5/steps/given", 1, steps_given, standard, .reach_unit = 0.75),
    ROW("pipeline5/default", 2, run, standard, .reach_unit = 2.2),
    ROW("pipeline5/single-word", 2, run, single_word, ),
    ROW("chaos/off", 1, run, chaos_off, ),
    ROW("chaos/on", 1, run, chaos_on, ),
    ROW("retry/first-ok", 1, run_given, standard, .without = { run_given, without_retry, destroy },
        .reach_unit = 0.05),
    ROW("machine/empty", 1, steps_empty, empty, .reach_unit = 0.28),
    { .name = NULL },
};
