/* Locks through real servers: handed over, lost in time, held by a majority. */
#include "redis/lock_words.h"

#include <inttypes.h>
#include <time.h>

static void is_handed_over(bool thread)
{
    struct redis_server server;
    struct weir_fence fence[2];
    redis_server_start(&server, NULL);
    struct weir_link *link[2];
    struct weir_lock *lock[2];
    for (int i = 0; i < 2; i++) {
        link[i] = link_with((struct weir_redis_config) { .thread = thread }, unix_of(&server).text);
        lock[i] = lock_on(link[i], "a {name}:\r\n%", 0);
    }
    CHECK_EQ(weir_lock_acquire(lock[0], NULL, soon(), &fence[0]).status, WEIR_OK);
    CHECK_EQ(
        weir_lock_acquire(lock[1], NULL, now_ns() + 500 * WEIR_MS, &fence[1]).reason, WEIR_REASON_LOCK_HELD);
    CHECK_EQ(weir_lock_release(lock[0], soon()), WEIR_E_NONE);
    CHECK_EQ(redis_server_keys(&server), 1); /* the fence's */
    CHECK_EQ(weir_lock_acquire(lock[1], NULL, soon(), &fence[1]).status, WEIR_OK);
    CHECK(fence[1].token > fence[0].token);
    for (int i = 0; i < 2; i++) {
        weir_lock_destroy(lock[i]);
        weir_redis_close(link[i], WEIR_S);
    }
    CHECK_EQ(redis_server_keys(&server), 1);
    redis_server_stop(&server);
}

TEST(redis_lock, is_handed_over_by_threads)
{
    is_handed_over(true);
}

TEST(redis_lock, is_handed_over_by_who_waits)
{
    is_handed_over(false);
}

static uint64_t lost_ns;

static void on_loss(void *argument, struct weir_lock *lock)
{
    struct timespec now;
    (void)argument, (void)lock;
    clock_gettime(CLOCK_BOOTTIME, &now);
    __atomic_store_n(&lost_ns, (uint64_t)now.tv_sec * WEIR_S + (uint64_t)now.tv_nsec, __ATOMIC_SEQ_CST);
}

/* The server hangs: connections stand, nothing is answered. */
TEST(redis_lock, is_lost_in_time_while_the_server_hangs_and_its_ghost_is_removed)
{
    struct redis_server server;
    uint64_t best_ns = WEIR_NEVER;
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { .thread = true }, unix_of(&server).text);
    for (int i = 0; i < 5 && best_ns > 5 * WEIR_MS; i++) { /* the machine may be busy: the best of five */
        struct weir_lock *lock;
        struct weir_lock_config config = weir_lock_config_init();
        config.link = link;
        config.name = "x";
        config.lease_ns = LEASE_NS;
        config.lost = on_loss;
        __atomic_store_n(&lost_ns, 0, __ATOMIC_SEQ_CST);
        CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_NONE);
        CHECK_EQ(weir_lock_acquire(lock, NULL, soon(), NULL).status, WEIR_OK);
        redis_server_freeze(&server);
        uint64_t valid_ns = weir_lock_valid_until(lock);
        CHECK(AWAIT(__atomic_load_n(&lost_ns, __ATOMIC_SEQ_CST) != 0, 5000));
        CHECK(lost_ns >= valid_ns);
        CHECK_EQ(weir_lock_check(lock), WEIR_LOCK_LOST);
        if (lost_ns - valid_ns < best_ns) best_ns = lost_ns - valid_ns;
        CHECK_EQ(weir_lock_release(lock, now_ns() + WEIR_MS), WEIR_E_TIMEOUT);
        redis_server_thaw(&server);
        CHECK(AWAIT(weir_lock_stats(lock).ghosts == 0, 5000));
        weir_lock_destroy(lock);
    }
    fprintf(stderr, "told %" PRIu64 " us after its instant\n", best_ns / 1000);
    CHECK(best_ns <= 5 * WEIR_MS);
    weir_redis_close(link, WEIR_S);
    redis_server_stop(&server);
}

TEST(redis_lock, a_restarted_server_is_not_asked_before_the_last_lease_is_over)
{
    struct redis_server server;
    struct weir_fence before, after;
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { .thread = true }, tcp_of(&server).text);
    struct weir_lock *one = lock_on(link, "x", LEASE_NS), *two = lock_on(link, "x", LEASE_NS);
    CHECK_EQ(weir_lock_acquire(one, NULL, soon(), &before).status, WEIR_OK);
    redis_server_kill(&server);
    redis_server_restart(&server);
    uint64_t back_ns = now_ns();
    CHECK_EQ(weir_lock_acquire(two, NULL, soon(), &after).status, WEIR_OK);
    CHECK_EQ(weir_lock_check(one), WEIR_LOCK_LOST);
    CHECK(now_ns() - back_ns >= LEASE_NS);
    CHECK(now_ns() - back_ns <= 2 * WEIR_S);
    CHECK(after.token > before.token);
    weir_lock_destroy(one);
    weir_lock_destroy(two);
    weir_redis_close(link, WEIR_S);
    redis_server_stop(&server);
}

TEST(redis_lock, a_majority_of_masters_holds_it)
{
    struct redis_server server[3];
    struct place place[3];
    const char *addresses[3];
    for (int i = 0; i < 3; i++) {
        redis_server_start(&server[i], NULL);
        place[i] = unix_of(&server[i]);
        addresses[i] = place[i].text;
    }
    struct weir_redis_config config = { .thread = true, .addresses = addresses, .masters = 3 };
    struct weir_link *link = link_with(config, NULL);
    struct weir_lock *one = lock_on(link, "x", LEASE_NS), *two = lock_on(link, "x", LEASE_NS);
    struct weir_fence first, second;
    CHECK_EQ(weir_lock_acquire(one, NULL, soon(), &first).status, WEIR_OK);
    CHECK_EQ(weir_lock_try(two, NULL, soon(), NULL).reason, WEIR_REASON_LOCK_HELD);
    redis_server_freeze(&server[0]);
    uint64_t renewed = weir_lock_stats(one).renewed;
    CHECK(AWAIT(weir_lock_stats(one).renewed > renewed + 5, 5000));
    CHECK_EQ(weir_lock_release(one, soon()), WEIR_E_NONE); /* two of three */
    CHECK_EQ(weir_lock_acquire(two, NULL, soon(), &second).status, WEIR_OK);
    CHECK(second.token > first.token);
    redis_server_kill(&server[1]);
    CHECK(AWAIT(weir_lock_check(two) == WEIR_LOCK_LOST, 5000));
    weir_lock_destroy(one);
    weir_lock_destroy(two);
    weir_redis_close(link, 0);
    for (int i = 0; i < 3; i++) redis_server_stop(&server[i]);
}
