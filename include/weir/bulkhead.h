/* Bulkhead: at most so many calls at once, so that one slow callee cannot take every thread.
 *
 * A call takes `weight` permits and keeps them until its work has really ended, even if its caller left
 * earlier. When none is free it is refused, or waits in a bounded first-in-first-out queue until its
 * deadline or wait_max_ns; nobody overtakes who waits. The limit can be changed at any time, also below
 * what is in use: then nobody is admitted until enough has come back. */
#ifndef WEIR_BULKHEAD_H
#define WEIR_BULKHEAD_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_bulkhead_config {
    uint32_t size;
    const char *name; /* copied; default: "bulkhead" */
    uint32_t limit;   /* permits, 1..1000000; default: 64 */
    uint32_t queue; /* calls that may wait, 0..4095; default: 0. Besides these, as many as it is long (at most
                         limit) may have been handed their permits and not have come for them yet */
    uint64_t wait_max_ns; /* how long at most; default: 1 s */
    enum weir_form form;  /* default: SHARDED from 8 permits on, one word below; both are exact */
    const struct weir_share_config
        *share; /* copied; in common with other processes (share.h); default: not */
};
WEIR_CONFIG_INIT(weir_bulkhead_config)

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_bulkhead_create(
    const struct weir_bulkhead_config *config, struct weir_policy **bulkhead);

/* Alone, without a pipeline and without waiting. OK: release exactly once, from any thread. A weight
 * above the limit is refused. Reads no clock, or the coarse one if it is shared. */
WEIR_API WEIR_MUST_USE struct weir_outcome weir_bulkhead_acquire(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit);
WEIR_API void weir_bulkhead_release(struct weir_policy *bulkhead, struct weir_permit *permit);

/* 1..1000000, else INVALID. Lowered below what is in use, nobody is let in until enough was given back. A call that
 * waits and is heavier than the new limit is refused (BULKHEAD_FULL) when its turn comes. Shared, it is the limit of the
 * whole fleet that this instance goes by, soon: all should be told the same. Until they are, all together stay within
 * the highest, and each takes no more than its own leaves. */
WEIR_API WEIR_MUST_USE enum weir_error weir_bulkhead_set_limit(struct weir_policy *bulkhead, uint32_t limit);

struct weir_bulkhead_stats {
    uint32_t limit,
        in_use;       /* limit: shared, what this instance has of it now. in_use: also what was handed over
                               and is not fetched yet */
    uint32_t waiting; /* in the queue, or on their way to what they were handed */
    uint32_t shards;  /* 0 in the single-word form */
    uint64_t refused_full, refused_queue_full, refused_wait, refused_nested, refused_forced, would_refuse;
    uint64_t queued, handed_over, left; /* waits begun, ended by a permit, ended without one */
};
WEIR_API struct weir_bulkhead_stats weir_bulkhead_stats(const struct weir_policy *bulkhead);

#ifdef __cplusplus
}
#endif
#endif
