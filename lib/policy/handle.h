/* The handle of a policy, and the block of words behind it.
 *
 * The block is flat, without a pointer:
 *
 *     head (one line) | state | counters | config, copy 0 | config, copy 1
 *
 * Hooks get the state and the copy of the config that the head's version names. The handle ties the block to
 * this process: references, the pipelines it is in, the wakers of the calls it holds. */
#ifndef WEIR_LIB_HANDLE_H
#define WEIR_LIB_HANDLE_H

#include "base/counters.h"
#include "base/error.h"
#include "policy/wakers.h"

#include <weir/policy.h>

enum policy_kind {
    POLICY_CUSTOM = 1,
    POLICY_BREAKER,
    POLICY_BULKHEAD,
    POLICY_RATE,
    POLICY_TIMEOUT,
    POLICY_RETRY,
    POLICY_FALLBACK,
    POLICY_GATE,
    POLICY_CHAOS,
};

typedef struct weir_verdict admit_hook(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns);
typedef struct weir_verdict settle_hook(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns);

struct policy_head {
    uint32_t kind, layout;
    uint64_t size; /* of the block */
    uint32_t id;   /* of this process's policies, from 1 */
    uint32_t version;
    uint32_t mode;
    uint32_t config_size;
    uint64_t counters_offset, config_offset; /* from the state */
} CACHE_ALIGNED;

struct policy_link { /* one place of the policy in one pipeline; the pipeline's memory */
    struct weir_pipeline *pipeline;
    struct policy_link *next;
};

struct weir_policy {
    const struct weir_policy_ops *ops;
    struct policy_head *head;
    void *state;
    const void *config;
    struct counters *counters;
    struct wakers wakers;
    uint32_t references;
    uint32_t flags;    /* of its ops, and what its config adds */
    admit_hook *first; /* admit, of a call that was never held and has made no attempt */
    settle_hook *well; /* settle, of its first attempt, if that ended OK and in time */
    void *auxiliary;   /* a retry's budget, a fallback's function */
    void *shared;      /* what stands for it on a link; NULL: it is not shared */
    void (*released)(struct weir_policy *policy); /* with the last reference, may be NULL */
    struct weir_policy *next;                     /* in the registry */
    struct policy_link *links;                    /* under the registry's lock */
    char name[WEIR_NAME_MAX + 1];
};

/* Of the config, beyond enum weir_policy_flag: admit looks at the call's deadline. */
#define POLICY_READS_DEADLINE 0x100u

/* It can be switched off, and the fast lists are then without it: who passes it there owes it nothing, and it must
 * have whoever it wants more of leave them (by a verdict that is not plain). */
#define POLICY_HAS_SWITCH 0x200u

/* Of a verdict, beyond enum weir_verdict_flag. */
enum {
    VERDICT_RING = 0x20,         /* the link has to look at the policy */
    VERDICT_LEAVE = 0x40,        /* nothing to tell: the call goes on by the full list */
    VERDICT_SWITCHED_OFF = 0x80, /* asked for nothing: pipelines need not come here */
};

struct policy_spec {
    enum policy_kind kind;
    const struct weir_policy_ops *ops;
    const char *type; /* of the public config, for error texts */
    const char *name, *standard_name;
    const void *config;
    size_t config_size, state_size;
    uint32_t waiters;
    uint32_t flags;
    admit_hook *first; /* NULL: its ops' admit and settle do */
    settle_hook *well;
};
enum weir_error policy_new(const struct policy_spec *spec, struct weir_policy **result);

/* Aborts unless policy is of that kind. */
static ALWAYS_INLINE void policy_require(
    const struct weir_policy *policy, enum policy_kind kind, const char *function)
{
    (void)process_generation(); /* a forked child gives up what its parent held before it looks or takes */
    WEIR_REQUIRE(policy != NULL, function, "policy is NULL");
    WEIR_REQUIRE(policy->head->kind == kind, function, "the policy is of another kind");
}

