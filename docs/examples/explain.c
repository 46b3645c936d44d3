/* What a pipeline says of itself: its order and worst case, what is wrong with the order, and what its
 * traffic shows to be without effect. */
#include "expect.h"

#include <errno.h>
#include <string.h>
#include <weir/weir.h>

static bool is_found(
    const struct weir_finding *findings, size_t count, enum weir_finding_kind kind, uint32_t position)
{
    for (size_t i = 0; i < count; i++) {
        if (findings[i].kind == kind && findings[i].position == position) return true;
    }
    return false;
}

/* Retry inside breaker and bulkhead, a timeout that nobody lives to see. */
static struct weir_pipeline *create_questionable(void)
{
    struct weir_policy *order[4];
    struct weir_pipeline *pipeline;
    EXPECT(weir_breaker_create(NULL, &order[0]) == WEIR_E_NONE);
    EXPECT(weir_bulkhead_create(NULL, &order[1]) == WEIR_E_NONE);
    EXPECT(weir_retry_create(NULL, &order[2]) == WEIR_E_NONE);
    EXPECT(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 30 * WEIR_S), &order[3]) ==
        WEIR_E_NONE);
    EXPECT(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = "search"), order, 4, &pipeline) ==
        WEIR_E_NONE);
    for (int i = 0; i < 4; i++) weir_policy_release(order[i]);
    return pipeline;
}

static void show_lint(const struct weir_pipeline *pipeline)
{
    struct weir_finding findings[8];
    size_t count = weir_pipeline_lint(pipeline, 500 * WEIR_MS, findings, 8); /* what callers bring */
    EXPECT(is_found(findings, count, WEIR_FINDING_RETRY_INSIDE_BREAKER, 2));
    EXPECT(is_found(findings, count, WEIR_FINDING_BULKHEAD_OUTSIDE_RETRY, 1));
    EXPECT(is_found(findings, count, WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, 3));
    EXPECT(is_found(findings, count, WEIR_FINDING_BREAKER_NEVER_TRIPS, 0));
}

static void show_explain(const struct weir_pipeline *pipeline)
{
    char text[4096];
    size_t length = weir_pipeline_explain(pipeline, 500 * WEIR_MS, text, sizeof text);
    EXPECT(length < sizeof text); /* else it was cut */
    fputs(text, stdout);
    EXPECT(strstr(text, "pipeline \"search\", outermost first:") != NULL);
}

/* Turns every failure into a success: nothing behind it can ever trip a breaker. */
static struct weir_outcome swallow(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_IGNORED, .code = EIO };
}

static void show_check(const struct weir_pipeline *pipeline)
{
    struct weir_finding finding;
    EXPECT(weir_pipeline_check(pipeline, weir_pipeline_now(pipeline), &finding, 1) == 0);
    for (int i = 0; i < 50; i++) (void)weir_run(pipeline, NULL, swallow, NULL);
    EXPECT(weir_pipeline_check(pipeline, weir_pipeline_now(pipeline), &finding, 1) >= 1);
    EXPECT(finding.kind == WEIR_FINDING_INERT_NEVER_FAILS && finding.position == 0);
    printf("check: %s\n", finding.text);
}

int main(void)
{
    struct weir_pipeline *pipeline = create_questionable();
    show_lint(pipeline);
    show_explain(pipeline);
    show_check(pipeline);
    weir_pipeline_destroy(pipeline);
    return 0;
}
