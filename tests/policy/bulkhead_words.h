/* Words for the bulkhead's tests: calls that hold, wait and leave, at instants that the test chooses. */
#ifndef WEIR_TEST_BULKHEAD_WORDS_H
#define WEIR_TEST_BULKHEAD_WORDS_H

#include "support/test.h"

#include <weir/bulkhead.h>
#include <weir/pipeline.h>

#define START (1000 * WEIR_S)

/* A call, how often its waker was posted, and what its last step was. */
struct guest {
    struct weir_call call;
    struct weir_step step;
    uint32_t posts;
};

static inline void guest_post(void *argument)
{
    ((struct guest *)argument)->posts++;
}

static inline struct weir_policy *bulkhead_of(const struct weir_bulkhead_config *config)
{
    struct weir_policy *bulkhead = NULL;
    CHECK_EQ(weir_bulkhead_create(config, &bulkhead), WEIR_E_NONE);
    return bulkhead;
}
#define BULKHEAD(...) bulkhead_of(WEIR_CONFIG(weir_bulkhead_config, __VA_ARGS__))

/* A pipeline of the bulkhead alone; it keeps the only reference. */
static inline struct weir_pipeline *around(struct weir_policy *bulkhead)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, &bulkhead, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(bulkhead);
    return pipeline;
}

static inline struct weir_bulkhead_stats stats_of(const struct weir_pipeline *pipeline)
{
    return weir_bulkhead_stats(weir_pipeline_policy(pipeline, 0));
}

static inline enum weir_action come(struct guest *guest, const struct weir_pipeline *pipeline,
    uint32_t weight, const struct weir_context *context, uint64_t now_ns)
{
    struct weir_call_options options = {
        .size = sizeof options, .weight = weight, .context = context, .waker = { guest_post, guest }
    };
    guest->posts = 0;
    guest->step = weir_call_begin(&guest->call, pipeline, &options, now_ns);
    return (enum weir_action)guest->step.action;
}

static inline enum weir_action look(struct guest *guest, uint64_t now_ns)
{
    guest->step = weir_call_wake(&guest->call, now_ns);
    return (enum weir_action)guest->step.action;
}

static inline void go(struct guest *guest, uint64_t now_ns)
{
    struct weir_outcome ok = { .status = WEIR_OK };
    guest->step = weir_call_settle(&guest->call, guest->step.attempt, ok, now_ns);
    CHECK_EQ(guest->step.action, WEIR_DONE);
}

static inline void check_refused(const struct guest *guest, enum weir_reason reason)
{
    CHECK_EQ(guest->step.action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&guest->call).status, WEIR_REJECTED);
    CHECK_EQ(weir_call_outcome(&guest->call).reason, reason);
}

static inline void check_empty(const struct weir_pipeline *pipeline)
{
    struct weir_bulkhead_stats stats = stats_of(pipeline);
    CHECK_EQ(stats.in_use, 0);
    CHECK_EQ(stats.waiting, 0);
    CHECK_EQ(stats.queued, stats.handed_over + stats.left);
}

/* Every test of a queue runs in both forms. */
#define IN_BOTH_FORMS(form) for (enum weir_form form = WEIR_FORM_SINGLE; form <= WEIR_FORM_SHARDED; form++)

#endif
