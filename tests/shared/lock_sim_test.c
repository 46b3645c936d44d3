/* Locks of several processes over stores that lag, lose, restart, forget and change their clocks; processes that stop.
 * Always checked, at every event:
 *   - at most one lock of the name is held before its end (not where a store forgets by itself, or its clock jumps);
 *   - a token is greater than all that were held before its acquire began (and, of one holder at a time, than the one
 *     before), and the guard admits the newest and nothing older;
 *   - no RENEW is sent for what is not held; a loss is told by its instant, when the process runs;
 *   - once all is well and released, the stores hold nothing, and no process thinks that they may.
 * Seeds: LOCK_SEED=n runs one; LOCK_SEEDS=n so many. */
#include "shared/lock_words.h"

#include "base/arithmetic.h"

#include <stdio.h>
#include <stdlib.h>

#define PROCESSES 3
#define LEASE_NS (600 * WEIR_MS)
#define RUN_NS (30 * WEIR_S)
#define NODES 3

enum weather { FAULTS, FLUSHES, JUMPS, WEATHERS };

struct process {
    struct carrier carrier;
    struct weir_lock *lock;
    uint64_t act_ns, stopped_until_ns;
    uint64_t lane_up_ns[NODES]; /* WEIR_NEVER: it is up */
    uint64_t acquired, lost, late_ns;
    struct weir_fence fence;
    uint64_t before_token; /* the greatest that was held before it began to acquire */
};

static struct {
    uint64_t seed, random;
    enum weather weather;
    uint32_t nodes;
    bool calm;
    struct process process[PROCESSES];
    struct store_lock store[NODES];
    uint64_t server[NODES], restarted_ns;
    int64_t clock_us[NODES];
    uint64_t fault_ns;
    uint64_t last_token;
    struct weir_fence_guard guard;
} world;

static struct {
    uint64_t acquired, lost, contended, overdue, ghosts_ended, renewed, late, restarts, stops, flushes, jumps,
        stale, canceled;
} seen;

static uint64_t draw(uint64_t low, uint64_t high)
{
    return low + random_up_to(&world.random, high - low);
}

static bool chance(uint64_t percent)
{
    return draw(1, 100) <= percent;
}

static void must(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "seed %llu, %llu ms: %s\n", (unsigned long long)world.seed,
        (unsigned long long)((world_ns - START_NS) / WEIR_MS), what);
    CHECK(condition);
}

static bool runs(const struct process *process)
{
    return world_ns >= process->stopped_until_ns;
}

/* ---- what always holds ---- */

static void look(void)
{
    uint32_t holders = 0;
    uint64_t now_ns = world_now().boottime_ns;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *process = &world.process[i];
        uint64_t valid_ns = weir_lock_valid_until(process->lock);
        holders += valid_ns > now_ns;
        if (valid_ns != 0 && runs(process)) {
            must(now_ns <= time_max(valid_ns, process->late_ns), "a loss was not told by its instant");
        }
    }
    if (world.weather == FAULTS) must(holders <= 1, "two hold the lock");
}

static void look_for_holding(struct process *process)
{
    struct weir_lock_stats stats = weir_lock_stats(process->lock);
    if (stats.acquired == process->acquired) return;
    must(stats.acquired == process->acquired + 1, "held twice at once");
    process->acquired = stats.acquired;
    process->fence = weir_lock_fence(process->lock);
    must(process->fence.token > process->before_token, "a token does not increase");
    bool newest = process->fence.token > world.last_token;
    must(newest || world.weather != FAULTS, "a token is not greater than that of the holder before");
    must(newest == weir_fence_admit(&world.guard, process->fence),
        "the guard refuses the newest holder, or admits another");
    world.last_token = time_max(world.last_token, process->fence.token);
}

/* ---- the network ---- */

static void take_down(struct process *process, uint32_t node, uint64_t up_ns)
{
    struct carrier *carrier = &process->carrier;
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct question *question = &carrier->question[i];
        if (question->there && !question->abandoned && question->node == node) {
            question->answer_ns = world_ns;
            question->answer.kind = WEIR_ANSWER_UNKNOWN;
        }
    }
    process->lane_up_ns[node] = up_ns;
}

