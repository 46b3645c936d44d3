/* Promises that peers broke: timeout, retry, budget, fallback, contexts, pipeline. */
#include "peers/peers_words.h"

#include <stdlib.h>

#define CONSTANT .backoff = WEIR_BACKOFF_CONSTANT

static struct weir_budget *budget_of(uint32_t percent, uint32_t floor_per_s)
{
    struct weir_budget *budget = NULL;
    CHECK_EQ(weir_budget_create(
                 WEIR_CONFIG(weir_budget_config, .percent = percent, .floor_per_s = floor_per_s), &budget),
        WEIR_E_NONE);
    return budget;
}

static const struct weir_outcome failed_7 = { .status = WEIR_FAILED, .code = 7 };

/* ---- timeouts and deadlines ---- */

TEST(peers, failsafe_263_a_timeout_ends_a_call_whose_work_ignores_it)
{
    struct weir_policy *timeout = POLICY(timeout, .timeout_ns = 10 * WEIR_MS);
    struct weir_pipeline *pipeline = PIPELINE(timeout);
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, START + 10 * WEIR_MS);
    CHECK_EQ(look(&guest, START + 10 * WEIR_MS - 1), WEIR_WAIT);
    CHECK_EQ(look(&guest, START + 10 * WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).status, WEIR_EXPIRED);
    CHECK_EQ(answer(&guest).by, 1);
    CHECK_EQ(guest.step.abandon_mask, WEIR_ABANDONED_OPERATION);
    CHECK_EQ(weir_pipeline_stats(pipeline).zombies, 1);
    guest.step = weir_call_settle(&guest.call, 1, outcome_of(WEIR_OK), START + WEIR_S);
    CHECK_EQ(answer(&guest).status, WEIR_EXPIRED);
    CHECK_EQ(weir_pipeline_stats(pipeline).zombies, 0);
    CHECK_EQ(weir_timeout_stats(timeout).expired, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, polly_1133_a_timeout_that_work_ignored_is_told)
{
    struct weir_policy *timeout = POLICY(timeout, .timeout_ns = 10 * WEIR_MS);
    struct weir_pipeline *pipeline = PIPELINE(timeout);
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_OK, START + WEIR_S), WEIR_DONE);
    CHECK_EQ(answer(&guest).flags, WEIR_LATE);
    CHECK_EQ(weir_timeout_stats(timeout).late, 1);
    CHECK_EQ(weir_pipeline_stats(pipeline).late, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, resilience4j_2091_a_timeout_knows_the_deadline_outside)
{
    struct weir_policy *timeout = POLICY(timeout, .timeout_ns = WEIR_S);
    struct weir_pipeline *pipeline = PIPELINE(timeout);
    struct weir_context context;
    weir_context_child(&context, NULL, START + 100 * WEIR_MS, NULL);
    struct guest guest;
    CHECK_EQ(come_under(&guest, pipeline, &context, START), WEIR_RUN);
    CHECK_EQ(weir_call_attempt(&guest.call)->deadline_ns, START + 100 * WEIR_MS);
    CHECK_EQ(end(&guest, WEIR_FAILED, START + 100 * WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).reason, WEIR_REASON_DEADLINE);
    CHECK_EQ(answer(&guest).by, 0);
    CHECK_EQ(weir_timeout_stats(timeout).expired, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, extensions_5185_the_total_timeout_bounds_the_queue)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = 100 * WEIR_MS),
        POLICY(bulkhead, .limit = 1, .queue = 5, .wait_max_ns = 1000 * WEIR_S));
    struct guest holder, waiter;
    CHECK_EQ(come(&holder, pipeline, START + 50 * WEIR_MS), WEIR_RUN);
    CHECK_EQ(come(&waiter, pipeline, START), WEIR_WAIT);
    CHECK_EQ(waiter.step.at_ns, START + 100 * WEIR_MS);
    CHECK_EQ(look(&waiter, START + 100 * WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&waiter).status, WEIR_EXPIRED);
    CHECK_EQ(answer(&waiter).by, 1);
    CHECK_EQ(end(&holder, WEIR_OK, START + 100 * WEIR_MS), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, envoy_13196_each_attempt_is_told_what_is_left)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = 100 * WEIR_MS),
        POLICY(retry, CONSTANT, .base_ns = 10 * WEIR_MS), POLICY(timeout, .timeout_ns = 50 * WEIR_MS));
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
    CHECK_EQ(weir_call_attempt(&guest.call)->deadline_ns, START + 50 * WEIR_MS);
    CHECK_EQ(end(&guest, WEIR_FAILED, START + 30 * WEIR_MS), WEIR_WAIT);
    CHECK_EQ(look(&guest, START + 40 * WEIR_MS), WEIR_RUN);
    CHECK_EQ(weir_call_attempt(&guest.call)->deadline_ns, START + 90 * WEIR_MS);
    CHECK_EQ(end(&guest, WEIR_FAILED, START + 70 * WEIR_MS), WEIR_WAIT);
    CHECK_EQ(look(&guest, START + 80 * WEIR_MS), WEIR_RUN);
    CHECK_EQ(weir_call_attempt(&guest.call)->deadline_ns, START + 100 * WEIR_MS);
    CHECK_EQ(end(&guest, WEIR_OK, START + 85 * WEIR_MS), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

/* ---- retries ---- */

TEST(peers, grpc_go_6811_the_timeout_of_an_attempt_is_retried)
{
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_MS), POLICY(timeout, .timeout_ns = 10 * WEIR_MS));
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
    CHECK_EQ(look(&guest, START + 10 * WEIR_MS), WEIR_WAIT);
    CHECK_EQ(guest.step.pending, 1);
    guest.step = weir_call_settle(&guest.call, 1, outcome_of(WEIR_CANCELED), START + 11 * WEIR_MS);
    CHECK_EQ(guest.step.action, WEIR_RUN);
    CHECK_EQ(guest.step.attempt, 2);
    CHECK_EQ(end(&guest, WEIR_OK, START + 12 * WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, gax_java_561_nothing_is_retried_past_the_deadline)
{
    struct weir_policy *retry = POLICY(retry, CONSTANT, .base_ns = 200 * WEIR_MS);
    struct weir_pipeline *pipeline = PIPELINE(retry);
    struct weir_context context;
    weir_context_child(&context, NULL, START + 200 * WEIR_MS, NULL);
    struct guest guest;
    CHECK_EQ(come_under(&guest, pipeline, &context, START), WEIR_RUN);
    CHECK_EQ(end_as(&guest, failed_7, START + WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).status, WEIR_FAILED); /* the real error, not "timeout" */
    CHECK_EQ(answer(&guest).code, 7);
    CHECK_EQ(weir_retry_stats(retry).no_time, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, java_bigtable_hbase_1858_a_passed_deadline_is_not_retried)
{
    struct weir_policy *retry = POLICY(retry, CONSTANT, .base_ns = WEIR_US);
    struct weir_pipeline *pipeline = PIPELINE(retry);
    struct weir_context context;
    weir_context_child(&context, NULL, START + WEIR_MS, NULL);
    struct guest guest;
    CHECK_EQ(come_under(&guest, pipeline, &context, START), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_EXPIRED, START + WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).reason, WEIR_REASON_DEADLINE);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 1);
    CHECK_EQ(weir_retry_stats(retry).retried, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, cockatiel_107_a_retry_waits_until_the_breaker_lets_in)
{
    struct weir_policy *breaker = BREAKER(.open_ns = WEIR_S, .probes = 1);
    struct weir_pipeline *pipeline = PIPELINE(
        POLICY(retry, CONSTANT, .base_ns = WEIR_MS, .on = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_REJECTED)),
        breaker);
    uint64_t due_ns = trip(breaker, START);
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_WAIT);
    CHECK_EQ(guest.step.at_ns, due_ns);
    CHECK_EQ(look(&guest, due_ns), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_OK, due_ns), WEIR_DONE);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, scylladb_31462_a_back_off_ends_with_a_cancel)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_S));
    struct weir_source *source = NULL;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct guest guest;
    CHECK_EQ(come_under(&guest, pipeline, &context, START), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_FAILED, START), WEIR_WAIT);
    struct weir_watch watch;
    weir_context_watch(&watch, &context, (struct weir_waker) { guest_post, &guest });
    CHECK_EQ(guest.posts, 0);
    CHECK(weir_source_cancel(source, 3));
    CHECK_EQ(guest.posts, 1);
    weir_context_unwatch(&watch);
    CHECK_EQ(look(&guest, START), WEIR_DONE);
    CHECK_EQ(answer(&guest).status, WEIR_CANCELED);
    weir_pipeline_destroy(pipeline);
    weir_source_release(source);
}

