/* The schedule: what happens next, when all faults stop, and what must then come true. */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world *sim;

void broken(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "sim: BROKEN: ");
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr,
        "\n  at step %" PRIu64 ", now %" PRIu64 " ns%s\n  replay: test-sim --seed %" PRIu64
        " --steps %" PRIu64 "\n",
        sim->steps, sim->now_ns, sim->calm ? ", calm" : "", sim->seed, sim->steps_max);
    fflush(NULL);
    _Exit(1); /* the world's storage is of no more use: leaks are not the news */
}

/* ---- what holds after each step ---- */

static void check_counts(const struct lane *lane)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(lane->pipeline);
    uint64_t ended = 0;
    MUST(stats.begun == lane->begun, "begun: %" PRIu64 ", counted %" PRIu64, lane->begun, stats.begun);
    for (uint32_t i = 0; i < WEIR_STATUSES; i++) {
        MUST(stats.ended[i] == lane->ended[i], "ended %s: %" PRIu64 ", counted %" PRIu64,
            weir_status_text((enum weir_status)i), lane->ended[i], stats.ended[i]);
        ended += stats.ended[i];
    }
    MUST(stats.in_flight == lane->unfinished, "in flight: %" PRIu64 ", counted %" PRIu64, lane->unfinished,
        stats.in_flight);
    MUST(stats.foreign == lane->foreign, "foreign: %" PRIu64 ", counted %" PRIu64, lane->foreign,
        stats.foreign);
    MUST(ended <= stats.begun, "%" PRIu64 " ended of %" PRIu64, ended, stats.begun);
    MUST(stats.events_dropped == 0, "events were dropped");
}

void world_check(void)
{
    for (uint32_t i = 0; i < sim->lanes; i++) {
        weir_pipeline_deliver(sim->lane[i].pipeline);
        if (sim->steps % 256 == 0) check_counts(&sim->lane[i]);
    }
    for (uint32_t i = 0; i < sim->watches; i++) {
        if (sim->watch[i].kind == BREAKER) breaker_check(&sim->watch[i]);
        if (sim->watch[i].kind == BULKHEAD) bulkhead_check(&sim->watch[i]);
        if (sim->watch[i].kind == CHAOS) chaos_check(&sim->watch[i]);
    }
}

/* ---- the schedule ---- */

static void fire(uint32_t index)
{
    struct caller *caller = &sim->caller[index / 3];
    uint32_t which = index % 3;
    sim->due[index] = WEIR_NEVER;
    if (which != 0) caller_end(caller, which - 1);
    else if (caller->begun && !caller->over) caller_wake(caller);
    else if (!caller->begun) caller_begin(caller);
}

static uint32_t earliest(void)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < sim->callers * 3; i++) {
        if (sim->due[i] < sim->due[best]) best = i;
    }
    return best;
}

/* False: nothing is left to happen before the instant. */
static bool next_before(uint64_t end_ns)
{
    uint32_t next = earliest();
    if (sim->due[next] >= end_ns) return false;
    sim->now_ns = time_max(sim->now_ns, sim->due[next]);
    callee_look();
    fire(next);
    return true;
}

static void safety(void)
{
    while (sim->steps < sim->steps_max) {
        if (draw_below(32) == 0) {
            disturb();
            sim->now_ns += draw_below(100 * WEIR_US);
        } else {
            MUST(next_before(WEIR_NEVER), "nothing is due: a call was forgotten");
        }
    }
}

/* ---- liveness ---- */

#define BEAT_NS (100 * WEIR_MS)

/* The longest that recovering may take, from the configs alone. */
static uint64_t bound_ns(void)
{
    uint64_t bound = 6 * WEIR_S; /* the longest silence, waits and back-offs */
    for (uint32_t i = 0; i < sim->watches; i++) {
        const struct weir_breaker_config *config = &sim->watch[i].breaker.config;
        if (sim->watch[i].kind != BREAKER) continue;
        uint64_t open_ns =
            config->open_max_ns + config->open_max_ns / 100 * 90 + config->overload_open_ns_max;
        bound +=
            open_ns + config->probe_ns + 2 * config->successes * BEAT_NS * sim->lanes + config->window_ns;
        if (config->ramp_ns != WEIR_OFF) bound += config->ramp_ns;
    }
    return bound;
}

static void run_until(uint64_t end_ns)
{
    while (next_before(end_ns)) continue;
    sim->now_ns = time_max(sim->now_ns, end_ns);
}

/* One call after the other, each pipeline in turn. */
static void beat(uint64_t number)
{
    struct caller *caller = &sim->caller[0];
    sim->beating = true;
    if (!caller->begun) { /* else the last one still waits for its turn */
        caller->lane = &sim->lane[number % sim->lanes];
        sim->due[0] = sim->now_ns;
    }
    run_until(sim->now_ns + BEAT_NS);
    sim->beating = false;
}

static void check_recovered(void)
{
    for (uint32_t i = 0; i < sim->watches; i++) {
        struct watch *watch = &sim->watch[i];
        if (watch->kind == BREAKER) {
            struct weir_breaker_stats stats = weir_breaker_stats(watch->policy, sim->now_ns);
            MUST(stats.state == WEIR_BREAKER_CLOSED || stats.calls == 0, "breaker %u is %d still", i,
                (int)stats.state);
        } else if (watch->kind == BULKHEAD) {
            struct weir_bulkhead_stats stats = weir_bulkhead_stats(watch->policy);
            MUST(stats.in_use == 0 && stats.waiting == 0, "bulkhead %u: %u in use, %u waiting", i,
                stats.in_use, stats.waiting);
        }
    }
    for (uint32_t i = 0; i < sim->lanes; i++) check_counts(&sim->lane[i]);
}

