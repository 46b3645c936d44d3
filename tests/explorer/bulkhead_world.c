#include "explorer/bulkhead_world.h"

#include <stdlib.h>
#include <string.h>

struct world world;
struct weir_policy *bulkhead;

static const struct setup *setup(void)
{
    return (const struct setup *)explore_scenario()->argument;
}

static struct bulkhead_state *words(void)
{
    return bulkhead->state;
}

static const struct bulkhead_config *config(void)
{
    return bulkhead->config;
}

uint64_t world_free(void)
{
    uint64_t free_permits = 0;
    for (uint32_t i = 0; i < config()->cells; i++) free_permits += words()->cell[i].free;
    return free_permits;
}

/* ---- a caller's steps ---- */

static struct weir_verdict noted(struct weir_verdict verdict)
{
    if ((verdict.flags & WEIR_VERDICT_WAKE) != 0) policy_post(bulkhead);
    return verdict;
}

static struct weir_verdict ask(struct caller *caller, uint64_t now_ns)
{
    return noted(
        bulkhead->ops->admit(bulkhead->config, bulkhead->state, &caller->slot, &caller->call, now_ns));
}

static void settle(struct caller *caller, enum weir_status status)
{
    struct weir_outcome outcome = { .status = (uint8_t)status };
    noted(
        bulkhead->ops->settle(bulkhead->config, bulkhead->state, &caller->slot, &caller->call, &outcome, 0));
}

static void post(void *caller)
{
    explore_post(&((struct caller *)caller)->posted);
}

static void arm(struct caller *caller, uint32_t waiter)
{
    caller->call.held = 1;
    caller->call.waiter = waiter;
    wakers_arm(&bulkhead->wakers, waiter - 1, &caller->call, (struct weir_waker) { post, caller });
}

static void disarm(struct caller *caller)
{
    if (caller->call.waiter == 0) return;
    wakers_disarm(&bulkhead->wakers, caller->call.waiter - 1, &caller->call);
    caller->call.waiter = 0;
}

/* One word counts who is inside by itself; cells do not. */
static void announce(const void *ghost)
{
    if (setup()->ordered || config()->cells != 0) weir_explore_point(ghost);
}

static void begin(struct caller *caller)
{
    explore_progress();
    if (!setup()->ordered) return;
    weir_explore_point(&world.queued);
    caller->before = world.queued;
    caller->limit = world.lowered;
}

static void mark_queued(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    if (!setup()->ordered) return;
    weir_explore_point(&world.queued);
    caller->waiter = words()->waiter[caller->call.waiter - 1];
    world.queued |= 1u << thread;
}

/* Nobody who was told to wait before this caller came may still be waiting when it gets its permits. */
static void check_order(const struct caller *caller)
{
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        const struct caller *other = &world.caller[i];
        if ((caller->before & world.queued & 1u << i) == 0) continue;
        bool waits = (other->waiter & 15) == 1;
        EXPLORE_CHECK(!waits || words()->waiter[other->call.waiter - 1] != other->waiter);
    }
}

static bool done(uint32_t thread, struct weir_verdict verdict)
{
    struct caller *caller = &world.caller[thread];
    announce(&world.held);
    if (verdict.kind == WEIR_PASS) {
        check_order(caller);
        caller->inside = true;
        world.held += call_weight(&caller->call);
        if (caller->limit != 0) EXPLORE_CHECK(world.held <= caller->limit);
        world.entered++;
    } else {
        world.refused++;
    }
    world.queued &= ~(1u << thread);
    disarm(caller);
    caller->call.held = 0;
    return caller->inside;
}

void world_begin_to_wait(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    begin(caller);
    struct weir_verdict verdict = ask(caller, 0);
    EXPLORE_CHECK(verdict.kind == WEIR_HOLD);
    arm(caller, verdict.waiter);
    mark_queued(thread);
}

bool world_wait(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    struct weir_verdict verdict;
    while ((verdict = ask(caller, 0)).kind == WEIR_HOLD) explore_await(&caller->posted);
    return done(thread, verdict);
}

