/* Errors of refused creates: a code, and a text that names the field, its value and what was expected. */
#ifndef WEIR_LIB_ERROR_H
#define WEIR_LIB_ERROR_H

#include <weir/clock.h>

/* Writes the text of this thread's last error and answers error. */
__attribute__((format(printf, 2, 3))) enum weir_error error_set(
    enum weir_error error, const char *format, ...);

/* A number in a config: 0 becomes the default; outside [low, high] is refused. */
enum weir_error error_range(
    const char *type, const char *field, uint64_t *value, uint64_t standard, uint64_t low, uint64_t high);

/* The same for 32-bit fields; WEIR_OFF32 becomes 0 ("off") if off is allowed. */
enum weir_error error_range32(
    const char *type, const char *field, uint32_t *value, uint32_t standard, uint32_t low, uint32_t high);

/* Copies a user's config over *record, which this version knows to have `known` bytes, none less in any version
 * before: a larger one is accepted if its unknown tail is zero. NULL leaves *record zeroed. */
enum weir_error error_config(const char *type, const void *config, void *record, uint32_t known);

/* A timing that is one. */
enum weir_error error_timing(const char *type, enum weir_timing timing);

/* A name: the standard if NULL; refused if empty or longer than WEIR_NAME_MAX. */
enum weir_error error_name(
    const char *type, const char *name, const char *standard, char copy[WEIR_NAME_MAX + 1]);
/* The same of another field than .name. */
enum weir_error error_name_in(const char *type, const char *field, const char *name, const char *standard,
    char copy[WEIR_NAME_MAX + 1]);

/* Writes text with everything but printable ASCII, and quotes and backslashes, escaped as \xhh. */
char *escape(const char *text, char *buffer, size_t size);

#endif
