/* A shared bulkhead among several instances: what they hold together, how it is shared out, and how it comes back. */
#include "shared/bulkhead_fleet.h"

#include <stdio.h>

static struct fleet fleet;

#define SHARE(...) WEIR_CONFIG(weir_share_config, .away = WEIR_AWAY_CLOSED, __VA_ARGS__)
#define CONFIG(...) WEIR_CONFIG(weir_bulkhead_config, __VA_ARGS__)

static bool is_leased(uint32_t which)
{
    return weir_share_stats(fleet.instance[which].bulkhead).lease_end_ns != 0;
}

static uint32_t all_limits(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < fleet.count; i++) {
        if (!fleet.instance[i].dead && is_leased(i)) sum += fleet_limit(&fleet, i);
    }
    return sum;
}

/* What a seed does in one ms. */
static void disturb(void)
{
    for (uint32_t i = 0; i < fleet.count; i++) {
        if (fleet.instance[i].dead || fleet_random(&fleet, 8) != 0) continue;
        uint64_t work_ms = 1 + fleet_random(&fleet, fleet_random(&fleet, 20) == 0 ? 3000 : 60);
        fleet_call(&fleet, i, 1 + (uint32_t)fleet_random(&fleet, 3), work_ms);
    }
    if (fleet_random(&fleet, 4000) == 0) fleet.lag_ns = fleet_random(&fleet, 300) * WEIR_MS;
    if (fleet_random(&fleet, 6000) == 0) fleet.lossy = !fleet.lossy;
    if (fleet_random(&fleet, 9000) == 0) fleet_kill(&fleet, (uint32_t)fleet_random(&fleet, fleet.count));
    if (fleet_random(&fleet, 5000) == 0) fleet_up(&fleet, fleet.down);
}

/* I10. The away limit is 0, so in use are permits of leases; those that outlive theirs count on at the store, or the
 * store cannot know them: it is told nothing before the next question. */
TEST(bulkhead_fleet, together_they_hold_no_more_than_the_limit)
{
    uint64_t answered = 0, kills = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        enum weir_form form = seed % 2 == 0 ? WEIR_FORM_SINGLE : WEIR_FORM_SHARDED;
        fleet_create(&fleet, 5, CONFIG(.limit = 24, .queue = seed % 3 == 0 ? 8 : 0, .form = form),
            SHARE(.lease_ns = 600 * WEIR_MS), seed);
        fleet_up(&fleet, true);
        for (uint32_t ms = 0; ms < 20000; ms++) {
            disturb();
            fleet_tick(&fleet);
            if (all_limits() > fleet.limit) {
                fprintf(stderr, "seed %llu, ms %u\n", (unsigned long long)seed, ms);
                CHECK(all_limits() <= fleet.limit);
            }
        }
        for (uint32_t i = 0; i < fleet.count; i++) {
            answered += weir_share_stats(fleet.instance[i].bulkhead).answered;
            kills += fleet.instance[i].dead;
        }
        fleet_destroy(&fleet);
    }
    CHECK(answered > 1000);
    CHECK(kills > 5);
}

/* While nothing fails and leases are renewed, no more calls than the limit are at work in the whole fleet. */
TEST(bulkhead_fleet, no_more_calls_are_at_work_than_the_limit)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        fleet_create(&fleet, 6, CONFIG(.limit = 20, .form = seed % 2 ? WEIR_FORM_SINGLE : WEIR_FORM_SHARDED),
            SHARE(.lease_ns = 600 * WEIR_MS), seed);
        fleet_up(&fleet, true);
        fleet.lag_ns = 10 * WEIR_MS;
        uint32_t most = 0;
        for (uint32_t ms = 0; ms < 10000; ms++) {
            uint32_t busy = (ms / 2000) % fleet.count, at_work = 0;
            for (int i = 0; i < 4; i++) fleet_call(&fleet, busy, 1, 5 + fleet_random(&fleet, 100));
            for (uint32_t i = 0; i < fleet.count; i++) {
                if (fleet_random(&fleet, 20) == 0) fleet_call(&fleet, i, 1, 5 + fleet_random(&fleet, 30));
            }
            fleet_tick(&fleet);
            for (uint32_t i = 0; i < fleet.count; i++) at_work += fleet_in_use(&fleet, i);
            CHECK(at_work <= fleet.limit);
            if (at_work > most) most = at_work;
        }
        CHECK(most >= fleet.limit - (fleet.count - 1)); /* others have one to spare, no more */
        fleet_destroy(&fleet);
    }
}

/* All but instance 0 keep a few calls at work; it would take everything. */
static void greedy_and_modest(uint32_t ms, uint32_t modest)
{
    for (uint32_t i = 0; i < ms; i++) {
        while (fleet_in_use(&fleet, 0) < fleet_limit(&fleet, 0) && fleet_call(&fleet, 0, 1, 20)) continue;
        fleet_call(&fleet, 0, 1, 20);
        for (uint32_t j = 1; j < fleet.count; j++) {
            while (fleet_in_use(&fleet, j) < modest && fleet_call(&fleet, j, 1, 20)) continue;
        }
        fleet_tick(&fleet);
    }
}

