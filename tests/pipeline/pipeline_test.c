/* What a pipeline is made from: a bad order or config is refused by name, and nothing is kept of it. */
#include "pipeline/machine_words.h"

static enum weir_error create(const struct weir_pipeline_config *config, size_t count)
{
    struct weir_policy *order[WEIR_POLICIES_MAX + 1] = { NULL };
    struct weir_pipeline *pipeline = NULL;
    for (size_t i = 0; i < count; i++) order[i] = nobody();
    enum weir_error error = weir_pipeline_create(config, order, count, &pipeline);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    if (error == WEIR_E_NONE) weir_pipeline_destroy(pipeline);
    else CHECK(pipeline == NULL);
    return error;
}

TEST(pipeline, has_so_many_policies_at_most)
{
    CHECK_EQ(create(NULL, 0), WEIR_E_NONE);
    CHECK_EQ(create(NULL, WEIR_POLICIES_MAX), WEIR_E_NONE);
    CHECK_EQ(create(NULL, WEIR_POLICIES_MAX + 1), WEIR_E_LIMIT);
    CHECK_STR(weir_error_text(), "count is 17, expected 0..16 policies");
}

TEST(pipeline, an_order_without_one_of_its_policies_is_refused)
{
    struct weir_policy *order[] = { nobody(), NULL };
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, order, 2, &pipeline), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "order[1] is NULL, expected a policy");
    weir_policy_release(order[0]);
}

TEST(pipeline, a_value_of_another_size_than_the_result_is_refused)
{
    static const uint64_t value;
    struct weir_policy *fallback = NULL;
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_fallback_create(
                 WEIR_CONFIG(weir_fallback_config, .value = &value, .value_size = sizeof value), &fallback),
        WEIR_E_NONE);
    CHECK_EQ(
        weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = 4), &fallback, 1, &pipeline),
        WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "result_size is 4") != NULL);
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .result_size = sizeof value), &fallback, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(fallback);
    weir_pipeline_destroy(pipeline);
}

TEST(pipeline, a_policy_stands_in_a_pipeline_once)
{
    struct weir_policy *timeout = NULL;
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_timeout_create(NULL, &timeout), WEIR_E_NONE);
    struct weir_policy *order[] = { timeout, timeout };
    CHECK_EQ(weir_pipeline_create(NULL, order, 2, &pipeline), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "order[0] and order[1] are the same policy") != NULL);
    weir_policy_release(timeout);
}

static uint64_t now(void *argument)
{
    (void)argument;
    return START;
}

static void wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    (void)until_ns;
}

TEST(pipeline, a_clock_has_both_of_its_functions)
{
    static const struct weir_clock whole = { .now = now, .wait = wait }, deaf = { .now = now },
                                   blind = { .wait = wait };
    static const char text[] = "weir_pipeline_config.clock has now or wait NULL, expected both";
    CHECK_EQ(create(WEIR_CONFIG(weir_pipeline_config, .clock = &whole), 1), WEIR_E_NONE);
    CHECK_EQ(create(WEIR_CONFIG(weir_pipeline_config, .clock = &deaf), 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), text);
    CHECK_EQ(create(WEIR_CONFIG(weir_pipeline_config, .clock = &blind), 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), text);
}

static void count_event(void *count, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    (void)event;
    ++*(uint32_t *)count;
}

TEST(pipeline, a_sink_has_its_function)
{
    CHECK_EQ(create(WEIR_CONFIG(weir_pipeline_config, .sink = &(struct weir_sink) { .event = NULL }), 1),
        WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_pipeline_config.sink has event NULL, expected a function");
}

/* One call that is refused is one event; a pipeline without a sink keeps and drops none. */
TEST(pipeline, events_wait_for_their_delivery)
{
    uint32_t events = 0;
    for (int sunk = 0; sunk < 2; sunk++) {
        const struct weir_sink sink = { .event = count_event, .argument = &events };
        struct weir_policy *policy = nobody();
        struct weir_pipeline *pipeline = NULL;
        struct weir_call call;
        CHECK_EQ(weir_pipeline_create(
                     WEIR_CONFIG(weir_pipeline_config, .sink = sunk ? &sink : NULL), &policy, 1, &pipeline),
            WEIR_E_NONE);
        weir_policy_set_mode(policy, WEIR_MODE_FORCED_OPEN);
        weir_policy_release(policy);
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_DONE);
        CHECK_EQ(events, 0);
        CHECK_EQ(weir_pipeline_deliver(pipeline), sunk);
        CHECK_EQ(events, sunk);
        CHECK_EQ(weir_pipeline_stats(pipeline).events_dropped, 0);
        CHECK_EQ(weir_pipeline_deliver(pipeline), 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(pipeline, a_last_good_answer_is_of_the_results_size)
{
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(
        weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .last_good = true), &fallback), WEIR_E_NONE);
    CHECK_EQ(
        weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = 4), &fallback, 1, &pipeline),
        WEIR_E_INVALID);
    CHECK_STR(
        weir_error_text(), "weir_pipeline_config.result_size is 4, expected 0 as order[0]'s value_size");
    CHECK_EQ(weir_pipeline_create(NULL, &fallback, 1, &pipeline), WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
    weir_policy_release(fallback);
}
