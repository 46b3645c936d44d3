/* The folded deadline of the fast lists against the walk of the full list: any order of timeouts and of
 * fallbacks that keep time back, under any deadline of the caller. */
#include "pipeline/machine_words.h"

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % bound;
}

static uint64_t first_deadline(struct weir_pipeline *pipeline, const struct weir_context *context)
{
    struct weir_call call;
    struct weir_call_options options = { .size = sizeof options, .context = context };
    struct weir_step step = weir_call_begin(&call, pipeline, &options, START);
    if (step.action == WEIR_DONE) return 0;
    uint64_t deadline_ns = weir_call_attempt(&call)->deadline_ns;
    CHECK_EQ(step.at_ns, deadline_ns);
    if (step.what == WEIR_FALLBACK) deadline_ns++; /* what is kept back is more than there is */
    CHECK_EQ(weir_call_settle(&call, step.attempt, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    return deadline_ns;
}

TEST(compile, the_folded_deadline_is_that_of_the_walk)
{
    uint64_t random = 77;
    for (int round = 0; round < 3000; round++) {
        struct weir_policy *order[7], *idle = nobody();
        size_t count = 1 + draw(&random, 6);
        for (size_t i = 0; i < count - 1; i++) {
            uint64_t some_ns = (1 + draw(&random, 50)) * WEIR_MS;
            if (draw(&random, 2) == 0) order[i] = POLICY(timeout, .timeout_ns = some_ns);
            else order[i] = POLICY(fallback, .function = light, .reserve_ns = some_ns / 4);
        }
        order[count - 1] = idle; /* the innermost: what is inside a custom policy is not folded */
        struct weir_pipeline *pipeline = pipeline_of(order, count);
        struct weir_context context;
        uint64_t lot = draw(&random, 4);
        weir_context_child(&context, NULL, lot == 0 ? WEIR_NEVER : START + lot * 20 * WEIR_MS, NULL);
        uint64_t folded_ns = first_deadline(pipeline, &context);
        weir_policy_set_mode(idle, WEIR_MODE_DISABLED);
        CHECK_EQ(folded_ns, first_deadline(pipeline, &context));
        weir_pipeline_destroy(pipeline);
    }
}

TEST(compile, the_shortest_timeout_counts_and_names_itself)
{
    for (int inner = 0; inner < 2; inner++) {
        struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = (inner ? 9 : 3) * WEIR_S),
            POLICY(timeout, .timeout_ns = (inner ? 3 : 9) * WEIR_S));
        struct weir_call call;
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).at_ns, START + 3 * WEIR_S);
        CHECK_EQ(weir_call_wake(&call, START + 3 * WEIR_S).action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).by, 1 + inner);
        CHECK_EQ(weir_timeout_stats(weir_pipeline_policy(pipeline, (size_t)inner)).expired, 1);
        CHECK_EQ(weir_timeout_stats(weir_pipeline_policy(pipeline, (size_t)!inner)).expired, 0);
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(compile, a_mode_reaches_every_pipeline_of_its_policy_and_leaves_them_again)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *one = PIPELINE(weir_policy_acquire(bulkhead)), *two = PIPELINE(bulkhead);
    for (int round = 0; round < 3; round++) {
        struct weir_call call;
        weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
        CHECK_EQ(weir_call_begin(&call, one, NULL, START).action, WEIR_DONE);
        CHECK_EQ(weir_call_begin(&call, two, NULL, START).action, WEIR_DONE);
        weir_policy_set_mode(bulkhead, WEIR_MODE_ON);
        CHECK_EQ(weir_call_begin(&call, one, NULL, START).action, WEIR_RUN);
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
        CHECK_EQ(weir_call_begin(&call, two, NULL, START).action, WEIR_RUN);
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    }
    weir_pipeline_destroy(one);
    weir_pipeline_destroy(two);
}
