/* One instance of the service: its link, what it shares through it, and threads that use that. */
#include "arena.h"

#include <weir/lock.h>
#include <weir/redis.h>
#include <weir/weir.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LOAD(word) __atomic_load_n((word), __ATOMIC_RELAXED)
#define STORE(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define WORK_NS (5 * WEIR_MS) /* that a guarded call takes */
#define HOLD_NS (150 * WEIR_MS)
#define WRITE_NS (5 * WEIR_MS)

static struct {
    struct arena *arena;
    struct member *mine;
    unsigned me;
    struct weir_link *link;
    struct weir_policy *rate[BUCKETS], *local, *breaker, *bulkhead;
    struct weir_lock *lock;
} self;

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = { .tv_sec = (time_t)(at_ns / WEIR_S), .tv_nsec = (long)(at_ns % WEIR_S) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static bool stopped(void)
{
    return LOAD(&self.arena->stop) != 0;
}

static void require(enum weir_error error)
{
    if (error == WEIR_E_NONE) return;
    fprintf(stderr, "weir-fleet: member %u: %s\n", self.me, weir_error_text());
    _exit(2);
}

/* ---- the rate limits: asked at an even pace, whatever they answer ---- */

static void note_admit(enum bucket bucket, uint64_t at_ns)
{
    struct admits *admits = &self.mine->admits[bucket];
    uint32_t count = LOAD(&admits->count);
    if (count == ADMITS_MAX) return;
    admits->at_ns[count] = at_ns;
    __atomic_store_n(&admits->count, count + 1, __ATOMIC_RELEASE);
}

static void note_time(enum timed timed, uint64_t took_ns)
{
    struct samples *samples = &self.mine->samples[LOAD(&self.arena->phase)][timed];
    if (samples->count == SAMPLES_MAX) return;
    samples->took_ns[samples->count] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
    STORE(&samples->count, samples->count + 1);
}

static void ask_once(void)
{
    for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) {
        uint64_t began_ns = now();
        struct weir_outcome outcome = weir_rate_acquire_at(self.rate[bucket], 1, began_ns);
        if (bucket == RELAXED) note_time(TIMED_SHARED, now() - began_ns);
        if (outcome.status == WEIR_OK) note_admit(bucket, began_ns);
    }
    uint64_t began_ns = now();
    struct weir_outcome outcome = weir_rate_acquire_at(self.local, 1, began_ns);
    note_time(TIMED_LOCAL, now() - began_ns);
    (void)outcome;
}

static void *ask_rates(void *nothing)
{
    for (uint64_t at_ns = now(); !stopped(); at_ns += WEIR_S / ASKS_PER_S) {
        sleep_until(at_ns);
        ask_once();
    }
    return nothing;
}

/* ---- guarded calls: through the breaker and the bulkhead ---- */

