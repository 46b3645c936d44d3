/* The fleet's hand in the breaker's words against the calls: thread 0 is the link. Whatever a call had read before, none is
 * let in once the fleet has opened it, but by a turn; and nobody waits for a link that has stopped. */
#include "explorer/explorer.h"
#include "policy/breaker.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN (100 * WEIR_S)
#define OPEN_NS WEIR_MS
#define DUE (BEGIN + 2 * OPEN_NS) /* a breaker that opened at BEGIN is due */
#define HELD (DUE + WEIR_S)       /* what the fleet says holds until then */

enum { PROBES = 2 };

struct setup {
    enum { IS_CLOSED, IS_OPEN, IS_HALF_OPEN, IS_FLEETS, HAS_TURN } from;
};

static struct world {
    struct {
        struct weir_call call;
        struct weir_slot slot;
        bool in;
    } caller[EXPLORE_THREADS_MAX];
    bool imposed; /* the fleet's hand was there, and will not be lifted */
    uint32_t granted, passed;
} world;
static struct weir_policy *breaker;

static const struct setup *setup(void)
{
    return (const struct setup *)explore_scenario()->argument;
}

static struct breaker_state *words(void)
{
    return breaker->state;
}

/* ---- a caller's steps ---- */

static void ask(uint32_t thread, uint64_t now_ns)
{
    struct weir_call *call = &world.caller[thread].call;
    bool imposed = world.imposed;
    explore_progress();
    call->began_ns = now_ns;
    struct weir_verdict verdict =
        breaker->ops->admit(breaker->config, breaker->state, &world.caller[thread].slot, call, now_ns);
    EXPLORE_CHECK(verdict.kind == WEIR_PASS || verdict.kind == WEIR_REFUSE);
    world.caller[thread].in = verdict.kind == WEIR_PASS;
    world.passed += verdict.kind == WEIR_PASS;
    if (imposed) EXPLORE_CHECK(verdict.kind == WEIR_REFUSE);
}

static void settle(uint32_t thread, enum weir_status status, uint64_t now_ns)
{
    struct weir_outcome outcome = { .status = (uint8_t)status };
    if (!world.caller[thread].in) return;
    explore_progress();
    world.caller[thread].in = false;
    breaker->ops->settle(breaker->config, breaker->state, &world.caller[thread].slot,
        &world.caller[thread].call, &outcome, now_ns);
}

/* ---- the link's: as lib/shared/breaker.c does it ---- */

static void hold(uint32_t probes)
{
    explore_progress();
    atomic_store_release(&words()->turn, turn_of(HELD, probes));
}

static void open_by_fleet(void)
{
    hold(0);
    breaker_fleet_open(breaker->state, 3, DUE + OPEN_NS, DUE);
    world.imposed = true;
}

static void close_by_fleet(void)
{
    explore_progress();
    breaker_fleet_close(breaker->config, breaker->state, DUE);
    atomic_store_release(&words()->turn, 0);
}

/* ---- programs ---- */

/* One may be due to probe, one's outcome may trip, close or reopen it. */
static void opens(uint32_t thread)
{
    if (thread == 0) open_by_fleet();
    else if (thread == 1) ask(1, DUE), settle(1, WEIR_OK, DUE);
    else settle(2, WEIR_FAILED, DUE), ask(2, DUE);
}

static void opens_against_success(uint32_t thread)
{
    if (thread == 0) open_by_fleet();
    else settle(thread, WEIR_OK, DUE);
}

static void closes(uint32_t thread)
{
    if (thread == 0) close_by_fleet();
    else ask(thread, DUE), settle(thread, thread == 1 ? WEIR_OK : WEIR_FAILED, DUE);
}

/* A turn comes, while calls ask for one. */
static void grants(uint32_t thread)
{
    if (thread == 0) hold(1);
    else ask(thread, DUE);
}

static void ends_turn(uint32_t thread)
{
    if (thread == 0) hold(0);
    else ask(thread, DUE), settle(thread, WEIR_IGNORED, DUE);
}

/* ---- the world ---- */

