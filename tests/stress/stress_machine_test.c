/* Whole pipelines under many threads: retries, an operator's hand, events, drains, pipelines that come and go. */
#include "stress/stress_words.h"

#include <fcntl.h>
#include <unistd.h>

static struct weir_outcome by_dice(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct member *member = argument;
    uint64_t dice = draw(member, 0, 99);
    if (dice < 3) sched_yield();
    if (dice < 30) return outcome_of(WEIR_FAILED);
    if (dice < 35) return outcome_of(WEIR_OVERLOADED);
    if (dice < 38) return outcome_of(WEIR_IGNORED);
    return outcome_of(WEIR_OK);
}

/* ---- retries that share a budget ---- */

struct retry_scene {
    struct weir_pipeline *pipeline[2];
    uint64_t clock_ns;
};

static void retry_body(struct member *member)
{
    struct retry_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(60000); i++) {
        bool idempotent = draw(member, 0, 3) != 0;
        uint64_t now_ns = tick(&scene->clock_ns, WEIR_US);
        (void)weir_run_at(scene->pipeline[i % 2], WEIR_CONFIG(weir_call_options, .idempotent = idempotent),
            by_dice, member, now_ns);
        member->done++;
    }
}

TEST(stress, retries_share_a_budget)
{
    struct retry_scene scene = { .clock_ns = START };
    struct weir_budget *budget = NULL;
    CHECK_EQ(weir_budget_create(WEIR_CONFIG(weir_budget_config, .percent = 10, .floor_per_s = 100), &budget),
        WEIR_E_NONE);
    struct weir_policy *retry[2];
    for (int i = 0; i < 2; i++) {
        retry[i] = POLICY(retry, .budget = budget, .backoff = (enum weir_backoff)i, .base_ns = 10 * WEIR_US);
        scene.pipeline[i] = PIPELINE(retry[i], POLICY(timeout, .timeout_ns = WEIR_S));
    }
    uint64_t calls = team_run(retry_body, NULL, &scene), retried = 0, attempts = 0;
    for (int i = 0; i < 2; i++) {
        attempts += check_over(scene.pipeline[i], calls / 2).attempts;
        retried += weir_retry_stats(retry[i]).retried;
        CHECK(weir_retry_stats(retry[i]).no_budget > 0);
        CHECK(weir_retry_stats(retry[i]).recovered > 0);
    }
    struct weir_budget_stats stats = weir_budget_stats(budget, scene.clock_ns);
    CHECK_EQ(stats.charged, retried);
    CHECK_EQ(attempts, calls + stats.charged - stats.refunded);
    uint64_t grown = (scene.clock_ns - START + WEIR_S) * 100 / WEIR_S;
    CHECK(stats.charged - stats.refunded <= stats.capacity + grown + calls / 10);
    for (int i = 0; i < 2; i++) weir_pipeline_destroy(scene.pipeline[i]);
    weir_budget_release(budget);
}

/* ---- an operator's hand ---- */

struct hand_scene {
    struct weir_pipeline *pipeline;
    struct weir_policy *policy[5], *bulkhead;
};

static void hand_body(struct member *member)
{
    struct hand_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(20000); i++) {
        struct weir_context context;
        weir_context_child(
            &context, NULL, weir_now(WEIR_TIMING_PRECISE) + draw(member, 100, 3000) * WEIR_US, NULL);
        weir_context_enter(&context);
        (void)weir_run(scene->pipeline,
            WEIR_CONFIG(weir_call_options, .idempotent = true, .weight = (uint32_t)draw(member, 1, 2)),
            by_dice, member);
        weir_context_leave(&context);
        member->done++;
    }
}