/* How a question just pulled will fare. A question that is abandoned is done yet, if its time comes. */
static void plan(struct question *question)
{
    bool slow = !world.calm && chance(10), faulty = !world.calm && chance(12);
    question->do_ns = world_ns + draw(WEIR_MS / 5, slow ? 120 * WEIR_MS : 3 * WEIR_MS);
    question->answer_ns = question->do_ns + draw(WEIR_MS / 5, slow ? 120 * WEIR_MS : 3 * WEIR_MS);
    question->answer.kind = WEIR_ANSWER_DONE;
    if (faulty || question->answer_ns > question->ask.deadline_ns) {
        question->answer_ns = question->ask.deadline_ns;
        question->answer.kind = WEIR_ANSWER_UNKNOWN;
    }
    if (!faulty) return;
    switch (draw(0, 3)) {
    case 0: question->do_ns = WEIR_NEVER; break;
    case 1: question->do_ns = world_ns + draw(0, 2 * LEASE_NS); break;
    case 2:
        question->do_ns = WEIR_NEVER;
        question->answer.kind = chance(50) ? WEIR_ANSWER_NOT_RUN : WEIR_ANSWER_ERROR;
        break;
    default: break;
    }
}

static void pump(struct process *process)
{
    bool before[QUESTIONS];
    for (uint32_t i = 0; i < QUESTIONS; i++) before[i] = process->carrier.question[i].there;
    carrier_pump(&process->carrier);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct question *question = &process->carrier.question[i];
        if (before[i] || !question->there) continue;
        plan(question);
        bool renews = question->ask.kind == WEIR_ASK_RENEW;
        if (renews) must(weir_lock_valid_until(process->lock) != 0, "renewed, but not held");
    }
}

static void do_it(struct question *question)
{
    struct weir_answer answer;
    uint8_t kind = question->answer.kind;
    int64_t now_us = (int64_t)(world_ns / 1000) + world.clock_us[question->node];
    store_lock_ask(&world.store[question->node], &question->ask, now_us, &answer);
    question->done = true;
    if (question->abandoned) {
        question->there = false;
        seen.late++;
        return;
    }
    question->answer = answer;
    question->answer.kind = kind;
}

static void hand_over(struct process *process, struct question *question)
{
    struct question copy = *question;
    uint32_t node = question->node;
    bool late = copy.answer.kind == WEIR_ANSWER_UNKNOWN && !copy.done && copy.do_ns != WEIR_NEVER;
    question->there = false;
    weir_link_answer(process->carrier.link, copy.ask.ticket, &copy.answer, world_now());
    if (late) { /* it stays on its way */
        *question = copy;
        question->there = question->abandoned = true;
    }
    if (copy.answer.kind == WEIR_ANSWER_UNKNOWN && process->lane_up_ns[node] == WEIR_NEVER) {
        take_down(process, node, world_ns + (chance(50) ? 0 : draw(0, 300 * WEIR_MS)));
        carrier_lane(&process->carrier, node, false, 0);
    }
}

/* ---- faults ---- */

static void restart(uint32_t node)
{
    memset(&world.store[node], 0, sizeof world.store[node]);
    world.server[node]++;
    world.restarted_ns = world_ns;
    seen.restarts++;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *process = &world.process[i];
        for (uint32_t k = 0; k < QUESTIONS; k++) {
            struct question *question = &process->carrier.question[k];
            if (!question->there || question->node != node || question->done) continue;
            question->do_ns = WEIR_NEVER;
            if (question->abandoned) question->there = false;
        }
        take_down(process, node, world_ns + draw(0, 500 * WEIR_MS));
    }
}

static void fault(void)
{
    uint32_t node = (uint32_t)draw(0, world.nodes - 1);
    struct process *process = &world.process[draw(0, PROCESSES - 1)];
    world.fault_ns = world_ns + draw(50 * WEIR_MS, 2 * WEIR_S);
    if (chance(40)) {
        process->stopped_until_ns = world_ns + draw(0, 2 * LEASE_NS);
        process->late_ns = process->stopped_until_ns + world_now().boottime_ns - world_ns;
        seen.stops++;
    } else if (world.weather == FAULTS) {
        if (world_ns >= world.restarted_ns + 4 * LEASE_NS && chance(30)) restart(node);
        else take_down(process, node, world_ns + draw(0, LEASE_NS));
        if (chance(30)) take_down(process, (node + 1) % world.nodes, world_ns + draw(0, 3 * LEASE_NS));
    } else if (world.weather == FLUSHES) {
        memset(&world.store[node], 0, sizeof world.store[node]);
        seen.flushes++;
    } else {
        world.clock_us[node] = (int64_t)draw(0, 7200 * 1000000ull) - 3600 * 1000000ll;
        seen.jumps++;
    }
}

