/* Promises that peers broke: breaker, bulkhead, rate limit. */
#include "peers/peers_words.h"

#include <pthread.h>

/* ---- breaker ---- */

TEST(peers, resilience4j_544_an_ignored_probe_is_given_back)
{
    struct weir_policy *breaker = BREAKER(.probes = 2);
    uint64_t due_ns = trip(breaker, START);
    through(breaker, 20, WEIR_IGNORED, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_HALF_OPEN);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).given_back, 20);
    through(breaker, 2, WEIR_OK, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(peers, resilience4j_903_a_probe_that_hangs_has_a_lease)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .probe_ns = 2 * WEIR_S);
    uint64_t due_ns = trip(breaker, START), over_ns = due_ns + 3 * WEIR_S;
    struct weir_permit hung, other;
    CHECK(let_in(breaker, &hung, due_ns));
    CHECK(!let_in(breaker, &other, due_ns + WEIR_S));
    CHECK(!let_in(breaker, &other, over_ns)); /* that finds the lease run out: a failed probe */
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, over_ns);
    CHECK_EQ(stats.reopened, 1);
    through(breaker, 1, WEIR_OK, over_ns + 60 * WEIR_S);
    CHECK_EQ(state_at(breaker, over_ns + 60 * WEIR_S), WEIR_BREAKER_CLOSED);
    /* It comes back at last, and changes nothing. */
    weir_breaker_release_at(breaker, &hung, outcome_of(WEIR_FAILED), over_ns + 61 * WEIR_S);
    stats = weir_breaker_stats(breaker, over_ns + 61 * WEIR_S);
    CHECK_EQ(stats.stale, 1);
    CHECK_EQ(stats.failures, 0);
    weir_policy_release(breaker);
}

TEST(peers, resilience4j_1432_no_more_probes_than_permitted_at_the_flip)
{
    struct weir_policy *breaker = BREAKER(.probes = 3);
    uint64_t due_ns = trip(breaker, START);
    struct weir_permit permit[20];
    int inside = 0;
    for (int i = 0; i < 20; i++) inside += let_in(breaker, &permit[inside], due_ns);
    CHECK_EQ(inside, 3);
    for (int i = 0; i < 3; i++) {
        weir_breaker_release_at(breaker, &permit[i], outcome_of(WEIR_OK), due_ns);
    }
    weir_policy_release(breaker);
}

TEST(peers, resilience4j_842_the_least_number_of_calls_is_not_a_verdict)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32, .calls_min = 10);
    for (int i = 0; i < 10; i++) through(breaker, 1, i % 5 < 3 ? WEIR_FAILED : WEIR_OK, START);
    CHECK_EQ(weir_breaker_stats(breaker, START).failures, 6);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED); /* 6 of 10 prove nothing yet */
    for (int i = 0; state_at(breaker, START) == WEIR_BREAKER_CLOSED; i++) {
        CHECK(i < 400);
        through(breaker, 1, i % 5 < 4 ? WEIR_FAILED : WEIR_OK, START);
    }
    weir_policy_release(breaker);
}

TEST(peers, polly_217_a_call_begun_before_the_break_does_not_close)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    struct weir_permit early;
    CHECK(let_in(breaker, &early, START));
    uint64_t due_ns = trip(breaker, START);
    struct weir_permit probe;
    CHECK(let_in(breaker, &probe, due_ns));
    weir_breaker_release_at(breaker, &early, outcome_of(WEIR_OK), due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_HALF_OPEN);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).stale, 1);
    weir_breaker_release_at(breaker, &probe, outcome_of(WEIR_FAILED), due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(peers, polly_217_a_canceled_probe_does_not_close)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    uint64_t due_ns = trip(breaker, START);
    through(breaker, 5, WEIR_CANCELED, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_HALF_OPEN);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).closed, 0);
    weir_policy_release(breaker);
}

