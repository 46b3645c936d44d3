/* Words for tests of a shared breaker: an instance is a link and a breaker on it; the test is its carrier, and hands its
 * questions on, to a store or to nobody, when it likes. */
#ifndef WEIR_TEST_FLEET_WORDS_H
#define WEIR_TEST_FLEET_WORDS_H

#include "policy/breaker.h"
#include "support/test.h"

#include <weir/breaker.h>
#include <weir/transport.h>

#include <string.h>

#define START (1000 * WEIR_S)
#define SYNC (100 * WEIR_MS)

struct instance {
    struct weir_link *link;
    struct weir_policy *breaker;
    uint32_t opened, closed, changed; /* events told */
    uint64_t wake_ns;
};

static inline void ring_nobody(void *argument)
{
    (void)argument;
}

static inline struct weir_instants at(uint64_t now_ns)
{
    return (struct weir_instants) { now_ns, now_ns };
}

static inline void hear(void *argument, const struct weir_share_event *event)
{
    struct instance *instance = argument;
    if (event->kind == WEIR_SHARE_FLEET_OPENED) instance->opened++;
    if (event->kind == WEIR_SHARE_FLEET_CLOSED) instance->closed++;
    if (event->kind == WEIR_SHARE_CHANGED) instance->changed++;
}

/* Not connected yet. */
static inline void join(struct instance *instance, uint64_t id, const struct weir_breaker_config *config)
{
    memset(instance, 0, sizeof *instance);
    struct weir_share_sink sink = { hear, instance };
    CHECK_EQ(weir_link_create(
                 WEIR_CONFIG(weir_link_config, .instance = { id, 0x77 },
                     .carrier = WEIR_CONFIG(weir_carrier, .nodes = 1, .ring = ring_nobody), .sink = &sink),
                 &instance->link),
        WEIR_E_NONE);
    CHECK_EQ(weir_breaker_create(config, &instance->breaker), WEIR_E_NONE);
    CHECK_EQ(weir_policy_share(
                 instance->breaker, WEIR_CONFIG(weir_share_config, .link = instance->link, .sync_ns = SYNC)),
        WEIR_E_NONE);
}

static inline void report_lane(struct instance *instance, enum weir_lane_state state, uint64_t now_ns)
{
    weir_link_report(instance->link, 0, WEIR_LANE_BULK, state, 1, at(now_ns));
}

static inline bool pull(struct instance *instance, struct weir_ask *ask, uint64_t now_ns)
{
    instance->wake_ns = weir_link_step(instance->link, at(now_ns));
    return weir_link_pull(instance->link, 0, WEIR_LANE_BULK, at(now_ns), ask);
}

static inline void drop(struct instance *instance, uint64_t now_ns)
{
    weir_link_close(instance->link, at(now_ns));
    weir_policy_release(instance->breaker);
    weir_link_release(instance->link);
}

static inline uint64_t word_now(const struct instance *instance)
{
    return ((struct breaker_state *)instance->breaker->state)->word;
}

static inline bool enter(struct instance *instance, struct weir_permit *permit, uint64_t now_ns)
{
    return weir_breaker_acquire_at(instance->breaker, permit, now_ns).status == WEIR_OK;
}

static inline void leave(
    struct instance *instance, struct weir_permit *permit, enum weir_status status, uint64_t now_ns)
{
    struct weir_outcome outcome = { .status = (uint8_t)status };
    weir_breaker_release_at(instance->breaker, permit, outcome, now_ns);
}

/* A call that begins and ends at now_ns; whether it was let in. */
static inline bool call(struct instance *instance, enum weir_status status, uint64_t now_ns)
{
    struct weir_permit permit;
    if (!enter(instance, &permit, now_ns)) return false;
    leave(instance, &permit, status, now_ns);
    return true;
}

#endif
