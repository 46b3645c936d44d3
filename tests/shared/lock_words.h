/* Links without a network: what tests of locks have in common. Time is virtual, questions stand in a list until the test
 * has them done by a store (store_lock.h), answered, or lost. */
#ifndef WEIR_LOCK_WORDS_H
#define WEIR_LOCK_WORDS_H

#include "shared/store_lock.h"
#include "support/test.h"

#include <weir/lock.h>

#include <string.h>

/* No machine has been up for so long: who looks at its clock finds leases good. */
#define START_NS (UINT64_C(100000000) * WEIR_S)
#define QUESTIONS 64

struct question {
    struct weir_ask ask;
    struct weir_answer answer;
    uint64_t do_ns, answer_ns; /* for who schedules */
    uint32_t node;
    bool there, done, abandoned;
};

struct carrier { /* one process's link */
    struct weir_link *link;
    struct question question[QUESTIONS];
    uint32_t nodes;
    uint32_t events[WEIR_SHARE_EVENTS];
    uint64_t wake_ns;
    bool rung;
};

static uint64_t world_ns = START_NS; /* CLOCK_MONOTONIC and CLOCK_BOOTTIME of every process */

static inline struct weir_instants world_now(void)
{
    return (struct weir_instants) { world_ns, world_ns + 5 * WEIR_S };
}

static inline void carrier_ring(void *argument)
{
    __atomic_store_n(&((struct carrier *)argument)->rung, true, __ATOMIC_SEQ_CST);
}

static inline void carrier_event(void *argument, const struct weir_share_event *event)
{
    ((struct carrier *)argument)->events[event->kind]++;
}

static inline void carrier_lane(struct carrier *carrier, uint32_t node, bool up, uint64_t server)
{
    for (uint32_t lane = 0; lane < WEIR_LANES; lane++) {
        weir_link_report(carrier->link, node, (enum weir_lane)lane, up ? WEIR_LANE_UP : WEIR_LANE_DOWN,
            up ? server : 0, world_now());
    }
}

static inline void carrier_open(struct carrier *carrier, uint32_t nodes, uint64_t instance)
{
    *carrier = (struct carrier) { .nodes = nodes };
    struct weir_link_config config = weir_link_config_init();
    struct weir_carrier does = weir_carrier_init();
    struct weir_share_sink sink = { carrier_event, carrier };
    does.nodes = nodes;
    does.ring = carrier_ring;
    does.argument = carrier;
    config.space = "test";
    config.instance[0] = 7;
    config.instance[1] = instance + 1;
    config.carrier = &does;
    config.sink = &sink;
    CHECK_EQ(weir_link_create(&config, &carrier->link), WEIR_E_NONE);
    for (uint32_t i = 0; i < nodes; i++) carrier_lane(carrier, i, true, 100 + i);
}

/* Steps it and takes the questions down. */
static inline void carrier_pump(struct carrier *carrier)
{
    __atomic_store_n(&carrier->rung, false, __ATOMIC_SEQ_CST);
    carrier->wake_ns = weir_link_step(carrier->link, world_now());
    for (uint32_t node = 0; node < carrier->nodes; node++) {
        for (;;) {
            uint32_t i = 0;
            while (i < QUESTIONS && carrier->question[i].there) i++;
            CHECK(i < QUESTIONS);
            struct question *question = &carrier->question[i];
            if (!weir_link_pull(carrier->link, node, WEIR_LANE_LOCK, world_now(), &question->ask)) break;
            question->node = node;
            question->there = true;
            question->done = question->abandoned = false;
        }
    }
}

static inline void question_answer(
    struct carrier *carrier, struct question *question, enum weir_answer_kind kind)
{
    question->answer.kind = (uint8_t)kind;
    question->there = false;
    weir_link_answer(carrier->link, question->ask.ticket, &question->answer, world_now());
}

static inline struct question *question_at(struct carrier *carrier, uint32_t node)
{
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        if (carrier->question[i].there && carrier->question[i].node == node) return &carrier->question[i];
    }
    return NULL;
}

/* The questions that are there, in the way of a store that works; again for those that come of it. */
static inline void carrier_serve(struct carrier *carrier, struct store_lock *stores)
{
    bool more = true;
    while (more) {
        more = false;
        carrier_pump(carrier);
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            struct question *question = &carrier->question[i];
            if (!question->there) continue;
            store_lock_ask(
                &stores[question->node], &question->ask, (int64_t)(world_ns / 1000), &question->answer);
            question_answer(carrier, question, WEIR_ANSWER_DONE);
            more = true;
        }
    }
}

static inline void carrier_close(struct carrier *carrier)
{
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        if (carrier->question[i].there) question_answer(carrier, &carrier->question[i], WEIR_ANSWER_UNKNOWN);
    }
    weir_link_close(carrier->link, world_now());
    weir_link_release(carrier->link);
}

static inline enum weir_lock_state state_of(struct weir_lock *lock)
{
    return weir_lock_check_at(lock, world_now().boottime_ns);
}

#endif
