/* How many threads are somewhere now, and were at most. */
#ifndef DEMO_GAUGE_H
#define DEMO_GAUGE_H

#include <stdatomic.h>
#include <weir/weir.h>

struct gauge {
    atomic_uint now, most;
};

void gauge_enter(struct gauge *gauge);
void gauge_leave(struct gauge *gauge);

/* A policy that refuses nobody: calls are in the gauge while they are inside of it. gauge is borrowed. */
enum weir_error gauge_policy(struct gauge *gauge, struct weir_policy **policy);

#endif
