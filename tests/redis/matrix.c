/* The engine of the fault table; matrix.h says what is looked at in each row. */
#include "redis/matrix.h"

#include "redis/carrier.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/lock.h>
#include <weir/rate.h>

#include <fcntl.h>
#include <stdlib.h>

#define RECOVER_NS (2 * WEIR_S)
#define LEASE_NS (200 * WEIR_MS)
#define WAIT_NS (20 * WEIR_MS) /* for a lock */
#define SAMPLES 20000

static struct world {
    struct weir_link *link;
    struct weir_policy *policy[4]; /* rate with a share, rate that is closed, breaker, bulkhead */
    struct weir_lock *lock, *other;
    int schedule; /* /proc/thread-self/schedstat */
    uint64_t took_ns[SAMPLES];
    size_t taken;
    uint64_t worst_ns;  /* of the decisions, less the wait for a processor */
    size_t late;        /* as many too late */
    uint64_t passed[2]; /* of the rates, while the fault was on */
    uint32_t canaries;  /* found in events; ... */
    bool told;          /* ... in an error or a count */
} world;

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

/* ---- what is never said ---- */

static bool holds_canary(const void *memory, size_t size)
{
    return memmem(memory, size, MATRIX_USER, strlen(MATRIX_USER)) != NULL ||
        memmem(memory, size, MATRIX_PASSWORD, strlen(MATRIX_PASSWORD)) != NULL;
}

static void look_at_event(void *argument, const struct weir_share_event *event)
{
    (void)argument;
    if (holds_canary(event, sizeof *event)) atomic_add_relaxed(&world.canaries, 1);
}

static bool keeps_secrets(void)
{
    const char *text = weir_error_text();
    for (int lane = 0; lane < WEIR_LANES; lane++) {
        struct weir_redis_stats stats = weir_redis_stats(world.link, 0, (enum weir_lane)lane);
        if (holds_canary(&stats, sizeof stats)) return false;
    }
    return !holds_canary(text, strlen(text)) && atomic_load_relaxed(&world.canaries) == 0;
}

/* ---- decisions ---- */

/* What this thread has waited for a processor: not weir's time. 0 where the kernel does not count it. */
static uint64_t waited_ns(void)
{
    char text[128] = "";
    unsigned long long ran, waited = 0;
    if (pread(world.schedule, text, sizeof text - 1, 0) > 0) (void)sscanf(text, "%llu %llu", &ran, &waited);
    return waited;
}

static void note(uint64_t began_ns, uint64_t waited_before_ns)
{
    uint64_t took_ns = now() - began_ns;
    if (world.taken < SAMPLES) world.took_ns[world.taken++] = took_ns;
    if (took_ns <= world.worst_ns && took_ns <= MATRIX_LATE_NS) return;
    uint64_t waited = waited_ns() - waited_before_ns;
    took_ns = took_ns > waited ? took_ns - waited : 0;
    if (took_ns > world.worst_ns) world.worst_ns = took_ns;
    world.late += took_ns > MATRIX_LATE_NS;
}

void matrix_decide(void)
{
    struct weir_permit permit;
    uint64_t waited = waited_ns(), began_ns;
    for (int i = 0; i < 2; i++) {
        began_ns = now();
        struct weir_outcome outcome = weir_rate_acquire_at(world.policy[i], 1, began_ns);
        note(began_ns, waited);
        world.passed[i] += outcome.status == WEIR_OK;
    }
    began_ns = now();
    struct weir_outcome outcome = weir_breaker_acquire_at(world.policy[2], &permit, began_ns);
    note(began_ns, waited);
    if (outcome.status == WEIR_OK) weir_breaker_release_at(world.policy[2], &permit, outcome, began_ns);
    began_ns = now();
    outcome = weir_bulkhead_acquire(world.policy[3], 1, &permit);
    note(began_ns, waited);
    if (outcome.status == WEIR_OK) weir_bulkhead_release(world.policy[3], &permit);
    began_ns = now();
    (void)weir_lock_check(world.lock);
    note(began_ns, waited);
    world.told |= !keeps_secrets();
    poll(NULL, 0, 1);
}

/* How late it is said whether a lock is to be had: of three times the best, as a machine may stop for a while. */
static uint64_t lock_late_ns(void)
{
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < 3 && best_ns > MATRIX_LATE_NS; i++) {
        uint64_t waited = waited_ns(), deadline_ns = now() + WAIT_NS, ended_ns;
        (void)weir_lock_acquire(world.other, NULL, deadline_ns, NULL);
        ended_ns = now();
        uint64_t late_ns = ended_ns > deadline_ns ? ended_ns - deadline_ns : 0;
        waited = waited_ns() - waited;
        late_ns = late_ns > waited ? late_ns - waited : 0;
        if (late_ns < best_ns) best_ns = late_ns;
        (void)weir_lock_release(world.other, 0);
    }
    return best_ns;
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
    for (uint64_t end_ns = now() + within_ns; now() < end_ns; matrix_decide()) {
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

/* ---- what has no end ---- */

/* What somebody else has put there in place of ours is his. */
static bool every_key_ends(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "EVAL",
        "local endless = 0 for _, key in ipairs(redis.call('KEYS', 'weir:*')) do "
        "if redis.call('PTTL', key) == -1 then endless = endless + 1 end end return endless",
        "0");
    return answer.kind == REDIS_INTEGER && answer.integer == 0;
}

