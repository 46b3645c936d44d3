/* What a caller's place for a result holds after a fallback has answered. */
#include "support/test.h"

#include <weir/weir.h>

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome writes_and_fails(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    *(uint32_t *)attempt->value = 0xbad;
    return (struct weir_outcome) { .status = WEIR_FAILED };
}

/* An answer without a value is no result: what the failed attempt has written is not handed out. */
TEST(fallback_result, an_answer_without_a_value_leaves_the_callers_as_it_is)
{
    struct weir_policy *fallbacks[2];
    CHECK_EQ(weir_fallback_create(NULL, &fallbacks[0]), WEIR_E_NONE);
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = light), &fallbacks[1]),
        WEIR_E_NONE);
    for (int i = 0; i < 2; i++) {
        uint32_t value = 7;
        struct weir_pipeline *pipeline;
        CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = sizeof value),
                     &fallbacks[i], 1, &pipeline),
            WEIR_E_NONE);
        struct weir_outcome outcome =
            weir_run(pipeline, WEIR_CONFIG(weir_call_options, .value = &value), writes_and_fails, NULL);
        CHECK_EQ(outcome.status, WEIR_OK);
        CHECK((outcome.flags & WEIR_DEGRADED) != 0);
        CHECK_EQ(value, i == 0 ? 7 : 0); /* the function had a zeroed place of its own, and wrote nothing */
        weir_pipeline_destroy(pipeline);
        weir_policy_release(fallbacks[i]);
    }
}
