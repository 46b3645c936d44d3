#include "pipeline/scripted.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static struct weir_policy *breaker_named(const char *name)
{
    struct weir_policy *policy;
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = name, .jitter_percent = WEIR_OFF32,
                                     .open_ns = 2100 * WEIR_MS),
                 &policy),
        WEIR_E_NONE);
    return policy;
}

static struct weir_pipeline *pipeline_of(struct weir_policy *first, struct weir_policy *second)
{
    struct weir_policy *order[] = { first, second };
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .clock = &scripted_clock), order,
                 second == NULL ? 1 : 2, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(first);
    weir_policy_release(second);
    return pipeline;
}

static const char *said(const struct weir_pipeline *pipeline, struct weir_outcome outcome)
{
    static char text[600];
    return weir_outcome_text(text, sizeof text, pipeline, outcome);
}

TEST(outcome_text, without_a_pipeline)
{
    CHECK_STR(said(NULL, outcome_of(WEIR_OK, 0)), "ok");
    CHECK_STR(said(NULL, outcome_of(WEIR_OK, 200)), "ok, code 200");
    CHECK_STR(said(NULL, outcome_of(WEIR_FAILED, -7)), "failed, code -7");
    struct weir_outcome outcome = { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT, .code = 111 };
    CHECK_STR(said(NULL, outcome), "failed, code 111, nothing was sent");
    outcome = (struct weir_outcome) {
        .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .by = 3, .retry_after_ns = 37 * WEIR_MS
    };
    CHECK_STR(
        said(NULL, outcome), "rejected by the policy at position 2: rate limit, worth asking again in 37 ms");
    outcome = (struct weir_outcome) { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE, .code = 5 };
    CHECK_STR(said(NULL, outcome), "expired: the context's deadline, last error's code 5");
    outcome = (struct weir_outcome) { .status = WEIR_CANCELED, .reason = WEIR_REASON_CANCELED };
    CHECK_STR(said(NULL, outcome), "canceled");
    outcome = (struct weir_outcome) { .status = WEIR_CANCELED, .reason = WEIR_REASON_DEADLINE, .code = 5 };
    CHECK_STR(said(NULL, outcome), "canceled: the context's deadline, last error's code 5");
    outcome = (struct weir_outcome) { .status = WEIR_FAILED, .reason = WEIR_REASON_CANCELED };
    CHECK_STR(said(NULL, outcome), "failed: canceled");
    outcome = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .code = 5 };
    CHECK_STR(said(NULL, outcome), "rejected: rate limit, last error's code 5");
    outcome = (struct weir_outcome) { .status = WEIR_OK, .flags = WEIR_LATE };
    CHECK_STR(said(NULL, outcome), "ok, but after its timeout");
    outcome = (struct weir_outcome) { .status = WEIR_OK, .flags = WEIR_SHADOW };
    CHECK_STR(said(NULL, outcome), "ok; a policy in shadow would have refused it");
    outcome = (struct weir_outcome) { .status = WEIR_OVERLOADED, .code = 429, .retry_after_ns = 90 * WEIR_S };
    CHECK_STR(said(NULL, outcome), "overloaded, code 429, worth asking again in 1.5 min");
    outcome = (struct weir_outcome) { .status = WEIR_IGNORED, .reason = WEIR_REASON_FORKED };
    CHECK_STR(said(NULL, outcome), "ignored: begun in another process");
}

TEST(outcome_text, harm_done_on_purpose)
{
    struct weir_policy *chaos = NULL;
    CHECK_EQ(weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .error_ppm = 200000, .off = true), &chaos),
        WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(chaos, NULL);
    struct weir_outcome outcome = { .status = WEIR_FAILED, .reason = WEIR_REASON_CHAOS, .by = 1, .code = 5 };
    CHECK_STR(
        said(pipeline, outcome), "failed by chaos \"chaos\": harm done on purpose (off, error 20 %), code 5");
    outcome =
        (struct weir_outcome) { .reason = WEIR_REASON_CHAOS, .by = 1, .flags = WEIR_DEGRADED, .code = 5 };
    CHECK_STR(said(NULL, outcome),
        "ok, answered by the policy at position 0 instead of: failed: harm done on purpose, code 5");
    weir_pipeline_destroy(pipeline);
}

TEST(outcome_text, nonsense_is_said_too)
{
    struct weir_outcome outcome = { .status = 99, .reason = 250, .by = 200 };
    CHECK_STR(said(NULL, outcome), "? by the policy at position 199: ?");
}

TEST(outcome_text, durations_for_people)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = { { 1, "1 ns" }, { 999, "999 ns" }, { 1000, "1 us" }, { 1500, "1.5 us" }, { 12345, "12 us" },
        { 2123456789, "2.1 s" }, { 59 * WEIR_S, "59 s" }, { 60 * WEIR_S, "1 min" },
        { 5400 * WEIR_S, "1.5 h" }, { 86400 * WEIR_S, "1 d" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[80];
        snprintf(want, sizeof want, "ok, worth asking again in %s", cases[i].text);
        CHECK_STR(said(NULL, (struct weir_outcome) { .retry_after_ns = cases[i].ns }), want);
    }
}

