/* The callee: its mood changes with time, and so do its answers. */
#include "sim/sim.h"

#include <errno.h>

#define LONGEST_NS (3 * WEIR_S) /* the longest silence */

void callee_look(void)
{
    if (sim->now_ns < sim->mood_until_ns) return;
    sim->mood = sim->calm || chance(30) ? HEALTHY : (enum mood)draw_below(MOODS);
    sim->mood_until_ns = sim->now_ns + draw_between(5 * WEIR_MS, sim->mood_ns);
}

static struct weir_outcome failed(void)
{
    struct weir_outcome outcome = { .status = WEIR_FAILED, .code = (int32_t)draw_between(1, 100) };
    uint64_t what = draw_below(20);
    if (what == 0) outcome.status = WEIR_IGNORED;
    if (what == 1) outcome.status = WEIR_CANCELED;
    if (what == 2) outcome.status = WEIR_EXPIRED; /* its own idea of time */
    if (what == 3)
        outcome = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .by = 9 };
    return outcome;
}

/* What an operation that starts now will answer, and after how long. */
void callee_answer(struct caller *caller, struct job *job, uint64_t *takes_ns)
{
    (void)caller;
    job->outcome = (struct weir_outcome) { .status = WEIR_OK };
    *takes_ns = draw_between(WEIR_US, WEIR_MS);
    switch (sim->mood) {
    case FAILING:
        if (chance(80)) job->outcome = failed();
        break;
    case SLOW:
        *takes_ns = draw_between(5 * WEIR_MS, 300 * WEIR_MS);
        if (chance(20)) job->outcome = failed();
        break;
    case SILENT: *takes_ns = draw_between(WEIR_MS, LONGEST_NS); break;
    case OVERLOADED:
        if (chance(80)) job->outcome.status = WEIR_OVERLOADED;
        if (chance(50)) job->outcome.retry_after_ns = draw_between(1, 400 * WEIR_MS);
        break;
    case NOT_SENT:
        job->outcome = weir_from_errno(ECONNREFUSED);
        if (chance(10)) job->outcome.flags |= WEIR_NOT_REPEATABLE;
        break;
    case HEALTHY:
        if (!sim->calm && chance(3)) job->outcome = failed();
        break;
    case MOODS: break;
    }
}

/* The fallback function: run by the machine's own hand, told by the seed. */
struct weir_outcome callee_function(void *argument, const struct weir_attempt *attempt)
{
    struct caller *caller = argument;
    MUST(attempt == &caller->call.attempt, "the function was handed another call's attempt");
    if (!sim->calm && chance(40)) return (struct weir_outcome) { .status = WEIR_FAILED, .code = 7 };
    return (struct weir_outcome) { .status = WEIR_OK };
}
