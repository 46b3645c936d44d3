/* Pipelines: policies around an operation, outermost first. Immutable once made. */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include <weir/event.h>
#include <weir/histogram.h>
#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pipeline_config {
    uint32_t size;
    const char *name;                         /* copied; default: "pipeline" */
    enum weir_timing timing;                  /* default: AUTO */
    const struct weir_clock *clock;           /* copied; default: the system's, by timing */
    const struct weir_sink *sink;             /* copied; default: none */
    const struct weir_classifier *classifier; /* copied; default: none, what operations say stands */
    uint32_t result_size; /* bytes an attempt may write to attempt->value, 0..WEIR_RESULT_MAX;
                                       default: 0 */
};
WEIR_CONFIG_INIT(weir_pipeline_config)

/* config may be NULL. Takes a reference to each policy. INVALID: the same policy twice, a fallback's value
 * of another size than the result; LIMIT: more than WEIR_POLICIES_MAX; NOMEM. Yours to destroy. */
WEIR_API WEIR_MUST_USE enum weir_error weir_pipeline_create(const struct weir_pipeline_config *config,
    struct weir_policy *const *order, size_t count, struct weir_pipeline **pipeline);

/* Aborts while calls are in it. NULL is nothing. */
WEIR_API void weir_pipeline_destroy(struct weir_pipeline *pipeline);

/* A pipeline that is safe as it is: timeout for the call, retry with budget, breaker (open for at most 5 s,
 * ramp of 1 s), bulkhead, timeout for the attempt. Yours to destroy. config may be NULL. INVALID, SIZE, NOMEM. */
struct weir_standard_config {
    uint32_t size;
    const char *name;     /* copied, also the policies'; default: "standard" */
    uint64_t deadline_ns; /* a duration: for the whole call; default: 1 s */
    uint64_t attempt_ns;  /* for each attempt; default: half of deadline_ns */
    uint32_t attempts;    /* default: 3 */
    uint32_t concurrency; /* calls at once; default: 64 */
    uint32_t queue;       /* calls that may wait for one of these; default: 0 */
    enum weir_timing timing;
    const struct weir_clock *clock;
    const struct weir_sink *sink;
    const struct weir_classifier *classifier;
    struct weir_policy
        *fallback; /* around all, or with a reserve_ns just within the call's timeout; a reference is
                                      taken; default: none */
    struct weir_policy *innermost; /* a chaos, or a policy of your own; a reference is taken; default: none */
    uint32_t result_size;
};
WEIR_CONFIG_INIT(weir_standard_config)
WEIR_API WEIR_MUST_USE enum weir_error weir_pipeline_standard(
    const struct weir_standard_config *config, struct weir_pipeline **pipeline);

WEIR_API const char *weir_pipeline_name(const struct weir_pipeline *pipeline);
WEIR_API size_t weir_pipeline_count(const struct weir_pipeline *pipeline);
/* The policy at a position (0: outermost), borrowed; NULL if there is none. outcome.by - 1 is one. */
WEIR_API struct weir_policy *weir_pipeline_policy(const struct weir_pipeline *pipeline, size_t position);
/* Bytes that a call through it needs: sizeof(struct weir_call) plus room for results. */
WEIR_API size_t weir_pipeline_call_size(const struct weir_pipeline *pipeline);
/* The instant now by its clock. */
WEIR_API uint64_t weir_pipeline_now(const struct weir_pipeline *pipeline);

/* Writes the effective order, what each policy does, the form of its words and its bound, the worst case
 * (attempts, amplification, latency against the deadline, a duration; 0: that of its outermost timeout) and
 * what the linter finds. Cut at size; answers the length the whole text has. */
WEIR_API size_t weir_pipeline_explain(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, char *buffer, size_t size);

