/* The call machine, step by step: what a driver is told and what it tells. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

static struct weir_pipeline *create_pipeline(void)
{
    struct weir_policy *order[3];
    struct weir_pipeline *pipeline;
    EXPECT(weir_retry_create(
               WEIR_CONFIG(weir_retry_config, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 10 * WEIR_MS),
               &order[0]) == WEIR_E_NONE);
    EXPECT(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1), &order[1]) == WEIR_E_NONE);
    EXPECT(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 100 * WEIR_MS), &order[2]) ==
        WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, order, 3, &pipeline) == WEIR_E_NONE);
    for (int i = 0; i < 3; i++) weir_policy_release(order[i]);
    return pipeline;
}

int main(void)
{
    struct weir_pipeline *pipeline = create_pipeline();
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);

    /* RUN: start the attempt; look again at its deadline. */
    struct weir_call call;
    struct weir_step step =
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), now_ns);
    EXPECT(step.action == WEIR_RUN && step.attempt == 1 && step.at_ns == now_ns + 100 * WEIR_MS);

    /* It failed. WAIT: back off, look again at that instant. */
    now_ns += 20 * WEIR_MS;
    step = weir_call_settle(&call, step.attempt, weir_from_errno(EIO), now_ns);
    EXPECT(step.action == WEIR_WAIT && step.at_ns == now_ns + 10 * WEIR_MS);

    /* An early look is legal and changes nothing. */
    step = weir_call_wake(&call, now_ns + WEIR_MS);
    EXPECT(step.action == WEIR_WAIT);
    now_ns = step.at_ns;
    step = weir_call_wake(&call, now_ns);
    EXPECT(step.action == WEIR_RUN && step.attempt == 2);

    /* No answer by its deadline: the attempt is abandoned. The retry would follow, but one attempt runs at a
     * time: stop the old one and say when it has ended. Until then it keeps its permit. */
    now_ns = step.at_ns;
    step = weir_call_wake(&call, now_ns);
    EXPECT(step.action == WEIR_WAIT && step.pending == 1);
    EXPECT((step.abandon_mask & WEIR_ABANDONED_OPERATION) != 0);
    now_ns += 5 * WEIR_MS;
    step = weir_call_settle(&call, 2, weir_from_errno(ECANCELED), now_ns);
    EXPECT(step.action == WEIR_WAIT && step.pending == 0);

    /* The third attempt answers. DONE: the call is over. */
    now_ns = step.at_ns;
    step = weir_call_wake(&call, now_ns);
    EXPECT(step.action == WEIR_RUN && step.attempt == 3);
    step = weir_call_settle(&call, step.attempt, weir_from_errno(0), now_ns + WEIR_MS);
    EXPECT(step.action == WEIR_DONE && step.pending == 0);
    EXPECT(weir_call_outcome(&call).status == WEIR_OK);

    EXPECT(weir_pipeline_stats(pipeline).in_flight == 0);
    weir_pipeline_destroy(pipeline); /* would abort while a call is in it */
    return 0;
}
