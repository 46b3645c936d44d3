/* The machine's phases: what a wake, a cancel and a late settle do in each; waiting and what comes after it. */
#include "pipeline/machine_words.h"

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

static bool kept;

static struct weir_verdict keeps_once(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)call;
    (void)outcome;
    if (kept) return (struct weir_verdict) { .kind = WEIR_PASS };
    kept = true;
    return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = now_ns + WEIR_S };
}

enum phase { RUNNING_FAST, RUNNING, HELD_IN_QUEUE, HELD_BY_RATE, BACKING_OFF, AWAITING, FALLING, PHASES };

/* A call brought into a phase, in a pipeline that has them all. */
struct scene {
    struct weir_pipeline *pipeline;
    struct weir_policy *bulkhead, *rate, *retry, *breaker;
    struct weir_context context;
    struct weir_source *source;
    struct weir_permit taken;
    struct weir_call call;
    struct weir_step step;
};

static void enter_phase(struct scene *scene, enum phase phase)
{
    bool rate = phase == HELD_BY_RATE;
    scene->retry = POLICY(retry, .attempts = 2, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 10 * WEIR_MS);
    scene->bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1, .wait_max_ns = WEIR_S);
    scene->rate =
        POLICY(rate, .permits = rate ? 1 : 1000, .burst = rate ? 1 : 1000, .wait_max_ns = 2 * WEIR_S);
    scene->breaker = POLICY(breaker, .name = "breaker");
    scene->pipeline = PIPELINE(POLICY(fallback, .function = light, .on = WEIR_ON(WEIR_FAILED)), scene->retry,
        POLICY(timeout, .timeout_ns = 300 * WEIR_MS), scene->bulkhead, scene->rate, scene->breaker);
    if (phase == RUNNING) weir_policy_set_mode(scene->breaker, WEIR_MODE_SHADOW);
    if (phase == HELD_IN_QUEUE)
        CHECK_EQ(weir_bulkhead_acquire(scene->bulkhead, 1, &scene->taken).status, WEIR_OK);
    if (rate) CHECK_EQ(weir_rate_acquire_at(scene->rate, 1, START - WEIR_S + 100 * WEIR_MS).status, WEIR_OK);
    CHECK_EQ(weir_source_create(&scene->source), WEIR_E_NONE);
    weir_context_child(&scene->context, NULL, START + 100 * WEIR_S, scene->source);
    bool again = phase == BACKING_OFF || phase == AWAITING;
    scene->step = weir_call_begin(&scene->call, scene->pipeline,
        WEIR_CONFIG(weir_call_options, .context = &scene->context, .idempotent = again), START);
    if (phase == BACKING_OFF || phase == FALLING) {
        scene->step = weir_call_settle(&scene->call, 1, outcome_of(WEIR_FAILED), START);
    }
    if (phase == AWAITING) scene->step = weir_call_wake(&scene->call, START + 300 * WEIR_MS);
}

static void leave_scene(struct scene *scene, enum phase phase)
{
    if (phase == HELD_IN_QUEUE) weir_bulkhead_release(scene->bulkhead, &scene->taken);
    CHECK_EQ(weir_bulkhead_stats(scene->bulkhead).in_use, 0);
    CHECK_EQ(weir_bulkhead_stats(scene->bulkhead).waiting, 0);
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).in_flight, 0);
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).zombies, 0);
    weir_pipeline_destroy(scene->pipeline);
    weir_source_release(scene->source);
}

static void check_phase(const struct scene *scene, enum phase phase)
{
    const struct weir_step *step = &scene->step;
    bool runs = phase == RUNNING_FAST || phase == RUNNING || phase == FALLING;
    CHECK_EQ(step->action, runs ? WEIR_RUN : WEIR_WAIT);
    CHECK_EQ(step->what, phase == FALLING ? WEIR_FALLBACK : WEIR_OPERATION);
    if (runs) CHECK_EQ(step->attempt, phase == FALLING ? 0 : 1);
    CHECK_EQ(step->pending, phase == AWAITING);
    CHECK_EQ(step->abandon_mask, phase == AWAITING ? WEIR_ABANDONED_OPERATION : 0);
    switch (phase) {
    case BACKING_OFF: CHECK_EQ(step->at_ns, START + 10 * WEIR_MS); break;
    case HELD_BY_RATE:
        CHECK(step->at_ns >= START + 100 * WEIR_MS);
        CHECK(step->at_ns < START + 101 * WEIR_MS);
        break;
    case AWAITING:
    case FALLING: CHECK_EQ(step->at_ns, START + 100 * WEIR_S); break;
    default: CHECK_EQ(step->at_ns, START + 300 * WEIR_MS); break;
    }
}

