/* Chaos: what hits whom, and what it does to calls and to the policies around it. */
#include "policy/chaos_words.h"

#include <errno.h>
#include <stdlib.h>

/* ---- each kind ---- */

TEST(chaos, an_error_comes_in_place_of_the_operation)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .error_code = 7);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
    struct weir_outcome outcome = weir_call_outcome(&call);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.reason, WEIR_REASON_CHAOS);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, 7);
    CHECK_EQ(outcome.flags, 0);
    CHECK_EQ(weir_chaos_stats(chaos).injected[WEIR_CHAOS_ERROR], 1);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, an_error_may_be_said_not_to_have_been_sent)
{
    struct weir_pipeline *pipeline = around(CHAOS(.error_ppm = ALL, .error_not_sent = true));
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).flags, WEIR_NOT_SENT);
    CHECK_EQ(weir_call_outcome(&call).code, EIO);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, latency_holds_the_call_before_it_runs)
{
    struct weir_policy *chaos =
        CHAOS(.latency_ppm = ALL, .latency_min_ns = 20 * WEIR_MS, .latency_max_ns = 20 * WEIR_MS);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    struct weir_step step = begin(&call, pipeline, START);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.at_ns, START + 20 * WEIR_MS);
    CHECK_EQ(weir_chaos_stats(chaos).held, 1);
    CHECK_EQ(weir_call_wake(&call, START + 20 * WEIR_MS - 1).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + 20 * WEIR_MS).action, WEIR_RUN);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    CHECK_EQ(settle(&call, WEIR_OK, START + 21 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
    CHECK_EQ(call.ran_ns, 21 * WEIR_MS); /* from outside, all of it is the operation's */
    CHECK_EQ(weir_chaos_stats(chaos).injected[WEIR_CHAOS_LATENCY], 1);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, latency_lies_within_its_bounds_and_reaches_both)
{
    const uint64_t low = 10 * WEIR_MS, high = 19 * WEIR_MS;
    struct weir_pipeline *pipeline =
        around(CHAOS(.latency_ppm = ALL, .latency_min_ns = low, .latency_max_ns = high));
    uint64_t least = WEIR_NEVER, most = 0;
    for (int i = 0; i < 1000; i++) {
        struct weir_call call;
        uint64_t took = begin(&call, pipeline, START).at_ns - START;
        least = took < least ? took : least;
        most = took > most ? took : most;
        CHECK_EQ(weir_call_cancel(&call, START).action, WEIR_DONE);
    }
    CHECK(least >= low && least < low + WEIR_MS / 10);
    CHECK(most <= high && most > high - WEIR_MS / 10);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_held_call_that_is_canceled_leaves_its_place)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_WAIT);
    CHECK_EQ(weir_call_cancel(&call, START + 5).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_CANCELED);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    CHECK_EQ(call.ran_ns, 5);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_result_is_replaced_after_the_work_was_done)
{
    struct weir_policy *chaos = CHAOS(.result_ppm = ALL, .result_status = WEIR_OVERLOADED, .result_code = 503,
        .result_retry_after_ns = WEIR_S);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + 1).action, WEIR_DONE);
    struct weir_outcome outcome = weir_call_outcome(&call);
    CHECK_EQ(outcome.status, WEIR_OVERLOADED);
    CHECK_EQ(outcome.code, 503);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.reason, WEIR_REASON_CHAOS);
    CHECK_EQ(outcome.retry_after_ns, WEIR_S);
    CHECK_EQ(weir_chaos_stats(chaos).injected[WEIR_CHAOS_RESULT], 1);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, what_cannot_be_made_again_stays_so)
{
    static const enum weir_status answers[] = { WEIR_FAILED, WEIR_OK };
    for (int i = 0; i < 4; i++) {
        bool lost = i % 2 == 1;
        struct weir_pipeline *pipeline =
            around(CHAOS(.result_ppm = lost ? 0 : ALL, .lost_ppm = lost ? ALL : 0, .lost_max_ns = WEIR_MS));
        struct weir_outcome answer = { .status = (uint8_t)answers[i / 2],
            .flags = WEIR_NOT_REPEATABLE | WEIR_NOT_SENT };
        struct weir_call call;
        CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
        struct weir_step step = weir_call_settle(&call, 1, answer, START + 1);
        if (lost) step = weir_call_wake(&call, START + 1 + WEIR_MS);
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_CHAOS);
        CHECK_EQ(weir_call_outcome(&call).flags, WEIR_NOT_REPEATABLE);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(chaos, what_went_well_need_not_be_made_again)
{
    struct weir_pipeline *pipeline = around(CHAOS(.error_ppm = 1));
    struct weir_outcome answer = { .status = WEIR_OK, .flags = WEIR_NOT_REPEATABLE };
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, answer, START + 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).flags, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_lost_completion_waits_for_the_timeout_outside)
{
    struct weir_policy *chaos = CHAOS(.lost_ppm = ALL);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = 150 * WEIR_MS), chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    struct weir_step step =
        weir_call_settle(&call, 1, (struct weir_outcome) { .status = WEIR_OK, .code = 200 }, START + WEIR_MS);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.at_ns, START + 101 * WEIR_MS);
    CHECK_EQ(weir_chaos_stats(chaos).held, 1);
    step = weir_call_wake(&call, step.at_ns);
    CHECK_EQ(step.at_ns, START + 150 * WEIR_MS);
    CHECK_EQ(weir_call_wake(&call, step.at_ns).action, WEIR_DONE);
    struct weir_outcome outcome = weir_call_outcome(&call);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, 0); /* nothing of what was lost */
    CHECK_EQ(call.ran_ns, 150 * WEIR_MS);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    CHECK_EQ(weir_chaos_stats(chaos).injected[WEIR_CHAOS_LOST], 1);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_lost_completion_fails_where_nothing_else_ends_it)
{
    struct weir_policy *chaos = CHAOS(.lost_ppm = ALL, .lost_max_ns = 50 * WEIR_MS);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + 2).at_ns, START + 2 + 50 * WEIR_MS);
    CHECK_EQ(weir_call_wake(&call, START + 1 + 50 * WEIR_MS).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + 2 + 50 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
    CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_CHAOS);
    CHECK_EQ(weir_call_outcome(&call).code, EIO);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_lost_completion_that_is_canceled_leaves_its_place)
{
    struct weir_policy *chaos = CHAOS(.lost_ppm = ALL);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + 2).action, WEIR_WAIT);
    CHECK_EQ(weir_call_cancel(&call, START + 9).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_CANCELED);
    CHECK_EQ(call.ran_ns, 9);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, what_is_over_anyway_is_not_harmed)
{
    for (int lost = 0; lost < 2; lost++) {
        struct weir_policy *chaos = CHAOS(.result_ppm = lost ? 0 : ALL, .lost_ppm = lost ? ALL : 0);
        struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = WEIR_MS), chaos);
        struct weir_call call;
        CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
        CHECK_EQ(settle(&call, WEIR_OK, START + WEIR_MS).action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
        CHECK_EQ(weir_call_outcome(&call).flags, WEIR_LATE);
        CHECK_EQ(weir_chaos_stats(chaos).injected[lost ? WEIR_CHAOS_LOST : WEIR_CHAOS_RESULT], 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(chaos, what_did_not_run_has_no_answer_to_harm)
{
    for (int lost = 0; lost < 2; lost++) {
        struct weir_policy *chaos = CHAOS(.result_ppm = lost ? 0 : ALL, .lost_ppm = lost ? ALL : 0);
        struct weir_policy *rate = POLICY(rate, .permits = 1, .burst = 1);
        CHECK_EQ(weir_rate_acquire_at(rate, 1, START).status, WEIR_OK);
        struct weir_pipeline *pipeline = PIPELINE(chaos, rate);
        struct weir_call call;
        CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_RATE);
        weir_pipeline_destroy(pipeline);
    }
}

/* A skipped attempt that came too late ends as the deadline says. */
TEST(chaos, an_error_does_not_come_after_the_deadline)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL);
    struct weir_call call = hooks_call(2);
    CHECK_EQ(hooks_admit(chaos, &call, START).kind, WEIR_SKIP);
    struct weir_outcome expired = { .status = WEIR_EXPIRED, .by = 1 }, other = { .status = WEIR_IGNORED };
    CHECK_EQ(hooks_settle(chaos, &call, &expired, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(chaos, &call, &other, START).kind, WEIR_PASS);
    CHECK_EQ(weir_chaos_stats(chaos).injected[WEIR_CHAOS_ERROR], 0);
    weir_policy_release(chaos);
}

