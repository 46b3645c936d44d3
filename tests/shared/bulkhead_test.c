/* A shared bulkhead's states, leases and questions, by hand-made answers. */
#include "policy/bulkhead.h"
#include "policy/handle.h"
#include "shared/bulkhead_desk.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct desk desk;

static bool enters(uint64_t now_ns)
{
    static struct guest guest;
    if (come(&guest, desk.pipeline, 1, NULL, now_ns) != WEIR_RUN) return false;
    go(&guest, now_ns);
    return true;
}

TEST(shared_bulkhead, what_holds_until_the_store_has_said)
{
    static const uint32_t limits[] = { [WEIR_AWAY_SHARE] = 2, [WEIR_AWAY_OPEN] = 10, [WEIR_AWAY_CLOSED] = 0 };
    IN_BOTH_FORMS(form)
    {
        for (enum weir_away away = WEIR_AWAY_SHARE; away <= WEIR_AWAY_CLOSED; away++) {
            desk_open(&desk, BULKHEAD(.limit = 10, .form = form), SHARE(.away = away, .instances = 4));
            CHECK_EQ(desk_state(&desk), WEIR_SHARE_DETACHED);
            CHECK_EQ(desk_limit(&desk), limits[away]); /* whenever the link is first driven */
            CHECK_EQ(enters(START), limits[away] != 0);
            CHECK(!desk_pull(&desk, START)); /* the lane is down */
            CHECK_EQ(desk_state(&desk), WEIR_SHARE_DEGRADED);
            CHECK_EQ(desk_limit(&desk), limits[away]);
            CHECK_EQ(enters(START), limits[away] != 0);
            desk_close(&desk, START);
        }
    }
}

TEST(shared_bulkhead, a_share_of_less_than_one_permit_is_none)
{
    desk_open(&desk, BULKHEAD(.limit = 3), SHARE(.away = WEIR_AWAY_SHARE, .instances = 4));
    CHECK(!desk_pull(&desk, START));
    CHECK_EQ(desk_limit(&desk), 0);
    desk_close(&desk, START);
}

TEST(shared_bulkhead, what_is_asked_and_what_is_granted)
{
    IN_BOTH_FORMS(form)
    {
        desk_open(&desk, BULKHEAD(.limit = 64, .form = form, .name = "api"), SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        CHECK(desk_pull(&desk, START));
        CHECK_EQ(desk.ask.kind, WEIR_ASK_BULKHEAD);
        CHECK_STR(desk.ask.name, "api");
        CHECK_EQ(desk.ask.count, 5);
        const int64_t numbers[] = { 1, 64, 0, 1, 3000 };
        for (int i = 0; i < 5; i++) CHECK_EQ(desk.ask.number[i], numbers[i]);
        CHECK_EQ(desk.ask.deadline_ns, START + WEIR_S);
        CHECK_EQ(desk_limit(&desk), 0); /* until it is answered */
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 16, 0, 4, 40, START + 20 * WEIR_MS);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SHARED);
        CHECK_EQ(desk_limit(&desk), 1);
        struct weir_share_stats stats = weir_share_stats(desk.bulkhead);
        CHECK_EQ(stats.lease_end_ns, START + LEASE_GOOD); /* from before it was sent */
        CHECK_EQ(stats.instances, 4);
        CHECK_EQ(stats.held, 1);
        CHECK_EQ(stats.lent, 1);
        char text[160];
        desk.bulkhead->ops->describe(desk.bulkhead->config, desk.bulkhead->state, 0, text, sizeof text);
        CHECK(strstr(text, "0 of 1 in use, ") == text);
        CHECK(strstr(text, ", lease 1 of 64 shared by 4") != NULL);
        desk_close(&desk, START);
    }
}

