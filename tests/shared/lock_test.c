/* A lock by hand-made answers over virtual time: each arrow of lib/shared/lock.h, and each way an answer can fail. */
#include "shared/lock_case.h"

TEST(lock, is_valid_from_before_the_question_was_sent)
{
    struct weir_lock *lock = fresh(1);
    CHECK_EQ(state_of(lock), WEIR_LOCK_FREE);
    weir_lock_begin(lock, WEIR_NEVER);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING);
    struct question *question = asked(WEIR_ASK_LOCK);
    uint64_t sent_ns = world_now().boottime_ns;
    CHECK_EQ(question->ask.number[0], 900); /* lease and grace */
    CHECK(question->ask.id[0] != 0);
    pass(50 * WEIR_MS);
    answer(question, 1, 77);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(weir_lock_valid_until(lock), sent_ns + VALID_NS);
    CHECK_EQ(weir_lock_fence(lock).token, 77);
    CHECK_EQ(weir_lock_fence(lock).nonce, question->ask.id[0] >> 11);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_HELD], 1);
    done(lock);
}

TEST(lock, is_renewed_from_a_third_of_its_lease_on)
{
    struct weir_lock *lock = held(1);
    uint64_t before_ns = weir_lock_valid_until(lock);
    CHECK(carrier.wake_ns >= world_ns + LEASE_NS * 3 / 10);
    CHECK(carrier.wake_ns <= world_ns + LEASE_NS * 11 / 30);
    world_ns = carrier.wake_ns;
    struct question *question = asked(WEIR_ASK_RENEW);
    uint64_t sent_ns = world_now().boottime_ns;
    pass(10 * WEIR_MS);
    answer(question, 1, 0);
    CHECK_EQ(weir_lock_valid_until(lock), sent_ns + VALID_NS);
    CHECK(weir_lock_valid_until(lock) > before_ns);
    struct weir_lock_stats stats = weir_lock_stats(lock);
    CHECK_EQ(stats.renewed, 1);
    CHECK_EQ(stats.margin_min_ns, before_ns - world_now().boottime_ns);
    CHECK_EQ(stats.margin[6], 1);
    done(lock);
}

TEST(lock, that_cannot_be_renewed_is_suspect_and_then_lost_and_stays_so)
{
    struct weir_lock *lock = held(1);
    uint64_t began_ns = world_ns;
    uint64_t fractions[4], count = 0;
    while (state_of(lock) != WEIR_LOCK_LOST) {
        CHECK(carrier.wake_ns > world_ns);
        world_ns = carrier.wake_ns;
        carrier_pump(&carrier);
        struct question *question = question_at(&carrier, 0);
        if (question == NULL) continue;
        CHECK_EQ(question->ask.kind, WEIR_ASK_RENEW);
        CHECK(count < 4);
        fractions[count++] = (world_ns - began_ns) * 60 / LEASE_NS;
        CHECK_EQ(question->ask.deadline_ns, world_ns + LEASE_NS / 6);
        pass(WEIR_MS);
        question_answer(&carrier, question, WEIR_ANSWER_UNKNOWN);
        carrier_pump(&carrier);
    }
    CHECK_EQ(count, 4);
    CHECK(fractions[0] >= 18);
    CHECK(fractions[0] <= 22);
    CHECK_EQ(fractions[1], 30);
    CHECK_EQ(fractions[2], 40);
    CHECK_EQ(fractions[3], 50);
    CHECK_EQ(world_ns - began_ns, VALID_NS);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_SUSPECT], 1);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_LOST], 1);
    CHECK_EQ(weir_lock_valid_until(lock), 0);
    CHECK_EQ(weir_lock_fence(lock).token, 0);
    pass(10 * WEIR_S);
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    done(lock);
}

static void begin_again(void)
{
    struct weir_lock *lock = held(1);
    weir_lock_begin(lock, WEIR_NEVER);
}

static void begin_lost(void)
{
    struct weir_lock *lock = held(1);
    pass(LEASE_NS);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    weir_lock_begin(lock, WEIR_NEVER);
}

TEST(lock, is_acquired_when_it_is_free_only)
{
    CHECK_ABORTS(begin_again(), "weir_lock_begin: the lock is held");
    CHECK_ABORTS(begin_lost(), "weir_lock_release() comes first");
}

