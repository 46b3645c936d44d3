#include "base/error.h"
#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __thread char last_text[256];

const char *weir_error_text(void)
{
    return last_text;
}

const char *weir_error_name(enum weir_error error)
{
    switch (error) {
    case WEIR_E_NONE: return "no error";
#define X(name, value, text) \
    case WEIR_E_##name: return text;
        WEIR_ERROR_MAP(X)
#undef X
    }
    return "?";
}

const char *weir_version(void)
{
    return "0.1.0";
}

/* Straight to the descriptor: whatever state stdio is in, the message gets out. */
static void say(const char *line, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, line, length);
        if (written <= 0) return;
        line += written;
        length -= (size_t)written;
    }
}

void weir_assert_failed(const char *expression, const char *file, int line)
{
    char text[320];
    int length = snprintf(text, sizeof text, "weir: %s:%d: invariant broken: %s\n", file, line, expression);
    say(text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    abort();
}

void weir_misuse(const char *function, const char *text)
{
    char line[320];
    int length = snprintf(line, sizeof line, "weir: %s: %s\n", function, text);
    say(line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    abort();
}

enum weir_error error_set(enum weir_error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_text, sizeof last_text, format, arguments);
    va_end(arguments);
    return error;
}

enum weir_error error_range(
    const char *type, const char *field, uint64_t *value, uint64_t standard, uint64_t low, uint64_t high)
{
    if (*value == 0) *value = standard;
    if (*value >= low && *value <= high) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID, "%s.%s is %" PRIu64 ", expected %" PRIu64 "..%" PRIu64, type, field,
        *value, low, high);
}

enum weir_error error_range32(
    const char *type, const char *field, uint32_t *value, uint32_t standard, uint32_t low, uint32_t high)
{
    uint64_t wide = *value;
    enum weir_error error = error_range(type, field, &wide, standard, low, high);
    *value = (uint32_t)wide;
    return error;
}

enum weir_error error_config(const char *type, const void *config, void *record, uint32_t known)
{
    memset(record, 0, known);
    if (config == NULL) return WEIR_E_NONE;
    uint32_t size;
    memcpy(&size, config, sizeof size);
    if (size < known || size > 4096) {
        return error_set(WEIR_E_SIZE,
            "%s.size is %" PRIu32 ", expected %" PRIu32 " (use WEIR_CONFIG or %s_init)", type, size, known,
            type);
    }
    for (uint32_t i = known; i < size; i++) {
        if (((const unsigned char *)config)[i] != 0) {
            return error_set(WEIR_E_SIZE,
                "%s.size is %" PRIu32 ", this version knows %" PRIu32 " bytes and byte %" PRIu32
                " beyond them is not 0",
                type, size, known, i);
        }
    }
    memcpy(record, config, known);
    return WEIR_E_NONE;
}

enum weir_error error_timing(const char *type, enum weir_timing timing)
{
    if ((unsigned)timing <= WEIR_TIMING_FAST) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID, "%s.timing is %u, expected a weir_timing", type, (unsigned)timing);
}

enum weir_error error_name(
    const char *type, const char *name, const char *standard, char copy[WEIR_NAME_MAX + 1])
{
    return error_name_in(type, "name", name, standard, copy);
}

enum weir_error error_name_in(
    const char *type, const char *field, const char *name, const char *standard, char copy[WEIR_NAME_MAX + 1])
{
    if (name == NULL) name = standard;
    size_t length = strnlen(name, WEIR_NAME_MAX + 1);
    if (length == 0 || length > WEIR_NAME_MAX) {
        return error_set(WEIR_E_INVALID, "%s.%s is %s, expected 1..%d bytes", type, field,
            length == 0 ? "empty" : "too long", WEIR_NAME_MAX);
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    return WEIR_E_NONE;
}

char *escape(const char *text, char *buffer, size_t size)
{
    size_t used = 0;
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        if (used + (plain ? 1 : 4) >= size) break;
        if (plain) buffer[used++] = (char)byte;
        else used += (size_t)snprintf(buffer + used, size - used, "\\x%02x", byte);
    }
    if (size > 0) buffer[used] = '\0';
    return buffer;
}