TEST(peers, polly_1854_failures_in_a_row_trip_at_low_traffic)
{
    struct weir_policy *breaker = BREAKER(.consecutive = 20, .calls_min = 1000, .window_ns = WEIR_S);
    for (uint64_t i = 0; i < 19; i++) through(breaker, 1, WEIR_FAILED, START + i * 60 * WEIR_S);
    CHECK_EQ(state_at(breaker, START + 18 * 60 * WEIR_S), WEIR_BREAKER_CLOSED);
    through(breaker, 1, WEIR_FAILED, START + 19 * 60 * WEIR_S);
    CHECK_EQ(state_at(breaker, START + 19 * 60 * WEIR_S), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(peers, sentinel_1638_a_probe_refused_further_in_is_given_back)
{
    struct weir_policy *breaker = BREAKER(.probes = 1), *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *pipeline = PIPELINE(breaker, bulkhead);
    uint64_t due_ns = trip(breaker, START);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    struct guest guest;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(come(&guest, pipeline, due_ns), WEIR_DONE);
        CHECK_EQ(answer(&guest).reason, WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_breaker_stats(breaker, due_ns).probes_out, 0);
    }
    weir_bulkhead_release(bulkhead, &taken);
    CHECK_EQ(come(&guest, pipeline, due_ns), WEIR_RUN);
    CHECK_EQ(end(&guest, WEIR_OK, due_ns), WEIR_DONE);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, go_zero_4101_its_own_refusals_are_no_failures)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    struct weir_pipeline *pipeline = PIPELINE(breaker);
    uint64_t due_ns = trip(breaker, START);
    struct guest guest;
    for (int i = 0; i < 1000; i++) CHECK_EQ(come(&guest, pipeline, due_ns - 1), WEIR_DONE);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns - 1).refused_open, 1000);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns - 1).counted_failed, 5);
    /* Well again: one probe, and everybody is let in. */
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(come(&guest, pipeline, due_ns), WEIR_RUN);
        CHECK_EQ(end(&guest, WEIR_OK, due_ns), WEIR_DONE);
    }
    weir_pipeline_destroy(pipeline);
}

TEST(peers, brpc_elimit_a_callee_that_declines_does_not_trip)
{
    struct weir_policy *breaker = BREAKER(.name = "bank");
    through(breaker, 1000, WEIR_OVERLOADED, START);
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, START);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.overloaded, 1000);
    CHECK_EQ(stats.failures, 0);
    weir_policy_release(breaker);
}

TEST(peers, brpc_1874_nobody_stays_isolated)
{
    struct weir_policy *breaker = BREAKER(.open_ns = WEIR_S, .open_max_ns = 8 * WEIR_S, .probes = 1);
    uint64_t now_ns = START, due_ns = trip(breaker, START);
    for (int i = 0; i < 50; i++) {
        CHECK(due_ns > now_ns);
        CHECK(due_ns <= now_ns + 8 * WEIR_S + WEIR_MS);
        now_ns = due_ns;
        through(breaker, 1, WEIR_FAILED, now_ns);
        due_ns = weir_breaker_stats(breaker, now_ns).until_ns;
    }
    through(breaker, 1, WEIR_OK, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(peers, gobreaker_63_fewer_successes_than_probes_may_close)
{
    struct weir_policy *breaker = BREAKER(.probes = 5, .successes = 2);
    uint64_t due_ns = trip(breaker, START);
    through(breaker, 1, WEIR_OK, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_HALF_OPEN);
    through(breaker, 1, WEIR_OK, due_ns);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(peers, gobreaker_91_calls_in_flight_at_the_trip_count_once)
{
    struct weir_policy *breaker = BREAKER(.open_ns = WEIR_S);
    struct weir_permit permit[50];
    for (int i = 0; i < 50; i++) CHECK(let_in(breaker, &permit[i], START));
    for (int i = 0; i < 50; i++) {
        weir_breaker_release_at(breaker, &permit[i], outcome_of(WEIR_FAILED), START);
    }
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, START);
    CHECK_EQ(stats.opened, 1);
    CHECK_EQ(stats.reopened, 0);
    CHECK_EQ(stats.stale, 45);
    CHECK(stats.until_ns <= START + WEIR_S + WEIR_MS); /* not doubled by the late ones */
    weir_policy_release(breaker);
}

TEST(peers, cockatiel_91_the_state_moves_on_without_a_call)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    uint64_t due_ns = trip(breaker, START);
    CHECK_EQ(state_at(breaker, due_ns - 1), WEIR_BREAKER_OPEN);
    CHECK_EQ(state_at(breaker, due_ns), WEIR_BREAKER_HALF_OPEN);
    weir_policy_release(breaker);
}

/* ---- bulkhead ---- */

TEST(peers, failsafe_393_a_waiter_that_timed_out_keeps_no_permit)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead =
            POLICY(bulkhead, .limit = 1, .queue = 2, .wait_max_ns = WEIR_MS, .form = form);
        struct weir_pipeline *pipeline = PIPELINE(bulkhead);
        struct guest holder, waiter;
        for (int i = 0; i < 100; i++) {
            CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
            CHECK_EQ(come(&waiter, pipeline, START), WEIR_WAIT);
            CHECK_EQ(look(&waiter, START + WEIR_MS), WEIR_DONE);
            CHECK_EQ(answer(&waiter).reason, WEIR_REASON_QUEUE_WAIT);
            CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
            CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        }
        weir_pipeline_destroy(pipeline);
    }
}

