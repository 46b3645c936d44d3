/* A call inside the operation of another: never queued for what its own thread holds, so never a deadlock. */
#include "pipeline/machine_words.h"

#include <pthread.h>
#include <sched.h>

#define HOUR (3600 * WEIR_S)

/* Pipelines around one another: the operation of each runs the next. */
struct nest {
    const struct weir_pipeline *pipeline[4];
    struct weir_outcome outcome[4];
    uint32_t count, depth;
    bool given;    /* weir_run_at() */
    bool fails;    /* the innermost operation */
    uint32_t runs; /* of the innermost operation */
};

static struct weir_outcome deeper(void *argument, const struct weir_attempt *attempt);

static void go(struct nest *nest)
{
    uint32_t at = nest->depth;
    const struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .idempotent = true);
    nest->outcome[at] = nest->given ? weir_run_at(nest->pipeline[at], options, deeper, nest, START)
                                    : weir_run(nest->pipeline[at], options, deeper, nest);
}

static struct weir_outcome deeper(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct nest *nest = argument;
    if (nest->depth + 1 == nest->count) {
        nest->runs++;
        return outcome_of(nest->fails ? WEIR_FAILED : WEIR_OK);
    }
    nest->depth++;
    go(nest);
    nest->depth--;
    return outcome_of(WEIR_OK);
}

static struct weir_policy *of(uint32_t limit)
{
    return POLICY(bulkhead, .limit = limit, .queue = 4, .wait_max_ns = HOUR);
}

static void check_empty(const struct weir_pipeline *pipeline, const struct weir_policy *bulkhead)
{
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 0);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 0);
}

static void check_refused(struct weir_outcome outcome, uint8_t by)
{
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_NESTED);
    CHECK_EQ(outcome.by, by);
}

TEST(nested, the_same_pipeline_refuses_and_does_not_wait_for_itself)
{
    for (int given = 0; given < 2; given++) {
        struct weir_policy *bulkhead = of(1);
        struct weir_pipeline *pipeline = PIPELINE(nobody(), bulkhead);
        struct nest nest = { .pipeline = { pipeline, pipeline }, .count = 2, .given = given };
        for (uint32_t round = 1; round <= 3; round++) {
            go(&nest);
            CHECK_EQ(nest.outcome[0].status, WEIR_OK);
            check_refused(nest.outcome[1], 2);
            CHECK_EQ(nest.runs, 0);
            CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_nested, round);
            CHECK_EQ(weir_pipeline_stats(pipeline).refused[WEIR_REASON_NESTED], round);
            check_empty(pipeline, bulkhead);
        }
        weir_pipeline_destroy(pipeline);
    }
}

/* An operator's look puts every call on the slow path from its begin. */
TEST(nested, on_the_slow_path_too)
{
    struct weir_policy *bulkhead = of(1), *other = nobody();
    struct weir_pipeline *pipeline = PIPELINE(other, bulkhead);
    weir_policy_set_mode(other, WEIR_MODE_SHADOW);
    struct nest nest = { .pipeline = { pipeline, pipeline }, .count = 2 };
    go(&nest);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    check_refused(nest.outcome[1], 2);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

TEST(nested, while_there_is_room_the_inner_call_runs)
{
    struct weir_policy *bulkhead = of(2);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct nest nest = { .pipeline = { pipeline, pipeline, pipeline }, .count = 3 };
    go(&nest);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    CHECK_EQ(nest.outcome[1].status, WEIR_OK);
    check_refused(nest.outcome[2], 1);
    nest = (struct nest) { .pipeline = { pipeline, pipeline }, .count = 2 };
    go(&nest);
    CHECK_EQ(nest.outcome[1].status, WEIR_OK);
    CHECK_EQ(nest.runs, 1);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

TEST(nested, another_pipeline_that_shares_the_bulkhead)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *outer = PIPELINE(weir_policy_acquire(bulkhead));
    struct weir_pipeline *inner = PIPELINE(nobody(), nobody(), bulkhead);
    struct nest nest = { .pipeline = { outer, inner }, .count = 2 };
    go(&nest);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    check_refused(nest.outcome[1], 3);
    check_empty(outer, bulkhead);
    check_empty(inner, bulkhead);
    weir_pipeline_destroy(outer);
    weir_pipeline_destroy(inner);
}

/* A further out one counts as well, past a pipeline that has nothing to do with it. */
TEST(nested, with_another_pipeline_in_between)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *outer = PIPELINE(bulkhead), *between = PIPELINE(of(1)), *plain = PIPELINE(nobody());
    struct nest nest = { .pipeline = { outer, between, plain, outer }, .count = 4 };
    go(&nest);
    for (uint32_t i = 0; i < 3; i++) CHECK_EQ(nest.outcome[i].status, WEIR_OK);
    check_refused(nest.outcome[3], 1);
    check_empty(outer, bulkhead);
    weir_pipeline_destroy(outer);
    weir_pipeline_destroy(between);
    weir_pipeline_destroy(plain);
}

