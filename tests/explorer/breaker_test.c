/* The breaker's word and the time beside it. No thread may ever wait for another here: every schedule is also
 * one in which some thread stops for good between two accesses, and the others go on. */
#include "explorer/explorer.h"
#include "policy/breaker.h"

#include <stdlib.h>
#include <string.h>

enum { GENERATIONS = 16, OPEN_NS = WEIR_MS, PROBE_NS = 3 * WEIR_MS };
#define BEGIN (100 * WEIR_S)             /* when the world was made */
#define DUE (BEGIN + 2 * OPEN_NS)        /* a breaker that opened at BEGIN is due */
#define LATER (DUE + PROBE_NS + WEIR_MS) /* a lease that began when it was due is over */
#define LATEST (LATER + 8 * OPEN_NS)

struct setup {
    enum { IS_CLOSED, IS_OPEN, HAS_PROBES, IS_RAMP } from;
    uint32_t probes, successes;
    uint32_t out; /* HAS_PROBES: threads 0 .. out - 1 have one each */
    uint64_t ramp_ns, overload_ns;
};

static struct world {
    struct {
        struct weir_call call;
        struct weir_slot slot;
    } caller[EXPLORE_THREADS_MAX];
    uint32_t admitted[GENERATIONS]; /* by generation, without those given back */
    uint32_t events[64], passed, refused;
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

static void note(struct weir_verdict verdict)
{
    if ((verdict.flags & WEIR_VERDICT_EVENT) != 0) world.events[verdict.event]++;
}

static bool ask(uint32_t thread, uint64_t now_ns)
{
    struct weir_call *call = &world.caller[thread].call;
    struct weir_slot *slot = &world.caller[thread].slot;
    explore_progress();
    call->began_ns = now_ns;
    struct weir_verdict verdict = breaker->ops->admit(breaker->config, breaker->state, slot, call, now_ns);
    note(verdict);
    EXPLORE_CHECK(verdict.kind == WEIR_PASS || verdict.kind == WEIR_REFUSE);
    if (verdict.kind == WEIR_PASS) world.passed++;
    else world.refused++;
    if (verdict.kind == WEIR_PASS) world.admitted[slot->word[0] % GENERATIONS]++;
    return verdict.kind == WEIR_PASS;
}

static void settle(uint32_t thread, enum weir_status status, uint64_t now_ns)
{
    struct weir_outcome outcome = { .status = (uint8_t)status, .retry_after_ns = 50 * WEIR_MS };
    struct weir_slot *slot = &world.caller[thread].slot;
    explore_progress();
    if (status == WEIR_IGNORED) world.admitted[slot->word[0] % GENERATIONS]--;
    note(breaker->ops->settle(
        breaker->config, breaker->state, slot, &world.caller[thread].call, &outcome, now_ns));
}

static void must_not_pass(uint32_t thread, uint64_t now_ns)
{
    EXPLORE_CHECK(!ask(thread, now_ns));
}

/* ---- programs ---- */

static void probe_well(uint32_t thread)
{
    if (ask(thread, DUE)) settle(thread, WEIR_OK, DUE);
}

static void probe_or_fail(uint32_t thread)
{
    if (ask(thread, DUE + thread)) settle(thread, thread == 0 ? WEIR_FAILED : WEIR_OK, DUE + thread);
}

static void probe_or_give_back(uint32_t thread)
{
    if (ask(thread, DUE)) settle(thread, WEIR_IGNORED, DUE);
    if (thread != 0) return;
    if (ask(thread, DUE)) settle(thread, WEIR_OK, DUE);
}

/* Two probes are out: one succeeds, one fails; meanwhile somebody asks. */
static void against_each_other(uint32_t thread)
{
    if (thread == 0) settle(0, WEIR_OK, DUE);
    else if (thread == 1) settle(1, WEIR_FAILED, DUE);
    else if (ask(2, DUE)) settle(2, WEIR_OK, DUE);
}

static void both_fail(uint32_t thread)
{
    if (thread < 2) settle(thread, WEIR_FAILED, DUE);
    else must_not_pass(2, DUE);
}

/* The probe of thread 0 comes back when its lease is over, and others see that too. */
static void lease_ends(uint32_t thread)
{
    if (thread == 0) settle(0, WEIR_OK, LATER);
    else if (explore_scenario()->threads == 2) must_not_pass(1, LATER);
    else if (ask(thread, thread == 1 ? LATER : LATEST)) settle(thread, WEIR_OK, LATEST);
}

/* The probe of nobody here never comes back; who asks when its lease is over reopens it. */
static void lease_abandoned(uint32_t thread)
{
    must_not_pass(thread, LATER);
}

/* A probe is given back against others that would take its place. */
static void gives_back(uint32_t thread)
{
    if (thread == 0) settle(0, WEIR_IGNORED, DUE);
    else if (ask(thread, DUE)) settle(thread, WEIR_IGNORED, DUE);
}

static void trip(uint32_t thread)
{
    if (thread < 2) settle(thread, WEIR_FAILED, BEGIN);
    else if (ask(2, BEGIN + WEIR_US)) settle(2, WEIR_OK, BEGIN + WEIR_US);
}

/* Thread 0's answer belongs to the time before it opened; thread 1 trips it and thread 2 probes. */
static void stale_answer(uint32_t thread)
{
    if (thread == 0) settle(0, WEIR_FAILED, LATER);
    else if (thread == 1) settle(1, WEIR_OVERLOADED, BEGIN);
    else if (ask(2, BEGIN + WEIR_S)) settle(2, WEIR_OK, BEGIN + WEIR_S);
}

/* An answer that says how long to stay away, against those who must say the time in its stead. */
static void overloaded(uint32_t thread)
{
    if (thread == 0) settle(0, WEIR_OVERLOADED, BEGIN);
    else if (ask(thread, BEGIN)) settle(thread, WEIR_OK, BEGIN);
}

static void ramp_ends(uint32_t thread)
{
    uint64_t now_ns = DUE + setup()->ramp_ns + WEIR_MS;
    if (thread == 2) settle(2, WEIR_OVERLOADED, now_ns);
    else if (ask(thread, now_ns)) settle(thread, WEIR_OK, now_ns);
}

/* ---- the world ---- */

static void create_breaker(const struct setup *given)
{
    struct weir_breaker_config config = {
        .size = sizeof config,
        .calls_min = 2,
        .z_tenths = WEIR_OFF32,
        .plain_percent = 50,
        .consecutive = given->from == IS_CLOSED ? WEIR_OFF32 : 1,
        .jitter_percent = WEIR_OFF32,
        .open_ns = OPEN_NS,
        .probes = given->probes,
        .successes = given->successes,
        .probe_ns = PROBE_NS,
        .ramp_ns = given->ramp_ns == 0 ? WEIR_OFF : given->ramp_ns,
        .overload_open_ns_max = given->overload_ns,
        .seed = 1,
    };
    if (weir_breaker_create(&config, &breaker) != WEIR_E_NONE) abort();
}

static void create(void)
{
    const struct setup *given = setup();
    memset(&world, 0, sizeof world);
    create_breaker(given);
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        struct weir_call *call = &world.caller[i].call;
        call->shard = (uint16_t)i;
        call->flags = CALL_SEEDED;
        call->random = i;
    }
    explore_region(breaker->state, offsetof(struct breaker_state, slow), "breaker");
    explore_region(breaker->counters, sizeof *breaker->counters, "counters");
    explore_region(&world, sizeof world, "world");
    if (given->from == IS_CLOSED) {
        for (uint32_t i = 0; i < explore_scenario()->threads; i++) ask(i, BEGIN);
        return;
    }
    ask(3, BEGIN);
    settle(3, WEIR_FAILED, BEGIN);
    if (given->from == IS_OPEN) return;
    for (uint32_t i = 0; i < given->out; i++) ask(i, DUE);
    if (given->from == HAS_PROBES) return;
    settle(0, WEIR_OK, DUE);
    ask(2, DUE + given->ramp_ns);
}

