/* The blocking driver: what an operation is told, waits that end at once, what a call brings back. */
#include "pipeline/machine_words.h"

#include "base/context.h"
#include "base/lock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define HOUR (3600 * WEIR_S)

/* ---- a clock that is told, and an operation that is told ---- */

struct hand {
    uint64_t now_ns, waited_until_ns;
    uint32_t waits;
};

static uint64_t hand_now(void *hand)
{
    return ((struct hand *)hand)->now_ns;
}

static void hand_wait(void *argument, uint64_t until_ns)
{
    struct hand *hand = argument;
    hand->waits++;
    hand->waited_until_ns = until_ns;
    if (until_ns > hand->now_ns) hand->now_ns = until_ns;
}

static struct weir_pipeline *with(
    struct hand *hand, uint32_t result_size, struct weir_policy **order, size_t count)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_clock clock = { hand_now, hand_wait, hand };
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = hand == NULL ? NULL : &clock,
                                      .result_size = result_size),
                 order, count, &pipeline),
        WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}
#define WITH(hand, result_size, ...)                                  \
    with(hand, result_size, (struct weir_policy *[]) { __VA_ARGS__ }, \
        sizeof((struct weir_policy *[]) { __VA_ARGS__ }) / sizeof(struct weir_policy *))

#define ANSWERS 4

/* The answer of each attempt, the last one for ever; what each was told. */
struct work {
    struct weir_outcome answer[ANSWERS];
    uint64_t takes_ns; /* on the hand */
    struct hand *hand;
    uint32_t value; /* written, plus the attempt's number, if there is a place for it */
    uint32_t ran, fell_back;
    uint64_t deadline_ns[ANSWERS];
    uint32_t number[ANSWERS], found[ANSWERS];
    bool has_value;
};

static struct weir_outcome operation(void *argument, const struct weir_attempt *attempt)
{
    struct work *work = argument;
    uint32_t ran = __atomic_load_n(&work->ran, __ATOMIC_RELAXED), i = ran < ANSWERS ? ran : ANSWERS - 1;
    work->deadline_ns[i] = attempt->deadline_ns;
    work->number[i] = attempt->number;
    work->has_value = attempt->value != NULL;
    if (attempt->value != NULL) {
        uint32_t value = work->value + attempt->number;
        memcpy(&work->found[i], attempt->value, sizeof value);
        memcpy(attempt->value, &value, sizeof value);
    }
    if (work->hand != NULL) work->hand->now_ns += work->takes_ns;
    __atomic_store_n(&work->ran, ran + 1, __ATOMIC_RELEASE);
    return work->answer[i];
}

static struct weir_outcome function(void *argument, const struct weir_attempt *attempt)
{
    struct work *work = argument;
    work->fell_back++;
    if (attempt->value != NULL) memcpy(attempt->value, &(uint32_t) { 4242 }, sizeof(uint32_t));
    return outcome_of(WEIR_OK);
}

#define FAILS                            \
    {                                    \
        .status = WEIR_FAILED, .code = 5 \
    }

static struct weir_policy *retry_of_three(uint64_t base_ns)
{
    return POLICY(retry, .attempts = 3, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = base_ns,
        .max_ns = base_ns < 2 * WEIR_S ? 2 * WEIR_S : base_ns);
}

/* ---- what is left ---- */

struct left {
    struct hand *hand;
    uint64_t at_ns; /* of the hand, when it asks */
    long ms;
};

static struct weir_outcome asks_what_is_left(void *argument, const struct weir_attempt *attempt)
{
    struct left *left = argument;
    left->hand->now_ns = left->at_ns;
    left->ms = weir_attempt_left_ms(attempt);
    return outcome_of(WEIR_OK);
}

static long left_at(struct weir_pipeline *pipeline, struct hand *hand, uint64_t at_ns)
{
    struct left left = { hand, at_ns, 0 };
    hand->now_ns = START;
    (void)weir_run(pipeline, NULL, asks_what_is_left, &left);
    return left.ms;
}