/* Shares a policy that was just created as its config says; NULL: not. On an error it is released. Above this layer
 * (lib/shared) stands who does it; before there is a link nobody does. */
enum weir_error policy_share(
    struct weir_policy **policy, const struct weir_share_config *share, enum weir_error error);
extern enum weir_error (*weir_policy_sharer)(
    struct weir_policy *policy, const struct weir_share_config *share);
extern void (*weir_policy_unsharer)(struct weir_policy *policy);
extern void (*weir_policy_ringer)(struct weir_policy *policy);
/* Has the link look at a policy soon that is shared. From any thread; rarely. */
void policy_ring(struct weir_policy *policy);

/* The mode or the switch of a policy has changed: tells the pipelines that it is in. */
void policy_notice(struct weir_policy *policy);

/* A reference, unless the last one is gone already: for who knows the policy, but has none. */
bool policy_hold(struct weir_policy *policy);

/* Posts the wakers of every call that was handed a permit. */
void policy_post(struct weir_policy *policy);

static inline struct policy_head *policy_head_of(const void *state)
{
    return (struct policy_head *)state - 1;
}

/* For hooks: counts an exception on the line of the thread that drives the call. */
static inline void policy_count(void *state, const struct weir_call *call, uint32_t which)
{
    struct policy_head *head = policy_head_of(state);
    struct counters *counters = (struct counters *)((char *)state + head->counters_offset);
    counters_add(counters, call->shard, call->shard < SHARDS, which, 1);
}

/* The same where there is no call: alone, or from a reader. */
static inline void policy_count_alone(void *state, uint32_t which)
{
    struct policy_head *head = policy_head_of(state);
    struct counters *counters = (struct counters *)((char *)state + head->counters_offset);
    uint32_t line = thread_shard();
    counters_add(counters, line, line < SHARDS, which, 1);
}

/* The first counters are the machine's, for every policy; a kind's own begin at POLICY_COUNTERS. */
enum {
    POLICY_REFUSED_FORCED,
    POLICY_WOULD_REFUSE,
    POLICY_REFUSED_NESTED,
    POLICY_PASSED_ALONE, /* by acquire, not in a pipeline */
    POLICY_COUNTERS,
};

static inline struct weir_verdict verdict(enum weir_verdict_kind kind)
{
    return (struct weir_verdict) { .kind = (uint8_t)kind };
}

static inline struct weir_verdict verdict_refuse(enum weir_reason reason, uint64_t at_ns)
{
    return (struct weir_verdict) { .kind = WEIR_REFUSE, .reason = (uint8_t)reason, .at_ns = at_ns };
}

/* ---- pipelines a policy is in (lib/pipeline keeps them) ---- */
extern uint32_t weir_registry_lock;
/* Called under the lock for each pipeline of a policy whose mode or switch has changed. */
extern void (*weir_pipeline_notice)(struct weir_pipeline *pipeline);
/* Called in a forked child, once, after the policies. */
extern void (*weir_pipelines_forked)(void);
/* Has policies and pipelines told of a fork. */
void registry_watch_forks(void);

/* ---- what a call says ---- */
enum call_flag {
    CALL_IDEMPOTENT = 1,
    CALL_WEIGHTED = 2,
    CALL_SEEDED = 4,
    CALL_ARMED = 8,    /* it has a waker */
    CALL_VALUED = 16,  /* it has a place for its result */
    CALL_SLOW = 32,    /* the slots of the policies that the fast lists skip are written */
    CALL_UNTIMED = 64, /* its instants are not good enough to be a duration */
    CALL_ENDING = 128, /* canceled or over: no policy may start anything more */
};

static inline uint32_t call_weight(const struct weir_call *call)
{
    return call->flags & CALL_WEIGHTED ? call->weight : 1;
}

static inline uint64_t call_key(const struct weir_call *call)
{
    return call->keyed ? call->key : 0;
}

/* A call's own random sequence. */
uint64_t *call_random(struct weir_call *call);

#endif
