#include "pipeline/order.h"

#include <stdio.h>
#include <string.h>

static char text[4096];

static const char *explained(uint64_t deadline_ns)
{
    struct weir_pipeline *pipeline = order_made();
    size_t length = weir_pipeline_explain(pipeline, deadline_ns, text, sizeof text);
    CHECK_EQ(length, strlen(text));
    weir_pipeline_destroy(pipeline);
    return text;
}

static void says(uint64_t deadline_ns, const char *part)
{
    explained(deadline_ns);
    if (strstr(text, part) == NULL) printf("not said: %s\nbut:\n%s", part, text);
    CHECK(strstr(text, part) != NULL);
}

TEST(explain, the_whole_text)
{
    ORDER_ADD(timeout, .name = "call", .timeout_ns = 800 * WEIR_MS);
    ORDER_ADD(
        retry, .name = "again", .attempts = 3, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 50 * WEIR_MS);
    ORDER_ADD(breaker, .name = "bank");
    ORDER_ADD(bulkhead, .name = "slots", .limit = 4);
    ORDER_ADD(timeout, .name = "attempt", .timeout_ns = 400 * WEIR_MS);
    CHECK_STR(explained(0),
        "pipeline \"p\", outermost first:\n"
        "   0  timeout \"call\": after 800 ms\n"
        "   1  retry \"again\": 3 attempts, a constant back-off of 50 ms, only calls marked idempotent, "
        "not sent or declined\n"
        "   2  breaker \"bank\": closed, 0 of 0 calls failed\n"
        "      opens on a failure rate surely above 50 % (z 3.0), 5 failures in a row while it has seen "
        "fewer "
        "than 10 calls, in the last 10 s; for 1 s to 30 s; 3 probes, 3 to close, ramp of 5 s\n"
        "   3  bulkhead \"slots\": 0 of 4 in use, 0 of 0 waiting, one word, exact\n"
        "   4  timeout \"attempt\": after 400 ms\n"
        "worst case of a call:\n"
        "  attempts       3; retry: only calls marked idempotent, not sent or declined\n"
        "  amplification  3 operations for a call; the budget of retry \"again\" bears 20 % of the calls and "
        "10 a "
        "second\n"
        "  latency        800 ms, the deadline: it cuts off timeouts, waits and back-offs of 1300 ms "
        "(timeout \"call\"); "
        "retry \"again\" backs off for up to 100 ms, longer if a callee asks for it\n"
        "findings: none\n");
}

TEST(explain, latency_is_unbounded_without_a_timeout)
{
    ORDER_ADD(breaker, .name = "b");
    says(0, "  latency        unbounded: no timeout around it all, and no deadline is known\n");
    ORDER_ADD(breaker, .name = "b");
    says(2 * WEIR_S, "  latency        2 s, the deadline: nothing inside ends earlier (the callers')\n");
}

TEST(explain, latency_within_the_deadline)
{
    ORDER_ADD(retry, .attempts = 2, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 100 * WEIR_MS);
    ORDER_ADD(rate, .name = "r", .wait_max_ns = 50 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 200 * WEIR_MS);
    says(WEIR_S,
        "  latency        600 ms, within the deadline of 1 s (the callers'); retry \"retry\" backs off for "
        "up to "
        "100 ms, longer if a callee asks for it; rate \"r\" holds for up to 50 ms\n");
}

/* What lies outside the outermost timeout comes on top of it. */
TEST(explain, latency_of_a_timeout)
{
    ORDER_ADD(bulkhead, .name = "b", .queue = 3, .wait_max_ns = 300 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 200 * WEIR_MS, .name = "t");
    says(0,
        "  latency        500 ms; no timeout around it all, and no deadline is known; bulkhead \"b\" holds "
        "for up to "
        "300 ms\n");
    ORDER_ADD(timeout, .timeout_ns = 200 * WEIR_MS, .name = "t");
    says(0, "  latency        200 ms, the deadline: nothing inside ends earlier (timeout \"t\")\n");
}

/* The longest series of each back-off. */
TEST(explain, backoffs_at_their_longest)
{
    static const struct {
        enum weir_backoff backoff;
        const char *text;
    } cases[] = { { WEIR_BACKOFF_CONSTANT, "up to 300 ms" }, { WEIR_BACKOFF_EXPONENTIAL, "up to 650 ms" },
        { WEIR_BACKOFF_FULL, "up to 650 ms" }, { WEIR_BACKOFF_DECORRELATED, "up to 1 s" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
        ORDER_ADD(retry, .attempts = 4, .backoff = cases[i].backoff, .base_ns = 100 * WEIR_MS,
            .max_ns = 350 * WEIR_MS);
        says(0, cases[i].text);
    }
}

TEST(explain, attempts_multiply)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(retry, .attempts = 3, .name = "a");
    ORDER_ADD(retry, .attempts = 5, .name = "b");
    says(0, "  attempts       15; retry: only");
    CHECK(strstr(text, "the budget of retry \"a\"") != NULL);
    CHECK(strstr(text, "the budget of retry \"b\"") != NULL);
    CHECK(strstr(text, "findings:\n   2  retry \"b\" inside retry \"a\": up to 15 attempts") != NULL);
}

