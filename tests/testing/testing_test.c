/* The test kit, used as a user would: through whole pipelines. */
#include "support/test.h"

#include <weir/testing.h>
#include <weir/weir.h>

#include <errno.h>
#include <stdlib.h>

#define START WEIR_TEST_START_NS

/* ---- the clock ---- */

struct note {
    struct weir_test_clock *clock;
    uint64_t at_ns[8];
    int id[8], count;
};

struct entry {
    struct note *note;
    int id;
};

static void take_note(void *argument)
{
    struct entry *entry = argument;
    struct note *note = entry->note;
    note->at_ns[note->count] = weir_test_clock_now(note->clock);
    note->id[note->count++] = entry->id;
}

TEST(test_clock, runs_what_is_due_in_order)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 100);
    struct note note = { .clock = &clock };
    struct entry entry[4] = { { &note, 0 }, { &note, 1 }, { &note, 2 }, { &note, 3 } };
    weir_test_clock_at(&clock, 300, take_note, &entry[0]);
    weir_test_clock_at(&clock, 200, take_note, &entry[1]);
    weir_test_clock_at(&clock, 300, take_note, &entry[2]);
    weir_test_clock_at(&clock, 50, take_note, &entry[3]);
    weir_test_clock_advance(&clock, 250);
    static const int order[] = { 3, 1, 0, 2 };
    static const uint64_t at_ns[] = { 100, 200, 300, 300 };
    CHECK_EQ(note.count, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(note.id[i], order[i]);
        CHECK_EQ(note.at_ns[i], at_ns[i]);
    }
    CHECK_EQ(weir_test_clock_now(&clock), 350);
    weir_test_clock_advance(&clock, WEIR_NEVER);
    CHECK_EQ(weir_test_clock_now(&clock), WEIR_NEVER);
}

struct chain {
    struct weir_test_clock *clock;
    int ran;
};

static void schedule_more(void *argument)
{
    struct chain *chain = argument;
    if (++chain->ran == 5) return;
    weir_test_clock_at(chain->clock, weir_test_clock_now(chain->clock) + 10, schedule_more, chain);
    weir_test_clock_advance(chain->clock, 3); /* time may pass in an action */
}

TEST(test_clock, an_action_may_schedule_and_let_time_pass)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    CHECK_EQ(weir_test_clock_now(&clock), START);
    struct chain chain = { &clock, 0 };
    weir_test_clock_at(&clock, START + 10, schedule_more, &chain);
    weir_test_clock_advance(&clock, 49);
    CHECK_EQ(chain.ran, 4);
    weir_test_clock_advance(&clock, 1);
    CHECK_EQ(chain.ran, 5);
    CHECK_EQ(weir_test_clock_now(&clock), START + 50);
}

TEST(test_clock, waits_jump_and_stop_at_each_action)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    struct weir_clock jumping = weir_test_clock_use(&clock);
    struct note note = { .clock = &clock };
    struct entry entry = { &note, 7 };
    weir_test_clock_at(&clock, START + 10, take_note, &entry);
    jumping.wait(jumping.argument, START + 30);
    CHECK_EQ(jumping.now(jumping.argument), START + 10);
    CHECK_EQ(note.count, 1);
    jumping.wait(jumping.argument, START + 30);
    CHECK_EQ(jumping.now(jumping.argument), START + 30);
    jumping.wait(jumping.argument, START);
    CHECK_EQ(jumping.now(jumping.argument), START + 30);
    CHECK_ABORTS(jumping.wait(jumping.argument, WEIR_NEVER), "a wait without end");
}

static void fill_up(struct weir_test_clock *clock)
{
    for (int i = 0; i <= WEIR_TEST_ACTIONS_MAX; i++) weir_test_clock_at(clock, WEIR_NEVER, take_note, NULL);
}

TEST(test_clock, its_table_has_a_limit)
{
    struct weir_test_clock clock;
    weir_test_clock_init(&clock, 0);
    CHECK_ABORTS(fill_up(&clock), "weir_test_clock_at: more than WEIR_TEST_ACTIONS_MAX");
}

/* ---- pipelines on it ---- */

struct scene {
    struct weir_test_clock clock;
    struct weir_test_callee callee;
    struct weir_test_trace trace;
    struct weir_pipeline *pipeline;
};

