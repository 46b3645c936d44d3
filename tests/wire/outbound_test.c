/* The lines of an attempt. */
#include "wire/wire_words.h"

#include <weir/weir.h>

#include <stdio.h>

/* Copied: then its lines point nowhere, and stand one after the other in its buffer. */
struct sent {
    char buffer[WEIR_WIRE_SIZE];
    const char *lines[WEIR_WIRE_LINES];
    size_t count;
};

static struct sent sent_of(const struct weir_wire_out *out, const struct weir_context *context,
    uint64_t deadline_ns, uint64_t now_ns)
{
    static struct sent sent;
    const struct weir_attempt attempt = { .deadline_ns = deadline_ns, .context = context, .number = 1 };
    memset(&sent, '#', sizeof sent);
    sent.count = weir_wire_lines(out, &attempt, now_ns, sent.buffer, sizeof sent.buffer, sent.lines);
    return sent;
}

static void check_lines(const char *const *lines, size_t count, const char *const *expected)
{
    size_t i = 0;
    for (; expected[i] != NULL; i++) {
        CHECK(i < count);
        CHECK_STR(lines[i], expected[i]);
    }
    CHECK_EQ(count, i);
}
#define CHECK_LINES(out, under, end_ns, ...)                                                          \
    do {                                                                                              \
        static struct sent sent_;                                                                     \
        const struct weir_attempt attempt_ = { .deadline_ns = (end_ns), .context = (under) };         \
        sent_.count =                                                                                 \
            weir_wire_lines((out), &attempt_, START, sent_.buffer, sizeof sent_.buffer, sent_.lines); \
        check_lines(sent_.lines, sent_.count, (const char *const[]) { __VA_ARGS__, NULL });           \
    } while (0)

static struct weir_trace full_trace(void)
{
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, "traceparent", PARENT), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "tracestate", "rojo=1"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "tracestate", "congo=2,x=3"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "baggage", "user=alice"), WEIR_WIRE_REFUSED_NONE);
    return wire.trace;
}

TEST(wire_outbound, nothing_to_say_is_no_line)
{
    CHECK_LINES(NULL, NULL, WEIR_NEVER, NULL);
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    CHECK_LINES(NULL, &context, WEIR_NEVER, NULL);
}

TEST(wire_outbound, what_is_left_less_the_slack)
{
    CHECK_LINES(
        NULL, NULL, START + 250 * WEIR_MS, "grpc-timeout: 250000u", "x-envoy-expected-rq-timeout-ms: 250");
    const struct weir_wire_out *slack = WEIR_CONFIG(weir_wire_out, .slack_ns = 50 * WEIR_MS);
    CHECK_LINES(
        slack, NULL, START + 250 * WEIR_MS, "grpc-timeout: 200000u", "x-envoy-expected-rq-timeout-ms: 200");
    CHECK_LINES(slack, NULL, START + 50 * WEIR_MS, "grpc-timeout: 1n", "x-envoy-expected-rq-timeout-ms: 1");
    CHECK_LINES(slack, NULL, START, "grpc-timeout: 1n", "x-envoy-expected-rq-timeout-ms: 1");
    CHECK_LINES(slack, NULL, START - WEIR_S, "grpc-timeout: 1n", "x-envoy-expected-rq-timeout-ms: 1");
    CHECK_LINES(WEIR_CONFIG(weir_wire_out, .send = WEIR_WIRE_GRPC_TIMEOUT), NULL, START + WEIR_MS,
        "grpc-timeout: 1000000n");
}

