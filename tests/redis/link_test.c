/* A link to a real Redis: connects, asks, is told what became of it; driven by a thread of its own and by a loop. */
#include "redis/carrier.h"

#include "redis/handle.h"

#include <sys/wait.h>

/* Asks 20 times over that address, on both lanes; then nothing is left of it. */
static void converse(const char *address, struct weir_redis_config config)
{
    int descriptors_before = descriptors();
    struct asker bulk = { 0 }, lock = { 0 };
    struct weir_link *link = link_with(config, address);
    CHECK_EQ(asker_start(&bulk, link, "bulk", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
    CHECK_EQ(asker_start(&lock, link, "lock", WEIR_LANE_LOCK, WEIR_MS), WEIR_E_NONE);
    UNTIL(link, config.thread, SEEN(bulk.answered) >= 20 && SEEN(lock.answered) >= 20);
    struct weir_redis_stats stats = weir_redis_stats(link, 0, WEIR_LANE_BULK);
    CHECK_EQ(stats.state, WEIR_LANE_UP);
    CHECK_EQ(stats.connected, 1);
    CHECK_EQ(stats.lost, 0);
    CHECK(stats.commands >= 20);
    CHECK(stats.sent_bytes > 0);
    CHECK(stats.received_bytes > 0);
    asker_stop(&bulk);
    asker_stop(&lock);
    UNTIL(link, config.thread, SEEN(bulk.gone) == 1 && SEEN(lock.gone) == 1);
    CHECK_EQ(SEEN(bulk.unknown) + SEEN(lock.unknown), 0);
    weir_redis_close(link, WEIR_S);
    CHECK(AWAIT(threads() == 0, 5000));
    CHECK_EQ(descriptors(), descriptors_before);
}

TEST(redis_link, converses_over_unix_and_tcp_with_and_without_a_thread)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    for (int thread = 0; thread < 2; thread++) {
        converse(unix_of(&server).text, (struct weir_redis_config) { .thread = thread != 0 });
        converse(tcp_of(&server).text, (struct weir_redis_config) { .thread = thread != 0 });
    }
    redis_server_stop(&server);
}

TEST(redis_link, the_lock_lane_is_connected_when_somebody_asks_there)
{
    struct redis_server server;
    struct asker lock = { 0 };
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, unix_of(&server).text);
    UNTIL(link, false, lane_of(link, WEIR_LANE_BULK) == WEIR_LANE_UP);
    CHECK_EQ(weir_redis_stats(link, 0, WEIR_LANE_LOCK).sent_bytes, 0);
    CHECK_EQ(asker_start(&lock, link, "lock", WEIR_LANE_LOCK, WEIR_MS), WEIR_E_NONE);
    UNTIL(link, false, SEEN(lock.answered) >= 1);
    CHECK_EQ(lane_of(link, WEIR_LANE_LOCK), WEIR_LANE_UP);
    asker_stop(&lock);
    weir_redis_close(link, 0);
    redis_server_stop(&server);
}

TEST(redis_link, masters_have_a_lock_lane_each_and_no_other)
{
    struct redis_server server[3];
    struct place place[3];
    const char *addresses[3];
    struct asker asker[3] = { 0 };
    for (int i = 0; i < 3; i++) {
        redis_server_start(&server[i], NULL);
        place[i] = unix_of(&server[i]);
        addresses[i] = place[i].text;
    }
    struct weir_link *link =
        link_with((struct weir_redis_config) { .addresses = addresses, .masters = 3, .thread = true }, NULL);
    for (uint8_t i = 0; i < 3; i++) {
        asker[i].ask.node = i;
        CHECK_EQ(asker_start(&asker[i], link, "lock", WEIR_LANE_LOCK, 0), WEIR_E_NONE);
    }
    for (uint32_t i = 0; i < 3; i++) {
        UNTIL(link, true, weir_redis_stats(link, i, WEIR_LANE_LOCK).state == WEIR_LANE_UP);
        CHECK_EQ(weir_redis_stats(link, i, WEIR_LANE_BULK).sent_bytes, 0);
    }
    redis_server_kill(&server[1]);
    UNTIL(link, true, weir_redis_stats(link, 1, WEIR_LANE_LOCK).state == WEIR_LANE_DOWN);
    CHECK_EQ(weir_redis_stats(link, 0, WEIR_LANE_LOCK).state, WEIR_LANE_UP);
    CHECK_EQ(weir_redis_stats(link, 2, WEIR_LANE_LOCK).state, WEIR_LANE_UP);
    for (int i = 0; i < 3; i++) asker_stop(&asker[i]);
    weir_redis_close(link, 0);
    for (int i = 0; i < 3; i++) redis_server_stop(&server[i]);
}