/* A retry of one attempt spends nothing of its budget and never backs off. */
TEST(explain, a_retry_that_tries_once_adds_nothing)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(retry, .attempts = 1, .name = "once");
    says(0, "  attempts       1\n  amplification  1 operations for a call\n");
    CHECK(strstr(text, "budget") == NULL);
    CHECK(strstr(text, "backs off for") == NULL);
}

TEST(explain, what_opens_a_breaker)
{
    ORDER_ADD(breaker, .name = "b", .z_tenths = WEIR_OFF32, .plain_percent = 60, .consecutive = WEIR_OFF32,
        .slow_ns = 200 * WEIR_MS, .slow_percent = 70, .window_ns = 2 * WEIR_S, .open_ns = 3 * WEIR_S,
        .open_max_ns = 4 * WEIR_S, .probes = 2, .successes = 1, .ramp_ns = WEIR_OFF);
    CHECK(strstr(explained(0),
              "\n      opens on 60 % failed, 70 % that take 200 ms, in the last 2 s; for 3 s to 4 s;"
              " 2 probes, 1 to close\n") != NULL);
}

TEST(explain, a_breaker_that_ramps_up)
{
    ORDER_ADD(breaker, .name = "b", .probes = 1, .open_ns = WEIR_S, .ramp_ns = 3600 * WEIR_S);
    struct weir_policy *breaker = order_parts[0];
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 5, WEIR_FAILED, 0);
    weir_pipeline_explain(pipeline, 0, text, sizeof text);
    CHECK(strstr(text, "breaker \"b\": open, 5 of 5 calls failed\n") != NULL);
    scripted_ns += 2 * WEIR_S;
    scripted_calls(pipeline, 1, WEIR_OK, 0);
    CHECK_EQ(weir_breaker_stats(breaker, scripted_ns).state, WEIR_BREAKER_RAMP);
    weir_pipeline_explain(pipeline, 0, text, sizeof text); /* a new window: those failures are past */
    CHECK(strstr(text, "breaker \"b\": closed, ramping up, 0 of 0 calls failed\n") != NULL);
    weir_pipeline_destroy(pipeline);
}

TEST(explain, forms_and_bounds)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(bulkhead, .limit = 64, .name = "wide");
    ORDER_ADD(rate, .permits = 1000, .form = WEIR_FORM_SINGLE, .name = "one");
    explained(0);
    CHECK(strstr(text, "bulkhead \"wide\": 0 of 64 in use, 0 of 0 waiting, 16 shards, exact\n") != NULL);
    CHECK(strstr(text, "rate \"one\": 1000 per 1 s, burst 1000, exact\n") != NULL);
}

TEST(explain, a_chaos_and_how_long_it_holds_a_call)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(chaos, .name = "c", .latency_ppm = 10000, .latency_max_ns = 70 * WEIR_MS);
    says(0, "   1  chaos \"c\": on, ends in 600 s, latency 1 %\n");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(chaos, .name = "c", .latency_ppm = 10000, .latency_max_ns = 70 * WEIR_MS);
    says(0, "; chaos \"c\" holds for up to 70 ms\n");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(chaos, .name = "c", .lost_ppm = 1, .lost_max_ns = 2 * WEIR_S);
    says(0, "; chaos \"c\" holds for up to 2 s\n");
}

TEST(explain, modes_and_names)
{
    static const char *const modes[] = { "\": after", "\" [shadow]: after", "\" [disabled]: after",
        "\" [forced open]: after", "\" [forced closed]: after" };
    for (int mode = WEIR_MODE_ON; mode <= WEIR_MODE_FORCED_CLOSED; mode++) {
        ORDER_ADD(timeout, .name = "a\nb\"");
        weir_policy_set_mode(order_parts[0], (enum weir_mode)mode);
        says(0, modes[mode]);
        CHECK(strstr(text, "timeout \"a\\x0ab\\x22\"") != NULL);
    }
}

TEST(explain, nothing_at_all)
{
    says(0, "pipeline \"p\", outermost first:\n  (no policy)\nworst case of a call:\n  attempts       1\n");
}

TEST(explain, is_cut_at_size_and_answers_the_whole_length)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    struct weir_pipeline *pipeline = order_made();
    size_t length = weir_pipeline_explain(pipeline, 0, NULL, 0);
    CHECK_EQ(weir_pipeline_explain(pipeline, 0, text, sizeof text), length);
    CHECK_EQ(strlen(text), length);
    for (size_t size = 1; size <= length + 2; size += 7) {
        char cut[2048];
        memset(cut, '#', sizeof cut);
        CHECK_EQ(weir_pipeline_explain(pipeline, 0, cut, size), length);
        CHECK_EQ(cut[size], '#');
        CHECK_EQ(strlen(cut), size - 1 < length ? size - 1 : length);
        CHECK_EQ(memcmp(cut, text, strlen(cut)), 0);
    }
    weir_pipeline_destroy(pipeline);
}