/* ---- budgets ---- */

#define CROWD 1000

TEST(peers, envoy_30205_a_thousand_failures_at_once_stay_within_the_budget)
{
    struct weir_budget *budget = budget_of(20, 1);
    struct weir_policy *retry = POLICY(retry, CONSTANT, .base_ns = WEIR_MS, .budget = budget);
    struct weir_pipeline *pipeline = PIPELINE(retry);
    struct guest *crowd = calloc(CROWD, sizeof *crowd);
    CHECK(crowd != NULL);
    uint64_t capacity = weir_budget_stats(budget, START).capacity;
    CHECK_EQ(capacity, 10);
    uint32_t backing_off = 0;
    for (int i = 0; i < CROWD; i++) CHECK_EQ(come(&crowd[i], pipeline, START), WEIR_RUN);
    for (int i = 0; i < CROWD; i++) backing_off += end(&crowd[i], WEIR_FAILED, START) == WEIR_WAIT;
    CHECK(backing_off >= capacity);
    CHECK(backing_off <= capacity + CROWD * 20 / 100);
    CHECK_EQ(weir_budget_stats(budget, START).charged, backing_off); /* when decided, not when run */
    for (int i = 0; i < CROWD; i++) {
        if (crowd[i].step.action != WEIR_WAIT) continue;
        CHECK_EQ(look(&crowd[i], START + WEIR_MS), WEIR_RUN);
        CHECK_EQ(end(&crowd[i], WEIR_OK, START + WEIR_MS), WEIR_DONE);
    }
    CHECK_EQ(weir_retry_stats(retry).no_budget, CROWD - backing_off);
    free(crowd);
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

/* One failing call; whether it is retried. The retry then goes well. */
static bool is_retried(const struct weir_pipeline *pipeline, uint64_t now_ns)
{
    struct guest guest;
    CHECK_EQ(come(&guest, pipeline, now_ns), WEIR_RUN);
    if (end_as(&guest, failed_7, now_ns) == WEIR_DONE) {
        CHECK_EQ(answer(&guest).status, WEIR_FAILED);
        CHECK_EQ(answer(&guest).code, 7);
        CHECK_EQ(answer(&guest).by, 0);
        return false;
    }
    CHECK_EQ(look(&guest, guest.step.at_ns), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_OK, now_ns), WEIR_DONE);
    return true;
}