/* Steps only when the descriptor says so, and never earlier: it must say so by itself. */
TEST(redis_link, the_descriptor_alone_drives_it)
{
    struct redis_server server;
    struct asker asker = { 0 };
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, unix_of(&server).text);
    struct pollfd poll_set = { .fd = weir_redis_fd(link), .events = POLLIN };
    int64_t end_ms = await_now_ms() + 10000;
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 5 * WEIR_MS), WEIR_E_NONE);
    while (SEEN(asker.answered) < 20) {
        CHECK_EQ(poll(&poll_set, 1, (int)(end_ms - await_now_ms())), 1);
        uint64_t next_ns = weir_redis_step(link);
        CHECK_EQ(next_ns, weir_redis_next_wake(link));
        CHECK(next_ns != WEIR_NEVER);
    }
    CHECK_EQ(weir_redis_fd(link), poll_set.fd);
    asker_stop(&asker);
    weir_redis_close(link, 0);
    redis_server_stop(&server);
}

/* A ring is heard by whoever sleeps, also when many come at once. */
TEST(redis_link, a_ring_wakes_the_thread)
{
    struct redis_server server;
    struct asker asker = { 0 };
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { .thread = true }, unix_of(&server).text);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 0), WEIR_E_NONE);
    UNTIL(link, true, SEEN(asker.answered) >= 1);
    for (uint32_t round = 2; round < 300; round++) {
        uint32_t before = SEEN(asker.answered);
        for (int i = 0; i < 10; i++) shared_ring(&asker.shared);
        UNTIL(link, true, SEEN(asker.answered) > before);
    }
    asker_stop(&asker);
    weir_redis_close(link, 0);
    redis_server_stop(&server);
}

/* And the first one after a step is told by the descriptor, at once. */
TEST(redis_link, each_step_hears_the_rings_before_it)
{
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, "unix:/nonexistent/redis");
    struct pollfd poll_set = { .fd = weir_redis_fd(link), .events = POLLIN };
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++) redis_ring(weir_link_carrier(link, redis_ring));
        CHECK_EQ(poll(&poll_set, 1, 0), 1);
        weir_redis_step(link);
    }
    weir_redis_close(link, 0);
}

TEST(redis_link, the_thread_has_a_name_and_takes_no_signal)
{
    char path[64], line[128];
    bool named = false, blocks = false;
    struct weir_link *link =
        link_with((struct weir_redis_config) { .thread = true }, "unix:/nonexistent/redis");
    UNTIL(link, true,
        weir_redis_stats(link, 0, WEIR_LANE_BULK).errors[WEIR_REDIS_CONNECTION] != 0); /* it runs */
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    CHECK_EQ(weir_redis_fd(link), -1);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%.20s/status", task->d_name);
        FILE *status = fopen(path, "r");
        bool this_one = false;
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            if (strcmp(line, "Name:\tweir-redis\n") == 0) named = this_one = true;
            unsigned long long mask = 0; /* SIGKILL, SIGSTOP and glibc's own two cannot be blocked */
            if (this_one && sscanf(line, "SigBlk: %llx", &mask) == 1) blocks = (mask | 0x180040100) == ~0ull;
        }
        if (status != NULL) fclose(status);
    }
    closedir(tasks);
    weir_redis_close(link, 0);
    CHECK(named);
    CHECK(blocks);
}

/* ---- close ---- */