TEST(machine, early_wakes_change_nothing)
{
    for (enum phase phase = 0; phase < PHASES; phase++) {
        struct scene scene = { .step = { 0 } };
        enter_phase(&scene, phase);
        check_phase(&scene, phase);
        struct weir_pipeline_stats before = weir_pipeline_stats(scene.pipeline);
        uint64_t at_ns = scene.step.at_ns, late_ns = phase == AWAITING ? START + 300 * WEIR_MS : START;
        for (int i = 0; i < 5; i++) {
            struct weir_step step = weir_call_wake(&scene.call, late_ns + (uint64_t)i);
            CHECK_EQ(step.action, WEIR_WAIT);
            CHECK_EQ(step.at_ns, at_ns);
            CHECK_EQ(step.pending, phase == AWAITING);
        }
        struct weir_pipeline_stats after = weir_pipeline_stats(scene.pipeline);
        CHECK_EQ(memcmp(&before, &after, sizeof before), 0);
        struct weir_step step = weir_call_cancel(&scene.call, late_ns + 5);
        if (step.pending != 0)
            step = weir_call_settle(&scene.call, scene.step.attempt, outcome_of(WEIR_OK), late_ns);
        CHECK_EQ(step.action, WEIR_DONE);
        leave_scene(&scene, phase);
    }
}

static void check_canceled(struct scene *scene, enum phase phase, uint64_t now_ns)
{
    bool runs = phase == RUNNING_FAST || phase == RUNNING || phase == FALLING || phase == AWAITING;
    CHECK_EQ(scene->step.action, WEIR_DONE);
    CHECK_EQ(scene->step.pending, runs);
    struct weir_outcome outcome = weir_call_outcome(&scene->call);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK_EQ(outcome.reason, WEIR_REASON_CANCELED);
    CHECK_EQ(outcome.by, 0);
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).ended[WEIR_CANCELED], 1);
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).in_flight, runs);
    /* The permit stays taken for as long as the operation runs; a fallback's function holds none. */
    bool holds = runs && phase != FALLING;
    if (phase != HELD_IN_QUEUE) CHECK_EQ(weir_bulkhead_stats(scene->bulkhead).in_use, holds);
    /* Canceled twice, woken late: it stays over. */
    CHECK_EQ(weir_call_cancel(&scene->call, now_ns).action, WEIR_DONE);
    CHECK_EQ(weir_call_wake(&scene->call, now_ns).action, WEIR_DONE);
    if (runs) {
        uint32_t attempt = phase == FALLING ? 0 : 1;
        scene->step = weir_call_settle(&scene->call, attempt, outcome_of(WEIR_FAILED), now_ns + WEIR_S);
        CHECK_EQ(scene->step.action, WEIR_DONE);
        CHECK_EQ(scene->step.pending, 0);
    }
    CHECK_EQ(weir_call_outcome(&scene->call).status, WEIR_CANCELED);
}

TEST(machine, cancel_at_every_phase)
{
    for (enum phase phase = 0; phase < PHASES; phase++) {
        struct scene scene = { .step = { 0 } };
        enter_phase(&scene, phase);
        uint64_t now_ns = START + 301 * WEIR_MS;
        scene.step = weir_call_cancel(&scene.call, now_ns);
        check_canceled(&scene, phase, now_ns);
        leave_scene(&scene, phase);
    }
}

TEST(machine, cancel_by_the_source_at_every_phase)
{
    for (enum phase phase = 0; phase < PHASES; phase++) {
        struct scene scene = { .step = { 0 } };
        enter_phase(&scene, phase);
        CHECK(weir_source_cancel(scene.source, 5));
        uint64_t now_ns = START + 50 * WEIR_MS;
        scene.step = weir_call_wake(&scene.call, now_ns);
        check_canceled(&scene, phase, now_ns);
        leave_scene(&scene, phase);
    }
}

