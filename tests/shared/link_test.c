/* The link by hand: time, questions, answers, lanes, what goes out. How objects come and go: link_life_test.c. */
#include "shared/toy.h"

static struct toy_carrier carrier;

/* ---- time ---- */

enum { TOYS = 200 };

struct wake {
    uint64_t at_ns;
    int number;
};

static int by_time(const void *left, const void *right)
{
    const struct wake *a = left, *b = right;
    return a->at_ns < b->at_ns ? -1 : a->at_ns > b->at_ns;
}

/* Some are moved, some are taken out; then each is woken once, in the order of their times. */
static void check_heap(uint64_t seed)
{
    struct toy *toys[TOYS];
    struct wake wakes[TOYS];
    int order[TOYS + 1], *end = order, expected = 0;
    uint64_t random = seed;
    toy_link(&carrier, 1, true);
    for (int i = 0; i < TOYS; i++) {
        toys[i] = toy_enrol(&carrier, NULL);
        toys[i]->number = i;
    }
    toy_step(&carrier, WEIR_S);
    for (int i = 0; i < TOYS; i++) wakes[i] = (struct wake) { WEIR_NEVER, i };
    for (int i = 0; i < 5 * TOYS; i++) {
        int which = (int)random_up_to(&random, TOYS - 1);
        uint64_t in_ns = 1 + random_up_to(&random, WEIR_S);
        wakes[which].at_ns = in_ns % 7 == 0 ? WEIR_NEVER : 2 * WEIR_S + 1000 * in_ns + (uint64_t)which;
        shared_lock(carrier.link);
        shared_wake_at(&toys[which]->shared, wakes[which].at_ns);
        shared_unlock(carrier.link);
    }
    qsort(wakes, TOYS, sizeof wakes[0], by_time);
    for (int i = 0; i < TOYS; i++) toys[i]->order = &end;
    while (expected < TOYS && wakes[expected].at_ns != WEIR_NEVER) {
        uint64_t next_ns = toy_step(&carrier, wakes[expected].at_ns - 1);
        int woken = (int)(end - order);
        if (next_ns != wakes[expected].at_ns || woken != expected)
            check_failed(__FILE__, __LINE__, "seed %llu: %d woken, %d expected", (unsigned long long)seed,
                woken, expected);
        expected += 1 + (int)random_up_to(&random, 3); /* several at once */
        if (expected > TOYS) expected = TOYS;
        while (expected > 0 && wakes[expected - 1].at_ns == WEIR_NEVER) expected--;
        toy_step(&carrier, wakes[expected - 1].at_ns);
    }
    CHECK_EQ(end - order, expected);
    for (int i = 0; i < expected; i++) CHECK_EQ(order[i], wakes[i].number);
    CHECK_EQ(toy_step(&carrier, UINT64_C(1) << 60), WEIR_NEVER);
    for (int i = 0; i < TOYS; i++) shared_leave(&toys[i]->shared);
    toy_close(&carrier);
    CHECK_EQ(carrier.released, 1);
}

TEST(link, wakes_in_the_order_of_time)
{
    for (uint64_t seed = 1; seed <= 50; seed++) check_heap(seed);
}

TEST(link, a_ring_steps_what_was_rung_once)
{
    toy_link(&carrier, 1, true);
    struct toy *one = toy_enrol(&carrier, NULL), *two = toy_enrol(&carrier, NULL);
    CHECK_EQ(carrier.rings, 2); /* the first step comes soon */
    toy_step(&carrier, WEIR_S);
    CHECK_EQ(one->steps, 1);
    for (int i = 0; i < 3; i++) shared_ring(&one->shared);
    CHECK_EQ(carrier.rings, 3);
    CHECK_EQ(toy_step(&carrier, WEIR_S), WEIR_NEVER);
    CHECK_EQ(one->steps, 2);
    CHECK_EQ(two->steps, 1);
    shared_leave(&one->shared);
    shared_leave(&two->shared);
    toy_close(&carrier);
}

