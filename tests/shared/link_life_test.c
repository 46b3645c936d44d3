/* A link's objects come and go, from any thread and in any order; the link itself, and a forked child's. */
#include "shared/toy.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct toy_carrier carrier;

/* ---- who may come ---- */

static void check_refused(const char *text)
{
    struct toy *toy = toy_make(&carrier, NULL);
    CHECK_EQ(shared_enrol(carrier.link, &toy->shared, &toy_ops, "toy"), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), text);
    free(toy);
}

TEST(link_life, a_link_that_nobody_drives_is_refused)
{
    toy_link(&carrier, 1, false);
    check_refused("the link has neither a thread nor a loop that steps it: nobody would renew a lease. "
                  "Create it with .thread = true, or step it first");
    toy_step(&carrier, WEIR_S);
    shared_leave(&toy_enrol(&carrier, NULL)->shared);
    weir_link_close(carrier.link, carrier.now);
    check_refused("the link is closed");
    weir_link_release(carrier.link);
    CHECK_EQ(carrier.released, 1);
}

TEST(link_life, a_full_link_is_refused)
{
    toy_link(&carrier, 1, true);
    carrier.link->object_count = LINK_OBJECTS_MAX;
    struct toy *toy = toy_make(&carrier, NULL);
    CHECK_EQ(shared_enrol(carrier.link, &toy->shared, &toy_ops, "toy"), WEIR_E_LIMIT);
    CHECK_STR(weir_error_text(), "the link has 100000 objects, as many as it may");
    free(toy);
    carrier.link->object_count = 0;
    toy_close(&carrier);
}

TEST(link_life, a_bad_space_is_refused_by_its_name)
{
    struct weir_link *link;
    struct weir_link_config config = weir_link_config_init();
    config.space = "";
    CHECK_EQ(weir_link_create(&config, &link), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_link_config.space is empty, expected 1..63 bytes");
}

/* ---- references ---- */

TEST(link_life, the_last_reference_tells_its_carrier)
{
    toy_link(&carrier, 1, true);
    int destroyed = 0;
    struct toy *toy = toy_enrol(&carrier, &destroyed);
    CHECK(weir_link_acquire(carrier.link) == carrier.link);
    weir_link_close(carrier.link, carrier.now);
    weir_link_release(carrier.link);
    weir_link_release(carrier.link);
    CHECK_EQ(carrier.released, 0); /* the object has one */
    CHECK_EQ(destroyed, 0);
    shared_leave(&toy->shared);
    CHECK_EQ(destroyed, 1);
    CHECK_EQ(carrier.released, 1);
    weir_link_release(NULL);
}

TEST(link_life, a_link_says_what_it_is)
{
    uint64_t instance[2];
    toy_link(&carrier, 1, true);
    CHECK_STR(weir_link_space(carrier.link), "toys");
    weir_link_instance(carrier.link, instance);
    CHECK_EQ(instance[0], 7);
    CHECK_EQ(instance[1], 9);
    CHECK(weir_link_carrier(carrier.link, toy_ring) == &carrier);
    CHECK(weir_link_carrier(carrier.link, toy_released) == NULL);
    toy_close(&carrier);
}

/* ---- going in every order ---- */

/* What keeps an object that has left, one after the other; after the last of them it goes. */
TEST(link_life, an_object_stays_until_it_is_done_and_answered)
{
    struct weir_ask ask;
    int destroyed = 0;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, &destroyed);
    toy->done = false;
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    toy_queue(toy, WEIR_LANE_BULK);
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    shared_leave(&toy->shared);
    CHECK_EQ(toy->leaves, 1);
    toy_step(&carrier, WEIR_S);
    toy->done = true;
    shared_ring(&toy->shared);
    toy_step(&carrier, WEIR_S);
    CHECK_EQ(destroyed, 0);
    toy_answer(&carrier, ask.ticket, 0);
    CHECK_EQ(destroyed, 1);
    toy_close(&carrier);
    CHECK_EQ(carrier.released, 1);
}