TEST(outcome_text, a_refusal_with_the_policy_and_its_numbers)
{
    struct weir_pipeline *pipeline = pipeline_of(breaker_named("bank"), NULL);
    scripted_calls(pipeline, 3, WEIR_OK, 0);
    scripted_calls(pipeline, 20, WEIR_FAILED, 0);
    struct script script = { .outcome = outcome_of(WEIR_OK, 0) };
    const char *text = said(pipeline, weir_run(pipeline, NULL, scripted, &script));
    CHECK_EQ(script.ran, 0);
    CHECK(strstr(text, "rejected by breaker \"bank\": breaker open (open, ") == text);
    CHECK(strstr(text, " calls failed), worth asking again in 2.1 s") != NULL);
    weir_pipeline_destroy(pipeline);
}

TEST(outcome_text, what_a_fallback_hides)
{
    struct weir_policy *fallback;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .name = "x"), &fallback), WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(fallback, breaker_named("b"));
    struct script script = { .outcome = outcome_of(WEIR_FAILED, 7) };
    struct weir_outcome outcome = weir_run(pipeline, NULL, scripted, &script);
    CHECK_STR(
        said(pipeline, outcome), "ok, answered by fallback \"x\" instead of: failed or overloaded, code 7");
    scripted_calls(pipeline, 20, WEIR_FAILED, 0);
    outcome = weir_run(pipeline, NULL, scripted, &script);
    CHECK_STR(said(pipeline, outcome),
        "ok, answered by fallback \"x\" instead of: rejected: breaker open, "
        "worth asking again in 2.1 s");
    weir_pipeline_destroy(pipeline);
    static const struct {
        enum weir_reason reason;
        const char *text;
    } cases[] = { { WEIR_REASON_TIMEOUT, "expired: timeout" },
        { WEIR_REASON_DEADLINE, "expired: the context's deadline" }, { WEIR_REASON_CANCELED, "canceled" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[100];
        snprintf(expected, sizeof expected, "ok, answered instead of: %s", cases[i].text);
        outcome = (struct weir_outcome) { .flags = WEIR_DEGRADED, .reason = (uint8_t)cases[i].reason };
        CHECK_STR(said(NULL, outcome), expected);
    }
}

TEST(outcome_text, names_are_escaped_and_whole)
{
    char name[64] = "a\r\n\"b\\\x1b[31m";
    struct weir_pipeline *pipeline = pipeline_of(breaker_named(name), NULL);
    struct weir_outcome refused = { .status = WEIR_REJECTED, .reason = WEIR_REASON_BREAKER_OPEN, .by = 1 };
    CHECK_STR(said(pipeline, refused),
        "rejected by breaker \"a\\x0d\\x0a\\x22b\\x5c\\x1b[31m\": breaker open "
        "(closed, 0 of 0 calls failed)");
    weir_pipeline_destroy(pipeline);
    memset(name, '\n', 63);
    pipeline = pipeline_of(breaker_named(name), NULL);
    const char *text = said(pipeline, refused);
    CHECK(strchr(text, '\n') == NULL);
    CHECK_EQ(strlen(text),
        strlen("rejected by breaker \"\": breaker open (closed, 0 of 0 calls failed)") + 63 * 4);
    weir_pipeline_destroy(pipeline);
}

TEST(outcome_text, a_position_that_is_not_there)
{
    struct weir_pipeline *pipeline = pipeline_of(breaker_named("b"), NULL);
    struct weir_outcome refused = { .status = WEIR_REJECTED, .reason = WEIR_REASON_CUSTOM, .by = 9 };
    CHECK_STR(said(pipeline, refused), "rejected by the policy at position 8: a policy of the user's own");
    weir_pipeline_destroy(pipeline);
}

/* Every size: terminated, a prefix of the whole, nothing beyond. */
TEST(outcome_text, is_cut_at_size)
{
    struct weir_pipeline *pipeline = pipeline_of(breaker_named("bank"), NULL);
    struct weir_outcome refused = { .status = WEIR_REJECTED,
        .reason = WEIR_REASON_BREAKER_OPEN,
        .by = 1,
        .flags = WEIR_SHADOW | WEIR_LATE | WEIR_NOT_SENT | WEIR_NOT_REPEATABLE,
        .code = 3,
        .retry_after_ns = WEIR_S };
    char whole[300], cut[300];
    weir_outcome_text(whole, sizeof whole, pipeline, refused);
    size_t length = strlen(whole);
    for (size_t size = 0; size <= length + 2; size++) {
        memset(cut, '#', sizeof cut);
        CHECK(weir_outcome_text(cut, size, pipeline, refused) == cut);
        CHECK_EQ(cut[size], '#');
        if (size == 0) continue;
        size_t kept = size - 1 < length ? size - 1 : length;
        CHECK_EQ(strlen(cut), kept);
        CHECK_EQ(memcmp(cut, whole, kept), 0);
    }
    weir_pipeline_destroy(pipeline);
}