TEST(run, what_is_left_is_rounded_up_and_never_0)
{
    struct hand hand = { .now_ns = START };
    struct weir_pipeline *pipeline = WITH(&hand, 0, POLICY(timeout, .timeout_ns = 10 * WEIR_MS));
    CHECK_EQ(left_at(pipeline, &hand, START), 10);
    CHECK_EQ(left_at(pipeline, &hand, START + 1), 10);
    CHECK_EQ(left_at(pipeline, &hand, START + WEIR_MS - 1), 10);
    CHECK_EQ(left_at(pipeline, &hand, START + WEIR_MS), 9);
    CHECK_EQ(left_at(pipeline, &hand, START + 9 * WEIR_MS), 1);
    CHECK_EQ(left_at(pipeline, &hand, START + 10 * WEIR_MS - 1), 1);
    CHECK_EQ(left_at(pipeline, &hand, START + 10 * WEIR_MS), 1);
    CHECK_EQ(left_at(pipeline, &hand, START + HOUR), 1);
    weir_pipeline_destroy(pipeline);
}

TEST(run, without_a_deadline_or_with_a_far_one_the_most_is_left)
{
    struct hand hand = { .now_ns = START };
    struct weir_pipeline *pipeline = WITH(&hand, 0, nobody());
    CHECK_EQ(left_at(pipeline, &hand, START), INT32_MAX);
    const struct {
        uint64_t left_ns;
        long ms;
    } far[] = {
        { (uint64_t)INT32_MAX * WEIR_MS - WEIR_MS, (long)INT32_MAX - 1 },
        { (uint64_t)INT32_MAX * WEIR_MS, INT32_MAX },
        { (uint64_t)INT32_MAX * WEIR_MS + 1, INT32_MAX },
        { WEIR_NEVER - 1 - START, INT32_MAX },
    };
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        struct weir_context context;
        weir_context_child(&context, NULL, START + far[i].left_ns, NULL);
        weir_context_enter(&context);
        CHECK_EQ(left_at(pipeline, &hand, START), far[i].ms);
        weir_context_leave(&context);
    }
    weir_pipeline_destroy(pipeline);
}

/* ---- given time jumps ---- */

TEST(run, run_at_is_at_the_end_of_a_back_off_at_once)
{
    struct work work = { .answer = { FAILS, FAILS, { .status = WEIR_OK } } };
    struct weir_pipeline *pipeline = WITH(NULL, 0, retry_of_three(HOUR), POLICY(timeout, .name = "inner"));
    struct weir_outcome outcome =
        weir_run_at(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), operation, &work, START);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(work.ran, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(work.number[i], i + 1);
        CHECK_EQ(work.deadline_ns[i], START + i * HOUR + WEIR_S);
    }
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 3);
    CHECK_EQ(weir_pipeline_stats(pipeline).timed, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(run, run_at_is_at_the_end_of_a_queue_at_once)
{
    struct work work = { .ran = 0 };
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1, .wait_max_ns = 60 * WEIR_S);
    struct weir_pipeline *pipeline = WITH(NULL, 0, bulkhead);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    struct weir_outcome outcome = weir_run_at(pipeline, NULL, operation, &work, START);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_QUEUE_WAIT);
    CHECK_EQ(work.ran, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 0);
    weir_bulkhead_release(bulkhead, &taken);
    weir_pipeline_destroy(pipeline);
}

/* A wait of this process's own leaves errno alone, and so does what ends it. */
TEST(run, a_real_wait_ends_and_leaves_errno_alone)
{
    struct work work = { .ran = 0 };
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1, .wait_max_ns = 2 * WEIR_MS);
    struct weir_pipeline *pipeline = WITH(NULL, 0, bulkhead);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    errno = 1234;
    struct weir_outcome outcome = weir_run(pipeline, NULL, operation, &work);
    CHECK_EQ(errno, 1234);
    CHECK_EQ(outcome.reason, WEIR_REASON_QUEUE_WAIT);
    weir_bulkhead_release(bulkhead, &taken);
    weir_pipeline_destroy(pipeline);
}