TEST(redis_link, a_close_gives_back_what_is_held)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    for (int thread = 0; thread < 2; thread++) {
        struct asker asker = { .hold = 5 };
        struct weir_link *link =
            link_with((struct weir_redis_config) { .thread = thread != 0 }, unix_of(&server).text);
        CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 0), WEIR_E_NONE);
        UNTIL(link, thread != 0, SEEN(asker.answered) >= 1);
        weir_redis_close(link, 5 * WEIR_S);
        CHECK_EQ(asker.hold, 0);
        CHECK_EQ(SEEN(asker.closed), 1);
        asker_stop(&asker); /* the last reference */
        CHECK_EQ(SEEN(asker.gone), 1);
    }
    redis_server_stop(&server);
}

TEST(redis_link, a_close_waits_no_longer_than_it_may)
{
    struct redis_server server;
    struct asker asker = { .hold = 5 };
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with(
        (struct weir_redis_config) { .thread = true, .command_ns = 10 * WEIR_S }, unix_of(&server).text);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 0), WEIR_E_NONE);
    UNTIL(link, true, SEEN(asker.answered) >= 1);
    redis_server_freeze(&server);
    CHECK(!redis_server_answers(&server, 50));
    int64_t before_ms = await_now_ms();
    weir_redis_close(link, 50 * WEIR_MS);
    int64_t took_ms = await_now_ms() - before_ms;
    CHECK(took_ms >= 50);
    CHECK(took_ms < 2000);
    CHECK(asker.hold != 0);
    CHECK_EQ(SEEN(asker.unknown), 1);
    asker_stop(&asker);
    CHECK_EQ(SEEN(asker.gone), 1);
    redis_server_thaw(&server);
    redis_server_stop(&server);
}

/* ---- forks ---- */

static int in_child(
    void (*run)(struct weir_link *, const char *), struct weir_link *link, const char *address)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        run(link, address);
        _exit(0);
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

static void inherit(struct weir_link *link, const char *address)
{
    struct asker asker = { 0 };
    struct weir_link *own = NULL;
    if (weir_redis_fd(link) != -1) _exit(1);
    if (weir_redis_stats(link, 0, WEIR_LANE_BULK).connected != 0) _exit(2);
    if (asker_start(&asker, link, "child", WEIR_LANE_BULK, 0) != WEIR_E_INVALID) _exit(3);
    int before = descriptors();
    weir_redis_close(link, WEIR_S);
    if (descriptors() >= before) _exit(4);
    if (weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = address), &own) != WEIR_E_NONE) _exit(5);
    weir_redis_step(own);
    if (asker_start(&asker, own, "child", WEIR_LANE_BULK, 0) != WEIR_E_NONE) _exit(6);
    for (int i = 0; i < 10000 && SEEN(asker.answered) == 0; i++) drive_a_little(own, false);
    if (SEEN(asker.answered) == 0) _exit(7);
    asker_stop(&asker);
    weir_redis_close(own, 0);
}

