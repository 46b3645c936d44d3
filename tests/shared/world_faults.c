/* What befalls processes, network and store: one thing after the other, each for a while. */
#include "shared/world.h"

#define RESTARTS_MAX 3 /* the models of the store have room for so many more instances */

static struct process *anyone(void)
{
    return &world.process[world_draw(0, world.count - 1)];
}

/* Now and then who fears for its lock, which is seldom. */
static struct process *whom(void)
{
    struct process *one = anyone();
    for (int tries = 0; tries < 4 && world_runs(one); tries++) {
        if (weir_lock_check_at(one->lock, world.now_ns) == WEIR_LOCK_SUSPECT) break;
        one = anyone();
    }
    return one;
}

static uint64_t a_while(void)
{
    return world.now_ns + world_draw(1, world_chance(25) ? 5000 : 700) * WEIR_MS;
}

static void touch_all(void)
{
    for (uint32_t i = 0; i < world.count; i++) world_touch(&world.process[i]);
}

static void kill_one(struct process *process)
{
    if (!process->lives || world.restarts++ >= RESTARTS_MAX) return;
    process_end(process);
    process->idle_ns = a_while();
}

/* The machine is suspended: it does not run, and CLOCK_MONOTONIC stands still. */
static void sleep_one(struct process *process)
{
    if (!world_runs(process)) return;
    process->idle_ns = a_while();
    process->carrier.slept_ns += process->idle_ns - world.now_ns;
}

static void lose_memory(enum fault fault)
{
    world_note(SEEN_LOSS, NULL, SEEN_OBJECTS, 0, 0);
    if (fault == FAULT_FLUSH) store_flush(&world.store);
    else if (fault == FAULT_KILL_STORE) store_kill(&world.store, a_while());
    else store_fail_over(&world.store, a_while());
}

static void jump(bool forward)
{
    int64_t most_us = world_chance(50) ? 2000000 : 3600000000;
    int64_t jump_us = (int64_t)world_draw(1000, (uint64_t)most_us) * (forward ? 1 : -1);
    world.store.jumped_us += jump_us;
    world_note(SEEN_JUMP, NULL, SEEN_OBJECTS, jump_us, 0);
}

static void strike_process(enum fault fault, struct process *process)
{
    struct carrier *carrier = &process->carrier;
    switch (fault) {
    case FAULT_PART:
        carrier->parted = true;
        process->part_end_ns = a_while();
        break;
    case FAULT_LOSE_REQUESTS:
        carrier->loses_requests = (uint8_t)world_draw(5, 60);
        process->lose_end_ns = a_while();
        break;
    case FAULT_LOSE_ANSWERS:
        carrier->loses_answers = (uint8_t)world_draw(5, 60);
        process->lose_end_ns = a_while();
        break;
    case FAULT_LAG:
        carrier->lag_ns = world_draw(5, 300) * WEIR_MS;
        process->lag_end_ns = a_while();
        break;
    case FAULT_CUT:
        if (world_runs(process)) carrier_cut(carrier);
        break;
    case FAULT_STOP_PROCESS:
        if (world_runs(process)) process->idle_ns = a_while();
        break;
    case FAULT_SLEEP: sleep_one(process); break;
    default: kill_one(process); break;
    }
    world_touch(process);
}

static void strike_store(enum fault fault)
{
    static const uint8_t moods[FAULTS] = {
        [FAULT_READ_ONLY] = STORE_READ_ONLY, [FAULT_ERRORS] = STORE_ERRORS, [FAULT_LIES] = STORE_LIES
    };
    switch (fault) {
    case FAULT_STOP_STORE: world.store.away_ns = a_while(); break;
    case FAULT_FORWARD:
    case FAULT_BACK: jump(fault == FAULT_FORWARD); break;
    case FAULT_FLUSH:
    case FAULT_KILL_STORE:
    case FAULT_FAIL_OVER: lose_memory(fault); break;
    default:
        world.store.mood = moods[fault];
        world.mood_end_ns = a_while();
        break;
    }
    touch_all();
}