/* ---- rates, seeds, bursts ---- */

#define CALLS 20000

/* What hits each of so many calls, a letter each; all begin apart_ns after the last. */
static void draw_hits(struct weir_policy *chaos, char hits[CALLS + 1], uint64_t apart_ns)
{
    for (int i = 0; i < CALLS; i++) {
        struct weir_call call = hooks_call(0);
        struct weir_verdict verdict = hooks_admit(chaos, &call, START + (uint64_t)i * apart_ns);
        struct weir_outcome outcome = { .status = WEIR_IGNORED, .by = 1 };
        call.ran_ns = 1;
        hits[i] = verdict.kind == WEIR_HOLD ? 'l' : verdict.kind == WEIR_SKIP ? 'e' : '.';
        struct weir_verdict settled = hooks_settle(chaos, &call, &outcome, START);
        if (hits[i] != '.') continue;
        if (settled.kind == WEIR_ANSWER) hits[i] = 'r';
        if (settled.kind != WEIR_HOLD) continue;
        hits[i] = 'x';
        call.ending = 1;
        CHECK_EQ(hooks_settle(chaos, &call, &outcome, START).kind, WEIR_PASS);
    }
    hits[CALLS] = '\0';
}

static uint32_t count_of(const char *hits, char hit)
{
    uint32_t count = 0;
    for (; *hits != '\0'; hits++) count += *hits == hit;
    return count;
}

