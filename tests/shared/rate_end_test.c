/* How the sharing of a rate limit ends when not all goes well: the lane is down, the lease is over, a question is under way. */
#include "shared/rate_one.h"

#include "policy/hooks.h"

#define LIMITED(away) RATE(away, .permits = 1000, .burst = 64)

TEST(shared_rate_end, what_has_ended_is_not_given_back)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    lend(rate, 9);
    weir_policy_unshare(rate);
    CHECK(!weir_link_is_flushed(c.link));
    c.now_ns += 2 * WEIR_S; /* the lease is over, and the store has it back */
    CHECK(!carried_is_asking(&c));
    CHECK(weir_link_is_flushed(c.link));
    drop(rate);
}

TEST(shared_rate_end, what_nobody_can_be_told_is_not_waited_for)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    weir_policy_unshare(rate);
    carried_step(&c);
    CHECK(weir_link_is_flushed(c.link));
    carried_report(&c, WEIR_LANE_UP, 11);
    CHECK(!carried_pass(&c, WEIR_S));
    drop(rate);
}

/* What a question under way brings after all is given back by the next one; an error of that is the end of it. */
TEST(shared_rate_end, flushed_while_it_asks_it_gives_back_what_comes)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    CHECK_EQ(weir_rate_acquire_at(rate, 5, c.now_ns).status, WEIR_REJECTED);
    carried_pull(&c);
    CHECK(c.ask.number[ASK_WANT] >= 5);
    weir_link_flush(c.link, carried_now(&c));
    carried_grant(&c, 5, 2, 0);
    CHECK(!weir_link_is_flushed(c.link));
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_RETURNED], 5);
    CHECK_EQ(c.ask.number[ASK_WANT], 0);
    const struct weir_answer unknown = { .kind = WEIR_ANSWER_UNKNOWN };
    carried_answer(&c, &unknown);
    CHECK(weir_link_is_flushed(c.link));
    CHECK_EQ(take_all(rate), 0);
    drop(rate);
}

TEST(shared_rate_end, flushed_with_nothing_in_hand_it_is_done)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    weir_link_flush(c.link, carried_now(&c));
    CHECK(weir_link_is_flushed(c.link));
    CHECK(!carried_pass(&c, 5 * WEIR_S));
    drop(rate);
}

TEST(shared_rate_end, flushed_while_its_lane_is_down_it_is_done)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    weir_link_flush(c.link, carried_now(&c));
    CHECK(weir_link_is_flushed(c.link));
    drop(rate);
}

/* A flush leaves alone who has left, and whose limit is its own. */
TEST(shared_rate_end, a_flush_after_it_left_changes_nothing)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    lend(rate, 9);
    weir_policy_unshare(rate);
    weir_link_flush(c.link, carried_now(&c));
    CHECK(!weir_link_is_flushed(c.link));
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_RETURNED], 9);
    carried_grant(&c, 0, 1, 0);
    CHECK(weir_link_is_flushed(c.link));
    drop(rate);
}

TEST(shared_rate_end, away_and_open_a_flush_changes_nothing)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_OPEN);
    begin(0);
    lend(rate, 9);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    weir_link_flush(c.link, carried_now(&c));
    CHECK(weir_link_is_flushed(c.link));
    CHECK_EQ(take_all(rate), 9); /* as much of the burst as was lent */
    c.now_ns += 10 * WEIR_MS;
    CHECK_EQ(take_all(rate), 10);
    drop(rate);
}

TEST(shared_rate_end, shared_anew_it_has_nothing_of_before)
{
    struct weir_policy *rate = LIMITED(WEIR_AWAY_CLOSED);
    begin(0);
    lend(rate, 9);
    weir_policy_unshare(rate);
    carried_pull(&c);
    carried_grant(&c, 0, 1, 0);
    CHECK_EQ(
        weir_policy_share(rate, WEIR_CONFIG(weir_share_config, .link = c.link, .away = WEIR_AWAY_CLOSED)),
        WEIR_E_NONE);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_UNSPENT], 0);
    carried_grant(&c, 1, 1, 0);
    CHECK_EQ(take_all(rate), 1);
    CHECK_EQ(weir_share_stats(rate).expired, 0);
    drop(rate);
}

TEST(shared_rate_end, what_is_given_back_after_its_lease_is_gone)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64, .form = WEIR_FORM_SINGLE);
    struct weir_permit permit;
    uint64_t at_ns;
    begin(0);
    lend(rate, 9);
    CHECK_EQ(weir_rate_reserve_at(rate, 2, WEIR_S, c.now_ns, &permit, &at_ns).status, WEIR_OK);
    c.now_ns = weir_share_stats(rate).lease_end_ns;
    weir_rate_give_back_at(rate, &permit, c.now_ns);
    CHECK_EQ(weir_rate_stats(rate, c.now_ns).given_back, 0);
    CHECK_EQ(weir_share_stats(rate).held, 7);
    drop(rate);
}
