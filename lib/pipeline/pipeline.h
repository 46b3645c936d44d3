/* A pipeline in memory: what a call reads first, the hooks that a call that goes well needs, and the rest.
 *
 * create() compiles the order into two hook lists. A policy whose admit cannot refuse and whose settle of an
 * OK outcome does nothing (timeout, retry, fallback) is in neither: the deadlines that timeouts and fallbacks
 * set at the begin are folded into cap_ns and reserve_ns. A call that leaves the fast lists, because it is
 * refused, held, fails or is late, first gives the skipped policies their slots (materialize()) and goes on
 * by the full list; both ways leave the same trace.
 *
 * A policy with a switch (chaos) is on neither list: off, it costs nothing. While one is on, begins walk a second
 * admit list with it in its place. Whom it wants something of leaves the fast lists there; so whoever stays on
 * them is passed by, and owes it nothing. */
#ifndef WEIR_LIB_PIPELINE_H
#define WEIR_LIB_PIPELINE_H

#include "base/context.h"
#include "base/event_ring.h"
#include "base/histogram.h"
#include "policy/handle.h"

#include <weir/pipeline.h>

struct admit_entry {
    admit_hook *admit;
    const void *config;
    void *state;
    uint64_t position;
};
struct settle_entry {
    settle_hook *settle;
    const void *config;
    void *state;
    uint64_t position;
};

/* What a begin must look at: the first two keep it off the fast lists; a policy that is switched on has it take
 * the other admit list. */
enum {
    ATTENTION_DRAINING = 1,
    ATTENTION_MODES = 2,
    ATTENTION_RESULT = 4,
    ATTENTION_RESERVE = 8,
    ATTENTION_SWITCHED = 16,
};
#define ATTENTION_FULL (ATTENTION_DRAINING | ATTENTION_MODES)
#define ATTENTION_SLOW (ATTENTION_FULL | ATTENTION_SWITCHED)

/* Counted by its own thread: a call that goes well touches the first line only. */
struct pipeline_line {
    uint64_t begun, ok;
    uint64_t last_ns; /* what the last timed call took, where calls are sampled */
    uint64_t spare[5];
} CACHE_ALIGNED;

enum {
    PIPELINE_DEGRADED,
    PIPELINE_LATE,
    PIPELINE_SHADOWED,
    PIPELINE_ATTEMPTS, /* of calls that left the fast lists */
    PIPELINE_ABANDONED,
    PIPELINE_RETURNED, /* abandoned ones that ended at last */
    PIPELINE_LEFT,     /* calls over while something still runs */
    PIPELINE_EMPTIED,  /* of these, those where nothing runs any more */
    PIPELINE_TELLING,  /* threads of weir_run() that will deliver events after their call */
    PIPELINE_TOLD,     /* and have */
    PIPELINE_FOREIGN,
    PIPELINE_ORPHANED, /* calls of the process that this one was forked from */
    PIPELINE_COUNTERS,
};
struct pipeline_cold_line {
    uint64_t ended[WEIR_STATUSES];
    uint64_t refused[WEIR_REASONS];
    uint64_t refused_by[WEIR_POLICIES_MAX];
    uint64_t counter[PIPELINE_COUNTERS];
} CACHE_ALIGNED;

#define BUDGET_BATCH 16   /* calls that a thread reports to budgets at once */
#define TIMING_CUSTOM 255 /* a clock of the user's own */

struct weir_pipeline {
    /* read by every call */
    uint32_t attention;
    uint8_t count, timing;
    uint64_t cap_ns;     /* what folded timeouts allow from the begin; WEIR_NEVER: none */
    uint64_t reserve_ns; /* what folded fallbacks keep back */
    uint32_t result_size;
    bool folded;   /* the quiet policies are in neither list */
    bool linked;   /* weir_run() links its calls (a policy may hold them) or gives them room for results */
    bool budgeted; /* it has a retry: calls are reported to budgets */
    bool judged;   /* it has a classifier */
    struct pipeline_line *line;
    struct weir_histogram *latency;
    const struct admit_entry *admit_end;
    const struct settle_entry *settle_end;
    struct admit_entry admit[WEIR_POLICIES_MAX];
    struct settle_entry settle[WEIR_POLICIES_MAX];
    /* while a policy that can be switched off is on: as admit, with those */
    const struct admit_entry *switched_on_end;
    struct admit_entry switched_on[WEIR_POLICIES_MAX];
    /* slow paths */
    uint16_t switches; /* a bit for each policy that can be switched off */
    struct weir_policy *policy[WEIR_POLICIES_MAX];
    struct pipeline_cold_line *cold;
    struct event_ring *events;
    struct weir_sink sink;
    struct weir_clock clock;
    struct weir_classifier classifier;
    uint64_t typical_ns, typical_until_ns; /* median of the calls that went well, and when to look again */
    struct weir_pipeline *next;            /* of this process's, under the registry's lock */
    struct policy_link link[WEIR_POLICIES_MAX];
    char name[WEIR_NAME_MAX + 1];
};

/* compile.c */
void pipeline_compile(struct weir_pipeline *pipeline);
void pipeline_notice(struct weir_pipeline *pipeline);
void pipeline_switched_off(const struct weir_pipeline *pipeline);

/* stats.c */
uint64_t pipeline_in_flight(const struct weir_pipeline *pipeline);
void pipeline_forked(struct weir_pipeline *pipeline);

static inline void pipeline_count(
    const struct weir_pipeline *pipeline, const struct weir_call *call, uint32_t which)
{
    line_add(&pipeline->cold[call->shard].counter[which], 1, call->shard < SHARDS);
}

/* The last touch of a pipeline that may be destroyed next. */
static inline void pipeline_count_last(const struct weir_pipeline *pipeline, uint32_t line, uint32_t which)
{
    line_add_release(&pipeline->cold[line].counter[which], 1, line < SHARDS);
}

#endif
