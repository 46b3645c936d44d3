/* An open-loop load: calls arrive by a schedule that was made from a seed before the run, whether
 * or not the earlier ones have been answered, and a bounded pool of threads works them off in order
 * of arrival. What waits for a thread waits at its caller's expense: time counts from arrival. */
#ifndef DEMO_LOAD_H
#define DEMO_LOAD_H

#include "client.h"

#include <pthread.h>
#include <stddef.h>

/* A call of some kind, which says where it goes. */
struct arrival {
    uint64_t at_ns; /* relative to the start of the run; told to a call: an instant */
    unsigned kind;
};

/* Ascending. Poisson arrivals, per_s[kind] a second of each kind. */
struct schedule {
    struct arrival *arrivals;
    size_t calls;
};
bool schedule_create(
    struct schedule *schedule, double seconds, const unsigned *per_s, unsigned kinds, uint64_t seed);
void schedule_destroy(struct schedule *schedule);

/* What a caller has in hand: nothing yet; an error or a refusal; something marked as not fresh; HTTP 200. */
enum answered { UNANSWERED, IN_VAIN, MARKED, FRESH };

/* One call on one of the load's threads, by a client that is aimed at its origin. */
typedef enum answered call_function(struct client *client, struct arrival arrival, void *argument);

struct sample {
    uint64_t latency_ns; /* from the arrival until the caller had its answer, or until now */
    enum answered answered;
};

struct load {
    call_function *call;
    void *argument; /* of call */
    const struct schedule *schedule;
    const uint16_t *ports; /* by kind; borrowed */
    uint64_t start_ns;
    unsigned workers;
    atomic_ulong connects;
    /* What follows belongs to load_start(). */
    atomic_ullong *samples; /* one for each call of the schedule: load_sample() */
    atomic_size_t next;     /* call to take up */
    atomic_bool stopped;
    struct load_worker {
        pthread_t thread;
        struct load *load;
        struct client client;
    } * team;
};

/* Starts the threads; the first call arrives at start_ns or later. On false nothing is left. */
bool load_start(struct load *load);
/* Takes no further call up; those that run go on. */
void load_stop(struct load *load);
/* Waits until the schedule is worked off, or after load_stop() for the calls that run. */
void load_join(struct load *load);
/* After load_join(). */
void load_destroy(struct load *load);

/* How call i is doing at now_ns. Also while the load runs, from any thread. */
struct sample load_sample(const struct load *load, size_t i, uint64_t now_ns);

#endif
