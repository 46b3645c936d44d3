/* The breaker's diagram: every arrow, every admission, what probes do. Triggers, times and modes have files of
 * their own. */
#include "policy/breaker_words.h"

TEST(breaker, closed_lets_in_and_counts)
{
    struct weir_policy *breaker = BREAKER(.name = "bank");
    calls(breaker, 3, WEIR_OK, START);
    calls(breaker, 2, WEIR_FAILED, START);
    struct weir_breaker_stats stats = stats_at(breaker, START);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.generation, 0);
    CHECK_EQ(stats.calls, 5);
    CHECK_EQ(stats.failures, 2);
    CHECK_EQ(stats.streak, 2);
    CHECK_EQ(stats.counted_ok, 3);
    CHECK_EQ(stats.counted_failed, 2);
    CHECK_EQ(stats.until_ns, 0);
    CHECK_STR(weir_policy_name(breaker), "bank");
    CHECK_STR(weir_policy_kind(breaker), "breaker");
    weir_policy_release(breaker);
}

TEST(breaker, closed_to_open_refuses_until_its_time)
{
    struct weir_policy *breaker = BREAKER(.open_ns = 2 * WEIR_S);
    trip(breaker, START);
    struct weir_breaker_stats stats = stats_at(breaker, START);
    CHECK_EQ(stats.opened, 1);
    CHECK_EQ(stats.generation, 1);
    CHECK(stats.until_ns >= START + 2 * WEIR_S);
    CHECK(stats.until_ns <= START + 2 * WEIR_S + LOOSE);
    struct weir_permit permit;
    struct weir_outcome refused = weir_breaker_acquire_at(breaker, &permit, START + WEIR_S);
    CHECK_EQ(refused.status, WEIR_REJECTED);
    CHECK_EQ(refused.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(refused.retry_after_ns, stats.until_ns - START - WEIR_S);
    CHECK_EQ(refusal(breaker, stats.until_ns - 1), WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(stats_at(breaker, START).refused_open, 2);
    CHECK_EQ(stats_at(breaker, START).half_opened, 0);
    weir_policy_release(breaker);
}

TEST(breaker, open_to_half_open_with_the_first_probe)
{
    struct weir_policy *breaker = BREAKER(.open_ns = WEIR_S);
    trip(breaker, START);
    uint64_t due_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, due_ns));
    struct weir_breaker_stats stats = stats_at(breaker, due_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_HALF_OPEN);
    CHECK_EQ(stats.generation, 2);
    CHECK_EQ(stats.half_opened, 1);
    CHECK_EQ(stats.probes_out, 1);
    leave(breaker, &permit, WEIR_IGNORED, due_ns);
    weir_policy_release(breaker);
}

TEST(breaker, half_open_lets_in_so_many_probes_and_no_more)
{
    struct weir_policy *breaker = BREAKER(.probes = 3, .probe_ns = 7 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit[3], fourth;
    for (int i = 0; i < 3; i++) CHECK(enter(breaker, &permit[i], now_ns));
    struct weir_outcome refused = weir_breaker_acquire_at(breaker, &fourth, now_ns + WEIR_S);
    CHECK_EQ(refused.status, WEIR_REJECTED);
    CHECK_EQ(refused.reason, WEIR_REASON_BREAKER_PROBES);
    CHECK(refused.retry_after_ns >= 6 * WEIR_S);
    CHECK(refused.retry_after_ns <= 6 * WEIR_S + LOOSE);
    CHECK_EQ(stats_at(breaker, now_ns).probes_out, 3);
    CHECK_EQ(stats_at(breaker, now_ns).refused_probes, 1);
    /* One that has succeeded is still one of the three. */
    leave(breaker, &permit[0], WEIR_OK, now_ns);
    CHECK_EQ(stats_at(breaker, now_ns).probes_won, 1);
    CHECK_EQ(refusal(breaker, now_ns), WEIR_REASON_BREAKER_PROBES);
    leave(breaker, &permit[1], WEIR_OK, now_ns);
    leave(breaker, &permit[2], WEIR_OK, now_ns);
    weir_policy_release(breaker);
}

TEST(breaker, half_open_to_closed_after_its_successes)
{
    struct weir_policy *breaker = BREAKER(.probes = 3);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    calls(breaker, 2, WEIR_OK, now_ns);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_HALF_OPEN);
    call(breaker, WEIR_OK, now_ns);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns + WEIR_S);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.closed, 1);
    CHECK_EQ(stats.streak, 0);
    CHECK_EQ(stats.calls, 0); /* what it held before counts no more */
    CHECK_EQ(stats.counted_failed, 5);
    weir_policy_release(breaker);
}