/* The link is not driven: the lease ends all the same, for who comes and for who waits. */
TEST(shared_bulkhead, nobody_is_let_in_after_the_lease)
{
    IN_BOTH_FORMS(form)
    {
        struct guest first, second;
        const uint64_t end_ns = START + LEASE_GOOD;
        desk_open(&desk, BULKHEAD(.limit = 8, .queue = 4, .wait_max_ns = 60 * WEIR_S, .form = form),
            SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        desk_grant(&desk, 1, 2, START);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, end_ns - 1), WEIR_RUN);
        CHECK_EQ(come(&second, desk.pipeline, 1, NULL, end_ns - 1), WEIR_WAIT);
        go(&first, end_ns); /* its permit is handed to nobody */
        CHECK_EQ(second.posts, 0);
        CHECK_EQ(look(&second, end_ns), WEIR_WAIT);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, end_ns), WEIR_WAIT);
        desk_grant(&desk, 2, 2, end_ns + WEIR_S);
        CHECK_EQ(desk_limit(&desk), 2);
        CHECK_EQ(second.posts, 1); /* the new lease looked after them */
        CHECK_EQ(first.posts, 1);
        CHECK_EQ(look(&second, end_ns + WEIR_S), WEIR_RUN);
        CHECK_EQ(look(&first, end_ns + WEIR_S), WEIR_RUN);
        go(&first, end_ns + WEIR_S);
        go(&second, end_ns + WEIR_S);
        check_empty(desk.pipeline);
        desk_close(&desk, end_ns + WEIR_S);
    }
}

/* The process was stopped in between. */
TEST(shared_bulkhead, a_permit_that_was_handed_over_is_none_after_the_lease)
{
    IN_BOTH_FORMS(form)
    {
        struct guest first, second;
        const uint64_t end_ns = START + LEASE_GOOD;
        desk_open(&desk, BULKHEAD(.limit = 8, .queue = 4, .wait_max_ns = 60 * WEIR_S, .form = form),
            SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        desk_grant(&desk, 1, 2, START);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, end_ns - 2), WEIR_RUN);
        CHECK_EQ(come(&second, desk.pipeline, 1, NULL, end_ns - 2), WEIR_WAIT);
        go(&first, end_ns - 1);
        CHECK_EQ(second.posts, 1);
        CHECK_EQ(look(&second, end_ns), WEIR_DONE);
        CHECK_EQ(stats_of(desk.pipeline).in_use, 0);
        CHECK_EQ(stats_of(desk.pipeline).refused_full, 1);
        check_empty(desk.pipeline);
        desk_close(&desk, end_ns);
    }
}

TEST(shared_bulkhead, a_free_permit_is_none_after_the_lease)
{
    IN_BOTH_FORMS(form)
    {
        desk_open(&desk, BULKHEAD(.limit = 8, .form = form), SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        desk_grant(&desk, 1, 2, START);
        CHECK(enters(START + LEASE_GOOD - 1));
        CHECK(!enters(START + LEASE_GOOD));
        CHECK_EQ(stats_of(desk.pipeline).in_use, 0);
        desk_close(&desk, START + LEASE_GOOD);
    }
}

/* The away limit is in force a little earlier, so that a call of a driven link meets no end. */
TEST(shared_bulkhead, a_lease_that_nobody_renews_lapses)
{
    IN_BOTH_FORMS(form)
    {
        uint64_t lapse_ns = START + LEASE_GOOD - LEASE_LEFT;
        desk_open(&desk, BULKHEAD(.limit = 12, .form = form), SHARE(.away = WEIR_AWAY_SHARE));
        desk_report(&desk, WEIR_LANE_UP, START);
        CHECK(desk_pull(&desk, START));
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 4, 0, 3, 12, START);
        desk_report(&desk, WEIR_LANE_DOWN, START + WEIR_S);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SLOW);
        CHECK(!desk_pull(&desk, lapse_ns - 1));
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SLOW);
        CHECK_EQ(desk_limit(&desk), 1);
        CHECK(!desk_pull(&desk, lapse_ns));
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_DEGRADED);
        CHECK_EQ(desk_limit(&desk), 4); /* a third of it, as there were three */
        CHECK_EQ(weir_share_stats(desk.bulkhead).expired, 1);
        CHECK(enters(lapse_ns + 60 * WEIR_S));
        desk_report(&desk, WEIR_LANE_UP, lapse_ns + 60 * WEIR_S);
        desk_grant(&desk, 1, 2, lapse_ns + 60 * WEIR_S);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SHARED);
        CHECK_EQ(desk_limit(&desk), 1);
        CHECK_EQ(weir_share_stats(desk.bulkhead).changes[WEIR_SHARE_DEGRADED], 2);
        desk_close(&desk, lapse_ns + 60 * WEIR_S);
    }
}

