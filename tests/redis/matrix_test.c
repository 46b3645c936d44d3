/* Everything that a real Redis and the way to it can do, one after the other, while a rate limit that has a share, one that
 * is closed, a breaker, a bulkhead and a lock go through one link with a thread. In each row:
 *   the fault is on, as a second connection says, where one can say it;
 *   every decision returns at once, whatever happens: the p99 of thousands within DECISION_NS;
 *   what is shared goes on (GOES_ON), or says that it is DEGRADED (AWAY) and lives on what was chosen for that;
 *   within RECOVER_NS of the healing all is shared again, and the lock is to be had.
 * A row that cannot be had here fails; none is left out. */
#include "redis/carrier.h"
#include "redis/support/proxy.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/lock.h>
#include <weir/rate.h>

#include <stdlib.h>

#define DECISION_NS WEIR_MS
#define RECOVER_NS (2 * WEIR_S)
#define LEASE_NS (200 * WEIR_MS)
#define SAMPLES 20000

enum mode { GOES_ON, AWAY };

static struct world {
    struct redis_server server;
    struct proxy *proxy;
    struct redis_client second; /* open before the fault */
    struct weir_link *link;
    struct weir_policy *policy[4]; /* rate with a share, rate that is closed, breaker, bulkhead */
    struct weir_lock *lock;
    uint64_t took_ns[SAMPLES];
    size_t taken;
    uint64_t passed[2]; /* of the rates, while the fault was on */
} world;

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

/* ---- decisions ---- */

static void note(uint64_t began_ns)
{
    if (world.taken < SAMPLES) world.took_ns[world.taken++] = now() - began_ns;
}

static void decide(void)
{
    struct weir_permit permit;
    for (int i = 0; i < 2; i++) {
        uint64_t began_ns = now();
        struct weir_outcome outcome = weir_rate_acquire_at(world.policy[i], 1, began_ns);
        note(began_ns);
        world.passed[i] += outcome.status == WEIR_OK;
    }
    uint64_t began_ns = now();
    struct weir_outcome outcome = weir_breaker_acquire_at(world.policy[2], &permit, began_ns);
    note(began_ns);
    if (outcome.status == WEIR_OK) weir_breaker_release_at(world.policy[2], &permit, outcome, began_ns);
    began_ns = now();
    outcome = weir_bulkhead_acquire(world.policy[3], 1, &permit);
    note(began_ns);
    if (outcome.status == WEIR_OK) weir_bulkhead_release(world.policy[3], &permit);
    began_ns = now();
    (void)weir_lock_check(world.lock);
    note(began_ns);
    poll(NULL, 0, 1);
}

static bool all_are(enum weir_share_state state)
{
    for (int i = 0; i < 4; i++) {
        if (weir_share_state(world.policy[i]) != state) return false;
    }
    return true;
}