static void hand_flip(struct member *member)
{
    struct hand_scene *scene = member->scene;
    struct weir_policy *policy = scene->policy[draw(member, 0, 4)];
    bool calm = draw(member, 0, 1) == 0;
    weir_policy_set_mode(
        policy, calm ? WEIR_MODE_ON : (enum weir_mode)draw(member, 0, WEIR_MODE_FORCED_CLOSED));
    CHECK_EQ(weir_bulkhead_set_limit(scene->bulkhead, (uint32_t)draw(member, 1, 12)), WEIR_E_NONE);
    char text[4096];
    uint64_t now_ns = weir_pipeline_now(scene->pipeline);
    CHECK(weir_pipeline_explain(scene->pipeline, WEIR_S, text, sizeof text) > 0);
    struct weir_finding finding[4];
    (void)weir_pipeline_check(scene->pipeline, now_ns, finding, 4);
    struct weir_outcome refused = { .status = WEIR_REJECTED, .reason = WEIR_REASON_BREAKER_OPEN, .by = 3 };
    CHECK(weir_outcome_text(text, sizeof text, scene->pipeline, refused) == text);
    (void)weir_pipeline_stats(scene->pipeline)
        .begun; /* in_flight may be off by what begins and ends meanwhile */
    (void)weir_histogram_quantile(weir_pipeline_latency(scene->pipeline), 990000);
}

TEST(stress, modes_and_limits_are_flipped_under_load)
{
    struct hand_scene scene = { 0 };
    scene.policy[0] = POLICY(timeout, .timeout_ns = 2 * WEIR_MS);
    scene.policy[1] = POLICY(retry, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_US);
    scene.policy[2] = POLICY(breaker, .open_ns = WEIR_MS, .open_max_ns = WEIR_MS, .ramp_ns = WEIR_MS);
    scene.policy[3] = POLICY(rate, .permits = 10000000, .burst = 100000, .lease = 8);
    scene.bulkhead = POLICY(bulkhead, .limit = 8, .queue = 3, .wait_max_ns = 200 * WEIR_US);
    scene.policy[4] = scene.bulkhead;
    scene.pipeline = pipeline_of(NULL, scene.policy, 5);
    uint64_t calls = team_run(hand_body, hand_flip, &scene);
    for (int i = 0; i < 5; i++) weir_policy_set_mode(scene.policy[i], WEIR_MODE_ON);
    CHECK_EQ(weir_bulkhead_set_limit(scene.bulkhead, 3), WEIR_E_NONE);
    (void)check_over(scene.pipeline, calls);
    check_empty(scene.bulkhead);
    /* As many as it says, and no more. */
    struct weir_permit permit[4];
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weir_bulkhead_acquire(scene.bulkhead, 1, &permit[i]).status, WEIR_OK);
    }
    CHECK_EQ(weir_bulkhead_acquire(scene.bulkhead, 1, &permit[3]).status, WEIR_REJECTED);
    for (int i = 0; i < 3; i++) weir_bulkhead_release(scene.bulkhead, &permit[i]);
    weir_pipeline_destroy(scene.pipeline);
}

/* ---- events ---- */

/* One at a time: the counts are plain. */
struct told {
    uint64_t kind[WEIR_EVENTS], all;
    uint32_t inside;
};

static void tell(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    struct told *told = argument;
    CHECK_EQ(told->inside++, 0);
    CHECK_EQ(weir_pipeline_count(pipeline), 2);
    CHECK(event->kind < WEIR_EVENTS);
    told->kind[event->kind]++;
    told->all++;
    told->inside--;
}

static void event_body(struct member *member)
{
    struct hand_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(30000); i++) {
        (void)weir_run(scene->pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), by_dice, member);
        member->done++;
    }
}

