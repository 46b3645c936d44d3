/* How to test code that uses weir: no sleeping, no luck. An outage of minutes takes no time here. */
#include "expect.h"

#include <errno.h>
#include <weir/testing.h>
#include <weir/weir.h>

static struct weir_pipeline *create_pipeline(const struct weir_clock *clock, const struct weir_sink *sink)
{
    struct weir_pipeline *pipeline;
    EXPECT(weir_pipeline_standard(
               WEIR_CONFIG(weir_standard_config, .deadline_ns = WEIR_S, .clock = clock, .sink = sink),
               &pipeline) == WEIR_E_NONE);
    return pipeline;
}

/* A virtual clock and a callee that answers from a script. */
static void test_that_a_slow_start_is_survived(void)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    struct weir_clock jumping = weir_test_clock_use(&clock);
    struct weir_pipeline *pipeline = create_pipeline(&jumping, NULL);
    static const struct weir_test_step script[] = {
        { .duration_ns = WEIR_NEVER },  /* the first attempt is never answered */
        { .duration_ns = 20 * WEIR_MS } /* all others are, after 20 ms */
    };
    struct weir_test_callee callee;
    weir_test_callee_script(&callee, &clock, script, 2);

    uint64_t began_ns = weir_test_clock_now(&clock);
    struct weir_outcome outcome =
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), weir_test_callee_run, &callee);
    uint64_t took_ns = weir_test_clock_now(&clock) - began_ns;

    EXPECT(outcome.status == WEIR_OK && callee.attempts == 2 && callee.cut_off == 1);
    EXPECT(took_ns >= 520 * WEIR_MS); /* the first attempt's 500 ms, a back-off, the second's 20 ms */
    EXPECT(took_ns <= 570 * WEIR_MS);
    weir_pipeline_destroy(pipeline);
}

static void cancel(void *source)
{
    weir_source_cancel(source, 1);
}

/* What happens meanwhile is scheduled on the clock. */
static void test_that_a_cancel_ends_the_wait(void)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    struct weir_clock jumping = weir_test_clock_use(&clock);
    struct weir_pipeline *pipeline = create_pipeline(&jumping, NULL);
    static const struct weir_test_step silent = { .duration_ns = WEIR_NEVER };
    struct weir_test_callee callee;
    weir_test_callee_script(&callee, &clock, &silent, 1);

    struct weir_source *source;
    EXPECT(weir_source_create(&source) == WEIR_E_NONE);
    struct weir_context request;
    weir_context_child(&request, NULL, WEIR_NEVER, source);
    weir_test_clock_at(&clock, weir_test_clock_now(&clock) + 70 * WEIR_MS, cancel, source);
    struct weir_outcome outcome = weir_run(
        pipeline, WEIR_CONFIG(weir_call_options, .context = &request), weir_test_callee_run, &callee);
    EXPECT(outcome.status == WEIR_CANCELED && callee.canceled == 1);
    EXPECT(weir_test_clock_now(&clock) == WEIR_TEST_START_NS + 70 * WEIR_MS);
    weir_source_release(source);
    weir_pipeline_destroy(pipeline);
}

/* Ten minutes under a callee that fails by chance: the same seed must tell the same story. */
static uint64_t run_by_chance(uint64_t seed)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    struct weir_clock jumping = weir_test_clock_use(&clock);
    struct weir_test_trace trace = { 0 };
    struct weir_sink sink = weir_test_trace_sink(&trace);
    struct weir_policy *breaker;
    struct weir_pipeline *pipeline;
    EXPECT(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .seed = seed), &breaker) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = &jumping, .sink = &sink), &breaker,
               1, &pipeline) == WEIR_E_NONE);
    struct weir_test_callee callee;
    weir_test_callee_random(&callee, &clock,
        (struct weir_test_chances) { .seed = seed,
            .failure_percent = 60,
            .duration_min_ns = WEIR_MS,
            .duration_max_ns = 90 * WEIR_MS });
    for (uint64_t i = 1; i <= 6000; i++) {
        weir_test_trace_outcome(&trace,
            weir_run(
                pipeline, WEIR_CONFIG(weir_call_options, .seed = seed + i), weir_test_callee_run, &callee));
        weir_test_clock_advance(&clock, 50 * WEIR_MS);
    }
    if (weir_breaker_stats(breaker, weir_test_clock_now(&clock)).opened == 0) {
        weir_test_fail("60 %% of the calls failed, and the breaker never opened");
    }
    weir_policy_release(breaker);
    weir_pipeline_destroy(pipeline);
    return trace.hash;
}

/* How the code around the call copes with a refusal: forced, no server needed. */
static void test_a_forced_refusal(void)
{
    struct weir_policy *force;
    struct weir_pipeline *pipeline;
    struct weir_outcome refusal = { .status = WEIR_REJECTED, .reason = WEIR_REASON_BREAKER_OPEN };
    EXPECT(weir_test_force_create(NULL, refusal, &force) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &force, 1, &pipeline) == WEIR_E_NONE);
    struct weir_outcome outcome = weir_run(pipeline, NULL, weir_test_callee_run, NULL); /* not run */
    EXPECT(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_BREAKER_OPEN);
    weir_policy_release(force);
    weir_pipeline_destroy(pipeline);
}

int main(void)
{
    test_that_a_slow_start_is_survived();
    test_that_a_cancel_ends_the_wait();
    uint64_t seed = weir_test_seed(); /* WEIR_SEED=... in the environment repeats a failure */
    EXPECT(run_by_chance(seed) == run_by_chance(seed));
    test_a_forced_refusal();
    return 0;
}
