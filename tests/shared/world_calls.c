/* Who calls in a process: now much, now little, and for how long. */
#include "shared/world.h"

#include "policy/breaker.h"

#include <string.h>

static uint64_t soon(const struct process *process, uint64_t busy_us, uint64_t idle_us)
{
    uint64_t most_us = process->busy ? busy_us : idle_us;
    return world.now_ns + world_draw(most_us / 10 + 1, most_us) * WEIR_US;
}

void calls_begin(struct process *process)
{
    for (int i = 0; i < SEEN_OBJECTS; i++) process->call_ns[i] = world.now_ns + world_draw(1, 100) * WEIR_MS;
    for (int i = 0; i < WORLD_VISITS + WORLD_TRIALS; i++) process->end_ns[i] = WEIR_NEVER;
    process->mood_ns = process->due_ns = world.now_ns;
}

static void change_habits(struct process *process)
{
    process->busy = world_chance(60);
    process->mood_ns = world.now_ns + world_draw(50, 1500) * WEIR_MS;
    process->ill = !world.calm && (world.one_is_ill ? process->number == 0 : world_chance(25));
}

/* ---- the rate ---- */

static void spend(struct process *process)
{
    uint32_t most = world.lease_max < 3 ? (uint32_t)world.lease_max : 3, cost = (uint32_t)world_draw(1, most);
    struct weir_outcome outcome = weir_rate_acquire_at(process->rate, cost, world_mono(process));
    if (outcome.status == WEIR_OK) world_note(SEEN_ADMIT, process, SEEN_RATE, cost, 0);
    else world_seen.refused_rate++;
    process->call_ns[SEEN_RATE] = soon(process, 2000000 / world.permits, 400000);
}

/* ---- the bulkhead ---- */

static void settle(struct process *process, struct world_visit *visit)
{
    struct weir_outcome ok = { .status = WEIR_OK };
    visit->step = weir_call_settle(&visit->call, visit->step.attempt, ok, world_mono(process));
    visit->there = false;
}

static void end_visit(struct process *process, struct world_visit *visit)
{
    world_note(SEEN_LEAVE, process, SEEN_BULKHEAD, visit->weight, visit->id);
    settle(process, visit);
}

static void enter(struct process *process)
{
    struct world_visit *visit = process->visit;
    process->call_ns[SEEN_BULKHEAD] = soon(process, 8000, 300000);
    while (visit < process->visit + WORLD_VISITS && visit->there) visit++;
    if (visit == process->visit + WORLD_VISITS) return;
    visit->weight = (uint32_t)world_draw(1, 2);
    struct weir_call_options options = { .size = sizeof options, .weight = visit->weight };
    visit->step = weir_call_begin(&visit->call, process->pipeline, &options, world_mono(process));
    CHECK(visit->step.action == WEIR_RUN || visit->step.action == WEIR_DONE); /* it has no queue */
    visit->there = visit->step.action == WEIR_RUN;
    world_seen.refused_bulkhead += !visit->there;
    if (!visit->there) return;
    visit->id = world.calls++;
    process->end_ns[visit - process->visit] =
        world.now_ns + world_draw(1, world_chance(5) ? 600 : 60) * WEIR_MS;
    world_note(SEEN_ENTER, process, SEEN_BULKHEAD, visit->weight, visit->id);
}

/* ---- the breaker ---- */

/* The epoch in whose turn the call just let in probes; 0: it does not. */
static int64_t probed_epoch(const struct process *process)
{
    const struct breaker_state *state = weir_policy_state(process->breaker);
    bool marked = word_state(state->word) == HALF_OPEN && word_is_fleets(state->word);
    return marked && world_mono(process) < turn_end(state->turn) ? process->last.epoch : 0;
}

static void try(struct process *process)
{
    struct world_trial *trial = process->trial;
    process->call_ns[SEEN_BREAKER] = soon(process, 10000, 100000);
    while (trial < process->trial + WORLD_TRIALS && trial->there) trial++;
    if (trial == process->trial + WORLD_TRIALS) return;
    trial->there =
        weir_breaker_acquire_at(process->breaker, &trial->permit, world_mono(process)).status == WEIR_OK;
    world_seen.refused_breaker += !trial->there;
    if (!trial->there) return;
    world.passed_ns = world.now_ns;
    process->end_ns[WORLD_VISITS + (trial - process->trial)] = world.now_ns + world_draw(1, 30) * WEIR_MS;
    trial->epoch = probed_epoch(process);
    if (trial->epoch != 0) world_note(SEEN_PROBE, process, SEEN_BREAKER, trial->epoch, 0);
}