TEST(run, a_clock_of_the_users_waits_instead)
{
    struct hand hand = { .now_ns = START };
    struct work work = { .answer = { FAILS, { .status = WEIR_OK } }, .hand = &hand, .takes_ns = WEIR_MS };
    struct weir_pipeline *pipeline = WITH(&hand, 0, retry_of_three(HOUR));
    struct weir_outcome outcome =
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), operation, &work);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(hand.waits, 1);
    CHECK_EQ(hand.waited_until_ns, START + WEIR_MS + HOUR);
    CHECK_EQ(hand.now_ns, START + 2 * WEIR_MS + HOUR);
    CHECK_EQ(weir_pipeline_stats(pipeline).timed, 1);
    uint64_t took_ns = weir_histogram_quantile(weir_pipeline_latency(pipeline), 1000000);
    CHECK(took_ns > 17 * 60 * WEIR_S); /* the longest that the histogram tells apart */
    weir_pipeline_destroy(pipeline);
}

/* ---- another thread ends the wait ---- */

struct other {
    struct weir_pipeline *pipeline;
    struct weir_source *source;
    struct work work;
    struct weir_outcome outcome;
};

static void *runs(void *argument)
{
    struct other *other = argument;
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, other->source);
    other->outcome = weir_run(other->pipeline,
        WEIR_CONFIG(weir_call_options, .idempotent = true, .context = &context), operation, &other->work);
    return NULL;
}

static bool is_watched(struct weir_source *source)
{
    lock_take(&source->lock);
    bool watched = source->watches != NULL;
    lock_drop(&source->lock);
    return watched;
}

TEST(run, a_cancel_wakes_a_queued_call)
{
    for (int round = 0; round < 20; round++) {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 4, .wait_max_ns = HOUR);
        struct other other = { .pipeline = WITH(NULL, 0, bulkhead) };
        CHECK_EQ(weir_source_create(&other.source), WEIR_E_NONE);
        struct weir_permit taken;
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, runs, &other), 0);
        while (weir_bulkhead_stats(bulkhead).waiting == 0) sched_yield();
        while (round % 2 == 0 && !is_watched(other.source)) sched_yield(); /* else: while it gets there */
        CHECK(weir_source_cancel(other.source, 7));
        pthread_join(thread, NULL);
        CHECK_EQ(other.outcome.status, WEIR_CANCELED);
        CHECK_EQ(other.outcome.reason, WEIR_REASON_CANCELED);
        CHECK_EQ(other.work.ran, 0);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 0);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).left, 1);
        weir_bulkhead_release(bulkhead, &taken);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        weir_pipeline_destroy(other.pipeline);
        weir_source_release(other.source);
    }
}

TEST(run, a_permit_wakes_a_queued_call)
{
    for (int round = 0; round < 20; round++) {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 4, .wait_max_ns = HOUR);
        struct other other = { .pipeline = WITH(NULL, 0, bulkhead) };
        CHECK_EQ(weir_source_create(&other.source), WEIR_E_NONE);
        struct weir_permit taken;
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, runs, &other), 0);
        while (weir_bulkhead_stats(bulkhead).waiting == 0) sched_yield();
        while (round % 2 == 0 && !is_watched(other.source)) sched_yield();
        weir_bulkhead_release(bulkhead, &taken);
        pthread_join(thread, NULL);
        CHECK_EQ(other.outcome.status, WEIR_OK);
        CHECK_EQ(other.work.ran, 1);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).handed_over, 1);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        weir_pipeline_destroy(other.pipeline);
        weir_source_release(other.source);
    }
}

