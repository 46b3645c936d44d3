/* A caller who has a healthy origin to himself: what he waits is what the machine takes from everybody on it,
 * whatever it is that is measured. */
#ifndef DEMO_WITNESS_H
#define DEMO_WITNESS_H

#include "client.h"
#include "control.h"

#include <pthread.h>

enum { WITNESS_CALLS = 4096 }; /* the latest are kept: more than a minute's */

struct witness {
    struct origin origin;
    struct client client;
    pthread_t thread;
    atomic_ulong connects;
    atomic_bool over;
    size_t calls;
    uint64_t latency_ns[WITNESS_CALLS];
};

struct testimony {
    double p99_ms, worst_ms; /* until he had his answer, 5 ms of work included */
};

/* program: weir-origin. false: said why on stderr. */
bool witness_begin(struct witness *witness, const char *program);
struct testimony witness_end(struct witness *witness);

/* Whether the machine was so busy that a run says more about it than about what ran on it; then says so. */
bool testimony_excuses(FILE *file, struct testimony testimony);

#endif