/* ---- a row ---- */

static bool is_whole_again(uint64_t healed_ns)
{
    if (!comes_true(WEIR_SHARE_SHARED, RECOVER_NS)) return false;
    (void)weir_lock_release(world.lock, now() + 100 * WEIR_MS);
    struct weir_fence fence;
    return weir_lock_acquire(world.lock, NULL, healed_ns + RECOVER_NS, &fence).status == WEIR_OK;
}

/* Spends what was lent, or outlives it; then whether each policy lives as chosen. */
static bool lives_as_chosen(enum matrix_mode mode)
{
    for (uint64_t end_ns = now() + LEASE_NS; now() < end_ns;) matrix_decide();
    memset(world.passed, 0, sizeof world.passed);
    struct weir_share_stats before = weir_share_stats(world.policy[1]);
    for (uint64_t end_ns = now() + 300 * WEIR_MS; now() < end_ns;) matrix_decide();
    /* A server that is full answers a question now and then: what it lent may be spent, and no more. */
    uint64_t lent = before.held + weir_share_stats(world.policy[1]).lent - before.lent;
    return world.passed[0] > 0 && (mode == GOES_ON || world.passed[1] <= lent);
}

/* Why it is not as it should be. */
static void tell_states(void)
{
    for (int i = 0; i < 4; i++) fprintf(stderr, "share %d, ", (int)weir_share_state(world.policy[i]));
    fprintf(stderr, "lock %d\n", (int)weir_lock_check(world.lock));
    for (int lane = 0; lane < WEIR_LANES; lane++) {
        struct weir_redis_stats stats = matrix_stats((enum weir_lane)lane);
        fprintf(stderr, "lane %d is %d: '%s'\n", lane, (int)stats.state, stats.error);
    }
}

void matrix_run(const struct matrix_row *row)
{
    const struct redis_address address = redis_server_unix(&matrix.server);
    CHECK(redis_client_open(&matrix.second, &address, 5000));
    world.taken = world.worst_ns = world.late = 0;
    row->inject();
    bool on = row->prove(), as_declared = true;
    if (row->mode == AWAY) as_declared = comes_true(WEIR_SHARE_DEGRADED, 5 * WEIR_S);
    bool lives = lives_as_chosen(row->mode);
    uint64_t late_ns = lock_late_ns();
    row->heal();
    uint64_t healed_ns = now();
    bool whole = is_whole_again(healed_ns), ends = every_key_ends();
    uint64_t p99_ns = p99();
    fprintf(stderr,
        "%-24s %s, %s, decisions p99 %4.1f us, worst %5.1f us, lock late by %5.1f us, whole after %4.0f "
        "ms%s\n",
        row->name, row->mode == AWAY ? "away" : "goes on", lives ? "lives" : "DOES NOT LIVE AS CHOSEN",
        (double)p99_ns / 1e3, (double)world.worst_ns / 1e3, (double)late_ns / 1e3,
        (double)(now() - healed_ns) / 1e6, whole ? "" : ": NOT");
    redis_client_close(&matrix.second);
    if (!whole || !as_declared) tell_states();
    CHECK(on);
    CHECK(as_declared);
    CHECK(lives);
    CHECK(whole);
    CHECK(!world.told);
    CHECK(ends);
    CHECK(p99_ns <= MATRIX_LATE_NS);
    CHECK(world.late <= 1); /* a virtual machine stands still now and then */
    CHECK(late_ns <= MATRIX_LATE_NS);
}

static struct weir_lock *lock_of(const char *name)
{
    struct weir_lock *lock;
    CHECK_EQ(
        weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = world.link, .name = name, .lease_ns = LEASE_NS,
                             .poll_min_ns = 5 * WEIR_MS, .poll_max_ns = 20 * WEIR_MS),
            &lock),
        WEIR_E_NONE);
    return lock;
}

void matrix_begin(const char *place)
{
    static const struct weir_share_sink sink = { look_at_event, NULL };
    world.schedule = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    world.link = link_with((struct weir_redis_config) { .thread = true,
                               .user = MATRIX_USER,
                               .password = MATRIX_PASSWORD,
                               .sink = &sink,
                               .reconnect_max_ns = 200 * WEIR_MS },
        place);
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
    world.lock = lock_of("x");
    world.other = lock_of("y");
    CHECK(comes_true(WEIR_SHARE_SHARED, 5 * WEIR_S));
}

struct weir_redis_stats matrix_stats(enum weir_lane lane)
{
    return weir_redis_stats(world.link, 0, lane);
}

void matrix_end(void)
{
    weir_lock_destroy(world.other);
    weir_lock_destroy(world.lock);
    for (int i = 0; i < 4; i++) weir_policy_release(world.policy[i]);
    weir_redis_close(world.link, WEIR_S);
    close(world.schedule);
}