TEST(run, a_cancel_wakes_a_call_that_backs_off)
{
    struct other other = { .pipeline = WITH(NULL, 0, retry_of_three(HOUR)), .work.answer = { FAILS } };
    CHECK_EQ(weir_source_create(&other.source), WEIR_E_NONE);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, runs, &other), 0);
    while (__atomic_load_n(&other.work.ran, __ATOMIC_ACQUIRE) == 0 || !is_watched(other.source)) {
        sched_yield();
    }
    CHECK(weir_source_cancel(other.source, 7));
    pthread_join(thread, NULL);
    CHECK_EQ(other.outcome.status, WEIR_CANCELED);
    CHECK_EQ(other.outcome.code, 5); /* the last real error's */
    CHECK_EQ(other.work.ran, 1);
    CHECK_EQ(weir_pipeline_stats(other.pipeline).ended[WEIR_CANCELED], 1);
    weir_pipeline_destroy(other.pipeline);
    weir_source_release(other.source);
}

TEST(run, nothing_runs_in_a_canceled_context)
{
    struct other other = { .pipeline = WITH(NULL, 0, nobody()) };
    CHECK_EQ(weir_source_create(&other.source), WEIR_E_NONE);
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, other.source);
    CHECK(weir_source_cancel(other.source, 7));
    weir_context_enter(&context);
    CHECK_EQ(weir_run(other.pipeline, NULL, operation, &other.work).status, WEIR_CANCELED);
    weir_context_leave(&context);
    CHECK_EQ(other.work.ran, 0);
    CHECK_EQ(weir_run(other.pipeline, NULL, operation, &other.work).status, WEIR_OK);
    CHECK_EQ(other.work.ran, 1);
    weir_pipeline_destroy(other.pipeline);
    weir_source_release(other.source);
}

/* ---- retries, values, fallback ---- */

