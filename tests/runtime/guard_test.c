/* Guarded blocks: whatever way a block is left, its call is settled once, and nothing stays taken. */
#include "pipeline/machine_words.h"

#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR (3600 * WEIR_S)

static struct weir_pipeline *one_at_a_time(struct weir_policy **bulkhead, uint32_t queue)
{
    *bulkhead = POLICY(bulkhead, .limit = 1, .queue = queue, .wait_max_ns = HOUR);
    return PIPELINE(nobody(), *bulkhead);
}

/* ---- the ways out ---- */

enum way { FALL, BREAK, CONTINUE, RETURN, GOTO, WAYS };

/* Leaves a block in that way, by what it set or by nothing. Answers how often the block ran; -1: by return. */
static int leave(struct weir_guard *guard, const struct weir_pipeline *pipeline, enum way way,
    const struct weir_outcome *outcome, const struct weir_policy *bulkhead)
{
    int ran = 0;
    for (int round = 0; round < 1; round++) {
        WEIR_GUARD(guard, pipeline, NULL)
        {
            ran++;
            CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 1);
            CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 1);
            if (outcome != NULL) guard->outcome = *outcome;
            if (way == BREAK) break;
            if (way == CONTINUE) continue;
            if (way == RETURN) return -1;
            if (way == GOTO) goto out;
        }
        CHECK(way != GOTO || ran == 0);
        ran += 10; /* break and continue leave the block only */
    }
out:
    return ran;
}

static void check_way(enum way way, const struct weir_outcome *set, bool refused)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline = one_at_a_time(&bulkhead, 0);
    struct weir_guard guard;
    if (refused) weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
    for (uint32_t round = 1; round <= 3; round++) {
        int ran = leave(&guard, pipeline, way, set, bulkhead);
        if (refused) CHECK_EQ(ran, 10);
        else CHECK_EQ(ran, way == RETURN ? -1 : way == GOTO ? 1 : 11);
        enum weir_status status = refused ? WEIR_REJECTED : set == NULL ? WEIR_OK : set->status;
        CHECK_EQ(guard.outcome.status, status);
        CHECK_EQ(guard.outcome.reason, refused ? WEIR_REASON_FORCED : WEIR_REASON_NONE);
        if (!refused && set != NULL) CHECK_EQ(guard.outcome.code, set->code);
        struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
        CHECK_EQ(stats.begun, round);
        CHECK_EQ(stats.ended[status], round);
        CHECK_EQ(stats.in_flight, 0);
        CHECK_EQ(stats.attempts, refused ? 0 : round);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    }
    weir_pipeline_destroy(pipeline); /* aborts if a call is in it */
}

TEST(guard, every_way_out_settles_once)
{
    const struct weir_outcome ok = weir_from_int(0), failed = weir_from_errno(EIO),
                              ignored = { .status = WEIR_IGNORED, .code = 7 };
    const struct weir_outcome *const sets[] = { NULL, &ok, &failed, &ignored };
    for (int way = 0; way < WAYS; way++) {
        for (int i = 0; i < 4; i++) check_way((enum way)way, sets[i], false);
        check_way((enum way)way, NULL, true);
    }
}

static uint32_t evaluated;
static struct weir_guard *counted(struct weir_guard *guard)
{
    evaluated++;
    return guard;
}

TEST(guard, its_arguments_are_evaluated_once)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    struct weir_guard guard;
    WEIR_GUARD(counted(&guard), pipeline, NULL)
    {
    }
    CHECK_EQ(evaluated, 1);
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
}

/* ---- time ---- */

static uint64_t hand_ns = START;
static uint64_t hand_now(void *argument)
{
    (void)argument;
    return hand_ns;
}
static void hand_wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    if (until_ns > hand_ns) hand_ns = until_ns;
}

static struct weir_pipeline *by_hand(struct weir_policy *first, struct weir_policy *second)
{
    static const struct weir_clock clock = { hand_now, hand_wait, NULL };
    struct weir_policy *order[] = { first, second };
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = &clock), order,
                 second == NULL ? 1 : 2, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(first);
    weir_policy_release(second);
    return pipeline;
}