TEST(peers, failsafe_393_a_waiter_canceled_after_the_hand_over_gives_it_back)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 2, .form = form);
        struct weir_pipeline *pipeline = PIPELINE(bulkhead);
        struct guest holder, first, second;
        CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
        CHECK_EQ(come(&first, pipeline, START), WEIR_WAIT);
        CHECK_EQ(come(&second, pipeline, START), WEIR_WAIT);
        CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
        CHECK_EQ(first.posts, 1); /* it is handed to the first, who gives up now */
        first.step = weir_call_cancel(&first.call, START);
        CHECK_EQ(answer(&first).status, WEIR_CANCELED);
        CHECK_EQ(second.posts, 1);
        CHECK_EQ(look(&second, START), WEIR_RUN);
        CHECK_EQ(end(&second, WEIR_OK, START), WEIR_DONE);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(peers, tower_resilience_363_a_wait_ends_with_a_permit_of_its_own)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 3, .form = form);
        struct weir_pipeline *pipeline = PIPELINE(bulkhead);
        struct guest holder, first, second, late;
        CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
        CHECK_EQ(come(&first, pipeline, START), WEIR_WAIT);
        CHECK_EQ(come(&second, pipeline, START), WEIR_WAIT);
        CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
        CHECK_EQ(come(&late, pipeline, START), WEIR_WAIT); /* nobody overtakes */
        CHECK_EQ(look(&second, START), WEIR_WAIT);
        CHECK_EQ(look(&first, START), WEIR_RUN);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 1);
        CHECK_EQ(end(&first, WEIR_OK, START), WEIR_DONE);
        CHECK_EQ(look(&late, START), WEIR_WAIT);
        CHECK_EQ(look(&second, START), WEIR_RUN);
        CHECK_EQ(end(&second, WEIR_OK, START), WEIR_DONE);
        CHECK_EQ(look(&late, START), WEIR_RUN);
        CHECK_EQ(end(&late, WEIR_OK, START), WEIR_DONE);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(peers, resilience4j_2296_a_permit_lasts_as_long_as_the_work)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = WEIR_MS), bulkhead);
    struct guest guest, other;
    CHECK_EQ(come(&guest, pipeline, START), WEIR_RUN);
    uint8_t attempt = guest.step.attempt;
    CHECK_EQ(look(&guest, START + WEIR_MS), WEIR_DONE);
    CHECK_EQ(answer(&guest).status, WEIR_EXPIRED);
    CHECK_EQ(guest.step.pending, 1);
    CHECK_EQ(come(&other, pipeline, START + WEIR_S), WEIR_DONE);
    CHECK_EQ(answer(&other).reason, WEIR_REASON_BULKHEAD_FULL);
    guest.step = weir_call_settle(&guest.call, attempt, outcome_of(WEIR_OK), START + WEIR_S);
    CHECK_EQ(guest.step.pending, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, tower_793_a_full_limit_without_a_queue_refuses_at_once)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(bulkhead, .limit = 1));
    struct guest holder, other;
    CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
    CHECK_EQ(come(&other, pipeline, START), WEIR_DONE);
    CHECK_EQ(answer(&other).reason, WEIR_REASON_BULKHEAD_FULL);
    CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, hystrix_1426_limit_and_queue_are_two_plain_numbers)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_pipeline *pipeline = PIPELINE(POLICY(bulkhead, .limit = 2, .queue = 3, .form = form));
        struct guest guest[6];
        for (int i = 0; i < 5; i++) CHECK_EQ(come(&guest[i], pipeline, START), i < 2 ? WEIR_RUN : WEIR_WAIT);
        CHECK_EQ(come(&guest[5], pipeline, START), WEIR_DONE);
        CHECK_EQ(answer(&guest[5]).reason, WEIR_REASON_QUEUE_FULL);
        for (int i = 0; i < 5; i++) {
            if (i >= 2) CHECK_EQ(look(&guest[i], START), WEIR_RUN);
            CHECK_EQ(end(&guest[i], WEIR_OK, START), WEIR_DONE);
        }
        weir_pipeline_destroy(pipeline);
    }
}

