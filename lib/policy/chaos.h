/* The record of a chaos policy, and its words. chaos.c has the diagram. */
#ifndef WEIR_LIB_CHAOS_H
#define WEIR_LIB_CHAOS_H

#include "policy/handle.h"

#include <weir/chaos.h>

struct chaos_config {
    uint64_t seed; /* mixed */
    uint64_t duration_ns;
    uint64_t latency_min_ns, latency_max_ns;
    uint64_t result_retry_after_ns;
    uint64_t lost_max_ns;
    uint64_t burst_ns, burst_every_ns; /* 0: none */
    uint32_t ppm[WEIR_CHAOS_KINDS];
    uint32_t ppm_sum, ppm_burst; /* of all kinds, and in a burst */
    uint32_t held_max;
    int32_t error_code, result_code;
    uint8_t error_flags, result_status;
};

#define CHAOS_OFF 0
#define CHAOS_STARTING UINT64_MAX /* on; the first call says from when */

struct chaos_state {
    uint64_t until_ns; /* the switch: OFF, STARTING, or the instant at which it ends */
    uint64_t number;   /* of the next call */
    uint32_t held;     /* calls */
};

static inline bool chaos_is_on(const struct chaos_state *state)
{
    return atomic_load_relaxed(&state->until_ns) != CHAOS_OFF;
}

#endif
