/* What a gate costs a call that it lets in: a pipeline with nothing else, with and without it. */
#include "bench.h"
#include "operation.h"

#include <weir/weir.h>

static void *make(size_t count, enum weir_gate_by by, uint32_t share)
{
    struct weir_policy *gate;
    struct weir_pipeline *pipeline;
    created(weir_gate_create(WEIR_CONFIG(weir_gate_config, .by = by, .share = share), &gate), "a gate");
    created(weir_pipeline_create(NULL, &gate, count, &pipeline), "a pipeline");
    weir_policy_release(gate);
    return pipeline;
}

/* All but one in a million: what is drawn and looked up is the same, and next to none is refused. */
static void *by_call(void)
{
    return make(1, WEIR_GATE_BY_CALL, 100 * WEIR_PERCENT - 1);
}

static void *by_key(void)
{
    return make(1, WEIR_GATE_BY_KEY, 100 * WEIR_PERCENT - 1);
}

static void *open_wide(void)
{
    return make(1, WEIR_GATE_BY_CALL, 100 * WEIR_PERCENT);
}

static void *without(void)
{
    return make(0, WEIR_GATE_BY_CALL, 100 * WEIR_PERCENT);
}

static void destroy(void *pipeline)
{
    weir_pipeline_destroy(pipeline);
}

/* The clock that is given moves by a nanosecond a call, and so does the key. */
static uint64_t run(void *pipeline, uint64_t n)
{
    weir_operation *operation = operation_ok;
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_call_options options = weir_call_options_init();
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        options.key = now_ns;
        struct weir_outcome outcome = weir_run_at(pipeline, &options, operation, pipeline, now_ns);
        fine += outcome.status == WEIR_OK || outcome.reason == WEIR_REASON_GATE;
    }
    return fine;
}

#define ROW(row, create, ...)                                                \
    {                                                                        \
        .name = "gate/" row, .threads = 1, .work = { run, create, destroy }, \
        .without = { run, without, destroy }, __VA_ARGS__                    \
    }

const struct row gate_rows[] = {
    ROW("open", open_wide, .reach_unit = 0.1),
    ROW("call", by_call, .reach_unit = 0.3),
    ROW("key", by_key, .reach_unit = 0.15),
    { .name = NULL },
};
