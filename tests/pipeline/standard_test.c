#include "pipeline/scripted.h"
#include "support/test.h"

#include <weir/chaos.h>

#include <string.h>

static void refused(struct weir_standard_config *config, const char *field)
{
    struct weir_pipeline *pipeline = NULL;
    config->size = sizeof *config;
    CHECK_EQ(weir_pipeline_standard(config, &pipeline), WEIR_E_INVALID);
    CHECK(pipeline == NULL);
    CHECK(strstr(weir_error_text(), field) != NULL);
    CHECK(strstr(weir_error_text(), "expected") != NULL);
}

TEST(standard, order_names_and_numbers)
{
    static const char *const kinds[] = { "timeout", "retry", "breaker", "bulkhead", "timeout" };
    static const char *const names[] = { "bank.deadline", "bank.retry", "bank.breaker", "bank.bulkhead",
        "bank.attempt" };
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "bank",
                                        .deadline_ns = 800 * WEIR_MS, .concurrency = 7),
                 &pipeline),
        WEIR_E_NONE);
    CHECK_STR(weir_pipeline_name(pipeline), "bank");
    CHECK_EQ(weir_pipeline_count(pipeline), 5);
    for (size_t i = 0; i < 5; i++) {
        CHECK_STR(weir_policy_kind(weir_pipeline_policy(pipeline, i)), kinds[i]);
        CHECK_STR(weir_policy_name(weir_pipeline_policy(pipeline, i)), names[i]);
    }
    CHECK_EQ(weir_timeout_stats(weir_pipeline_policy(pipeline, 0)).timeout_ns, 800 * WEIR_MS);
    CHECK_EQ(weir_bulkhead_stats(weir_pipeline_policy(pipeline, 3)).limit, 7);
    CHECK_EQ(weir_timeout_stats(weir_pipeline_policy(pipeline, 4)).timeout_ns, 400 * WEIR_MS);
    weir_pipeline_destroy(pipeline);
}

static struct weir_policy *stand_in(uint64_t reserve_ns)
{
    struct weir_policy *fallback = NULL;
    CHECK_EQ(
        weir_fallback_create(
            WEIR_CONFIG(weir_fallback_config, .function = scripted, .reserve_ns = reserve_ns), &fallback),
        WEIR_E_NONE);
    return fallback;
}

static void check_kinds(struct weir_standard_config config, const char *const kinds[], size_t count)
{
    struct weir_pipeline *pipeline;
    config.size = sizeof config;
    CHECK_EQ(weir_pipeline_standard(&config, &pipeline), WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_count(pipeline), count);
    for (size_t i = 0; i < count; i++)
        CHECK_STR(weir_policy_kind(weir_pipeline_policy(pipeline, i)), kinds[i]);
    CHECK_EQ(weir_pipeline_lint(pipeline, 0, NULL, 0), 0);
    weir_pipeline_destroy(pipeline);
}

TEST(standard, takes_policies_of_the_users)
{
    static const char *const around[] = { "fallback", "timeout", "retry", "breaker", "bulkhead", "timeout",
        "chaos" };
    static const char *const within[] = { "timeout", "fallback", "retry", "breaker", "bulkhead", "timeout" };
    struct weir_policy *chaos, *last = stand_in(0), *reserved = stand_in(10 * WEIR_MS);
    CHECK_EQ(
        weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .error_ppm = 1, .lost_max_ns = WEIR_MS), &chaos),
        WEIR_E_NONE);
    check_kinds((struct weir_standard_config) { .fallback = last, .innermost = chaos }, around, 7);
    check_kinds((struct weir_standard_config) { .fallback = reserved }, within, 6);
    refused(&(struct weir_standard_config) { .fallback = chaos }, "weir_standard_config.fallback is a chaos");
    refused(&(struct weir_standard_config) { .fallback = last, .attempts = 1000 }, "attempts");
    weir_policy_release(chaos);
    weir_policy_release(last);
    weir_policy_release(reserved);
}

