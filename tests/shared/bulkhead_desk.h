/* One shared bulkhead at a link whose carrier is the test: it steps, takes the question, and answers as it likes. */
#ifndef WEIR_TEST_BULKHEAD_DESK_H
#define WEIR_TEST_BULKHEAD_DESK_H

#include "policy/bulkhead_words.h"

#include <weir/share.h>
#include <weir/transport.h>

#define LEASE (3 * WEIR_S)
#define LEASE_GOOD (LEASE - LEASE / 64 - 10 * WEIR_MS) /* from when it was asked for */
#define LEASE_LEFT (LEASE / 64) /* so long before that the away limit comes into force */

struct desk {
    struct weir_link *link;
    struct weir_pipeline *pipeline;
    struct weir_policy *bulkhead; /* the pipeline's, or the test's if it has none */
    struct weir_ask ask;
    bool asked, rung;
};

static inline void desk_ring(void *argument)
{
    ((struct desk *)argument)->rung = true;
}

static inline struct weir_instants at(uint64_t now_ns)
{
    return (struct weir_instants) { now_ns, now_ns };
}

static inline void desk_link(struct desk *desk)
{
    *desk = (struct desk) { 0 };
    struct weir_carrier carrier = { .size = sizeof carrier, .nodes = 1, .ring = desk_ring, .argument = desk };
    struct weir_link_config config = { .size = sizeof config, .instance = { 1, 2 }, .carrier = &carrier };
    CHECK_EQ(weir_link_create(&config, &desk->link), WEIR_E_NONE);
}

static inline void desk_share(struct desk *desk, struct weir_policy *bulkhead, struct weir_share_config share)
{
    share.link = desk->link;
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_NONE);
    CHECK(desk->rung);
    desk->bulkhead = bulkhead;
}

/* Around the bulkhead alone. */
static inline void desk_open(struct desk *desk, struct weir_policy *bulkhead, struct weir_share_config share)
{
    desk_link(desk);
    desk_share(desk, bulkhead, share);
    desk->pipeline = around(bulkhead);
}

static inline void desk_report(struct desk *desk, enum weir_lane_state state, uint64_t now_ns)
{
    weir_link_report(desk->link, 0, WEIR_LANE_BULK, state, 7, at(now_ns));
}

/* Whether there is a question now. */
static inline bool desk_pull(struct desk *desk, uint64_t now_ns)
{
    weir_link_step(desk->link, at(now_ns));
    desk->asked = weir_link_pull(desk->link, 0, WEIR_LANE_BULK, at(now_ns), &desk->ask);
    return desk->asked;
}

static inline void desk_answer(struct desk *desk, enum weir_answer_kind kind, uint32_t count, int64_t granted,
    int64_t fair, int64_t shorts, int64_t active, int64_t all, uint64_t now_ns)
{
    struct weir_answer answer = {
        .kind = (uint8_t)kind, .count = (uint8_t)count, .number = { granted, fair, shorts, active, all }
    };
    CHECK(desk->asked);
    desk->asked = false;
    weir_link_answer(desk->link, desk->ask.ticket, &answer, at(now_ns));
    weir_link_step(desk->link, at(now_ns));
}

static inline void desk_fail(struct desk *desk, enum weir_answer_kind kind, uint64_t now_ns)
{
    desk_answer(desk, kind, 0, 0, 0, 0, 0, 0, now_ns);
}

/* Asked and granted, among so many, all content. */
static inline void desk_grant(struct desk *desk, int64_t granted, int64_t active, uint64_t now_ns)
{
    CHECK(desk_pull(desk, now_ns));
    desk_answer(desk, WEIR_ANSWER_DONE, 5, granted, 64, 0, active, granted, now_ns);
}

static inline void desk_close(struct desk *desk, uint64_t now_ns)
{
    if (desk->asked) desk_fail(desk, WEIR_ANSWER_UNKNOWN, now_ns);
    weir_link_close(desk->link, at(now_ns));
    if (desk->pipeline != NULL) weir_pipeline_destroy(desk->pipeline);
    else weir_policy_release(desk->bulkhead);
    weir_link_release(desk->link);
}

static inline enum weir_share_state desk_state(const struct desk *desk)
{
    return weir_share_state(desk->bulkhead);
}

static inline uint32_t desk_limit(const struct desk *desk)
{
    return weir_bulkhead_stats(desk->bulkhead).limit;
}

#define SHARE(...) (*WEIR_CONFIG(weir_share_config, __VA_ARGS__))

#endif