TEST(run, only_what_may_be_repeated_is)
{
    const struct {
        bool idempotent;
        uint8_t flags;
        uint32_t ran;
    } cases[] = { { false, 0, 1 }, { true, 0, 3 }, { false, WEIR_NOT_SENT, 3 }, { true, WEIR_NOT_SENT, 3 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hand hand = { .now_ns = START };
        struct weir_outcome fails = { .status = WEIR_FAILED, .code = 5, .flags = cases[i].flags };
        struct work work = { .answer = { fails, fails, fails, fails } };
        struct weir_policy *retry = retry_of_three(WEIR_MS);
        struct weir_pipeline *pipeline = WITH(&hand, 0, retry);
        struct weir_outcome outcome = weir_run(
            pipeline, WEIR_CONFIG(weir_call_options, .idempotent = cases[i].idempotent), operation, &work);
        CHECK_EQ(outcome.status, WEIR_FAILED);
        CHECK_EQ(outcome.code, 5);
        CHECK_EQ(outcome.flags, cases[i].flags);
        CHECK_EQ(work.ran, cases[i].ran);
        CHECK_EQ(weir_retry_stats(retry).retried, cases[i].ran - 1);
        CHECK_EQ(weir_retry_stats(retry).not_idempotent, cases[i].ran == 1);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(run, the_value_arrives_when_the_call_ends_ok)
{
    struct hand hand = { .now_ns = START };
    struct weir_pipeline *pipeline = WITH(&hand, sizeof(uint32_t), retry_of_three(WEIR_MS));
    uint32_t value = 1;
    struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .idempotent = true, .value = &value);
    struct work good = { .value = 70 };
    CHECK_EQ(weir_run(pipeline, options, operation, &good).status, WEIR_OK);
    CHECK_EQ(value, 71);
    CHECK_EQ(good.found[0], 0); /* zeroed */
    struct work second = { .answer = { FAILS, { .status = WEIR_OK } }, .value = 80 };
    CHECK_EQ(weir_run(pipeline, options, operation, &second).status, WEIR_OK);
    CHECK_EQ(value, 82);
    struct work bad = { .answer = { FAILS, FAILS, FAILS, FAILS }, .value = 90 };
    CHECK_EQ(weir_run(pipeline, options, operation, &bad).status, WEIR_FAILED);
    CHECK_EQ(value, 82);
    struct work nowhere = { .value = 70 };
    CHECK_EQ(weir_run(pipeline, NULL, operation, &nowhere).status, WEIR_OK);
    CHECK(nowhere.has_value);
    CHECK_EQ(weir_run_at(pipeline, options, operation, &good, START).status, WEIR_OK);
    CHECK_EQ(value, 71);
    weir_pipeline_destroy(pipeline);
}

TEST(run, without_a_result_there_is_no_place_for_a_value)
{
    struct weir_pipeline *pipeline = WITH(NULL, 0, nobody());
    uint32_t value = 1;
    struct work work = { .has_value = true };
    CHECK_EQ(weir_run(pipeline, WEIR_CONFIG(weir_call_options, .value = &value), operation, &work).status,
        WEIR_OK);
    CHECK(!work.has_value);
    CHECK_EQ(value, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(run, a_fallback_function_answers_instead)
{
    struct hand hand = { .now_ns = START };
    struct weir_policy *fallback = POLICY(fallback, .function = function);
    struct weir_pipeline *pipeline = WITH(&hand, sizeof(uint32_t), fallback);
    uint32_t value = 1;
    struct work bad = { .answer = { FAILS }, .value = 90 };
    struct weir_outcome outcome =
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .value = &value), operation, &bad);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, 5);
    CHECK_EQ(bad.fell_back, 1);
    CHECK_EQ(value, 4242);
    CHECK_EQ(weir_fallback_stats(fallback).by_function, 1);
    struct work good = { .value = 70 };
    outcome = weir_run(pipeline, WEIR_CONFIG(weir_call_options, .value = &value), operation, &good);
    CHECK_EQ(outcome.flags, 0);
    CHECK_EQ(good.fell_back, 0);
    CHECK_EQ(value, 71);
    weir_pipeline_destroy(pipeline);
}

TEST(run, an_answer_after_the_timeout_is_late_a_failure_expired)
{
    struct hand hand = { .now_ns = START };
    struct weir_pipeline *pipeline = WITH(&hand, 0, POLICY(timeout, .timeout_ns = 10 * WEIR_MS));
    struct work late = { .hand = &hand, .takes_ns = 10 * WEIR_MS };
    struct weir_outcome outcome = weir_run(pipeline, NULL, operation, &late);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_LATE);
    struct work failed = { .answer = { FAILS }, .hand = &hand, .takes_ns = 10 * WEIR_MS };
    outcome = weir_run(pipeline, NULL, operation, &failed);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.reason, WEIR_REASON_TIMEOUT);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, 5);
    weir_pipeline_destroy(pipeline);
}

static struct weir_outcome until_the_clock_has_moved(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    uint64_t began_ns = weir_now(WEIR_TIMING_PRECISE);
    while (weir_now(WEIR_TIMING_PRECISE) < began_ns + *(uint64_t *)argument) continue;
    return outcome_of(WEIR_OK);
}

TEST(run, coarse_calls_are_not_timed_precise_and_fast_ones_all)
{
    const struct {
        enum weir_timing timing;
        uint64_t timed;
    } cases[] = { { WEIR_TIMING_PRECISE, 20 }, { WEIR_TIMING_FAST, 20 }, { WEIR_TIMING_COARSE, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_pipeline *pipeline = NULL;
        CHECK_EQ(weir_pipeline_create(
                     WEIR_CONFIG(weir_pipeline_config, .timing = cases[i].timing), NULL, 0, &pipeline),
            WEIR_E_NONE);
        uint64_t takes_ns = 50 * WEIR_US;
        for (int call = 0; call < 20; call++) {
            CHECK_EQ(weir_run(pipeline, NULL, until_the_clock_has_moved, &takes_ns).status, WEIR_OK);
        }
        CHECK_EQ(weir_pipeline_stats(pipeline).timed, cases[i].timed);
        CHECK_EQ(weir_pipeline_stats(pipeline).ended[WEIR_OK], 20);
        weir_pipeline_destroy(pipeline);
    }
}