TEST(bulkhead_fleet, a_greedy_instance_gets_what_modest_ones_leave)
{
    fleet_create(&fleet, 5, CONFIG(.limit = 64), SHARE(.lease_ns = WEIR_S), 3);
    fleet_up(&fleet, true);
    fleet.lag_ns = 2 * WEIR_MS;
    greedy_and_modest(3000, 0);
    CHECK(fleet_limit(&fleet, 0) >= 60); /* the others are idle, with a permit each to begin with */
    greedy_and_modest(5000, 8);
    uint32_t refused[FLEET_MAX], entered[FLEET_MAX];
    for (uint32_t i = 0; i < fleet.count; i++) {
        refused[i] = fleet.instance[i].refused;
        entered[i] = fleet.instance[i].entered;
    }
    greedy_and_modest(3000, 8);
    for (uint32_t i = 1; i < fleet.count; i++) {
        CHECK_EQ(fleet.instance[i].refused, refused[i]);                /* they get all they need */
        CHECK(fleet.instance[i].entered - entered[i] >= 3000 / 21 * 8); /* a call lasts 20 ms and a tick */
    }
    CHECK(fleet_limit(&fleet, 0) >= 64 - 4 * 11); /* 8, a quarter to spare, and what rounding makes of it */
    CHECK(fleet_limit(&fleet, 0) <= 64 - 4 * 8);
    fleet_destroy(&fleet);
}

static void all_greedy(uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        for (uint32_t j = 0; j < fleet.count; j++) {
            if (fleet.instance[j].dead) continue;
            fleet_call(&fleet, j, 1, 10);
            fleet_call(&fleet, j, 1, 10);
        }
        fleet_tick(&fleet);
    }
}

TEST(bulkhead_fleet, greedy_instances_get_equal_parts)
{
    fleet_create(&fleet, 4, CONFIG(.limit = 40), SHARE(.lease_ns = WEIR_S), 5);
    fleet_up(&fleet, true);
    fleet.lag_ns = 2 * WEIR_MS;
    for (int i = 0; i < 60; i++) fleet_call(&fleet, 0, 1, 3000); /* one was there first, with all of it */
    all_greedy(8000);
    for (uint32_t i = 0; i < fleet.count; i++) CHECK_EQ(fleet_limit(&fleet, i), 10);
    fleet_destroy(&fleet);
}

/* Fewer permits than instances that want one: they take turns. */
TEST(bulkhead_fleet, a_limit_below_the_instances_goes_round)
{
    fleet_create(&fleet, 6, CONFIG(.limit = 2), SHARE(.lease_ns = 300 * WEIR_MS), 11);
    fleet_up(&fleet, true);
    fleet.lag_ns = 2 * WEIR_MS;
    all_greedy(20000);
    uint32_t all = 0;
    for (uint32_t i = 0; i < fleet.count; i++) all += fleet.instance[i].entered;
    for (uint32_t i = 0; i < fleet.count; i++) CHECK(fleet.instance[i].entered >= all / 6 / 3);
    CHECK(all >= 20000 / 10 * 2 / 2); /* half of what two permits can do */
    fleet_destroy(&fleet);
}

TEST(bulkhead_fleet, permits_of_a_killed_instance_are_back_within_its_lease)
{
    fleet_create(&fleet, 3, CONFIG(.limit = 30), SHARE(.lease_ns = WEIR_S), 7);
    fleet_up(&fleet, true);
    all_greedy(4000);
    CHECK_EQ(fleet_limit(&fleet, 2), 10);
    fleet_kill(&fleet, 2);
    all_greedy(1000 + 150); /* the lease, and until the others have asked */
    CHECK(fleet_limit(&fleet, 0) + fleet_limit(&fleet, 1) >= 29);
    fleet_destroy(&fleet);
}

/* A queue in front of nothing: who waits is let in when a grant comes, and is not forgotten. */
TEST(bulkhead_fleet, who_waits_is_let_in_when_permits_come)
{
    IN_BOTH_FORMS(form)
    {
        fleet_create(&fleet, 2, CONFIG(.limit = 8, .queue = 8, .form = form, .wait_max_ns = 60 * WEIR_S),
            SHARE(.lease_ns = WEIR_S), 9);
        fleet_up(&fleet, true);
        fleet_run(&fleet, 50);
        for (int i = 0; i < 3; i++) CHECK(fleet_call(&fleet, 0, 2, 500)); /* also what it has not yet */
        fleet_run(&fleet, 300);
        CHECK_EQ(fleet_in_use(&fleet, 0), 6);
        CHECK(fleet_call(&fleet, 1, 7, 100)); /* all but the one that the other has to spare */
        CHECK(!fleet_call(&fleet, 1, 9, 100));
        fleet_run(&fleet, 5000);
        CHECK_EQ(fleet.instance[1].entered, 1);
        CHECK_EQ(stats_of(fleet.instance[1].pipeline).waiting, 0);
        fleet_destroy(&fleet);
    }
}

/* Everything idle: it does not ask without end. */
TEST(bulkhead_fleet, idle_instances_ask_seldom)
{
    fleet_create(&fleet, 3, CONFIG(.limit = 30), SHARE(.lease_ns = 3 * WEIR_S), 13);
    fleet_up(&fleet, true);
    fleet_run(&fleet, 2000);
    uint64_t before = weir_share_stats(fleet.instance[0].bulkhead).asked;
    fleet_run(&fleet, 60000);
    uint64_t asked = weir_share_stats(fleet.instance[0].bulkhead).asked - before;
    CHECK(asked >= 60 && asked <= 80);
    fleet_destroy(&fleet);
}
