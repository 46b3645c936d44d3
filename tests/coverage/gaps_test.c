/* Conditions that no test of the unit that they stand in shows to decide alone. */
#include "policy/breaker.h"
#include "policy/fallback.h"
#include "support/test.h"

#include <weir/bulkhead.h>
#include <weir/pipeline.h>
#include <weir/rate.h>
#include <weir/retry.h>
#include <weir/timeout.h>

#include <stdlib.h>
#include <string.h>

#define NOW (UINT64_C(1) << 50)

static const struct weir_outcome failed = { .status = WEIR_FAILED, .code = 5 };

static struct weir_pipeline *pipeline_of(struct weir_policy **order, size_t count)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &pipeline), WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}

/* ---- the machine ---- */

static const struct weir_policy_ops quiet_without_admit = {
    .size = sizeof quiet_without_admit, .flags = WEIR_POLICY_QUIET_ADMIT, .kind = "quiet"
};

TEST(gaps, a_quiet_policy_need_not_have_an_admit)
{
    struct weir_policy *order[1];
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &quiet_without_admit), &order[0]),
        WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(order, 1);
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, NOW).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, failed, NOW + 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).code, 5);
    weir_pipeline_destroy(pipeline);
}

static struct weir_verdict always_again(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)call;
    (void)outcome;
    return (struct weir_verdict) { .kind = WEIR_AGAIN, .at_ns = now_ns };
}

static const struct weir_policy_ops stubborn = {
    .size = sizeof stubborn, .kind = "stubborn", .settle = always_again
};

TEST(gaps, a_policy_that_always_says_again_is_stopped)
{
    struct weir_policy *order[1];
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &stubborn), &order[0]), WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(order, 1);
    struct weir_call call;
    struct weir_step step = weir_call_begin(&call, pipeline, NULL, NOW);
    for (uint32_t attempt = 1; attempt <= WEIR_ATTEMPTS_MAX; attempt++) {
        CHECK_EQ(step.action, WEIR_RUN);
        CHECK_EQ(step.attempt, attempt);
        step = weir_call_settle(&call, attempt, failed, NOW + attempt);
    }
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
    weir_pipeline_destroy(pipeline);
}

/* As if this process were a child that was forked from the one that began the call. */
static void forget_the_parent(void)
{
    atomic_store_release(weir_process_word, 0);
}

TEST(gaps, a_call_that_is_over_is_not_counted_as_another_processes)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_policy *timeout = NULL;
    CHECK_EQ(weir_timeout_create(NULL, &timeout), WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &timeout, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(timeout);
    struct weir_call over, abandoned;
    CHECK_EQ(weir_call_begin(&over, pipeline, NULL, NOW).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&over, 1, failed, NOW).action, WEIR_DONE);
    CHECK_EQ(weir_call_begin(&abandoned, pipeline, NULL, NOW).action, WEIR_RUN);
    struct weir_step step = weir_call_cancel(&abandoned, NOW);
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(step.pending, 1);
    forget_the_parent();
    CHECK_EQ(weir_call_wake(&over, NOW).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_stats(pipeline).foreign, 0);
    CHECK_EQ(weir_call_settle(&abandoned, 1, failed, NOW).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_stats(pipeline).foreign, 1);
    weir_pipeline_destroy(pipeline);
}

/* ---- policies ---- */

static struct weir_verdict blame(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)call;
    (void)now_ns;
    *outcome = (struct weir_outcome) { .status = WEIR_FAILED, .by = 1 };
    return (struct weir_verdict) { .kind = WEIR_ANSWER };
}

static const struct weir_policy_ops blaming = { .size = sizeof blaming, .kind = "blaming", .settle = blame };

TEST(gaps, a_timeout_counts_only_what_expired)
{
    struct weir_policy *order[2];
    CHECK_EQ(weir_timeout_create(NULL, &order[0]), WEIR_E_NONE);
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &blaming), &order[1]), WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(order, 2);
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, NOW).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, failed, NOW).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).by, 1);
    CHECK_EQ(weir_timeout_stats(weir_pipeline_policy(pipeline, 0)).expired, 0);
    weir_pipeline_destroy(pipeline);
}

/* A describe that comes between the swap of the word and its time must not use another generation's. */
TEST(gaps, a_breaker_whose_time_is_not_said_yet_describes_its_whole_window)
{
    struct weir_policy *order[1];
    CHECK_EQ(weir_breaker_create(NULL, &order[0]), WEIR_E_NONE);
    struct breaker_state *state = order[0]->state;
    struct weir_pipeline *pipeline = pipeline_of(order, 1);
    char text[512];
    state->until = until_of(word_tag(state->word) + 1, NOW);
    weir_pipeline_explain(pipeline, 0, text, sizeof text);
    CHECK(strstr(text, "closed, 0 of 0 calls failed") != NULL);
    weir_pipeline_destroy(pipeline);
}

