/* The blocking driver's slow half: takes the steps of a call on this thread, sleeping where one says so. For
 * weir_run() and, with its operation left out, for a guarded block. */
#ifndef WEIR_LIB_DRIVER_H
#define WEIR_LIB_DRIVER_H

#include "pipeline/machine.h"

struct parker {
    uint32_t word; /* 1: posted */
};

struct driver {
    struct weir_call *call;
    weir_operation *operation; /* NULL: whoever drives runs it, at a step that says so */
    void *argument;
    uint64_t given_ns; /* WEIR_NEVER: read the clock */
    struct parker parker;
};

/* Goes on from that step to the next that says DONE, or RUN of an operation that is left out. */
struct weir_step driver_drive(struct driver *driver, struct weir_step step);

/* The instant at the end of an attempt by the pipeline's clock, and whether a duration may be made of it. */
uint64_t driver_clock_out(const struct weir_call *call, bool *timed);

/* Links the call to those that this thread is in, so that it never queues for what the thread itself holds, and
 * says that its events will be delivered. */
static inline bool driver_link(struct weir_call *call, const struct weir_pipeline *pipeline)
{
    call->pipeline = pipeline;
    call->phase = PHASE_NONE;
    call->admitted = 0;
    call->outer = weir_thread.call;
    weir_thread.call = call;
    bool told = pipeline->events != NULL;
    if (told) pipeline_count_last(pipeline, thread_shard(), PIPELINE_TELLING);
    return told;
}

/* told: what driver_link() answered, in the process of that generation. */
static inline void driver_unlink(
    const struct weir_call *call, const struct weir_pipeline *pipeline, bool told, uint32_t generation)
{
    weir_thread.call = call->outer;
    if (!told) return;
    weir_pipeline_deliver(pipeline);
    /* A child that was forked meanwhile has levelled both. */
    if (process_is(generation)) pipeline_count_last(pipeline, thread_shard(), PIPELINE_TOLD);
}

#endif
