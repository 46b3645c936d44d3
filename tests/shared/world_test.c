/* Fleets under faults, thousands of them, each from a seed (world.h). Checked in each: I1 to I3, I6, I7, I10 to I12, I14, I15 of
 * what is shared, by checkers that look at what was seen only (checks.h); that what is parted says so, and is shared
 * again when all is well; that calls go on then; and that the same seed does the same again. A run in which some
 * fault, state or event never came fails.
 *
 *     test-shared-world [--seeds N] [--seed S]      --seed: that one alone, with its trace's end */
#include "shared/world.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATED 16       /* every so many seeds one is run twice */
#define STRUCK_SEEDS 1000 /* so many meet all that can */

static const char *const fault_names[FAULTS] = { "part", "lose requests", "lose answers", "lag", "cut",
    "stop store", "stop process", "sleep", "kill process", "read only", "errors", "flush", "kill store",
    "fail over", "forward", "back", "lies" };
static const char *const kind_names[SEEN_KINDS] = { "state", "gone", "admit", "lent", "lease", "enter",
    "leave", "epoch", "opened", "heard", "probe", "probed", "hold", "valid", "free", "loss", "jump", "parted",
    "joined" };
static const char *const object_names[SEEN_OBJECTS] = { "rate", "breaker", "bulkhead", "lock" };

/* ---- one seed ---- */

static void print_event(const struct history_event *event)
{
    fprintf(stderr, "  %10.3f ms  process %u  %-7s %-9s %lld %lld\n",
        (double)(event->at_ns - (int64_t)WORLD_BEGIN_NS) / 1e6, event->process, kind_names[event->kind],
        event->object < SEEN_OBJECTS ? object_names[event->object] : "", (long long)event->a,
        (long long)event->b);
}

static void fail(const char *what, size_t at)
{
    fprintf(stderr, "world: seed %llu: %s; again: test-shared-world --seed %llu\n",
        (unsigned long long)world.seed, what, (unsigned long long)world.seed);
    fprintf(stderr,
        "  weather %d, %u processes, rate %llu/s burst %llu lease_max %llu %s away %d, limit %u\n",
        world.weather, world.count, (unsigned long long)world.permits, (unsigned long long)world.burst,
        (unsigned long long)world.lease_max, world.strict ? "strict" : "relaxed", world.away, world.limit);
    for (size_t i = at > 30 ? at - 30 : 0; i <= at && i < world.count_events; i++)
        print_event(&world.events[i]);
    exit(1);
}

/* Of CHECK(), wherever. */
void check_failed(const char *file, int line, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d\n", file, line);
    fail(text, world.count_events);
    abort();
}

static void check_liveness(void)
{
    uint64_t seen[SEEN_KINDS] = { 0 };
    int64_t since_ns = (int64_t)(world.well_ns + 2 * WEIR_S);
    for (size_t i = 0; i < world.count_events; i++) {
        if (world.events[i].at_ns >= since_ns) seen[world.events[i].kind]++;
    }
    size_t last = world.count_events - 1;
    if (seen[SEEN_ADMIT] == 0) fail("nobody has any of the rate, though all is well", last);
    if (world.passed_ns < world.well_ns) fail("no breaker lets any in, though all is well", last);
    /* What one had who died is good until the clock that went back has come so far: the script's longest lease. */
    bool stranded = world.weather == WEATHER_JUMPS && world.restarts != 0;
    if (seen[SEEN_ENTER] == 0 && !stranded) fail("nobody enters, though all is well", last);
    if (seen[SEEN_HOLD] + seen[SEEN_VALID] + seen[SEEN_FREE] == 0)
        fail("nobody has the lock, though all is well", last);
}

/* A store that lies lends to each what it would to all. That leases end when they do, and that epochs only grow, holds
 * all the same. */
static void loosen(
    struct rate_terms *rate, struct bulkhead_terms_seen *bulkhead, struct breaker_terms *breaker)
{
    rate->lent = HUGE_VAL;
    bulkhead->limit *= world.count;
    breaker->probes *= world.count;
    breaker->one_is_ill = false;
}

