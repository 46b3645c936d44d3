/* The call machine: one passage of one operation through a pipeline, for whoever drives it.
 *
 * The machine runs nothing, sleeps never and reads no clock. It answers each event with the next step:
 *
 *     begin ----> RUN ----> settle ----> DONE          RUN   start the attempt (or the fallback)
 *                  ^  \        |          ^            WAIT  look again at .at_ns, or when the waker posts
 *                  |   \       v          |            DONE  weir_call_outcome() is the answer
 *                  '--- wake <- WAIT      |
 *                         '-- cancel -----'
 *
 * Where the pipeline has a classifier, weir_call_classify() comes between an operation's end and its settle.
 * weir_run() (run.h) is one driver; an event loop, another language and the simulator are others. One
 * thread at a time may act on a call; others act through its context or its waker.
 */
#ifndef WEIR_CALL_H
#define WEIR_CALL_H

#include <weir/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_budget;

enum weir_action { WEIR_RUN = 1, WEIR_WAIT, WEIR_DONE };
enum weir_what { WEIR_OPERATION = 0, WEIR_FALLBACK };
enum weir_abandoned { WEIR_ABANDONED_OPERATION = 1, WEIR_ABANDONED_FALLBACK = 2 };

struct weir_step {
    uint8_t action;  /* enum weir_action */
    uint8_t what;    /* RUN: enum weir_what */
    uint8_t attempt; /* RUN: its number, from 1, 0 for a fallback; weir_call_settle() must be given it */
    uint8_t pending; /* attempts that were abandoned and still owe a settle */
    uint32_t abandon_mask; /* what was abandoned and still runs, to be stopped: enum weir_abandoned bits */
    uint64_t at_ns;        /* RUN and WAIT: the instant at which the driver must call weir_call_wake(). WAIT
                              while an attempt runs means: go on waiting for it */
};

/* What one policy remembers of one call. */
struct weir_slot {
    uint64_t word[2];
};

/* What an operation is told. The first member of every call. */
struct weir_attempt {
    uint64_t deadline_ns;               /* the instant by which it must have answered; WEIR_NEVER: none */
    const struct weir_context *context; /* may be NULL */
    void *value; /* where it writes its result (pipeline's result_size bytes), or NULL */
    const struct weir_pipeline *pipeline; /* private, borrowed: whose clock tells what is left */
    uint32_t number;                      /* from 1 */
    uint32_t generation;                  /* private */
};

/* Options of one call; every field may be left 0. Copied. */
struct weir_call_options {
    uint32_t size;
    bool idempotent; /* may be run again after it failed half-way; default: no, only if NOT_SENT */
    uint32_t weight; /* permits and tokens it takes; default: 1 */
    const struct weir_context *context; /* borrowed; default: the thread's current context, if any */
    void *value; /* where the result is copied when the call ends OK; borrowed; default: nowhere */
    struct weir_waker waker; /* posts when a waiting call should be woken; weir_run() has its own */
    uint64_t seed;           /* of jitter; the same seed gives the same steps; default: drawn */
    uint64_t key; /* whose call it is, for policies that treat callers apart (a gate); default: 0, nobody's */
};
WEIR_CONFIG_INIT(weir_call_options)

/* A key from bytes: a user's name, a tenant, an address. Never 0. The same bytes give the same key on every
 * machine and in every version of weir: XXH3 with 64 bits and no seed, and 1 in place of 0. A number that tells
 * callers apart already may be used as it is. Whoever chooses the bytes may choose the key. Pure; safe in signal
 * handlers. */
WEIR_API uint64_t weir_key(const void *bytes, size_t size);

/* Private fields, public size: it lives in the caller's frame or request, is not copied or moved, and
 * must reach DONE with nothing pending: a dropped call keeps the permits it was given. */