TEST(redis_link, a_child_closes_its_copy_and_the_parent_s_goes_on)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    for (int thread = 0; thread < 2; thread++) {
        struct asker asker = { 0 };
        struct weir_link *link =
            link_with((struct weir_redis_config) { .thread = thread != 0 }, unix_of(&server).text);
        CHECK_EQ(asker_start(&asker, link, "parent", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
        UNTIL(link, thread != 0, SEEN(asker.answered) >= 1);
        for (int i = 0; i < 10; i++) {
            uint32_t before = SEEN(asker.answered);
            CHECK_EQ(in_child(inherit, link, unix_of(&server).text), 0);
            UNTIL(link, thread != 0, SEEN(asker.answered) > before);
        }
        CHECK_EQ(weir_redis_stats(link, 0, WEIR_LANE_BULK).connected, 1);
        asker_stop(&asker);
        weir_redis_close(link, 0);
    }
    redis_server_stop(&server);
}

/* ---- several threads ---- */

struct waiter {
    struct weir_link *link;
    struct asker *asker;
    pthread_t thread;
};

static void *wait_for_answers(void *argument)
{
    struct waiter *waiter = argument;
    int64_t end_ms = await_now_ms() + 10000;
    while (SEEN(waiter->asker->answered) < 200 && await_now_ms() < end_ms) {
        weir_redis_wait(waiter->link, weir_now(WEIR_TIMING_PRECISE) + 50 * WEIR_MS);
        (void)weir_redis_stats(waiter->link, 0, WEIR_LANE_BULK);
    }
    return NULL;
}

/* Whoever waits drives it for all. */
TEST(redis_link, several_threads_may_wait_on_one_link)
{
    struct redis_server server;
    struct asker asker = { 0 };
    struct waiter waiter[4];
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, unix_of(&server).text);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
    for (int i = 0; i < 4; i++) {
        waiter[i].link = link;
        waiter[i].asker = &asker;
        CHECK_EQ(pthread_create(&waiter[i].thread, NULL, wait_for_answers, &waiter[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(waiter[i].thread, NULL);
    CHECK(SEEN(asker.answered) >= 200);
    CHECK_EQ(weir_redis_stats(link, 0, WEIR_LANE_BULK).lost, 0);
    asker_stop(&asker);
    weir_redis_close(link, 0);
    redis_server_stop(&server);
}

/* ---- events, and after the close ---- */

struct look {
    struct weir_link *link;
    char error[160];
};

static void look_at_stats(void *argument, const struct weir_share_event *event)
{
    struct look *look = argument;
    if (event->kind != WEIR_SHARE_LINK_DOWN) return;
    memcpy(look->error, weir_redis_stats(look->link, 0, WEIR_LANE_BULK).error, sizeof look->error);
}

/* Who is told that it is down finds out why. */
TEST(redis_link, an_event_s_function_sees_the_stats_as_they_are)
{
    struct redis_server server;
    struct look look = { 0 };
    struct weir_share_sink sink = { look_at_stats, &look };
    redis_server_start(&server, NULL);
    look.link = link_with((struct weir_redis_config) { .sink = &sink }, unix_of(&server).text);
    UNTIL(look.link, false, lane_of(look.link, WEIR_LANE_BULK) == WEIR_LANE_UP);
    redis_server_kill(&server);
    UNTIL(look.link, false, look.error[0] != '\0');
    CHECK_STR(look.error, "the other side has closed it");
    weir_redis_close(look.link, 0);
    redis_server_stop(&server);
}

static void ring_of_parent(struct weir_link *link, const char *address)
{
    (void)address;
    redis_ring(weir_link_carrier(link, redis_ring));
}

TEST(redis_link, a_child_rings_nobody)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, unix_of(&server).text);
    struct pollfd poll_set = { .fd = weir_redis_fd(link), .events = POLLIN };
    UNTIL(link, false, lane_of(link, WEIR_LANE_BULK) == WEIR_LANE_UP);
    while (poll(&poll_set, 1, 100) != 0) (void)weir_redis_step(link); /* until it has nothing to do */
    CHECK_EQ(in_child(ring_of_parent, link, NULL), 0);
    CHECK(poll(&poll_set, 1, 0) == 0 || weir_now(WEIR_TIMING_PRECISE) >= weir_redis_next_wake(link));
    redis_ring(weir_link_carrier(link, redis_ring));
    CHECK_EQ(poll(&poll_set, 1, 0), 1);
    weir_redis_close(link, 0);
    redis_server_stop(&server);
}

/* Who has a reference yet may wait and ring: at once, and for nothing. */
TEST(redis_link, a_closed_link_does_nothing)
{
    struct weir_link *link = link_with((struct weir_redis_config) { 0 }, "unix:/nonexistent/redis");
    weir_link_acquire(link);
    weir_redis_close(link, WEIR_S);
    int64_t before_ms = await_now_ms();
    weir_redis_wait(link, weir_now(WEIR_TIMING_PRECISE) + 10 * WEIR_S);
    CHECK(await_now_ms() - before_ms < 5000);
    redis_ring(weir_link_carrier(link, redis_ring));
    CHECK_EQ(lane_of(link, WEIR_LANE_BULK), WEIR_LANE_DOWN);
    struct asker asker = { 0 };
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 0), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "the link is closed");
    weir_link_release(link);
}
