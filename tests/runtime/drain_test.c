/* Draining: nobody new, then nobody left; or TIMEOUT. */
#include "pipeline/machine_words.h"

#include <pthread.h>
#include <sched.h>

#define HOUR (3600 * WEIR_S)

static struct weir_outcome plain(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    uint32_t *ran = argument;
    __atomic_fetch_add(ran, 1, __ATOMIC_RELAXED);
    return outcome_of(WEIR_OK);
}

static uint64_t soon(uint64_t in_ns)
{
    return weir_now(WEIR_TIMING_PRECISE) + in_ns;
}

static void check_refuses(const struct weir_pipeline *pipeline)
{
    uint32_t ran = 0;
    uint64_t before = weir_pipeline_stats(pipeline).refused[WEIR_REASON_DRAINING];
    struct weir_outcome outcome = weir_run(pipeline, NULL, plain, &ran);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_DRAINING);
    CHECK_EQ(outcome.by, 0);
    CHECK_EQ(weir_run_at(pipeline, NULL, plain, &ran, START).reason, WEIR_REASON_DRAINING);
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_DRAINING);
    CHECK_EQ(ran, 0);
    CHECK_EQ(weir_pipeline_stats(pipeline).refused[WEIR_REASON_DRAINING], before + 3);
}

TEST(drain, an_empty_pipeline_is_drained_at_once_and_stays_so)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    CHECK_EQ(weir_pipeline_drain(pipeline, WEIR_NEVER), WEIR_E_NONE);
    check_refuses(pipeline);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_NONE);
    check_refuses(pipeline);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_full, 0);
    weir_pipeline_destroy(pipeline);
}

/* A pipeline that shares its policies goes on. */
TEST(drain, another_pipeline_is_not_drained_with_it)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *drained = PIPELINE(weir_policy_acquire(bulkhead)), *other = PIPELINE(bulkhead);
    CHECK_EQ(weir_pipeline_drain(drained, WEIR_NEVER), WEIR_E_NONE);
    uint32_t ran = 0;
    CHECK_EQ(weir_run(other, NULL, plain, &ran).status, WEIR_OK);
    check_refuses(drained);
    weir_policy_set_mode(bulkhead, WEIR_MODE_SHADOW); /* does not undo it */
    weir_policy_set_mode(bulkhead, WEIR_MODE_ON);
    check_refuses(drained);
    weir_pipeline_destroy(drained);
    weir_pipeline_destroy(other);
}

TEST(drain, it_times_out_while_a_call_runs)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_TIMEOUT); /* has passed */
    CHECK(strstr(weir_error_text(), "weir_pipeline_drain") != NULL);
    uint64_t deadline_ns = soon(20 * WEIR_MS);
    CHECK_EQ(weir_pipeline_drain(pipeline, deadline_ns), WEIR_E_TIMEOUT);
    CHECK(weir_now(WEIR_TIMING_PRECISE) >= deadline_ns);
    check_refuses(pipeline);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 1);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
}

