#include "shared/world.h"

#include "policy/breaker.h"

#include <stdlib.h>
#include <string.h>

struct world world;
struct world_seen world_seen;

/* ---- what is seen ---- */

void world_note(
    enum seen_kind kind, const struct process *process, enum seen_object object, int64_t a, int64_t b)
{
    if (world.count_events == world.room_events) {
        world.room_events = world.room_events == 0 ? 4096 : 2 * world.room_events;
        world.events = realloc(world.events, world.room_events * sizeof *world.events);
        CHECK(world.events != NULL);
    }
    world_seen.event[kind]++;
    struct history_event *event = &world.events[world.count_events];
    *event = (struct history_event) { .at_ns = (int64_t)world.now_ns,
        .order = (uint32_t)world.count_events++,
        .process = process == NULL ? 0 : process->number,
        .kind = (uint16_t)kind,
        .object = object,
        .a = a,
        .b = b };
}

static bool differs(int64_t *last, int64_t now)
{
    bool differs = *last != now;
    *last = now;
    return differs;
}

static struct weir_share_stats look_at_state(
    struct process *process, const struct weir_policy *policy, enum seen_object object)
{
    struct weir_share_stats stats = weir_share_stats(policy);
    bool others = differs(&process->last.instances[object], stats.instances);
    if (object == SEEN_BREAKER) others = false; /* it makes no difference to it */
    if (differs(&process->last.state[object], stats.state) || others) {
        world_note(SEEN_STATE, process, object, stats.state, stats.instances);
        world_seen.state[object][stats.state]++;
    }
    CHECK(stats.state < WEIR_SHARE_STATES);
    return stats;
}

/* Nothing of it changes, but for what the link was told. */
static void look_at_policies(struct process *process)
{
    if (process->carrier.told == process->last.told) return;
    process->last.told = process->carrier.told;
    const struct weir_policy *bulkhead = weir_pipeline_policy(process->pipeline, 0);
    if (differs(&process->last.lent_ns, (int64_t)process->carrier.lent_until_ns))
        world_note(SEEN_LEASE, process, SEEN_RATE, process->last.lent_ns, 0);
    int64_t wanted = process->last.wanted;
    if (differs(&process->last.wanted, (int64_t)process->carrier.wanted))
        world_note(SEEN_LENT, process, SEEN_RATE, process->last.wanted - wanted, 0);
    struct weir_share_stats stats = look_at_state(process, process->rate, SEEN_RATE);
    world_seen.events_dropped += stats.dropped;
    stats = look_at_state(process, process->breaker, SEEN_BREAKER);
    if (differs(&process->last.epoch, (int64_t)stats.epoch))
        world_note(SEEN_EPOCH, process, SEEN_BREAKER, (int64_t)stats.epoch, 0);
    if (differs(&process->last.opened, (int64_t)stats.tripped) && stats.tripped != 0)
        world_note(SEEN_OPENED, process, SEEN_BREAKER, 0, 0);
    if (differs(&process->last.heard, (int64_t)process->carrier.heard))
        world_note(SEEN_HEARD, process, SEEN_BREAKER, process->last.epoch, process->last.fleet_is_open);
    stats = look_at_state(process, bulkhead, SEEN_BULKHEAD);
    if (differs(&process->last.lease_ns, (int64_t)stats.lease_end_ns)) {
        uint64_t until_ns = stats.lease_end_ns == 0 ? 0 : stats.lease_end_ns + process->carrier.slept_ns;
        world_note(SEEN_LEASE, process, SEEN_BULKHEAD, (int64_t)until_ns, 0);
    }
}

static void look_at_lock(struct process *process)
{
    struct world_last *last = &process->last;
    enum weir_lock_state state = weir_lock_check_at(process->lock, world.now_ns);
    bool holds = state == WEIR_LOCK_HELD || state == WEIR_LOCK_SUSPECT;
    uint64_t valid_ns = holds ? weir_lock_valid_until(process->lock) : 0;
    int64_t token = holds ? (int64_t)weir_lock_fence(process->lock).token : 0;
    bool anew = holds && token != last->token;
    if (last->holds && (!holds || anew)) world_note(SEEN_FREE, process, SEEN_LOCK, 0, 0);
    if (anew || (holds && !last->holds)) world_note(SEEN_HOLD, process, SEEN_LOCK, token, (int64_t)valid_ns);
    else if (holds && valid_ns != last->valid_ns) {
        world_note(SEEN_VALID, process, SEEN_LOCK, token, (int64_t)valid_ns);
    }
    last->holds = holds;
    last->valid_ns = valid_ns;
    last->token = token;
}

