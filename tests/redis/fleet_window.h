/* The worst of all windows of a log: of n candidates for a begin, each with a value that changes as the end moves on, the
 * highest. A tree of maxima, with what is to be added to all below. */
#ifndef WEIR_TESTS_FLEET_WINDOW_H
#define WEIR_TESTS_FLEET_WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct windows;

/* None has begun. */
struct windows *windows_create(size_t count);
void windows_destroy(struct windows *windows);

/* Changes the value of the first `count`, begun or not. */
void windows_add(struct windows *windows, size_t count, int64_t value);
/* One begins, with that value on top of what was added to it. */
void windows_begin(struct windows *windows, size_t index, int64_t value);
/* The highest of those that have begun. At least one has. */
int64_t windows_worst(const struct windows *windows, size_t *index);

#endif
