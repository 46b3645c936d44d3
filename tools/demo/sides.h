/* The two sides: the same call, bare and through weir. */
#ifndef DEMO_SIDES_H
#define DEMO_SIDES_H

#include "load.h"

#include <weir/weir.h>

/* What bare and guarded callers promise their own callers, from the arrival of a call. */
#define DEADLINE_NS UINT64_C(300000000)

/* As it is often written: a generous timeout, three tries, no back-off. argument: unused. */
enum answered bare_call(struct client *client, struct arrival arrival, void *argument);
extern const char bare_footer[];

/* How long the breaker was in each state. */
struct breaker_times {
    double seconds[4]; /* by enum weir_breaker_state */
};

struct guard {
    struct weir_pipeline *pipeline;
    pthread_mutex_t lock; /* of what follows, which the pipeline's events keep up to date */
    enum weir_breaker_state state;
    uint64_t since_ns;
    struct breaker_times times; /* up to since_ns */
};

/* false: said why on stderr, nothing is left. */
bool guard_open(struct guard *guard);
void guard_close(struct guard *guard);
/* argument: the struct guard. */
enum answered guarded_call(struct client *client, struct arrival arrival, void *argument);
extern const char guarded_footer[];

/* Since guard_open(). */
struct breaker_times guard_times(struct guard *guard);
/* How many seconds of load its breaker may cost the callers of an origin that has come back: until
 * it asks again, and while it lets in a rising share. */
double guard_return_s(void);

#endif
