/* What the tests of chaos say: one in a pipeline of its own, driven step by step with a virtual now. */
#ifndef WEIR_TEST_CHAOS_WORDS_H
#define WEIR_TEST_CHAOS_WORDS_H

#include "pipeline/machine_words.h"
#include "policy/hooks.h"

#include "pipeline/pipeline.h"
#include "policy/chaos.h"

POLICY_OF(chaos)

#define ALL 1000000
#define CHAOS(...) POLICY(chaos, __VA_ARGS__)

/* The pipeline keeps it. */
static inline struct weir_pipeline *around(struct weir_policy *chaos)
{
    return PIPELINE(chaos);
}

static inline struct weir_step begin(struct weir_call *call, struct weir_pipeline *pipeline, uint64_t now_ns)
{
    return weir_call_begin(call, pipeline, NULL, now_ns);
}

static inline struct weir_step settle(struct weir_call *call, enum weir_status status, uint64_t now_ns)
{
    return weir_call_settle(call, call->attempt.number, outcome_of(status), now_ns);
}

#endif
