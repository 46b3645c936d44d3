/* A guarded block: a call around code that stands where it is, without a function of its own.
 *
 *     struct weir_guard guard;
 *     WEIR_GUARD(&guard, bank, NULL) {
 *         int error = bank_charge("4242", weir_attempt_left_ms(guard.attempt));
 *         guard.outcome = weir_from_errno(error);
 *     }
 *     if (guard.outcome.status != WEIR_OK) ...
 *
 * The block runs once, or is skipped if the call is refused. Whatever way it is left, the call is settled then and
 * there: by its end, break, continue (both leave the block, not a loop around it), return, goto, and in C++ by an
 * exception; not by longjmp() or pthread_exit(), which are undefined. Behind the block guard.outcome is how the call
 * ended: what the block set (nothing: OK), EXPIRED or LATE if that came too late, or why it did not run.
 *
 * What weir_run() says of waiting and of nesting holds here: the thread sleeps while the call queues, and what is
 * inside may run or guard further calls. A pipeline with a retry or with a result aborts: it wants weir_run(). */
#ifndef WEIR_GUARD_H
#define WEIR_GUARD_H

#include <weir/fallback.h>
#include <weir/pipeline.h>

#ifdef __cplusplus
#include <exception>
extern "C" {
#endif

struct weir_guard {
    struct weir_outcome outcome;        /* the block's to set; behind it: the call's */
    const struct weir_attempt *attempt; /* in the block: its deadline and its context */
    /* For a fallback's function, which runs on this thread as the block is skipped or left; set it before, if the pipeline
     * has one. */
    void *argument;
    /* private */
    const struct weir_pipeline *pipeline;
    uint32_t generation;
    bool owed, runs, told;
    struct weir_call call;
};

/* guard: a pointer, evaluated once as are the others; its memory is the caller's and is in use until the block is
 * left. options may be NULL. Aborts on a pipeline with a retry, or with a result. */
#ifdef __cplusplus
#define WEIR_GUARD(guard, pipeline, options)                                   \
    for (weir_guard_scope WEIR_GUARD_HERE(__LINE__)(guard, pipeline, options); \
         WEIR_GUARD_HERE(__LINE__).held->runs; WEIR_GUARD_HERE(__LINE__).held->runs = false)
#else
#define WEIR_GUARD(guard, pipeline, options)                                                      \
    for (struct weir_guard * WEIR_GUARD_HERE(__LINE__) __attribute__((cleanup(weir_guard_end))) = \
             weir_guard_begin(guard, pipeline, options);                                          \
         WEIR_GUARD_HERE(__LINE__)->runs; WEIR_GUARD_HERE(__LINE__)->runs = false)
#endif
#define WEIR_GUARD_HERE(line) WEIR_GUARD_NAME(line)
#define WEIR_GUARD_NAME(line) weir_guard_##line

/* The macro's two ends: begin answers guard, whose .runs says whether the block is to run; end settles it, if that is
 * still to be done. On the same thread, the innermost first. */
WEIR_API struct weir_guard *weir_guard_begin(
    struct weir_guard *guard, const struct weir_pipeline *pipeline, const struct weir_call_options *options);
WEIR_API void weir_guard_end(struct weir_guard *const *guard);

#ifdef __cplusplus
}

/* A block that an exception leaves has failed, unless it said otherwise than OK before. */
struct weir_guard_scope {
    struct weir_guard *held;
    int thrown; /* on their way when the block began */

    weir_guard_scope(struct weir_guard *given, const struct weir_pipeline *pipeline,
        const struct weir_call_options *options)
        : held(weir_guard_begin(given, pipeline, options))
        , thrown(exceptions())
    {
    }
    ~weir_guard_scope()
    {
        bool failed = held->owed && exceptions() > thrown && held->outcome.status == WEIR_OK;
        if (failed) held->outcome.status = WEIR_FAILED;
        weir_guard_end(&held);
    }
    weir_guard_scope(const weir_guard_scope &) = delete;
    weir_guard_scope &operator=(const weir_guard_scope &) = delete;

    static int exceptions()
    {
#if __cplusplus >= 201703L
        return std::uncaught_exceptions();
#else
        return std::uncaught_exception();
#endif
    }
};
#endif
#endif
