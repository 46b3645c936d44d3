/* Words for the stress tests: teams of threads over shared policies, most of them by a clock of their own that
 * every call moves on, so that much happens in little real time. */
#ifndef WEIR_TEST_STRESS_WORDS_H
#define WEIR_TEST_STRESS_WORDS_H

#include "support/test.h"

#include <weir/testing.h>
#include <weir/weir.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define START (1000 * WEIR_S)
#define TEAM 6

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS(plain) ((plain) / 8)
#else
#define ROUNDS(plain) (plain)
#endif

struct member {
    pthread_t thread;
    void (*body)(struct member *member);
    void *scene;
    uint64_t random;
    int index;
    uint64_t done; /* of this member alone; what it counts is the test's affair */
};

static inline void *member_run(void *argument)
{
    struct member *member = argument;
    member->body(member);
    return NULL;
}

static inline void member_start(
    struct member *member, int index, void (*body)(struct member *member), void *scene)
{
    *member = (struct member) { .body = body, .scene = scene, .index = index };
    member->random = weir_test_seed() + (uint64_t)index * 7919;
    CHECK_EQ(pthread_create(&member->thread, NULL, member_run, member), 0);
}

static inline void member_join(struct member *member)
{
    CHECK_EQ(pthread_join(member->thread, NULL), 0);
}

/* TEAM threads run body; beside them, until they are done, one runs other (NULL: none) again and again. Answers
 * the sum of what they have done. */
struct beside {
    void (*other)(struct member *member);
    void *scene;
    uint32_t over;
};

static inline void beside_body(struct member *member)
{
    struct beside *beside = member->scene;
    member->scene = beside->scene;
    while (__atomic_load_n(&beside->over, __ATOMIC_ACQUIRE) == 0) {
        beside->other(member);
        sched_yield();
    }
}

static inline uint64_t team_run(
    void (*body)(struct member *member), void (*other)(struct member *member), void *scene)
{
    struct member member[TEAM], disturber;
    struct beside beside = { .other = other, .scene = scene };
    uint64_t done = 0;
    if (other != NULL) member_start(&disturber, TEAM, beside_body, &beside);
    for (int i = 0; i < TEAM; i++) member_start(&member[i], i, body, scene);
    for (int i = 0; i < TEAM; i++) {
        member_join(&member[i]);
        done += member[i].done;
    }
    __atomic_store_n(&beside.over, 1, __ATOMIC_RELEASE);
    if (other != NULL) member_join(&disturber);
    return done;
}

static inline uint64_t draw(struct member *member, uint64_t low, uint64_t high)
{
    return weir_test_draw(&member->random, low, high);
}

static inline uint64_t tick(uint64_t *clock_ns, uint64_t by_ns)
{
    return __atomic_add_fetch(clock_ns, by_ns, __ATOMIC_RELAXED);
}

static inline struct weir_outcome outcome_of(enum weir_status status)
{
    return (struct weir_outcome) { .status = (uint8_t)status };
}

#define POLICY(kind, ...) kind##_of(WEIR_CONFIG(weir_##kind##_config, __VA_ARGS__))
#define POLICY_OF(kind)                                                                      \
    static inline struct weir_policy *kind##_of(const struct weir_##kind##_config *config)   \
    {                                                                                        \
        struct weir_policy *policy = NULL;                                                   \
        enum weir_error error = weir_##kind##_create(config, &policy);                       \
        if (error != WEIR_E_NONE) check_failed(__FILE__, __LINE__, "%s", weir_error_text()); \
        return policy;                                                                       \
    }
POLICY_OF(breaker)
POLICY_OF(bulkhead)
POLICY_OF(rate)
POLICY_OF(timeout)
POLICY_OF(retry)
POLICY_OF(fallback)

/* The pipeline takes over the references. */
static inline struct weir_pipeline *pipeline_of(
    const struct weir_sink *sink, struct weir_policy **order, size_t count)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = sink), order, count, &pipeline),
        WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}
#define PIPELINE(...) PIPELINE_TOLD(NULL, __VA_ARGS__)
#define PIPELINE_TOLD(sink, ...)                                \
    pipeline_of(sink, (struct weir_policy *[]) { __VA_ARGS__ }, \
        sizeof((struct weir_policy *[]) { __VA_ARGS__ }) / sizeof(struct weir_policy *))

/* Everybody has left: each call ended once, nothing is held. */
static inline struct weir_pipeline_stats check_over(const struct weir_pipeline *pipeline, uint64_t calls)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
    uint64_t ended = 0, refused = 0;
    for (int i = 0; i < WEIR_STATUSES; i++) ended += stats.ended[i];
    for (int i = 0; i < WEIR_REASONS; i++) refused += stats.refused[i];
    CHECK_EQ(stats.begun, calls);
    CHECK_EQ(ended, calls);
    CHECK_EQ(refused, stats.ended[WEIR_REJECTED]);
    CHECK_EQ(stats.in_flight, 0);
    CHECK_EQ(stats.zombies, 0);
    return stats;
}

static inline void check_empty(const struct weir_policy *bulkhead)
{
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(bulkhead);
    CHECK_EQ(stats.in_use, 0);
    CHECK_EQ(stats.waiting, 0);
    CHECK_EQ(stats.queued, stats.handed_over + stats.left);
}

#endif
