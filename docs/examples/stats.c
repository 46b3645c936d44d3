/* Everything that is counted, and the latency histogram; reading changes nothing. */
#include "expect.h"

#include <errno.h>
#include <inttypes.h>
#include <weir/weir.h>

static struct weir_outcome fails_each_tenth(void *argument, const struct weir_attempt *attempt)
{
    int *calls = argument;
    (void)attempt;
    return weir_from_errno(++*calls % 10 == 0 ? EIO : 0);
}

static void print_pipeline(const struct weir_pipeline *pipeline)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
    printf("pipeline %s: %" PRIu64 " begun, %" PRIu64 " in flight\n", weir_pipeline_name(pipeline),
        stats.begun, stats.in_flight);
    for (int i = 0; i < WEIR_STATUSES; i++) {
        if (stats.ended[i] == 0) continue;
        printf("  %s: %" PRIu64 "\n", weir_status_text((enum weir_status)i), stats.ended[i]);
    }
    for (int i = 0; i < WEIR_REASONS; i++) {
        if (stats.refused[i] == 0) continue;
        printf("  refused, %s: %" PRIu64 "\n", weir_reason_text((enum weir_reason)i), stats.refused[i]);
    }
}

static void print_latency(const struct weir_histogram *latency)
{
    static const struct {
        const char *name;
        uint32_t millionths;
    } shares[] = { { "median", 500000 }, { "p99", 990000 }, { "p99.9", 999000 } };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        printf(
            "  %s: %" PRIu64 " ns\n", shares[i].name, weir_histogram_quantile(latency, shares[i].millionths));
    }
}

int main(void)
{
    struct weir_pipeline *pipeline;
    EXPECT(
        weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "bank"), &pipeline) == WEIR_E_NONE);
    int calls = 0;
    for (int i = 0; i < 1000; i++) (void)weir_run(pipeline, NULL, fails_each_tenth, &calls);
    print_pipeline(pipeline);

    struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
    EXPECT(stats.begun == 1000 && stats.in_flight == 0 && stats.attempts == 1000);
    EXPECT(stats.ended[WEIR_OK] == 900 && stats.ended[WEIR_FAILED] == 100);

    /* One policy's own numbers: found by position, of this pipeline or of all that share it. */
    for (size_t i = 0; i < weir_pipeline_count(pipeline); i++) {
        struct weir_policy *policy = weir_pipeline_policy(pipeline, i);
        printf("  %zu: %s %s\n", i, weir_policy_kind(policy), weir_policy_name(policy));
    }
    struct weir_breaker_stats breaker =
        weir_breaker_stats(weir_pipeline_policy(pipeline, 2), weir_pipeline_now(pipeline));
    EXPECT(breaker.counted_ok == 900 && breaker.counted_failed == 100 && breaker.opened == 0);
    struct weir_retry_stats retry = weir_retry_stats(weir_pipeline_policy(pipeline, 1));
    EXPECT(retry.retried == 0 && retry.not_idempotent == 100); /* and why not */

    /* Calls that ended OK; on a machine without a fast clock a sample of them. Histograms merge. */
    print_latency(weir_pipeline_latency(pipeline));
    struct weir_histogram *all;
    EXPECT(weir_histogram_create(&all) == WEIR_E_NONE);
    weir_histogram_merge(all, weir_pipeline_latency(pipeline));
    EXPECT(stats.timed > 0 && weir_histogram_count(all) == stats.timed);
    weir_histogram_destroy(all);
    weir_pipeline_destroy(pipeline);
    return 0;
}
