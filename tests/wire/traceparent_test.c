/* traceparent: the vectors of W3C Trace Context, level 1, 3.2 and 4.3 and of its test suite, and what is written. */
#include "wire/wire_words.h"

static const char name[] = "traceparent";

static void check_bad(const char *value)
{
    check_refused(name, value, strlen(value), WEIR_WIRE_REFUSED_SYNTAX);
}

static struct weir_trace trace_of(const char *value)
{
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, name, value), WEIR_WIRE_REFUSED_NONE);
    return wire.trace;
}

TEST(wire_traceparent, reads_its_fields)
{
    static const uint8_t trace_id[] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92,
        0x9d, 0x0e, 0x0e, 0x47, 0x36 };
    static const uint8_t span_id[] = { 0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7 };
    struct weir_trace trace = trace_of(PARENT);
    CHECK(memcmp(trace.trace_id, trace_id, sizeof trace_id) == 0);
    CHECK(memcmp(trace.span_id, span_id, sizeof span_id) == 0);
    CHECK_EQ(trace.flags, 1);
    CHECK_EQ(trace_of("00-" TRACE "-" SPAN "-00").flags, 0);
    CHECK_EQ(trace_of("00-" TRACE "-" SPAN "-ff").flags, 3); /* of the others nobody knows what they say */
    CHECK_EQ(trace_of(" \t" PARENT "\t ").flags, 1);
}

TEST(wire_traceparent, version_00_is_exactly_that_long)
{
    check_bad("00-" TRACE "-" SPAN "-01-");
    check_bad("00-" TRACE "-" SPAN "-01.");
    check_bad("00-" TRACE "-" SPAN "-01-what-the-future-will-be-like");
    check_bad("00-" TRACE "-" SPAN "-0");
    check_bad("00-" TRACE "-" SPAN "-");
    check_bad("00-" TRACE "-" SPAN);
    check_bad("");
}

TEST(wire_traceparent, later_versions_may_go_on_and_ff_is_none)
{
    CHECK_EQ(trace_of("01-" TRACE "-" SPAN "-01").flags, 1);
    CHECK_EQ(trace_of("cc-" TRACE "-" SPAN "-01").flags, 1);
    CHECK_EQ(trace_of("cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like").flags, 1);
    check_bad("cc-" TRACE "-" SPAN "-01.what-the-future-will-be-like");
    check_bad("cc-" TRACE "-" SPAN "-0");
    check_bad("ff-" TRACE "-" SPAN "-01");
    check_bad("0-" TRACE "-" SPAN "-01");
    check_bad("000-" TRACE "-" SPAN "-01");
    char longest[258] = "cc-" TRACE "-" SPAN "-01-";
    memset(longest + 56, 'x', 200);
    check_taken(name, longest);
    longest[256] = 'x';
    check_refused(name, longest, 257, WEIR_WIRE_REFUSED_LONG);
}

TEST(wire_traceparent, ids_of_zeroes_are_none)
{
    check_bad("00-00000000000000000000000000000000-" SPAN "-01");
    check_bad("00-" TRACE "-0000000000000000-01");
    check_taken(name, "00-00000000000000000000000000000001-0000000000000001-00");
    check_taken(name, "00-10000000000000000000000000000000-1000000000000000-00");
}

/* Every place, every character: lower hex digits, a dash where one belongs, nothing else. */
TEST(wire_traceparent, each_character_is_one_of_its_place)
{
    for (size_t at = 0; at < 55; at++) {
        for (int c = 0; c < 256; c++) {
            char value[] = PARENT;
            value[at] = (char)c;
            bool dash = PARENT[at] == '-', digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool good = dash ? c == '-' : digit;
            bool control = (c < 0x20 && c != '\t') || c == 0x7f;
            check_refused(name, value, 55,
                good          ? WEIR_WIRE_REFUSED_NONE
                    : control ? WEIR_WIRE_REFUSED_CONTROL
                              : WEIR_WIRE_REFUSED_SYNTAX);
        }
    }
}

TEST(wire_traceparent, writes_a_child_of_the_same_trace)
{
    struct weir_trace trace = trace_of("cc-" TRACE "-" SPAN "-03-more"), child;
    char value[WEIR_WIRE_TRACEPARENT_SIZE];
    CHECK_EQ(weir_wire_traceparent(value, sizeof value, &trace, UINT64_C(0xb7ad6b7169203331)), 55);
    CHECK_STR(value, "00-" TRACE "-b7ad6b7169203331-03");
    child = trace_of(value);
    CHECK(memcmp(child.trace_id, trace.trace_id, sizeof trace.trace_id) == 0);
    trace.flags = 0xff;
    CHECK_EQ(weir_wire_traceparent(value, sizeof value, &trace, 1), 55);
    CHECK_STR(value, "00-" TRACE "-0000000000000001-03");
}

TEST(wire_traceparent, writes_nothing_where_there_is_none)
{
    struct weir_trace trace = trace_of(PARENT), none = { .flags = 1 };
    char value[WEIR_WIRE_TRACEPARENT_SIZE] = "x";
    CHECK_EQ(weir_wire_traceparent(value, sizeof value, &none, 1), 0);
    CHECK_STR(value, "");
    value[0] = 'x';
    CHECK_EQ(weir_wire_traceparent(value, sizeof value, &trace, 0), 0);
    CHECK_STR(value, "");
    value[55] = '#';
    CHECK_EQ(weir_wire_traceparent(value, 55, &trace, 1), 0);
    CHECK_EQ(value[55], '#');
    CHECK_EQ(weir_wire_traceparent(NULL, 0, &trace, 1), 0);
    CHECK_ABORTS(weir_wire_traceparent(NULL, 1, &trace, 1), "weir: weir_wire_traceparent: buffer is NULL");
    CHECK_ABORTS(weir_wire_traceparent(value, 1, NULL, 1), "weir: weir_wire_traceparent: trace is NULL");
    CHECK_ABORTS(weir_wire_span(NULL, 1), "weir: weir_wire_span: trace is NULL");
}

/* With a clock that stands still. */
TEST(wire_traceparent, span_ids_are_all_different)
{
    enum { SPANS = 2000 };
    static uint64_t span[SPANS];
    struct weir_trace trace = trace_of(PARENT);
    for (int i = 0; i < SPANS; i++) {
        span[i] = weir_wire_span(&trace, START);
        CHECK(span[i] != 0);
        for (int j = 0; j < i; j++) CHECK(span[j] != span[i]);
    }
}