TEST(machine, the_deadline_at_every_phase)
{
    for (enum phase phase = 0; phase < PHASES; phase++) {
        struct scene scene = { .step = { 0 } };
        enter_phase(&scene, phase);
        scene.step = weir_call_wake(&scene.call, START + 200 * WEIR_S);
        bool waits = phase == BACKING_OFF || phase == AWAITING || phase == FALLING;
        struct weir_outcome outcome = weir_call_outcome(&scene.call);
        CHECK_EQ(outcome.status, WEIR_EXPIRED);
        CHECK_EQ(outcome.by, waits ? 0 : 3); /* inside the timeout it is the timeout's */
        CHECK_EQ(outcome.reason, waits ? WEIR_REASON_DEADLINE : WEIR_REASON_TIMEOUT);
        if (scene.step.pending != 0) {
            uint32_t attempt = phase == FALLING ? 0 : 1;
            scene.step = weir_call_settle(&scene.call, attempt, outcome_of(WEIR_OK), START + 300 * WEIR_S);
        }
        CHECK_EQ(weir_call_outcome(&scene.call).status, WEIR_EXPIRED);
        leave_scene(&scene, phase);
    }
}

TEST(machine, canceled_before_it_begins)
{
    struct weir_source *source;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    weir_source_cancel(source, 3);
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct weir_call call;
    CHECK_EQ(
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .context = &context), START).action,
        WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_CANCELED);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_pipeline_destroy(pipeline);
    weir_source_release(source);
}

TEST(machine, the_last_real_error_keeps_its_code)
{
    struct scene scene = { .step = { 0 } };
    enter_phase(&scene, RUNNING_FAST);
    struct weir_outcome failed = { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT, .code = 111 };
    CHECK_EQ(weir_call_settle(&scene.call, 1, failed, START).action, WEIR_WAIT);
    scene.step = weir_call_cancel(&scene.call, START + 1);
    CHECK_EQ(weir_call_outcome(&scene.call).status, WEIR_CANCELED);
    CHECK_EQ(weir_call_outcome(&scene.call).code, 111);
    leave_scene(&scene, BACKING_OFF);
}

/* It has used up its input: there is no next. The budget gets back what was charged for it. */
TEST(machine, an_abandoned_attempt_may_say_that_it_is_the_last)
{
    struct scene scene;
    enter_phase(&scene, AWAITING);
    struct weir_outcome used_up = { .status = WEIR_FAILED, .flags = WEIR_NOT_REPEATABLE };
    CHECK_EQ(weir_call_settle(&scene.call, 1, used_up, START + 310 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&scene.call).status, WEIR_EXPIRED);
    CHECK_EQ(weir_call_outcome(&scene.call).flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(weir_retry_stats(scene.retry).not_repeatable, 1);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).attempts, 1);
    leave_scene(&scene, AWAITING);
}

/* So it is where a policy keeps what it came with, and a retry outside is yet to be asked. */
TEST(machine, an_abandoned_attempt_may_say_so_while_its_outcome_is_kept)
{
    static const struct spy_script script = { .settle = keeps_once };
    static struct spy_log record;
    kept = false;
    struct weir_pipeline *pipeline = PIPELINE(
        POLICY(retry), spy_of(&spy_ops, 0, &record, &script), POLICY(timeout, .timeout_ns = WEIR_MS));
    struct weir_outcome used_up = { .status = WEIR_FAILED, .flags = WEIR_NOT_REPEATABLE };
    struct weir_call call;
    const struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .idempotent = true);
    CHECK_EQ(weir_call_begin(&call, pipeline, options, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_WAIT);
    CHECK_EQ(weir_call_settle(&call, 1, used_up, START + WEIR_MS).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).flags, WEIR_NOT_REPEATABLE);
    weir_pipeline_destroy(pipeline);
}

TEST(machine, an_abandoned_attempt_is_awaited_before_the_next)
{
    struct scene scene = { .step = { 0 } };
    enter_phase(&scene, AWAITING);
    CHECK_EQ(weir_bulkhead_stats(scene.bulkhead).in_use, 1);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).zombies, 1);
    /* The time to try again comes and passes. */
    CHECK_EQ(weir_call_wake(&scene.call, START + WEIR_S).action, WEIR_WAIT);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).attempts, 1);
    scene.step = weir_call_settle(&scene.call, 1, outcome_of(WEIR_OK), START + 2 * WEIR_S);
    CHECK_EQ(scene.step.action, WEIR_RUN); /* and its late answer is nobody's */
    CHECK_EQ(scene.step.attempt, 2);
    CHECK_EQ(scene.step.pending, 0);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).zombies, 0);
    CHECK_EQ(weir_bulkhead_stats(scene.bulkhead).in_use, 1);
    scene.step = weir_call_settle(&scene.call, 2, outcome_of(WEIR_OK), START + 2 * WEIR_S);
    CHECK_EQ(scene.step.action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&scene.call).status, WEIR_OK);
    CHECK_EQ(weir_retry_stats(scene.retry).recovered, 1);
    leave_scene(&scene, AWAITING);
}

