/* What the processes of the demo have in common beside Redis: memory in which each writes down what it did, with the time
 * (CLOCK_MONOTONIC, the same for all on a machine). Only the parent reads it whole, when all is over.
 *
 * The resource stands for what the lock protects: it takes a write if its fence is admitted. Whether that was right is
 * judged by another rule than the guard's: the token of an accepted write is never below one accepted before it. */
#ifndef FLEET_ARENA_H
#define FLEET_ARENA_H

#include <weir/fence.h>
#include <weir/share.h>

#define MEMBERS 4
#define WORKERS 3 /* threads of a member that make guarded calls */
#define RATE_PER_S 2000
#define RATE_BURST 200
#define RATE_LEASE_NS WEIR_S
#define RATE_LEASES 80  /* tokens that all members together may hold unspent */
#define ASKS_PER_S 1250 /* of each member: more than twice the rate, all together */
#define PERMITS 8
#define LEASE_MS 400 /* of the lock, */
#define GRACE_MS 200 /* and for how long Redis keeps it beyond that */
#define SYNC_MS 50

enum phase {
    HEALTHY,
    STOPPED, /* Redis, by SIGSTOP */
    THAWED,
    KILLED, /* Redis, by SIGKILL */
    BACK,   /* started again, empty */
    FLUSHED,
    ONE_BAD, /* the calls of one member fail */
    ALL_BAD,
    WELL,
    PAUSED, /* the holder of the lock, by SIGSTOP, for longer than lease and grace */
    MURDER, /* the holder of the lock, by SIGKILL */
    PHASES
};

enum bucket { RELAXED, STRICT, BUCKETS };
enum timed { TIMED_SHARED, TIMED_LOCAL, TIMEDS };

#define ADMITS_MAX (1u << 20)
#define SAMPLES_MAX (1u << 15)

struct admits {
    uint32_t count; /* of one writer; never above ADMITS_MAX */
    uint64_t at_ns[ADMITS_MAX];
};

/* When a rate limit of a member was without Redis, and when not any more, as its link said. */
#define CHANGES_MAX 4096
struct changes {
    uint32_t count; /* of one writer: the member, and the parent once that is dead */
    struct {
        uint64_t at_ns;
        bool without;
    } change[CHANGES_MAX];
};

struct samples {
    uint32_t count;
    uint32_t took_ns[SAMPLES_MAX];
};

struct writes { /* to the resource, in one phase */
    uint64_t accepted, refused, stale, hand_overs;
};

struct member {
    struct admits admits[BUCKETS];
    struct changes changes[BUCKETS];
    struct samples samples[PHASES][TIMEDS];
    uint32_t failing;  /* its calls fail */
    uint32_t holding;  /* the lock, and writes */
    uint32_t in_use;   /* permits */
    uint32_t breaker;  /* enum weir_breaker_state */
    uint32_t share[4]; /* enum weir_share_state: relaxed, strict, breaker, bulkhead */
    uint32_t
        within;  /* it has no more permits in use than it was lent: what ran before it was shared is over */
    uint32_t up; /* it has said all of the above at least once */
    uint64_t votes;
    uint64_t fleet_opened; /* times that the fleet opened its breaker */
};

struct resource {
    uint32_t turn; /* writes are ordered by it */
    struct weir_fence_guard guard;
    struct weir_fence last;
    uint32_t holder; /* member + 1 of the last accepted write */
    uint64_t last_ns;
    struct writes writes[PHASES];
};

struct arena {
    uint32_t phase, stop;
    uint64_t begin_ns[PHASES + 1];
    uint32_t in_use, in_use_max[PHASES];
    struct resource resource;
    struct member member[MEMBERS];
};

static inline void changes_note(struct changes *changes, uint64_t at_ns, bool without)
{
    uint32_t count = __atomic_load_n(&changes->count, __ATOMIC_RELAXED);
    if (count == CHANGES_MAX) return;
    changes->change[count].at_ns = at_ns;
    changes->change[count].without = without;
    __atomic_store_n(&changes->count, count + 1, __ATOMIC_RELEASE);
}

/* Runs a member in this process until the arena says stop; never returns. */
void member_run(struct arena *arena, unsigned me, const char *address) __attribute__((noreturn));

#endif