/* What they all call is down now and then. */
static bool is_down(void)
{
    uint64_t phase = (world.now_ns - WORLD_BEGIN_NS) / (900 * WEIR_MS) + world.seed;
    return !world.calm && !world.one_is_ill && phase % 4 == 0;
}

static void end_trial(struct process *process, struct world_trial *trial)
{
    struct weir_outcome outcome = { .status = WEIR_OK };
    if ((process->ill || is_down()) && world_chance(90)) outcome.status = WEIR_FAILED;
    weir_breaker_release_at(process->breaker, &trial->permit, outcome, world_mono(process));
    trial->there = false;
    if (trial->epoch != 0) world_note(SEEN_PROBED, process, SEEN_BREAKER, trial->epoch, 0);
}

/* ---- the lock ---- */

static void write_under_lock(struct process *process, struct weir_fence fence)
{
    uint64_t seen = weir_fence_seen(&world.guard);
    bool admitted = weir_fence_admit(&world.guard, fence);
    CHECK(!admitted || fence.token >= seen);
    world_seen.stale_refused += !admitted;
    (void)process;
}

static void use_lock(struct process *process)
{
    process->call_ns[SEEN_LOCK] = soon(process, 100000, 400000);
    switch (weir_lock_check_at(process->lock, world.now_ns)) {
    case WEIR_LOCK_FREE:
        weir_lock_begin(process->lock, world_mono(process) + world_draw(20, 2000) * WEIR_MS);
        break;
    case WEIR_LOCK_ACQUIRING:
        if (world_chance(5)) (void)weir_lock_release(process->lock, 0);
        break;
    case WEIR_LOCK_HELD:
    case WEIR_LOCK_SUSPECT:
        write_under_lock(process, weir_lock_fence(process->lock));
        if (world_chance(40)) (void)weir_lock_release(process->lock, 0);
        break;
    case WEIR_LOCK_LOST: (void)weir_lock_release(process->lock, 0); break;
    }
}

/* ---- all ---- */

static void end_due(struct process *process)
{
    for (int i = 0; i < WORLD_VISITS + WORLD_TRIALS; i++) {
        if (world.now_ns < process->end_ns[i]) continue;
        process->end_ns[i] = WEIR_NEVER;
        if (i < WORLD_VISITS) end_visit(process, &process->visit[i]);
        else end_trial(process, &process->trial[i - WORLD_VISITS]);
    }
}

static uint64_t next_due(const struct process *process)
{
    uint64_t next_ns = process->mood_ns;
    for (int i = 0; i < SEEN_OBJECTS; i++) next_ns = time_min(next_ns, process->call_ns[i]);
    for (int i = 0; i < WORLD_VISITS + WORLD_TRIALS; i++) next_ns = time_min(next_ns, process->end_ns[i]);
    return next_ns;
}

bool calls_turn(struct process *process)
{
    static void (*const call[SEEN_OBJECTS])(struct process *) = { spend, try, enter, use_lock };
    if (world.now_ns < process->due_ns) return false;
    if (world.now_ns >= process->mood_ns) change_habits(process);
    end_due(process);
    for (int i = 0; i < SEEN_OBJECTS; i++) {
        if (world.now_ns >= process->call_ns[i]) call[i](process);
    }
    process->due_ns = next_due(process);
    return true;
}

void calls_end(struct process *process)
{
    for (struct world_visit *visit = process->visit; visit < process->visit + WORLD_VISITS; visit++) {
        if (visit->there) settle(process, visit);
    }
    for (struct world_trial *trial = process->trial; trial < process->trial + WORLD_TRIALS; trial++) {
        struct weir_outcome ok = { .status = WEIR_OK };
        if (trial->there) weir_breaker_release_at(process->breaker, &trial->permit, ok, world_mono(process));
        trial->there = false;
    }
}
