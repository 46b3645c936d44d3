#include "pipeline/order.h"

#include <stdio.h>
#include <string.h>

/* The order made so far has exactly these findings: "kind position" each, as in the list. */
struct expected {
    enum weir_finding_kind kind;
    uint32_t position;
};

static char last_text[192];

static void has(uint64_t deadline_ns, size_t count, const struct expected *expected)
{
    struct weir_finding findings[16];
    struct weir_pipeline *pipeline = order_made();
    size_t all = weir_pipeline_lint(pipeline, deadline_ns, findings, 16);
    for (size_t i = 0; i < all; i++) {
        if (all != count)
            printf("finding %d at %u: %s\n", findings[i].kind, findings[i].position, findings[i].text);
    }
    CHECK_EQ(all, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(findings[i].kind, expected[i].kind);
        CHECK_EQ(findings[i].position, expected[i].position);
        CHECK(strlen(findings[i].text) > 20);
        strcpy(last_text, findings[i].text);
    }
    weir_pipeline_destroy(pipeline);
}

static void has_one(uint64_t deadline_ns, enum weir_finding_kind kind, uint32_t position)
{
    has(deadline_ns, 1, &(struct expected) { kind, position });
}

static void has_none(uint64_t deadline_ns)
{
    has(deadline_ns, 0, NULL);
}

TEST(lint, finds_nothing_in_a_sound_order)
{
    ORDER_ADD(fallback, .name = "f");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(retry, .attempts = 3);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(rate, .wait_max_ns = 100 * WEIR_MS);
    ORDER_ADD(bulkhead, .queue = 10, .wait_max_ns = 100 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 300 * WEIR_MS);
    has_none(2 * WEIR_S);
}

TEST(lint, no_timeout)
{
    has_one(0, WEIR_FINDING_NO_TIMEOUT, 0);
    CHECK_STR(last_text,
        "pipeline \"p\" has no timeout: a call without a deadline may take for ever; add one, "
        "outermost");
    ORDER_ADD(bulkhead, .limit = 3);
    has_one(0, WEIR_FINDING_NO_TIMEOUT, 0);
    ORDER_ADD(bulkhead, .limit = 3);
    has_none(WEIR_S); /* the callers bring a deadline */
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    has_none(0);
}

TEST(lint, retry_inside_breaker)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(retry, .name = "r", .attempts = 4);
    ORDER_ADD(timeout, .timeout_ns = 100 * WEIR_MS);
    has_one(0, WEIR_FINDING_RETRY_INSIDE_BREAKER, 2);
    CHECK_STR(last_text,
        "retry \"r\" is inside breaker \"b\", which sees only the last of 4 attempts: put the retry "
        "outside");
    ORDER_ADD(timeout, .timeout_ns = 2 * WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(retry, .attempts = 1); /* never retries */
    has_none(0);
}

TEST(lint, timeout_above_deadline)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S, .name = "outer");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S - 1);
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S, .name = "outer");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S, .name = "inner");
    has_one(0, WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, 1);
    CHECK_STR(last_text,
        "timeout \"inner\" of 1 s never ends anything: timeout \"outer\" leaves it 1 s; make it "
        "shorter");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    has_one(800 * WEIR_MS, WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, 0);
    CHECK_STR(last_text,
        "timeout \"timeout\" of 1 s never ends anything: the callers' deadline leaves it 800 ms; "
        "make it shorter");
}

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK, 0);
}

TEST(lint, a_reserve_is_taken_off_the_deadline)
{
    ORDER_ADD(timeout, .timeout_ns = 500 * WEIR_MS);
    ORDER_ADD(fallback, .function = light, .reserve_ns = 100 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 400 * WEIR_MS);
    has_one(0, WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, 2);
    ORDER_ADD(timeout, .timeout_ns = 500 * WEIR_MS);
    ORDER_ADD(fallback, .function = light, .reserve_ns = 100 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 399 * WEIR_MS);
    has_none(0);
    ORDER_ADD(
        fallback, .function = light, .reserve_ns = 100 * WEIR_MS); /* no deadline: nothing to take off */
    has_one(0, WEIR_FINDING_NO_TIMEOUT, 0);
}

TEST(lint, breaker_never_trips)
{
    ORDER_ADD(breaker, .name = "b");
    has_one(999 * WEIR_MS, WEIR_FINDING_BREAKER_NEVER_TRIPS, 0);
    CHECK_STR(last_text,
        "breaker \"b\": the callers' deadline of 999 ms ends silent calls before they count (1 s), "
        "no timeout inside does; add one");
    ORDER_ADD(breaker, .name = "b");
    has_none(WEIR_S); /* late failures count from one second on */
    ORDER_ADD(breaker, .late_failure_ns = 100 * WEIR_MS);
    has_none(500 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 800 * WEIR_MS);
    ORDER_ADD(breaker, .name = "b");
    has_one(0, WEIR_FINDING_BREAKER_NEVER_TRIPS, 1);
    ORDER_ADD(timeout, .timeout_ns = 800 * WEIR_MS);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(timeout, .timeout_ns = 700 * WEIR_MS);
    has_none(0);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(timeout, .timeout_ns = 2 * WEIR_S);
    has_none(0); /* without a deadline outside the timeout inside is it */
}

