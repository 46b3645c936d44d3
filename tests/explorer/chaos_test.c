/* Chaos between threads: no more held than it may, its end told once, and switched on it stays on. */
#include "explorer/explorer.h"
#include "policy/chaos.h"

#include <stdlib.h>
#include <string.h>

enum { NOW = 1000000000, DURATION = 5000000 };

static struct {
    struct weir_call call[EXPLORE_THREADS_MAX];
    uint32_t held, told, spared;
} w;
static struct weir_policy *chaos;

static struct weir_verdict ask(uint32_t thread, uint64_t now_ns)
{
    struct weir_call *call = &w.call[thread];
    explore_progress();
    return chaos->ops->admit(chaos->config, chaos->state, &call->slot[0], call, now_ns);
}

/* ---- programs ---- */

/* Held if there is room, and gone again. */
static void hold(uint32_t thread)
{
    struct weir_outcome outcome = { .status = WEIR_CANCELED };
    struct weir_call *call = &w.call[thread];
    if (ask(thread, NOW).kind == WEIR_PASS) {
        w.spared++;
        return;
    }
    EXPLORE_CHECK(++w.held <= 1);
    call->held = 1;
    EXPLORE_CHECK(ask(thread, NOW + 1).kind == WEIR_HOLD);
    call->held = 0;
    w.held--;
    (void)chaos->ops->settle(chaos->config, chaos->state, &call->slot[0], call, &outcome, NOW + 2);
}

/* Asks when its time is over, while thread 0 switches it on again. */
static void end_or_begin(uint32_t thread)
{
    if (thread == 0) weir_chaos_set_enabled(chaos, true);
    else if (ask(thread, NOW + DURATION).event == WEIR_EVENT_CHAOS_ENDED) w.told++;
}

static void end_only(uint32_t thread)
{
    struct weir_verdict verdict = ask(thread, NOW + DURATION);
    EXPLORE_CHECK(verdict.kind == WEIR_PASS);
    if (verdict.event == WEIR_EVENT_CHAOS_ENDED) w.told++;
}

static void start_only(uint32_t thread)
{
    EXPLORE_CHECK(ask(thread, NOW + thread).kind != WEIR_REFUSE);
}

/* ---- the world ---- */

static void create(void)
{
    memset(&w, 0, sizeof w);
    struct weir_chaos_config config = {
        .size = sizeof config, .latency_ppm = 1000000, .held_max = 1, .duration_ns = DURATION
    };
    if (weir_chaos_create(&config, &chaos) != WEIR_E_NONE) abort();
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) w.call[i].shard = (uint16_t)i;
    explore_region(chaos->state, sizeof(struct chaos_state), "chaos");
    explore_region(chaos->counters, sizeof *chaos->counters, "counters");
    explore_region(&w, sizeof w, "world");
}

/* It has run since NOW, and holds nobody. */
static void create_running(void)
{
    create();
    ((struct chaos_state *)chaos->state)->until_ns = NOW + DURATION;
}

static void nobody_held(void)
{
    const struct chaos_state *state = chaos->state;
    EXPLORE_CHECK(state->held == 0);
    EXPLORE_CHECK(state->number == explore_scenario()->threads);
    explore_outcome(w.spared);
}

static void is_on(void)
{
    EXPLORE_CHECK(chaos_is_on(chaos->state));
    EXPLORE_CHECK(w.told <= 1);
    explore_outcome(w.told);
}

static void ended_once(void)
{
    EXPLORE_CHECK(!chaos_is_on(chaos->state));
    EXPLORE_CHECK(w.told == 1);
    explore_outcome(w.told);
}

/* Whoever began it, all go by the same end. */
static void started(void)
{
    uint64_t until_ns = ((const struct chaos_state *)chaos->state)->until_ns;
    EXPLORE_CHECK(until_ns >= NOW + DURATION);
    EXPLORE_CHECK(until_ns < NOW + DURATION + explore_scenario()->threads);
    explore_outcome(until_ns);
}

static const struct scenario scenarios[] = {
    { "chaos/one_place", 2, create, hold, NULL, nobody_held },
    { "chaos/one_place_for_three", 3, create, hold, NULL, nobody_held, .bound = 2 },
    { "chaos/starts", 3, create, start_only, NULL, started, .bound = 3 },
    { "chaos/ends", 3, create_running, end_only, NULL, ended_once, .bound = 3 },
    { "chaos/ends_or_begins", 2, create_running, end_or_begin, NULL, is_on },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
