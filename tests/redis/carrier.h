/* What the tests of the link to Redis have in common: a link on a real server, and waiting for what it does. */
#ifndef WEIR_TESTS_REDIS_CARRIER_H
#define WEIR_TESTS_REDIS_CARRIER_H

#include "redis/asker.h"
#include "redis/support/await.h"
#include "redis/support/server.h"
#include "support/test.h"

#include <weir/clock.h>
#include <weir/redis.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline struct weir_link *link_with(struct weir_redis_config config, const char *address)
{
    struct weir_link *link = NULL;
    config.size = sizeof config;
    if (config.masters == 0) config.address = address;
    if (weir_redis_create(&config, &link) != WEIR_E_NONE)
        check_failed(__FILE__, __LINE__, "%s", weir_error_text());
    if (!config.thread) weir_redis_step(link); /* it has a loop */
    return link;
}

/* "unix:/..." or "tcp://..." of a server. */
struct place {
    char text[128];
};

static inline struct place unix_of(const struct redis_server *server)
{
    struct place place;
    snprintf(place.text, sizeof place.text, "unix:%s", server->path);
    return place;
}

static inline struct place tcp_of(const struct redis_server *server)
{
    struct place place;
    snprintf(place.text, sizeof place.text, "tcp://127.0.0.1:%u", server->port);
    return place;
}

static inline void drive_a_little(struct weir_link *link, bool thread)
{
    if (thread) poll(NULL, 0, 1);
    else weir_redis_wait(link, weir_now(WEIR_TIMING_PRECISE) + WEIR_MS);
}

/* Drives it, or lets its thread, until the condition holds; fails the test if it does not within 10 s. */
#define UNTIL(link, thread, condition)                                                                    \
    do {                                                                                                  \
        const int64_t until_end_ = await_now_ms() + 10000;                                                \
        while (!(condition)) {                                                                            \
            if (await_now_ms() > until_end_) {                                                            \
                check_failed(__FILE__, __LINE__, "not within 10 s: %s; bulk lane: '%s', lock lane: '%s'", \
                    #condition, weir_redis_stats(link, 0, WEIR_LANE_BULK).error,                          \
                    weir_redis_stats(link, 0, WEIR_LANE_LOCK).error);                                     \
            }                                                                                             \
            drive_a_little(link, thread);                                                                 \
        }                                                                                                 \
    } while (0)

#define SEEN(word) atomic_load_acquire(&(word))

static inline enum weir_lane_state lane_of(const struct weir_link *link, enum weir_lane lane)
{
    return weir_redis_stats(link, 0, lane).state;
}

static inline int descriptors(void)
{
    int count = 0;
    DIR *open = opendir("/proc/self/fd");
    CHECK(open != NULL);
    while (readdir(open) != NULL) count++;
    closedir(open);
    return count;
}

/* Threads of links. One that has been joined may be seen for a moment yet. */
static inline int threads(void)
{
    char path[64], name[32];
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", task->d_name);
        FILE *comm = fopen(path, "r");
        if (comm == NULL) continue;
        if (fgets(name, sizeof name, comm) != NULL && strcmp(name, "weir-redis\n") == 0) count++;
        fclose(comm);
    }
    closedir(tasks);
    return count;
}

#endif
