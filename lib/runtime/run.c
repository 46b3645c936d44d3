/* The blocking driver: takes every step of a call on this thread.
 *
 * The good case is the machine's hot half, inlined, with one clock read at each end. Everything else goes
 * through drive(): it sleeps on a futex word of its own until the step's instant, the waker of a policy, or a
 * cancel of the context; each posts the word, so that whatever comes between looking and sleeping ends the
 * sleep at once. */
#include <weir/run.h>

#include "os/os.h"
#include "pipeline/machine_hot.h"
#include "runtime/driver.h"

#include <string.h>

static void post(void *argument)
{
    struct parker *parker = argument;
    atomic_swap_acq_rel(&parker->word, 1u);
    os_wake(&parker->word);
}

/* ---- clocks ---- */

static ALWAYS_INLINE uint64_t clock_in(const struct weir_pipeline *pipeline)
{
    switch (pipeline->timing) {
    case WEIR_TIMING_AUTO:
    case WEIR_TIMING_FAST: return os_now_fast();
    case WEIR_TIMING_COARSE: return os_now_coarse();
    case TIMING_CUSTOM: return pipeline->clock.now(pipeline->clock.argument);
    default: return os_now_precise();
    }
}

/* How often a MIXED call is timed: it costs a precise read at its end. */
#define MIXED_SAMPLE 16
#define MIXED_SLOW_NS (2 * WEIR_US)
#define MIXED_COARSE_NS (10 * WEIR_MS)

/* Timed if the calls of this pipeline typically take long enough that a read is nothing to them, if this one
 * visibly did, or in its turn. */
static COLD uint64_t clock_out_mixed(const struct weir_call *call, bool *timed)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    uint64_t coarse_ns = os_now_coarse(), last_ns = atomic_load_relaxed(&pipeline->line[call->shard].last_ns);
    uint64_t begun = atomic_load_relaxed(&pipeline->line[call->shard].begun);
    *timed = last_ns >= MIXED_SLOW_NS || coarse_ns >= call->began_ns + MIXED_COARSE_NS ||
        begun % MIXED_SAMPLE == 0;
    if (!*timed) return time_max(coarse_ns, call->began_ns);
    uint64_t now_ns = os_now_precise();
    atomic_store_relaxed(&pipeline->line[call->shard].last_ns, time_since(now_ns, call->began_ns));
    return now_ns;
}

static ALWAYS_INLINE uint64_t clock_out(const struct weir_call *call, bool *timed)
{
    *timed = true;
    switch (call->pipeline->timing) {
    case WEIR_TIMING_AUTO:
        if (unlikely(!os_has_fast_clock())) return clock_out_mixed(call, timed);
        return os_now_fast();
    case WEIR_TIMING_FAST: return os_now_fast();
    case WEIR_TIMING_COARSE: *timed = false; return os_now_coarse();
    case WEIR_TIMING_MIXED: return clock_out_mixed(call, timed);
    case TIMING_CUSTOM: return call->pipeline->clock.now(call->pipeline->clock.argument);
    default: return os_now_precise();
    }
}

uint64_t driver_clock_out(const struct weir_call *call, bool *timed)
{
    return clock_out(call, timed);
}

/* Where a call waits it has time for a precise look. */
static uint64_t clock_waiting(const struct weir_pipeline *pipeline)
{
    if (pipeline->timing == TIMING_CUSTOM) return pipeline->clock.now(pipeline->clock.argument);
    return os_now_precise();
}

uint64_t weir_pipeline_now(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_now", "pipeline is NULL");
    return clock_in(pipeline);
}

/* By the clock that the deadline was made with; a coarse one lags, so there the precise one is nearer. */
static uint64_t clock_left(const struct weir_pipeline *pipeline)
{
    return pipeline->timing == WEIR_TIMING_COARSE ? os_now_precise() : clock_in(pipeline);
}

long weir_attempt_left_ms(const struct weir_attempt *attempt)
{
    WEIR_REQUIRE(attempt != NULL, "weir_attempt_left_ms", "attempt is NULL");
    if (attempt->deadline_ns == WEIR_NEVER) return INT32_MAX;
    uint64_t left_ns = time_since(attempt->deadline_ns, clock_left(attempt->pipeline));
    uint64_t left_ms = left_ns / WEIR_MS + (left_ns % WEIR_MS != 0);
    return left_ms == 0 ? 1 : left_ms > INT32_MAX ? INT32_MAX : (long)left_ms;
}

/* ---- the slow path ---- */

static uint64_t driver_now(const struct driver *driver)
{
    if (driver->given_ns != WEIR_NEVER) return driver->given_ns;
    return clock_waiting(driver->call->pipeline);
}

static void sleep_until(struct driver *driver, uint64_t until_ns)
{
    const struct weir_pipeline *pipeline = driver->call->pipeline;
    if (pipeline->timing == TIMING_CUSTOM) {
        if (atomic_load_acquire(&driver->parker.word) == 0)
            pipeline->clock.wait(pipeline->clock.argument, until_ns);
    } else {
        while (atomic_load_acquire(&driver->parker.word) == 0 && os_now_precise() < until_ns) {
            os_park(&driver->parker.word, 0, until_ns);
        }
    }
    atomic_store_relaxed(&driver->parker.word, 0u);
}