TEST(lint, a_timeout_inside_that_comes_too_late_does_not_trip_the_breaker)
{
    ORDER_ADD(timeout, .timeout_ns = 800 * WEIR_MS);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(timeout, .timeout_ns = 900 * WEIR_MS);
    has(0, 2,
        (struct expected[]) {
            { WEIR_FINDING_BREAKER_NEVER_TRIPS, 1 }, { WEIR_FINDING_TIMEOUT_ABOVE_DEADLINE, 2 } });
}

TEST(lint, retry_cannot_fit)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S, .name = "call");
    ORDER_ADD(retry, .name = "r", .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 100 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 900 * WEIR_MS);
    has_one(0, WEIR_FINDING_RETRY_CANNOT_FIT, 1);
    CHECK_STR(last_text,
        "retry \"r\": an attempt with its waits (900 ms) and a back-off (100 ms) fill timeout \"call\" (1 "
        "s); no "
        "retry follows: shorten them");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(retry, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 100 * WEIR_MS - 1);
    ORDER_ADD(timeout, .timeout_ns = 900 * WEIR_MS);
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S); /* full jitter may be nothing at all */
    ORDER_ADD(retry, .backoff = WEIR_BACKOFF_FULL, .base_ns = 100 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 950 * WEIR_MS);
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S); /* a back-off alone that is longer than the deadline */
    ORDER_ADD(retry, .backoff = WEIR_BACKOFF_EXPONENTIAL, .base_ns = WEIR_S);
    has_one(0, WEIR_FINDING_RETRY_CANNOT_FIT, 1);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S); /* the queue counts too */
    ORDER_ADD(retry, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 100 * WEIR_MS);
    ORDER_ADD(bulkhead, .queue = 1, .wait_max_ns = 500 * WEIR_MS);
    ORDER_ADD(timeout, .timeout_ns = 400 * WEIR_MS);
    has_one(0, WEIR_FINDING_RETRY_CANNOT_FIT, 1);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(retry, .attempts = 1, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_S);
    has_none(0);
}

TEST(lint, retry_around_retry)
{
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
    ORDER_ADD(retry, .name = "a", .attempts = 3);
    ORDER_ADD(retry, .name = "b", .attempts = 4);
    has_one(0, WEIR_FINDING_RETRY_AROUND_RETRY, 2);
    CHECK_STR(last_text, "retry \"b\" inside retry \"a\": up to 12 attempts for one call; keep one of them");
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
    ORDER_ADD(retry, .attempts = 1);
    ORDER_ADD(retry, .attempts = 4);
    has_none(0);
}

TEST(lint, bulkhead_outside_retry)
{
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
    ORDER_ADD(bulkhead, .name = "b");
    ORDER_ADD(retry, .name = "r", .attempts = 3);
    has_one(0, WEIR_FINDING_BULKHEAD_OUTSIDE_RETRY, 1);
    CHECK_STR(last_text,
        "bulkhead \"b\" is outside retry \"r\": a permit is held during back-offs of up to 100 ms; put "
        "the bulkhead inside");
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
    ORDER_ADD(retry, .attempts = 3);
    ORDER_ADD(bulkhead, .name = "b");
    has_none(0);
}

TEST(lint, fallback_inside_retry_and_breaker)
{
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S);
    ORDER_ADD(retry, .name = "r");
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(fallback, .name = "f");
    has(0, 2,
        (struct expected[]) {
            { WEIR_FINDING_FALLBACK_INSIDE_RETRY, 3 }, { WEIR_FINDING_FALLBACK_INSIDE_BREAKER, 3 } });
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S); /* what it hides is nothing that they look at */
    ORDER_ADD(retry, .name = "r");
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(fallback, .on = WEIR_ON(WEIR_REJECTED));
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S); /* a retry of what is overloaded only */
    ORDER_ADD(retry, .on = WEIR_ON(WEIR_OVERLOADED));
    ORDER_ADD(fallback, .on = WEIR_ON(WEIR_FAILED));
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = 10 * WEIR_S); /* one that would not try it again anyhow */
    ORDER_ADD(retry, .attempts = 1);
    ORDER_ADD(fallback, .on = WEIR_ON(WEIR_FAILED));
    has_none(0);
}