TEST(peers, envoy_2927_a_limit_is_exact_also_when_sharded)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 64, .form = WEIR_FORM_SHARDED);
    CHECK(weir_bulkhead_stats(bulkhead).shards > 1);
    struct weir_permit permit[65];
    for (int i = 0; i < 64; i++) CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[i]).status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[64]).status, WEIR_REJECTED);
    for (int i = 0; i < 64; i++) weir_bulkhead_release(bulkhead, &permit[i]);
    weir_policy_release(bulkhead);
}

TEST(peers, redisson_7342_no_permit_vanishes_when_the_limit_is_changed_under_them)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 8, .form = form);
        struct weir_permit permit[9];
        for (int i = 0; i < 6; i++) CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[i]).status, WEIR_OK);
        CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 2), WEIR_E_NONE);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[8]).status, WEIR_REJECTED);
        for (int i = 0; i < 6; i++) weir_bulkhead_release(bulkhead, &permit[i]);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[i]).status, i < 2 ? WEIR_OK : WEIR_REJECTED);
        CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 8), WEIR_E_NONE);
        for (int i = 2; i < 9; i++)
            CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit[i]).status, i < 8 ? WEIR_OK : WEIR_REJECTED);
        for (int i = 0; i < 8; i++) weir_bulkhead_release(bulkhead, &permit[i]);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
        weir_policy_release(bulkhead);
    }
}

TEST(peers, sentinel_golang_563_a_changed_limit_counts_for_those_who_wait)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 4);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct guest holder, waiter;
    CHECK_EQ(come(&holder, pipeline, START), WEIR_RUN);
    CHECK_EQ(come(&waiter, pipeline, START), WEIR_WAIT);
    CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 2), WEIR_E_NONE);
    CHECK_EQ(waiter.posts, 1);
    CHECK_EQ(look(&waiter, START), WEIR_RUN);
    CHECK_EQ(end(&waiter, WEIR_OK, START), WEIR_DONE);
    CHECK_EQ(end(&holder, WEIR_OK, START), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

struct ticket {
    struct weir_policy *bulkhead;
    struct weir_permit permit;
};

static void *take_and_die(void *argument)
{
    struct ticket *ticket = argument;
    CHECK_EQ(weir_bulkhead_acquire(ticket->bulkhead, 1, &ticket->permit).status, WEIR_OK);
    return NULL;
}

TEST(peers, semian_a_ticket_of_a_thread_that_died_can_be_given_back)
{
    struct ticket ticket = { .bulkhead = POLICY(bulkhead, .limit = 1) };
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, take_and_die, &ticket), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    struct weir_permit permit;
    CHECK_EQ(weir_bulkhead_acquire(ticket.bulkhead, 1, &permit).status, WEIR_REJECTED);
    weir_bulkhead_release(ticket.bulkhead, &ticket.permit);
    CHECK_EQ(weir_bulkhead_acquire(ticket.bulkhead, 1, &permit).status, WEIR_OK);
    weir_bulkhead_release(ticket.bulkhead, &permit);
    weir_policy_release(ticket.bulkhead);
}