TEST(wire_outbound, the_trace_goes_on_with_a_span_of_its_own)
{
    struct weir_trace trace = full_trace();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    weir_context_set_trace(&context, &trace);
    const struct weir_wire_out *span = WEIR_CONFIG(weir_wire_out, .span_id = 0xabcdef);
    CHECK_LINES(span, &context, WEIR_NEVER, "traceparent: 00-" TRACE "-0000000000abcdef-01",
        "tracestate: rojo=1,congo=2,x=3", "baggage: user=alice");
    CHECK_LINES(WEIR_CONFIG(weir_wire_out, .trace = &trace, .span_id = 1), NULL, WEIR_NEVER,
        "traceparent: 00-" TRACE "-0000000000000001-01", "tracestate: rojo=1,congo=2,x=3",
        "baggage: user=alice");
    struct sent first = sent_of(NULL, &context, WEIR_NEVER, START),
                second = sent_of(NULL, &context, WEIR_NEVER, START);
    CHECK_EQ(first.count, 3);
    const char *head = "traceparent: 00-" TRACE "-", *tail = "-01";
    CHECK(memcmp(first.buffer, head, strlen(head)) == 0);
    CHECK_STR(first.buffer + strlen(head) + 16, tail);
    CHECK(strstr(first.buffer, SPAN) == NULL);
    CHECK(strcmp(first.buffer, second.buffer) != 0); /* drawn afresh, though the clock stands still */
}

/* tracestate means nothing without traceparent; baggage stands alone. */
TEST(wire_outbound, without_a_trace_id_only_baggage_goes)
{
    struct weir_trace trace = full_trace();
    memset(trace.trace_id, 0, sizeof trace.trace_id);
    CHECK_LINES(WEIR_CONFIG(weir_wire_out, .trace = &trace), NULL, WEIR_NEVER, "baggage: user=alice");
    CHECK_LINES(
        WEIR_CONFIG(weir_wire_out, .trace = &trace, .send = WEIR_WIRE_TRACESTATE), NULL, WEIR_NEVER, NULL);
}

/* At every size: whole lines only, as many as fit in their order, each that does not is counted, and nothing lies
 * behind the buffer. */
TEST(wire_outbound, what_does_not_fit_is_left_out_and_counted)
{
    struct weir_trace trace = full_trace();
    const struct weir_wire_out *out = WEIR_CONFIG(weir_wire_out, .trace = &trace, .span_id = 1);
    const struct weir_attempt attempt = { .deadline_ns = START + WEIR_MS };
    struct sent whole = sent_of(out, NULL, START + WEIR_MS, START);
    CHECK_EQ(whole.count, 5);
    for (size_t size = 0; size < 300; size++) {
        char buffer[301];
        const char *lines[WEIR_WIRE_LINES];
        memset(buffer, '#', sizeof buffer);
        uint64_t unsent = weir_wire_stats().unsent;
        size_t count = weir_wire_lines(out, &attempt, START, buffer, size, lines), used = 0, expected = 0;
        for (size_t i = 0, at = 0; i < whole.count; i++) {
            const char *line = whole.buffer + at;
            at += strlen(line) + 1;
            if (used + strlen(line) + 1 > size) continue;
            CHECK(expected < count);
            CHECK_STR(lines[expected], line);
            expected++;
            used += strlen(line) + 1;
        }
        CHECK_EQ(count, expected);
        CHECK_EQ(weir_wire_stats().unsent, unsent + whole.count - count);
        for (size_t i = size; i < sizeof buffer; i++) CHECK_EQ(buffer[i], '#');
    }
}

/* All that may come in goes out again, in a buffer of WEIR_WIRE_SIZE. */
TEST(wire_outbound, the_longest_lines_fit)
{
    static char state[513], baggage[8193];
    memset(state, 'v', 512);
    memcpy(state, "k=", 2);
    memcpy(state + 256, ",l=", 3);
    memset(baggage, 'v', 8192);
    memcpy(baggage, "k=", 2);
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, "traceparent", PARENT), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "tracestate", state), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "baggage", baggage), WEIR_WIRE_REFUSED_NONE);
    struct sent sent = sent_of(WEIR_CONFIG(weir_wire_out, .trace = &wire.trace), NULL, UINT64_MAX - 1, 0);
    CHECK_EQ(sent.count, 5);
}