TEST(machine, an_awaited_attempt_that_ends_early_still_backs_off)
{
    struct scene scene = { .step = { 0 } };
    enter_phase(&scene, AWAITING);
    scene.step = weir_call_settle(&scene.call, 1, outcome_of(WEIR_OK), START + 301 * WEIR_MS);
    CHECK_EQ(scene.step.action, WEIR_WAIT);
    CHECK_EQ(scene.step.at_ns, START + 310 * WEIR_MS);
    CHECK_EQ(weir_bulkhead_stats(scene.bulkhead).in_use, 0);
    scene.step = weir_call_wake(&scene.call, START + 310 * WEIR_MS);
    CHECK_EQ(scene.step.action, WEIR_RUN);
    CHECK_EQ(scene.step.at_ns, START + 610 * WEIR_MS); /* a timeout of its own */
    CHECK_EQ(weir_call_settle(&scene.call, 2, outcome_of(WEIR_OK), START + 310 * WEIR_MS).action, WEIR_DONE);
    leave_scene(&scene, AWAITING);
}

TEST(machine, a_fallback_function_is_a_step_under_the_outer_deadline)
{
    struct scene scene = { .step = { 0 } };
    enter_phase(&scene, FALLING);
    check_phase(&scene, FALLING);
    CHECK_EQ(weir_call_attempt(&scene.call)->deadline_ns, START + 100 * WEIR_S);
    struct weir_outcome said = weir_call_fallback(&scene.call, NULL);
    scene.step = weir_call_settle(&scene.call, 0, said, START + WEIR_S);
    CHECK_EQ(scene.step.action, WEIR_DONE);
    struct weir_outcome outcome = weir_call_outcome(&scene.call);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).degraded, 1);
    CHECK_EQ(weir_pipeline_stats(scene.pipeline).attempts, 1); /* functions are not counted */
    leave_scene(&scene, FALLING);
}

/* ---- waiting, and what has changed meanwhile ---- */

static void fail_alone(struct weir_policy *breaker, int count)
{
    for (int i = 0; i < count; i++) {
        struct weir_permit permit;
        CHECK_EQ(weir_breaker_acquire_at(breaker, &permit, START).status, WEIR_OK);
        weir_breaker_release_at(breaker, &permit, outcome_of(WEIR_FAILED), START);
    }
}

TEST(machine, a_breaker_that_opened_meanwhile_refuses_who_waited)
{
    for (int failures = 4; failures <= 5; failures++) {
        struct weir_policy *breaker = POLICY(breaker, .open_ns = 60 * WEIR_S, .jitter_percent = WEIR_OFF32);
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 2);
        struct weir_pipeline *pipeline = PIPELINE(breaker, bulkhead);
        struct weir_permit permit;
        struct weir_call call;
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit).status, WEIR_OK);
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
        fail_alone(breaker, failures);
        weir_bulkhead_release(bulkhead, &permit);
        struct weir_step step = weir_call_wake(&call, START + 1);
        CHECK_EQ(step.action, failures == 5 ? WEIR_DONE : WEIR_RUN);
        if (failures == 4) step = weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + 1);
        struct weir_outcome outcome = weir_call_outcome(&call);
        CHECK_EQ(outcome.status, failures == 5 ? WEIR_REJECTED : WEIR_OK);
        CHECK_EQ(outcome.reason, failures == 5 ? WEIR_REASON_BREAKER_OPEN : WEIR_REASON_NONE);
        CHECK_EQ(outcome.by, failures == 5);
        CHECK_EQ(weir_breaker_stats(breaker, START).counted_ok, failures == 4);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(machine, a_breaker_that_opened_while_backing_off_refuses_the_next_attempt)
{
    struct weir_policy *breaker = POLICY(breaker, .open_ns = 60 * WEIR_S);
    struct weir_pipeline *pipeline =
        PIPELINE(breaker, POLICY(retry, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_MS));
    struct weir_call call;
    CHECK_EQ(
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), START).action,
        WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START).action, WEIR_WAIT);
    fail_alone(breaker, 5);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_BREAKER_OPEN);
    weir_pipeline_destroy(pipeline);
}