TEST(peers, failsafe_go_139_the_floor_of_a_budget_is_honoured)
{
    struct weir_budget *budget = budget_of(1, 2);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_US, .budget = budget));
    while (is_retried(pipeline, START)) continue;
    CHECK(weir_budget_stats(budget, START).charged >= 20);
    for (uint64_t second = 1; second <= 5; second++) {
        uint64_t now_ns = START + second * (WEIR_S + WEIR_MS);
        CHECK(is_retried(pipeline, now_ns));
        CHECK(is_retried(pipeline, now_ns));
        CHECK(!is_retried(pipeline, now_ns));
    }
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

TEST(peers, failsafe_go_141_an_empty_budget_harms_no_call_that_runs)
{
    struct weir_budget *budget = budget_of(1, 1);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_US, .budget = budget));
    struct guest running;
    CHECK_EQ(come(&running, pipeline, START), WEIR_RUN);
    while (is_retried(pipeline, START)) continue;
    CHECK_EQ(look(&running, START), WEIR_WAIT); /* it runs on */
    CHECK_EQ(end(&running, WEIR_OK, START), WEIR_DONE);
    CHECK_EQ(answer(&running).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

TEST(peers, aws_sdk_kotlin_1318_an_empty_budget_is_no_breaker)
{
    struct weir_budget *budget = budget_of(1, 1);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_US, .budget = budget));
    while (is_retried(pipeline, START)) continue;
    for (int i = 0; i < 50; i++) {
        struct guest guest;
        CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN); /* first attempts need no token */
        CHECK_EQ(end(&guest, WEIR_OK, START), WEIR_DONE);
    }
    CHECK_EQ(weir_pipeline_stats(pipeline).ended[WEIR_REJECTED], 0);
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

