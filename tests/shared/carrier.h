/* Carries a link's questions to a store (store.h) through a network of its own, on a virtual clock.
 *
 *     pull -> sent ---- lag ----> done by the store ---- lag ----> answered
 *               |  lost, or later: the store is away      | lost
 *               '-------> deadline: the lane is cut <-----'
 *
 * As over TCP, what is asked on a lane is done and answered in its order. What has not been answered by its deadline cuts
 * the lane: all that is under way on it is UNKNOWN, and may yet be done. A lane that was cut is connected again at once, then
 * after pauses that grow, as long as the store is away. It is SLOW while a question waits for longer than it should.
 *
 * Invariants: a question is answered once, and done at most once; nothing of another life of the server is done by this
 * one; with the same seed the same things happen at the same times. */
#ifndef WEIR_TESTS_CARRIER_H
#define WEIR_TESTS_CARRIER_H

#include "shared/store.h"

#define CARRIER_FLIGHTS 64

struct carrier_flight {
    struct weir_ask ask;
    struct weir_answer answer;
    uint64_t sent_ns, done_ns, comes_ns; /* of the world; WEIR_NEVER: lost on its way */
    uint64_t server;
    char name[16]; /* the object may be gone before it is done */
    uint8_t lane;
    bool there, done, forgotten; /* forgotten: answered UNKNOWN, but may yet be done */
};

struct carrier_lane {
    enum weir_lane_state state;
    uint64_t server;
    uint64_t up_ns; /* an attempt to connect ends then */
    uint64_t pause_ns;
    uint64_t last_done_ns, last_comes_ns;
};

struct carrier_seen {
    uint64_t asked, done, done_late, lost_requests, lost_answers, unknown, cuts, slow, connected, refused;
};

struct carrier {
    struct weir_link *link;
    struct store *store;
    const uint64_t *world_ns; /* CLOCK_BOOTTIME of all */
    uint64_t slept_ns;        /* CLOCK_MONOTONIC is so far behind */
    uint64_t random;
    uint64_t lag_ns;                       /* one way, at most */
    bool parted;                           /* no packet gets through */
    uint8_t loses_requests, loses_answers; /* percent */
    bool rung;
    uint64_t wake_ns; /* of CLOCK_BOOTTIME, as a timer that a sleep of the machine does not stop */
    struct carrier_lane lane[WEIR_LANES];
    struct carrier_flight flight[CARRIER_FLIGHTS];
    uint32_t flights; /* all that are there are below */
    struct carrier_seen seen;
    uint64_t told;               /* how often it has told the link something */
    uint64_t wanted;             /* tokens that RATE answers may have brought */
    uint64_t heard;              /* BREAKER questions that were answered */
    uint64_t lent_until_ns;      /* the store\'s leases that RATE answers told of end by then */
    uint64_t hash;               /* of all that was asked and answered, and when */
    int64_t sequence[WEIR_ASKS]; /* last sent */
};

/* Zeroed, or closed: then what was sent before is yet on its way. sink may be NULL. */
void carrier_open(struct carrier *carrier, struct store *store, const uint64_t *world_ns, uint64_t instance,
    uint64_t seed, const struct weir_share_sink *sink);
struct weir_instants carrier_now(const struct carrier *carrier);
/* Does all that is due. runs: the process does; else the store alone goes on with what has been sent. */
void carrier_turn(struct carrier *carrier, bool runs);
/* The next instant of the world at which it has something to do. */
uint64_t carrier_next(const struct carrier *carrier, bool runs);
/* The connection of both lanes breaks. */
void carrier_cut(struct carrier *carrier);
/* The lanes are cut; with the link's close, before its objects go or after. */
void carrier_close(struct carrier *carrier);

#endif
