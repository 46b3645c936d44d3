/* The time of a run, and the interrupts that may end it early. */
#ifndef DEMO_PACE_H
#define DEMO_PACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

uint64_t monotonic_ns(void);

/* Before any thread is started: from now on an interrupt ends a pause, not a write. */
void pace_block_interrupts(void);
/* false: interrupted. */
bool pace_until(uint64_t at_ns);

/* A thread that does nothing but sleep, and by how much it woke too late at worst: what this machine takes from
 * every program on it, whatever it is that is measured. */
struct pace_watch {
    pthread_t thread;
    atomic_bool over;
    atomic_ullong worst_ns;
};
bool pace_watch_begin(struct pace_watch *watch);
/* Milliseconds. */
double pace_watch_end(struct pace_watch *watch);
/* So late that a run says more about the machine than about what ran on it; then says so. */
bool pace_was_late(FILE *file, double late_ms);

#endif