TEST(guard, the_block_knows_its_deadline_and_is_judged_by_it)
{
    struct weir_policy *breaker = POLICY(breaker, .name = "b");
    struct weir_pipeline *pipeline = by_hand(breaker, POLICY(timeout, .timeout_ns = WEIR_S));
    struct weir_guard guard;
    WEIR_GUARD(&guard, pipeline, NULL)
    {
        CHECK_EQ(guard.attempt->deadline_ns, hand_ns + WEIR_S);
        CHECK_EQ(weir_attempt_left_ms(guard.attempt), 1000);
        CHECK_EQ(guard.attempt->number, 1);
        hand_ns += WEIR_S;
        guard.outcome = weir_from_errno(EIO);
    }
    CHECK_EQ(guard.outcome.status, WEIR_EXPIRED);
    CHECK_EQ(guard.outcome.reason, WEIR_REASON_TIMEOUT);
    CHECK_EQ(guard.outcome.by, 2);
    CHECK_EQ(guard.outcome.code, EIO);
    CHECK_EQ(weir_breaker_stats(breaker, hand_ns).counted_failed, 1);
    WEIR_GUARD(&guard, pipeline, NULL) hand_ns += 2 * WEIR_S;
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    CHECK_EQ(guard.outcome.flags, WEIR_LATE);
    WEIR_GUARD(&guard, pipeline, NULL) hand_ns += WEIR_MS;
    CHECK_EQ(guard.outcome.flags, 0);
    CHECK_EQ(weir_histogram_count(weir_pipeline_latency(pipeline)), 2); /* of what went well */
    weir_pipeline_destroy(pipeline);
}

TEST(guard, a_context_that_is_over_skips_it)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    struct weir_source *source;
    struct weir_context context;
    struct weir_guard guard;
    uint32_t ran = 0;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    WEIR_GUARD(&guard, pipeline, WEIR_CONFIG(weir_call_options, .context = &context))
    {
        ran++;
        CHECK(guard.attempt->context == &context);
        weir_source_cancel(source, 3);
        guard.outcome = weir_from_errno(EINTR);
    }
    CHECK_EQ(guard.outcome.status, WEIR_CANCELED);
    WEIR_GUARD(&guard, pipeline, WEIR_CONFIG(weir_call_options, .context = &context)) ran++;
    CHECK_EQ(guard.outcome.status, WEIR_CANCELED);
    CHECK_EQ(ran, 1);
    weir_source_release(source);
    weir_pipeline_destroy(pipeline);
}

/* ---- a fallback's function ---- */

static struct weir_outcome old_path(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    ++*(uint32_t *)argument;
    return weir_from_int(0);
}

TEST(guard, a_fallback_function_runs_when_it_is_skipped_and_when_it_fails)
{
    struct weir_policy *gate = POLICY(gate, .name = "g");
    struct weir_pipeline *pipeline = PIPELINE(POLICY(fallback, .function = old_path), gate);
    uint32_t ran = 0, fell = 0;
    struct weir_guard guard = { .argument = &fell };
    WEIR_GUARD(&guard, pipeline, NULL)
    {
        ran++;
        guard.outcome = weir_from_errno(EIO);
        CHECK_EQ(fell, 0);
    }
    CHECK_EQ(fell, 1);
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    CHECK_EQ(guard.outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(guard.outcome.code, EIO);
    CHECK_EQ(weir_gate_set_share(gate, 0), WEIR_E_NONE);
    WEIR_GUARD(&guard, pipeline, NULL) ran++;
    CHECK_EQ(ran, 1);
    CHECK_EQ(fell, 2);
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    CHECK_EQ(guard.outcome.reason, WEIR_REASON_GATE);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- inside one another ---- */

static struct weir_outcome plain(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return weir_from_int(0);
}

TEST(guard, what_is_inside_never_queues_for_what_is_held_outside)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline = one_at_a_time(&bulkhead, 4), *other = PIPELINE(nobody());
    struct weir_guard outer, middle, inner;
    uint32_t ran = 0;
    WEIR_GUARD(&outer, pipeline, NULL)
    {
        WEIR_GUARD(&middle, other, NULL)
        {
            WEIR_GUARD(&inner, pipeline, NULL) ran++;
            CHECK_EQ(inner.outcome.reason, WEIR_REASON_NESTED);
            CHECK_EQ(weir_run(pipeline, NULL, plain, NULL).reason, WEIR_REASON_NESTED);
            CHECK_EQ(weir_run(other, NULL, plain, NULL).status, WEIR_OK);
            ran++;
        }
        CHECK_EQ(weir_run(pipeline, NULL, plain, NULL).reason, WEIR_REASON_NESTED);
        ran++;
    }
    CHECK_EQ(ran, 2);
    CHECK_EQ(middle.outcome.status, WEIR_OK);
    CHECK_EQ(outer.outcome.status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    CHECK(weir_thread.call == NULL);
    CHECK_EQ(weir_run(pipeline, NULL, plain, NULL).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
    weir_pipeline_destroy(other);
}

static struct weir_outcome guards(void *pipeline, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct weir_guard guard;
    WEIR_GUARD(&guard, pipeline, NULL)
    {
    }
    return guard.outcome;
}

TEST(guard, within_an_operation)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline = one_at_a_time(&bulkhead, 4);
    struct weir_outcome outcome = weir_run(pipeline, NULL, guards, pipeline);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_nested, 1);
    weir_pipeline_destroy(pipeline);
}

/* ---- waiting ---- */

struct waiter {
    const struct weir_pipeline *pipeline;
    struct weir_outcome outcome;
    uint32_t ran;
};

static void *wait_in_line(void *argument)
{
    struct waiter *waiter = argument;
    struct weir_guard guard;
    WEIR_GUARD(&guard, waiter->pipeline, NULL)
    {
        waiter->ran++;
        guard.outcome = weir_from_int(17);
    }
    waiter->outcome = guard.outcome;
    return NULL;
}

TEST(guard, waits_in_the_queue_until_its_turn)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline = one_at_a_time(&bulkhead, 1);
    struct waiter waiter = { .pipeline = pipeline };
    struct weir_guard guard;
    pthread_t thread;
    WEIR_GUARD(&guard, pipeline, NULL)
    {
        CHECK_EQ(pthread_create(&thread, NULL, wait_in_line, &waiter), 0);
        while (weir_bulkhead_stats(bulkhead).waiting == 0) sched_yield();
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(waiter.ran, 1);
    CHECK_EQ(waiter.outcome.status, WEIR_FAILED);
    CHECK_EQ(waiter.outcome.code, 17);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).handed_over, 1);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_pipeline_destroy(pipeline);
}