TEST(peers, aws_sdk_go_v2_1560_the_token_of_a_retry_that_never_ran_is_given_back)
{
    struct weir_budget *budget = budget_of(1, 1);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_S, .budget = budget));
    uint64_t tokens = weir_budget_stats(budget, START).tokens;
    for (int i = 0; i < 100; i++) {
        struct guest guest;
        CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
        CHECK_EQ(end(&guest, WEIR_FAILED, START), WEIR_WAIT);
        CHECK_EQ(weir_budget_stats(budget, START).tokens, tokens - 1);
        guest.step = weir_call_cancel(&guest.call, START);
        CHECK_EQ(answer(&guest).status, WEIR_CANCELED);
    }
    CHECK_EQ(weir_budget_stats(budget, START).refunded, 100);
    CHECK_EQ(weir_budget_stats(budget, START).tokens, tokens);
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

TEST(peers, polly_2348_a_budget_is_shared_by_pipelines)
{
    struct weir_budget *budget = budget_of(1, 1);
    struct weir_pipeline *first = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_US, .budget = budget));
    struct weir_pipeline *second = PIPELINE(POLICY(retry, CONSTANT, .base_ns = WEIR_US, .budget = budget));
    while (is_retried(first, START)) continue;
    CHECK(!is_retried(second, START));
    weir_pipeline_destroy(first);
    CHECK(is_retried(second, START + 2 * WEIR_S));
    weir_pipeline_destroy(second);
    weir_budget_release(budget);
}

TEST(peers, finagle_936_calls_that_go_well_cost_no_token)
{
    struct weir_budget *budget = budget_of(20, 10);
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(timeout, .timeout_ns = WEIR_S), POLICY(retry, .budget = budget));
    for (int i = 0; i < 1000; i++) {
        struct guest guest;
        CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
        CHECK_EQ(end(&guest, WEIR_OK, START + WEIR_MS), WEIR_DONE);
    }
    struct weir_budget_stats stats = weir_budget_stats(budget, START + WEIR_MS);
    CHECK_EQ(stats.charged, 0);
    CHECK_EQ(stats.tokens, stats.capacity);
    weir_pipeline_destroy(pipeline);
    weir_budget_release(budget);
}

/* ---- fallback, contexts, the pipeline ---- */

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

