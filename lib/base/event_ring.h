/* The events of a pipeline on their way to its sink: a bounded ring that any thread fills and one at a time
 * empties. It is ck's multi-producer ring; all use of it is in this pair of files.
 *
 *     push()     any thread: into the ring, or dropped and counted when it is full
 *     deliver()  whoever finds nobody delivering: takes events out and hands them to the sink, which may call
 *                weir again: what that pushes is taken by the same loop, not by a second one
 *
 * Invariants: the sink is never entered twice at once; no lock is held while it runs; what was pushed before a
 * deliver() that found another at work is delivered by that other, which looks again after it let go. */
#ifndef WEIR_LIB_EVENT_RING_H
#define WEIR_LIB_EVENT_RING_H

#include "base/check.h"

#include <ck_ring.h>
#include <weir/event.h>

#define EVENT_RING_SIZE 256 /* a power of two; one place stays empty */

struct event_ring {
    ck_ring_t ring;
    uint64_t dropped;
    uint32_t delivering;
    struct weir_event slot[EVENT_RING_SIZE];
};

void event_ring_init(struct event_ring *ring);
bool event_ring_push(struct event_ring *ring, struct weir_event event);
/* Answers how many were delivered; at most EVENT_RING_SIZE, so that a busy sink's thread gets away. */
size_t event_ring_deliver(
    struct event_ring *ring, const struct weir_sink *sink, const struct weir_pipeline *pipeline);
uint64_t event_ring_dropped(const struct event_ring *ring);

#endif
