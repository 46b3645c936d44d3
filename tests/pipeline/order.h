/* Pipelines in few words, for tests of orders: each maker counts its policy in, order_made() takes them all. */
#ifndef WEIR_TESTS_ORDER_H
#define WEIR_TESTS_ORDER_H

#include "pipeline/scripted.h"
#include "support/test.h"

static struct weir_policy *order_parts[WEIR_POLICIES_MAX];
static size_t order_count;

static inline struct weir_policy *order_add(enum weir_error error, struct weir_policy **policy)
{
    CHECK_EQ(error, WEIR_E_NONE);
    order_parts[order_count++] = *policy;
    return *policy;
}

/* Adds a policy of that kind with these fields, inside those before. */
#define ORDER_ADD(kind, ...)                                                                                 \
    do {                                                                                                     \
        struct weir_policy *policy_;                                                                         \
        order_add(weir_##kind##_create(WEIR_CONFIG(weir_##kind##_config, __VA_ARGS__), &policy_), &policy_); \
    } while (0)

static inline struct weir_pipeline *order_made(void)
{
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = "p", .clock = &scripted_clock),
                 order_parts, order_count, &pipeline),
        WEIR_E_NONE);
    while (order_count > 0) weir_policy_release(order_parts[--order_count]);
    return pipeline;
}

#endif