/* The waker of the options is for other drivers: the guard's own wakes it. */
static void wrong_waker(void *argument)
{
    (void)argument;
}

TEST(guard, waits_for_a_turn_by_the_clock)
{
    struct weir_pipeline *pipeline =
        by_hand(POLICY(rate, .permits = 10, .burst = 1, .wait_max_ns = WEIR_S), NULL);
    struct weir_call_options options = { .size = sizeof options, .waker = { wrong_waker, NULL } };
    uint64_t began_ns = hand_ns;
    struct weir_guard guard;
    for (uint32_t i = 0; i < 5; i++) {
        WEIR_GUARD(&guard, pipeline, &options) CHECK_EQ(hand_ns - began_ns, i * 100 * WEIR_MS);
        CHECK_EQ(guard.outcome.status, WEIR_OK);
    }
    weir_pipeline_destroy(pipeline);
}

#define CROWD 4
#define ROUNDS 2000

struct crowd {
    struct weir_pipeline *pipeline;
    struct weir_policy *bulkhead;
    uint32_t inside;
    uint64_t ran, refused;
};

/* One of the ways out, by turns. Answers whether the block ran. */
static bool pass_through(struct crowd *crowd, uint32_t turn, struct weir_guard *guard)
{
    bool ran = false;
    WEIR_GUARD(guard, crowd->pipeline, NULL)
    {
        ran = true;
        CHECK(__atomic_add_fetch(&crowd->inside, 1, __ATOMIC_RELAXED) <= 2);
        if (turn % 3 == 0) guard->outcome = weir_from_int(1);
        __atomic_sub_fetch(&crowd->inside, 1, __ATOMIC_RELAXED);
        if (turn % 5 == 0) return ran;
        if (turn % 5 == 1) break;
        if (turn % 5 == 2) continue;
        if (turn % 5 == 3) goto out;
    }
out:
    return ran;
}

