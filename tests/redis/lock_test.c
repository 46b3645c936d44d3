/* Locks through real servers: handed over, lost in time, held by a majority, and what they cost. */
#include "redis/carrier.h"

#include <weir/lock.h>

#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define LEASE_NS (300 * WEIR_MS)

static uint64_t now_ns(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static uint64_t soon(void)
{
    return now_ns() + 10 * WEIR_S;
}

static struct weir_lock *lock_on(struct weir_link *link, const char *name, uint64_t lease_ns)
{
    struct weir_lock *lock;
    struct weir_lock_config config = weir_lock_config_init();
    config.link = link;
    config.name = name;
    config.lease_ns = lease_ns;
    config.poll_min_ns = WEIR_MS;
    config.poll_max_ns = 5 * WEIR_MS;
    if (weir_lock_create(&config, &lock) != WEIR_E_NONE)
        check_failed(__FILE__, __LINE__, "%s", weir_error_text());
    return lock;
}

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
        weir_lock_acquire(lock[1], NULL, now_ns() + 50 * WEIR_MS, &fence[1]).reason, WEIR_REASON_LOCK_HELD);
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

/* ---- costs ---- */

#define TRIPS 400

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t median(uint64_t *times)
{
    qsort(times, TRIPS, sizeof times[0], by_size);
    return times[TRIPS / 2];
}

static void load(struct redis_client *client, const char *name, char sha[64])
{
    static struct redis_answer answer;
    static char text[4096];
    char path[512];
    snprintf(path, sizeof path, "%s/%s.lua", WEIR_SCRIPTS, name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    redis_client_ask(client, &answer, "SCRIPT", "LOAD", text);
    CHECK_EQ(answer.length, 40);
    memcpy(sha, answer.text, 41);
}

/* The same two scripts by bare EVALSHAs of a blocking client, and by acquire and release, in turn. */
TEST(redis_lock, acquire_and_release_take_two_round_trips_and_a_half_at_most)
{
    static uint64_t raw[TRIPS], both[TRIPS];
    static struct redis_answer answer;
    static const char id[] = "0123456789abcdef0123456789abcdef";
    struct redis_server server;
    struct redis_client client;
    char take[64], give[64];
    double best = 1e9;
    redis_server_start(&server, NULL);
    const struct redis_address address = redis_server_unix(&server);
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, unix_of(&server).text);
    struct weir_lock *lock = lock_on(link, "x", 0);
    CHECK(redis_client_open(&client, &address, 5000));
    load(&client, "lock", take);
    load(&client, "unlock", give);
    for (int round = 0; round < 5 && best > 2.5; round++) { /* the machine may be busy: the best of five */
        for (int i = 0; i < TRIPS; i++) {
            uint64_t begin_ns = now_ns();
            redis_client_ask(
                &client, &answer, "EVALSHA", take, "2", "{y}:k", "{y}:kf", id, "15000", "0", "86400000");
            CHECK_EQ(answer.integers[0], 1);
            redis_client_ask(&client, &answer, "EVALSHA", give, "1", "{y}:k", id);
            CHECK_EQ(answer.integers[0], 1);
            uint64_t middle_ns = now_ns();
            CHECK_EQ(weir_lock_acquire(lock, NULL, soon(), NULL).status, WEIR_OK);
            CHECK_EQ(weir_lock_release(lock, soon()), WEIR_E_NONE);
            both[i] = now_ns() - middle_ns;
            raw[i] = (middle_ns - begin_ns) / 2;
        }
        double ratio = (double)median(both) / (double)median(raw);
        if (ratio < best) best = ratio;
    }
    fprintf(stderr, "acquire and release: %.1f us, %.2f round trips of a raw EVALSHA\n",
        (double)median(both) / 1000, best);
    CHECK(best <= 2.5);
    redis_client_close(&client);
    weir_lock_destroy(lock);
    weir_redis_close(link, WEIR_S);
    redis_server_stop(&server);
}

#define LOCKS 1000

static uint64_t processor_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * WEIR_S +
        (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * WEIR_US;
}

TEST(redis_lock, a_thousand_of_a_second_are_renewed_within_a_fifth_of_a_core)
{
    static struct weir_lock *locks[LOCKS];
    struct redis_server server;
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { .thread = true }, unix_of(&server).text);
    for (int i = 0; i < LOCKS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        locks[i] = lock_on(link, name, WEIR_S);
        CHECK_EQ(weir_lock_acquire(locks[i], NULL, soon(), NULL).status, WEIR_OK);
    }
    uint64_t begin_ns = now_ns(), used_ns = processor_ns(), renewed = 0, lost = 0;
    for (int i = 0; i < LOCKS; i++) renewed -= weir_lock_stats(locks[i]).renewed;
    poll(NULL, 0, 2000);
    for (int i = 0; i < LOCKS; i++) {
        struct weir_lock_stats stats = weir_lock_stats(locks[i]);
        renewed += stats.renewed;
        lost += stats.lost;
    }
    used_ns = processor_ns() - used_ns;
    uint64_t took_ns = now_ns() - begin_ns;
    fprintf(stderr, "%" PRIu64 " renewals in %" PRIu64 " ms, %" PRIu64 " ms of them on a processor\n",
        renewed, took_ns / WEIR_MS, used_ns / WEIR_MS);
    CHECK_EQ(lost, 0);
    CHECK(renewed > 2 * LOCKS);
    CHECK(used_ns < took_ns / 5);
    for (int i = 0; i < LOCKS; i++) weir_lock_destroy(locks[i]);
    weir_redis_close(link, WEIR_S);
    CHECK_EQ(redis_server_keys(&server), LOCKS); /* of fences */
    redis_server_stop(&server);
}