static enum fault draw_fault(void)
{
    static const enum fault first[WEATHERS] = {
        [WEATHER_LOSSES] = FAULT_FLUSH, [WEATHER_JUMPS] = FAULT_FORWARD, [WEATHER_LIES] = FAULT_LIES
    };
    static const enum fault last[WEATHERS] = {
        [WEATHER_LOSSES] = FAULT_FAIL_OVER, [WEATHER_JUMPS] = FAULT_BACK, [WEATHER_LIES] = FAULT_LIES
    };
    if (world.weather == WEATHER_FAULTS || world_chance(60))
        return (enum fault)world_draw(0, FAULTS_ALWAYS - 1);
    return (enum fault)world_draw(first[world.weather], last[world.weather]);
}

/* In which states those whom it concerns are. */
static void note_struck(enum fault fault, const struct process *first, uint32_t count)
{
    for (const struct process *process = first; process < first + count; process++) {
        if (!world_runs(process)) continue;
        for (int i = 0; i < SEEN_LOCK; i++) {
            if (process->last.state[i] >= 0) world_seen.struck[fault][i][process->last.state[i]]++;
        }
        world_seen.struck[fault][SEEN_LOCK][weir_lock_check_at(process->lock, world.now_ns)]++;
    }
}

static void strike(void)
{
    enum fault fault = draw_fault();
    world_seen.fault[fault]++;
    world.fault_ns = world.now_ns + world_draw(20, 800) * WEIR_MS;
    bool of_store = fault == FAULT_STOP_STORE || fault == FAULT_READ_ONLY || fault == FAULT_ERRORS ||
        fault >= FAULTS_ALWAYS;
    struct process *one = of_store ? world.process : whom();
    note_struck(fault, one, of_store ? world.count : 1);
    if (of_store) strike_store(fault);
    else strike_process(fault, one);
}

/* ---- and how it ends ---- */

static void mend(struct process *process, bool all)
{
    struct carrier *carrier = &process->carrier;
    uint64_t now_ns = all ? WEIR_NEVER : world.now_ns;
    if (carrier->parted && now_ns >= process->part_end_ns) carrier->parted = false;
    if (now_ns >= process->lose_end_ns) carrier->loses_requests = carrier->loses_answers = 0;
    if (now_ns >= process->lag_end_ns) carrier->lag_ns = WEIR_MS;
    if (all && !process->lives) process->idle_ns = world.now_ns;
    world_touch(process);
}

static void mend_all(bool all)
{
    for (uint32_t i = 0; i < world.count; i++) mend(&world.process[i], all);
    if (all || world.now_ns >= world.mood_end_ns) world.store.mood = STORE_WELL;
}

static uint64_t next_end(void)
{
    uint64_t next_ns = WEIR_NEVER;
    for (uint32_t i = 0; i < world.count; i++) {
        const struct process *process = &world.process[i];
        const uint64_t ends[] = { process->part_end_ns, process->lose_end_ns, process->lag_end_ns };
        for (int k = 0; k < 3; k++) {
            if (ends[k] > world.now_ns) next_ns = time_min(next_ns, ends[k]);
        }
    }
    if (world.store.away_ns > world.now_ns) next_ns = time_min(next_ns, world.store.away_ns);
    return world.mood_end_ns > world.now_ns ? time_min(next_ns, world.mood_end_ns) : next_ns;
}

void faults_turn(void)
{
    if (world.now_ns < world.faults_ns) return;
    if (world.now_ns >= world.replicated_ns) {
        store_replicate(&world.store);
        world.replicated_ns = world.now_ns + world_draw(10, 300) * WEIR_MS;
    }
    mend_all(false);
    if (world.now_ns >= world.fault_ns) strike();
    world.faults_ns = time_min(time_min(world.fault_ns, world.replicated_ns), next_end());
}

void faults_end(void)
{
    mend_all(true);
    world.faults_ns = WEIR_NEVER;
    world.store.away_ns = time_min(world.store.away_ns, world.now_ns);
    for (uint32_t i = 0; i < world.count; i++) {
        struct process *process = &world.process[i];
        uint64_t early_ns = process->idle_ns > world.now_ns ? process->idle_ns - world.now_ns : 0;
        process->carrier.slept_ns -= time_min(early_ns, process->carrier.slept_ns);
        process->idle_ns = time_min(process->idle_ns, world.now_ns);
        process->mood_ns = process->due_ns = world.now_ns;
    }
}
