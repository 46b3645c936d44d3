/* The virtual clock: time passes only because somebody waits for it.
 *
 * Invariants: now never goes back; an action is taken off the table before it runs, at now >= its instant, so
 * that it may itself wait, advance and schedule; of several that are due the earliest runs first, of equal ones
 * the one that was scheduled first. */
#include <weir/testing.h>

#include "misuse.h"

#include <string.h>

static void jump(struct weir_test_clock *clock, uint64_t to_ns)
{
    if (to_ns > clock->now_ns) __atomic_store_n(&clock->now_ns, to_ns, __ATOMIC_RELEASE);
}

void weir_test_clock_init(struct weir_test_clock *clock, uint64_t start_ns)
{
    TEST_REQUIRE(clock != NULL, "weir_test_clock_init", "clock is NULL");
    memset(clock, 0, sizeof *clock);
    clock->now_ns = start_ns == 0 ? WEIR_TEST_START_NS : start_ns;
}

uint64_t weir_test_clock_now(const struct weir_test_clock *clock)
{
    TEST_REQUIRE(clock != NULL, "weir_test_clock_now", "clock is NULL");
    return __atomic_load_n(&clock->now_ns, __ATOMIC_ACQUIRE);
}

void weir_test_clock_at(
    struct weir_test_clock *clock, uint64_t at_ns, weir_test_action *action, void *argument)
{
    TEST_REQUIRE(clock != NULL, "weir_test_clock_at", "clock is NULL");
    TEST_REQUIRE(clock->count < WEIR_TEST_ACTIONS_MAX, "weir_test_clock_at",
        "more than WEIR_TEST_ACTIONS_MAX actions are scheduled");
    uint32_t i = clock->count++;
    clock->action[i].at_ns = at_ns;
    clock->action[i].order = clock->order++;
    clock->action[i].run = action;
    clock->action[i].argument = argument;
}

/* Runs the first action that is due by until_ns; false: none is. */
static bool run_next(struct weir_test_clock *clock, uint64_t until_ns)
{
    uint32_t best = clock->count;
    for (uint32_t i = 0; i < clock->count; i++) {
        if (clock->action[i].at_ns > until_ns) continue;
        bool earlier = best == clock->count || clock->action[i].at_ns < clock->action[best].at_ns;
        bool same = !earlier && clock->action[i].at_ns == clock->action[best].at_ns;
        if (earlier || (same && clock->action[i].order < clock->action[best].order)) best = i;
    }
    if (best == clock->count) return false;
    jump(clock, clock->action[best].at_ns);
    weir_test_action *run = clock->action[best].run;
    void *argument = clock->action[best].argument;
    clock->action[best] = clock->action[--clock->count];
    run(argument);
    return true;
}

void weir_test_clock_advance(struct weir_test_clock *clock, uint64_t duration_ns)
{
    TEST_REQUIRE(clock != NULL, "weir_test_clock_advance", "clock is NULL");
    uint64_t end_ns = clock->now_ns + duration_ns;
    if (end_ns < duration_ns) end_ns = WEIR_NEVER;
    while (run_next(clock, end_ns)) continue;
    jump(clock, end_ns);
}

static uint64_t read_clock(void *argument)
{
    return weir_test_clock_now(argument);
}

/* Returns after one action: whoever waits is to look at that instant, not later. */
static void wait_until(void *argument, uint64_t until_ns)
{
    struct weir_test_clock *clock = argument;
    if (run_next(clock, until_ns)) return;
    TEST_REQUIRE(until_ns != WEIR_NEVER, "weir_test_clock",
        "a wait without end, and nothing is scheduled that could end it");
    jump(clock, until_ns);
}

struct weir_clock weir_test_clock_use(struct weir_test_clock *clock)
{
    TEST_REQUIRE(clock != NULL, "weir_test_clock_use", "clock is NULL");
    return (struct weir_clock) { read_clock, wait_until, clock };
}