static void look_whether_parted(struct process *process)
{
    bool parted = world_runs(process) && (process->carrier.parted || world.now_ns < world.store.away_ns);
    if (parted != process->last.parted) {
        world_note(parted ? SEEN_PARTED : SEEN_JOINED, process, SEEN_OBJECTS, 0, 0);
        process->last.parted = parted;
    }
}

/* ---- processes ---- */

static void tell(void *argument, const struct weir_share_event *event)
{
    struct process *process = argument;
    CHECK(event->kind < WEIR_SHARE_EVENTS);
    CHECK(event->state < WEIR_SHARE_STATES);
    world_seen.closed_by_fleet += event->kind == WEIR_SHARE_FLEET_CLOSED;
    if (event->kind == WEIR_SHARE_FLEET_CLOSED) process->last.fleet_is_open = false;
    if (event->kind == WEIR_SHARE_FLEET_OPENED) process->last.fleet_is_open = true;
}

static void make_rate(struct process *process, const struct weir_share_config *common)
{
    struct weir_share_config share = *common;
    share.strict = world.strict;
    share.lease_ns = world.rate_lease_ns;
    share.lease_max = world.lease_max;
    CHECK_EQ(weir_rate_create(WEIR_CONFIG(weir_rate_config, .name = "rate", .permits = world.permits,
                                  .burst = world.burst, .share = &share),
                 &process->rate),
        WEIR_E_NONE);
}

static void make_breaker(struct process *process, const struct weir_share_config *common)
{
    struct weir_share_config share = *common;
    share.sync_ns = 50 * WEIR_MS;
    CHECK_EQ(weir_breaker_create(
                 WEIR_CONFIG(weir_breaker_config, .name = "breaker", .window_ns = 2 * WEIR_S,
                     .open_ns = 200 * WEIR_MS, .open_max_ns = WEIR_S, .seed = world.seed + 1,
                     .probes = world.probes, .probe_ns = 500 * WEIR_MS, .ramp_ns = WEIR_OFF, .share = &share),
                 &process->breaker),
        WEIR_E_NONE);
}

static void make_bulkhead(struct process *process, const struct weir_share_config *common)
{
    struct weir_policy *bulkhead = NULL;
    struct weir_share_config share = *common;
    share.lease_ns = world.bulkhead_lease_ns;
    CHECK_EQ(weir_bulkhead_create(
                 WEIR_CONFIG(weir_bulkhead_config, .name = "bulkhead", .limit = world.limit, .share = &share),
                 &bulkhead),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &bulkhead, 1, &process->pipeline), WEIR_E_NONE);
    weir_policy_release(bulkhead);
}

void process_begin(struct process *process)
{
    struct weir_share_sink sink = { tell, process };
    struct weir_share_config share = { .size = sizeof share, .away = world.away, .instances = world.count };
    carrier_open(&process->carrier, &world.store, &world.now_ns, world_draw(1, UINT64_C(1) << 60),
        world_draw(1, UINT64_C(1) << 60), &sink);
    share.link = process->carrier.link;
    process->lives = true;
    process->idle_ns = 0;
    memset(&process->last, 0, sizeof process->last);
    process->last.state[SEEN_RATE] = process->last.state[SEEN_BREAKER] = process->last.state[SEEN_BULKHEAD] =
        -1;
    make_rate(process, &share);
    make_breaker(process, &share);
    make_bulkhead(process, &share);
    CHECK_EQ(weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = share.link, .name = "lock",
                                  .lease_ns = world.lock_lease_ns, .poll_min_ns = 10 * WEIR_MS,
                                  .poll_max_ns = 100 * WEIR_MS),
                 &process->lock),
        WEIR_E_NONE);
    calls_begin(process);
    world_touch(process);
}

