/* A link whose carrier is the test itself: time stands until it is moved, and answers come as they are written. */
#ifndef WEIR_TESTS_RATE_WORDS_H
#define WEIR_TESTS_RATE_WORDS_H

#include "base/arithmetic.h"
#include "support/test.h"

#include <weir/rate.h>
#include <weir/transport.h>

#define START (1000 * WEIR_S)

struct carried {
    struct weir_link *link;
    uint64_t now_ns, slept_ns;
    uint32_t rings;
    struct weir_ask ask; /* the last that was pulled */
};

static inline void carried_ring(void *argument)
{
    struct carried *carried = argument;
    __atomic_add_fetch(&carried->rings, 1, __ATOMIC_RELAXED);
}

static inline struct weir_instants carried_now(const struct carried *carried)
{
    return (struct weir_instants) { carried->now_ns, carried->now_ns + carried->slept_ns };
}

static inline void carried_create(struct carried *carried, uint64_t instance)
{
    *carried = (struct carried) { .now_ns = START };
    const struct weir_carrier *carrier =
        WEIR_CONFIG(weir_carrier, .nodes = 1, .ring = carried_ring, .argument = carried);
    const struct weir_link_config *config =
        WEIR_CONFIG(weir_link_config, .carrier = carrier, .instance = { instance, 1 });
    CHECK_EQ(weir_link_create(config, &carried->link), WEIR_E_NONE);
}

static inline uint64_t carried_step(struct carried *carried)
{
    return weir_link_step(carried->link, carried_now(carried));
}

static inline bool carried_is_asking(struct carried *carried)
{
    carried_step(carried);
    return weir_link_pull(carried->link, 0, WEIR_LANE_BULK, carried_now(carried), &carried->ask);
}

/* Time passes, as long as that or until there is a question, which is pulled. */
static inline bool carried_pass(struct carried *carried, uint64_t ns)
{
    uint64_t end_ns = carried->now_ns + ns;
    for (;;) {
        if (carried_is_asking(carried)) return true;
        uint64_t next_ns = carried_step(carried);
        if (next_ns > end_ns) break;
        carried->now_ns = time_max(next_ns, carried->now_ns + 1);
    }
    carried->now_ns = end_ns;
    return false;
}

static inline void carried_report(struct carried *carried, enum weir_lane_state state, uint64_t server)
{
    weir_link_report(carried->link, 0, WEIR_LANE_BULK, state, server, carried_now(carried));
}

/* The next question, which comes within a second. */
static inline void carried_pull(struct carried *carried)
{
    CHECK(carried_pass(carried, WEIR_S));
}

static inline void carried_answer(struct carried *carried, const struct weir_answer *answer)
{
    weir_link_answer(carried->link, carried->ask.ticket, answer, carried_now(carried));
}

static inline void carried_close(struct carried *carried)
{
    weir_link_close(carried->link, carried_now(carried));
    weir_link_release(carried->link);
}

/* Of a RATE question. */
enum {
    ASK_SEQUENCE,
    ASK_PERMITS,
    ASK_PERIOD,
    ASK_BURST,
    ASK_WANT,
    ASK_UNSPENT,
    ASK_RETURNED,
    ASK_DEBIT,
    ASK_HOLD_MAX,
    ASK_LEASE,
    ASK_WATERMARK,
    ASK_PRESENCE
};

#define ARRIVAL 424242

static inline void carried_grant(struct carried *carried, int64_t granted, int64_t instances, int64_t wait_us)
{
    struct weir_answer answer = { .kind = WEIR_ANSWER_DONE,
        .count = 6,
        .number = { granted, ARRIVAL, ARRIVAL, instances, wait_us, granted } };
    carried_answer(carried, &answer);
}

#endif