/* No more probes than allowed, and the word is one that may be. */
static void step(void)
{
    uint64_t word = words()->word;
    const struct setup *given = setup();
    if (word_state(word) == HALF_OPEN) {
        EXPLORE_CHECK(word_issued(word) <= given->probes);
        EXPLORE_CHECK(word_won(word) <= word_issued(word));
        EXPLORE_CHECK(word_won(word) < given->successes);
        EXPLORE_CHECK(world.admitted[word_generation(word) % GENERATIONS] <= given->probes);
    } else {
        EXPLORE_CHECK(word_issued(word) == 0 && word_won(word) == 0);
    }
}

/* One event a transition, one transition a generation; the time is the word's, or nobody needed it yet. */
static void end(void)
{
    uint64_t word = words()->word;
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, LATEST);
    EXPLORE_CHECK(stats.opened == world.events[WEIR_EVENT_BREAKER_OPENED]);
    EXPLORE_CHECK(stats.half_opened == world.events[WEIR_EVENT_BREAKER_HALF_OPENED]);
    EXPLORE_CHECK(stats.reopened == world.events[WEIR_EVENT_BREAKER_REOPENED]);
    EXPLORE_CHECK(stats.closed == world.events[WEIR_EVENT_BREAKER_CLOSED]);
    EXPLORE_CHECK(stats.opened + stats.half_opened + stats.reopened + stats.closed == word_generation(word));
    EXPLORE_CHECK(words()->until >> 48 == word_tag(word));
    EXPLORE_CHECK(until_time(words()->until) <= LATEST + WEIR_S);
    if (word_state(word) == HALF_OPEN) EXPLORE_CHECK(word_issued(word) == word_won(word));
    step();
    explore_outcome(word << 16 | world.passed << 8 | world.refused);
}

