/* The standard pipeline, made by hand: each policy is created, handed over and dropped. */
#include "expect.h"

#include <weir/weir.h>

enum { DEADLINE, RETRY, BREAKER, BULKHEAD, ATTEMPT, POLICIES }; /* outermost first */

static enum weir_error create_policies(struct weir_policy *order[POLICIES])
{
    enum weir_error error =
        weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 800 * WEIR_MS), &order[DEADLINE]);
    if (error == WEIR_E_NONE) error = weir_retry_create(NULL, &order[RETRY]);
    if (error == WEIR_E_NONE) error = weir_breaker_create(NULL, &order[BREAKER]);
    if (error == WEIR_E_NONE) {
        error = weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 32), &order[BULKHEAD]);
    }
    if (error == WEIR_E_NONE) {
        error = weir_timeout_create(
            WEIR_CONFIG(weir_timeout_config, .name = "attempt", .timeout_ns = 400 * WEIR_MS),
            &order[ATTEMPT]);
    }
    return error;
}

static struct weir_pipeline *create_pipeline(void)
{
    struct weir_policy *order[POLICIES] = { NULL };
    struct weir_pipeline *pipeline = NULL;
    enum weir_error error = create_policies(order);
    if (error == WEIR_E_NONE) {
        error = weir_pipeline_create(
            WEIR_CONFIG(weir_pipeline_config, .name = "bank"), order, POLICIES, &pipeline);
    }
    for (int i = 0; i < POLICIES; i++) weir_policy_release(order[i]); /* the pipeline has its own */
    if (error != WEIR_E_NONE) fprintf(stderr, "%s: %s\n", weir_error_name(error), weir_error_text());
    return pipeline;
}

static struct weir_outcome answer(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    EXPECT(weir_attempt_left_ms(attempt) <= 400); /* the innermost timeout counts */
    return (struct weir_outcome) { .status = WEIR_OK };
}

int main(void)
{
    struct weir_pipeline *pipeline = create_pipeline();
    EXPECT(pipeline != NULL);
    for (int i = 0; i < 100; i++) EXPECT(weir_run(pipeline, NULL, answer, NULL).status == WEIR_OK);
    EXPECT(weir_pipeline_stats(pipeline).ended[WEIR_OK] == 100);
    EXPECT(weir_breaker_stats(weir_pipeline_policy(pipeline, BREAKER), weir_pipeline_now(pipeline)).state ==
        WEIR_BREAKER_CLOSED);
    weir_pipeline_destroy(pipeline);

    struct weir_policy *breaker;
    EXPECT(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .probes = 300), &breaker) == WEIR_E_INVALID);
    puts(weir_error_text()); /* weir_breaker_config.probes is 300, expected 1..255 */
    return 0;
}