static void drained(struct lane *lane)
{
    enum weir_error error = weir_pipeline_drain(lane->pipeline, 0);
    MUST(error == WEIR_E_NONE, "not drained: %s", weir_error_text());
    uint64_t before = lane->ended[WEIR_REJECTED];
    sim->caller[0].lane = lane;
    sim->beating = true;
    caller_begin(&sim->caller[0]);
    sim->beating = false;
    MUST(lane->ended[WEIR_REJECTED] == before + 1, "a drained pipeline let a call in");
}

static void liveness(void)
{
    calm_down();
    world_check();
    run_until(sim->now_ns + 6 * WEIR_S);
    for (uint32_t i = 0; i < sim->callers; i++) MUST(!sim->caller[i].begun, "call %u is not over", i);
    uint64_t beats = bound_ns() / BEAT_NS + 1;
    for (uint64_t i = 0; i < beats; i++) beat(i);
    uint64_t good[LANES_MAX], expected = 10;
    for (uint32_t i = 0; i < sim->lanes; i++) good[i] = sim->lane[i].ended[WEIR_OK];
    for (uint64_t i = 0; i < expected * sim->lanes; i++) beat(i);
    for (uint32_t i = 0; i < sim->lanes; i++) {
        uint64_t got = sim->lane[i].ended[WEIR_OK] - good[i];
        MUST(got == expected, "goodput: %" PRIu64 " of %" PRIu64 " in pipeline %u", got, expected, i);
    }
    check_recovered();
    for (uint32_t i = 0; i < sim->lanes; i++) drained(&sim->lane[i]);
    for (uint32_t i = 0; i < sim->watches; i++) {
        if (sim->watch[i].kind == RATE) rate_check(&sim->watch[i]);
    }
    cover(COVER_RECOVERED);
}

/* ---- a run ---- */

static void cover_stats(const struct watch *watch)
{
    if (watch->kind == RETRY) {
        struct weir_retry_stats stats = weir_retry_stats(watch->policy);
        coverage.seen[COVER_RETRY_NO_BUDGET] += stats.no_budget;
        coverage.seen[COVER_RETRY_NO_TIME] += stats.no_time;
        coverage.seen[COVER_RETRY_EXHAUSTED] += stats.exhausted;
        coverage.seen[COVER_RETRY_NOT_IDEMPOTENT] += stats.not_idempotent;
        coverage.seen[COVER_RETRY_NOT_REPEATABLE] += stats.not_repeatable;
        coverage.seen[COVER_RETRY_NOT_WANTED] += stats.not_wanted;
    } else if (watch->kind == CHAOS) {
        struct weir_chaos_stats stats = weir_chaos_stats(watch->policy);
        for (uint32_t i = 0; i < WEIR_CHAOS_KINDS; i++) {
            coverage.seen[COVER_CHAOS_LATENCY + i] += stats.injected[i];
            coverage.seen[COVER_CHAOS_SPARED] += stats.spared[i];
            coverage.seen[COVER_CHAOS_WOULD] += stats.would_inject[i];
        }
    } else if (watch->kind == FALLBACK) {
        struct weir_fallback_stats stats = weir_fallback_stats(watch->policy);
        coverage.seen[COVER_FELL_FUNCTION] += stats.by_function;
        coverage.seen[COVER_FELL_LAST_GOOD] += stats.by_last_good;
        coverage.seen[COVER_FELL_VALUE] += stats.by_value;
        coverage.seen[COVER_FUNCTION_FAILED] += stats.function_failed;
    }
}

struct world *world_run(uint64_t seed, uint64_t steps)
{
    struct world *world = sim = calloc(1, sizeof *world);
    if (world == NULL) abort();
    world->seed = world->random = seed;
    world->steps_max = steps;
    world->now_ns = 1000 * WEIR_S;
    world->caller = calloc(CALLERS_MAX, sizeof *world->caller);
    world->due = malloc(3 * CALLERS_MAX * sizeof *world->due);
    if (world->caller == NULL || world->due == NULL) abort();
    weir_thread.shard = 1;
    weir_shards_ever = (1u << SHARDS) - 1;
    for (uint32_t i = 0; i < 3 * CALLERS_MAX; i++) world->due[i] = WEIR_NEVER;
    draw_world();
    for (uint32_t i = 0; i < world->callers; i++) {
        world->caller[i].index = i;
        world->due[3 * i] = world->now_ns + draw_below(world->think_ns);
    }
    safety();
    liveness();
    for (uint32_t i = 0; i < world->watches; i++) {
        cover_stats(&world->watch[i]);
        hash_in(world->watch[i].breaker.transitions);
    }
    hash_in(world->now_ns);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->lanes; i++) weir_pipeline_destroy(world->lane[i].pipeline);
    for (uint32_t i = 0; i < world->budgets; i++) {
        coverage.seen[COVER_REFUNDED] += weir_budget_stats(world->budget[i].budget, world->now_ns).refunded;
        weir_budget_release(world->budget[i].budget);
    }
    for (uint32_t i = 0; i < world->watches; i++) free(world->watch[i].rate.log);
    for (uint32_t i = 0; i < SOURCES; i++) weir_source_release(world->source[i]);
    free(world->caller);
    free(world->due);
    free(world);
    sim = NULL;
    weir_thread.shard = 1;
}