static void end_reopened(void)
{
    EXPLORE_CHECK(weir_breaker_stats(breaker, LATEST).reopened == 1);
    end();
}

/* All have answered: the window has what counted, and nothing else. */
static void end_tripped(void)
{
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, BEGIN);
    EXPLORE_CHECK(stats.opened == 1);
    EXPLORE_CHECK(stats.counted_ok + stats.counted_failed + stats.stale + stats.refused_open == 3);
    end();
}

/* It stays away for as long as it was told, whoever wrote the time first. */
static void end_overloaded(void)
{
    EXPLORE_CHECK(word_state(words()->word) == OPEN);
    EXPLORE_CHECK(until_time(words()->until) >= BEGIN + 50 * WEIR_MS);
    end();
}

/* No probe failed, and no lease was over: nobody may think so, whichever time he found beside the word. */
static void end_well(void)
{
    EXPLORE_CHECK(weir_breaker_stats(breaker, LATEST).reopened == 0);
    end();
}

static void end_ramp(void)
{
    EXPLORE_CHECK(world.events[WEIR_EVENT_BREAKER_RAMP_OVER] <= 1);
    end();
}

#define SETUP(...)                     \
    (uintptr_t) & (const struct setup) \
    {                                  \
        __VA_ARGS__                    \
    }
#define BREAKER(name, threads, run, end, ...)                                                      \
    {                                                                                              \
        name, threads, create, run, step, end, .never_waits = true, .argument = SETUP(__VA_ARGS__) \
    }
#define BOUNDED(name, threads, run, end, most, ...)                                \
    {                                                                              \
        name, threads, create, run, step, end, .bound = most, .never_waits = true, \
                                               .argument = SETUP(__VA_ARGS__)      \
    }

static const struct scenario scenarios[] = {
    BREAKER("open/two_ask", 2, probe_well, end_well, IS_OPEN, 1, 1),
    BREAKER("open/two_probes", 2, probe_well, end_well, IS_OPEN, 2, 2),
    BOUNDED("open/three_ask", 3, probe_well, end_well, 3, IS_OPEN, 1, 1),
    BOUNDED("open/three_for_two", 3, probe_well, end_well, 3, IS_OPEN, 2, 2),
    BOUNDED("open/one_fails", 3, probe_or_fail, end, 3, IS_OPEN, 2, 2),
    BREAKER("open/give_back", 2, probe_or_give_back, end_well, IS_OPEN, 1, 1),
    BREAKER("half_open/against", 2, against_each_other, end, HAS_PROBES, 2, 2, .out = 2),
    BOUNDED("half_open/against_3", 3, against_each_other, end, 4, HAS_PROBES, 3, 2, .out = 2),
    BREAKER("half_open/both_fail", 3, both_fail, end, HAS_PROBES, 2, 2, .out = 2),
    BREAKER("half_open/lease_ends", 2, lease_ends, end, HAS_PROBES, 1, 1, .out = 1),
    BOUNDED("half_open/lease_ends_3", 3, lease_ends, end, 3, HAS_PROBES, 1, 1, .out = 1),
    BOUNDED("half_open/lease_abandoned", 3, lease_abandoned, end_reopened, 3, HAS_PROBES, 1, 1, .out = 1),
    BREAKER("half_open/gives_back", 2, gives_back, end_well, HAS_PROBES, 1, 1, .out = 1),
    BOUNDED("half_open/gives_back_3", 3, gives_back, end_well, 4, HAS_PROBES, 2, 2, .out = 1),
    BREAKER("closed/trip", 2, trip, end, IS_CLOSED, 1, 1),
    BOUNDED("closed/trip_and_ask", 3, trip, end_tripped, 2, IS_CLOSED, 1, 1),
    BOUNDED("closed/stale", 3, stale_answer, end_well, 2, IS_CLOSED, 1, 1, .overload_ns = WEIR_MS),
    BREAKER("closed/overloaded", 2, overloaded, end_overloaded, IS_CLOSED, 1, 1, .overload_ns = WEIR_S),
    BOUNDED("closed/overloaded_3", 3, overloaded, end_overloaded, 4, IS_CLOSED, 1, 1, .overload_ns = WEIR_S),
    BOUNDED("ramp/ends", 3, ramp_ends, end_ramp, 3, IS_RAMP, 1, 1, .out = 1, .ramp_ns = WEIR_S,
        .overload_ns = WEIR_MS),
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