TEST(link_life, what_was_queued_when_the_link_closed_is_let_go)
{
    int destroyed = 0;
    toy_link(&carrier, 1, true);
    struct toy *toys[2] = { toy_enrol(&carrier, &destroyed), toy_enrol(&carrier, &destroyed) };
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    for (int i = 0; i < 2; i++) toy_queue(toys[i], WEIR_LANE_BULK);
    shared_leave(&toys[0]->shared);
    toy_close(&carrier);
    CHECK_EQ(destroyed, 1);
    CHECK_EQ(toys[1]->closes, 1);
    shared_leave(&toys[1]->shared);
    CHECK_EQ(destroyed, 2);
    CHECK_EQ(carrier.released, 1);
}

/* Anything a user and a carrier may do, in an order drawn from the seed: each object goes once, when it may. */
enum { CROWD = 6, ACTS = 60 };

struct storm {
    uint64_t random;
    struct toy *toy[CROWD]; /* NULL: it left */
    void *flying[CROWD * WEIR_LANES];
    int flights, made, destroyed;
};

static int draw(struct storm *storm, int below)
{
    return (int)random_up_to(&storm->random, (uint64_t)below - 1);
}

static void land(struct storm *storm, int which)
{
    static const uint8_t kinds[] = { WEIR_ANSWER_DONE, WEIR_ANSWER_NOT_RUN, WEIR_ANSWER_ERROR,
        WEIR_ANSWER_UNKNOWN };
    struct weir_answer answer = { .kind = kinds[draw(storm, 4)], .count = 1 };
    weir_link_answer(carrier.link, storm->flying[which], &answer, carrier.now);
    storm->flying[which] = storm->flying[--storm->flights];
}

static void act_on(struct storm *storm, struct toy **toy)
{
    if (*toy == NULL) {
        *toy = toy_enrol(&carrier, &storm->destroyed);
        storm->made++;
        return;
    }
    switch (draw(storm, 6)) {
    case 0:
        shared_leave(&(*toy)->shared);
        *toy = NULL;
        break;
    case 1: shared_ring(&(*toy)->shared); break;
    case 2: (*toy)->unwilling = draw(storm, 2) != 0; break;
    case 3:
        shared_lock(carrier.link);
        shared_post(&(*toy)->shared);
        shared_unlock(carrier.link);
        break;
    case 4:
        shared_lock(carrier.link);
        shared_wake_at(&(*toy)->shared, carrier.now.monotonic_ns + (uint64_t)draw(storm, 5));
        shared_unlock(carrier.link);
        break;
    default: toy_queue(*toy, (enum weir_lane)draw(storm, WEIR_LANES)); break;
    }
}

static void act(struct storm *storm)
{
    enum weir_lane lane = (enum weir_lane)draw(storm, WEIR_LANES);
    enum weir_lane_state state = (enum weir_lane_state)draw(storm, 3);
    struct weir_ask ask;
    switch (draw(storm, 10)) {
    case 0: toy_step(&carrier, carrier.now.monotonic_ns + (uint64_t)draw(storm, 5)); break;
    case 1:
        while (state == WEIR_LANE_DOWN && storm->flights != 0) land(storm, 0);
        toy_lane(&carrier, lane, state);
        break;
    case 2:
    case 3:
        if (toy_pull(&carrier, lane, &ask)) storm->flying[storm->flights++] = ask.ticket;
        break;
    case 4:
        if (storm->flights != 0) land(storm, draw(storm, storm->flights));
        break;
    default: act_on(storm, &storm->toy[draw(storm, CROWD)]); break;
    }
}

