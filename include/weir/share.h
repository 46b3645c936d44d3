/* Sharing: rate limits, breakers and bulkheads that several processes have in common, through a link to a store
 * (redis.h makes one to Redis).
 *
 *     struct weir_link *redis;
 *     weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = "unix:/run/redis.sock", .thread = true), &redis);
 *     weir_rate_create(WEIR_CONFIG(weir_rate_config, .name = "api", .permits = 1000,
 *         .share = WEIR_CONFIG(weir_share_config, .link = redis, .away = WEIR_AWAY_SHARE)), &rate);
 *
 * Local is law: no call waits for the store, or even looks at it. The link borrows ahead of need and merges evidence
 * in the background; a decision reads words of this process. What the store's absence changes is said by .away. */
#ifndef WEIR_SHARE_H
#define WEIR_SHARE_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_link;

/* References. What is shared through a link keeps one; the one that its create gave, its carrier's close takes back
 * (weir_redis_close()). From then on all it shared is DETACHED. */
WEIR_API struct weir_link *weir_link_acquire(struct weir_link *link);
WEIR_API void weir_link_release(struct weir_link *link);

/* How an object stands to its fleet. */
enum weir_share_state {
    WEIR_SHARE_DETACHED, /* not shared (any more), or not yet: its own config alone holds */
    WEIR_SHARE_SHARED,   /* leases are good, evidence is fresh */
    WEIR_SHARE_SLOW,     /* leases are good; the store answers late */
    WEIR_SHARE_DEGRADED, /* the store is away: .away holds */
    WEIR_SHARE_STATES
};

/* What holds while the store is away. */
enum weir_away {
    WEIR_AWAY_UNSET = 0, /* refused for rates and bulkheads: it is to be chosen */
    WEIR_AWAY_SHARE, /* this instance's share: the limit / instances that were last known, what is left of the
                            lease for a burst */
    WEIR_AWAY_OPEN,  /* the whole limit in each instance */
    WEIR_AWAY_CLOSED, /* nothing, once the lease is spent or has ended */
};

struct weir_share_config {
    uint32_t size;
    struct weir_link *link; /* a reference is taken */
    const char *name;       /* copied; default: the policy's */
    enum weir_away away;    /* of rates and bulkheads; a breaker is then an ordinary local one */
    uint32_t instances; /* that are supposed to be there until the store has said, 1..100000; default: 1 */
    bool strict; /* rates: leases come out of the burst, so not one more than it passes in the whole fleet;
                                 bulkheads: a call's deadline is cut to the end of the lease it runs under */
    uint64_t
        lease_ns; /* how long what was lent is good, 50 ms .. 1 min; default: 1 s (rate), 3 s (bulkhead) */
    uint64_t
        lease_max;    /* rates: tokens that this instance holds at most; default: half the burst. Strict: what
                                 all instances hold together */
    uint64_t sync_ns; /* breakers: how often evidence is told, 10 ms .. 10 s; default: 100 ms */
    uint32_t
        quorum_percent; /* breakers: of the active instances that must see it ill, 1..100; default: 30; at least
                                 two instances: one alone has its own breaker */
};
WEIR_CONFIG_INIT(weir_share_config)

/* Shares a rate, breaker or bulkhead from now on, or refuses: INVALID, SIZE, NOMEM, LIMIT; it is shared already; the
 * link has neither a thread nor a loop that steps it. Calls under way are not disturbed. The configs of policies have
 * the same as a field, .share. */
WEIR_API WEIR_MUST_USE enum weir_error weir_policy_share(
    struct weir_policy *policy, const struct weir_share_config *config);
/* Ends that: what it holds is given back by and by, its own config alone holds at once. Nothing if it is not shared. */
WEIR_API void weir_policy_unshare(struct weir_policy *policy);

struct weir_share_stats {
    enum weir_share_state state;
    uint32_t instances;                         /* active ones, as last known */
    uint64_t asked, answered, refused, unknown; /* questions; errors; those that got no answer */
    uint64_t changes[WEIR_SHARE_STATES];        /* how often it came into that state */
    uint64_t degraded_ns;                       /* spent so; the present time not counted */
    uint64_t held, lent, returned,
        expired;           /* rates: tokens; bulkheads: permits. held: of what was lent, now */
    uint64_t lease_end_ns; /* of the present lease; 0: none */
    uint64_t denied;       /* rates: refused without a question, as the store had none a moment ago */
    uint64_t debited;      /* rates: posted after an absence */
    uint64_t epoch, tripped,
        votes;              /* breakers: of the fleet; times that the fleet opened it; votes last counted */
    uint64_t round_trip_ns; /* of questions, smoothed */
    uint64_t dropped;       /* events of the link that nobody was told of, as its queue was full */
};
WEIR_API struct weir_share_stats weir_share_stats(const struct weir_policy *policy);
WEIR_API enum weir_share_state weir_share_state(const struct weir_policy *policy);
WEIR_API const char *weir_share_state_text(enum weir_share_state state);

/* What changed, told by the link on the thread that steps it, outside of its lock, one at a time. It must not block; it
 * may call weir, but not close the link. A full queue drops and counts. */
enum weir_share_event_kind {
    WEIR_SHARE_CHANGED,      /* .state is the object's now, .before what it was */
    WEIR_SHARE_FLEET_OPENED, /* a breaker: the fleet opened it; .number: votes */
    WEIR_SHARE_FLEET_CLOSED,
    WEIR_SHARE_LOCK_HELD, /* .number: the fence's token */
    WEIR_SHARE_LOCK_SUSPECT,
    WEIR_SHARE_LOCK_LOST,
    WEIR_SHARE_LOCK_RELEASED,
    /* Of one lane (transport.h) of one server: .number and .node. */
    WEIR_SHARE_LINK_UP,
    WEIR_SHARE_LINK_SLOW,
    WEIR_SHARE_LINK_DOWN,
    WEIR_SHARE_EVENTS
};
struct weir_share_event {
    uint8_t kind;          /* enum weir_share_event_kind */
    uint8_t state, before; /* enum weir_share_state */
    uint8_t node;
    uint64_t number;
    uint64_t now_ns;              /* of CLOCK_MONOTONIC */
    char name[WEIR_NAME_MAX + 1]; /* the object's, not escaped; "" for the link */
};
struct weir_share_sink {
    void (*event)(void *argument, const struct weir_share_event *event);
    void *argument; /* borrowed for the link's life */
};
WEIR_API const char *weir_share_event_text(enum weir_share_event_kind kind);

#ifdef __cplusplus
}
#endif
#endif
