#include "redis/lock_trial.h"

#include "base/arithmetic.h"
#include "redis/support/await.h"
#include "redis/support/proxy.h"
#include "redis/support/server.h"

#include <weir/clock.h>
#include <weir/lock.h>
#include <weir/redis.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCKS 4
#define PROCESSES 3
#define SPARE \
    12 /* that take the place of killed ones; all are there from the begin, as a fork beside threads is not */
#define LEASE_NS (100 * WEIR_MS)
#define MASTERS 3

const char *const trial_harm_names[TRIAL_HARMS] = { "freezes", "restarts", "flushes", "deleted keys",
    "clock jumps", "fail-overs", "resets", "stopped processes", "killed processes" };

struct resource {
    uint32_t owner; /* the process that writes */
    struct weir_fence_guard guard;
    uint64_t admitted, seen; /* the greatest token that was admitted; that came */
    uint32_t holder;         /* the last process that acquired it */
};

static struct words {
    uint32_t stop, active[PROCESSES + SPARE];
    char address[MASTERS][128];
    struct resource resource[LOCKS];
    struct trial_result result;
} * words;

static struct trial {
    bool majority;
    uint64_t random;
    pid_t child[PROCESSES + SPARE];
    uint32_t running[PROCESSES], spare; /* indexes of children; the next that is fresh */
    struct redis_server server[MASTERS], replica;
    struct proxy *proxy, *stream; /* to the master; of its replica */
    enum trial_harm deck[TRIAL_HARMS];
    uint64_t deck_left;
} trial;

static void count(uint64_t *of)
{
    __atomic_fetch_add(of, 1, __ATOMIC_RELAXED);
}

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static uint64_t up_to(uint64_t most)
{
    return random_up_to(&trial.random, most);
}

/* ---- a process ---- */