/* Waits as the step says, then looks. A given now cannot pass by itself: it jumps to the step's instant. */
static struct weir_step wait_for(struct driver *driver, struct weir_step step)
{
    struct weir_waker waker = { post, &driver->parker };
    struct weir_watch watch;
    if (driver->given_ns != WEIR_NEVER && step.at_ns != WEIR_NEVER) {
        driver->given_ns = time_max(driver->given_ns, step.at_ns);
        return weir_call_wake(driver->call, driver->given_ns);
    }
    if ((driver->call->flags & CALL_ARMED) == 0)
        return weir_call_arm(driver->call, waker, driver_now(driver));
    const struct weir_context *context = driver->call->attempt.context;
    bool watched = context != NULL && context->sources != NULL;
    if (watched) weir_context_watch(&watch, context, waker);
    sleep_until(driver, step.at_ns);
    if (watched) weir_context_unwatch(&watch);
    return weir_call_wake(driver->call, driver_now(driver));
}

COLD struct weir_step driver_drive(struct driver *driver, struct weir_step step)
{
    struct weir_call *call = driver->call;
    call->flags &=
        (uint8_t)~CALL_ARMED; /* the options' waker is for other drivers: this one sleeps on its own */
    while (step.action != WEIR_DONE) {
        struct weir_outcome outcome;
        if (step.action == WEIR_WAIT) {
            step = wait_for(driver, step);
            continue;
        }
        if (step.what == WEIR_FALLBACK) outcome = weir_call_fallback(call, driver->argument);
        else if (driver->operation != NULL)
            outcome = weir_call_classify(call, driver->operation(driver->argument, &call->attempt));
        else return step;
        step = weir_call_settle(call, step.attempt, outcome, driver_now(driver));
    }
    WEIR_ASSERT(step.pending == 0); /* every attempt ran on this thread and has returned */
    return step;
}

/* ---- run ---- */

static COLD struct weir_outcome drive_from(struct weir_call *call, struct weir_step step,
    weir_operation *operation, void *argument, uint64_t given_ns)
{
    struct driver driver = { call, operation, argument, given_ns, { 0 } };
    bool untimed = given_ns != WEIR_NEVER || call->pipeline->timing == WEIR_TIMING_COARSE;
    if (untimed) call->flags |= CALL_UNTIMED;
    (void)driver_drive(&driver, step);
    return call->outcome;
}

static ALWAYS_INLINE struct weir_outcome run_call(struct weir_call *call,
    const struct weir_pipeline *pipeline, const struct weir_call_options *options, weir_operation *operation,
    void *argument, uint64_t now_ns, bool given)
{
    struct weir_step step;
    uint64_t given_ns = given ? now_ns : WEIR_NEVER;
    if (unlikely(!machine_try_begin(call, pipeline, options, now_ns, &step))) {
        return drive_from(call, step, operation, argument, given_ns);
    }
    bool timed = false;
    struct weir_outcome outcome = operation(argument, &call->attempt);
    if (unlikely(pipeline->judged)) outcome = weir_call_classify(call, outcome);
    if (!given) now_ns = clock_out(call, &timed);
    enum settled settled = machine_try_settle(call, pipeline, 1, outcome, now_ns, timed, &step);
    if (likely(settled == SETTLED_WELL)) return call->outcome;
    if (!timed) call->flags |= CALL_UNTIMED;
    if (settled == SETTLED_NOT) step = machine_settle_slow(call, 1, outcome, now_ns);
    return drive_from(call, step, operation, argument, given_ns);
}

/* Linked to the calls that it is nested in, so that it never queues for what this thread itself holds. */
static struct weir_outcome run_nested(struct weir_call *call, const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, weir_operation *operation, void *argument, uint64_t now_ns,
    bool given)
{
    uint32_t mine = process_generation();
    bool told = driver_link(call, pipeline);
    struct weir_outcome outcome = run_call(call, pipeline, options, operation, argument, now_ns, given);
    driver_unlink(call, pipeline, told, mine);
    return outcome;
}

/* With room for results, zeroed. */
static __attribute__((noinline)) struct weir_outcome run_with_result(const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, weir_operation *operation, void *argument, uint64_t now_ns,
    bool given)
{
    struct {
        struct weir_call call;
        char row[ROWS * WEIR_RESULT_MAX];
    } storage;
    memset(storage.row, 0, ROWS * (size_t)pipeline->result_size);
    return run_nested(&storage.call, pipeline, options, operation, argument, now_ns, given);
}

static __attribute__((noinline)) struct weir_outcome run_linked(const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, weir_operation *operation, void *argument, uint64_t now_ns,
    bool given)
{
    struct weir_call call;
    if (pipeline->result_size != 0) {
        return run_with_result(pipeline, options, operation, argument, now_ns, given);
    }
    return run_nested(&call, pipeline, options, operation, argument, now_ns, given);
}

struct weir_outcome weir_run(const struct weir_pipeline *pipeline, const struct weir_call_options *options,
    weir_operation *operation, void *argument)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_run", "pipeline is NULL");
    WEIR_REQUIRE(operation != NULL, "weir_run", "operation is NULL");
    uint64_t now_ns = clock_in(pipeline);
    if (unlikely(pipeline->linked)) return run_linked(pipeline, options, operation, argument, now_ns, false);
    struct weir_call call;
    return run_call(&call, pipeline, options, operation, argument, now_ns, false);
}

struct weir_outcome weir_run_at(const struct weir_pipeline *pipeline, const struct weir_call_options *options,
    weir_operation *operation, void *argument, uint64_t now_ns)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_run_at", "pipeline is NULL");
    WEIR_REQUIRE(operation != NULL, "weir_run_at", "operation is NULL");
    if (unlikely(pipeline->linked)) return run_linked(pipeline, options, operation, argument, now_ns, true);
    struct weir_call call;
    return run_call(&call, pipeline, options, operation, argument, now_ns, true);
}
