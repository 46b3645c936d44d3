/* What must hold after every operation, looked up in the policies' own words. */
#include "fuzz/world.h"
#include "pipeline/machine.h"
#include "policy/breaker.h"
#include "policy/bulkhead.h"
#include "policy/chaos.h"
#include "policy/fallback.h"
#include "policy/rate.h"

/* ---- what callers hold ---- */

static bool holds(const struct caller *caller, uint32_t position)
{
    const struct weir_call *call = caller->call;
    if (call->phase == PHASE_FAST) return true;
    return ((call->admitted | call->lasting) >> position & 1) != 0;
}

#define HELD_BY_NOBODY UINT64_MAX

/* Of what callers and permits hold of a bulkhead: permits. Of a breaker: probes of its generation. */
static uint64_t held_of(const struct world *world, const struct subject *subject, uint64_t generation)
{
    uint64_t sum = 0;
    if (world->forked) return 0;
    for (const struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
        if (caller->call == NULL) continue;
        const struct line *line = &world->line[caller->pipeline];
        for (uint32_t i = 0; i < line->count; i++) {
            if (line->order[i] != subject || !holds(caller, i)) continue;
            uint64_t word = caller->call->slot[i].word[0];
            if (subject->kind == POLICY_BULKHEAD) sum += word >> 32;
            else if (word == generation) sum++;
        }
    }
    for (const struct permit *permit = world->permit; permit < world->permit + PERMITS; permit++) {
        if (!permit->out || &world->subject[permit->subject] != subject) continue;
        uint64_t word = permit->permit.slot.word[0];
        if (word == HELD_BY_NOBODY) continue;
        if (subject->kind == POLICY_BULKHEAD) sum += word >> 32;
        else if (word == generation) sum++;
    }
    return sum;
}

/* ---- bulkhead ---- */

/* As in lib/policy/bulkhead.c: ticket:40 | weight:20 | state:4. */
enum { FUZZ_WAITING = 1 };

/* A waiter that was handed its permits must have been told. */
static void check_told(const struct world *world, const struct subject *subject, uint32_t waiter)
{
    for (const struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
        if (caller->call == NULL || caller->call->waiter != waiter + 1) continue;
        const struct line *line = &world->line[caller->pipeline];
        if (line->order[caller->call->held - 1] == subject) MUST(caller->posted);
    }
}

static void check_bulkhead(const struct world *world, struct subject *subject)
{
    const struct bulkhead_config *config = subject->policy->config;
    const struct bulkhead_state *state = subject->policy->state;
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(subject->policy);
    uint64_t expected = held_of(world, subject, 0), lowest = UINT64_MAX, first = 0;
    uint32_t there = 0, waiting = 0;
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        uint64_t waiter = state->waiter[i];
        if ((waiter & 15) == 0) continue;
        there++;
        uint64_t weight = waiter >> 4 & 0xfffff;
        if ((waiter & 15) != FUZZ_WAITING) {
            expected += weight;
            check_told(world, subject, i);
            continue;
        }
        waiting++;
        if (waiter >> 24 < lowest) {
            lowest = waiter >> 24;
            first = weight;
        }
    }
    MUST(stats.in_use == expected);
    MUST(stats.waiting == there && waiting <= config->queue && bulkhead_waiters(state->word) == waiting);
    MUST(stats.in_use <= stats.limit || stats.in_use <= subject->before);
    if (first != 0) MUST(stats.in_use + first > stats.limit); /* nobody waits for what is free */
    MUST(stats.queued == stats.handed_over + stats.left + stats.waiting || world->forked);
    MUST(state->pumps == 0);
    subject->before = stats.in_use;
}

/* ---- breaker ---- */

static void check_breaker(const struct world *world, const struct subject *subject)
{
    const struct breaker_state *state = subject->policy->state;
    struct weir_breaker_stats stats = weir_breaker_stats(subject->policy, world->most_ns);
    uint64_t word = state->word, raw = word_state(word);
    MUST(stats.generation == stats.opened + stats.half_opened + stats.closed + stats.reopened);
    MUST(stats.opened + stats.reopened == stats.half_opened + (raw == OPEN));
    MUST(stats.half_opened == stats.closed + stats.reopened + (raw == HALF_OPEN));
    MUST(stats.calls <= stats.counted_ok + stats.counted_failed && stats.failures <= stats.counted_failed);
    MUST(stats.slow <= stats.counted_slow);
    MUST(stats.until_ns <= world->most_ns + subject->duration_ns + WEIR_S + (1u << UNTIL_UNIT_BITS));
    if (raw != HALF_OPEN) return;
    MUST(word_issued(word) <= subject->probes && word_won(word) < subject->successes);
    MUST(word_issued(word) - word_won(word) == held_of(world, subject, stats.generation));
}

/* ---- rate, retry, budget ---- */

static void check_rate(const struct world *world, const struct subject *subject)
{
    const struct rate_config *config = subject->policy->config;
    const struct rate_state *state = subject->policy->state;
    struct weir_rate_stats stats = weir_rate_stats(subject->policy, world->now_ns);
    MUST(stats.tokens <= stats.burst);
    for (uint32_t i = 0; config->lease != 0 && i < SHARDS; i++) MUST(state->cell[i].credit <= config->lease);
}

static void check_budget(const struct world *world)
{
    struct weir_budget_stats stats = weir_budget_stats(world->budget, world->now_ns);
    MUST(stats.tokens <= stats.capacity && stats.refunded <= stats.charged);
}

