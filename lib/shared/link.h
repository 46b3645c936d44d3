/* A link: what this process shares, and what to ask a store about it. No I/O (weir/transport.h).
 *
 *     any thread            user's            the carrier's thread or loop
 *     ring() ----------.    attach, leave     step() ----> object's step      its time has come, or it was rung
 *                      v         |            pull() ----> object's fill      a question goes out
 *        rung: a stack that      v            answer() --> object's answer
 *        step() takes whole    lock           report() --> object's lane
 *
 * A question (struct shared_ask) is IDLE -> QUEUED -> FLYING -> IDLE: shared_ask_queue(), pull, answer. It is queued
 * only while its lane is not down; a lane that goes down has every queued one IDLE again, and its objects told.
 *
 * Invariants:
 *   1. everything of a link and its objects is changed under its lock, but the words that say so; no hook blocks, and
 *      nothing of the user's runs under it: events and posts go out after it is dropped, in their order;
 *   2. an object is freed by the driving thread, after it has left, when none of its questions is flying and it is in
 *      no list; or, once the link is closed, by whoever lets it go;
 *   3. each question that was pulled is answered exactly once;
 *   4. a forked child drives nothing: its link is closed from the start, every object DETACHED, and the lists, which
 *      may have been under change, are not looked at. */
#ifndef WEIR_LIB_LINK_H
#define WEIR_LIB_LINK_H

#include "base/arithmetic.h"
#include "base/error.h"
#include "base/lock.h"

#include <weir/transport.h>

struct shared;

enum { ASK_IDLE, ASK_QUEUED, ASK_FLYING };

/* One question that may be under way: an object may have several, each for one node and lane. */
struct shared_ask {
    struct shared *object;
    struct shared_ask *next; /* in its lane's queue */
    uint64_t sent_ns;        /* when it was pulled; in answer: earlier by what the machine has slept since */
    uint64_t sent_gap_ns;    /* CLOCK_BOOTTIME - CLOCK_MONOTONIC, then */
    uint8_t node, lane, state;
};

/* Of an object; all under the link's lock but `post`, and on the driving thread where nothing else is said. */
struct shared_ops {
    bool locks; /* it asks on WEIR_LANE_LOCK; else on the other one */
    /* Its time has come, it was rung, or it has left. It has no next time until it says so (shared_wake_at()). */
    void (*step)(struct shared *object, struct weir_instants now);
    /* Writes the question; false: it is not wanted any more. ticket, name and id are filled in. */
    bool (*fill)(
        struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question);
    void (*answer)(struct shared *object, struct shared_ask *ask, const struct weir_answer *answer,
        struct weir_instants now);
    /* A lane of the link came up, is slow or went down, or its server is another than before. */
    void (*lane)(struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now);
    /* The machine slept: what ended by CLOCK_BOOTTIME meanwhile is void. May be NULL. */
    void (*slept)(struct shared *object, struct weir_instants now);
    /* Give back what is held, as far as it can be: before a close. May be NULL. */
    void (*flush)(struct shared *object, struct weir_instants now);
    /* The link is closed: nothing is asked any more. */
    void (*closed)(struct shared *object, struct weir_instants now);
    /* Who used it lets go, on any thread: it keeps what it may have to give back and forgets its user's words. It posts
     * nothing: once the link is closed nobody would deliver it. */
    void (*leave)(struct shared *object);
    /* Adds what only it knows. May be NULL. */
    void (*report)(const struct shared *object, struct weir_share_stats *stats);
    /* After shared_post(), outside the lock. May be NULL. */
    void (*post)(struct shared *object);
    void (*destroy)(struct shared *object); /* frees it; on any thread once the link is closed */
};

/* The first member of every object. */
struct shared {
    const struct shared_ops *ops;
    struct weir_link *link;
    struct shared *next, *previous; /* of the link's objects */
    struct shared *rung_next, *post_next;
    uint64_t wake_ns;
    uint32_t heap_at; /* place in the heap + 1; 0: in none */
    uint32_t rung;    /* it is on the stack: marked, or the carrier knows of it too */
    bool posting;     /* it is in the list of posts */
    bool left;        /* nobody uses it any more: it goes when it is done */
    bool done;        /* it has left and wants nothing more of the store */
    bool unflushed;   /* it has something to give back yet */
    uint8_t flying;   /* questions under way */
    uint8_t state;    /* enum weir_share_state */
    uint64_t number;  /* of those that the link ever had */
    uint64_t state_since_ns;
    struct weir_share_stats stats; /* the parts that all objects have */
    char name[WEIR_NAME_MAX + 1];
};

/* Enrols an object: from any thread. A reference to the link is taken. Answers LIMIT or NOMEM, or INVALID if the link is
 * closed or nobody drives it. */
enum weir_error shared_enrol(
    struct weir_link *link, struct shared *object, const struct shared_ops *ops, const char *name);
/* Nobody uses it any more: from any thread, without the lock. The object may be gone on return. */
void shared_leave(struct shared *object);
/* What all and what only it know. From any thread, without the lock. */
struct weir_share_stats shared_report(struct shared *object);
/* Has it stepped at the next weir_link_step(): from any thread, also without the lock. */
void shared_mark(struct shared *object);
/* The same, soon. */
void shared_ring(struct shared *object);

/* The rest with the lock taken, or from a hook. */
void shared_wake_at(struct shared *object, uint64_t monotonic_ns);
/* False: the lane is down. Nothing if it is queued or flying already. */
bool shared_ask_queue(struct shared_ask *ask);
bool shared_lane_is_up(const struct weir_link *link, uint32_t node, enum weir_lane lane); /* or slow */
enum weir_lane_state shared_lane_state(const struct weir_link *link, uint32_t node, enum weir_lane lane);
/* The number of the server that answers there; another than before: what it held may be lost. */
uint64_t shared_lane_server(const struct weir_link *link, uint32_t node, enum weir_lane lane);
/* When that one took another's place, by CLOCK_BOOTTIME; 0: it has been the only one. */
uint64_t shared_lane_changed(const struct weir_link *link, uint32_t node, enum weir_lane lane);
uint32_t shared_nodes(const struct weir_link *link);
void shared_become(struct shared *object, enum weir_share_state state, uint64_t now_ns);
void shared_tell(struct shared *object, enum weir_share_event_kind kind, uint64_t number, uint64_t now_ns);
/* Has its post hook called once the lock is dropped. */
void shared_post(struct shared *object);
void shared_lock(struct weir_link *link);
/* Drops the lock. */
void shared_unlock(struct weir_link *link);
/* The link's own random sequence. */
uint64_t *shared_random(struct weir_link *link);
bool shared_is_closed(const struct weir_link *link);
/* Whether the carrier has a thread of its own, else waits itself. */
bool shared_is_threaded(const struct weir_link *link);
void shared_wait(struct weir_link *link, uint64_t until_ns);
/* This thread is in an event or a post of it: it drives it, and must not wait for it. */
bool shared_is_told_here(const struct weir_link *link);

#endif