/* So it opens from now on, for its own time and not until the other generation's. */
TEST(gaps, an_open_breaker_whose_time_is_not_said_yet_does_not_take_anothers)
{
    struct weir_policy *breaker = NULL;
    CHECK_EQ(weir_breaker_create(
                 WEIR_CONFIG(weir_breaker_config, .open_ns = WEIR_S, .jitter_percent = WEIR_OFF32), &breaker),
        WEIR_E_NONE);
    struct breaker_state *state = breaker->state;
    struct weir_permit permit;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weir_breaker_acquire_at(breaker, &permit, NOW).status, WEIR_OK);
        weir_breaker_release_at(breaker, &permit, failed, NOW);
    }
    CHECK_EQ(weir_breaker_stats(breaker, NOW).state, WEIR_BREAKER_OPEN);
    state->until = until_of(word_tag(state->word) + 1, NOW + 100 * WEIR_S);
    struct weir_outcome outcome = weir_breaker_acquire_at(breaker, &permit, NOW + WEIR_MS);
    CHECK_EQ(outcome.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK(outcome.retry_after_ns >= WEIR_S);
    CHECK(outcome.retry_after_ns < WEIR_S + WEIR_MS);
    weir_policy_release(breaker);
}

TEST(gaps, a_last_good_answer_that_is_being_written_is_not_written_by_two)
{
    uint64_t value = 7;
    struct weir_policy *order[1];
    CHECK_EQ(weir_fallback_create(
                 WEIR_CONFIG(weir_fallback_config, .last_good = true, .value_size = sizeof value), &order[0]),
        WEIR_E_NONE);
    struct fallback_state *state = order[0]->state;
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .result_size = sizeof value), order, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(order[0]);
    struct weir_call *call = malloc(weir_pipeline_call_size(pipeline));
    CHECK(call != NULL);
    state->sequence = 1; /* a writer is at work */
    CHECK_EQ(weir_call_begin(call, pipeline, NULL, NOW).action, WEIR_RUN);
    memcpy(weir_call_attempt(call)->value, &value, sizeof value);
    CHECK_EQ(weir_call_settle(call, 1, (struct weir_outcome) { .status = WEIR_OK }, NOW).action, WEIR_DONE);
    CHECK_EQ(state->sequence, 1);
    CHECK_EQ(state->word[0], 0);
    free(call);
    weir_pipeline_destroy(pipeline);
}

/* ---- pipelines ---- */

TEST(gaps, a_timeout_at_the_end_of_time_does_not_wrap)
{
    struct weir_policy *timeout = NULL;
    CHECK_EQ(weir_timeout_create(NULL, &timeout), WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(&timeout, 1);
    struct weir_call call;
    struct weir_step step = weir_call_begin(&call, pipeline, NULL, WEIR_NEVER - WEIR_MS);
    CHECK_EQ(step.action, WEIR_RUN);
    CHECK_EQ(step.at_ns, WEIR_NEVER);
    CHECK_EQ(weir_call_settle(&call, 1, failed, WEIR_NEVER - 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
    weir_pipeline_destroy(pipeline);
}

TEST(gaps, more_findings_than_are_shown_are_counted)
{
    struct weir_policy *order[WEIR_POLICIES_MAX];
    char text[32768];
    CHECK_EQ(weir_breaker_create(NULL, &order[0]), WEIR_E_NONE);
    CHECK_EQ(weir_bulkhead_create(NULL, &order[1]), WEIR_E_NONE);
    for (size_t i = 2; i < WEIR_POLICIES_MAX; i++) {
        CHECK_EQ(
            weir_retry_create(WEIR_CONFIG(weir_retry_config, .base_ns = WEIR_S), &order[i]), WEIR_E_NONE);
    }
    struct weir_pipeline *pipeline = pipeline_of(order, WEIR_POLICIES_MAX);
    size_t findings = weir_pipeline_lint(pipeline, WEIR_MS, NULL, 0);
    weir_pipeline_explain(pipeline, WEIR_MS, text, sizeof text);
    CHECK(findings > 32);
    CHECK(strstr(text, " more\n") != NULL);
    weir_pipeline_destroy(pipeline);
}
