/* Instants to look at something, the earliest first: a binary heap with at most one entry for each timer. */
#ifndef WEIR_LIB_CURL_TIMERS_H
#define WEIR_LIB_CURL_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint64_t due_ns;
    size_t place; /* in the heap, from 1; 0: not there */
};

struct timers {
    struct timer **heap; /* from 1 */
    size_t count, room;
};

/* Room for so many timers at once; false: no memory. Only this allocates. */
bool timers_reserve(struct timers *timers, size_t count);
void timers_free(struct timers *timers);

/* WEIR_NEVER takes it out. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ns);
/* WEIR_NEVER: there is none. */
uint64_t timers_next(const struct timers *timers);
/* Takes out one that is due, or answers NULL. */
struct timer *timers_due(struct timers *timers, uint64_t now_ns);

#endif
