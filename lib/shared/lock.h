/* A lock of a fleet, as a machine without I/O (weir/lock.h has the states that its user sees).
 *
 *                 attempt: a new id, LOCK to each node        a majority has it, its greatest token written back (FENCE)
 *       WAITS -----------------------------------> ASKS -----------------------------> (WRITES) ------> HOLDS
 *        ^  ^                                       |                                     |              |  RENEW
 *        |  +------ retire, pause: no majority -----+-------------------------------------+              |
 *    lock_begin                                                                                          |
 *       OFF <---------------- lock_end (deadline, cancel), lock_lose, lock_release ----------------------+
 *
 * An *acquisition* is an id and the nodes on which the store may have it. It outlives its use as a *ghost*, until an
 * UNLOCK was answered everywhere or its ttl is over.
 *
 * Invariants:
 *   1. `word` is the user's: FREE, ACQUIRING, LOST, or until when it is held. It changes under the link's lock, but for
 *      held -> LOST, which whoever sees the end may do, and which is why held words change by compare-and-swap:
 *      what was LOST once to anybody stays LOST;
 *   2. it is held while a majority of nodes have the present id and each one's grant is good: until the sending of its
 *      question + lease - drift, by CLOCK_BOOTTIME; the store keeps it for lease + grace from a later instant;
 *   3. each node has at most one question under way. An id's bit in `there` is set before a question goes out that may
 *      put it there, and goes with an answer only;
 *   4. an UNLOCK is the last word on a node unless a LOCK of that id got no answer, which may be done yet: then it is
 *      repeated until the ttl is over;
 *   5. no RENEW goes out but for the present acquisition of a lock that is held: an ended one is present no more. */
#ifndef WEIR_LIB_SHARED_LOCK_H
#define WEIR_LIB_SHARED_LOCK_H

#include "shared/link.h"

#include <weir/lock.h>

/* The word, if it is none of these: held until then. */
enum { LOCK_WORD_FREE, LOCK_WORD_ACQUIRING, LOCK_WORD_LOST, LOCK_WORDS };
enum lock_phase { LOCK_OFF, LOCK_WAITS, LOCK_ASKS, LOCK_WRITES, LOCK_HOLDS };
enum lock_want { LOCK_WANTS_NOTHING, LOCK_WANTS_LOCK, LOCK_WANTS_RENEW, LOCK_WANTS_FENCE };
enum { LOCK_NEWS_STATE = 1, LOCK_NEWS_LOST = 2 };

#define LOCK_ACQUISITIONS 4

struct lock_acquisition {
    uint64_t id[2];
    uint64_t over_ns;  /* by then the store has forgotten it: last LOCK or RENEW + ttl */
    uint64_t retry_ns; /* when to UNLOCK again what is there yet */
    uint8_t there;     /* nodes that may have it; 0: not in use */
    uint8_t doubtful;  /* of these, a LOCK got no answer */
    uint8_t due;       /* are to be asked to UNLOCK */
    uint8_t untold;    /* have not answered one since it was retired */
};

/* Times of CLOCK_BOOTTIME. */
struct lock_node {
    struct shared_ask ask;
    uint64_t sent_ns;         /* the question under way */
    uint64_t good_ns;         /* the last LOCK or RENEW that was granted was sent then */
    uint64_t valid_ns;        /* and is good until then; 0: it has not the present acquisition */
    uint64_t renew_ns;        /* WEIR_NEVER: no more, or an answer plans it anew */
    uint64_t token;           /* what the store has for this acquisition */
    uint8_t want, kind, slot; /* enum lock_want; of the question under way: enum weir_ask_kind, acquisition */
    uint8_t tries;            /* renewals that failed since good_ns */
};

struct weir_lock {
    struct shared shared;
    uint64_t word;
    uint32_t parker, releaser; /* 1: something changed, for who waits in an acquire, a release (runtime) */
    uint32_t telling;          /* atomic: a loss is being told (runtime) */
    uint32_t process;

    uint64_t lease_ns, grace_ns, drift_ns, suspect_ns, /* suspect: for so long before its end */
        min_validity_ns, hold_max_ns, poll_min_ns, poll_max_ns, settle_ns;

