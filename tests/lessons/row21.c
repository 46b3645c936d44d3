/* Row 21: protection that exists in name only is found at run time. One plant each, and the same traffic through
 * a pipeline without the plant. */
#include "lessons/claim.h"
#include "pipeline/scripted.h"

#include <inttypes.h>
#include <stdlib.h>

static void must(enum weir_error error)
{
    if (error == WEIR_E_NONE) return;
    printf("%s", weir_error_text());
    exit(1);
}

static struct weir_policy *timeout_of(uint64_t timeout_ns)
{
    struct weir_policy *policy;
    must(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = timeout_ns), &policy));
    return policy;
}

static struct weir_policy *breaker_of(uint32_t calls_min, uint32_t consecutive)
{
    struct weir_policy *policy;
    must(weir_breaker_create(
        WEIR_CONFIG(weir_breaker_config, .calls_min = calls_min, .consecutive = consecutive), &policy));
    return policy;
}

static struct weir_policy *rate_of(uint64_t permits)
{
    struct weir_policy *policy;
    must(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = permits, .burst = permits), &policy));
    return policy;
}

/* The traffic of a plant, through the pipeline with it and through the one without. */
typedef void traffic_of(struct weir_pipeline *pipeline);

static struct weir_pipeline *made_of(struct weir_policy *outer, struct weir_policy *inner)
{
    struct weir_policy *order[] = { outer, inner };
    struct weir_pipeline *pipeline;
    must(weir_pipeline_create(
        WEIR_CONFIG(weir_pipeline_config, .clock = &scripted_clock), order, 2, &pipeline));
    weir_policy_release(outer);
    weir_policy_release(inner);
    return pipeline;
}

static size_t count_of(struct weir_pipeline *pipeline, traffic_of *traffic, enum weir_finding_kind kind,
    struct weir_finding *first, size_t *others)
{
    struct weir_finding findings[16];
    size_t count = 0;
    traffic(pipeline);
    size_t all = weir_pipeline_check(pipeline, scripted_ns, findings, 16);
    for (size_t i = 0; i < all && i < 16; i++) {
        if (findings[i].kind != kind) continue;
        if (count++ == 0) *first = findings[i];
    }
    *others = all - count;
    weir_pipeline_destroy(pipeline);
    return count;
}

/* Found where it was planted, at that position, and nowhere else. */
static bool found(struct weir_pipeline *planted, struct weir_pipeline *sound, traffic_of *traffic,
    enum weir_finding_kind kind, uint32_t position)
{
    struct weir_finding finding = { .text = "nothing" }, none;
    size_t others, false_alarms;
    size_t hits = count_of(planted, traffic, kind, &finding, &others);
    size_t misses = count_of(sound, traffic, kind, &none, &false_alarms);
    printf("%s; without the plant %zu findings", finding.text, misses + false_alarms);
    return hits >= 1 && finding.position == position && others == 0 && misses + false_alarms == 0;
}

/* A call heavier than the burst can never pass the rate limit; the breaker inside it is never asked. */
static void heavy_calls(struct weir_pipeline *pipeline)
{
    struct script script = { .outcome = outcome_of(WEIR_OK, 0) };
    for (uint32_t i = 0; i < 50; i++) {
        (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .weight = 5), scripted, &script);
        scripted_ns += WEIR_S;
    }
}

static bool never_passed(void)
{
    return found(made_of(rate_of(2), breaker_of(10, 5)), made_of(rate_of(100), breaker_of(10, 5)),
        heavy_calls, WEIR_FINDING_INERT_NEVER_PASSED, 0);
}

/* The operation calls every error IGNORED: what the bare breaker should have been told. The sound one is told. */
static bool says_ignored;

static void failing_calls(struct weir_pipeline *pipeline)
{
    enum weir_status status = says_ignored ? WEIR_IGNORED : WEIR_FAILED;
    says_ignored = false;
    scripted_calls(pipeline, 40, WEIR_OK, 10 * WEIR_MS);
    scripted_calls(pipeline, 20, status, 10 * WEIR_MS);
}

static bool never_fails(void)
{
    says_ignored = true;
    return found(made_of(timeout_of(WEIR_S), breaker_of(10, 5)),
        made_of(timeout_of(WEIR_S), breaker_of(10, 5)), failing_calls, WEIR_FINDING_INERT_NEVER_FAILS, 1);
}

/* Two calls a second: 20 in a window of 10 s, of which 100 are asked for. */
static void slow_traffic(struct weir_pipeline *pipeline)
{
    for (uint32_t i = 0; i < 100; i++) {
        scripted_calls(pipeline, 1, i % 3 == 0 ? WEIR_FAILED : WEIR_OK, 500 * WEIR_MS);
    }
}

static bool unreachable(void)
{
    return found(made_of(timeout_of(WEIR_S), breaker_of(100, WEIR_OFF32)),
        made_of(timeout_of(WEIR_S), breaker_of(15, WEIR_OFF32)), slow_traffic, WEIR_FINDING_INERT_UNREACHABLE,
        1);
}

/* Callers with 300 ms; the callee takes longer now and then. */
static void short_deadlines(struct weir_pipeline *pipeline)
{
    for (uint32_t i = 0; i < 100; i++) {
        struct weir_context context;
        struct script script = { .outcome = outcome_of(WEIR_OK, 0), .takes_ns = 20 * WEIR_MS };
        if (i % 4 == 0)
            script = (struct script) { .outcome = outcome_of(WEIR_FAILED, 110), .takes_ns = 300 * WEIR_MS };
        weir_context_child(&context, NULL, scripted_ns + 300 * WEIR_MS, NULL);
        (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .context = &context), scripted, &script);
    }
}

static bool long_timeout(void)
{
    struct weir_policy *rate = rate_of(1000000), *other = rate_of(1000000);
    return found(made_of(rate, timeout_of(WEIR_S)), made_of(other, timeout_of(200 * WEIR_MS)),
        short_deadlines, WEIR_FINDING_INERT_TIMEOUT, 1);
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "passed", never_passed }, { "classified", never_fails },
        { "threshold", unreachable }, { "timeout", long_timeout } };
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