TEST(lint, wait_above_deadline)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S, .name = "t");
    ORDER_ADD(bulkhead, .name = "b", .queue = 5, .wait_max_ns = WEIR_S);
    has_one(0, WEIR_FINDING_WAIT_ABOVE_DEADLINE, 1);
    CHECK_STR(last_text,
        "bulkhead \"b\" lets calls wait for 1 s, but timeout \"t\" leaves 1 s: who waits so long has no "
        "time left; wait less");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(bulkhead, .queue = 0, .wait_max_ns = 5 * WEIR_S); /* nobody waits */
    has_none(0);
    ORDER_ADD(rate, .wait_max_ns = WEIR_S);
    has_one(WEIR_S, WEIR_FINDING_WAIT_ABOVE_DEADLINE, 0);
    ORDER_ADD(rate, .wait_max_ns = WEIR_S);
    has_none(WEIR_S + 1);
}

/* The longest names still leave room for what to do. */
TEST(lint, texts_are_not_cut)
{
    char name[64];
    memset(name, 'n', 63);
    name[63] = '\0';
    name[0] = '\n';
    ORDER_ADD(timeout, .timeout_ns = 86399 * WEIR_S, .name = name);
    ORDER_ADD(bulkhead, .queue = 5, .wait_max_ns = 86400 * WEIR_S, .name = name);
    ORDER_ADD(breaker, .late_failure_ns = 3600 * WEIR_S, .name = name);
    ORDER_ADD(
        retry, .attempts = 100, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 3600 * WEIR_S, .name = name);
    ORDER_ADD(
        retry, .attempts = 100, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 3600 * WEIR_S, .name = name);
    ORDER_ADD(fallback, .name = name);
    ORDER_ADD(timeout, .timeout_ns = 86400 * WEIR_S, .name = name);
    struct weir_finding findings[32];
    struct weir_pipeline *pipeline = order_made();
    size_t count = weir_pipeline_lint(pipeline, 999999999, findings, 32);
    CHECK(count >= 9);
    for (size_t i = 0; i < count; i++) {
        if (strlen(findings[i].text) >= sizeof findings[i].text - 1) printf("%s\n", findings[i].text);
        CHECK(strlen(findings[i].text) < sizeof findings[i].text - 1);
        CHECK(strchr(findings[i].text, '\n') == NULL);
    }
    weir_pipeline_destroy(pipeline);
}

TEST(lint, chaos_belongs_innermost)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(chaos, .name = "c", .error_ppm = 1);
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(chaos, .name = "c", .error_ppm = 1);
    ORDER_ADD(bulkhead, .name = "slots");
    has_one(0, WEIR_FINDING_CHAOS_NOT_INNERMOST, 1);
    CHECK_STR(last_text,
        "chaos \"c\" is outside bulkhead \"slots\": what is inside it is not tried; put chaos innermost");
}

TEST(lint, counts_all_and_writes_max)
{
    ORDER_ADD(bulkhead, .queue = 5, .wait_max_ns = WEIR_S);
    ORDER_ADD(timeout, .timeout_ns = 2 * WEIR_S);
    struct weir_pipeline *pipeline = order_made();
    struct weir_finding one[2] = { { .kind = WEIR_FINDINGS }, { .kind = WEIR_FINDINGS } };
    CHECK_EQ(weir_pipeline_lint(pipeline, WEIR_S, NULL, 0), 2);
    CHECK_EQ(weir_pipeline_lint(pipeline, WEIR_S, one, 1), 2);
    CHECK_EQ(one[0].kind, WEIR_FINDING_WAIT_ABOVE_DEADLINE);
    CHECK_EQ(one[1].kind, WEIR_FINDINGS);
    weir_pipeline_destroy(pipeline);
}

TEST(lint, aborts_without_a_pipeline)
{
    CHECK_ABORTS((void)weir_pipeline_lint(NULL, 0, NULL, 0), "weir_pipeline_lint: pipeline is NULL");
}

TEST(lint, a_gate_behind_what_its_refused_calls_take)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(fallback, .name = "old");
    ORDER_ADD(gate, .name = "new");
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(bulkhead, .name = "h");
    has_none(0);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(bulkhead, .name = "h");
    ORDER_ADD(gate, .name = "new");
    has_one(0, WEIR_FINDING_GATE_INSIDE, 2);
    CHECK_STR(last_text,
        "gate \"new\" is inside bulkhead \"h\", of which calls that it refuses take a part first: put the "
        "gate "
        "outside");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(rate, .name = "r");
    ORDER_ADD(gate, .name = "new");
    has_one(0, WEIR_FINDING_GATE_INSIDE, 2);
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(rate, .name = "r");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(gate, .name = "new");
    has_one(0, WEIR_FINDING_GATE_INSIDE, 3); /* once, though two are outside it */
    CHECK(strstr(last_text, "breaker \"b\"") != NULL);
}