TEST(shared_bulkhead, an_answer_that_comes_too_late_is_no_lease)
{
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    CHECK(desk_pull(&desk, START));
    uint64_t late_ns = START + LEASE_GOOD - LEASE_LEFT;
    desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 12, 0, 1, 1, late_ns);
    CHECK_EQ(desk_limit(&desk), 0);
    CHECK_EQ(desk_state(&desk), WEIR_SHARE_DEGRADED);
    CHECK(desk_pull(&desk, late_ns)); /* at once again */
    desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 12, 0, 1, 1, late_ns + 1);
    CHECK_EQ(desk_limit(&desk), 1);
    desk_close(&desk, late_ns);
}

TEST(shared_bulkhead, errors_leave_the_lease_as_it_is)
{
    static const enum weir_answer_kind kinds[] = { WEIR_ANSWER_UNKNOWN, WEIR_ANSWER_ERROR,
        WEIR_ANSWER_NOT_RUN };
    for (int i = 0; i < 3; i++) {
        desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        desk_grant(&desk, 1, 1, START);
        uint64_t now_ns = START + WEIR_S;
        CHECK(desk_pull(&desk, now_ns));
        CHECK_EQ(desk.ask.number[0], 2);
        desk_fail(&desk, kinds[i], now_ns);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SLOW);
        CHECK_EQ(desk_limit(&desk), 1);
        CHECK_EQ(weir_share_stats(desk.bulkhead).lease_end_ns, START + LEASE_GOOD);
        CHECK(!desk_pull(&desk, now_ns)); /* not without end */
        CHECK(desk_pull(&desk, now_ns + 100 * WEIR_MS));
        CHECK_EQ(desk.ask.number[0], 3);
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 12, 0, 1, 1, now_ns + 100 * WEIR_MS);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_SHARED);
        desk_close(&desk, now_ns);
    }
}

/* Whatever a store says: no more than was asked for is let in. */
TEST(shared_bulkhead, lies_are_kept_within_bounds)
{
    const int64_t huge = INT64_C(9007199254740991), lies[] = { huge, -huge, -2, 0, 1000001 };
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_SHARE));
    desk_report(&desk, WEIR_LANE_UP, START);
    uint64_t now_ns = START;
    for (int i = 0; i < 5; i++) {
        now_ns += 2 * WEIR_S;
        CHECK(desk_pull(&desk, now_ns));
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, lies[i], lies[i], lies[i], lies[i], lies[i], now_ns);
        CHECK(desk_limit(&desk) <= 12);
        now_ns += 2 * WEIR_S;
        CHECK(desk_pull(&desk, now_ns));
        CHECK(desk.ask.number[3] <= 12);
        desk_answer(&desk, WEIR_ANSWER_DONE, 4, 12, 12, 0, 1, 12, now_ns); /* one number is missing */
        CHECK(desk_limit(&desk) <= 12);
    }
    desk_close(&desk, now_ns);
}