TEST(chaos, each_kind_has_its_rate)
{
    static char hits[CALLS + 1];
    struct weir_policy *chaos =
        CHAOS(.latency_ppm = 10000, .error_ppm = 200000, .result_ppm = 50000, .lost_ppm = 1000);
    draw_hits(chaos, hits, 1);
    CHECK(count_of(hits, 'l') > 140 && count_of(hits, 'l') < 260);   /* 200 */
    CHECK(count_of(hits, 'e') > 3800 && count_of(hits, 'e') < 4200); /* 4000 */
    CHECK(count_of(hits, 'r') > 880 && count_of(hits, 'r') < 1120);  /* 1000 */
    CHECK(count_of(hits, 'x') > 5 && count_of(hits, 'x') < 45);      /* 20 */
    struct weir_chaos_stats stats = weir_chaos_stats(chaos);
    CHECK_EQ(stats.calls, CALLS);
    CHECK_EQ(stats.injected[WEIR_CHAOS_LATENCY], count_of(hits, 'l'));
    CHECK_EQ(stats.injected[WEIR_CHAOS_LOST], count_of(hits, 'x'));
    weir_policy_release(chaos);
}

TEST(chaos, the_same_seed_hits_the_same_calls)
{
    static char hits[4][CALLS + 1];
    for (int i = 0; i < 3; i++) {
        struct weir_policy *chaos = CHAOS(.seed = i == 2 ? 43 : 42, .latency_ppm = 100000,
            .error_ppm = 100000, .result_ppm = 100000, .lost_ppm = 100000);
        draw_hits(chaos, hits[i], 1);
        weir_chaos_set_enabled(chaos, true); /* anew */
        if (i == 1) draw_hits(chaos, hits[3], 77);
        weir_policy_release(chaos);
    }
    CHECK_EQ(strcmp(hits[0], hits[1]), 0);
    CHECK_EQ(strcmp(hits[0], hits[3]), 0);
    CHECK(strcmp(hits[0], hits[2]) != 0);
}

TEST(chaos, a_rate_of_a_million_hits_every_call_and_one_hits_hardly_any)
{
    static char hits[CALLS + 1];
    struct weir_policy *all = CHAOS(.result_ppm = ALL), *hardly = CHAOS(.result_ppm = 1);
    draw_hits(all, hits, 0);
    CHECK_EQ(count_of(hits, 'r'), CALLS);
    draw_hits(hardly, hits, 0);
    CHECK(count_of(hits, 'r') <= 2);
    weir_policy_release(all);
    weir_policy_release(hardly);
}

TEST(chaos, a_burst_multiplies_the_rates_in_their_proportions)
{
    static char hits[CALLS + 1];
    /* 20 bursts of 100 calls each, one in ten of the time. */
    struct weir_policy *chaos = CHAOS(.error_ppm = 30000, .result_ppm = 10000, .burst_ns = 100 * WEIR_MS,
        .burst_every_ns = WEIR_S, .burst_factor = 100, .duration_ns = 3600 * WEIR_S);
    draw_hits(chaos, hits, WEIR_MS);
    uint32_t inside = 0, errors = 0, outside = 0;
    for (uint32_t i = 0; i < CALLS; i++) {
        bool burst = i % 1000 < 100;
        if (burst) inside += hits[i] != '.';
        if (burst) errors += hits[i] == 'e';
        if (!burst) outside += hits[i] != '.';
    }
    CHECK_EQ(inside, 2000);                /* 4 % by 100: all of them */
    CHECK(errors > 1420 && errors < 1580); /* three of four */
    CHECK(outside > 620 && outside < 820); /* 4 % of 18000 */
    weir_policy_release(chaos);
}

/* ---- with others around it ---- */

