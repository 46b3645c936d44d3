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
    enum weir_breaker_state state; /* now */
    double seconds[4];             /* by enum weir_breaker_state */
};

struct guard {
    struct weir_pipeline *pipeline;
    struct weir_policy *breaker; /* of it */
    uint64_t opened_ns;
};

/* false: said why on stderr, nothing is left. */
bool guard_open(struct guard *guard);
void guard_close(struct guard *guard);
/* argument: the struct guard. */
enum answered guarded_call(struct client *client, struct arrival arrival, void *argument);
/* What it is made of, for the footer of the table. */
void guarded_footer(void);

/* Since guard_open(). */
struct breaker_times guard_times(const struct guard *guard);
/* For how long its breaker refuses at most before it asks again. */
double guard_open_s(void);

#endif