static void create_breaker(void)
{
    struct weir_breaker_config config = { .size = sizeof config,
        .calls_min = 2,
        .z_tenths = WEIR_OFF32,
        .plain_percent = 50,
        .consecutive = 1,
        .jitter_percent = WEIR_OFF32,
        .open_ns = OPEN_NS,
        .probes = PROBES,
        .successes = 2,
        .ramp_ns = WEIR_OFF,
        .seed = 1 };
    if (weir_breaker_create(&config, &breaker) != WEIR_E_NONE) abort();
}

static void create(void)
{
    memset(&world, 0, sizeof world);
    create_breaker();
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        world.caller[i].call.shard = (uint16_t)i;
        world.caller[i].call.flags = CALL_SEEDED;
    }
    explore_region(breaker->state, offsetof(struct breaker_state, slow), "breaker");
    explore_region(breaker->counters, sizeof *breaker->counters, "counters");
    explore_region(&world, sizeof world, "world");
    if (setup()->from == IS_CLOSED) {
        for (uint32_t i = 1; i < explore_scenario()->threads; i++) ask(i, BEGIN);
    } else if (setup()->from == IS_FLEETS || setup()->from == HAS_TURN) {
        hold(setup()->from == HAS_TURN ? PROBES : 0);
        breaker_fleet_open(breaker->state, 0, BEGIN + OPEN_NS, BEGIN);
    } else {
        ask(3, BEGIN);
        settle(3, WEIR_FAILED, BEGIN);
        for (uint32_t i = 1; setup()->from == IS_HALF_OPEN && i < explore_scenario()->threads; i++)
            ask(i, DUE);
    }
    world.passed = 0;
}

static void step(void)
{
    uint64_t word = words()->word;
    if (word_state(word) == CLOSED) EXPLORE_CHECK(!word_is_fleets(word));
    if (word_state(word) == HALF_OPEN) EXPLORE_CHECK(word_issued(word) <= PROBES);
    if (world.imposed) EXPLORE_CHECK(word_state(word) == OPEN && word_is_fleets(word));
}

static void end(void)
{
    uint64_t word = words()->word;
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, DUE);
    EXPLORE_CHECK(stats.opened + stats.half_opened + stats.reopened + stats.closed == word_generation(word));
    step();
    explore_outcome(word << 16 | words()->wanted << 8 | world.passed);
}

/* It is open for as long as the fleet says, whoever else said a time for that word, and whoever wrote first. */
static void end_opened(void)
{
    uint64_t word = words()->word;
    EXPLORE_CHECK(word_level(word) == 3);
    EXPLORE_CHECK(words()->until >> 48 == word_tag(word));
    EXPLORE_CHECK(until_time(words()->until) >= DUE + OPEN_NS);
    EXPLORE_CHECK(until_time(words()->until) < DUE + 2 * OPEN_NS);
    end();
}

static void end_closed(void)
{
    EXPLORE_CHECK(!word_is_fleets(words()->word));
    EXPLORE_CHECK(weir_breaker_stats(breaker, DUE).closed == 1);
    end();
}

/* One probe was granted: no two are in; if none is, somebody has said that he wants one. */
static void end_granted(void)
{
    EXPLORE_CHECK(world.passed <= 1);
    EXPLORE_CHECK(world.passed == 1 || words()->wanted == 1);
    end();
}

#define SCENARIO(name, most, run, end, from)                                            \
    {                                                                                   \
        name, 3, create, run, step, end, .bound = most, .never_waits = true,            \
                                         .argument = (uintptr_t) & (const struct setup) \
        {                                                                               \
            from                                                                        \
        }                                                                               \
    }

static const struct scenario scenarios[] = {
    SCENARIO("opens/closed", 2, opens, end_opened, IS_CLOSED),
    SCENARIO("opens/open", 4, opens, end_opened, IS_OPEN),
    SCENARIO("opens/half_open", 4, opens, end_opened, IS_HALF_OPEN),
    SCENARIO("opens/half_open_wins", 4, opens_against_success, end_opened, IS_HALF_OPEN),
    SCENARIO("opens/anew", 3, opens, end_opened, HAS_TURN),
    SCENARIO("closes/waiting", 3, closes, end_closed, IS_FLEETS),
    SCENARIO("closes/turn", 2, closes, end_closed, HAS_TURN),
    SCENARIO("turn/grants", 4, grants, end_granted, IS_FLEETS),
    SCENARIO("turn/ends", 4, ends_turn, end, HAS_TURN),
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
