/* What is left of a deadline, as grpc-timeout and as x-envoy-expected-rq-timeout-ms say it. */
#include "base/arithmetic.h"
#include "wire/wire.h"

#include <inttypes.h>
#include <stdio.h>

/* "Timeout -> "grpc-timeout" TimeoutValue TimeoutUnit", at most 8 digits and one letter
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md); finest first.
 * Values beyond that length do not come here. */
static const struct unit {
    char letter;
    uint64_t ns;
} units[] = {
    { 'n', 1 }, { 'u', WEIR_US }, { 'm', WEIR_MS }, { 'S', WEIR_S }, { 'M', 60 * WEIR_S },
    { 'H', 3600 * WEIR_S }, /* what no other holds: 2^64 ns are 5124095 hours */
};
#define UNITS (sizeof units / sizeof units[0])
#define VALUE_MAX UINT64_C(99999999)

static bool take_number(const char *digits, size_t count, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
        *value = time_add(multiply_saturating(*value, 10), (uint64_t)(digits[i] - '0'));
    }
    return count != 0;
}

/* The grammar asks for a positive value; a 0 is taken at its word all the same, since peers write it when nothing
 * is left, and refusing it would give that request all the time there is. */
bool wire_grpc_timeout(struct weir_wire_text text, uint64_t *left_ns)
{
    uint64_t value;
    if (text.size == 0 || !take_number(text.text, text.size - 1, &value)) return false;
    for (size_t i = 0; i < UNITS; i++) {
        if (units[i].letter != text.text[text.size - 1]) continue;
        *left_ns = multiply_saturating(value, units[i].ns);
        return true;
    }
    return false;
}

/* To Envoy 0 is "no timeout". */
bool wire_envoy_timeout(struct weir_wire_text text, uint64_t *left_ns)
{
    uint64_t value;
    if (!take_number(text.text, text.size, &value)) return false;
    *left_ns = value == 0 ? WEIR_NEVER : multiply_saturating(value, WEIR_MS);
    return true;
}

static size_t nothing(char *buffer, size_t size)
{
    if (size != 0) buffer[0] = '\0';
    return 0;
}

static size_t fitted(char *buffer, size_t size, int length)
{
    return (size_t)length < size ? (size_t)length : nothing(buffer, size);
}

size_t weir_wire_grpc_timeout(char *buffer, size_t size, uint64_t left_ns)
{
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_wire_grpc_timeout", "buffer is NULL");
    if (left_ns == WEIR_NEVER) return nothing(buffer, size);
    size_t i = 0;
    while (left_ns / units[i].ns > VALUE_MAX) i++;
    uint64_t value = time_max(left_ns / units[i].ns, 1);
    return fitted(buffer, size, snprintf(buffer, size, "%" PRIu64 "%c", value, units[i].letter));
}

size_t weir_wire_envoy_timeout(char *buffer, size_t size, uint64_t left_ns)
{
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_wire_envoy_timeout", "buffer is NULL");
    if (left_ns == WEIR_NEVER) return nothing(buffer, size);
    uint64_t value = time_max(left_ns / WEIR_MS, 1);
    return fitted(buffer, size, snprintf(buffer, size, "%" PRIu64, value));
}
