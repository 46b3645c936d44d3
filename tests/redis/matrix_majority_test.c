/* What befalls the masters of a lock's majority, one row after the other, while it is held by one link with a thread. In
 * each row:
 *   the fault is on, as a second connection says;
 *   with a minority harmed it stays held, over two leases (HOLDS); with a majority harmed it is lost by the end of its
 *   lease, and whoever asks for it meanwhile is refused by his deadline (LOST);
 *   within RECOVER_NS of the healing it is to be had again, and its token is above all before. */
#include "redis/carrier.h"
#include "redis/support/proxy.h"

#include <weir/lock.h>

#include <time.h>

#define MASTERS 3
#define LEASE_NS (500 * WEIR_MS) /* a busy machine renews it all the same */
#define RECOVER_NS (2 * WEIR_S)
#define DEADLINE_NS (100 * WEIR_MS)
#define LATE_NS (20 * WEIR_MS) /* a deadline is met: what a busy machine may add to it */

enum mode { HOLDS, LOST };

static struct world {
    struct redis_server server[MASTERS];
    struct proxy *proxy[MASTERS];
    struct weir_link *link;
    struct weir_lock *lock;
    uint64_t token;
} world;

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

/* ---- faults: each of the first `count` masters ---- */

static void freeze(int i)
{
    redis_server_freeze(&world.server[i]);
}
static void thaw(int i)
{
    redis_server_thaw(&world.server[i]);
}
static bool is_silent(int i)
{
    return !redis_server_answers(&world.server[i], 50);
}
static void kill_server(int i)
{
    redis_server_kill(&world.server[i]);
}
static bool is_away(int i)
{
    return redis_server_is_away(&world.server[i]);
}
static void restart(int i)
{
    redis_server_restart(&world.server[i]);
}
static void restart_empty(int i)
{
    kill_server(i);
    restart(i);
}
static bool is_empty(int i)
{
    return redis_integer(&world.server[i], "EXISTS", "weir:{default:x}:kf") == 0;
}
static void nothing(int i)
{
    (void)i;
}
static void be_replica(int i)
{
    CHECK(redis_obeys(&world.server[i], "REPLICAOF", "127.0.0.1", "1"));
}
static bool is_replica(int i)
{
    return !redis_server_is_master(&world.server[i]);
}
static void be_master(int i)
{
    CHECK(redis_obeys(&world.server[i], "REPLICAOF", "NO", "ONE"));
}
static void be_full(int i)
{
    CHECK(redis_obeys(&world.server[i], "CONFIG", "SET", "maxmemory", "1"));
}
static bool is_full(int i)
{
    static struct redis_answer answer;
    redis_ask(&world.server[i], &answer, "SET", "probe", "x");
    return answer.kind == REDIS_ERROR && strncmp(answer.text, "OOM", 3) == 0;
}
static void have_room(int i)
{
    CHECK(redis_obeys(&world.server[i], "CONFIG", "SET", "maxmemory", "0"));
}
static int64_t clock_error_s(int i)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return redis_server_clock_us(&world.server[i]) / 1000000 - (int64_t)time.tv_sec;
}
static void clock_ahead(int i)
{
    redis_server_set_clock_offset_us(&world.server[i], INT64_C(3600000000));
}
static bool is_ahead(int i)
{
    return clock_error_s(i) > 3500;
}
static void clock_behind(int i)
{
    redis_server_set_clock_offset_us(&world.server[i], INT64_C(-3600000000));
}
static bool is_behind(int i)
{
    return clock_error_s(i) < -3500;
}
static void clock_right(int i)
{
    redis_server_set_clock_offset_us(&world.server[i], 0);
}
static void cut_off(int i)
{
    proxy_set(world.proxy[i], &(struct proxy_faults) { .requests.drop = true, .replies.drop = true });
}
static bool is_cut_off(int i)
{
    return AWAIT(proxy_counts(world.proxy[i]).dropped_requests != 0, 3000);
}
static void half_cut_off(int i)
{
    proxy_set(world.proxy[i], &(struct proxy_faults) { .replies.drop = true });
}
static bool is_half_cut_off(int i)
{
    return AWAIT(proxy_counts(world.proxy[i]).dropped_replies != 0, 3000);
}
static void join(int i)
{
    proxy_set(world.proxy[i], NULL);
}
static void lie(int i)
{
    proxy_inject(world.proxy[i], "*2\r\n:1\r\n:9\r\n", 12);
}
static bool is_obeyed(int i)
{
    (void)i;
    return true;
}
static void be_a_list(int i)
{
    CHECK(redis_obeys(&world.server[i], "DEL", "weir:{default:x}:k"));
    CHECK(redis_obeys(&world.server[i], "RPUSH", "weir:{default:x}:k", "mine"));
}
static bool is_a_list(int i)
{
    static struct redis_answer answer;
    redis_ask(&world.server[i], &answer, "TYPE", "weir:{default:x}:k");
    return strcmp(answer.text, "list") == 0;
}
static void be_none(int i)
{
    CHECK(redis_obeys(&world.server[i], "DEL", "weir:{default:x}:k"));
}
static void flush(int i)
{
    redis_server_flush(&world.server[i]);
}