/* A trace that the program filled in itself cannot smuggle a header. */
TEST(wire_outbound, texts_that_would_be_refused_do_not_go_out)
{
    static const struct weir_wire_text bad[] = { { "a=1\r\nx-evil: 1", 14 }, { "a=1\0", 4 }, { "a", 1 },
        { "a=1\n", 4 }, { "A=1 2", 5 } };
    struct weir_trace trace = full_trace();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int part = 0; part < 2; part++) {
            trace.state[part] = trace.baggage[part] = bad[i];
            uint64_t unsent = weir_wire_stats().unsent;
            CHECK_LINES(WEIR_CONFIG(weir_wire_out, .trace = &trace, .span_id = 1), NULL, WEIR_NEVER,
                "traceparent: 00-" TRACE "-0000000000000001-01");
            CHECK_EQ(weir_wire_stats().unsent, unsent + 2);
            trace.state[0] = trace.baggage[0] = TEXT("good=1");
            trace.state[1] = trace.baggage[1] = (struct weir_wire_text) { NULL, 0 };
        }
    }
}

/* ---- through a pipeline, request to nested call ---- */

struct asked {
    struct sent sent;
    uint64_t now_ns;
    uint64_t deadline_ns;
};

static struct weir_outcome ask(void *argument, const struct weir_attempt *attempt)
{
    struct asked *asked = argument;
    struct sent *sent = &asked->sent;
    asked->deadline_ns = attempt->deadline_ns;
    sent->count =
        weir_wire_lines(NULL, attempt, asked->now_ns, sent->buffer, sizeof sent->buffer, sent->lines);
    return (struct weir_outcome) { .status = WEIR_OK };
}

TEST(wire_outbound, a_nested_call_is_never_promised_more_than_its_request)
{
    static struct asked asked;
    struct weir_wire wire = fresh();
    struct weir_context request;
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, NULL, 0, &pipeline), WEIR_E_NONE);
    CHECK_EQ(give(&wire, "grpc-timeout", "80m"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "traceparent", PARENT), WEIR_WIRE_REFUSED_NONE);
    weir_wire_context(&request, NULL, &wire, START, NULL);
    asked.now_ns = START + 30 * WEIR_MS; /* in a queue meanwhile */
    CHECK_EQ(
        weir_run_at(pipeline, WEIR_CONFIG(weir_call_options, .context = &request), ask, &asked, asked.now_ns)
            .status,
        WEIR_OK);
    CHECK_EQ(asked.deadline_ns, START + 80 * WEIR_MS);
    CHECK_EQ(asked.sent.count, 3);
    CHECK_STR(asked.sent.lines[0], "grpc-timeout: 50000000n");
    CHECK_STR(asked.sent.lines[1], "x-envoy-expected-rq-timeout-ms: 50");
    struct weir_wire nested = fresh();
    CHECK_EQ(
        give(&nested, "traceparent", asked.sent.lines[2] + strlen("traceparent: ")), WEIR_WIRE_REFUSED_NONE);
    CHECK(memcmp(nested.trace.trace_id, wire.trace.trace_id, 16) == 0);
    CHECK(memcmp(nested.trace.span_id, wire.trace.span_id, 8) != 0);
    weir_pipeline_destroy(pipeline);
}

TEST(wire_outbound, misuse)
{
    const struct weir_attempt attempt = { .deadline_ns = START };
    const char *lines[WEIR_WIRE_LINES];
    char buffer[8];
    const struct weir_wire_out unknown = { .size = 3 };
    CHECK_ABORTS(weir_wire_lines(NULL, NULL, 0, buffer, 8, lines), "weir: weir_wire_lines: attempt is NULL");
    CHECK_ABORTS(weir_wire_lines(NULL, &attempt, 0, NULL, 8, lines), "weir: weir_wire_lines: buffer is NULL");
    CHECK_ABORTS(weir_wire_lines(NULL, &attempt, 0, buffer, 8, NULL), "weir: weir_wire_lines: lines is NULL");
    CHECK_ABORTS(weir_wire_lines(&unknown, &attempt, 0, buffer, 8, lines),
        "weir: weir_wire_lines: out.size is unknown");
}