/* Takes the references to the policies over. */
static void compose(struct scene *scene, struct weir_policy *const *order, size_t count)
{
    struct weir_clock clock = weir_test_clock_use(&scene->clock);
    struct weir_sink sink = weir_test_trace_sink(&scene->trace);
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = &clock, .sink = &sink), order,
                 count, &scene->pipeline),
        0);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
}

static struct weir_outcome call(struct scene *scene, const struct weir_context *context)
{
    struct weir_call_options options = weir_call_options_init();
    options.idempotent = true;
    options.context = context;
    options.seed = 1;
    struct weir_outcome outcome = weir_run(scene->pipeline, &options, weir_test_callee_run, &scene->callee);
    weir_test_trace_outcome(&scene->trace, outcome);
    return outcome;
}

TEST(test_callee, answers_its_script_and_takes_its_time)
{
    static const struct weir_test_step script[] = {
        { .repeat = 2, .duration_ns = 3 * WEIR_MS, .outcome = { .status = WEIR_FAILED, .code = 5 } },
        { .duration_ns = 10 * WEIR_MS, .outcome = { .status = WEIR_IGNORED } },
        { .duration_ns = WEIR_MS },
    };
    struct scene scene = { .pipeline = NULL };
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 3);
    compose(&scene, NULL, 0);
    static const uint8_t status[] = { WEIR_FAILED, WEIR_FAILED, WEIR_IGNORED, WEIR_OK, WEIR_OK };
    static const uint64_t after_ms[] = { 3, 6, 16, 17, 18 };
    for (int i = 0; i < 5; i++) {
        struct weir_outcome outcome = call(&scene, NULL);
        CHECK_EQ(outcome.status, status[i]);
        CHECK_EQ(outcome.code, status[i] == WEIR_FAILED ? 5 : 0);
        CHECK_EQ(weir_test_clock_now(&scene.clock), START + after_ms[i] * WEIR_MS);
    }
    CHECK_EQ(scene.callee.attempts, 5);
    weir_pipeline_destroy(scene.pipeline);
}

TEST(test_callee, honours_a_timeout)
{
    static const struct weir_test_step script[] = { { .duration_ns = WEIR_NEVER } };
    struct scene scene = { .pipeline = NULL };
    struct weir_policy *timeout;
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 70 * WEIR_MS), &timeout), 0);
    compose(&scene, &timeout, 1);
    struct weir_outcome outcome = call(&scene, NULL);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, ETIMEDOUT);
    CHECK_EQ(scene.callee.cut_off, 1);
    CHECK_EQ(weir_test_clock_now(&scene.clock), START + 70 * WEIR_MS);
    weir_pipeline_destroy(scene.pipeline);
}

static void cancel(void *source)
{
    weir_source_cancel(source, 9);
}

TEST(test_callee, is_canceled_in_the_middle)
{
    static const struct weir_test_step script[] = { { .duration_ns = WEIR_S } };
    struct scene scene = { .pipeline = NULL };
    struct weir_source *source;
    struct weir_context context;
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    compose(&scene, NULL, 0);
    CHECK_EQ(weir_source_create(&source), 0);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    weir_test_clock_at(&scene.clock, START + 400 * WEIR_MS, cancel, source);
    CHECK_EQ(call(&scene, &context).status, WEIR_CANCELED);
    CHECK_EQ(scene.callee.canceled, 1);
    CHECK_EQ(weir_test_clock_now(&scene.clock), START + 400 * WEIR_MS);
    weir_pipeline_destroy(scene.pipeline);
    weir_source_release(source);
}

/* A call that backs off for long is woken by a cancel at that very instant. */
TEST(test_clock, a_parked_call_is_canceled_at_once)
{
    static const struct weir_test_step script[] = { { .outcome = { .status = WEIR_FAILED } } };
    struct scene scene = { .pipeline = NULL };
    struct weir_policy *retry;
    struct weir_source *source;
    struct weir_context context;
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .backoff = WEIR_BACKOFF_CONSTANT,
                                   .base_ns = 60 * WEIR_S, .max_ns = 60 * WEIR_S),
                 &retry),
        0);
    compose(&scene, &retry, 1);
    CHECK_EQ(weir_source_create(&source), 0);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    weir_test_clock_at(&scene.clock, START + 7 * WEIR_S, cancel, source);
    CHECK_EQ(call(&scene, &context).status, WEIR_CANCELED);
    CHECK_EQ(scene.callee.attempts, 1);
    CHECK_EQ(weir_test_clock_now(&scene.clock), START + 7 * WEIR_S);
    weir_pipeline_destroy(scene.pipeline);
    weir_source_release(source);
}

