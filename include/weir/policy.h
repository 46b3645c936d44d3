/* Policies: the handle that all of them share, an operator's hand on them, and how to write your own.
 *
 * Every policy is created by its own function (weir_breaker_create(), ...), is handed to any number of
 * pipelines, which take a reference each, and is freed with its last reference. */
#ifndef WEIR_POLICY_H
#define WEIR_POLICY_H

#include <weir/call.h>
#include <weir/clock.h>
#include <weir/event.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_policy;
struct weir_share_config;

/* Drop your reference once the pipelines have theirs. NULL is nothing. Dropping the last one while a bulkhead's
 * permit is out or a call waits aborts; other permits must have been released before. */
WEIR_API struct weir_policy *weir_policy_acquire(struct weir_policy *policy);
WEIR_API void weir_policy_release(struct weir_policy *policy);

WEIR_API const char *weir_policy_name(const struct weir_policy *policy); /* as given, not escaped */
WEIR_API const char *weir_policy_kind(const struct weir_policy *policy); /* "breaker", ... */

/* Which form of a policy's words: one shared word is exact and costs several times as much as soon as
 * two threads hammer it; the sharded form scales. weir_pipeline_explain() names the form and its bound. */
enum weir_form { WEIR_FORM_AUTO = 0, WEIR_FORM_SINGLE, WEIR_FORM_SHARDED };

/* An operator's hand. Takes effect for calls that begin after it, and for those that still wait. */
enum weir_mode {
    WEIR_MODE_ON = 0,
    WEIR_MODE_SHADOW,        /* decides and counts, refuses nothing: "would have rejected" is counted */
    WEIR_MODE_DISABLED,      /* not asked at all */
    WEIR_MODE_FORCED_OPEN,   /* refuses every call */
    WEIR_MODE_FORCED_CLOSED, /* refuses none, still counts; a breaker does not trip */
};
WEIR_API void weir_policy_set_mode(struct weir_policy *policy, enum weir_mode mode);
WEIR_API enum weir_mode weir_policy_mode(const struct weir_policy *policy);

/* ---- a policy of your own ---- */

enum weir_verdict_kind {
    WEIR_PASS = 0,  /* admit: go on inwards; settle: hand the outcome outwards */
    WEIR_HOLD,      /* admit: ask again with the same slot at .at_ns, or when its waiter is woken;
                       settle: keep what it came with, and ask settle again so at .at_ns */
    WEIR_REFUSE,    /* admit: do not run; nothing is owed. .at_ns: when it may be worth asking, or 0 */
    WEIR_AGAIN,     /* settle: run what is inside once more, at .at_ns */
    WEIR_ANSWER,    /* settle: *outcome was changed to what outer policies are to see */
    WEIR_FALL_BACK, /* settle: run the fallback function instead */
    WEIR_SKIP,      /* admit: do not run what is inside; settle follows at once and makes the outcome */
};
enum weir_verdict_flag {
    WEIR_VERDICT_WAKE = 1,  /* permits were handed over: ask next_woken */
    WEIR_VERDICT_EVENT = 2, /* .event is worth telling */
};
struct weir_verdict {
    uint8_t kind, reason, flags, event; /* event: enum weir_event_kind */
    uint32_t waiter;                    /* HOLD: index of the waiter + 1; 0: none */
    uint64_t at_ns;
};

enum weir_policy_flag {
    WEIR_POLICY_QUIET_ADMIT = 1,  /* admit never refuses or holds and touches only its slot: a call that goes
                                     well does not ask it */
    WEIR_POLICY_QUIET_SETTLE = 2, /* settle of an OK outcome does nothing, and is not asked for one */
    WEIR_POLICY_LASTING = 4,      /* keeps its slot until abandoned work has really ended */
};

/* What a policy is. Every admit that answers PASS, HOLD or SKIP is owed exactly one settle with the same slot;
 * a held policy is asked again with the same slot (call->held is then its position + 1): PASS, HOLD and SKIP
 * keep the debt, REFUSE pays it itself. After SKIP, settle is given IGNORED by this policy (or how the call
 * ended instead) and answers by ANSWER; the skipped attempt counts as one.
 * A settle that answers HOLD has not paid: the call WAITs, and settle is asked again with the same slot
 * and outcome, or with how the call ended meanwhile. It may be asked early. Once weir_call_is_ending() says so,
 * HOLD counts as PASS; so does AGAIN, unless that is for the mode alone. Hooks run on any thread, must not block,
 * allocate, read a clock or keep pointers. config and state are the policy's own words. A hook left NULL counts as
 * PASS. */
struct weir_policy_ops {
    uint32_t size;    /* sizeof(struct weir_policy_ops) */
    uint32_t flags;   /* enum weir_policy_flag */
    const char *kind; /* static */
    struct weir_verdict (*admit)(
        const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns);
    struct weir_verdict (*settle)(const void *config, void *state, struct weir_slot *slot,
        struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns);
    /* The next waiter that was handed a permit: its index + 1; 0: none is left. */
    uint32_t (*next_woken)(const void *config, void *state);
    /* Whether the slot's generation has passed, so that a call that waited must be admitted anew. */
    bool (*stale)(const void *config, const void *state, const struct weir_slot *slot);
    /* In a forked child, once: gives up what the parent's calls hold. */
    void (*forked)(const void *config, void *state);
    /* Whether nothing is taken, so that it may be freed. */
    bool (*idle)(const void *config, const void *state);
    /* One line for explain and for outcome texts, e.g. "closed, 3 of 40 calls failed". */
    void (*describe)(const void *config, const void *state, uint64_t now_ns, char *buffer, size_t size);
};

/* Creates a policy of your own: config (config_size bytes, copied) and state_size bytes of zeroed state,
 * both 64-byte aligned; name is copied. waiters: how many calls may be held with a waker at once.
 * ops is borrowed for the policy's life. NOMEM, INVALID, SIZE. */
struct weir_policy_spec {
    uint32_t size;
    const struct weir_policy_ops *ops;
    const char *name;
    const void *config;
    size_t config_size;
    size_t state_size;
    uint32_t waiters;
};
WEIR_CONFIG_INIT(weir_policy_spec)
WEIR_API WEIR_MUST_USE enum weir_error weir_policy_create(
    const struct weir_policy_spec *spec, struct weir_policy **policy);

/* Its state, for your own statistics; borrowed. */
WEIR_API void *weir_policy_state(struct weir_policy *policy);

/* What a call weighs (1 unless its options said otherwise), for hooks. */
WEIR_API uint32_t weir_call_weight(const struct weir_call *call);
/* Whose it is: its options' key; 0: it bears none. For hooks. */
WEIR_API uint64_t weir_call_key(const struct weir_call *call);

/* For settle hooks: HOLD counts as PASS, and no further settle follows. The call was canceled, its time is over where
 * this policy stands, or a policy further out has refused it: then AGAIN counts as PASS, too; or this policy's mode is
 * not ON. */
WEIR_API bool weir_call_is_ending(const struct weir_call *call);

/* ---- acquire and release of one policy alone ---- */

/* What acquire took and release gives back. Private fields, in your frame; not copied while it is out.
 * Releasing twice, or a permit of another policy, aborts. */
struct weir_permit {
    struct weir_slot slot;
    uint64_t began_ns;
    uint32_t owner;
    uint32_t generation;
};

#ifdef __cplusplus
}
#endif
#endif
