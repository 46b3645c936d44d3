/* grpc-timeout and x-envoy-expected-rq-timeout-ms: what is read, what is written, and that writing what was read
 * never grows it. */
#include "wire/wire_words.h"

#include <inttypes.h>

static const char grpc[] = "grpc-timeout", envoy[] = "x-envoy-expected-rq-timeout-ms";

static uint64_t read_left(const char *name, const char *value)
{
    struct weir_wire wire = fresh();
    enum weir_wire_refusal refusal = give(&wire, name, value);
    if (refusal != WEIR_WIRE_REFUSED_NONE) {
        check_failed(__FILE__, __LINE__, "%s: %s: %s", name, value, weir_wire_refusal_text(refusal));
    }
    return weir_wire_deadline(&wire, 0);
}

TEST(wire_timeout, grpc_reads_each_unit)
{
    CHECK_EQ(read_left(grpc, "1H"), 3600 * WEIR_S);
    CHECK_EQ(read_left(grpc, "2M"), 120 * WEIR_S);
    CHECK_EQ(read_left(grpc, "3S"), 3 * WEIR_S);
    CHECK_EQ(read_left(grpc, "100m"), 100 * WEIR_MS);
    CHECK_EQ(read_left(grpc, "82u"), 82 * WEIR_US);
    CHECK_EQ(read_left(grpc, "99999999n"), 99999999);
    CHECK_EQ(read_left(grpc, "00000005S"), 5 * WEIR_S);
    CHECK_EQ(read_left(grpc, "0n"), 0); /* nothing left: what grpc-java writes then */
    CHECK_EQ(read_left(grpc, " \t7m\t "), 7 * WEIR_MS);
}

TEST(wire_timeout, what_overflows_has_no_end)
{
    CHECK_EQ(read_left(grpc, "99999999H"), WEIR_NEVER);
    CHECK_EQ(read_left(grpc, "5124095H"), 5124095 * (3600 * WEIR_S));
    CHECK_EQ(read_left(grpc, "5124096H"), WEIR_NEVER);
    CHECK_EQ(read_left(envoy, "18446744073709551615"), WEIR_NEVER);
    CHECK_EQ(read_left(envoy, "99999999999999999999"), WEIR_NEVER); /* beyond 64 bits itself */
    CHECK_EQ(read_left(envoy, "18446744073709"), UINT64_C(18446744073709) * WEIR_MS);
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, grpc, "5124095H"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(weir_wire_deadline(&wire, UINT64_MAX - WEIR_S), WEIR_NEVER);
}

TEST(wire_timeout, envoy_reads_milliseconds_and_0_is_no_limit)
{
    CHECK_EQ(read_left(envoy, "250"), 250 * WEIR_MS);
    CHECK_EQ(read_left(envoy, "1"), WEIR_MS);
    CHECK_EQ(read_left(envoy, "0"), WEIR_NEVER);
    CHECK_EQ(read_left(envoy, "000"), WEIR_NEVER);
}

TEST(wire_timeout, what_breaks_the_grammar_is_refused)
{
    static const char *const bad_grpc[] = { "", "S", "5", "5s", "5h", "5N", "5 S", "-5S", "+5S", "5.5S",
        "5SS", "5S5", "0x5S", "5S,5S", "1\xc2\xb5", "1e3m" };
    static const char *const bad_envoy[] = { "", "-1", "+1", "1.5", "1 2", "1ms", "0x10", "1,1", "\xb2" };
    for (size_t i = 0; i < sizeof bad_grpc / sizeof bad_grpc[0]; i++)
        check_refused(grpc, bad_grpc[i], strlen(bad_grpc[i]), WEIR_WIRE_REFUSED_SYNTAX);
    for (size_t i = 0; i < sizeof bad_envoy / sizeof bad_envoy[0]; i++)
        check_refused(envoy, bad_envoy[i], strlen(bad_envoy[i]), WEIR_WIRE_REFUSED_SYNTAX);
    check_refused(grpc, "123456789S", 10, WEIR_WIRE_REFUSED_LONG);
    check_refused(grpc, "123456789", 9, WEIR_WIRE_REFUSED_SYNTAX);
    check_refused(envoy, "100000000000000000000", 21, WEIR_WIRE_REFUSED_LONG);
}

TEST(wire_timeout, control_characters_are_refused)
{
    for (int c = 0; c < 256; c++) {
        char value[] = { '5', (char)c, 'S' };
        bool control = (c < 0x20 && c != '\t') || c == 0x7f;
        if (c >= '0' && c <= '9') continue;
        check_refused(grpc, value, 3, control ? WEIR_WIRE_REFUSED_CONTROL : WEIR_WIRE_REFUSED_SYNTAX);
        value[2] = '5';
        check_refused(envoy, value, 3, control ? WEIR_WIRE_REFUSED_CONTROL : WEIR_WIRE_REFUSED_SYNTAX);
    }
    check_refused(grpc, "5S\r\n", 4, WEIR_WIRE_REFUSED_CONTROL);
    check_refused(grpc, "5S\0", 3, WEIR_WIRE_REFUSED_CONTROL);
}