/* ---- events and counters ---- */

static struct weir_event heard[64];
static size_t hearings;

static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    CHECK(hearings < 64);
    heard[hearings++] = *event;
}

static void expect(size_t which, enum weir_event_kind kind, uint32_t policy, enum weir_reason reason)
{
    CHECK_EQ(heard[which].kind, kind);
    CHECK_EQ(heard[which].policy, policy);
    CHECK_EQ(heard[which].reason, reason);
}

TEST(machine, events_tell_what_changed_in_order)
{
    struct weir_policy *order[] = { POLICY(fallback, .on = WEIR_ON(WEIR_REJECTED)),
        POLICY(retry, .attempts = 2), POLICY(timeout, .timeout_ns = WEIR_S),
        POLICY(breaker, .consecutive = 1, .probes = 1, .seed = 1) };
    struct weir_sink sink = { hear, NULL };
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = &sink), order, 4, &pipeline), 0);
    struct weir_policy *breaker = order[3];
    for (int i = 0; i < 4; i++) weir_policy_release(order[i]);
    struct weir_call call;
    struct weir_call_options options = { .size = sizeof options, .idempotent = true };
    CHECK_EQ(weir_call_begin(&call, pipeline, &options, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_S).pending, 1); /* abandoned; opens; will be tried again */
    struct weir_step step = weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + WEIR_S);
    step = weir_call_wake(&call, step.at_ns); /* refused; answered */
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(hearings, 0); /* nothing is told before it is delivered */
    CHECK_EQ(weir_pipeline_deliver(pipeline), 5);
    expect(0, WEIR_EVENT_ABANDONED, 3, WEIR_REASON_TIMEOUT);
    expect(1, WEIR_EVENT_BREAKER_OPENED, 4, WEIR_REASON_TIMEOUT);
    expect(2, WEIR_EVENT_RETRIED, 2, WEIR_REASON_TIMEOUT);
    expect(3, WEIR_EVENT_REFUSED, 4, WEIR_REASON_BREAKER_OPEN);
    expect(4, WEIR_EVENT_FELL_BACK, 1, WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(heard[0].now_ns, START + WEIR_S);
    uint64_t due_ns = weir_breaker_stats(breaker, START + WEIR_S).until_ns;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, due_ns).action, WEIR_RUN);
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(i ? WEIR_OK : WEIR_FAILED), due_ns).action, WEIR_DONE);
        due_ns = weir_breaker_stats(breaker, due_ns).until_ns;
    }
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, due_ns).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), due_ns).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_deliver(pipeline), 5);
    static const enum weir_event_kind then[] = { WEIR_EVENT_BREAKER_HALF_OPENED, WEIR_EVENT_BREAKER_REOPENED,
        WEIR_EVENT_BREAKER_HALF_OPENED, WEIR_EVENT_BREAKER_CLOSED, WEIR_EVENT_BREAKER_RAMP_OVER };
    for (int i = 0; i < 5; i++) CHECK_EQ(heard[5 + i].kind, then[i]);
    CHECK_EQ(weir_pipeline_deliver(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

static struct weir_outcome until_the_coarse_clock_has_moved(
    void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    uint64_t began_ns = weir_now(WEIR_TIMING_COARSE);
    while (weir_now(WEIR_TIMING_COARSE) == began_ns) continue;
    return outcome_of(WEIR_OK);
}

static struct weir_verdict answers(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)call;
    (void)now_ns;
    outcome->code = 42;
    return (struct weir_verdict) { .kind = WEIR_ANSWER };
}

TEST(machine, a_coarse_call_is_not_timed_because_a_policy_answers)
{
    static const struct spy_script script = { .settle = answers };
    static struct spy_log record;
    struct weir_policy *order[] = { spy_of(&spy_ops, 0, &record, &script) };
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .timing = WEIR_TIMING_COARSE), order, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(order[0]);
    CHECK_EQ(weir_run(pipeline, NULL, until_the_coarse_clock_has_moved, NULL).code, 42);
    CHECK_EQ(weir_pipeline_stats(pipeline).timed, 0);
    weir_pipeline_destroy(pipeline);
}
