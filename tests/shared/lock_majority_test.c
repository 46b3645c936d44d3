/* A lock that several servers grant by majority. */
#include "shared/lock_case.h"

TEST(majority, holds_from_the_earliest_of_a_majority_with_the_greatest_token_written_back)
{
    struct weir_lock *lock = fresh(3);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_pump(&carrier);
    for (uint32_t i = 0; i < 3; i++) CHECK_EQ(question_at(&carrier, i)->ask.kind, WEIR_ASK_LOCK);
    uint64_t sent_ns = world_now().boottime_ns;
    answer(question_at(&carrier, 0), 1, 50);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING);
    answer(question_at(&carrier, 1), 1, 60);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING); /* 60 is on one of three */
    carrier_pump(&carrier);
    struct question *fence = question_at(&carrier, 0);
    CHECK_EQ(fence->ask.kind, WEIR_ASK_FENCE);
    CHECK_EQ(fence->ask.number[0], 60);
    answer(fence, 60, 0);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(weir_lock_fence(lock).token, 60);
    CHECK_EQ(weir_lock_valid_until(lock), sent_ns + VALID_NS);
    done(lock);
}

TEST(majority, that_is_not_reached_is_given_back_everywhere)
{
    struct weir_lock *lock = fresh(3);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_pump(&carrier);
    answer(question_at(&carrier, 0), 1, 50);
    answer(question_at(&carrier, 1), 0, 500);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING);
    answer(question_at(&carrier, 2), 0, 500);
    carrier_pump(&carrier);
    CHECK_EQ(question_at(&carrier, 0)->ask.kind, WEIR_ASK_UNLOCK);
    CHECK(question_at(&carrier, 1) == NULL);
    CHECK(question_at(&carrier, 2) == NULL);
    done(lock);
}

TEST(majority, is_lost_with_its_majority)
{
    struct weir_lock *lock = held(3);
    while (world_ns < START_NS + 2 * LEASE_NS) { /* one of three has another holder */
        stores[0].id[0] = 1;
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
        CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    }
    uint64_t began_ns = world_ns;
    while (state_of(lock) != WEIR_LOCK_LOST) { /* and another one */
        CHECK(world_ns < began_ns + LEASE_NS / 2);
        stores[0].id[0] = stores[1].id[0] = 1;
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
    }
    done(lock);
}

TEST(majority, adds_a_node_again_but_not_one_that_has_just_restarted)
{
    struct weir_lock *lock = held(3);
    stores[2] = (struct store_lock) { 0 };
    carrier_lane(&carrier, 2, false, 0);
    carrier_lane(&carrier, 2, true, 300);
    uint64_t came_ns = world_ns;
    while (!stores[2].taken) {
        CHECK(world_ns < came_ns + 3 * LEASE_NS);
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
        CHECK(state_of(lock) == WEIR_LOCK_HELD);
    }
    CHECK(world_ns >= came_ns + LEASE_NS * 3 / 2);
    CHECK(stores[2].id[0] == stores[0].id[0]);
    done(lock);
}

TEST(majority, renews_each_node_for_itself)
{
    struct weir_lock *lock = held(3);
    carrier_lane(&carrier, 1, false, 0);
    for (int i = 0; i < 100; i++) {
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
        CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    }
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_TIMEOUT);
    carrier_serve(&carrier, stores);
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_NONE); /* two of three said so */
    CHECK(!stores[0].taken);
    CHECK(!stores[2].taken);
    done(lock);
}