/* ---- chaos ---- */

enum { FUZZ_HIT_LATENCY = 1, FUZZ_HIT_LOST_HELD = 6 }; /* as in lib/policy/chaos.c */

static void check_chaos(const struct world *world, const struct subject *subject)
{
    const struct chaos_config *config = subject->policy->config;
    uint64_t held = 0;
    for (const struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
        if (caller->call == NULL || caller->call->phase == PHASE_FAST) continue;
        const struct line *line = &world->line[caller->pipeline];
        for (uint32_t i = 0; i < line->count; i++) {
            bool owed = holds(caller, i) || caller->call->held == i + 1;
            if (line->order[i] != subject || !owed) continue;
            uint64_t hit = caller->call->slot[i].word[0] & 0xff;
            held += hit == FUZZ_HIT_LATENCY || hit == FUZZ_HIT_LOST_HELD;
        }
    }
    struct weir_chaos_stats stats = weir_chaos_stats(subject->policy);
    MUST(stats.held <= config->held_max);
    MUST(stats.held == held || world->forked);
}

/* ---- an attempt that starts ---- */

static void check_run_against(const struct world *world, const struct caller *caller, uint32_t position)
{
    const struct subject *subject = world->line[caller->pipeline].order[position];
    const struct weir_call *call = caller->call;
    if (call->phase != PHASE_FAST && (call->skipped >> position & 1) != 0) return;
    if (subject->kind == POLICY_TIMEOUT)
        MUST(call->attempt.deadline_ns <= caller->latest_ns + subject->duration_ns);
    if (subject->kind != POLICY_BREAKER || weir_policy_mode(subject->policy) != WEIR_MODE_ON) return;
    const struct breaker_state *state = subject->policy->state;
    MUST(word_state(state->word) != OPEN);
    if (call->phase != PHASE_FAST) MUST(call->slot[position].word[0] == word_generation(state->word));
}

void world_check_run(struct world *world, const struct caller *caller)
{
    const struct line *line = &world->line[caller->pipeline];
    uint32_t most = 1;
    MUST(weir_call_attempt(caller->call)->deadline_ns > world->now_ns);
    enum weir_status given = weir_context_check(caller->given, world->now_ns);
    bool again = given == WEIR_CANCELED && caller->attempts > 1;
    MUST(given == WEIR_OK || (KNOWN_AGAIN_AFTER_CANCEL && again));
    if (caller->given != NULL) MUST(caller->call->attempt.deadline_ns <= caller->given->deadline_ns);
    for (uint32_t i = 0; i < line->count; i++) {
        check_run_against(world, caller, i);
        if (line->order[i]->kind == POLICY_RETRY && most <= WEIR_ATTEMPTS_MAX)
            most *= line->order[i]->attempts;
    }
    if (line->custom || line->chaos) return;
    MUST(caller->attempts <= most);
    MUST(caller->attempts == 1 || caller->idempotent || caller->again);
}

/* ---- all of it ---- */

void world_check(struct world *world)
{
    int64_t debts = 0;
    for (uint32_t i = 0; i < world->subjects; i++) {
        struct subject *subject = &world->subject[i];
        switch (subject->kind) {
        case POLICY_BULKHEAD: check_bulkhead(world, subject); break;
        case POLICY_BREAKER: check_breaker(world, subject); break;
        case POLICY_RATE: check_rate(world, subject); break;
        case POLICY_CHAOS: check_chaos(world, subject); break;
        default: break;
        }
    }
    for (const struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
        if (caller->call == NULL) continue;
        const struct line *line = &world->line[caller->pipeline];
        for (uint32_t i = 0; i < line->count; i++) {
            bool held = caller->call->held == i + 1;
            bool owed = holds(caller, i) || held;
            if (line->order[i]->kind == POLICY_CUSTOM && owed)
                debts += caller->call->slot[i].word[0] == 0x600d;
        }
    }
    if (!world->forked) MUST(debts == world->debts);
    check_budget(world);
}

void world_check_stats(struct world *world)
{
    for (uint32_t p = 0; p < PIPELINES; p++) {
        const struct line *line = &world->line[p];
        const struct weir_pipeline_stats *want = &line->want;
        struct weir_pipeline_stats stats = weir_pipeline_stats(line->pipeline);
        uint64_t in_flight = 0, zombies = 0;
        for (const struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
            if (caller->call == NULL || caller->pipeline != p) continue;
            in_flight++;
            zombies += caller->operation.pending != 0 ? 1 : 0;
            zombies += caller->function.pending != 0 ? 1 : 0;
        }
        MUST(stats.in_flight == (world->forked ? 0 : in_flight));
        MUST(stats.begun == want->begun);
        MUST(memcmp(stats.ended, want->ended, sizeof stats.ended) == 0);
        MUST(memcmp(stats.refused, want->refused, sizeof stats.refused) == 0);
        MUST(memcmp(stats.refused_by, want->refused_by, sizeof stats.refused_by) == 0);
        MUST(
            stats.degraded == want->degraded && stats.late == want->late && stats.shadowed == want->shadowed);
        MUST(stats.abandoned == want->abandoned && stats.timed <= stats.ended[WEIR_OK]);
        if (world->forked) continue;
        /* A call in flight by the fast lists is counted when it ends. */
        MUST(stats.zombies == zombies);
        if (line->chaos) continue;
        MUST(stats.attempts <= want->attempts);
        MUST(stats.attempts + in_flight >= want->attempts);
    }
}
