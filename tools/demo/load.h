/* An open-loop load: calls arrive by a schedule that was made from a seed before the run, whether
 * or not the earlier ones have been answered, and a bounded pool of threads works them off in order
 * of arrival. What waits for a thread waits at its caller's expense: time counts from arrival. */
#ifndef DEMO_LOAD_H
#define DEMO_LOAD_H

#include "client.h"

#include <pthread.h>
#include <stddef.h>

enum { CALLS_PER_S = 300, WORKERS = 32 };

/* Instants of arrival, ascending, relative to the start of the run. Poisson arrivals. */
struct schedule {
    uint64_t *arrival_ns;
    size_t calls;
};
bool schedule_create(struct schedule *schedule, double seconds, uint64_t seed);
void schedule_destroy(struct schedule *schedule);

/* One call on one of the load's threads. arrival_ns is an instant of CLOCK_MONOTONIC; whether the
 * answer was fresh (HTTP 200). */
typedef bool call_function(struct client *client, uint64_t arrival_ns, void *argument);

struct sample {
    uint64_t latency_ns; /* from the arrival until the caller had its answer, whatever it was */
    bool fresh;
};

struct load {
    call_function *call;
    void *argument; /* of call */
    const struct schedule *schedule;
    uint64_t start_ns;
    struct sample *samples; /* one for each call of the schedule */
    atomic_ulong connects;
    atomic_size_t next; /* call to take up */
    atomic_bool stopped;
    struct client clients[WORKERS];
    struct load_worker {
        pthread_t thread;
        struct load *load;
        struct client *client;
    } workers[WORKERS];
};

/* Starts the threads; the first call arrives at start_ns or later. On false nothing is left. */
bool load_start(struct load *load, const struct schedule *schedule, uint16_t port, uint64_t start_ns,
    call_function *call, void *argument);
/* Takes no further call up; those that run go on. */
void load_stop(struct load *load);
/* Waits until the schedule is worked off, or after load_stop() for the calls that run. */
void load_join(struct load *load);
/* After load_join(). */
void load_destroy(struct load *load);

#endif