TEST(breaker, fewer_successes_close_and_the_other_probes_come_late)
{
    struct weir_policy *breaker = BREAKER(.probes = 3, .successes = 1);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit[3];
    for (int i = 0; i < 3; i++) CHECK(enter(breaker, &permit[i], now_ns));
    leave(breaker, &permit[1], WEIR_OK, now_ns);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_CLOSED);
    leave(breaker, &permit[0], WEIR_FAILED, now_ns + WEIR_S);
    leave(breaker, &permit[2], WEIR_OK, now_ns + WEIR_S);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns + WEIR_S);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.stale, 2);
    CHECK_EQ(stats.calls, 0);
    CHECK_EQ(stats.streak, 0);
    weir_policy_release(breaker);
}

TEST(breaker, half_open_to_open_when_a_probe_fails)
{
    struct weir_policy *breaker = BREAKER(.probes = 3);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit[3];
    for (int i = 0; i < 3; i++) CHECK(enter(breaker, &permit[i], now_ns));
    leave(breaker, &permit[0], WEIR_OK, now_ns);
    leave(breaker, &permit[1], WEIR_FAILED, now_ns);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_OPEN);
    CHECK_EQ(stats.reopened, 1);
    CHECK_EQ(stats.opened, 1);
    leave(breaker, &permit[2], WEIR_OK, now_ns);
    CHECK_EQ(stats_at(breaker, now_ns).stale, 1);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker, a_probe_that_says_nothing_is_given_back)
{
    static const enum weir_status nothing[] = { WEIR_IGNORED, WEIR_CANCELED, WEIR_REJECTED, WEIR_OVERLOADED };
    struct weir_policy *breaker = BREAKER(.probes = 1);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    for (int i = 0; i < 1000; i++) call(breaker, nothing[i % 4], now_ns);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_HALF_OPEN);
    CHECK_EQ(stats.given_back, 1000);
    CHECK_EQ(stats.overloaded, 250);
    CHECK_EQ(stats.probes_out, 0);
    CHECK_EQ(stats.half_opened, 1);
    call(breaker, WEIR_OK, now_ns);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(breaker, a_slow_probe_fails_like_slow_calls_do)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .slow_ns = 100 * WEIR_MS);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, now_ns));
    leave(breaker, &permit, WEIR_OK, now_ns + 100 * WEIR_MS);
    CHECK_EQ(stats_at(breaker, now_ns + 100 * WEIR_MS).reopened, 1);
    weir_policy_release(breaker);
}

TEST(breaker, half_open_to_ramp_to_closed)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = 4 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_RAMP);
    CHECK_EQ(stats.closed, 1);
    CHECK(stats.until_ns >= now_ns + 4 * WEIR_S);
    CHECK(stats.until_ns <= now_ns + 4 * WEIR_S + LOOSE);
    uint32_t generation = stats.generation;
    call(breaker, WEIR_OK, stats.until_ns);
    stats = stats_at(breaker, stats.until_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.generation, generation);
    CHECK_EQ(stats.until_ns, 0);
    weir_policy_release(breaker);
}

TEST(breaker, ramp_to_open_by_the_same_triggers)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = 4 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    now_ns += 3 * WEIR_S;
    struct weir_permit permit;
    for (int failed = 0, asked = 0; failed < 5; asked++) {
        CHECK(asked < 1000);
        if (!enter(breaker, &permit, now_ns + (uint64_t)asked)) continue;
        leave(breaker, &permit, WEIR_FAILED, now_ns + (uint64_t)asked);
        failed++;
    }
    CHECK_EQ(state_at(breaker, now_ns + WEIR_US), WEIR_BREAKER_OPEN);
    CHECK_EQ(stats_at(breaker, now_ns).opened, 2);
    weir_policy_release(breaker);
}

