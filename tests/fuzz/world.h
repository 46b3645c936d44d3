/* The world of the policy-ops fuzzer: a pool of policies, two pipelines over it, eight callers, permits taken
 * alone, all driven by one thread on a clock of its own. The fuzzer plays every thread's part in turn. */
#ifndef WEIR_TESTS_FUZZ_WORLD_H
#define WEIR_TESTS_FUZZ_WORLD_H

#include "fuzz/fuzz.h"
#include "policy/handle.h"

#include <weir/pipeline.h>
#include <weir/retry.h>

#define CALLERS 8
#define POLICIES 8
#define PIPELINES 2
#define PERMITS 6
#define GROUPS 2

struct subject {
    struct weir_policy *policy;
    uint32_t kind;        /* enum policy_kind */
    uint64_t duration_ns; /* timeout: its own; breaker: the longest open time */
    uint32_t attempts;    /* retry */
    uint32_t probes, successes;
    uint32_t before; /* bulkhead: in use before this operation */
    bool function;   /* fallback, custom: it may ask for a function */
    bool bare;       /* fallback: an answer of it may have no value */
};

struct permit {
    struct weir_permit permit;
    bool out;
    uint32_t subject, weight;
};

/* Attempts and fallback functions by number; 0: none. A function's is counted by the caller. */
struct work {
    uint32_t running, pending;
    uint64_t *place;
};

struct caller {
    struct weir_call *call; /* NULL: free */
    uint32_t pipeline, serial;
    uint32_t attempts, functions;
    struct work operation, function;
    bool over, waits, posted, armed, watched;
    bool idempotent, again; /* an attempt may follow though it is not idempotent */
    uint64_t wake_ns, latest_ns;
    uint64_t result, tag; /* what was copied out; what the latest good attempt wrote */
    struct weir_context context;
    const struct weir_context *given;
    struct weir_watch watch;
};

struct line {
    struct weir_pipeline *pipeline;
    struct subject *order[WEIR_POLICIES_MAX];
    uint32_t count;
    bool drained;
    bool function;
    bool chaos;  /* attempts may be skipped */
    bool custom; /* a policy of the user's own may ask for any number of attempts */
    struct weir_pipeline_stats want;
};

struct world {
    struct bytes in;
    uint64_t clock_ns, now_ns,
        most_ns; /* now: of this operation, may lie a little behind; most: the latest */
    uint32_t serial, result_size;
    bool trace;  /* WEIR_FUZZ_TRACE is set: tell what happens */
    bool forks;  /* at the end, so that what is in flight is another process's */
    bool forked; /* from then on nothing of before is ours */
    struct subject subject[POLICIES];
    uint32_t subjects;
    struct weir_budget *budget;
    struct line line[PIPELINES];
    struct caller caller[CALLERS];
    struct permit permit[PERMITS];
    struct weir_source *source[GROUPS];
    struct weir_context group[GROUPS];
    int64_t debts; /* of the custom policies */
};

/* Bugs that are known and not yet mended; a line goes with its bug. */
#define KNOWN_TWO_FUNCTIONS true      /* an outer fallback's runs while an inner one's was abandoned */
#define KNOWN_AGAIN_AFTER_CANCEL true /* an attempt that is repeated at once does not look at its context */

#define WORLD_BEGIN (UINT64_C(1) << 50)
#define RESULT_MAGIC UINT64_C(0xa500000000000000)

#define TELL(world, ...)                                  \
    do {                                                  \
        if ((world)->trace) fprintf(stderr, __VA_ARGS__); \
    } while (0)

/* world_make.c; skipped: the attempt of a call that its policy at call->cursor has ended. */
void world_make(struct world *world);
void world_unmake(struct world *world);

/* caller.c: what one caller may do next. */
void caller_begin(struct world *world, struct caller *caller, uint32_t pipeline);
void caller_wake(struct world *world, struct caller *caller);
void caller_settle(
    struct world *world, struct caller *caller, struct work *work, struct weir_outcome outcome);
void caller_cancel(struct world *world, struct caller *caller);
void caller_arm(struct world *world, struct caller *caller);

/* world_check.c */
void world_check(struct world *world);
void world_check_stats(struct world *world);
void world_check_run(struct world *world, const struct caller *caller);

#endif