static void check_storm(uint64_t seed)
{
    struct storm storm = { .random = seed };
    toy_link(&carrier, 1, true);
    for (int i = 0; i < ACTS; i++) act(&storm);
    while (storm.flights != 0) land(&storm, 0);
    bool close_first = draw(&storm, 2) != 0;
    if (close_first) toy_close(&carrier);
    for (int i = 0; i < CROWD; i++) {
        if (storm.toy[i] != NULL) shared_leave(&storm.toy[i]->shared);
    }
    if (!close_first) toy_close(&carrier);
    if (storm.destroyed != storm.made || carrier.released != 1)
        check_failed(__FILE__, __LINE__, "seed %llu: %d of %d gone, %d times released",
            (unsigned long long)seed, storm.destroyed, storm.made, carrier.released);
}

TEST(link_life, each_object_goes_once)
{
    for (uint64_t seed = 1; seed <= 4000; seed++) check_storm(seed);
}

/* ---- threads ---- */

enum { THREADS = 3, ROUNDS = 300 };

static int gone;

static void *come_ring_go(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct toy *toy = toy_enrol(&carrier, &gone);
        for (int j = 0; j < 3; j++) shared_ring(&toy->shared);
        (void)shared_report(&toy->shared);
        toy_queue(toy, WEIR_LANE_BULK);
        shared_leave(&toy->shared);
    }
    return NULL;
}

TEST(link_life, threads_come_ring_and_go_while_another_drives)
{
    pthread_t threads[THREADS];
    struct weir_ask ask;
    uint64_t now_ns = WEIR_S;
    gone = 0;
    toy_link(&carrier, 1, true);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, come_ring_go, NULL), 0);
    while (atomic_load_acquire(&gone) != THREADS * ROUNDS) {
        toy_step(&carrier, ++now_ns);
        while (toy_pull(&carrier, WEIR_LANE_BULK, &ask)) toy_answer(&carrier, ask.ticket, 1);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    toy_close(&carrier);
    CHECK_EQ(carrier.released, 1);
}

/* ---- fork ---- */

static void in_the_child(struct toy *toy, void *ticket)
{
    struct weir_ask ask;
    uint32_t rings = carrier.rings;
    CHECK_EQ(shared_report(&toy->shared).state, WEIR_SHARE_DETACHED);
    CHECK_EQ(toy_step(&carrier, 5 * WEIR_S), WEIR_NEVER);
    toy_answer(&carrier, ticket, 1); /* the parent's */
    CHECK_EQ(toy->answers, 0);
    shared_ring(&toy->shared);
    CHECK_EQ(carrier.rings, rings);
    CHECK(!toy_queue(toy, WEIR_LANE_BULK));
    CHECK(!toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    check_refused("the link is closed");
    shared_leave(&toy->shared);
    CHECK_EQ(toy->leaves, 1);
    toy_close(&carrier);
    CHECK_EQ(carrier.released, 0); /* what may have been under change is left alone */
}

TEST(link_life, a_forked_child_drives_nothing)
{
    struct weir_ask ask;
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    toy_queue(toy, WEIR_LANE_BULK);
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    shared_lock(carrier.link); /* as if by another thread, at the fork */
    pid_t child = fork();
    if (child == 0) {
        in_the_child(toy, ask.ticket);
        _exit(0);
    }
    shared_unlock(carrier.link);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    toy_answer(&carrier, ask.ticket, 1);
    CHECK_EQ(toy->answers, 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
    CHECK_EQ(carrier.released, 1);
}

/* What the parent has not told yet is the parent's to tell. */
TEST(link_life, a_forked_child_tells_nothing)
{
    toy_link(&carrier, 1, true);
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    shared_lock(carrier.link);
    shared_tell(&toy->shared, WEIR_SHARE_LOCK_HELD, 1, WEIR_S);
    shared_unlock(carrier.link);
    pid_t child = fork();
    if (child == 0) {
        weir_link_flush(carrier.link, carrier.now);
        _exit(carrier.events);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    weir_link_flush(carrier.link, carrier.now);
    CHECK_EQ(carrier.events, 1);
    shared_leave(&toy->shared);
    toy_close(&carrier);
}