TEST(nested, with_results)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(
        weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = 8), &bulkhead, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(bulkhead);
    struct nest nest = { .pipeline = { pipeline, pipeline }, .count = 2 };
    go(&nest);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    check_refused(nest.outcome[1], 1);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

static struct weir_outcome calls_again(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct nest *nest = argument;
    nest->fails = false;
    go(nest);
    return nest->outcome[0];
}

/* When the fallback runs, what is inside it has been given back. */
TEST(nested, in_a_fallback_function_the_permit_is_free_again)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(fallback, .function = calls_again), bulkhead);
    struct nest nest = { .pipeline = { pipeline }, .count = 1, .fails = true };
    struct weir_outcome outcome = weir_run(pipeline, NULL, deeper, &nest);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    CHECK_EQ(nest.runs, 2);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

/* After the nested call, and after one that was refused, the thread holds nothing: it queues as any other. */
static void *runs_one(void *argument)
{
    go(argument);
    return NULL;
}

TEST(nested, another_thread_waits_as_ever)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct nest twice = { .pipeline = { pipeline, pipeline }, .count = 2 };
    go(&twice);
    check_refused(twice.outcome[1], 1);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    struct nest other = { .pipeline = { pipeline }, .count = 1 };
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, runs_one, &other), 0);
    while (weir_bulkhead_stats(bulkhead).waiting == 0) sched_yield();
    weir_bulkhead_release(bulkhead, &taken);
    pthread_join(thread, NULL);
    CHECK_EQ(other.outcome[0].status, WEIR_OK);
    CHECK_EQ(other.runs, 1);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

/* The outer call has gone by the bulkhead, which an operator had disabled: it holds nothing there. */
static struct weir_outcome queues_up(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct weir_pipeline *pipeline = argument;
    struct weir_policy *bulkhead = weir_pipeline_policy(pipeline, 0);
    struct weir_permit taken;
    struct weir_call inner;
    weir_policy_set_mode(bulkhead, WEIR_MODE_ON);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    CHECK_EQ(weir_call_begin(&inner, pipeline, NULL, START).action, WEIR_WAIT);
    weir_bulkhead_release(bulkhead, &taken);
    CHECK_EQ(weir_call_wake(&inner, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&inner, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    return weir_call_outcome(&inner);
}

TEST(nested, a_call_that_went_by_the_bulkhead_holds_nothing)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    weir_policy_set_mode(bulkhead, WEIR_MODE_DISABLED);
    CHECK_EQ(weir_run_at(pipeline, NULL, queues_up, pipeline, START).status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_nested, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).handed_over, 1);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}

/* The same thread, one call after the other: the first is over. */
static void *releases(void *argument)
{
    struct weir_permit *taken = ((void **)argument)[1];
    struct weir_policy *bulkhead = ((void **)argument)[0];
    while (weir_bulkhead_stats(bulkhead).waiting == 0) sched_yield();
    weir_bulkhead_release(bulkhead, taken);
    return NULL;
}

TEST(nested, a_call_that_is_over_holds_nothing)
{
    struct weir_policy *bulkhead = of(1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct nest nest = { .pipeline = { pipeline }, .count = 1 };
    go(&nest);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, releases, (void *[]) { bulkhead, &taken }), 0);
    go(&nest);
    pthread_join(thread, NULL);
    CHECK_EQ(nest.outcome[0].status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_nested, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).handed_over, 1);
    check_empty(pipeline, bulkhead);
    weir_pipeline_destroy(pipeline);
}
