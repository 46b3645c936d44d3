/* For tests that drive one policy by its hooks, as the machine would at position call->cursor off its fast
 * lists, with a virtual now. */
#ifndef WEIR_TEST_HOOKS_H
#define WEIR_TEST_HOOKS_H

#include "policy/handle.h"
#include "support/test.h"

#include <string.h>

/* A call of this thread at that position, before its first attempt. */
static inline struct weir_call hooks_call(uint32_t position)
{
    struct weir_call call;
    memset(&call, 0, sizeof call);
    call.shard = (uint16_t)thread_shard();
    call.cursor = (uint8_t)position;
    call.attempt.deadline_ns = WEIR_NEVER;
    call.flags = CALL_SLOW | CALL_SEEDED;
    call.random = 1;
    return call;
}

static inline struct weir_verdict hooks_admit(
    const struct weir_policy *policy, struct weir_call *call, uint64_t now_ns)
{
    return policy->ops->admit(policy->config, policy->state, &call->slot[call->cursor], call, now_ns);
}

static inline struct weir_verdict hooks_settle(
    const struct weir_policy *policy, struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    return policy->ops->settle(
        policy->config, policy->state, &call->slot[call->cursor], call, outcome, now_ns);
}

static inline const char *hooks_describe(const struct weir_policy *policy, char *buffer, size_t size)
{
    policy->ops->describe(policy->config, policy->state, 0, buffer, size);
    return buffer;
}

/* The create must be refused as INVALID, with a text that contains each of the two. */
#define CHECK_REFUSED(create, first, second)                                                 \
    do {                                                                                     \
        CHECK_EQ(create, WEIR_E_INVALID);                                                    \
        if (strstr(weir_error_text(), first) == NULL) CHECK_STR(weir_error_text(), first);   \
        if (strstr(weir_error_text(), second) == NULL) CHECK_STR(weir_error_text(), second); \
    } while (0)

#endif