TEST(breaker, a_call_let_in_by_the_ramp_counts_after_it)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = 4 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns, late_ns = now_ns + 5 * WEIR_S;
    call(breaker, WEIR_OK, now_ns);
    struct weir_permit permit;
    uint64_t asked_ns = now_ns + WEIR_S;
    while (!enter(breaker, &permit, asked_ns)) asked_ns++;
    call(breaker, WEIR_OK, late_ns); /* ends the ramp */
    leave(breaker, &permit, WEIR_FAILED, late_ns);
    struct weir_breaker_stats stats = stats_at(breaker, late_ns);
    CHECK_EQ(stats.stale, 0);
    CHECK_EQ(stats.failures, 1);
    CHECK_EQ(stats.calls, 2);
    weir_policy_release(breaker);
}

TEST(breaker, results_of_another_generation_change_nothing)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    struct weir_permit closed[3], probe;
    for (int i = 0; i < 3; i++) CHECK(enter(breaker, &closed[i], START));
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    leave(breaker, &closed[0], WEIR_OK, START); /* while open */
    CHECK(enter(breaker, &probe, now_ns));
    leave(breaker, &closed[1], WEIR_OK, now_ns); /* while half open: does not close it */
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_HALF_OPEN);
    leave(breaker, &probe, WEIR_OK, now_ns);
    leave(breaker, &closed[2], WEIR_FAILED, now_ns); /* while closed again */
    struct weir_breaker_stats stats = stats_at(breaker, now_ns + WEIR_S);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.stale, 3);
    CHECK_EQ(stats.counted_ok, 0);
    CHECK_EQ(stats.counted_failed, 5);
    weir_policy_release(breaker);
}

TEST(breaker, a_state_has_a_text)
{
    CHECK_STR(weir_breaker_state_text(WEIR_BREAKER_CLOSED), "closed");
    CHECK_STR(weir_breaker_state_text(WEIR_BREAKER_OPEN), "open");
    CHECK_STR(weir_breaker_state_text(WEIR_BREAKER_HALF_OPEN), "half_open");
    CHECK_STR(weir_breaker_state_text(WEIR_BREAKER_RAMP), "ramp");
    CHECK_STR(weir_breaker_state_text((enum weir_breaker_state)4), "?");
}

TEST(breaker, reading_changes_nothing)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    trip(breaker, START);
    uint64_t due_ns = stats_at(breaker, START).until_ns;
    struct weir_breaker_stats stats = stats_at(breaker, due_ns + WEIR_S);
    CHECK_EQ(stats.state, WEIR_BREAKER_HALF_OPEN); /* as an admission then would find it */
    CHECK_EQ(stats.until_ns, 0);
    CHECK_EQ(stats.half_opened, 0);
    CHECK_EQ(stats.generation, 1);
    CHECK_EQ(refusal(breaker, due_ns - 1), WEIR_REASON_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker, time_spent_in_each_state)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .open_ns = WEIR_S);
    call(breaker, WEIR_FAILED, START);
    calls(breaker, 4, WEIR_FAILED, START + 3 * WEIR_S);
    uint64_t due_ns = START + 6 * WEIR_S;
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, due_ns));
    leave(breaker, &permit, WEIR_OK, due_ns + 2 * WEIR_S);
    struct weir_breaker_stats stats = stats_at(breaker, due_ns + 2 * WEIR_S);
    CHECK_EQ(stats.spent_ns[WEIR_BREAKER_CLOSED], 3 * WEIR_S);
    CHECK_EQ(stats.spent_ns[WEIR_BREAKER_OPEN], 3 * WEIR_S);
    CHECK_EQ(stats.spent_ns[WEIR_BREAKER_HALF_OPEN], 2 * WEIR_S);
    weir_policy_release(breaker);
}

TEST(breaker, a_thousand_outages_count_each_arrow_once)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .open_ns = WEIR_MS);
    uint64_t now_ns = START;
    for (int i = 0; i < 1000; i++) {
        trip(breaker, now_ns);
        now_ns = stats_at(breaker, now_ns).until_ns;
        call(breaker, WEIR_FAILED, now_ns);
        now_ns = stats_at(breaker, now_ns).until_ns;
        call(breaker, WEIR_OK, now_ns);
        now_ns += WEIR_S;
    }
    struct weir_breaker_stats stats = stats_at(breaker, now_ns);
    CHECK_EQ(stats.opened, 1000);
    CHECK_EQ(stats.half_opened, 2000);
    CHECK_EQ(stats.reopened, 1000);
    CHECK_EQ(stats.closed, 1000);
    CHECK_EQ(stats.generation, 5000);
    weir_policy_release(breaker);
}