TEST(lock, is_suspect_when_a_renewal_is_overdue_and_held_again_after_one)
{
    struct weir_lock *lock = held(1);
    world_ns = carrier.wake_ns;
    struct question *question = asked(WEIR_ASK_RENEW);
    world_ns = START_NS + LEASE_NS * 2 / 3 - 1;
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    pass(1);
    CHECK_EQ(state_of(lock), WEIR_LOCK_SUSPECT);
    carrier_pump(&carrier);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_SUSPECT], 1);
    answer(question, 1, 0);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    done(lock);
}

TEST(lock, is_lost_at_once_when_the_store_says_that_it_is_not_its)
{
    struct weir_lock *lock = held(1);
    stores[0].taken = false;
    world_ns = carrier.wake_ns;
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    CHECK_EQ(weir_lock_stats(lock).lost, 1);
    done(lock);
}

TEST(lock, whose_holder_saw_the_end_is_not_renewed_by_a_late_answer)
{
    struct weir_lock *lock = held(1);
    world_ns = carrier.wake_ns;
    struct question *question = asked(WEIR_ASK_RENEW);
    struct weir_instants early = world_now();
    CHECK_EQ(weir_lock_check_at(lock, weir_lock_valid_until(lock)), WEIR_LOCK_LOST);
    CHECK(carrier.rung);
    question->there = false;
    question->answer = (struct weir_answer) { .count = 1, .number = { 1 } };
    weir_link_answer(carrier.link, question->ask.ticket, &question->answer, early);
    CHECK_EQ(weir_lock_check_at(lock, early.boottime_ns), WEIR_LOCK_LOST);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_LOST], 1);
    done(lock);
}

TEST(lock, whose_driver_has_stalled_is_lost_by_the_holders_own_look)
{
    struct weir_lock *lock = held(1);
    pass(VALID_NS - 1);
    CHECK_EQ(state_of(lock), WEIR_LOCK_SUSPECT);
    pass(1);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    done(lock);
}

TEST(lock, waits_while_another_holds_it)
{
    struct weir_lock *lock = fresh(1);
    weir_lock_begin(lock, world_ns + WEIR_S);
    struct question *question = asked(WEIR_ASK_LOCK);
    uint64_t first = question->ask.id[0];
    answer(question, 0, 30);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING);
    carrier_pump(&carrier);
    CHECK_EQ(carrier.wake_ns, world_ns + 31 * WEIR_MS); /* not longer than its holder's rest */
    world_ns = carrier.wake_ns;
    question = asked(WEIR_ASK_LOCK);
    CHECK(question->ask.id[0] != first); /* each attempt has an id of its own */
    answer(question, 0, 5000);
    for (int polls = 0; state_of(lock) == WEIR_LOCK_ACQUIRING; polls++) {
        CHECK(polls < 30);
        carrier_pump(&carrier);
        CHECK(carrier.wake_ns > world_ns);
        CHECK(carrier.wake_ns - world_ns <= 500 * WEIR_MS);
        world_ns = carrier.wake_ns;
        carrier_pump(&carrier);
        if (question_at(&carrier, 0) != NULL) answer(question_at(&carrier, 0), 0, 5000);
    }
    CHECK_EQ(world_ns, START_NS + WEIR_S);
    struct weir_outcome outcome = weir_lock_outcome(lock);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.reason, WEIR_REASON_LOCK_HELD);
    CHECK_EQ(outcome.retry_after_ns, 5 * WEIR_S);
    CHECK_EQ(weir_lock_stats(lock).ghosts, 0);
    done(lock);
}

TEST(lock, that_another_has_for_longer_than_time_is_polled_no_faster)
{
    struct weir_lock *lock = fresh(1);
    weir_lock_begin(lock, WEIR_NEVER);
    answer(asked(WEIR_ASK_LOCK), 0, (INT64_C(1) << 53) - 2); /* ms: more than there are ns in 64 bits */
    carrier_pump(&carrier);
    CHECK(carrier.wake_ns >= world_ns + 50 * WEIR_MS);
    done(lock);
}

TEST(lock, of_which_too_little_is_left_is_given_back)
{
    struct weir_lock *lock = fresh(1);
    weir_lock_begin(lock, WEIR_NEVER);
    struct question *question = asked(WEIR_ASK_LOCK);
    pass(VALID_NS - LEASE_NS / 3 + 1);
    answer(question, 1, 77);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING);
    uint64_t id = question->ask.id[0];
    CHECK_EQ(asked(WEIR_ASK_UNLOCK)->ask.id[0], id);
    done(lock);
}

