/* The events of a pipeline on their way to its sink: a bounded ring that any thread fills and one at a time
 * empties. It is ck's ring; all use of it is in this pair of files.
 *
 *     push()     any thread, one at a time: into the ring, or dropped and counted when it is full
 *     deliver()  whoever finds nobody delivering: takes events out and hands them to the sink, which may call
 *                weir again: what that pushes is taken by the same loop, not by a second one
 *
 *                     swap ASKED, it was IDLE
 *               IDLE -----------------------> ASKED <------. somebody else came: he leaves,
 *                 ^                             |          | the loop goes round once more
 *                 '--- nobody came meanwhile -- BUSY ------'
 *                                          (takes until it is empty)
 *
 * Invariants:
 *   1. One thread has the turn, so the sink is never entered twice at once; nothing is held that anybody waits
 *      for while it runs.
 *   2. Nothing stays behind: whoever finds the turn taken has written ASKED after his push, and the turn is
 *      given back by a compare-and-swap that fails upon it. Only a deliverer that has handed over
 *      EVENT_RING_SIZE events leaves the rest to the next.
 *   3. A push is never late: it tries for the ring PUSH_TRIES times, some microseconds, and is dropped if who
 *      holds it was taken off his processor. (ck's own way for several producers makes them wait for each
 *      other in order: with more threads than processors that cost milliseconds each, measured.) So the
 *      ring has one producer and one consumer at a time.
 *   4. The ring is of one process. What a forked child inherits is the parent's to deliver, and perhaps half
 *      written: the child's first look at it empties it. */
#ifndef WEIR_LIB_EVENT_RING_H
#define WEIR_LIB_EVENT_RING_H

#include "base/check.h"

#include <ck_ring.h>
#include <weir/event.h>

#define EVENT_RING_SIZE 256 /* a power of two; one place stays empty */

struct event_ring {
    ck_ring_t ring;
    uint64_t dropped;
    uint32_t turn;    /* IDLE, BUSY or ASKED */
    uint32_t pushing; /* 1: somebody is */
    uint32_t process; /* whose it is; changes under the lock */
    uint32_t lock;
    struct weir_event slot[EVENT_RING_SIZE];
};

void event_ring_init(struct event_ring *ring);
bool event_ring_push(struct event_ring *ring, struct weir_event event);
/* Answers how many were delivered; at most EVENT_RING_SIZE, so that a busy sink's thread gets away. */
size_t event_ring_deliver(
    struct event_ring *ring, const struct weir_sink *sink, const struct weir_pipeline *pipeline);
uint64_t event_ring_dropped(const struct event_ring *ring);

#endif
