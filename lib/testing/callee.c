/* The scripted callee: a well-behaved client of a service that answers as it is told.
 *
 *     attempt ---> whose turn: a step, or a draw ---> time passes ---> answer
 *                                                       |    '-- the deadline comes first: ETIMEDOUT
 *                                                       '------- the context is canceled: ECANCELED */
#include <weir/testing.h>

#include "misuse.h"

#include <errno.h>
#include <string.h>

void weir_test_callee_script(struct weir_test_callee *callee, struct weir_test_clock *clock,
    const struct weir_test_step *steps, size_t count)
{
    TEST_REQUIRE(callee != NULL, "weir_test_callee_script", "callee is NULL");
    TEST_REQUIRE(clock != NULL, "weir_test_callee_script", "clock is NULL");
    TEST_REQUIRE(count > 0, "weir_test_callee_script", "there is no step");
    TEST_REQUIRE(steps != NULL, "weir_test_callee_script", "steps is NULL");
    memset(callee, 0, sizeof *callee);
    callee->clock = clock;
    callee->steps = steps;
    callee->count = count;
}

void weir_test_callee_random(
    struct weir_test_callee *callee, struct weir_test_clock *clock, struct weir_test_chances chances)
{
    TEST_REQUIRE(callee != NULL, "weir_test_callee_random", "callee is NULL");
    TEST_REQUIRE(clock != NULL, "weir_test_callee_random", "clock is NULL");
    TEST_REQUIRE(chances.failure_percent <= 100, "weir_test_callee_random", "failure_percent is above 100");
    TEST_REQUIRE(chances.duration_min_ns <= chances.duration_max_ns, "weir_test_callee_random",
        "duration_min_ns is above duration_max_ns");
    memset(callee, 0, sizeof *callee);
    callee->clock = clock;
    callee->chances = chances;
    if (chances.failure.status == WEIR_OK) callee->chances.failure.status = WEIR_FAILED;
}

/* What this attempt gets. Always two draws, so that changing one chance doesn't shift the others. */
static struct weir_test_step draw(struct weir_test_chances *chances)
{
    struct weir_test_step step = { 0 };
    bool fails = weir_test_draw(&chances->seed, 0, 99) < chances->failure_percent;
    step.duration_ns = weir_test_draw(&chances->seed, chances->duration_min_ns, chances->duration_max_ns);
    if (fails) step.outcome = chances->failure;
    return step;
}

static struct weir_test_step next_step(struct weir_test_callee *callee)
{
    const struct weir_test_step *step = &callee->steps[callee->position];
    bool last = callee->position + 1 == callee->count;
    if (last || step->repeat == WEIR_TEST_FOREVER) return *step;
    if (++callee->used >= step->repeat) {
        callee->used = 0;
        callee->position++;
    }
    return *step;
}

/* True: the context lasted, and it is until_ns. */
static bool pass_time(struct weir_test_callee *callee, const struct weir_context *context, uint64_t until_ns)
{
    struct weir_clock clock = weir_test_clock_use(callee->clock);
    for (;;) {
        uint64_t now_ns = weir_test_clock_now(callee->clock);
        if (weir_context_check(context, now_ns) == WEIR_CANCELED) return false;
        if (now_ns >= until_ns) return true;
        clock.wait(clock.argument, until_ns);
    }
}

struct weir_outcome weir_test_callee_run(void *argument, const struct weir_attempt *attempt)
{
    TEST_REQUIRE(argument != NULL, "weir_test_callee_run", "argument is NULL");
    struct weir_test_callee *callee = argument;
    uint64_t begin_ns = weir_test_clock_now(callee->clock);
    struct weir_test_step step = callee->steps == NULL ? draw(&callee->chances) : next_step(callee);
    struct weir_outcome outcome = step.outcome;
    uint64_t end_ns = begin_ns + step.duration_ns;
    if (end_ns < begin_ns) end_ns = WEIR_NEVER;
    bool cut_off = end_ns > attempt->deadline_ns;
    callee->attempts++;
    if (!pass_time(callee, attempt->context, cut_off ? attempt->deadline_ns : end_ns)) {
        callee->canceled++;
        outcome = weir_from_errno(ECANCELED);
    } else if (cut_off) {
        callee->cut_off++;
        outcome = weir_from_errno(ETIMEDOUT);
    }
    if (callee->trace != NULL) {
        weir_test_trace_number(callee->trace, attempt->number);
        weir_test_trace_number(callee->trace, begin_ns);
        weir_test_trace_number(callee->trace, weir_test_clock_now(callee->clock));
        weir_test_trace_outcome(callee->trace, outcome);
    }
    return outcome;
}
