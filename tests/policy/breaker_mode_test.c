/* An operator's hand on a breaker, alone and in a pipeline. */
#include "policy/breaker_words.h"

#include <weir/run.h>

static struct weir_outcome answer(void *status, const struct weir_attempt *attempt)
{
    (void)attempt;
    return outcome_of(*(enum weir_status *)status);
}

static struct weir_outcome run(struct weir_pipeline *pipeline, enum weir_status status, uint64_t now_ns)
{
    return weir_run_at(pipeline, NULL, answer, &status, now_ns);
}

static struct weir_pipeline *around(struct weir_policy *breaker)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, &breaker, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(breaker);
    return pipeline;
}

TEST(breaker_mode, forced_open_refuses_all)
{
    struct weir_policy *breaker = BREAKER(.name = "forced");
    struct weir_pipeline *pipeline = around(breaker);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_policy_mode(breaker), WEIR_MODE_FORCED_OPEN);
    struct weir_outcome outcome = run(pipeline, WEIR_OK, START);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_FORCED);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(refusal(breaker, START), WEIR_REASON_FORCED);
    CHECK_EQ(stats_at(breaker, START).refused_forced, 2);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED); /* its own state is untouched */
    weir_policy_set_mode(breaker, WEIR_MODE_ON);
    CHECK_EQ(run(pipeline, WEIR_OK, START).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, forced_closed_counts_and_does_not_trip)
{
    struct weir_policy *breaker = BREAKER(.name = "forced");
    struct weir_pipeline *pipeline = around(breaker);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_CLOSED);
    for (int i = 0; i < 50; i++) CHECK_EQ(run(pipeline, WEIR_FAILED, START).status, WEIR_FAILED);
    calls(breaker, 50, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats_at(breaker, START).failures, 100);
    weir_policy_set_mode(breaker, WEIR_MODE_ON);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    run(pipeline, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, forced_closed_lets_in_while_open)
{
    struct weir_policy *breaker = BREAKER(.name = "forced");
    struct weir_pipeline *pipeline = around(breaker);
    trip(breaker, START);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_CLOSED);
    struct weir_outcome outcome = run(pipeline, WEIR_OK, START);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, 0); /* not a shadow's */
    call(breaker, WEIR_OK, START);
    CHECK_EQ(stats_at(breaker, START).would_refuse, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, disabled_is_not_asked)
{
    struct weir_policy *breaker = BREAKER(.name = "off");
    struct weir_pipeline *pipeline = around(breaker);
    trip(breaker, START);
    weir_policy_set_mode(breaker, WEIR_MODE_DISABLED);
    for (int i = 0; i < 20; i++) CHECK_EQ(run(pipeline, WEIR_FAILED, START).status, WEIR_FAILED);
    calls(breaker, 20, WEIR_FAILED, START);
    struct weir_breaker_stats stats = stats_at(breaker, START);
    CHECK_EQ(stats.state, WEIR_BREAKER_OPEN);
    CHECK_EQ(stats.counted_failed, 5);
    CHECK_EQ(stats.refused_open, 0);
    CHECK_EQ(stats.stale, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, shadow_decides_and_counts_and_refuses_nothing)
{
    struct weir_policy *breaker = BREAKER(.name = "shadow");
    struct weir_pipeline *pipeline = around(breaker);
    weir_policy_set_mode(breaker, WEIR_MODE_SHADOW);
    CHECK_EQ(run(pipeline, WEIR_OK, START).flags, 0);
    for (int i = 0; i < 5; i++) run(pipeline, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN); /* it decides as ever */
    for (int i = 0; i < 7; i++) {
        struct weir_outcome outcome = run(pipeline, WEIR_OK, START);
        CHECK_EQ(outcome.status, WEIR_OK);
        CHECK_EQ(outcome.flags, WEIR_SHADOW);
    }
    call(breaker, WEIR_OK, START);
    CHECK_EQ(stats_at(breaker, START).would_refuse, 8);
    CHECK_EQ(weir_pipeline_stats(pipeline).shadowed, 7);
    CHECK_EQ(weir_pipeline_stats(pipeline).ended[WEIR_REJECTED], 0);
    /* Its probes are calls, too: in its time it closes. */
    uint64_t due_ns = stats_at(breaker, START).until_ns;
    for (int i = 0; i < 3; i++) run(pipeline, WEIR_OK, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, a_change_while_calls_run_settles_what_was_taken)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    struct weir_pipeline *pipeline = around(breaker);
    static const enum weir_mode modes[] = { WEIR_MODE_SHADOW, WEIR_MODE_DISABLED, WEIR_MODE_FORCED_OPEN,
        WEIR_MODE_FORCED_CLOSED, WEIR_MODE_ON };
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    for (int i = 0; i < 5; i++) {
        struct weir_call probe;
        struct weir_step step = weir_call_begin(&probe, pipeline, NULL, now_ns);
        CHECK_EQ(step.action, WEIR_RUN);
        CHECK_EQ(stats_at(breaker, now_ns).probes_out, 1);
        weir_policy_set_mode(breaker, modes[i]);
        step = weir_call_settle(&probe, step.attempt, outcome_of(WEIR_IGNORED), now_ns);
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(stats_at(breaker, now_ns).probes_out, 0);
        weir_policy_set_mode(breaker, WEIR_MODE_ON);
    }
    CHECK_EQ(stats_at(breaker, now_ns).given_back, 5);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_mode, one_breaker_in_two_pipelines)
{
    struct weir_policy *breaker = weir_policy_acquire(BREAKER(.name = "shared"));
    struct weir_pipeline *pipeline[2] = { around(breaker), around(weir_policy_acquire(breaker)) };
    for (int i = 0; i < 4; i++) run(pipeline[i % 2], WEIR_FAILED, START);
    weir_policy_release(breaker);
    run(pipeline[0], WEIR_FAILED, START);
    CHECK_EQ(run(pipeline[1], WEIR_OK, START).reason, WEIR_REASON_BREAKER_OPEN);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_CLOSED);
    CHECK_EQ(run(pipeline[0], WEIR_OK, START).status, WEIR_OK);
    CHECK_EQ(run(pipeline[1], WEIR_OK, START).status, WEIR_OK);
    weir_pipeline_destroy(pipeline[0]);
    CHECK_EQ(run(pipeline[1], WEIR_OK, START).status, WEIR_OK);
    weir_pipeline_destroy(pipeline[1]);
}