TEST(chaos, a_retry_takes_an_injected_error_for_an_attempt)
{
    struct weir_policy *retry =
        POLICY(retry, .attempts = 3, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_MS);
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .error_not_sent = true);
    struct weir_pipeline *pipeline = PIPELINE(retry, chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + 2 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
    CHECK_EQ(weir_retry_stats(retry).retried, 2);
    CHECK_EQ(weir_retry_stats(retry).exhausted, 1);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 3);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_breaker_takes_its_latency_for_a_slow_call)
{
    struct weir_policy *breaker = POLICY(breaker, .slow_ns = 15 * WEIR_MS);
    struct weir_policy *chaos =
        CHAOS(.latency_ppm = ALL, .latency_min_ns = 20 * WEIR_MS, .latency_max_ns = 20 * WEIR_MS);
    struct weir_pipeline *pipeline = PIPELINE(breaker, chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + 20 * WEIR_MS).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + 20 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_breaker_stats(breaker, START + 20 * WEIR_MS).counted_slow, 1);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, a_lost_or_replaced_result_is_not_delivered)
{
    for (int lost = 0; lost < 2; lost++) {
        struct weir_policy *chaos = CHAOS(.result_ppm = lost ? 0 : ALL, .lost_ppm = lost ? ALL : 0);
        struct weir_pipeline *pipeline;
        CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = sizeof(uint64_t)),
                     &chaos, 1, &pipeline),
            WEIR_E_NONE);
        weir_policy_release(chaos);
        struct weir_call *call = malloc(weir_pipeline_call_size(pipeline));
        uint64_t value = 1;
        CHECK_EQ(
            weir_call_begin(call, pipeline, WEIR_CONFIG(weir_call_options, .value = &value), START).action,
            WEIR_RUN);
        *(uint64_t *)weir_call_attempt(call)->value = 2;
        struct weir_step step = weir_call_settle(call, 1, outcome_of(WEIR_OK), START + 1);
        if (lost) step = weir_call_wake(call, START + 100 * WEIR_S);
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(call).status, WEIR_FAILED);
        CHECK_EQ(value, 1);
        free(call);
        weir_pipeline_destroy(pipeline);
    }
}

/* Whatever harm is done to it: what went well and cannot be made again is not made again. */
TEST(chaos, an_answer_that_cannot_be_repeated_is_harmed_and_not_retried)
{
    for (int lost = 0; lost < 2; lost++) {
        struct weir_pipeline *pipeline = PIPELINE(
            POLICY(retry, .attempts = 3), CHAOS(.result_ppm = lost ? 0 : ALL, .lost_ppm = lost ? ALL : 0));
        const struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .idempotent = true);
        struct weir_outcome answer = { .status = WEIR_OK, .flags = WEIR_NOT_REPEATABLE };
        struct weir_call call;
        CHECK_EQ(weir_call_begin(&call, pipeline, options, START).action, WEIR_RUN);
        struct weir_step step = weir_call_settle(&call, 1, answer, START + 1);
        if (lost) step = weir_call_wake(&call, START + 100 * WEIR_S);
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
        CHECK_EQ(weir_call_outcome(&call).flags, WEIR_NOT_REPEATABLE);
        weir_pipeline_destroy(pipeline);
    }
}

static struct weir_outcome ok(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

TEST(chaos, weir_run_takes_every_kind)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL / 4, .error_ppm = ALL / 4, .result_ppm = ALL / 4,
        .lost_ppm = ALL / 4, .latency_min_ns = WEIR_US, .latency_max_ns = WEIR_US, .lost_max_ns = WEIR_MS);
    struct weir_pipeline *pipeline = around(chaos);
    uint64_t ended[WEIR_STATUSES] = { 0 }, now_ns = START;
    for (int i = 0; i < 400; i++, now_ns += WEIR_MS) {
        ended[weir_run_at(pipeline, NULL, ok, NULL, now_ns).status]++;
    }
    struct weir_chaos_stats stats = weir_chaos_stats(chaos);
    CHECK_EQ(ended[WEIR_OK], stats.injected[WEIR_CHAOS_LATENCY]);
    CHECK_EQ(ended[WEIR_OK] + ended[WEIR_FAILED], stats.calls);
    for (int i = 0; i < WEIR_CHAOS_KINDS; i++) CHECK(stats.injected[i] > 60);
    CHECK_EQ(stats.held, 0);
    weir_chaos_set_enabled(chaos, true); /* by a real clock, which may be anywhere: it really waits */
    for (int i = 0; i < 10; i++) (void)weir_run(pipeline, NULL, ok, NULL);
    CHECK_EQ(weir_chaos_stats(chaos).calls, 10);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_pipeline_destroy(pipeline);
}