struct held {
    struct weir_policy *bulkhead;
    struct weir_permit permit;
};

static void give_back(void *argument)
{
    struct held *held = argument;
    weir_bulkhead_release(held->bulkhead, &held->permit);
}

TEST(test_clock, a_queued_call_gets_a_permit_that_comes_back)
{
    static const struct weir_test_step script[] = { { .duration_ns = WEIR_MS } };
    struct scene scene = { .pipeline = NULL };
    struct held held;
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    CHECK_EQ(weir_bulkhead_create(
                 WEIR_CONFIG(weir_bulkhead_config, .limit = 1, .queue = 4, .wait_max_ns = 10 * WEIR_S),
                 &held.bulkhead),
        0);
    CHECK_EQ(weir_bulkhead_acquire(held.bulkhead, 1, &held.permit).status, WEIR_OK);
    compose(&scene, &held.bulkhead, 1);
    weir_test_clock_at(&scene.clock, START + 2 * WEIR_S, give_back, &held);
    CHECK_EQ(call(&scene, NULL).status, WEIR_OK);
    CHECK_EQ(weir_test_clock_now(&scene.clock), START + 2 * WEIR_S + WEIR_MS);
    weir_pipeline_destroy(scene.pipeline);
}

/* ---- forced outcomes ---- */

TEST(test_force, refuses_without_running)
{
    static const struct weir_test_step script[] = { { .duration_ns = 0 } };
    struct scene scene = { .pipeline = NULL };
    struct weir_policy *force;
    struct weir_outcome forced = { .status = WEIR_REJECTED, .retry_after_ns = WEIR_S };
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    CHECK_EQ(weir_test_force_create(NULL, forced, &force), 0);
    CHECK_STR(weir_policy_name(force), "force");
    CHECK_STR(weir_policy_kind(force), "force");
    compose(&scene, &force, 1);
    struct weir_outcome outcome = call(&scene, NULL);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_CUSTOM);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.retry_after_ns, WEIR_S);
    CHECK_EQ(scene.callee.attempts, 0);
    weir_policy_set_mode(force, WEIR_MODE_DISABLED);
    CHECK_EQ(call(&scene, NULL).status, WEIR_OK);
    CHECK_EQ(scene.callee.attempts, 1);
    weir_pipeline_destroy(scene.pipeline);
}

TEST(test_force, replaces_the_outcome_of_what_ran)
{
    static const struct weir_test_step script[] = { { .duration_ns = 0 } };
    struct scene scene = { .pipeline = NULL };
    struct weir_policy *order[2];
    struct weir_outcome forced = { .status = WEIR_FAILED, .code = 42 };
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_script(&scene.callee, &scene.clock, script, 1);
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .consecutive = 3), &order[0]), 0);
    CHECK_EQ(weir_test_force_create("storm", forced, &order[1]), 0);
    compose(&scene, order, 2);
    for (int i = 0; i < 3; i++) CHECK_EQ(call(&scene, NULL).code, 42);
    CHECK_EQ(scene.callee.attempts, 3);
    CHECK_EQ(call(&scene, NULL).reason, WEIR_REASON_BREAKER_OPEN);
    weir_pipeline_destroy(scene.pipeline);
    forced.status = WEIR_STATUSES;
    CHECK_ABORTS(CHECK_EQ(weir_test_force_create(NULL, forced, &order[1]), 0),
        "weir_test_force_create: outcome.status is none");
}

/* ---- chance ---- */