/* ---- rate ---- */

static int spend(struct weir_policy *rate, int times, uint64_t now_ns)
{
    int passed = 0;
    for (int i = 0; i < times; i++) passed += weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK;
    return passed;
}

TEST(peers, go_71360_a_clock_that_goes_back_lets_no_more_pass)
{
    struct weir_policy *rate = POLICY(rate, .permits = 10, .burst = 10, .form = WEIR_FORM_SINGLE);
    CHECK_EQ(spend(rate, 100, START), 10);
    for (uint64_t i = 1; i < 1000; i++) CHECK_EQ(spend(rate, 1, START - i * WEIR_MS), 0);
    for (int i = 0; i < 100; i++) CHECK_EQ(spend(rate, 1, START - (uint64_t)(i % 2) * WEIR_S), 0);
    CHECK_EQ(spend(rate, 100, START + WEIR_S), 10);
    weir_policy_release(rate);
}

TEST(peers, cadence_6030_a_reservation_given_back_can_be_had_again)
{
    struct weir_policy *rate = POLICY(rate, .permits = 10, .burst = 10, .form = WEIR_FORM_SINGLE);
    for (int i = 0; i < 100; i++) {
        struct weir_permit permit;
        uint64_t at_ns = 0;
        CHECK_EQ(weir_rate_reserve_at(rate, 10, 0, START, &permit, &at_ns).status, WEIR_OK);
        CHECK_EQ(at_ns, START);
        CHECK_EQ(spend(rate, 1, START), 0);
        weir_rate_give_back_at(rate, &permit, START);
    }
    CHECK_EQ(spend(rate, 100, START), 10);
    weir_policy_release(rate);
}

TEST(peers, tower_454_a_turn_that_has_come_is_had_at_its_instant)
{
    struct weir_policy *rate =
        POLICY(rate, .permits = 10, .burst = 1, .wait_max_ns = WEIR_S, .form = WEIR_FORM_SINGLE);
    struct weir_pipeline *pipeline = PIPELINE(rate);
    struct guest guest[5];
    CHECK_EQ(come(&guest[0], pipeline, START), WEIR_RUN);
    for (int i = 1; i < 5; i++) CHECK_EQ(come(&guest[i], pipeline, START), WEIR_WAIT);
    for (int i = 1; i < 5; i++) {
        uint64_t at_ns = guest[i].step.at_ns;
        CHECK(at_ns >= START + (uint64_t)i * 100 * WEIR_MS);
        CHECK(at_ns <= START + (uint64_t)i * 100 * WEIR_MS + WEIR_US);
        CHECK_EQ(look(&guest[i], at_ns - 1), WEIR_WAIT);
        CHECK_EQ(look(&guest[i], at_ns), WEIR_RUN);
    }
    for (int i = 0; i < 5; i++) CHECK_EQ(end(&guest[i], WEIR_OK, START + WEIR_S), WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

TEST(peers, redisson_3804_a_rate_does_not_drift)
{
    struct weir_policy *rate = POLICY(rate, .permits = 7, .burst = 1, .form = WEIR_FORM_SINGLE);
    uint64_t passed = 0, hour = 3600;
    for (uint64_t i = 0; i < hour * 100; i++) {
        passed += (uint64_t)spend(rate, 1, START + i * 10 * WEIR_MS);
    }
    CHECK(passed <= 7 * hour + 1);
    CHECK(passed >= 7 * hour * 95 / 100); /* one asks every 10 ms only */
    weir_policy_release(rate);
}

TEST(peers, resilience4j_a_rate_with_defaults_limits)
{
    struct weir_policy *rate = NULL;
    CHECK_EQ(weir_rate_create(NULL, &rate), WEIR_E_NONE);
    CHECK_EQ(spend(rate, 10000, START), 100);
    weir_policy_release(rate);
}
