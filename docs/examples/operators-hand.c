/* While it runs: shadow, disable and force a policy; then drain the pipeline. And what nesting does. */
#include "expect.h"

#include <string.h>
#include <weir/weir.h>

static struct weir_outcome answer(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* A limit on trial: it decides and counts, but refuses nobody. */
static void show_modes(struct weir_pipeline *pipeline, struct weir_policy *rate)
{
    weir_policy_set_mode(rate, WEIR_MODE_SHADOW);
    int would = 0;
    for (int i = 0; i < 50; i++) {
        struct weir_outcome outcome = weir_run(pipeline, NULL, answer, NULL);
        EXPECT(outcome.status == WEIR_OK);
        if ((outcome.flags & WEIR_SHADOW) != 0) would++;
    }
    EXPECT(would > 0);
    EXPECT(weir_rate_stats(rate, weir_pipeline_now(pipeline)).would_refuse == (uint64_t)would);

    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN); /* "stop calling that server, now" */
    EXPECT(weir_run(pipeline, NULL, answer, NULL).reason == WEIR_REASON_FORCED);
    weir_policy_set_mode(rate, WEIR_MODE_DISABLED);
    EXPECT(weir_run(pipeline, NULL, answer, NULL).status == WEIR_OK);
    weir_policy_set_mode(rate, WEIR_MODE_ON);
}

struct nest {
    struct weir_pipeline *pipeline;
    struct weir_outcome inner;
};

static struct weir_outcome call_again(void *argument, const struct weir_attempt *attempt)
{
    struct nest *nest = argument;
    (void)attempt;
    nest->inner = weir_run(nest->pipeline, NULL, answer, NULL);
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* The outer call holds the only permit: the inner one is not queued behind its own thread. */
static void show_nesting(void)
{
    struct weir_policy *bulkhead;
    struct nest nest;
    EXPECT(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1, .queue = 8), &bulkhead) ==
        WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &bulkhead, 1, &nest.pipeline) == WEIR_E_NONE);
    weir_policy_release(bulkhead);
    EXPECT(weir_run(nest.pipeline, NULL, call_again, &nest).status == WEIR_OK);
    EXPECT(nest.inner.status == WEIR_REJECTED && nest.inner.reason == WEIR_REASON_NESTED);
    weir_pipeline_destroy(nest.pipeline);
}

static void show_drain(struct weir_pipeline *pipeline)
{
    uint64_t deadline_ns = weir_now(WEIR_TIMING_PRECISE) + 5 * WEIR_S;
    EXPECT(weir_pipeline_drain(pipeline, deadline_ns) == WEIR_E_NONE); /* none was in it */
    EXPECT(weir_run(pipeline, NULL, answer, NULL).reason == WEIR_REASON_DRAINING);
    EXPECT(weir_pipeline_stats(pipeline).in_flight == 0);
    weir_pipeline_destroy(pipeline);
}

int main(void)
{
    struct weir_policy *rate;
    struct weir_pipeline *pipeline;
    EXPECT(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 1, .burst = 10), &rate) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &rate, 1, &pipeline) == WEIR_E_NONE);
    show_modes(pipeline, rate);
    weir_policy_release(rate);
    show_nesting();
    show_drain(pipeline);
    return 0;
}