TEST(stress, every_event_is_told_once_or_counted_as_dropped)
{
    struct told told = { .all = 0 };
    struct weir_sink sink = { tell, &told };
    struct weir_policy *retry = POLICY(retry, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_US);
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 2);
    struct hand_scene scene = { .pipeline = PIPELINE_TOLD(&sink, retry, bulkhead) };
    uint64_t calls = team_run(event_body, NULL, &scene);
    (void)weir_pipeline_deliver(scene.pipeline);
    struct weir_pipeline_stats stats = check_over(scene.pipeline, calls);
    check_empty(bulkhead);
    CHECK(told.kind[WEIR_EVENT_RETRIED] > 0);
    CHECK(told.kind[WEIR_EVENT_RETRIED] <= weir_retry_stats(retry).retried);
    CHECK_EQ(told.kind[WEIR_EVENT_RETRIED] + told.kind[WEIR_EVENT_REFUSED], told.all);
    CHECK_EQ(told.all + stats.events_dropped,
        weir_retry_stats(retry).retried + weir_bulkhead_stats(bulkhead).refused_full);
    CHECK_EQ(weir_pipeline_deliver(scene.pipeline), 0);
    weir_pipeline_destroy(scene.pipeline);
}

TEST(stress, a_log_sink_is_written_to_by_all)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct weir_sink *log = NULL;
    CHECK_EQ(weir_log_sink_create(nowhere, 1000000, &log), WEIR_E_NONE);
    struct hand_scene scene = { .pipeline = PIPELINE_TOLD(
                                    log, POLICY(bulkhead, .limit = 1), POLICY(breaker, .open_ns = WEIR_MS)) };
    uint64_t calls = team_run(event_body, NULL, &scene);
    (void)check_over(scene.pipeline, calls);
    weir_pipeline_destroy(scene.pipeline);
    weir_log_sink_destroy(log);
    close(nowhere);
}

/* ---- drains; pipelines that come and go ---- */

static void drain_body(struct member *member)
{
    struct hand_scene *scene = member->scene;
    struct weir_outcome outcome;
    do {
        outcome = weir_run(scene->pipeline, NULL, by_dice, member);
        member->done++;
    } while (outcome.reason != WEIR_REASON_DRAINING);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
}

TEST(stress, a_drain_ends_with_nobody_left)
{
    for (int round = 0; round < ROUNDS(80); round++) {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 3, .queue = 2);
        struct hand_scene scene = { .pipeline = PIPELINE(bulkhead) };
        struct member member[TEAM];
        for (int i = 0; i < TEAM; i++) member_start(&member[i], i, drain_body, &scene);
        while (weir_pipeline_stats(scene.pipeline).begun < 50) sched_yield();
        CHECK_EQ(
            weir_pipeline_drain(scene.pipeline, weir_now(WEIR_TIMING_PRECISE) + 20 * WEIR_S), WEIR_E_NONE);
        check_empty(bulkhead);
        uint64_t calls = 0;
        for (int i = 0; i < TEAM; i++) {
            member_join(&member[i]);
            calls += member[i].done;
        }
        CHECK_EQ(check_over(scene.pipeline, calls).refused[WEIR_REASON_DRAINING], TEAM);
        weir_pipeline_destroy(scene.pipeline);
    }
}

static void come_and_go(struct member *member)
{
    struct hand_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(3000); i++) {
        struct weir_pipeline *pipeline = NULL;
        CHECK_EQ(weir_pipeline_create(NULL, scene->policy, 2, &pipeline), WEIR_E_NONE);
        for (int call = 0; call < 4; call++) {
            (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), by_dice, member);
        }
        (void)check_over(pipeline, 4);
        weir_pipeline_destroy(pipeline);
        member->done++;
    }
}

static void flip_two(struct member *member)
{
    struct hand_scene *scene = member->scene;
    weir_policy_set_mode(scene->policy[draw(member, 0, 1)], (enum weir_mode)draw(member, 0, 2));
}

TEST(stress, pipelines_over_shared_policies_come_and_go)
{
    struct hand_scene scene = { 0 };
    scene.policy[0] = POLICY(breaker, .open_ns = WEIR_MS, .ramp_ns = WEIR_MS);
    scene.policy[1] = scene.bulkhead = POLICY(bulkhead, .limit = 2);
    CHECK_EQ(team_run(come_and_go, flip_two, &scene), TEAM * ROUNDS(3000));
    check_empty(scene.bulkhead);
    weir_policy_release(scene.policy[0]);
    weir_policy_release(scene.policy[1]);
}
