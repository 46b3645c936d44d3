/* An object of a link that asks a harmless question (FENCE, RATE) again and again, and counts what becomes of it: for tests of
 * what carries a link. On the stack or static; asker_stop() before it ends. */
#ifndef WEIR_TESTS_REDIS_ASKER_H
#define WEIR_TESTS_REDIS_ASKER_H

#include "shared/link.h"

struct asker {
    struct shared shared;
    struct shared_ask ask;
    uint64_t period_ns; /* 0: it asks once for each ring */
    uint64_t patience_ns;
    uint32_t hold; /* it has so much to give back: one goes with each answer after a flush */
    bool flushed;
    bool degrades; /* its next step says so, which is an event */
    int64_t sequence;
    /* Atomic: read by the test. */
    uint32_t asked, answered, done, refused, errors, unknown, ups, downs, closed, gone;
};

/* Zeroed but for .hold and .ask.node. lane: WEIR_LANE_LOCK or WEIR_LANE_BULK. */
enum weir_error asker_start(
    struct asker *asker, struct weir_link *link, const char *name, enum weir_lane lane, uint64_t period_ns);
void asker_stop(struct asker *asker);

#endif
