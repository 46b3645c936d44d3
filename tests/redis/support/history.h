/* What several processes did, in one file, in one order.
 *
 *     history_create(&history, "/tmp/.../history", 100000);       the one
 *     history_join(&history, path, 3);                             the others (after exec); after fork it is theirs too
 *     history_add(&history, KIND, object, a, b);                   any process, any thread
 *     size_t count = history_read(&history, &events);              when all is done: sorted by time
 *
 * Invariants: a place is taken by one fetch-and-add and written once; its time is written last, so that a place whose
 * writer died on the way stays without one and is counted, not read; what finds no place is counted too. An add takes
 * no lock and makes no system call. Times are of CLOCK_BOOTTIME, one clock for all processes of the machine. */
#ifndef WEIR_TESTS_HISTORY_H
#define WEIR_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history_event {
    int64_t at_ns;
    uint32_t order; /* its place: of two events of one thread, the later has the higher */
    uint16_t process, kind;
    uint32_t object;
    int64_t a, b;
};

struct history {
    uint16_t process; /* stands in each event that this process adds; 0 in the one that creates */
    struct history_file *file;
    size_t size;
};

/* The file is new, or emptied. NULL as path: none, for this process and those it forks. What cannot be had ends the
 * program with a message. */
void history_create(struct history *history, const char *path, uint32_t limit);
void history_join(struct history *history, const char *path, uint16_t process);
void history_close(struct history *history); /* the file stays */

void history_add(const struct history *history, uint16_t kind, uint32_t object, int64_t a, int64_t b);
/* For what happened at another time than now: that of the call's begin, or a deadline. */
void history_add_at(
    const struct history *history, int64_t at_ns, uint16_t kind, uint32_t object, int64_t a, int64_t b);
int64_t history_now_ns(void);

/* A sorted copy of all that is written, yours to free(): by time, then by order. */
size_t history_read(const struct history *history, struct history_event **events);
/* Events that are missing in it: those without a place, and those whose writer died (or is still at it). */
uint64_t history_missing(const struct history *history);

#endif