static void *press(void *argument)
{
    struct crowd *crowd = argument;
    for (uint32_t turn = 0; turn < ROUNDS; turn++) {
        struct weir_guard guard;
        bool ran = pass_through(crowd, turn, &guard);
        CHECK_EQ(guard.outcome.status, !ran ? WEIR_REJECTED : turn % 3 == 0 ? WEIR_FAILED : WEIR_OK);
        __atomic_add_fetch(ran ? &crowd->ran : &crowd->refused, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

TEST(guard, a_crowd_leaves_nothing_behind)
{
    struct crowd crowd = { .bulkhead = POLICY(bulkhead, .limit = 2, .queue = 1, .wait_max_ns = HOUR) };
    crowd.pipeline = PIPELINE(nobody(), crowd.bulkhead);
    pthread_t thread[CROWD];
    for (int i = 0; i < CROWD; i++) CHECK_EQ(pthread_create(&thread[i], NULL, press, &crowd), 0);
    for (int i = 0; i < CROWD; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(crowd.ran + crowd.refused, CROWD * ROUNDS);
    struct weir_pipeline_stats stats = weir_pipeline_stats(crowd.pipeline);
    CHECK_EQ(stats.begun, CROWD * ROUNDS);
    CHECK_EQ(stats.ended[WEIR_REJECTED], crowd.refused);
    CHECK_EQ(stats.attempts, crowd.ran);
    CHECK_EQ(stats.in_flight, 0);
    CHECK_EQ(weir_bulkhead_stats(crowd.bulkhead).in_use, 0);
    CHECK_EQ(weir_bulkhead_stats(crowd.bulkhead).waiting, 0);
    weir_pipeline_destroy(crowd.pipeline);
}

/* ---- events, drain, fork ---- */

static uint32_t told;
static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    told += event->kind == WEIR_EVENT_REFUSED;
}

TEST(guard, delivers_its_events_when_it_is_over)
{
    struct weir_policy *gate = POLICY(gate, .share = WEIR_OFF32);
    struct weir_pipeline *pipeline = NULL;
    struct weir_sink sink = { hear, NULL };
    struct weir_guard guard;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = &sink), &gate, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(gate);
    WEIR_GUARD(&guard, pipeline, NULL) CHECK(!"refused");
    CHECK_EQ(told, 1);
    CHECK_EQ(weir_gate_set_share(gate, 1000000), WEIR_E_NONE);
    WEIR_GUARD(&guard, pipeline, NULL)
    CHECK_EQ(weir_pipeline_drain(pipeline, weir_now(WEIR_TIMING_PRECISE)), WEIR_E_TIMEOUT);
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    CHECK_EQ(weir_pipeline_drain(pipeline, weir_now(WEIR_TIMING_PRECISE)), WEIR_E_NONE);
    WEIR_GUARD(&guard, pipeline, NULL) CHECK(!"drained");
    CHECK_EQ(guard.outcome.reason, WEIR_REASON_DRAINING);
    weir_pipeline_destroy(pipeline);
}

/* A child that leaves the parent's block gives nothing back that is the parent's. */
TEST(guard, a_forked_child_leaves_the_parents_block)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline = one_at_a_time(&bulkhead, 0);
    struct weir_guard guard;
    int status = -1;
    pid_t child = -1;
    WEIR_GUARD(&guard, pipeline, NULL)
    {
        fflush(NULL);
        child = fork();
        if (child != 0) CHECK_EQ(waitpid(child, &status, 0), child);
    }
    if (child == 0) {
        bool fine = guard.outcome.status == WEIR_IGNORED && guard.outcome.reason == WEIR_REASON_FORKED;
        WEIR_GUARD(&guard, pipeline, NULL) fine &= weir_bulkhead_stats(bulkhead).in_use == 1;
        _exit(fine && guard.outcome.status == WEIR_OK && weir_bulkhead_stats(bulkhead).in_use == 0 ? 0 : 1);
    }
    CHECK_EQ(status, 0);
    CHECK_EQ(guard.outcome.status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- misuse ---- */

static struct weir_verdict again(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)call;
    (void)outcome;
    return (struct weir_verdict) { .kind = WEIR_AGAIN, .at_ns = now_ns };
}

static void guarded(struct weir_guard *guard, const struct weir_pipeline *pipeline)
{
    WEIR_GUARD(guard, pipeline, NULL)
    {
    }
}

TEST(guard, what_a_block_cannot_do_aborts)
{
    static const struct weir_policy_ops ops = { .size = sizeof ops, .kind = "again", .settle = again };
    struct weir_policy *own;
    struct weir_guard guard;
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops), &own), WEIR_E_NONE);
    struct weir_pipeline *plainly = PIPELINE(nobody()), *asks = PIPELINE(own), *result = NULL;
    struct weir_pipeline *tries = PIPELINE(nobody(), POLICY(retry, .name = "re\ntry"));
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = 8), NULL, 0, &result),
        WEIR_E_NONE);
    CHECK_ABORTS(guarded(NULL, plainly), "weir: WEIR_GUARD: guard is NULL");
    CHECK_ABORTS(guarded(&guard, NULL), "weir: WEIR_GUARD: pipeline is NULL");
    CHECK_ABORTS(weir_guard_end(NULL), "weir: weir_guard_end: guard is NULL");
    CHECK_ABORTS(guarded(&guard, tries),
        "weir: WEIR_GUARD: the pipeline has retry \"re\\x0atry\", but a block runs once: use weir_run()");
    CHECK_ABORTS(guarded(&guard, result),
        "weir: WEIR_GUARD: the pipeline has a result, which a block has no place for: use weir_run()");
    CHECK_ABORTS(
        guarded(&guard, asks), "weir: WEIR_GUARD: a policy asked for another attempt, but a block runs once");
    weir_pipeline_destroy(plainly);
    weir_pipeline_destroy(asks);
    weir_pipeline_destroy(tries);
    weir_pipeline_destroy(result);
}