/* Others have less than their share: what it has beyond goes as calls finish, and out of force before it is told. */
TEST(shared_bulkhead, surplus_is_offered_and_nothing_is_disturbed)
{
    IN_BOTH_FORMS(form)
    {
        struct guest guest[8];
        desk_open(&desk, BULKHEAD(.limit = 8, .form = form), SHARE(.away = WEIR_AWAY_OPEN));
        CHECK(!desk_pull(&desk, START));
        for (int i = 0; i < 8; i++) CHECK_EQ(come(&guest[i], desk.pipeline, 1, NULL, START), WEIR_RUN);
        desk_report(&desk, WEIR_LANE_UP, START);
        CHECK(desk_pull(&desk, START));
        CHECK_EQ(desk.ask.number[2], 8);
        CHECK_EQ(desk.ask.number[3], 8);
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 8, 4, 0, 2, 8, START);
        CHECK_EQ(desk_limit(&desk), 8);
        CHECK(desk_pull(&desk, START + WEIR_S)); /* it has more than its share: somebody may want it */
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 8, 4, 1, 2, 8, START + WEIR_S);
        CHECK_EQ(desk_limit(&desk), 8);
        CHECK(desk_pull(&desk, START + 2 * WEIR_S));
        CHECK_EQ(desk.ask.number[3], 4);
        CHECK_EQ(desk.ask.number[2], 8);
        CHECK_EQ(desk_limit(&desk), 4); /* nobody more is let in meanwhile */
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 4, 4, 0, 2, 8, START + 2 * WEIR_S);
        CHECK_EQ(stats_of(desk.pipeline).in_use, 8);
        CHECK_EQ(weir_share_stats(desk.bulkhead).returned, 4);
        go(&guest[0], START + 2 * WEIR_S);
        CHECK(!enters(START + 2 * WEIR_S));
        CHECK(desk_pull(&desk, START + 2 * WEIR_S + 100 * WEIR_MS)); /* told soon, as others may have it */
        CHECK_EQ(desk.ask.number[2], 7);
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 4, 4, 1, 2, 8, START + 2 * WEIR_S + 100 * WEIR_MS);
        for (int i = 1; i < 8; i++) go(&guest[i], START + 2 * WEIR_S);
        CHECK(enters(START + 2 * WEIR_S));
        desk_close(&desk, START + 2 * WEIR_S);
    }
}

TEST(shared_bulkhead, a_machine_that_slept_has_no_lease)
{
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    struct weir_instants awake = { START + WEIR_MS, START + 60 * WEIR_S };
    weir_link_step(desk.link, awake);
    CHECK_EQ(desk_limit(&desk), 0);
    CHECK_EQ(desk_state(&desk), WEIR_SHARE_DEGRADED);
    CHECK(weir_link_pull(desk.link, 0, WEIR_LANE_BULK, awake, &desk.ask));
    desk.asked = true;
    desk_close(&desk, START + WEIR_MS);
}

TEST(shared_bulkhead, the_fleets_limit_is_changed_live)
{
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_SHARE, .instances = 2));
    CHECK(!desk_pull(&desk, START));
    CHECK_EQ(desk_limit(&desk), 6);
    CHECK_EQ(weir_bulkhead_set_limit(desk.bulkhead, 20), WEIR_E_NONE);
    CHECK_EQ(desk_limit(&desk), 6); /* until the link looks */
    CHECK(!desk_pull(&desk, START + 100 * WEIR_MS));
    CHECK_EQ(desk_limit(&desk), 10);
    desk_report(&desk, WEIR_LANE_UP, START + WEIR_S);
    CHECK(desk_pull(&desk, START + WEIR_S));
    CHECK_EQ(desk.ask.number[1], 20);
    desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 10, 0, 2, 1, START + WEIR_S);
    CHECK_EQ(weir_bulkhead_set_limit(desk.bulkhead, 5), WEIR_E_NONE);
    CHECK(desk_pull(&desk, START + WEIR_S + 100 * WEIR_MS)); /* at once, not when the lease is renewed */
    CHECK_EQ(desk.ask.number[1], 5);
    desk_close(&desk, START + WEIR_S);
}