static const struct row {
    const char *name;
    void (*inject)(int);
    bool (*prove)(int);
    void (*heal)(int);
} rows[] = {
    { "frozen", freeze, is_silent, thaw },
    { "killed, back empty", kill_server, is_away, restart },
    { "cut off", cut_off, is_cut_off, join },
    { "replies lost", half_cut_off, is_half_cut_off, join },
    { "replicas", be_replica, is_replica, be_master },
    { "full", be_full, is_full, have_room },
    { "keys of another type", be_a_list, is_a_list, be_none },
}, passing[] = { /* over when it is there */
    { "nothing", nothing, is_obeyed, nothing },
    { "restarted empty", restart_empty, is_empty, nothing },
    { "flushed", flush, is_obeyed, nothing },
    { "an answer too many", lie, is_obeyed, nothing },
    { "clock 1 h ahead", clock_ahead, is_ahead, clock_right },
    { "clock 1 h behind", clock_behind, is_behind, clock_right },
};

/* ---- a row ---- */

static void acquire(uint64_t within_ns)
{
    struct weir_fence fence;
    CHECK_EQ(weir_lock_acquire(world.lock, NULL, now() + within_ns, &fence).status, WEIR_OK);
    CHECK(fence.token > world.token);
    world.token = fence.token;
}

static bool is_lost_in_time(uint64_t injected_ns)
{
    while (weir_lock_check(world.lock) != WEIR_LOCK_LOST) {
        if (now() > injected_ns + LEASE_NS + 2 * LATE_NS) return false;
        poll(NULL, 0, 1);
    }
    return weir_lock_fence(world.lock).token == 0;
}

static bool stays_held(void)
{
    for (uint64_t end_ns = now() + 2 * LEASE_NS; now() < end_ns; poll(NULL, 0, 1)) {
        enum weir_lock_state state = weir_lock_check(world.lock);
        if (state != WEIR_LOCK_HELD && state != WEIR_LOCK_SUSPECT) return false;
    }
    return true;
}

static uint64_t refused_in_ns(void)
{
    (void)weir_lock_release(world.lock, 0);
    uint64_t deadline_ns = now() + DEADLINE_NS;
    CHECK(weir_lock_acquire(world.lock, NULL, deadline_ns, NULL).status != WEIR_OK);
    return now() > deadline_ns ? now() - deadline_ns : 0;
}

static void run(const struct row *row, int count, enum mode mode)
{
    uint64_t injected_ns = now(), late_ns = 0;
    bool on = true, as_declared;
    for (int i = 0; i < count; i++) row->inject(i);
    for (int i = 0; i < count; i++) on &= row->prove(i);
    as_declared = mode == HOLDS ? stays_held() : is_lost_in_time(injected_ns);
    if (mode == LOST) late_ns = refused_in_ns();
    for (int i = 0; i < count; i++) row->heal(i);
    uint64_t healed_ns = now();
    (void)weir_lock_release(world.lock, 0);
    acquire(RECOVER_NS);
    fprintf(stderr, "%d of %d %-22s %s%s, late by %.2f ms, had again after %4.0f ms\n", count, MASTERS,
        row->name, mode == HOLDS ? "held" : "lost", as_declared ? "" : ": NOT", (double)late_ns / 1e6,
        (double)(now() - healed_ns) / 1e6);
    CHECK(on);
    CHECK(as_declared);
    CHECK(late_ns <= LATE_NS);
}

static void begin(void)
{
    static char place[MASTERS][64];
    static const char *places[MASTERS];
    for (int i = 0; i < MASTERS; i++) {
        redis_server_start(&world.server[i], &(struct redis_options) { .clock = true });
        const struct redis_address address = redis_server_tcp(&world.server[i]);
        world.proxy[i] = proxy_start(&address, NULL);
        snprintf(place[i], sizeof place[i], "tcp://127.0.0.1:%u", proxy_address(world.proxy[i]).port);
        places[i] = place[i];
    }
    world.link = link_with((struct weir_redis_config) { .thread = true,
                               .addresses = places,
                               .masters = MASTERS,
                               .command_ns = 50 * WEIR_MS,
                               .reconnect_max_ns = 100 * WEIR_MS },
        NULL);
    CHECK_EQ(
        weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = world.link, .name = "x", .lease_ns = LEASE_NS,
                             .poll_min_ns = 5 * WEIR_MS, .poll_max_ns = 20 * WEIR_MS),
            &world.lock),
        WEIR_E_NONE);
    acquire(5 * WEIR_S);
}

TEST(matrix_majority, each_fault_of_a_minority_is_borne_and_of_a_majority_declared)
{
    begin();
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) run(&passing[i], 1, HOLDS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) run(&rows[i], 1, HOLDS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) run(&rows[i], 2, LOST);
    (void)weir_lock_release(world.lock, now() + WEIR_S);
    weir_lock_destroy(world.lock);
    weir_redis_close(world.link, WEIR_S);
    for (int i = 0; i < MASTERS; i++) {
        proxy_stop(world.proxy[i]);
        redis_server_stop(&world.server[i]);
    }
}