/* Who is stopped in here keeps the others waiting; who is killed in here is followed by the next. */
static void take(struct resource *resource)
{
    uint32_t mine = (uint32_t)getpid(), seen = 0;
    while (!__atomic_compare_exchange_n(
        &resource->owner, &seen, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        if (kill((pid_t)seen, 0) == 0 || errno != ESRCH) seen = 0;
        poll(NULL, 0, 1);
    }
}

static void write_under(struct resource *resource, struct weir_fence fence)
{
    take(resource);
    if (fence.token < resource->seen) count(&words->result.unguarded);
    else resource->seen = fence.token;
    if (weir_fence_admit(&resource->guard, fence)) {
        if (fence.token < resource->admitted) count(&words->result.stale);
        resource->admitted = fence.token;
        count(&words->result.writes);
    } else {
        count(&words->result.refused);
    }
    __atomic_store_n(&resource->owner, 0, __ATOMIC_SEQ_CST);
}

/* For up to 16 ms, or beyond its lease; every third does not look, and one in four writes once more when it is over. */
static void hold(struct weir_lock *lock, struct resource *resource, struct weir_fence fence, uint64_t *random)
{
    uint64_t rounds = random_up_to(random, 16), kind = random_up_to(random, 11);
    if (rounds == 16) rounds = 150;
    for (uint64_t i = 0; i < rounds; i++) {
        if (kind % 3 != 0 && weir_lock_check(lock) == WEIR_LOCK_LOST) break;
        write_under(resource, fence);
        poll(NULL, 0, 1);
    }
    (void)weir_lock_release(lock, now() + 5 * WEIR_MS);
    if (kind % 4 != 0) return;
    poll(NULL, 0, 20);
    write_under(resource, fence);
}

struct job {
    struct weir_link *link;
    uint64_t seed;
    uint32_t lock, process;
};

static bool is_over(void)
{
    return __atomic_load_n(&words->stop, __ATOMIC_SEQ_CST) != 0;
}

static void *work(void *argument)
{
    const struct job *job = argument;
    struct resource *resource = &words->resource[job->lock];
    struct weir_lock *lock;
    char name[8];
    uint64_t random = job->seed;
    snprintf(name, sizeof name, "n%u", job->lock);
    struct weir_lock_config config = weir_lock_config_init();
    config.link = job->link;
    config.name = name;
    config.lease_ns = LEASE_NS;
    config.poll_min_ns = WEIR_MS;
    config.poll_max_ns = 8 * WEIR_MS;
    if (weir_lock_create(&config, &lock) != WEIR_E_NONE) _exit(3);
    while (!is_over()) {
        struct weir_fence fence;
        if (weir_lock_acquire(lock, NULL, now() + 300 * WEIR_MS, &fence).status != WEIR_OK) continue;
        count(&words->result.acquired);
        uint32_t before = __atomic_exchange_n(&resource->holder, job->process, __ATOMIC_SEQ_CST);
        if (before != job->process) count(&words->result.holders);
        hold(lock, resource, fence, &random);
    }
    weir_lock_destroy(lock);
    return NULL;
}

static void child(uint32_t index, uint64_t seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (__atomic_load_n(&words->active[index], __ATOMIC_SEQ_CST) == 0) {
        if (is_over()) _exit(0);
        poll(NULL, 0, 2);
    }
    const char *addresses[MASTERS] = { words->address[0], words->address[1], words->address[2] };
    struct weir_redis_config config = weir_redis_config_init();
    struct weir_link *link;
    config.thread = true;
    config.command_ns = 60 * WEIR_MS;
    config.reconnect_max_ns = 100 * WEIR_MS;
    if (trial.majority) {
        config.addresses = addresses;
        config.masters = MASTERS;
    } else {
        config.address = addresses[0];
    }
    if (weir_redis_create(&config, &link) != WEIR_E_NONE) _exit(2);
    struct job job[LOCKS];
    pthread_t thread[LOCKS];
    for (uint32_t i = 0; i < LOCKS; i++) {
        job[i] = (struct job) { link, mix64(seed + index * LOCKS + i), i, index + 1 };
        if (pthread_create(&thread[i], NULL, work, &job[i]) != 0) _exit(4);
    }
    for (uint32_t i = 0; i < LOCKS; i++) pthread_join(thread[i], NULL);
    weir_redis_close(link, 100 * WEIR_MS);
    _exit(0);
}

/* ---- servers ---- */

static void start_replica(void)
{
    const struct redis_address master = redis_server_tcp(&trial.server[0]);
    trial.stream = proxy_start(&master, NULL);
    redis_server_start(&trial.replica,
        &(struct redis_options) { .clock = true, .master = proxy_address(trial.stream).port });
    if (!AWAIT(redis_server_is_linked(&trial.replica), 5000)) {
        fprintf(stderr, "lock trial: the replica does not find its master\n");
        exit(2);
    }
}

static void start_servers(void)
{
    for (int i = 0; i < (trial.majority ? MASTERS : 1); i++) {
        redis_server_start(&trial.server[i], &(struct redis_options) { .clock = true });
        snprintf(words->address[i], sizeof words->address[i], "unix:%s", trial.server[i].path);
    }
    if (trial.majority) return;
    start_replica();
    const struct redis_address master = redis_server_unix(&trial.server[0]);
    trial.proxy = proxy_start(&master, NULL);
    snprintf(
        words->address[0], sizeof words->address[0], "tcp://127.0.0.1:%u", proxy_address(trial.proxy).port);
}

static void stop_servers(void)
{
    if (!trial.majority) {
        proxy_stop(trial.proxy);
        redis_server_stop(&trial.replica);
        proxy_stop(trial.stream);
    }
    for (int i = 0; i < (trial.majority ? MASTERS : 1); i++) redis_server_stop(&trial.server[i]);
}

/* The replica's stream is cut for a while, in which locks change hands; then it is the master. */
static void fail_over(void)
{
    struct proxy_faults lost = { .replies.drop = true };
    proxy_set(trial.stream, &lost);
    poll(NULL, 0, (int)up_to(60));
    redis_server_stop(&trial.server[0]);
    redis_server_promote(&trial.replica);
    proxy_stop(trial.stream);
    trial.server[0] = trial.replica;
    const struct redis_address master = redis_server_unix(&trial.server[0]);
    proxy_point(trial.proxy, &master);
    proxy_break(trial.proxy, PROXY_CLOSES);
    start_replica();
}

/* ---- harm ---- */

static void pause_up_to(uint64_t most_ms)
{
    poll(NULL, 0, (int)up_to(most_ms));
}

static void jump(struct redis_server *server)
{
    static const int64_t most_us[] = { 50000, 1000000, 40000000, INT64_C(3600000000) };
    int64_t to_us = (int64_t)up_to((uint64_t)most_us[up_to(3)]);
    redis_server_set_clock_offset_us(server, up_to(1) == 0 ? to_us : -to_us);
}

static void replace_process(void)
{
    uint32_t which = (uint32_t)up_to(PROCESSES - 1), old = trial.running[which];
    kill(trial.child[old], SIGKILL);
    waitpid(trial.child[old], NULL, 0);
    trial.child[old] = 0;
    trial.running[which] = trial.spare;
    __atomic_store_n(&words->active[trial.spare++], 1, __ATOMIC_SEQ_CST);
}

static bool can(enum trial_harm harm)
{
    if (harm == TRIAL_FAIL_OVER) return !trial.majority;
    if (harm == TRIAL_KILL) return trial.spare < PROCESSES + SPARE;
    return true;
}

static void do_harm(enum trial_harm harm)
{
    struct redis_server *server = &trial.server[trial.majority ? up_to(MASTERS - 1) : 0];
    pid_t process = trial.child[trial.running[up_to(PROCESSES - 1)]];
    char key[32];
    switch (harm) {
    case TRIAL_FREEZE:
        redis_server_freeze(server);
        pause_up_to(200);
        redis_server_thaw(server);
        break;
    case TRIAL_RESTART:
        redis_server_kill(server);
        pause_up_to(50);
        redis_server_restart(server);
        break;
    case TRIAL_FLUSH: redis_server_flush(server); break;
    case TRIAL_DELETE:
        snprintf(key, sizeof key, "weir:{default:n%d}:k", (int)up_to(LOCKS - 1));
        (void)redis_obeys(server, "DEL", key);
        break;
    case TRIAL_CLOCK: jump(server); break;
    case TRIAL_FAIL_OVER: fail_over(); break;
    case TRIAL_RESET: (void)redis_obeys(server, "CLIENT", "KILL", "TYPE", "normal"); break;
    case TRIAL_STOP:
        kill(process, SIGSTOP);
        pause_up_to(250);
        kill(process, SIGCONT);
        break;
    default: replace_process();
    }
}

/* From a deck of all kinds, shuffled: each comes once before one comes again. */
static enum trial_harm next_harm(void)
{
    if (trial.deck_left == 0) {
        for (int i = 0; i < TRIAL_HARMS; i++) trial.deck[i] = (enum trial_harm)i;
        trial.deck_left = TRIAL_HARMS;
    }
    uint64_t at = up_to(trial.deck_left - 1);
    enum trial_harm harm = trial.deck[at];
    trial.deck[at] = trial.deck[--trial.deck_left];
    return harm;
}

static void harm_once(void)
{
    enum trial_harm harm = next_harm();
    if (!can(harm)) return;
    do_harm(harm);
    words->result.harms[harm]++;
    pause_up_to(400);
}

struct trial_result trial_run(bool majority, uint64_t acquisitions, uint64_t seed, int limit_ms)
{
    words = mmap(NULL, sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) exit(2);
    trial = (struct trial) { .majority = majority, .random = seed, .spare = PROCESSES };
    for (uint32_t i = 0; i < PROCESSES + SPARE; i++) {
        fflush(NULL);
        trial.child[i] = fork();
        if (trial.child[i] == 0) child(i, seed);
    }
    start_servers();
    for (uint32_t i = 0; i < PROCESSES; i++) {
        trial.running[i] = i;
        __atomic_store_n(&words->active[i], 1, __ATOMIC_SEQ_CST);
    }
    int64_t end_ms = await_now_ms() + limit_ms;
    while (__atomic_load_n(&words->result.acquired, __ATOMIC_SEQ_CST) < acquisitions &&
        await_now_ms() < end_ms) {
        harm_once();
    }
    __atomic_store_n(&words->stop, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < PROCESSES + SPARE; i++) {
        int status = 0;
        if (trial.child[i] <= 0) continue;
        waitpid(trial.child[i], &status, 0);
        if (status != 0) {
            fprintf(stderr, "lock trial, seed %ju: process %u ended with status %x\n", (uintmax_t)seed, i,
                status);
            exit(2);
        }
    }
    stop_servers();
    struct trial_result result = words->result;
    munmap(words, sizeof *words);
    return result;
}