static void check_written(uint64_t left_ns, const char *as_grpc, const char *as_envoy)
{
    char buffer[WEIR_WIRE_ENVOY_SIZE];
    CHECK_EQ(weir_wire_grpc_timeout(buffer, WEIR_WIRE_GRPC_SIZE, left_ns), strlen(as_grpc));
    CHECK_STR(buffer, as_grpc);
    CHECK_EQ(weir_wire_envoy_timeout(buffer, sizeof buffer, left_ns), strlen(as_envoy));
    CHECK_STR(buffer, as_envoy);
}

TEST(wire_timeout, writes_the_finest_unit_that_fits)
{
    check_written(99999999, "99999999n", "99");
    check_written(100000000, "100000u", "100");
    check_written(100000999, "100000u", "100");
    check_written(99999999999, "99999999u", "99999");
    check_written(100 * WEIR_S, "100000m", "100000");
    check_written(100000 * WEIR_S, "100000S", "100000000");
    check_written(100000000 * WEIR_S, "1666666M", "100000000000");
    check_written(UINT64_C(7000000000) * WEIR_S, "1944444H", "7000000000000");
    check_written(UINT64_MAX - 1, "5124095H", "18446744073709");
}

/* 0 would be no value to one, no limit to the other. */
TEST(wire_timeout, nothing_left_is_the_smallest_value)
{
    check_written(0, "1n", "1");
    check_written(1, "1n", "1");
    check_written(WEIR_MS - 1, "999999n", "1");
    check_written(WEIR_MS, "1000000n", "1");
    check_written(2 * WEIR_MS - 1, "1999999n", "1");
    check_written(WEIR_NEVER, "", "");
}

TEST(wire_timeout, a_buffer_too_small_gets_an_empty_text)
{
    for (size_t size = 0; size < WEIR_WIRE_ENVOY_SIZE; size++) {
        char buffer[WEIR_WIRE_ENVOY_SIZE + 1];
        memset(buffer, '#', sizeof buffer);
        size_t fits = size > 9 ? 9 : 0;
        CHECK_EQ(weir_wire_grpc_timeout(buffer, size, 99999999), fits);
        if (size != 0) CHECK_EQ(strlen(buffer), fits);
        CHECK_EQ(buffer[size], '#');
        memset(buffer, '#', sizeof buffer);
        fits = size > 14 ? 14 : 0;
        CHECK_EQ(weir_wire_envoy_timeout(buffer, size, UINT64_MAX - 1), fits);
        if (size != 0) CHECK_EQ(strlen(buffer), fits);
        CHECK_EQ(buffer[size], '#');
    }
    CHECK_ABORTS(weir_wire_grpc_timeout(NULL, 1, 5), "weir: weir_wire_grpc_timeout: buffer is NULL");
    CHECK_ABORTS(weir_wire_envoy_timeout(NULL, 1, 5), "weir: weir_wire_envoy_timeout: buffer is NULL");
}

/* From any value: what is read back is no more, and less by one part in 100000 at most. */
TEST(wire_timeout, a_round_trip_never_grows)
{
    const uint64_t seed = 20261128;
    uint64_t random = seed;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t left_ns = draw(&random) >> draw(&random) % 64;
        if (left_ns == WEIR_NEVER) continue;
        char as_grpc[WEIR_WIRE_GRPC_SIZE], as_envoy[WEIR_WIRE_ENVOY_SIZE];
        CHECK(weir_wire_grpc_timeout(as_grpc, sizeof as_grpc, left_ns) != 0);
        CHECK(weir_wire_envoy_timeout(as_envoy, sizeof as_envoy, left_ns) != 0);
        uint64_t by_grpc = read_left(grpc, as_grpc), by_envoy = read_left(envoy, as_envoy);
        bool good = by_grpc <= (left_ns == 0 ? 1 : left_ns) && by_grpc >= left_ns - left_ns / 100000 &&
            by_envoy <= (left_ns < WEIR_MS ? WEIR_MS : left_ns) && by_envoy + WEIR_MS > left_ns;
        if (!good) {
            check_failed(__FILE__, __LINE__, "seed %" PRIu64 ", %u: %" PRIu64 " ns was written as %s and %s",
                seed, i, left_ns, as_grpc, as_envoy);
        }
    }
}