TEST(standard, is_sound_by_its_own_linter)
{
    static const uint64_t deadlines[] = { WEIR_MS, 50 * WEIR_MS, 800 * WEIR_MS, 0, 30 * WEIR_S };
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
        struct weir_finding finding;
        struct weir_pipeline *pipeline;
        CHECK_EQ(weir_pipeline_standard(
                     WEIR_CONFIG(weir_standard_config, .deadline_ns = deadlines[i], .queue = 16), &pipeline),
            WEIR_E_NONE);
        CHECK_EQ(weir_pipeline_lint(pipeline, 0, &finding, 1), 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(standard, a_call_that_fails_at_first)
{
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .clock = &scripted_clock), &pipeline),
        WEIR_E_NONE);
    struct script script = { .outcome = outcome_of(WEIR_FAILED, 5) };
    struct weir_outcome outcome = weir_run(pipeline, NULL, scripted, &script);
    CHECK_EQ(script.ran, 1); /* not idempotent */
    CHECK_EQ(outcome.status, WEIR_FAILED);
    outcome =
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true, .seed = 4), scripted, &script);
    CHECK_EQ(script.ran, 1 + 3);
    CHECK_EQ(outcome.code, 5);
    CHECK_EQ(weir_retry_stats(weir_pipeline_policy(pipeline, 1)).retried, 2);
    weir_pipeline_destroy(pipeline);
}

TEST(standard, a_long_name_is_cut_in_its_parts)
{
    char name[WEIR_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[WEIR_NAME_MAX] = '\0';
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = name), &pipeline), WEIR_E_NONE);
    CHECK_STR(weir_pipeline_name(pipeline), name);
    const char *part = weir_policy_name(weir_pipeline_policy(pipeline, 3));
    CHECK_EQ(strlen(part), WEIR_NAME_MAX);
    CHECK(strstr(part, "n.bulkhead") != NULL);
    weir_pipeline_destroy(pipeline);
}

TEST(standard, null_is_all_defaults)
{
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(NULL, &pipeline), WEIR_E_NONE);
    CHECK_STR(weir_policy_name(weir_pipeline_policy(pipeline, 1)), "standard.retry");
    CHECK_EQ(weir_bulkhead_stats(weir_pipeline_policy(pipeline, 3)).limit, 64);
    weir_pipeline_destroy(pipeline);
}

TEST(standard, refuses_and_names_the_field)
{
    char name[WEIR_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[WEIR_NAME_MAX + 1] = '\0';
    refused(&(struct weir_standard_config) { .name = name }, "weir_standard_config.name");
    refused(&(struct weir_standard_config) { .name = "" }, "weir_standard_config.name");
    refused(&(struct weir_standard_config) { .deadline_ns = 999 }, "weir_standard_config.deadline_ns is 999");
    refused(&(struct weir_standard_config) { .deadline_ns = WEIR_NEVER }, "weir_standard_config.deadline_ns");
    refused(&(struct weir_standard_config) { .attempt_ns = WEIR_S + 1 }, "weir_standard_config.attempt_ns");
    refused(&(struct weir_standard_config) { .attempts = 101 }, "weir_standard_config.attempts is 101");
    refused(&(struct weir_standard_config) { .concurrency = 1000001 }, "weir_standard_config.concurrency");
    refused(&(struct weir_standard_config) { .queue = 4097 }, "weir_standard_config.queue");
    refused(&(struct weir_standard_config) { .timing = (enum weir_timing)77 }, "timing");
    refused(&(struct weir_standard_config) { .result_size = WEIR_RESULT_MAX + 1 }, "result_size");
    refused(&(struct weir_standard_config) { .clock = &(struct weir_clock) { 0 } }, "clock");
    refused(&(struct weir_standard_config) { .sink = &(struct weir_sink) { 0 } }, "sink");
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(&(struct weir_standard_config) { .size = 3 }, &pipeline), WEIR_E_SIZE);
}