static void raise_max(uint32_t *max, uint32_t value)
{
    uint32_t seen = LOAD(max);
    while (seen < value &&
        !__atomic_compare_exchange_n(max, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static struct weir_outcome work(void)
{
    uint32_t in_use = __atomic_add_fetch(&self.arena->in_use, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&self.mine->in_use, 1, __ATOMIC_RELAXED);
    raise_max(&self.arena->in_use_max[LOAD(&self.arena->phase)], in_use);
    sleep_until(now() + WORK_NS);
    __atomic_sub_fetch(&self.mine->in_use, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&self.arena->in_use, 1, __ATOMIC_RELAXED);
    return weir_from_int((int)LOAD(&self.mine->failing));
}

static bool call_once(void)
{
    struct weir_permit probe, permit;
    if (weir_breaker_acquire_at(self.breaker, &probe, now()).status != WEIR_OK) return false;
    struct weir_outcome outcome = weir_bulkhead_acquire(self.bulkhead, 1, &permit);
    bool let_in = outcome.status == WEIR_OK;
    if (let_in) {
        outcome = work();
        weir_bulkhead_release(self.bulkhead, &permit);
    }
    weir_breaker_release_at(self.breaker, &probe, outcome, now());
    return let_in;
}

static void *call(void *nothing)
{
    while (!stopped()) {
        if (!call_once()) sleep_until(now() + WEIR_MS);
    }
    return nothing;
}

/* ---- the lock, and what it protects ---- */

static void take_turn(struct resource *resource)
{
    uint32_t free = 0;
    while (!__atomic_compare_exchange_n(
        &resource->turn, &free, (uint32_t)getpid(), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        sleep_until(now() + 10 * WEIR_US);
        free = 0;
    }
}

static void write_resource(struct weir_fence fence)
{
    struct resource *resource = &self.arena->resource;
    take_turn(resource);
    struct writes *writes = &resource->writes[LOAD(&self.arena->phase)];
    if (weir_fence_admit(&resource->guard, fence)) {
        writes->accepted++;
        if (fence.token < resource->last.token) writes->stale++;
        if (fence.token == resource->last.token && fence.nonce != resource->last.nonce) writes->stale++;
        if (fence.token != resource->last.token) writes->hand_overs++;
        resource->last = fence;
        STORE(&resource->holder, self.me + 1);
        STORE(&resource->last_ns, now());
    } else {
        writes->refused++;
    }
    __atomic_store_n(&resource->turn, 0, __ATOMIC_RELEASE);
}

/* Every second holder, and in PAUSED each, does not look before it writes: a careless one, for the fence to catch. */
static bool is_careless(unsigned turn)
{
    return turn % 2 != 0 || LOAD(&self.arena->phase) == PAUSED;
}

static void hold(struct weir_fence fence, unsigned turn)
{
    STORE(&self.mine->holding, 1);
    bool lost = false;
    for (uint64_t end_ns = now() + HOLD_NS; !lost && now() < end_ns && !stopped();) {
        write_resource(fence);
        sleep_until(now() + WRITE_NS);
        lost = weir_lock_check(self.lock) == WEIR_LOCK_LOST;
        if (lost && is_careless(turn)) write_resource(fence);
    }
    STORE(&self.mine->holding, 0);
}

static void *keep(void *nothing)
{
    for (unsigned turn = self.me; !stopped(); turn++) {
        struct weir_fence fence;
        struct weir_outcome outcome = weir_lock_acquire(self.lock, NULL, now() + 500 * WEIR_MS, &fence);
        if (outcome.status != WEIR_OK) continue;
        hold(fence, turn);
        enum weir_error error = weir_lock_release(self.lock, now() + 50 * WEIR_MS);
        (void)error; /* not known yet: it goes on in the background */
    }
    return nothing;
}

/* ---- what it is made of ---- */

static const char *const rate_names[BUCKETS] = { "relaxed", "strict" };

static void create_rates(void)
{
    for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) {
        bool strict = bucket == STRICT;
        require(weir_rate_create(
            WEIR_CONFIG(weir_rate_config, .name = rate_names[bucket], .permits = RATE_PER_S,
                .burst = RATE_BURST,
                .share = WEIR_CONFIG(weir_share_config, .link = self.link, .away = WEIR_AWAY_SHARE,
                    .instances = MEMBERS, .strict = strict, .lease_ns = RATE_LEASE_NS,
                    .lease_max = strict ? RATE_LEASES : RATE_LEASES / MEMBERS)),
            &self.rate[bucket]));
    }
    require(weir_rate_create(
        WEIR_CONFIG(weir_rate_config, .name = "local", .permits = RATE_PER_S, .burst = RATE_BURST),
        &self.local));
}

static void note_change(void *nothing, const struct weir_share_event *event)
{
    (void)nothing;
    if (event->kind != WEIR_SHARE_CHANGED) return;
    for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) {
        if (strcmp(event->name, rate_names[bucket]) != 0) continue;
        bool without = event->state != WEIR_SHARE_SHARED && event->state != WEIR_SHARE_SLOW;
        changes_note(&self.mine->changes[bucket], event->now_ns, without);
    }
}

static void create(const char *address)
{
    static const struct weir_share_sink sink = { note_change, NULL };
    require(weir_redis_create(
        WEIR_CONFIG(weir_redis_config, .address = address, .space = "fleet", .thread = true, .sink = &sink),
        &self.link));
    create_rates();
    require(
        weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = "callee", .window_ns = WEIR_S,
                                .open_ns = 200 * WEIR_MS, .open_max_ns = 400 * WEIR_MS, .ramp_ns = WEIR_OFF,
                                .share = WEIR_CONFIG(weir_share_config, .link = self.link,
                                    .sync_ns = SYNC_MS * WEIR_MS, .quorum_percent = 50)),
            &self.breaker));
    require(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .name = "connections", .limit = PERMITS,
                                     .share = WEIR_CONFIG(weir_share_config, .link = self.link,
                                         .away = WEIR_AWAY_SHARE, .instances = MEMBERS, .lease_ns = WEIR_S)),
        &self.bulkhead));
    require(weir_lock_create(
        WEIR_CONFIG(weir_lock_config, .link = self.link, .name = "turn", .lease_ns = LEASE_MS * WEIR_MS,
            .grace_ns = GRACE_MS * WEIR_MS, .poll_min_ns = 10 * WEIR_MS, .poll_max_ns = 50 * WEIR_MS),
        &self.lock));
}

static void tell(void)
{
    struct weir_policy *const shared[] = { self.rate[RELAXED], self.rate[STRICT], self.breaker,
        self.bulkhead };
    for (int i = 0; i < 4; i++) STORE(&self.mine->share[i], (uint32_t)weir_share_state(shared[i]));
    STORE(&self.mine->breaker, (uint32_t)weir_breaker_stats(self.breaker, now()).state);
    struct weir_share_stats stats = weir_share_stats(self.breaker);
    STORE(&self.mine->votes, stats.votes);
    STORE(&self.mine->fleet_opened, stats.tripped);
    STORE(&self.mine->within, LOAD(&self.mine->in_use) <= weir_share_stats(self.bulkhead).held);
    STORE(&self.mine->up, 1);
}

static void destroy(void)
{
    weir_lock_destroy(self.lock);
    weir_policy_release(self.bulkhead);
    weir_policy_release(self.breaker);
    for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) weir_policy_release(self.rate[bucket]);
    weir_policy_release(self.local);
    weir_redis_close(self.link, WEIR_S);
}

void member_run(struct arena *arena, unsigned me, const char *address)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    self.arena = arena;
    self.mine = &arena->member[me];
    self.me = me;
    create(address);
    void *(*const jobs[])(void *) = { ask_rates, keep, call, call, call };
    pthread_t thread[sizeof jobs / sizeof *jobs];
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        if (pthread_create(&thread[i], NULL, jobs[i], NULL) != 0) _exit(2);
    }
    while (!stopped()) {
        tell();
        sleep_until(now() + 2 * WEIR_MS);
    }
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) pthread_join(thread[i], NULL);
    destroy();
    exit(0);
}
