/* The test kit (library weir::testing): your own tests, without sleeping and without luck.
 *
 * A virtual clock that jumps instead of waiting, a callee that answers from a script or from a seed, a policy
 * that forces an outcome, a seed to replay a failure with, and a hash over what happened.
 *
 *     struct weir_test_clock clock;
 *     weir_test_clock_init(&clock, 0);
 *     struct weir_clock jumping = weir_test_clock_use(&clock);
 *     ... weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = &jumping), ...)
 *
 *     static const struct weir_test_step script[] = {
 *         { .repeat = 10, .duration_ns = 2 * WEIR_MS, .outcome = { .status = WEIR_FAILED, .code = 5 } },
 *         { .duration_ns = WEIR_MS },
 *     };
 *     struct weir_test_callee callee;
 *     weir_test_callee_script(&callee, &clock, script, 2);
 *     outcome = weir_run(pipeline, NULL, weir_test_callee_run, &callee);
 *
 * Unlike in the other headers, one thread at a time may act on an object of the kit; only
 * weir_test_clock_now() may be called from any. */
#ifndef WEIR_TESTING_H
#define WEIR_TESTING_H

#include <weir/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the virtual clock ---- */

#define WEIR_TEST_ACTIONS_MAX 64 /* scheduled and not yet run */

typedef void weir_test_action(void *argument);

/* Private fields, in your frame; must outlive the pipelines that use it. */
struct weir_test_clock {
    uint64_t now_ns;
    uint64_t order;
    uint32_t count;
    struct {
        uint64_t at_ns, order;
        weir_test_action *run;
        void *argument;
    } action[WEIR_TEST_ACTIONS_MAX];
};

/* start_ns: its first instant; 0: WEIR_TEST_START_NS, so that durations can be subtracted from it. */
#define WEIR_TEST_START_NS (1000000 * WEIR_S)
WEIR_API void weir_test_clock_init(struct weir_test_clock *clock, uint64_t start_ns);

/* For a pipeline's config. Where a call would wait, time jumps: to what is scheduled next, which is run on
 * this thread, or to the end of the wait. A wait without end while nothing is scheduled aborts: the test would
 * never finish. */
WEIR_API struct weir_clock weir_test_clock_use(struct weir_test_clock *clock);

WEIR_API uint64_t weir_test_clock_now(const struct weir_test_clock *clock);

/* Lets duration_ns pass; runs what is scheduled in between, each at its own instant, those of one instant in
 * the order in which they were scheduled. */
WEIR_API void weir_test_clock_advance(struct weir_test_clock *clock, uint64_t duration_ns);

/* Runs action(argument) at the instant at_ns (one that has passed: at the next look). argument is borrowed. It
 * may cancel a source, release a permit, run calls and schedule more. Aborts beyond
 * WEIR_TEST_ACTIONS_MAX. */
WEIR_API void weir_test_clock_at(
    struct weir_test_clock *clock, uint64_t at_ns, weir_test_action *action, void *argument);

/* ---- chance ---- */

/* The seed of this process: WEIR_SEED of the environment (decimal, or hexadecimal after 0x), else drawn once.
 * A WEIR_SEED that is no number aborts. Any thread. */
WEIR_API uint64_t weir_test_seed(void);

/* Ends a failed test: prints the message, and how to run it again with the same seed, then aborts. */
WEIR_API __attribute__((noreturn, format(printf, 1, 2))) void weir_test_fail(const char *format, ...);

/* The next number in [low, high] of the sequence that starts at *state; the same everywhere. */
WEIR_API uint64_t weir_test_draw(uint64_t *state, uint64_t low, uint64_t high);

/* ---- traces ---- */

/* A hash over what happened, in its order: two runs from one seed must end with the same. The same on every
 * machine; not for cryptography. Begin with zeroes. */
struct weir_test_trace {
    uint64_t hash;
    uint64_t length; /* of what went into it */
};
WEIR_API void weir_test_trace_number(struct weir_test_trace *trace, uint64_t number);
WEIR_API void weir_test_trace_outcome(struct weir_test_trace *trace, struct weir_outcome outcome);
WEIR_API void weir_test_trace_step(struct weir_test_trace *trace, struct weir_step step);
/* A sink whose events go into the trace (borrowed). */
WEIR_API struct weir_sink weir_test_trace_sink(struct weir_test_trace *trace);

/* ---- the scripted callee ---- */

#define WEIR_TEST_FOREVER UINT32_MAX

struct weir_test_step {
    uint32_t repeat;      /* attempts that it answers; 0: one */
    uint64_t duration_ns; /* how long each takes; WEIR_NEVER: it never answers */
    struct weir_outcome outcome;
};

/* Chances of a callee that draws its answers. */
struct weir_test_chances {
    uint64_t seed;
    uint32_t failure_percent;                  /* 0..100 */
    struct weir_outcome failure;               /* what a failing attempt answers; status OK: FAILED */
    uint64_t duration_min_ns, duration_max_ns; /* uniform between them, both included */
};

/* Private but for the counts. */
struct weir_test_callee {
    uint64_t attempts; /* begun */
    uint64_t cut_off;  /* of these, ended by their deadline */
    uint64_t canceled; /* of these, ended by their context */
    struct weir_test_trace
        *trace; /* if you set it: each attempt's number, begin, end and outcome; borrowed */
    struct weir_test_clock *clock;
    const struct weir_test_step *steps;
    size_t count, position;
    uint32_t used;
    struct weir_test_chances chances;
};

/* Answers the steps (borrowed, at least one) one after the other; the last one for ever. clock is borrowed. */
WEIR_API void weir_test_callee_script(struct weir_test_callee *callee, struct weir_test_clock *clock,
    const struct weir_test_step *steps, size_t count);

/* Answers by chance: the same answers for the same seed. */
WEIR_API void weir_test_callee_random(
    struct weir_test_callee *callee, struct weir_test_clock *clock, struct weir_test_chances chances);

/* The operation, a weir_operation for weir_run(); callee: a struct weir_test_callee. Lets the attempt's time
 * pass on the clock, as far as its deadline and its context allow: one cut off by the deadline is FAILED with
 * the code ETIMEDOUT, one whose context was canceled CANCELED, as a well-behaved client's would be. One that
 * would never end (no answer, no deadline, nothing scheduled) aborts. */
WEIR_API struct weir_outcome weir_test_callee_run(void *callee, const struct weir_attempt *attempt);

/* ---- a forced outcome ---- */

/* A policy, kind "force", that answers this outcome for every call. REJECTED: what is inside is not run; the
 * reason stays (NONE: CUSTOM), the code is lost. Any other: what is inside runs, and unless the context has
 * ended, its outcome is replaced, as if the operation had answered so. weir_policy_set_mode() switches it:
 * DISABLED and ON. name is copied; NULL: "force". Yours to release. A status or reason that is none aborts.
 * INVALID, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_test_force_create(
    const char *name, struct weir_outcome outcome, struct weir_policy **policy);

#ifdef __cplusplus
}
#endif
#endif