static void check_all(void)
{
    struct rate_terms rate = { .per_ns = (double)world.permits / 1e9,
        .burst = (double)world.burst,
        .lent = world.strict ? 0 : (double)(world.lease_max * world.count),
        .away = world.away,
        .parked = (double)(world.burst / 64),
        .held = world.strict ? (double)world.lease_max : 0,
        .lease_ns = (int64_t)world.rate_lease_ns };
    struct bulkhead_terms_seen bulkhead = { world.limit, (int64_t)world.bulkhead_lease_ns };
    struct breaker_terms breaker = { world.probes, 500 * WEIR_MS, 2500 * WEIR_MS, 4 * WEIR_S,
        world.one_is_ill };
    struct lock_terms lock = { (int64_t)world.lock_lease_ns, (int64_t)world.lock_lease_ns / 2 };
    struct state_terms states = { 3500 * WEIR_MS, (int64_t)world.well_ns, 2 * WEIR_S };
    struct alone_terms alone = { .per_ns = rate.per_ns,
        .burst = rate.burst,
        .lent = (double)world.lease_max,
        .parked = rate.parked,
        .away = world.away,
        .limit = world.limit,
        .probes = world.probes,
        .probe_ns = breaker.probe_ns,
        .lock_lease_ns = lock.lease_ns };
    const char *wrong;
    size_t at;
    if ((wrong = check_states(world.events, world.count_events, &states, &at)) != NULL) fail(wrong, at);
    check_liveness();
    if ((wrong = check_alone(world.events, world.count_events, &alone, &at)) != NULL) fail(wrong, at);
    if (world.weather == WEATHER_LIES) loosen(&rate, &bulkhead, &breaker);
    if ((wrong = check_rate(world.events, world.count_events, &rate, &at)) != NULL) fail(wrong, at);
    if ((wrong = check_bulkhead(world.events, world.count_events, &bulkhead, &at)) != NULL) fail(wrong, at);
    if ((wrong = check_breaker(world.events, world.count_events, &breaker, &at)) != NULL) fail(wrong, at);
    if (world.weather == WEATHER_LIES) return; /* it gives the same lock to many */
    if ((wrong = check_lock(world.events, world.count_events, &lock, &at)) != NULL) fail(wrong, at);
}

static uint64_t run(uint64_t seed)
{
    uint64_t hash = 0;
    world_make(seed);
    world_run();
    check_all();
    for (uint32_t i = 0; i < world.count; i++) hash = mix64(hash ^ world.process[i].carrier.hash);
    for (size_t i = 0; i < world.count_events; i++) {
        const struct history_event *event = &world.events[i];
        hash = mix64(hash ^ (uint64_t)event->at_ns ^ (uint64_t)event->kind << 40 ^ (uint64_t)event->a << 20);
    }
    world_end();
    return hash;
}

/* ---- what came of all ---- */

static bool line(const char *what, const char *name, uint64_t count)
{
    printf("%-10s %-16s %12llu%s\n", what, name, (unsigned long long)count, count == 0 ? "  NEVER" : "");
    return count != 0;
}

/* Each fault meets each object in each state. Only what did not is printed. */
static bool coverage_of_struck(void)
{
    bool whole = true;
    for (int i = 0; i < FAULTS * SEEN_OBJECTS * WORLD_STATES; i++) {
        int fault = i / (SEEN_OBJECTS * WORLD_STATES), object = i / WORLD_STATES % SEEN_OBJECTS,
            state = i % WORLD_STATES;
        bool lock = object == SEEN_LOCK;
        if (!lock && (state < WEIR_SHARE_SHARED || state >= WEIR_SHARE_STATES)) continue;
        if (world_seen.struck[fault][object][state] != 0) continue;
        printf("%-14s never struck a %s that was %s\n", fault_names[fault], object_names[object],
            lock ? weir_lock_state_text((enum weir_lock_state)state)
                 : weir_share_state_text((enum weir_share_state)state));
        if (!lock || state != WEIR_LOCK_SUSPECT) whole = false; /* which is seldom, and short */
    }
    return whole;
}

static bool coverage(uint64_t seeds)
{
    bool whole = seeds < STRUCK_SEEDS || coverage_of_struck();
    for (int i = 0; i < FAULTS; i++) whole &= line("fault", fault_names[i], world_seen.fault[i]);
    for (int i = 0; i < SEEN_KINDS; i++) whole &= line("event", kind_names[i], world_seen.event[i]);
    for (int i = 0; i < SEEN_LOCK; i++) {
        for (int k = WEIR_SHARE_SHARED; k < WEIR_SHARE_STATES; k++) {
            whole &= line(
                object_names[i], weir_share_state_text((enum weir_share_state)k), world_seen.state[i][k]);
        }
    }
    const struct carrier_seen *c = &world_seen.carrier;
    const uint64_t counts[] = { c->asked, c->done, c->done_late, c->lost_requests, c->lost_answers,
        c->unknown, c->cuts, c->slow, c->connected, c->refused, world_seen.stale_refused, world_seen.lost,
        world_seen.contended, world_seen.refused_rate, world_seen.refused_bulkhead,
        world_seen.refused_breaker, world_seen.closed_by_fleet };
    static const char *const names[] = { "asked", "done", "done late", "requests lost", "answers lost",
        "unknown", "cuts", "slow", "connected", "refused", "stale writes", "locks lost", "locks contended",
        "rate refuses", "bulkhead refuses", "breaker refuses", "closed by fleet" };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) whole &= line("count", names[i], counts[i]);
    return whole;
}

int main(int argc, char **argv)
{
    uint64_t seeds = WORLD_SEEDS, first = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seeds") == 0) seeds = value;
        else if (strcmp(argv[i], "--seed") == 0) first = value, seeds = 1;
        else return fprintf(stderr, "usage: %s [--seeds N] [--seed S]\n", argv[0]), 2;
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        uint64_t hash = run(seed);
        if ((seed % REPEATED == 0 || seeds == 1) && run(seed) != hash)
            fail("the same seed did not do the same again", world.count_events);
    }
    bool whole = seeds == 1 || coverage(seeds);
    free(world.events);
    printf("world: %llu seeds%s\n", (unsigned long long)seeds, whole ? "" : ", but not all was seen");
    return whole ? 0 : 1;
}
