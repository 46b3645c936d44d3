/* A link driven by hand, and an object of no use that keeps what its hooks were told. */
#ifndef WEIR_TESTS_TOY_H
#define WEIR_TESTS_TOY_H

#include "shared/link_state.h"
#include "support/test.h"

#include <weir/weir.h>

#include <stdlib.h>
#include <string.h>

#define TOY_LOG 1024

/* Who drives it by hand. */
struct toy_carrier {
    struct weir_link *link;
    struct weir_instants now;
    uint32_t rings; /* atomic: any thread rings */
    int released, events;
    struct weir_share_event event[TOY_LOG]; /* in their order */
};

struct toy {
    struct shared shared;
    struct shared_ask ask[WEIR_LANES];
    struct toy_carrier *carrier;
    uint64_t wake_next_ns; /* what a step sets; 0: never */
    bool unwilling;        /* fill says no */
    bool done;             /* it wants nothing more once it has left */
    int steps, fills, answers, lanes, sleeps, flushes, closes, leaves, posts;
    int *destroyed;
    int64_t answered; /* the last answer's first number, or -1 - its kind */
    uint64_t sent_ns; /* of the last answer's question */
    int number;       /* written to *order at a step */
    int **order;
};

static inline struct weir_instants toy_instants(uint64_t monotonic_ns)
{
    return (struct weir_instants) { monotonic_ns, monotonic_ns + WEIR_S };
}

static inline void toy_ring(void *argument)
{
    struct toy_carrier *carrier = argument;
    atomic_add_relaxed(&carrier->rings, 1u);
}

static inline void toy_wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    (void)until_ns;
}

static inline void toy_released(void *argument)
{
    struct toy_carrier *carrier = argument;
    carrier->released++;
}

static inline void toy_event(void *argument, const struct weir_share_event *event)
{
    struct toy_carrier *carrier = argument;
    if (carrier->events < TOY_LOG) carrier->event[carrier->events] = *event;
    carrier->events++;
}

static inline void toy_link(struct toy_carrier *carrier, uint32_t nodes, bool threaded)
{
    memset(carrier, 0, sizeof *carrier);
    struct weir_carrier ways = weir_carrier_init();
    ways.nodes = nodes;
    ways.ring = toy_ring;
    ways.wait = threaded ? NULL : toy_wait;
    ways.released = toy_released;
    ways.argument = carrier;
    struct weir_share_sink sink = { toy_event, carrier };
    CHECK_EQ(weir_link_create(WEIR_CONFIG(weir_link_config, .space = "toys", .instance = { 7, 9 },
                                  .carrier = &ways, .sink = &sink),
                 &carrier->link),
        WEIR_E_NONE);
    carrier->now = toy_instants(WEIR_S);
}

static inline uint64_t toy_step(struct toy_carrier *carrier, uint64_t now_ns)
{
    carrier->now = toy_instants(now_ns);
    return weir_link_step(carrier->link, carrier->now);
}

static inline void toy_lane(struct toy_carrier *carrier, enum weir_lane lane, enum weir_lane_state state)
{
    weir_link_report(carrier->link, 0, lane, state, state == WEIR_LANE_DOWN ? 0 : 1, carrier->now);
}

static inline bool toy_pull(struct toy_carrier *carrier, enum weir_lane lane, struct weir_ask *ask)
{
    return weir_link_pull(carrier->link, 0, lane, carrier->now, ask);
}

static inline void toy_answer(struct toy_carrier *carrier, void *ticket, int64_t number)
{
    struct weir_answer answer = { .kind = WEIR_ANSWER_DONE, .count = 1, .number = { number } };
    weir_link_answer(carrier->link, ticket, &answer, carrier->now);
}

static inline void toy_close(struct toy_carrier *carrier)
{
    weir_link_close(carrier->link, carrier->now);
    weir_link_release(carrier->link);
}

/* ---- the object ---- */

static inline void toy_on_step(struct shared *object, struct weir_instants now)
{
    struct toy *toy = (struct toy *)object;
    (void)now;
    toy->steps++;
    if (toy->order != NULL) *(*toy->order)++ = toy->number;
    if (toy->wake_next_ns != 0) shared_wake_at(object, toy->wake_next_ns);
    if (object->left) object->done = toy->done;
}

static inline bool toy_on_fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    struct toy *toy = (struct toy *)object;
    toy->fills++;
    question->kind = WEIR_ASK_RENEW;
    question->count = 1;
    question->number[0] = ask - toy->ask;
    question->deadline_ns = now.monotonic_ns + WEIR_S;
    return !toy->unwilling;
}

static inline void toy_on_answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *answer, struct weir_instants now)
{
    struct toy *toy = (struct toy *)object;
    (void)now;
    toy->answers++;
    toy->answered = answer->kind == WEIR_ANSWER_DONE ? answer->number[0] : -1 - answer->kind;
    toy->sent_ns = ask->sent_ns;
    if (object->left) object->done = toy->done; /* before the step that its leaving has rung for */
}

static inline void toy_on_lane(
    struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now)
{
    (void)node;
    (void)lane;
    (void)now;
    ((struct toy *)object)->lanes++;
}

static inline void toy_on_slept(struct shared *object, struct weir_instants now)
{
    (void)now;
    ((struct toy *)object)->sleeps++;
}

static inline void toy_on_flush(struct shared *object, struct weir_instants now)
{
    (void)now;
    ((struct toy *)object)->flushes++;
}

static inline void toy_on_closed(struct shared *object, struct weir_instants now)
{
    (void)now;
    ((struct toy *)object)->closes++;
}

static inline void toy_on_leave(struct shared *object)
{
    ((struct toy *)object)->leaves++;
}

static inline void toy_on_post(struct shared *object)
{
    ((struct toy *)object)->posts++;
}

static inline void toy_on_destroy(struct shared *object)
{
    struct toy *toy = (struct toy *)object;
    CHECK(object->link->closed || atomic_load_acquire(&object->rung) == 0); /* a step walks those */
    if (toy->destroyed != NULL) atomic_add_relaxed(toy->destroyed, 1);
    free(toy);
}

static const struct shared_ops toy_ops = {
    .step = toy_on_step,
    .fill = toy_on_fill,
    .answer = toy_on_answer,
    .lane = toy_on_lane,
    .slept = toy_on_slept,
    .flush = toy_on_flush,
    .closed = toy_on_closed,
    .leave = toy_on_leave,
    .post = toy_on_post,
    .destroy = toy_on_destroy,
};

static inline struct toy *toy_make(struct toy_carrier *carrier, int *destroyed)
{
    struct toy *toy = calloc(1, sizeof *toy);
    CHECK(toy != NULL);
    toy->carrier = carrier;
    toy->destroyed = destroyed;
    toy->done = true;
    for (int i = 0; i < WEIR_LANES; i++) {
        toy->ask[i].object = &toy->shared;
        toy->ask[i].lane = (uint8_t)i;
    }
    return toy;
}

static inline struct toy *toy_enrol(struct toy_carrier *carrier, int *destroyed)
{
    struct toy *toy = toy_make(carrier, destroyed);
    CHECK_EQ(shared_enrol(carrier->link, &toy->shared, &toy_ops, "toy"), WEIR_E_NONE);
    return toy;
}

static inline bool toy_queue(struct toy *toy, enum weir_lane lane)
{
    shared_lock(toy->shared.link);
    bool queued = shared_ask_queue(&toy->ask[lane]);
    shared_unlock(toy->shared.link);
    return queued;
}

#endif
