/* traceparent, by W3C Trace Context (https://www.w3.org/TR/trace-context/):
 *
 *     version "-" trace-id "-" parent-id "-" trace-flags          lower hex digits only
 *     00        - 32         - 16          - 2            = 55
 *
 * Version 00 is exactly that. A later one may go on after a further "-"; ff is none. An id of zeroes is none. */
#include "base/arithmetic.h"
#include "wire/wire.h"

#include <string.h>

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, LENGTH = 55 };
#define FLAGS_KNOWN 3 /* sampled, random */

/* 16: no digit. */
static uint32_t digit_of(char c)
{
    if (c >= '0' && c <= '9') return (uint32_t)(c - '0');
    return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10 : 16;
}

static bool take_hex(const char *digits, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t high = digit_of(digits[2 * i]), low = digit_of(digits[2 * i + 1]);
        if (high > 15 || low > 15) return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static char *put_hex(char *place, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *place++ = digits[bytes[i] >> 4];
        *place++ = digits[bytes[i] & 15];
    }
    return place;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) any |= bytes[i];
    return any == 0;
}

bool wire_is_traced(const struct weir_trace *trace)
{
    return !is_zero(trace->trace_id, sizeof trace->trace_id);
}

static bool has_version(struct weir_wire_text text)
{
    uint8_t version;
    if (text.size < LENGTH || !take_hex(text.text, &version, 1) || version == 0xff) return false;
    if (text.size == LENGTH) return true;
    return version != 0 && text.text[LENGTH] == '-';
}

bool wire_traceparent(struct weir_wire_text text, struct weir_trace *trace)
{
    struct weir_trace new = { .flags = 0 };
    if (!has_version(text)) return false;
    const char *at = text.text;
    if (at[TRACE_AT - 1] != '-' || at[SPAN_AT - 1] != '-' || at[FLAGS_AT - 1] != '-') return false;
    if (!take_hex(at + TRACE_AT, new.trace_id, sizeof new.trace_id)) return false;
    if (!take_hex(at + SPAN_AT, new.span_id, sizeof new.span_id)) return false;
    if (!take_hex(at + FLAGS_AT, &new.flags, 1)) return false;
    if (!wire_is_traced(&new) || is_zero(new.span_id, sizeof new.span_id)) return false;
    memcpy(trace->trace_id, new.trace_id, sizeof new.trace_id);
    memcpy(trace->span_id, new.span_id, sizeof new.span_id);
    trace->flags = new.flags &FLAGS_KNOWN;
    return true;
}

size_t weir_wire_traceparent(char *buffer, size_t size, const struct weir_trace *trace, uint64_t span_id)
{
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_wire_traceparent", "buffer is NULL");
    WEIR_REQUIRE(trace != NULL, "weir_wire_traceparent", "trace is NULL");
    if (size != 0) buffer[0] = '\0';
    if (size <= LENGTH || !wire_is_traced(trace) || span_id == 0) return 0;
    uint8_t span[8], version = 0, flags = trace->flags & FLAGS_KNOWN;
    for (uint32_t i = 0; i < sizeof span; i++) span[i] = (uint8_t)(span_id >> (56 - 8 * i));
    char *at = put_hex(buffer, &version, 1);
    *at++ = '-';
    at = put_hex(at, trace->trace_id, sizeof trace->trace_id);
    *at++ = '-';
    at = put_hex(at, span, sizeof span);
    *at++ = '-';
    *put_hex(at, &flags, 1) = '\0';
    return LENGTH;
}

static uint64_t word_of(const uint8_t bytes[8])
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Another for each call on this line of this process, however still the clock stands; what the other lines, processes
 * and hosts of the same trace draw differs by where they are and when. */
uint64_t weir_wire_span(const struct weir_trace *trace, uint64_t now_ns)
{
    WEIR_REQUIRE(trace != NULL, "weir_wire_span", "trace is NULL");
    uint64_t where = (uint64_t)(uintptr_t)&weir_wire_counters ^ (uint64_t)process_generation() << 48 ^
        (uint64_t)thread_shard() << 56;
    uint64_t trace_word = word_of(trace->trace_id) ^ word_of(trace->span_id);
    uint64_t seed = mix64(where ^ mix64(now_ns ^ mix64(trace_word)));
    seed += wire_count(WIRE_SPANS);
    uint64_t span_id = random_next(&seed);
    return span_id == 0 ? 1 : span_id;
}