static bool comes_true(enum weir_share_state state, uint64_t within_ns)
{
    for (uint64_t end_ns = now() + within_ns; now() < end_ns; decide()) {
        if (all_are(state)) return true;
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t p99(void)
{
    qsort(world.took_ns, world.taken, sizeof world.took_ns[0], compare);
    return world.took_ns[world.taken - 1 - world.taken / 100];
}

/* ---- faults ---- */

static void obey_words(const char *const *words)
{
    static struct redis_answer answer;
    CHECK(redis_client_send_words(&world.second, words));
    redis_client_await(&world.second, &answer);
    CHECK(answer.kind != REDIS_ERROR && answer.kind != REDIS_NOTHING);
}
#define obey(...) obey_words((const char *const[]) { __VA_ARGS__, NULL })

static bool says_error(const char *beginning)
{
    static struct redis_answer answer;
    redis_ask(&world.server, &answer, "SET", "probe", "x");
    return answer.kind == REDIS_ERROR && strncmp(answer.text, beginning, strlen(beginning)) == 0;
}

static void nothing(void)
{
}

static bool always(void)
{
    return true;
}

static void freeze(void)
{
    redis_server_freeze(&world.server);
}
static void thaw(void)
{
    redis_server_thaw(&world.server);
}
static bool is_silent(void)
{
    return !redis_server_answers(&world.server, 50);
}
static void kill_server(void)
{
    redis_server_kill(&world.server);
}
static bool is_away(void)
{
    return redis_server_is_away(&world.server);
}
static void restart(void)
{
    redis_server_restart(&world.server);
}
static void flush(void)
{
    obey("FLUSHALL");
}
static void flush_scripts(void)
{
    obey("SCRIPT", "FLUSH");
}
static void pause_all(void)
{
    obey("CLIENT", "PAUSE", "1500", "ALL");
}
static void pause_writes(void)
{
    obey("CLIENT", "PAUSE", "1500", "WRITE");
}
/* Who looks at PING thinks that all is well. */
static bool answers_ping(void)
{
    return redis_server_answers(&world.server, 500);
}
static void await_writes(void)
{
    CHECK(AWAIT(redis_obeys(&world.server, "SET", "probe", "x"), 8000));
}
static void loop(void)
{
    CHECK(redis_client_send(&world.second, "EVAL", "while true do end", "0"));
}
static bool is_busy(void)
{
    return AWAIT(says_error("BUSY"), 3000);
}
static void end_loop(void)
{
    CHECK(redis_obeys(&world.server, "SCRIPT", "KILL"));
}
static void kill_clients(void)
{
    obey("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
}
static void be_replica(void)
{
    obey("REPLICAOF", "127.0.0.1", "1");
}
static bool is_read_only(void)
{
    return says_error("READONLY");
}
static void be_master(void)
{
    obey("REPLICAOF", "NO", "ONE");
}
static void be_full(void)
{
    obey("CONFIG", "SET", "maxmemory", "1");
}
static bool is_full(void)
{
    return says_error("OOM");
}
static void have_room(void)
{
    obey("CONFIG", "SET", "maxmemory", "0");
}
static void want_password(void)
{
    obey("CONFIG", "SET", "requirepass", "secret");
    kill_clients();
}
static bool wants_password(void)
{
    return says_error("NOAUTH");
}
static void want_none(void)
{
    obey("CONFIG", "SET", "requirepass", "");
}
static void have_too_many(void)
{
    obey("CONFIG", "SET", "maxclients", "1");
    kill_clients();
}
static bool has_too_many(void)
{
    static struct redis_answer answer;
    redis_ask(&world.server, &answer, "PING");
    return answer.kind == REDIS_ERROR || answer.kind == REDIS_NOTHING;
}
static void have_few(void)
{
    obey("CONFIG", "SET", "maxclients", "1000");
}
static void clock_ahead(void)
{
    redis_server_set_clock_offset_us(&world.server, 40000000);
}
static bool is_ahead(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return redis_server_clock_us(&world.server) > (int64_t)time.tv_sec * 1000000 + 30000000;
}
static void clock_right(void)
{
    redis_server_set_clock_offset_us(&world.server, 0);
}
static void clock_behind(void)
{
    redis_server_set_clock_offset_us(&world.server, INT64_C(-3600000000));
}

/* Of the way: the proxy's log says that it is on, by what does not come through. */
static void way(struct proxy_faults faults)
{
    proxy_set(world.proxy, &faults);
}
static void way_is_well(void)
{
    proxy_set(world.proxy, NULL);
}
static void slow_replies(void)
{
    way((struct proxy_faults) { .replies.delay_ms = 100 });
}
static void lost_replies(void)
{
    way((struct proxy_faults) { .replies.drop = true });
}
static bool loses_replies(void)
{
    return AWAIT(proxy_counts(world.proxy).dropped_replies != 0, 3000);
}
static void lost_requests(void)
{
    way((struct proxy_faults) { .requests.drop = true });
}
static bool loses_requests(void)
{
    return AWAIT(proxy_counts(world.proxy).dropped_requests != 0, 3000);
}
static void refusals(void)
{
    way((struct proxy_faults) { .refuse = true });
    proxy_break(world.proxy, PROXY_RESETS);
}
static bool refuses(void)
{
    return AWAIT(proxy_counts(world.proxy).refused != 0, 3000);
}
static void cut_replies(void)
{
    way((struct proxy_faults) { .replies = { .end = PROXY_RESETS, .after = 10 } });
}
static void dribbled_replies(void)
{
    way((struct proxy_faults) { .replies.trickle_ms = 20 });
}
static void doubled_replies(void)
{
    way((struct proxy_faults) { .replies.twice = true });
}
static void garbage(void)
{
    proxy_inject(world.proxy, "garbage\r\n", 9);
}

static const struct row {
    const char *name;
    void (*inject)(void);
    bool (*prove)(void);
    void (*heal)(void);
    enum mode mode;
} rows[] = {
    { "nothing", nothing, always, nothing, GOES_ON },
    { "SIGSTOP", freeze, is_silent, thaw, AWAY },
    { "SIGKILL, started empty", kill_server, is_away, restart, AWAY },
    { "FLUSHALL", flush, always, nothing, GOES_ON },
    { "SCRIPT FLUSH", flush_scripts, always, nothing, GOES_ON },
    { "CLIENT PAUSE ALL", pause_all, is_silent, await_writes, AWAY },
    { "CLIENT PAUSE WRITE", pause_writes, answers_ping, await_writes, AWAY },
    { "a busy script", loop, is_busy, end_loop, AWAY },
    { "CLIENT KILL", kill_clients, always, nothing, GOES_ON },
    { "READONLY", be_replica, is_read_only, be_master, AWAY },
    { "OOM", be_full, is_full, have_room, AWAY },
    { "NOAUTH", want_password, wants_password, want_none, AWAY },
    { "too many clients", have_too_many, has_too_many, have_few, AWAY },
    { "clock 40 s ahead", clock_ahead, is_ahead, clock_right, GOES_ON },
    { "clock 1 h behind", clock_behind, always, clock_right, GOES_ON },
    { "replies 100 ms late", slow_replies, always, way_is_well, GOES_ON },
    { "replies lost", lost_replies, loses_replies, way_is_well, AWAY },
    { "requests lost", lost_requests, loses_requests, way_is_well, AWAY },
    { "connections reset", refusals, refuses, way_is_well, AWAY },
    { "replies cut", cut_replies, always, way_is_well, AWAY },
    { "replies dribbled", dribbled_replies, always, way_is_well, AWAY },
    { "replies doubled", doubled_replies, always, way_is_well, AWAY },
    { "garbage", garbage, always, nothing, GOES_ON },
};

/* ---- a row ---- */

static bool is_whole_again(uint64_t healed_ns)
{
    if (!comes_true(WEIR_SHARE_SHARED, RECOVER_NS)) return false;
    (void)weir_lock_release(world.lock, now() + 100 * WEIR_MS);
    struct weir_fence fence;
    return weir_lock_acquire(world.lock, NULL, healed_ns + RECOVER_NS, &fence).status == WEIR_OK;
}

static void run(const struct row *row)
{
    const struct redis_address address = redis_server_tcp(&world.server);
    CHECK(redis_client_open(&world.second, &address, 5000));
    world.taken = 0;
    memset(world.passed, 0, sizeof world.passed);
    row->inject();
    bool on = row->prove(), as_declared = true;
    if (row->mode == AWAY) as_declared = comes_true(WEIR_SHARE_DEGRADED, 5 * WEIR_S);
    for (uint64_t end_ns = now() + LEASE_NS; now() < end_ns;) decide(); /* what was lent is spent, or over */
    memset(world.passed, 0, sizeof world.passed);
    struct weir_share_stats before = weir_share_stats(world.policy[1]);
    for (uint64_t end_ns = now() + 300 * WEIR_MS; now() < end_ns;) decide();
    /* A server that is full answers a question now and then: what it lent may be spent, and no more. */
    uint64_t lent = before.held + weir_share_stats(world.policy[1]).lent - before.lent;
    bool lives = world.passed[0] > 0 && (row->mode == GOES_ON || world.passed[1] <= lent);
    row->heal();
    uint64_t healed_ns = now();
    bool whole = is_whole_again(healed_ns);
    uint64_t worst_ns = p99();
    fprintf(stderr, "%-24s %s, %s, decisions p99 %5.1f us, whole after %4.0f ms%s\n", row->name,
        row->mode == AWAY ? "away" : "goes on", lives ? "lives" : "DOES NOT LIVE AS CHOSEN",
        (double)worst_ns / 1e3, (double)(now() - healed_ns) / 1e6, whole ? "" : ": NOT");
    redis_client_close(&world.second);
    CHECK(on);
    CHECK(as_declared);
    CHECK(lives);
    CHECK(whole);
    CHECK(worst_ns <= DECISION_NS);
}

static void begin(void)
{
    char place[64];
    redis_server_start(
        &world.server, &(struct redis_options) { .clock = true, .config = "lua-time-limit 10\n" });
    const struct redis_address address = redis_server_tcp(&world.server);
    world.proxy = proxy_start(&address, NULL);
    snprintf(place, sizeof place, "tcp://127.0.0.1:%u", proxy_address(world.proxy).port);
    world.link =
        link_with((struct weir_redis_config) { .thread = true, .reconnect_max_ns = 200 * WEIR_MS }, place);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_rate_create(
                     WEIR_CONFIG(weir_rate_config, .name = i == 0 ? "share" : "closed", .permits = 1000,
                         .share = WEIR_CONFIG(weir_share_config, .link = world.link,
                             .away = i == 0 ? WEIR_AWAY_SHARE : WEIR_AWAY_CLOSED, .lease_ns = LEASE_NS)),
                     &world.policy[i]),
            WEIR_E_NONE);
    }
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config,
                                     .share = WEIR_CONFIG(weir_share_config, .link = world.link)),
                 &world.policy[2]),
        WEIR_E_NONE);
    CHECK_EQ(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 8,
                                      .share = WEIR_CONFIG(weir_share_config, .link = world.link,
                                          .away = WEIR_AWAY_SHARE, .lease_ns = LEASE_NS)),
                 &world.policy[3]),
        WEIR_E_NONE);
    CHECK_EQ(
        weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = world.link, .name = "x", .lease_ns = LEASE_NS,
                             .poll_min_ns = 5 * WEIR_MS, .poll_max_ns = 20 * WEIR_MS),
            &world.lock),
        WEIR_E_NONE);
    CHECK(comes_true(WEIR_SHARE_SHARED, 5 * WEIR_S));
}

TEST(matrix, each_fault_is_declared_borne_and_over_soon)
{
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) run(&rows[i]);
    weir_lock_destroy(world.lock);
    for (int i = 0; i < 4; i++) weir_policy_release(world.policy[i]);
    weir_redis_close(world.link, WEIR_S);
    proxy_stop(world.proxy);
    redis_server_stop(&world.server);
}