TEST(lock, release_goes_out_before_the_next_acquire_and_nothing_renews)
{
    struct weir_lock *lock = held(1);
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_TIMEOUT);
    CHECK_EQ(state_of(lock), WEIR_LOCK_FREE);
    weir_lock_begin(lock, WEIR_NEVER);
    struct question *question = asked(WEIR_ASK_UNLOCK);
    CHECK(question->ask.id[0] == stores[0].id[0]);
    answer(question, 1, 0);
    answer(asked(WEIR_ASK_LOCK), 1, 99);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_RELEASED], 1);
    done(lock);
}

TEST(lock, release_waits_for_the_renewal_under_way_and_takes_it_back)
{
    struct weir_lock *lock = held(1);
    world_ns = carrier.wake_ns;
    struct question *question = asked(WEIR_ASK_RENEW);
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_TIMEOUT);
    carrier_pump(&carrier);
    answer(question, 1, 0);
    CHECK_EQ(state_of(lock), WEIR_LOCK_FREE);
    answer(asked(WEIR_ASK_UNLOCK), 1, 0);
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_NONE);
    CHECK(weir_link_is_flushed(carrier.link));
    pass(10 * WEIR_S);
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    done(lock);
}

TEST(lock, release_whose_answer_is_lost_is_repeated_until_the_store_forgets)
{
    struct weir_lock *lock = held(1);
    (void)weir_lock_release(lock, 0);
    uint64_t unlocks = 0;
    for (; weir_lock_stats(lock).ghosts != 0; unlocks++) {
        CHECK(!weir_link_is_flushed(carrier.link) || unlocks == 0);
        carrier_pump(&carrier);
        if (question_at(&carrier, 0) != NULL) {
            question_answer(&carrier, asked(WEIR_ASK_UNLOCK), WEIR_ANSWER_UNKNOWN);
            carrier_pump(&carrier);
        }
        if (weir_lock_stats(lock).ghosts != 0) world_ns = carrier.wake_ns;
    }
    CHECK(unlocks >= 9);
    CHECK_EQ(world_ns, START_NS + LEASE_NS * 3 / 2);
    done(lock);
}

/* It may be done yet, after the UNLOCK. */
TEST(lock, an_acquire_without_an_answer_is_unlocked_until_it_cannot_hold_any_more)
{
    struct weir_lock *lock = fresh(1);
    weir_lock_begin(lock, world_ns + 50 * WEIR_MS);
    struct question *question = asked(WEIR_ASK_LOCK);
    uint64_t id = question->ask.id[0];
    pass(50 * WEIR_MS);
    carrier_pump(&carrier);
    CHECK_EQ(weir_lock_outcome(lock).status, WEIR_EXPIRED);
    CHECK_EQ(weir_lock_outcome(lock).reason, WEIR_REASON_DEADLINE);
    question_answer(&carrier, question, WEIR_ANSWER_UNKNOWN);
    answer(asked(WEIR_ASK_UNLOCK), 0, 0);
    CHECK_EQ(weir_lock_stats(lock).ghosts, 1);
    CHECK(weir_link_is_flushed(carrier.link));
    carrier_pump(&carrier);
    world_ns = carrier.wake_ns;
    CHECK_EQ(asked(WEIR_ASK_UNLOCK)->ask.id[0], id);
    answer(question_at(&carrier, 0), 1, 0);
    CHECK_EQ(weir_lock_stats(lock).ghosts, 1);
    world_ns = START_NS + LEASE_NS * 3 / 2;
    carrier_pump(&carrier);
    CHECK_EQ(weir_lock_stats(lock).ghosts, 0);
    CHECK_EQ(weir_lock_stats(lock).ghosts_ended, 1);
    done(lock);
}

TEST(lock, waits_for_its_link_as_well)
{
    struct weir_lock *lock = fresh(1);
    carrier_lane(&carrier, 0, false, 0);
    weir_lock_begin(lock, world_ns + WEIR_S);
    carrier_pump(&carrier);
    CHECK_EQ(state_of(lock), WEIR_LOCK_ACQUIRING); /* who waits, waits for the link too */
    carrier_lane(&carrier, 0, true, 100);
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    done(lock);
}

TEST(lock, renews_at_once_when_its_lane_is_back)
{
    struct weir_lock *lock = held(1);
    carrier_lane(&carrier, 0, false, 0);
    world_ns = carrier.wake_ns;
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    pass(10 * WEIR_MS);
    carrier_lane(&carrier, 0, true, 100);
    answer(asked(WEIR_ASK_RENEW), 1, 0);
    CHECK_EQ(weir_lock_valid_until(lock), world_now().boottime_ns + VALID_NS);
    done(lock);
}