static struct weir_test_trace random_run(uint64_t seed)
{
    struct scene scene = { .pipeline = NULL };
    struct weir_policy *order[3];
    weir_test_clock_init(&scene.clock, 0);
    weir_test_callee_random(&scene.callee, &scene.clock,
        (struct weir_test_chances) { .seed = seed,
            .failure_percent = 30,
            .failure = { .status = WEIR_FAILED, .code = 5 },
            .duration_min_ns = WEIR_MS,
            .duration_max_ns = 40 * WEIR_MS });
    scene.callee.trace = &scene.trace;
    CHECK_EQ(weir_retry_create(NULL, &order[0]), 0);
    CHECK_EQ(weir_breaker_create(
                 WEIR_CONFIG(weir_breaker_config, .seed = seed, .consecutive = WEIR_OFF32), &order[1]),
        0);
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 30 * WEIR_MS), &order[2]), 0);
    compose(&scene, order, 3);
    for (int i = 0; i < 2000; i++) {
        (void)call(&scene, NULL);
        weir_test_clock_advance(&scene.clock, 10 * WEIR_MS);
    }
    CHECK(scene.callee.cut_off > 100);
    weir_pipeline_destroy(scene.pipeline);
    return scene.trace;
}

TEST(test_chance, the_same_seed_is_the_same_run)
{
    uint64_t seed = weir_test_seed();
    struct weir_test_trace once = random_run(seed), again = random_run(seed), other = random_run(seed + 1);
    CHECK(once.length > 2000);
    CHECK_EQ(once.hash, again.hash);
    CHECK_EQ(once.length, again.length);
    CHECK(once.hash != other.hash);
}

TEST(test_chance, a_hash_knows_the_order)
{
    struct weir_test_trace ab = { 0 }, ba = { 0 }, step = { 0 };
    weir_test_trace_number(&ab, 1);
    weir_test_trace_number(&ab, 2);
    weir_test_trace_number(&ba, 2);
    weir_test_trace_number(&ba, 1);
    CHECK(ab.hash != ba.hash);
    CHECK_EQ(ab.hash, UINT64_C(0x7b77143069c6ca59)); /* the same on every machine */
    weir_test_trace_step(&step, (struct weir_step) { .action = WEIR_WAIT, .at_ns = 5 });
    CHECK_EQ(step.length, 2);
}

TEST(test_chance, draws_stay_within_their_bounds)
{
    uint64_t state = 7, seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t drawn = weir_test_draw(&state, 10, 13);
        CHECK(drawn >= 10);
        CHECK(drawn <= 13);
        seen |= UINT64_C(1) << (drawn - 10);
    }
    CHECK_EQ(seen, 15);
    CHECK_EQ(weir_test_draw(&state, 3, 3), 3);
    CHECK(weir_test_draw(&state, 0, UINT64_MAX) != weir_test_draw(&state, 0, UINT64_MAX));
}

TEST(test_chance, a_failure_tells_how_to_see_it_again)
{
    CHECK_ABORTS(weir_test_fail("lost %d of %d", 3, 7), "lost 3 of 7\nto see it again: WEIR_SEED=0x");
}

/* The seed is found once for each process; without a process for each test it is known by now. */
#ifndef WEIR_INPROC
static void fail_with(const char *seed)
{
    setenv("WEIR_SEED", seed, 1);
    weir_test_fail("lost %d of %d", 3, 7);
}

TEST(test_chance, the_environment_names_the_seed)
{
    CHECK_ABORTS(fail_with("0x1f"), "WEIR_SEED=0x000000000000001f");
    CHECK_ABORTS(fail_with("31"), "WEIR_SEED=0x000000000000001f");
    CHECK_ABORTS(fail_with("31 "), "weir_test_seed: WEIR_SEED is no number");
    CHECK_ABORTS(fail_with("-1"), "weir_test_seed: WEIR_SEED is no number");
    CHECK_ABORTS(fail_with(""), "weir_test_seed: WEIR_SEED is no number");
    CHECK_ABORTS(fail_with("0x"), "weir_test_seed: WEIR_SEED is no number");
}
#endif

TEST(test_callee, misuse_aborts_by_name)
{
    struct weir_test_clock clock;
    struct weir_test_callee callee;
    weir_test_clock_init(&clock, 0);
    CHECK_ABORTS(weir_test_callee_script(&callee, &clock, NULL, 0), "weir_test_callee_script: there is no");
    CHECK_ABORTS(
        weir_test_callee_random(&callee, &clock, (struct weir_test_chances) { .failure_percent = 101 }),
        "weir_test_callee_random: failure_percent");
    CHECK_ABORTS(
        weir_test_callee_random(&callee, &clock, (struct weir_test_chances) { .duration_min_ns = 1 }),
        "weir_test_callee_random: duration_min_ns");
}