/* ---- who uses it ---- */

static void act(struct process *process)
{
    struct weir_lock *lock = process->lock;
    process->act_ns = world_ns + draw(WEIR_MS, 200 * WEIR_MS);
    switch (state_of(lock)) {
    case WEIR_LOCK_FREE:
        if (world.calm) break;
        if (!chance(70)) break;
        process->before_token = world.last_token;
        weir_lock_begin(lock, world_ns + draw(10 * WEIR_MS, 3 * WEIR_S));
        break;
    case WEIR_LOCK_ACQUIRING:
        if (!world.calm && !chance(3)) break;
        (void)weir_lock_release(lock, 0);
        seen.canceled++;
        break;
    case WEIR_LOCK_HELD:
    case WEIR_LOCK_SUSPECT:
        must(world.weather != FAULTS || weir_fence_admit(&world.guard, process->fence),
            "the guard refuses the holder");
        if (world.calm || chance(15)) (void)weir_lock_release(lock, 0);
        break;
    case WEIR_LOCK_LOST: /* a write that was under way */
        if (process->fence.token < world.last_token) {
            must(!weir_fence_admit(&world.guard, process->fence), "the guard admits a stale write");
            seen.stale++;
        }
        if (world.calm || chance(60)) (void)weir_lock_release(lock, 0);
        break;
    }
}

/* ---- time ---- */

static void turn_process(struct process *process)
{
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct question *question = &process->carrier.question[i];
        if (question->there && !question->done && world_ns >= question->do_ns) do_it(question);
    }
    if (!runs(process)) return;
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct question *question = &process->carrier.question[i];
        if (question->there && !question->abandoned && world_ns >= question->answer_ns)
            hand_over(process, question);
        look_for_holding(process);
    }
    for (uint32_t node = 0; node < world.nodes; node++) {
        if (process->lane_up_ns[node] == WEIR_NEVER) continue;
        carrier_lane(&process->carrier, node, false, 0);
        if (world_ns < process->lane_up_ns[node]) continue;
        process->lane_up_ns[node] = WEIR_NEVER;
        carrier_lane(&process->carrier, node, true, world.server[node]);
    }
    if (world_ns >= process->act_ns) act(process);
    pump(process);
}

static uint64_t next_of(const struct process *process)
{
    uint64_t next_ns = process->stopped_until_ns, mine_ns = process->act_ns;
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        const struct question *question = &process->carrier.question[i];
        if (!question->there) continue;
        if (!question->done)
            next_ns = next_ns > world_ns ? time_min(next_ns, question->do_ns) : question->do_ns;
        if (!question->abandoned) mine_ns = time_min(mine_ns, question->answer_ns);
    }
    for (uint32_t node = 0; node < world.nodes; node++)
        mine_ns = time_min(mine_ns, process->lane_up_ns[node]);
    mine_ns = time_min(mine_ns, process->carrier.rung ? world_ns : process->carrier.wake_ns);
    if (next_ns <= world_ns) next_ns = WEIR_NEVER;
    return runs(process) ? time_min(next_ns, mine_ns) : next_ns;
}

static void run_until(uint64_t end_ns)
{
    for (uint64_t turns = 0; world_ns < end_ns; turns++) {
        must(turns < 200000, "it is stepped again and again");
        uint64_t next_ns = world.calm ? end_ns : time_min(end_ns, world.fault_ns);
        for (uint32_t i = 0; i < PROCESSES; i++) {
            for (uint32_t k = 0; k < QUESTIONS; k++) {
                const struct question *question = &world.process[i].carrier.question[k];
                if (question->there && !question->done) next_ns = time_min(next_ns, question->do_ns);
            }
            next_ns = time_min(next_ns, next_of(&world.process[i]));
        }
        world_ns = time_max(world_ns, next_ns);
        if (!world.calm && world_ns >= world.fault_ns) fault();
        for (uint32_t i = 0; i < PROCESSES; i++) turn_process(&world.process[i]);
        look();
    }
}