struct weir_call {
    struct weir_attempt attempt;
    struct weir_outcome outcome;
    const struct weir_pipeline *pipeline;
    uint16_t shard; /* of the thread that drives it */
    uint8_t phase, flags, deadline_by;
    uint8_t cursor;  /* position of the policy that is being asked */
    uint8_t held;    /* position + 1 of the policy that holds it */
    bool keyed : 1;  /* its key is written */
    bool ending : 1; /* no settle follows the one that is being asked: it holds nothing back */
    uint64_t began_ns;
    /* What follows is written when it is first needed. */
    uint64_t attempt_ns; /* when the latest attempt began */
    uint64_t ran_ns;     /* how long it had run when it ended; 0: nothing ran */
    uint64_t wake_ns;    /* when a held or backing-off call goes on */
    uint16_t admitted;   /* a bit for each policy that is owed a settle */
    uint16_t skipped;    /* and for each that was passed by: disabled, forced, in shadow or switched off */
    uint16_t lasting;    /* those that wait for abandoned work to end */
    uint8_t late_by;     /* what an OK outcome came too late for, as in outcome.by */
    uint8_t pending;     /* bits of what was abandoned and still runs */
    uint8_t shadowed;
    uint8_t falling; /* position + 1 of the fallback whose function runs */
    uint32_t waiter; /* index + 1 of the waiter whose waker is armed */
    uint32_t weight;
    uint64_t random;
    uint64_t key;
    struct weir_waker waker;
    void *value;
    struct weir_budget *budget;
    uint64_t typical_ns;
    struct weir_call *outer;
    struct weir_outcome hidden;
    struct weir_slot slot[WEIR_POLICIES_MAX];
};

/* Starts a call. options may be NULL. With a result the call needs weir_pipeline_call_size() bytes. */
WEIR_API WEIR_MUST_USE struct weir_step weir_call_begin(struct weir_call *call,
    const struct weir_pipeline *pipeline, const struct weir_call_options *options, uint64_t now_ns);

/* Look again: the instant of a step has come, the waker posted, the context was canceled, or for no
 * reason at all: early wakes are legal. A running attempt whose time is over is abandoned. */
WEIR_API WEIR_MUST_USE struct weir_step weir_call_wake(struct weir_call *call, uint64_t now_ns);

/* What the pipeline's classifier makes of an operation's outcome; the outcome itself without one. Between the end of
 * an operation, also of one that was abandoned, and weir_call_settle(); not for a fallback function. weir_run() does
 * it. Aborts if the classifier's answer has a status that is none. */
WEIR_API WEIR_MUST_USE struct weir_outcome weir_call_classify(
    const struct weir_call *call, struct weir_outcome outcome);

/* The attempt of that number ended so; also an abandoned one, when it ends at last. Aborts if that
 * attempt is not owed a settle. In a forked child the parent's call ends IGNORED, nothing is given back. */
WEIR_API WEIR_MUST_USE struct weir_step weir_call_settle(
    struct weir_call *call, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns);

/* The caller gives up: DONE with CANCELED, whatever it was doing; a running attempt is then pending. */
WEIR_API WEIR_MUST_USE struct weir_step weir_call_cancel(struct weir_call *call, uint64_t now_ns);

/* The answer, once a step said DONE. */
WEIR_API struct weir_outcome weir_call_outcome(const struct weir_call *call);

/* What to hand to the operation for a RUN step. An operation that may go on after it was abandoned needs a copy:
 * the call's own changes with the next step. */
WEIR_API const struct weir_attempt *weir_call_attempt(const struct weir_call *call);

/* Sets or changes the waker of a call that WAITs; then calls weir_call_wake(). For drivers that do not
 * know their waker at the begin. */
WEIR_API WEIR_MUST_USE struct weir_step weir_call_arm(
    struct weir_call *call, struct weir_waker waker, uint64_t now_ns);

/* Runs the fallback function that a RUN step with .what == WEIR_FALLBACK asks for, on this thread, and
 * answers its outcome, for weir_call_settle(). argument: what the operation was given. */
WEIR_API struct weir_outcome weir_call_fallback(struct weir_call *call, void *argument);

#ifdef __cplusplus
}
#endif
#endif