void process_end(struct process *process)
{
    world_note(SEEN_GONE, process, SEEN_OBJECTS, 0, 0);
    calls_end(process);
    carrier_close(&process->carrier);
    struct weir_lock_stats lock = weir_lock_stats(process->lock);
    world_seen.lost += lock.lost;
    world_seen.contended += lock.contended;
    weir_lock_destroy(process->lock);
    weir_policy_release(process->rate);
    weir_policy_release(process->breaker);
    weir_pipeline_destroy(process->pipeline);
    process->lives = false;
    process->last.parted = false;
}

/* ---- time ---- */

static void turn(struct process *process)
{
    if (!process->lives && process->idle_ns != 0 && world.now_ns >= process->idle_ns) process_begin(process);
    bool runs = world_runs(process);
    bool carries = world.now_ns >= process->carrier_ns;
    if (carries) carrier_turn(&process->carrier, runs);
    look_whether_parted(process);
    if (runs) {
        look_at_policies(process);
        look_at_lock(process);
        bool calls = calls_turn(process);
        if (process->carrier.rung) {
            carries = true;
            carrier_turn(&process->carrier, true);
            look_at_policies(process);
        }
        if (calls) look_at_lock(process);
    }
    if (carries) process->carrier_ns = carrier_next(&process->carrier, runs);
    process->next_ns = process->carrier_ns;
    if (runs) process->next_ns = time_min(process->carrier_ns, process->due_ns);
    else if (process->idle_ns > world.now_ns)
        process->next_ns = process->carrier_ns = time_min(process->carrier_ns, process->idle_ns);
}

static void run_until(uint64_t end_ns)
{
    while (world.now_ns < end_ns) {
        uint64_t next_ns = time_min(end_ns, world.faults_ns);
        for (uint32_t i = 0; i < world.count; i++) next_ns = time_min(next_ns, world.process[i].next_ns);
        world.now_ns = time_max(next_ns, world.now_ns);
        faults_turn();
        for (uint32_t i = 0; i < world.count; i++) {
            if (world.process[i].next_ns <= world.now_ns) turn(&world.process[i]);
        }
    }
}

void world_run(void)
{
    run_until(WORLD_BEGIN_NS + WORLD_RUN_NS);
    world.calm = true;
    faults_end();
    world.well_ns = world.now_ns;
    run_until(world.now_ns + WORLD_CALM_NS);
}

void world_make(uint64_t seed)
{
    struct history_event *events = world.events;
    size_t room = world.room_events;
    memset(&world, 0, sizeof world);
    world.events = events;
    world.room_events = room;
    world.seed = seed;
    world.random = mix64(seed);
    world.now_ns = WORLD_BEGIN_NS;
    world.weather = (enum weather)(seed % WEATHERS);
    world.count = (uint32_t)world_draw(3, WORLD_PROCESSES);
    world.permits = world_draw(50, 500);
    world.burst = world_draw(8, 200);
    world.strict = world_chance(50);
    world.lease_max = world_draw(1, world.burst / 2);
    world.away = (enum weir_away)world_draw(WEIR_AWAY_SHARE, WEIR_AWAY_CLOSED);
    world.rate_lease_ns = world_draw(50, 1000) * WEIR_MS;
    world.bulkhead_lease_ns = world_draw(100, 1000) * WEIR_MS;
    world.lock_lease_ns = world_draw(100, 1000) * WEIR_MS;
    world.limit = (uint32_t)world_draw(2, 20);
    world.probes = (uint32_t)world_draw(1, 4);
    world.one_is_ill = world_chance(30);
    world.fault_ns = world.now_ns + world_draw(100, 800) * WEIR_MS;
    world.replicated_ns = world.now_ns;
    store_open(&world.store, world_draw(0, UINT64_MAX - 1));
    for (uint32_t i = 0; i < world.count; i++) {
        world.process[i].number = (uint16_t)i;
        process_begin(&world.process[i]);
    }
}

void world_end(void)
{
    for (uint32_t i = 0; i < world.count; i++) {
        struct process *process = &world.process[i];
        if (process->lives) process_end(process);
        const uint64_t *from = (const uint64_t *)&process->carrier.seen;
        uint64_t *to = (uint64_t *)&world_seen.carrier;
        for (size_t k = 0; k < sizeof world_seen.carrier / sizeof *to; k++) to[k] += from[k];
    }
}