TEST(lock, does_not_ask_a_server_that_may_have_lost_another_holder)
{
    struct weir_lock *lock = fresh(1);
    pass(WEIR_S);
    uint64_t came_ns = world_ns;
    carrier_lane(&carrier, 0, false, 0);
    carrier_lane(&carrier, 0, true, 200);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    CHECK_EQ(carrier.wake_ns, came_ns + LEASE_NS * 3 / 2);
    world_ns = carrier.wake_ns;
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    done(lock);
}

TEST(lock, a_fence_outlives_the_stores_memory)
{
    struct weir_lock *lock = held(1);
    uint64_t token = weir_lock_fence(lock).token;
    (void)weir_lock_release(lock, 0);
    carrier_serve(&carrier, stores);
    memset(stores, 0, sizeof stores);
    world_ns -= WEIR_S; /* and its clock has gone back */
    weir_lock_begin(lock, WEIR_NEVER);
    struct question *question = asked(WEIR_ASK_LOCK);
    CHECK_EQ(question->ask.number[1], token);
    store_lock_ask(stores, &question->ask, 0, &question->answer);
    question_answer(&carrier, question, WEIR_ANSWER_DONE);
    CHECK(weir_lock_fence(lock).token >= token);
    done(lock);
}

TEST(lock, is_not_held_longer_than_it_may)
{
    world_ns = START_NS;
    memset(stores, 0, sizeof stores);
    carrier_open(&carrier, 1, 1);
    struct weir_lock_config config = weir_lock_config_init();
    config.hold_max_ns = 2 * LEASE_NS;
    struct weir_lock *lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_serve(&carrier, stores);
    for (int i = 0; i < 100 && state_of(lock) != WEIR_LOCK_LOST; i++) {
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
    }
    CHECK_EQ(world_ns, START_NS + 2 * LEASE_NS);
    done(lock);
}

/* The key holds something else, say: each attempt may have left something, until an UNLOCK is answered. */
TEST(lock, whose_attempts_left_no_room_goes_on_when_the_store_says_that_nothing_is_there)
{
    world_ns = START_NS;
    memset(stores, 0, sizeof stores);
    carrier_open(&carrier, 1, 1);
    struct weir_lock_config config = weir_lock_config_init();
    config.lease_ns = 60 * WEIR_S;
    struct weir_lock *lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    while (world_ns < START_NS + 15 * WEIR_S) {
        carrier_pump(&carrier);
        if (question_at(&carrier, 0) == NULL) world_ns = carrier.wake_ns;
        else question_answer(&carrier, question_at(&carrier, 0), WEIR_ANSWER_ERROR);
    }
    CHECK_EQ(weir_lock_stats(lock).ghosts, 4);
    uint64_t mended_ns = world_ns;
    while (state_of(lock) == WEIR_LOCK_ACQUIRING) {
        carrier_serve(&carrier, stores);
        if (state_of(lock) == WEIR_LOCK_ACQUIRING) world_ns = carrier.wake_ns;
    }
    CHECK(world_ns - mended_ns <= 11 * WEIR_S); /* an UNLOCK is repeated each sixth of the lease */
    done(lock);
}

TEST(lock, whose_holder_sees_the_end_and_releases_it_was_lost_all_the_same)
{
    struct weir_lock *lock = held(1);
    pass(VALID_NS);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    (void)weir_lock_release(lock, 0);
    carrier_serve(&carrier, stores);
    CHECK_EQ(weir_lock_stats(lock).lost, 1);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_LOST], 1);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_RELEASED], 0);
    done(lock);
}

TEST(lock, that_was_lost_and_is_released_was_lost_once)
{
    struct weir_lock *lock = held(1);
    pass(VALID_NS);
    carrier_pump(&carrier);
    (void)weir_lock_release(lock, 0);
    carrier_serve(&carrier, stores);
    CHECK_EQ(weir_lock_stats(lock).lost, 1);
    CHECK_EQ(carrier.events[WEIR_SHARE_LOCK_LOST], 1);
    done(lock);
}

TEST(lock, that_is_destroyed_is_given_back_before_another_handle_asks_for_it)
{
    struct weir_lock *lock = held(1);
    struct weir_lock_config config = weir_lock_config_init();
    weir_lock_destroy(lock);
    lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    CHECK_EQ(asked(WEIR_ASK_UNLOCK)->node, 0);
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(weir_lock_stats(lock).contended, 0);
    done(lock);
}
