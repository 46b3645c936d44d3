/* What the processes of a fleet write down (redis/support/history.h), and the terms by which they share. Only who writes
 * it knows weir; who checks it reads this and nothing else.
 *
 * Of what happens no single stamp says when, as a process may be stopped anywhere. So each entry has two stamps of
 * CLOCK_BOOTTIME, .a from before and .at_ns from after: it happened in between. A check is sound if it counts only what
 * lies in a window for certain, from stamp to stamp: the start stamp keeps out of a window what may have been decided
 * before its begin, the end stamp what may have been decided after its end. What a killed process did not write down is not
 * counted, either. Calls and turns, which last, are the other way about: .a is after they have begun for certain,
 * .at_ns is before they have ended. */
#ifndef WEIR_TESTS_FLEET_LOG_H
#define WEIR_TESTS_FLEET_LOG_H

#include "redis/support/history.h"

enum fleet_object { RELAXED, STRICT, CLOSED, OPEN, RATES, PLAIN = RATES, EXACT, BREAKER, OBJECTS };

enum {
    FLEET = 5,      /* members at once */
    PROCESSES = 48, /* one after the other */
    RATE = 1000,    /* tokens a second, of each rate limit, for all members */
    BURST = 100,
    HELD = 40,      /* tokens that all members hold at most unspent */
    PERMITS = 8,    /* of each bulkhead */
    WORKERS = 4,    /* threads of a member that take one each */
    KILLED = 2,     /* at once, of the FLEET */
    PROBES = 2,     /* of the breaker */
    SYNC_MS = 50,   /* of the breaker */
    LEASE_MS = 1000 /* of rate limits and bulkheads */
};

enum fleet_stage { UP, HEALTHY, ONE_BAD, MOST_BAD, ALL_BAD, WELL, MURDER, CHAOS, QUIET, LEAVING, STAGES };

enum fleet_fault {
    FREEZE,  /* the server */
    RESTART, /* the server, empty */
    FLUSH,
    DELAY, /* the way of some members to the server */
    CUT,
    RESET,
    STOP, /* a member */
    KILL, /* a member; another takes its place */
    LEAVE,
    FAULTS
};

/* In brackets what .object is. */
enum fleet_entry {
    LOG_STAGE, /* [enum fleet_stage] begins */
    LOG_FAULT, /* [enum fleet_fault] .b: the process */
    LOG_AWAY,  /* [enum fleet_fault] the server did not answer from .a to .at_ns for certain */
    LOG_BORN,  /* [process] may begin now */
    LOG_GONE,  /* [process] does nothing any more, since .a at the earliest */
    LOG_DRIFT, /* .b: CLOCK_REALTIME less CLOCK_BOOTTIME: the server's clock against that of the log */
    LOG_STALL, /* .b: for so long the machine had no time for somebody who wanted it */
    LOG_STATE, /* [enum fleet_object] .b: instances << 1 | is on its own. It became so after the look before, at .a */
    LOG_ADMIT, /* [a rate] .b: how long the lease was good yet, of the instant that decided */
    LOG_CALL,  /* [a bulkhead, or BREAKER] .b: by when it was to end */
    LOG_LOOK,  /* [is open] the breaker. .b: the epoch. It became so after the look before, at .a */
    LOG_TURN,  /* [is open] what the fleet's breaker is to this process now. */
    LOG_SUM    /* [a rate] .a: admitted; .b: lent, and neither given back, nor void, nor left */
};

#define LOG_NS_PER_MS INT64_C(1000000)

#endif