/* What is wrong with a pipeline. Found in its order (lint) or in what passed it so far (check). */
#define WEIR_FINDING_MAP(X)                                                                          \
    X(RETRY_INSIDE_BREAKER, "the breaker sees only the last of a call's attempts")                   \
    X(TIMEOUT_ABOVE_DEADLINE, "the timeout is longer than the deadline outside it")                  \
    X(BREAKER_NEVER_TRIPS, "no timeout inside the breaker: callers' short deadlines do not trip it") \
    X(NO_TIMEOUT, "no timeout at all: without a caller's deadline a call may take for ever")         \
    X(RETRY_CANNOT_FIT, "the attempts' timeouts and back-offs do not fit into the deadline")         \
    X(RETRY_AROUND_RETRY, "retries multiply")                                                        \
    X(BULKHEAD_OUTSIDE_RETRY, "a permit is held while backing off")                                  \
    X(FALLBACK_INSIDE_RETRY, "a fallback inside the retry hides every failure from it")              \
    X(FALLBACK_INSIDE_BREAKER, "a fallback inside the breaker hides every failure from it")          \
    X(WAIT_ABOVE_DEADLINE, "the wait in the queue is longer than the deadline outside it")           \
    X(GATE_INSIDE, "what is outside the gate is taken by calls that it refuses, too")                \
    X(CHAOS_NOT_INNERMOST, "what is inside the chaos is not tried")                                  \
    X(INERT_NEVER_PASSED, "no call has passed this policy")                                          \
    X(INERT_NEVER_FAILS, "nothing was ever classified as failure")                                   \
    X(INERT_UNREACHABLE, "the traffic can never reach the threshold")                                \
    X(INERT_KEYLESS, "the gate goes by keys, and the calls bear none")                               \
    X(INERT_TIMEOUT, "the timeout is longer than the callers' deadlines")

enum weir_finding_kind {
#define X(name, text) WEIR_FINDING_##name,
    WEIR_FINDING_MAP(X)
#undef X
        WEIR_FINDINGS
};
struct weir_finding {
    enum weir_finding_kind kind;
    uint32_t position; /* of the policy, 0: outermost */
    char text[192];    /* names it, with the numbers and what to do; escaped */
};

/* Both answer how many there are and write at most max of them. deadline_ns: the duration that callers
 * bring (0: none known). */
WEIR_API size_t weir_pipeline_lint(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, struct weir_finding *findings, size_t max);
WEIR_API size_t weir_pipeline_check(
    const struct weir_pipeline *pipeline, uint64_t now_ns, struct weir_finding *findings, size_t max);

struct weir_pipeline_stats {
    uint64_t begun;                         /* calls */
    uint64_t in_flight;                     /* calls begun and not ended, abandoned attempts included */
    uint64_t ended[WEIR_STATUSES];          /* by status */
    uint64_t refused[WEIR_REASONS];         /* REJECTED, by reason */
    uint64_t refused_by[WEIR_POLICIES_MAX]; /* REJECTED, by position */
    uint64_t degraded, late, shadowed;      /* calls with that flag */
    uint64_t attempts;                      /* operations run or skipped, fallbacks not counted */
    uint64_t abandoned;                     /* attempts given up while they ran */
    uint64_t zombies;                       /* of these, still running */
    uint64_t foreign;                       /* settles ignored: begun in another process */
    uint64_t timed;                         /* calls in the histogram */
    uint64_t events_dropped;
};
WEIR_API struct weir_pipeline_stats weir_pipeline_stats(const struct weir_pipeline *pipeline);
/* Calls that ended OK and were timed; borrowed for the pipeline's life. */
WEIR_API const struct weir_histogram *weir_pipeline_latency(const struct weir_pipeline *pipeline);

/* Refuses new calls (DRAINING) and waits until none is left in it, at most until the instant deadline_ns:
 * then TIMEOUT. From now on it stays drained. */
WEIR_API WEIR_MUST_USE enum weir_error weir_pipeline_drain(
    struct weir_pipeline *pipeline, uint64_t deadline_ns);

/* Hands waiting events to the sink; answers how many. For drivers other than weir_run(). */
WEIR_API size_t weir_pipeline_deliver(const struct weir_pipeline *pipeline);

#ifdef __cplusplus
}
#endif
#endif
