/* A shared rate limit while the store is away, slow or another, by answers that are written by hand. */
#include "shared/rate_one.h"

TEST(shared_rate_away, away_its_share_is_the_rate_through_the_instances)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_SHARE, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    CHECK_EQ(take_all(rate), 9); /* the burst is what was lent */
    uint64_t taken = 0;
    for (int i = 0; i < 1000; i++) {
        carried_pass(&c, WEIR_MS);
        taken += take_all(rate);
    }
    CHECK(taken <= 500); /* two instances */
    CHECK(taken >= 495);
    carried_pass(&c, 10 * WEIR_S); /* unused it is no more than its share of the burst */
    CHECK_EQ(take_all(rate), 32);
    drop(rate);
}

/* The store has it back then, whatever has been dripped on top. */
TEST(shared_rate_away, away_what_the_store_lent_ends_when_the_store_takes_it_back)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_SHARE, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    uint64_t end_ns = weir_share_stats(rate).lease_end_ns;
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK(!carried_pass(&c, 20 * WEIR_MS));
    CHECK(weir_share_stats(rate).held > 9);
    CHECK_EQ(weir_share_stats(rate).lease_end_ns, end_ns);
    drop(rate);
}

TEST(shared_rate_away, back_it_pays_for_what_it_used)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_SHARE, .permits = 1000, .burst = 64);
    begin(0);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    uint64_t taken = 0;
    while (taken < 20) {
        carried_pass(&c, WEIR_MS);
        taken += take_all(rate);
    }
    carried_report(&c, WEIR_LANE_UP, 11);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
        carried_pull(&c);
        CHECK_EQ(c.ask.number[ASK_DEBIT], 0);
        carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SHARED);
    carried_pull(&c);
    CHECK(c.ask.number[ASK_DEBIT] >= 20);
    CHECK(c.ask.number[ASK_DEBIT] <= 32);
    carried_grant(&c, 0, 2, 0);
    CHECK_EQ(weir_share_stats(rate).debited, (uint64_t)c.ask.number[ASK_DEBIT]);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_DEBIT], 0);
    carried_grant(&c, 0, 2, 0);
    drop(rate);
}

TEST(shared_rate_away, away_and_open_the_limit_is_its_own)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_OPEN, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK_EQ(take_all(rate), 9);
    c.now_ns += 10 * WEIR_MS;
    CHECK_EQ(take_all(rate), 10);
    c.now_ns += WEIR_S;
    CHECK_EQ(take_all(rate), 64);
    carried_report(&c, WEIR_LANE_UP, 11);
    for (int i = 0; i < 2; i++) {
        carried_pull(&c);
        CHECK_EQ(c.ask.number[ASK_WANT], 0);
        carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SHARED);
    CHECK_EQ(take_all(rate), 0);
    carried_pull(&c);
    CHECK(c.ask.number[ASK_DEBIT] > 0);
    carried_grant(&c, 0, 2, 0);
    drop(rate);
}

TEST(shared_rate_away, away_and_closed_nothing_passes_but_what_was_lent)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK_EQ(take_all(rate), 9);
    carried_pass(&c, 10 * WEIR_S);
    CHECK_EQ(take_all(rate), 0);
    drop(rate);
}

TEST(shared_rate_away, a_store_that_fails_or_is_slow_counts_as_away_once_all_is_spent)
{
    static const struct weir_answer error = { .kind = WEIR_ANSWER_ERROR };
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_SLOW, 11);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SLOW);
    CHECK_EQ(take_all(rate), 9);
    carried_step(&c);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    carried_report(&c, WEIR_LANE_UP, 11);
    for (int i = 0; i < 3; i++) {
        carried_pull(&c);
        carried_answer(&c, &error);
        CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    }
    for (int i = 0; i < 2; i++) {
        carried_pull(&c);
        carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SHARED);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SHARED);
        carried_pull(&c);
        carried_answer(&c, &error);
    }
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    CHECK_EQ(weir_share_stats(rate).refused, 6);
    drop(rate);
}

TEST(shared_rate_away, the_watermark_binds_another_server_and_else_only_one_that_forgot)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    CHECK_EQ(c.ask.number[ASK_WATERMARK], 0);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_WATERMARK], -ARRIVAL);
    carried_grant(&c, 0, 2, 0);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    carried_report(&c, WEIR_LANE_UP, 12);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_WATERMARK], ARRIVAL);
    carried_grant(&c, 0, 2, 0);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_WATERMARK], -ARRIVAL);
    carried_grant(&c, 0, 2, 0);
    drop(rate);
}