bool world_enter(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    begin(caller);
    struct weir_verdict verdict = ask(caller, 0);
    if (verdict.kind != WEIR_HOLD) return done(thread, verdict);
    arm(caller, verdict.waiter);
    mark_queued(thread);
    return world_wait(thread);
}

bool world_enter_or_leave(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    begin(caller);
    struct weir_verdict verdict = ask(caller, 0);
    if (verdict.kind != WEIR_HOLD) return done(thread, verdict);
    arm(caller, verdict.waiter);
    mark_queued(thread);
    return done(thread, ask(caller, WAIT_MAX_NS));
}

void world_cancel(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    disarm(caller);
    settle(caller, WEIR_CANCELED);
    caller->call.held = 0;
    announce(&world.held);
    world.left++;
    world.queued &= ~(1u << thread);
}

void world_leave(uint32_t thread)
{
    struct caller *caller = &world.caller[thread];
    explore_progress();
    announce(&world.held);
    EXPLORE_CHECK(caller->inside);
    caller->inside = false;
    world.held -= call_weight(&caller->call);
    settle(caller, WEIR_OK);
}

void world_set_limit(uint32_t limit)
{
    explore_progress();
    if (weir_bulkhead_set_limit(bulkhead, limit) != WEIR_E_NONE) explore_fail("set_limit");
    announce(&world.queued);
    world.lowered = limit;
}

void world_lapse(void)
{
    const struct bulkhead_terms terms = { setup()->limit, 1, 0, false };
    bulkhead_set_terms(bulkhead->config, bulkhead->state, &terms, 0);
}

void world_lend(uint32_t limit)
{
    const struct bulkhead_terms terms = { limit, 1, WEIR_NEVER - 1, false };
    explore_progress();
    if (bulkhead_set_terms(bulkhead->config, bulkhead->state, &terms, 0)) policy_post(bulkhead);
}

/* ---- the world ---- */

void world_create(void)
{
    const struct setup *given = setup();
    memset(&world, 0, sizeof world);
    if (weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = given->limit, .queue = given->queue,
                                 .form = given->form, .wait_max_ns = WAIT_MAX_NS),
            &bulkhead) != WEIR_E_NONE) {
        abort();
    }
    explore_region(bulkhead->state,
        sizeof(struct bulkhead_state) + bulkhead_places(config()) * sizeof(uint64_t), "bulkhead");
    explore_region(bulkhead->counters, sizeof *bulkhead->counters, "counters");
    if (given->queue != 0) {
        explore_region(
            bulkhead->wakers.cell, bulkhead_places(config()) * sizeof *bulkhead->wakers.cell, "wakers");
    }
    explore_region(&world, sizeof world, "world");
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        struct weir_call *call = &world.caller[i].call;
        call->shard = (uint16_t)(explore_scenario()->shared_line ? SHARDS : i);
        call->flags = CALL_WEIGHTED;
        call->weight = given->weight[i] == 0 ? 1 : given->weight[i];
        if (given->held[i] == 0) continue;
        call->weight = given->held[i];
        if (!world_enter(i)) abort();
    }
}

void world_step(void)
{
    const struct setup *given = setup();
    uint64_t word = words()->word;
    EXPLORE_CHECK(world.held <= given->limit);
    EXPLORE_CHECK(bulkhead_waiters(word) <= given->queue);
    if (config()->cells == 0) EXPLORE_CHECK((uint32_t)word <= given->limit);
    else EXPLORE_CHECK(world_free() + world.held <= given->limit + (uint64_t)(uint32_t)word);
}

void world_end(void)
{
    const struct bulkhead_state *state = words();
    EXPLORE_CHECK(world.held == 0);
    EXPLORE_CHECK((state->word & ~LIMIT_MASK) == 0);
    EXPLORE_CHECK(state->pumps == 0);
    if (config()->cells != 0) EXPLORE_CHECK(world_free() == state->limit);
    for (uint32_t i = 0; i < bulkhead_places(config()); i++) {
        EXPLORE_CHECK((state->waiter[i] & 15) == 0);
        EXPLORE_CHECK(bulkhead->wakers.cell[i].state == 0);
    }
    explore_outcome(world.entered * 10000u + world.refused * 100u + world.left);
}