/* Whatever keeps a call: its queue, its back-off, an attempt that was abandoned and still runs. */
TEST(drain, it_waits_for_the_queue_the_back_off_and_abandoned_work)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 2);
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(retry, .base_ns = WEIR_MS), POLICY(timeout, .name = "inner"), bulkhead);
    struct weir_call call[3];
    struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .idempotent = true);
    CHECK_EQ(weir_call_begin(&call[0], pipeline, options, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call[0], 1, outcome_of(WEIR_FAILED), START).action, WEIR_WAIT);
    CHECK_EQ(weir_call_begin(&call[1], pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_begin(&call[2], pipeline, NULL, START).action, WEIR_WAIT);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_TIMEOUT);
    CHECK_EQ(weir_call_cancel(&call[2], START).action, WEIR_DONE);
    struct weir_step step = weir_call_wake(&call[1], START + WEIR_S);
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(step.pending, 1);
    CHECK_EQ(weir_call_cancel(&call[0], START).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_TIMEOUT);
    CHECK_EQ(weir_call_settle(&call[1], 1, outcome_of(WEIR_OK), START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
}

/* Who waits already is not refused: the drain lets it through. */
TEST(drain, who_waits_is_served)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct weir_call running, waiting;
    CHECK_EQ(weir_call_begin(&running, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_begin(&waiting, pipeline, NULL, START).action, WEIR_WAIT);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_TIMEOUT);
    CHECK_EQ(weir_call_settle(&running, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    CHECK_EQ(weir_call_wake(&waiting, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&waiting, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    CHECK_EQ(weir_pipeline_drain(pipeline, 0), WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
}

/* ---- threads in flight ---- */

#define THREADS 6

struct crowd {
    struct weir_pipeline *pipeline;
    uint32_t inside, go, started;
};

static struct weir_outcome stays(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct crowd *crowd = argument;
    __atomic_fetch_add(&crowd->inside, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&crowd->go, __ATOMIC_SEQ_CST) == 0) sched_yield();
    __atomic_fetch_sub(&crowd->inside, 1, __ATOMIC_SEQ_CST);
    return outcome_of(WEIR_OK);
}

static void *runs_once(void *argument)
{
    struct crowd *crowd = argument;
    CHECK_EQ(weir_run(crowd->pipeline, NULL, stays, crowd).status, WEIR_OK);
    return NULL;
}

static void *lets_go(void *argument)
{
    struct crowd *crowd = argument;
    uint32_t ran = 0;
    while (weir_run(crowd->pipeline, NULL, plain, &ran).reason != WEIR_REASON_DRAINING) sched_yield();
    __atomic_store_n(&crowd->go, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(drain, it_returns_when_the_last_thread_has_left)
{
    struct crowd crowd = { .pipeline = PIPELINE(POLICY(bulkhead, .limit = THREADS + 1)) };
    pthread_t thread[THREADS], opener;
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, runs_once, &crowd), 0);
    while (__atomic_load_n(&crowd.inside, __ATOMIC_SEQ_CST) < THREADS) sched_yield();
    CHECK_EQ(pthread_create(&opener, NULL, lets_go, &crowd), 0);
    CHECK_EQ(weir_pipeline_drain(crowd.pipeline, soon(HOUR)), WEIR_E_NONE);
    CHECK_EQ(__atomic_load_n(&crowd.inside, __ATOMIC_SEQ_CST), 0);
    CHECK_EQ(weir_pipeline_stats(crowd.pipeline).in_flight, 0);
    pthread_join(opener, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    check_refuses(crowd.pipeline);
    weir_pipeline_destroy(crowd.pipeline);
}

static struct weir_outcome counts(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct crowd *crowd = argument;
    __atomic_fetch_add(&crowd->inside, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(__atomic_load_n(&crowd->go, __ATOMIC_SEQ_CST), 0); /* nobody runs in a drained pipeline */
    __atomic_fetch_sub(&crowd->inside, 1, __ATOMIC_SEQ_CST);
    return outcome_of(WEIR_OK);
}

static void *runs_until_refused(void *argument)
{
    struct crowd *crowd = argument;
    struct weir_outcome outcome;
    __atomic_fetch_add(&crowd->started, 1, __ATOMIC_SEQ_CST);
    while ((outcome = weir_run(crowd->pipeline, NULL, counts, crowd)).status == WEIR_OK) continue;
    CHECK_EQ(outcome.reason, WEIR_REASON_DRAINING);
    return NULL;
}

/* The short form of the race between a begin and the drain; tests/explorer has the exact one. */
TEST(drain, nobody_slips_in)
{
    for (int round = 0; round < 100; round++) {
        struct crowd crowd = { .pipeline = PIPELINE(nobody()) };
        pthread_t thread[2];
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&thread[i], NULL, runs_until_refused, &crowd), 0);
        }
        while (__atomic_load_n(&crowd.started, __ATOMIC_SEQ_CST) < 2) sched_yield();
        CHECK_EQ(weir_pipeline_drain(crowd.pipeline, soon(HOUR)), WEIR_E_NONE);
        __atomic_store_n(&crowd.go, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(__atomic_load_n(&crowd.inside, __ATOMIC_SEQ_CST), 0);
        for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
        struct weir_pipeline_stats stats = weir_pipeline_stats(crowd.pipeline);
        CHECK_EQ(stats.begun, stats.ended[WEIR_OK] + 2);
        CHECK_EQ(stats.refused[WEIR_REASON_DRAINING], 2);
        weir_pipeline_destroy(crowd.pipeline);
    }
}
