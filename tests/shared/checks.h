/* What was seen of several processes that share, in the order of time, and who checks it. A checker shares no code with
 * what it checks, and answers NULL, or what is wrong; *at is then the event. Times are of one clock for all. */
#ifndef WEIR_TESTS_CHECKS_H
#define WEIR_TESTS_CHECKS_H

#include "redis/support/history.h"

#include <weir/share.h>

enum seen_object { SEEN_RATE, SEEN_BREAKER, SEEN_BULKHEAD, SEEN_LOCK, SEEN_OBJECTS };

enum seen_kind {
    SEEN_STATE,  /* of an object, a: enum weir_share_state, b: instances that it knows of */
    SEEN_GONE,   /* a process is no more */
    SEEN_ADMIT,  /* rate, a: tokens */
    SEEN_LENT,   /* rate, a: tokens that answers may have brought, as they were asked for */
    SEEN_LEASE,  /* rate, bulkhead, a: until when what it was lent is good; 0: nothing is */
    SEEN_ENTER,  /* bulkhead, a: permits, b: the call */
    SEEN_LEAVE,  /* the same */
    SEEN_EPOCH,  /* breaker, a: of the fleet */
    SEEN_OPENED, /* breaker: by the fleet */
    SEEN_HEARD,  /* breaker, a: the epoch that it knows of after an answer, b: whether the fleet is open */
    SEEN_PROBE,  /* breaker, a: the epoch: one goes out in a turn */
    SEEN_PROBED, /* the same: it is back */
    SEEN_HOLD,   /* lock, a: token, b: until when */
    SEEN_VALID,  /* lock, b: until when now */
    SEEN_FREE,   /* lock: released, or lost */
    SEEN_LOSS,   /* the store has lost what it knew, or some of it */
    SEEN_JUMP,   /* a: us that the store's clock went forward, or back */
    SEEN_PARTED, /* a process and the store do not reach one another */
    SEEN_JOINED,
    SEEN_KINDS
};

#define SEEN_PROCESSES 16

/* I1, I3, I15: in no window more than burst + rate * length; more by what was lent in the relaxed form, by the share of
 * each process that is cut off, and by what the store forgot. */
struct rate_terms {
    double per_ns, burst;
    double lent;   /* relaxed: of all processes; strict: 0 */
    double parked; /* what a process's thread may keep of a limit of its own; it is spent first */
    enum weir_away away;
    double held;      /* strict: what all hold together */
    int64_t lease_ns; /* of what is lent */
};
const char *check_rate(
    const struct history_event *events, size_t count, const struct rate_terms *terms, size_t *at);

/* I10: who is let in under a lease that is good is, with all others of whom that is true, within the limit. */
struct bulkhead_terms_seen {
    int64_t limit, lease_ns;
};
const char *check_bulkhead(
    const struct history_event *events, size_t count, const struct bulkhead_terms_seen *terms, size_t *at);

/* I11, I12: epochs only grow for who looks; in one epoch no more probes are out than the fleet may have; if but one
 * process of several sees failures, the fleet is not opened. */
struct breaker_terms {
    int64_t probes, probe_ns; /* probe_ns: one that is out for longer has failed, and counts no more */
    int64_t turn_ns;          /* by then all turns that the store forgot are over, and what began in them */
    int64_t presence_ns;      /* so long an instance counts */
    bool one_is_ill;          /* the first */
};
const char *check_breaker(
    const struct history_event *events, size_t count, const struct breaker_terms *terms, size_t *at);

/* What a process does whatever it is told, by its own config: it spends no more than it asked for, nor more than its
 * limit or its share while that holds; no more permits and probes than the config has; no lock for longer than a lease. */
struct alone_terms {
    double per_ns, burst, lent, parked;
    enum weir_away away;
    int64_t limit, probes, probe_ns, lock_lease_ns;
};
const char *check_alone(
    const struct history_event *events, size_t count, const struct alone_terms *terms, size_t *at);

/* I6, I7: one holder at a time, tokens that grow; where the store forgot, only tokens that differ. */
struct lock_terms {
    int64_t lease_ns, grace_ns;
};
const char *check_lock(
    const struct history_event *events, size_t count, const struct lock_terms *terms, size_t *at);

/* Each object is DEGRADED by declared_ns after its process and the store were parted, and SHARED or SLOW by recovered_ns
 * after joined_at_ns, when all was made well. DETACHED it is at the beginning only. */
struct state_terms {
    int64_t declared_ns, joined_at_ns, recovered_ns;
};
const char *check_states(
    const struct history_event *events, size_t count, const struct state_terms *terms, size_t *at);

#endif