TEST(link, a_machine_that_slept_is_noticed)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    struct weir_instants now = { WEIR_S, 5 * WEIR_S };
    weir_link_step(carrier.link, now); /* it has slept before: nothing was lent then */
    CHECK_EQ(toy->sleeps, 0);
    now.boottime_ns += 9 * WEIR_MS; /* the clocks are not read in one go */
    weir_link_step(carrier.link, now);
    CHECK_EQ(toy->sleeps, 0);
    now.boottime_ns += 11 * WEIR_MS;
    weir_link_step(carrier.link, now);
    CHECK_EQ(toy->sleeps, 1);
    weir_link_step(carrier.link, now);
    CHECK_EQ(toy->sleeps, 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

/* Whoever carries it may have an answer at hand before it steps: what was lent has run on while the machine slept. */
TEST(link, an_answer_after_a_sleep_is_as_old_as_it_is)
{
    struct weir_ask ask;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    toy_queue(toy, WEIR_LANE_BULK);
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    carrier.now.monotonic_ns += WEIR_MS;
    carrier.now.boottime_ns += WEIR_MS + 300 * WEIR_MS;
    toy_answer(&carrier, ask.ticket, 5);
    CHECK_EQ(toy->sleeps, 1); /* before the answer, which would else be taken back by it */
    CHECK_EQ(toy->sent_ns, WEIR_S - 300 * WEIR_MS);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

/* ---- questions ---- */

TEST(link, a_question_goes_out_once_and_in_its_order)
{
    struct weir_ask ask;
    struct toy *toys[3];
    toy_link(&carrier, 1, true);
    for (int i = 0; i < 3; i++) toys[i] = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    for (int i = 0; i < 3; i++) CHECK(toy_queue(toys[i], WEIR_LANE_BULK));
    CHECK(toy_queue(toys[0], WEIR_LANE_BULK)); /* it is */
    toys[1]->unwilling = true;
    CHECK(!toy_pull(&carrier, WEIR_LANE_LOCK, &ask));
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    CHECK(ask.ticket == &toys[0]->ask[WEIR_LANE_BULK]);
    CHECK_EQ(ask.id[0], 7);
    CHECK_EQ(ask.id[1], 9);
    CHECK_STR(ask.name, "toy");
    CHECK(toy_queue(toys[0], WEIR_LANE_BULK)); /* it flies */
    void *first = ask.ticket;
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    CHECK(ask.ticket == &toys[2]->ask[WEIR_LANE_BULK]);
    CHECK_EQ(toys[1]->fills, 1);
    void *second = ask.ticket;
    CHECK(!toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    toy_answer(&carrier, second, 22);
    toy_answer(&carrier, first, 11);
    CHECK_EQ(toys[0]->answered, 11);
    CHECK_EQ(toys[2]->answered, 22);
    CHECK_EQ(toys[1]->answers, 0);
    for (int i = 0; i < 3; i++) shared_leave(&toys[i]->shared);
    toy_close(&carrier);
}

TEST(link, questions_are_counted_by_how_they_ended)
{
    struct weir_ask ask;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_LOCK, WEIR_LANE_SLOW);
    for (int i = 0; i < 4; i++) {
        struct weir_answer answer = { .kind = (uint8_t)i };
        CHECK(toy_queue(toy, WEIR_LANE_LOCK));
        CHECK(toy_pull(&carrier, WEIR_LANE_LOCK, &ask));
        carrier.now = toy_instants(carrier.now.monotonic_ns + 8000);
        weir_link_answer(carrier.link, ask.ticket, &answer, carrier.now);
    }
    struct weir_share_stats stats = shared_report(&toy->shared);
    CHECK_EQ(stats.asked, 4);
    CHECK_EQ(stats.answered, 1);
    CHECK_EQ(stats.refused, 2);
    CHECK_EQ(stats.unknown, 1);
    CHECK_EQ(stats.round_trip_ns, 8000);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

TEST(link, a_lane_that_is_down_is_not_asked)
{
    struct weir_ask ask;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    CHECK(!toy_queue(toy, WEIR_LANE_BULK));
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    CHECK_EQ(toy->lanes, 1);
    CHECK(toy_queue(toy, WEIR_LANE_BULK));
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_DOWN);
    CHECK_EQ(toy->ask[WEIR_LANE_BULK].state, ASK_IDLE);
    CHECK_EQ(toy->lanes, 2);
    CHECK(!toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    CHECK(!toy_pull(&carrier, WEIR_LANE_BULK, &ask)); /* nothing was kept */
    CHECK(toy_queue(toy, WEIR_LANE_BULK));
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    toy_answer(&carrier, ask.ticket, 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

TEST(link, objects_hear_what_is_new_of_a_lane)
{
    toy_link(&carrier, 3, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_UP, 10, carrier.now);
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_UP, 10, carrier.now);
    CHECK_EQ(toy->lanes, 1);
    CHECK(shared_lane_is_up(carrier.link, 2, WEIR_LANE_LOCK));
    CHECK(!shared_lane_is_up(carrier.link, 2, WEIR_LANE_BULK));
    CHECK(!shared_lane_is_up(carrier.link, 1, WEIR_LANE_LOCK));
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_SLOW, 10, carrier.now);
    CHECK_EQ(toy->lanes, 2);
    CHECK(shared_lane_is_up(carrier.link, 2, WEIR_LANE_LOCK));
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_SLOW, 11, carrier.now); /* another server */
    CHECK_EQ(toy->lanes, 3);
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_DOWN, 0, carrier.now);
    weir_link_report(carrier.link, 2, WEIR_LANE_LOCK, WEIR_LANE_DOWN, 0, carrier.now);
    CHECK_EQ(toy->lanes, 4);
    CHECK_EQ(shared_lane_server(carrier.link, 2, WEIR_LANE_LOCK), 11); /* to be compared with the next */
    CHECK_EQ(carrier.events, 3);                                       /* up, slow, down */
    CHECK_EQ(carrier.event[0].kind, WEIR_SHARE_LINK_UP);
    CHECK_EQ(carrier.event[1].kind, WEIR_SHARE_LINK_SLOW);
    CHECK_EQ(carrier.event[2].kind, WEIR_SHARE_LINK_DOWN);
    CHECK_EQ(carrier.event[2].node, 2);
    CHECK_EQ(carrier.event[2].number, WEIR_LANE_LOCK);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

/* ---- what goes out ---- */

TEST(link, events_go_out_in_order_and_a_full_queue_drops_and_counts)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    shared_lock(carrier.link);
    for (uint64_t i = 0; i < LINK_EVENTS + 5; i++) {
        shared_tell(&toy->shared, WEIR_SHARE_LOCK_HELD, i, carrier.now.monotonic_ns);
    }
    shared_unlock(carrier.link);
    CHECK_EQ(carrier.events, 0); /* by the driving thread only */
    toy_step(&carrier, WEIR_S);
    CHECK_EQ(carrier.events, LINK_EVENTS);
    for (uint64_t i = 0; i < LINK_EVENTS; i++) CHECK_EQ(carrier.event[i].number, i);
    CHECK_STR(carrier.event[0].name, "toy");
    CHECK_EQ(shared_report(&toy->shared).dropped, 5);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    CHECK_EQ(carrier.events, LINK_EVENTS + 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

/* Whom a carrier connects for. */
TEST(link, a_lane_is_wanted_while_an_object_asks_there)
{
    toy_link(&carrier, 1, true);
    CHECK(!weir_link_wants(carrier.link, WEIR_LANE_BULK));
    struct toy *toy = toy_enrol(&carrier, NULL);
    CHECK(weir_link_wants(carrier.link, WEIR_LANE_BULK));
    CHECK(!weir_link_wants(carrier.link, WEIR_LANE_LOCK));
    weir_link_close(carrier.link, carrier.now);
    CHECK(!weir_link_wants(carrier.link, WEIR_LANE_BULK));
    shared_leave(&toy->shared);
    weir_link_release(carrier.link);
}

TEST(link, a_closed_link_wakes_nobody)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    weir_link_close(carrier.link, carrier.now);
    shared_lock(carrier.link);
    shared_wake_at(&toy->shared, 2 * WEIR_S);
    shared_unlock(carrier.link);
    CHECK_EQ(carrier.link->heap_count, 0);
    CHECK_EQ(toy_step(&carrier, 3 * WEIR_S), WEIR_NEVER);
    CHECK_EQ(toy->steps, 1);
    shared_leave(&toy->shared);
    weir_link_release(carrier.link);
    CHECK_EQ(carrier.released, 1);
}

TEST(link, a_state_is_told_counted_and_timed)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    shared_lock(carrier.link);
    shared_become(&toy->shared, WEIR_SHARE_DEGRADED, WEIR_S);
    shared_become(&toy->shared, WEIR_SHARE_DEGRADED, 2 * WEIR_S);
    shared_become(&toy->shared, WEIR_SHARE_SHARED, 4 * WEIR_S);
    shared_unlock(carrier.link);
    struct weir_share_stats stats = shared_report(&toy->shared);
    CHECK_EQ(stats.state, WEIR_SHARE_SHARED);
    CHECK_EQ(stats.changes[WEIR_SHARE_DEGRADED], 1);
    CHECK_EQ(stats.degraded_ns, 3 * WEIR_S);
    toy_step(&carrier, 5 * WEIR_S);
    CHECK_EQ(carrier.events, 2);
    CHECK_EQ(carrier.event[1].state, WEIR_SHARE_SHARED);
    CHECK_EQ(carrier.event[1].before, WEIR_SHARE_DEGRADED);
    weir_link_close(carrier.link, carrier.now);
    CHECK_EQ(carrier.events, 3);
    CHECK_EQ(carrier.event[2].state, WEIR_SHARE_DETACHED);
    CHECK_EQ(shared_report(&toy->shared).state, WEIR_SHARE_DETACHED);
    shared_leave(&toy->shared);
    weir_link_release(carrier.link);
    CHECK_EQ(carrier.released, 1);
}

TEST(link, a_post_comes_once_outside_of_the_lock)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    shared_lock(carrier.link);
    shared_post(&toy->shared);
    shared_post(&toy->shared);
    shared_unlock(carrier.link);
    CHECK_EQ(toy->posts, 0);
    toy_step(&carrier, WEIR_S);
    CHECK_EQ(toy->posts, 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}

TEST(link, what_is_to_be_given_back_is_asked_for)
{
    struct weir_ask ask;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    weir_link_flush(carrier.link, carrier.now);
    CHECK_EQ(toy->flushes, 1);
    CHECK(weir_link_is_flushed(carrier.link));
    toy->shared.unflushed = true;
    CHECK(!weir_link_is_flushed(carrier.link));
    toy->shared.unflushed = false;
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    toy_queue(toy, WEIR_LANE_BULK);
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    CHECK(!weir_link_is_flushed(carrier.link));
    toy_answer(&carrier, ask.ticket, 0);
    CHECK(weir_link_is_flushed(carrier.link));
    shared_leave(&toy->shared);
    toy_close(&carrier);
}
