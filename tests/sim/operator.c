/* What comes from aside: operators, cancels, early wakes, a fork; and the end of all that. */
#include "sim/sim.h"

static void change_mode(void)
{
    struct watch *watch = &sim->watch[draw_below(sim->watches)];
    enum weir_mode mode = chance(50) ? WEIR_MODE_ON : (enum weir_mode)draw_below(WEIR_MODE_FORCED_CLOSED + 1);
    watch->moded = true;
    weir_policy_set_mode(watch->policy, mode);
    hash_in(mode);
}

static void set_share(struct watch *watch, uint32_t share)
{
    watch->share.share = share;
    MUST(weir_gate_set_share(watch->policy, share) == WEIR_E_NONE, "share %u was refused", share);
    hash_in(share);
}

static void change_limit(void)
{
    struct watch *watch = &sim->watch[draw_below(sim->watches)];
    if (watch->kind == SHARE) set_share(watch, (uint32_t)draw_between(0, 20) * 5 * WEIR_PERCENT);
    if (watch->kind != BULKHEAD) return;
    uint32_t limit = (uint32_t)draw_between(1, 12);
    if (limit < watch->bulkhead.in_use) cover(COVER_LIMIT_BELOW_USE);
    watch->bulkhead.limit = limit;
    enum weir_error error = weir_bulkhead_set_limit(watch->policy, limit);
    MUST(error == WEIR_E_NONE, "limit %u was refused", limit);
    hash_in(limit);
}

static void cancel_source(void)
{
    struct weir_source *source = sim->source[draw_below(SOURCES)];
    bool canceled = (uint32_t)source->word != 0;
    if (canceled || chance(10)) weir_source_reset(source);
    else MUST(weir_source_cancel(source, (int32_t)draw_between(1, 5)), "a fresh source was not canceled");
}

/* This process is its child now: all calls are the parent's, the permits are ours again. */
static void fork_now(void)
{
    atomic_store_relaxed(weir_process_word, 0u);
    (void)process_generation();
    for (uint32_t i = 0; i < sim->callers; i++) {
        struct caller *caller = &sim->caller[i];
        caller->owed = caller->held = caller->harmed = 0;
        if (caller->begun) caller->foreign = true;
    }
    for (uint32_t i = 0; i < sim->lanes; i++) sim->lane[i].unfinished = 0;
    for (uint32_t i = 0; i < sim->watches; i++) {
        struct watch *watch = &sim->watch[i];
        watch->bulkhead.held = watch->bulkhead.waiters = watch->chaos.held = 0;
        if (watch->kind != BREAKER) continue;
        const struct breaker_state *state = watch->policy->state;
        if (word_state(state->word) == HALF_OPEN) watch->breaker.admitted = word_won(state->word);
    }
}

static void flip_switch(void)
{
    struct watch *watch = &sim->watch[draw_below(sim->watches)];
    bool on = chance(70);
    if (watch->kind == CHAOS) weir_chaos_set_enabled(watch->policy, on);
    hash_in(on);
}

void disturb(void)
{
    struct caller *caller = &sim->caller[draw_below(sim->callers)];
    uint64_t what = draw_below(100);
    if (what < 50) {
        if (caller->begun) caller_wake(caller);
    } else if (what < 60) {
        if (caller->begun && sim->cancels) caller_cancel(caller);
    } else if (what < 75) {
        if (sim->cancels) cancel_source();
    } else if (what < 85) {
        if (sim->modes) change_mode();
    } else if (what < 92) {
        flip_switch();
    } else if (what < 99) {
        if (sim->limits) change_limit();
    } else if (sim->forks && chance(10)) {
        fork_now();
    }
    world_check();
}

/* All faults stop. */
void calm_down(void)
{
    sim->calm = true;
    sim->mood_until_ns = 0;
    callee_look();
    for (uint32_t i = 0; i < sim->watches; i++) {
        struct watch *watch = &sim->watch[i];
        weir_policy_set_mode(watch->policy, WEIR_MODE_ON);
        if (watch->kind == CHAOS) weir_chaos_set_enabled(watch->policy, false);
        if (watch->kind == GATE) ((struct gate_state *)weir_policy_state(watch->policy))->calm = 1;
        if (watch->kind == SHARE) set_share(watch, 100 * WEIR_PERCENT);
        if (watch->kind != BULKHEAD) continue;
        watch->bulkhead.limit = 12;
        enum weir_error error = weir_bulkhead_set_limit(watch->policy, 12);
        MUST(error == WEIR_E_NONE, "limit 12 was refused");
    }
    for (uint32_t i = 0; i < SOURCES; i++) weir_source_reset(sim->source[i]);
}