    /* Under the link's lock. */
    uint8_t phase;
    uint8_t current; /* the present acquisition, or LOCK_ACQUISITIONS */
    uint8_t reason;  /* what the last attempt failed of: enum weir_reason */
    bool once;       /* lock_begin() said: no second attempt */
    bool refused;    /* in this attempt a node said that another holds it */
    bool told_suspect;
    uint8_t news;                  /* for the post */
    const void *poster;            /* the thread that posts */
    bool quiet, deaf;              /* nothing is posted any more; the link is closed, and posts nothing */
    uint64_t deadline_ns, next_ns; /* of CLOCK_MONOTONIC: of the acquire; of the next attempt */
    uint64_t poll_ns, left_ns;     /* the last pause; what its holder had left yet */
    uint64_t held_ns;              /* since then */
    uint64_t floor;                /* the greatest token that an answer had */
    struct weir_fence fence;
    struct weir_outcome outcome;
    struct weir_lock_stats stats;
    struct lock_acquisition acquisition[LOCK_ACQUISITIONS];

    /* The runtime's. */
    struct weir_lock_config config;
    void (*post)(struct weir_lock *lock);
    int fd;

    uint32_t nodes, quorum;
    struct lock_node node[];
};

/* Fills in the defaults, or refuses. */
enum weir_error lock_validate(
    const struct weir_lock_config *given, struct weir_lock_config *c, char name[WEIR_NAME_MAX + 1]);
size_t lock_size(const struct weir_link *link);
/* Of zeroed memory; post sends out what news there are, outside of the link's lock. */
enum weir_error lock_enrol(struct weir_lock *lock, const struct weir_lock_config *config, const char *name,
    void (*post)(struct weir_lock *lock));

/* From any thread, with the link's lock taken; ring afterwards. */
void lock_begin(struct weir_lock *lock, uint64_t deadline_ns, bool once);
/* Ends an acquire that is under way; nothing otherwise. */
void lock_end(struct weir_lock *lock, struct weir_outcome outcome);
/* Ended by its deadline: says what it waited for. */
struct weir_outcome lock_expired(const struct weir_lock *lock);
/* True: it was lost, and nobody has been told yet. */
bool lock_release(struct weir_lock *lock, struct weir_instants now);
/* The store, or a majority, has said that nothing of what was held is there. */
bool lock_is_given_back(const struct weir_lock *lock);

/* From any thread, without it. */
enum weir_lock_state lock_check(struct weir_lock *lock, uint64_t boottime_ns);
/* 0: it is not held, or not any more. */
uint64_t lock_valid_until(struct weir_lock *lock, uint64_t boottime_ns);

/* ---- lock_nodes.c: what is asked of the nodes and what they say; from hooks ---- */

bool lock_fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question);
/* Takes an answer down; lock_turn() then sees what it means. */
void lock_note(struct weir_lock *lock, struct lock_node *node, const struct weir_answer *answer,
    struct weir_instants now);
/* Queues all that is wanted; what cannot be, as its lane is down, has failed. */
void lock_ask_all(struct weir_lock *lock, uint64_t boottime_ns);
/* Draws an id and wants a LOCK of every node that may be asked. False: fewer than a majority may, or there is no room;
 * *retry_ns, of CLOCK_BOOTTIME, is then when that may change by itself. */
bool lock_attempt(struct weir_lock *lock, uint64_t boottime_ns, enum weir_reason *why, uint64_t *retry_ns);
/* Nodes that granted it, and from which an answer may come yet. */
void lock_tally(const struct weir_lock *lock, uint32_t *granted, uint32_t *pending);
/* Takes the greatest token of those, and wants it written to all others. */
void lock_write_back(struct weir_lock *lock);
/* Until when a majority's grants are all good; 0: there is none. */
uint64_t lock_majority_valid(const struct weir_lock *lock);
/* Wants the renewals that are due. */
void lock_renew(struct weir_lock *lock, uint64_t boottime_ns);
/* The present acquisition becomes a ghost. */
void lock_retire(struct weir_lock *lock);
void lock_keep_ghosts(struct weir_lock *lock, uint64_t boottime_ns);
bool lock_has_ghosts(const struct weir_lock *lock, bool untold);
/* The next instant of CLOCK_BOOTTIME at which one of all these has something to do. */
uint64_t lock_nodes_wake(const struct weir_lock *lock, uint64_t boottime_ns);
/* The node's lane is up. */
void lock_node_up(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns);

#endif