static void set_up(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world_ns = START_NS;
    world.seed = world.random = seed;
    world.weather = (enum weather)(seed % 4 < 2 ? FAULTS : seed % 4 - 1);
    world.nodes = seed % 8 < 4 ? 1 : 3;
    world.fault_ns = START_NS + WEIR_S;
    for (uint32_t i = 0; i < NODES; i++) world.server[i] = 100 * (i + 1);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *process = &world.process[i];
        struct weir_lock_config config = weir_lock_config_init();
        carrier_open(&process->carrier, world.nodes, seed * PROCESSES + i);
        for (uint32_t node = 0; node < world.nodes; node++) {
            carrier_lane(&process->carrier, node, true, world.server[node]);
        }
        for (uint32_t node = 0; node < NODES; node++) process->lane_up_ns[node] = WEIR_NEVER;
        config.link = process->carrier.link;
        config.name = "x";
        config.lease_ns = LEASE_NS;
        if (world.weather != FAULTS) config.settle_ns = WEIR_OFF;
        CHECK_EQ(weir_lock_create(&config, &process->lock), WEIR_E_NONE);
        pump(process);
        process->act_ns = START_NS + draw(0, 100 * WEIR_MS);
    }
}

static void end(void)
{
    world.calm = true;
    run_until(world_ns + 6 * LEASE_NS);
    for (uint32_t i = 0; i < world.nodes; i++) {
        int64_t now_ms = (int64_t)(world_ns / WEIR_MS) + world.clock_us[i] / 1000;
        bool ends = world.weather == JUMPS || now_ms > world.store[i].until_ms;
        must(!world.store[i].taken || ends, "a store holds what nobody does");
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *process = &world.process[i];
        struct weir_lock_stats stats = weir_lock_stats(process->lock);
        must(stats.state == WEIR_LOCK_FREE && stats.ghosts == 0, "something is left of it");
        seen.acquired += stats.acquired;
        seen.lost += stats.lost;
        seen.contended += stats.contended;
        seen.overdue += stats.overdue;
        seen.renewed += stats.renewed;
        seen.ghosts_ended += stats.ghosts_ended;
        weir_lock_destroy(process->lock);
        for (uint32_t k = 0; k < QUESTIONS; k++) {
            if (process->carrier.question[k].abandoned) process->carrier.question[k].there = false;
        }
        carrier_close(&process->carrier);
    }
}

TEST(lock_sim, one_holder_and_rising_fences_under_every_fault)
{
    const char *one = getenv("LOCK_SEED"), *many = getenv("LOCK_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1,
             count = many != NULL ? strtoull(many, NULL, 10) : 60;
    if (one != NULL) count = 1;
    for (uint64_t seed = first; seed < first + count; seed++) {
        set_up(seed);
        run_until(START_NS + RUN_NS);
        end();
    }
    fprintf(stderr,
        "%llu acquired, %llu lost, %llu contended, %llu suspect, %llu renewed, %llu ghosts, %llu done late, "
        "%llu "
        "restarts, %llu stops, %llu flushes, %llu jumps, %llu stale writes, %llu canceled\n",
        (unsigned long long)seen.acquired, (unsigned long long)seen.lost, (unsigned long long)seen.contended,
        (unsigned long long)seen.overdue, (unsigned long long)seen.renewed,
        (unsigned long long)seen.ghosts_ended, (unsigned long long)seen.late,
        (unsigned long long)seen.restarts, (unsigned long long)seen.stops, (unsigned long long)seen.flushes,
        (unsigned long long)seen.jumps, (unsigned long long)seen.stale, (unsigned long long)seen.canceled);
    if (one != NULL) return;
    CHECK(seen.acquired > 0 && seen.lost > 0 && seen.contended > 0 && seen.overdue > 0 && seen.renewed > 0);
    CHECK(seen.ghosts_ended > 0 && seen.late > 0 && seen.restarts > 0 && seen.stops > 0 && seen.flushes > 0);
    CHECK(seen.jumps > 0 && seen.stale > 0 && seen.canceled > 0);
}
