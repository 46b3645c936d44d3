#include "redis/asker.h"

#include <string.h>

static struct asker *asker_of(struct shared *object)
{
    return (struct asker *)object;
}

static void step(struct shared *object, struct weir_instants now)
{
    struct asker *asker = asker_of(object);
    if (object->left) {
        object->done = true;
        return;
    }
    if (asker->degrades) shared_become(object, WEIR_SHARE_DEGRADED, now.monotonic_ns);
    if (shared_ask_queue(&asker->ask)) atomic_add_relaxed(&asker->asked, 1);
    if (asker->period_ns != 0) shared_wake_at(object, now.monotonic_ns + asker->period_ns);
}

static bool fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    struct asker *asker = asker_of(object);
    static const int64_t rate[] = { 0, 1000, 1000000, 100, 1, 0, 0, 0, 0, 1000, 0, 1000 };
    static const int64_t fence[] = { 0, 60000 };
    bool locks = ask->lane == WEIR_LANE_LOCK;
    question->kind = locks ? WEIR_ASK_FENCE : WEIR_ASK_RATE;
    question->count = (uint8_t)(locks ? sizeof fence / sizeof fence[0] : sizeof rate / sizeof rate[0]);
    memcpy(question->number, locks ? fence : rate, locks ? sizeof fence : sizeof rate);
    question->number[0] = ++asker->sequence; /* FENCE: the token */
    question->deadline_ns = now.monotonic_ns + asker->patience_ns;
    return true;
}

static void answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *given, struct weir_instants now)
{
    struct asker *asker = asker_of(object);
    (void)ask;
    (void)now;
    if (given->kind != WEIR_ANSWER_UNKNOWN) atomic_add_seq_cst(&asker->answered, 1);
    switch (given->kind) {
    case WEIR_ANSWER_DONE: atomic_add_seq_cst(&asker->done, 1); break;
    case WEIR_ANSWER_NOT_RUN: atomic_add_seq_cst(&asker->refused, 1); break;
    case WEIR_ANSWER_ERROR: atomic_add_seq_cst(&asker->errors, 1); break;
    default: atomic_add_seq_cst(&asker->unknown, 1); break;
    }
    if (asker->flushed && asker->hold != 0 && --asker->hold != 0) shared_ask_queue(&asker->ask);
    object->unflushed = asker->hold != 0;
}

static void lane(struct shared *object, uint32_t node, enum weir_lane which, struct weir_instants now)
{
    struct asker *asker = asker_of(object);
    (void)now;
    if (which != asker->ask.lane || node != asker->ask.node) return;
    if (shared_lane_is_up(object->link, node, which)) {
        atomic_add_seq_cst(&asker->ups, 1);
        shared_ring(object);
    } else {
        atomic_add_seq_cst(&asker->downs, 1);
    }
}

static void flush(struct shared *object, struct weir_instants now)
{
    struct asker *asker = asker_of(object);
    (void)now;
    asker->flushed = true;
    if (asker->hold != 0) shared_ask_queue(&asker->ask);
}

static void closed(struct shared *object, struct weir_instants now)
{
    (void)now;
    atomic_add_seq_cst(&asker_of(object)->closed, 1);
}

static void leave(struct shared *object)
{
    (void)object;
}

static void destroy(struct shared *object)
{
    atomic_add_seq_cst(&asker_of(object)->gone, 1);
}

enum weir_error asker_start(struct asker *asker, struct weir_link *link, const char *name,
    enum weir_lane lane_asked, uint64_t period_ns)
{
    static const struct shared_ops bulk = { .locks = false,
        .step = step,
        .fill = fill,
        .answer = answer,
        .lane = lane,
        .flush = flush,
        .closed = closed,
        .leave = leave,
        .destroy = destroy };
    static const struct shared_ops locks = { .locks = true,
        .step = step,
        .fill = fill,
        .answer = answer,
        .lane = lane,
        .flush = flush,
        .closed = closed,
        .leave = leave,
        .destroy = destroy };
    uint32_t hold = asker->hold;
    uint8_t node = asker->ask.node;
    memset(asker, 0, sizeof *asker);
    asker->hold = hold;
    asker->shared.unflushed = hold != 0;
    asker->ask.object = &asker->shared;
    asker->ask.node = node;
    asker->ask.lane = (uint8_t)lane_asked;
    asker->period_ns = period_ns;
    asker->patience_ns = 10 * WEIR_S;
    return shared_enrol(link, &asker->shared, lane_asked == WEIR_LANE_LOCK ? &locks : &bulk, name);
}

void asker_stop(struct asker *asker)
{
    shared_leave(&asker->shared);
}