TEST(peers, hystrix_796_a_fallback_is_not_refused_under_load)
{
    struct weir_policy *fallback = POLICY(fallback, .function = light);
    struct weir_pipeline *pipeline = PIPELINE(fallback, POLICY(bulkhead, .limit = 1));
    struct guest holder, guest[100];
    CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
    for (int i = 0; i < 100; i++) { /* all of them at once */
        CHECK_EQ(come(&guest[i], pipeline, START), WEIR_RUN);
        CHECK_EQ(guest[i].step.what, WEIR_FALLBACK);
    }
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(end_as(&guest[i], weir_call_fallback(&guest[i].call, NULL), START), WEIR_DONE);
        CHECK_EQ(answer(&guest[i]).status, WEIR_OK);
        CHECK_EQ(answer(&guest[i]).flags, WEIR_DEGRADED);
        CHECK_EQ(answer(&guest[i]).reason, WEIR_REASON_BULKHEAD_FULL);
    }
    CHECK_EQ(weir_fallback_stats(fallback).by_function, 100);
    CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, failsafe_go_65_a_context_is_not_canceled_by_the_end_of_its_call)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = WEIR_S));
    struct weir_source *source = NULL;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct guest guest;
    CHECK_EQ(come_under(&guest, pipeline, &context, START), WEIR_RUN);
    const struct weir_context *told = weir_call_attempt(&guest.call)->context;
    CHECK_EQ(end(&guest, WEIR_OK, START), WEIR_DONE);
    CHECK_EQ(weir_context_check(told, START), WEIR_OK); /* the body may still be read */
    weir_pipeline_destroy(pipeline);
    weir_source_release(source);
}

TEST(peers, failsafe_go_134_contexts_leave_nothing_behind)
{
    struct weir_source *source = NULL;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    for (int i = 0; i < 10000; i++) {
        struct weir_context context;
        struct weir_watch watch;
        struct guest guest = { .posts = 0 };
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        weir_context_watch(&watch, &context, (struct weir_waker) { guest_post, &guest });
        weir_context_unwatch(&watch);
        CHECK_EQ(guest.posts, 0);
    }
    CHECK(weir_source_cancel(source, 1)); /* would post into frames that are gone */
    weir_source_release(source);          /* would abort if anything were watched */
}

TEST(peers, nng_2208_a_waker_posts_for_every_cancel_before_or_after)
{
    struct weir_source *source = NULL;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    struct weir_context context;
    struct weir_watch watch;
    struct guest guest = { .posts = 0 };
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    weir_context_watch(&watch, &context, (struct weir_waker) { guest_post, &guest });
    CHECK(weir_source_cancel(source, 4));
    CHECK_EQ(guest.posts, 1);
    weir_context_unwatch(&watch);
    CHECK(!weir_source_cancel(source, 5));
    CHECK_EQ(weir_context_reason(&context), 4);
    weir_context_watch(&watch, &context, (struct weir_waker) { guest_post, &guest });
    CHECK_EQ(guest.posts, 2);
    weir_context_unwatch(&watch);
    weir_source_release(source);
}

TEST(peers, linkerd_1559_breaker_and_statistics_see_the_same_failures)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32);
    struct weir_pipeline *pipeline = PIPELINE(breaker);
    for (int i = 0; i < 70; i++) {
        struct guest guest;
        CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
        CHECK_EQ(end(&guest, i % 7 < 2 ? WEIR_FAILED : WEIR_OK, START), WEIR_DONE);
    }
    CHECK_EQ(weir_pipeline_stats(pipeline).ended[WEIR_FAILED], 20);
    CHECK_EQ(weir_breaker_stats(breaker, START).failures, 20);
    CHECK_EQ(weir_breaker_stats(breaker, START).counted_ok, 50);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, resilience4j_1657_the_order_can_be_read_and_is_judged)
{
    struct weir_pipeline *pipeline =
        PIPELINE(BREAKER(.name = "outer"), POLICY(retry, .name = "middle"), POLICY(timeout, .name = "inner"));
    char text[4096];
    CHECK(weir_pipeline_explain(pipeline, 0, text, sizeof text) < sizeof text);
    const char *outer = strstr(text, "outer"), *middle = strstr(text, "middle"),
               *inner = strstr(text, "inner");
    CHECK(outer != NULL && middle != NULL && inner != NULL);
    CHECK(outer < middle && middle < inner);
    struct weir_finding finding[8];
    size_t count = weir_pipeline_lint(pipeline, 0, finding, 8);
    bool found = false;
    for (size_t i = 0; i < count && i < 8; i++) found |= finding[i].kind == WEIR_FINDING_RETRY_INSIDE_BREAKER;
    CHECK(found);
    weir_pipeline_destroy(pipeline);
}
