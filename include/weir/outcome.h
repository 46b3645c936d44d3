/* Outcomes: how a call, or one attempt of it, ended. A refusal is normal traffic, not an error. */
#ifndef WEIR_OUTCOME_H
#define WEIR_OUTCOME_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pipeline;

enum weir_status {
    WEIR_OK = 0,     /* it succeeded */
    WEIR_FAILED,     /* it failed; .code says how */
    WEIR_REJECTED,   /* a policy refused to run it; .by says which, .reason why */
    WEIR_EXPIRED,    /* a timeout (.by) or the context's deadline (.by = 0) passed */
    WEIR_CANCELED,   /* its context was canceled */
    WEIR_OVERLOADED, /* the callee said "not now"; .retry_after_ns may say when */
    WEIR_IGNORED,    /* it says nothing about the callee's health */
    WEIR_STATUSES
};

/* Why a policy refused, or what ended the wait. A closed set: weir_reason_text() knows them all. */
#define WEIR_REASON_MAP(X)                                         \
    X(NONE, "none")                                                \
    X(BREAKER_OPEN, "breaker open")                                \
    X(BREAKER_PROBES, "breaker half open, all probes are out")     \
    X(BREAKER_RAMP, "breaker just closed, letting in a share")     \
    X(FORCED, "forced by an operator")                             \
    X(BULKHEAD_FULL, "bulkhead full")                              \
    X(QUEUE_FULL, "bulkhead and its queue full")                   \
    X(QUEUE_WAIT, "waited in the queue for too long")              \
    X(NESTED, "nested in a call that holds the same bulkhead")     \
    X(RATE, "rate limit")                                          \
    X(RATE_WAIT, "the rate limit's turn comes after the deadline") \
    X(GATE, "outside the gate's share")                            \
    X(TIMEOUT, "timeout")                                          \
    X(DEADLINE, "the context's deadline")                          \
    X(CANCELED, "canceled")                                        \
    X(DRAINING, "the pipeline is being drained")                   \
    X(FORKED, "begun in another process")                          \
    X(CHAOS, "harm done on purpose")                               \
    X(CUSTOM, "a policy of the user's own")                        \
    X(LOCK_HELD, "the lock is held by another")                    \
    X(LINK_DOWN, "the link to the store is down")

enum weir_reason {
#define X(name, text) WEIR_REASON_##name,
    WEIR_REASON_MAP(X)
#undef X
        WEIR_REASONS
};

enum weir_outcome_flag {
    WEIR_NOT_SENT = 1,        /* nothing reached the callee: safe to try again even if not idempotent */
    WEIR_SHADOW = 2,          /* a policy in shadow mode would have refused it */
    WEIR_DEGRADED = 4,        /* a fallback answered; .reason and .code are those of what it hides */
    WEIR_LATE = 8,            /* OK, but after its timeout */
    WEIR_NOT_REPEATABLE = 16, /* not to be tried again, idempotent or not: its input is used up, or its output
                                 is half written */
};

/* 16 bytes, passed in registers. */
struct weir_outcome {
    uint8_t status;          /* enum weir_status */
    uint8_t reason;          /* enum weir_reason */
    uint8_t by;              /* the policy that decided: its position in the pipeline + 1; 0: the operation */
    uint8_t flags;           /* enum weir_outcome_flag */
    int32_t code;            /* the operation's own: an errno, an HTTP status; kept by EXPIRED and CANCELED */
    uint64_t retry_after_ns; /* a duration: when it may be worth asking again; 0: unknown */
};

/* Outcomes from what calls usually answer. Pure; safe in signal handlers.
 *
 * errno value: 0 is OK; ECANCELED is CANCELED; EBUSY and EUSERS are OVERLOADED; ECONNREFUSED and EADDRNOTAVAIL, by
 * which nothing can have been sent, are FAILED and NOT_SENT; any other is FAILED. So are EAGAIN (a receive that timed
 * out says so, after the request was sent), and EHOSTUNREACH and ENETUNREACH (an established connection may end with
 * them): who knows better sets the flag. */
WEIR_API struct weir_outcome weir_from_errno(int error);
/* 0 is OK, any other value FAILED with that code. */
WEIR_API struct weir_outcome weir_from_int(int result);
/* HTTP status: 429 and 503 are OVERLOADED; 408, 425 and other 5xx FAILED; what is no status (< 100)
 * FAILED; anything else OK: the callee did its work, whatever it thought of ours. */
WEIR_API struct weir_outcome weir_from_http(int status);
/* {OK, code}: for a pipeline with a classifier to judge. Without one every number is OK. */
WEIR_API struct weir_outcome weir_from_code(int code);

/* Judges how an operation ended, before any policy learns of it; one for a pipeline (its config). classify is
 * given what the operation answered, and its answer goes to the policies instead, but NOT_REPEATABLE stays; a status
 * that is none aborts. It is called once for each attempt that ends, on the thread that drives the call and outside any
 * transition, from many threads at once; it should not block, and must not use the call that it judges. What fallback
 * functions answer is not judged. */
struct weir_classifier {
    struct weir_outcome (*classify)(void *argument, struct weir_outcome outcome);
    void *argument; /* borrowed */
};

/* Ready ones: .classifier = &(struct weir_classifier) { .classify = weir_classify_http }. They take .code of an
 * outcome that says OK for an errno value, a number or an HTTP status, and answer as weir_from_errno/_int/_http do,
 * with the retry_after_ns and the flags they were given. Any other status stands: the operation knew better. argument
 * is not used. Pure; safe in signal handlers. */
WEIR_API struct weir_outcome weir_classify_errno(void *argument, struct weir_outcome outcome);
WEIR_API struct weir_outcome weir_classify_int(void *argument, struct weir_outcome outcome);
WEIR_API struct weir_outcome weir_classify_http(void *argument, struct weir_outcome outcome);

/* Static texts; "?" for a number that is none. Safe in signal handlers. */
WEIR_API const char *weir_status_text(enum weir_status status);
WEIR_API const char *weir_reason_text(enum weir_reason reason);

/* Writes one sentence about the outcome into buffer (always terminated, cut at size) and answers
 * buffer: the status, which policy decided and with which numbers, e.g. "rejected by breaker "bank":
 * breaker open (open, 12 of 15 calls failed), worth asking again in 2.1 s". The numbers are those of now, not
 * those of the refusal. Names are escaped. pipeline may be NULL: then without names. */
WEIR_API char *weir_outcome_text(
    char *buffer, size_t size, const struct weir_pipeline *pipeline, struct weir_outcome outcome);

#ifdef __cplusplus
}
#endif
#endif
