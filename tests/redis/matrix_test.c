/* Everything that a real Redis and the way to it can do, one after the other, while a rate limit that has a share, one that
 * is closed, a breaker, a bulkhead and a lock go through one link with a thread. In each row:
 *   the fault is on, as a second connection says, where one can say it;
 *   every decision returns at once, whatever happens: the p99 of thousands within DECISION_NS;
 *   what is shared goes on (GOES_ON), or says that it is DEGRADED (AWAY) and lives on what was chosen for that;
 *   within RECOVER_NS of the healing all is shared again, and the lock is to be had;
 *   neither password nor user is in anything that is said of it.
 * At the end the proxy's log says that no question went through twice, but where the server had lost its scripts.
 * A row that cannot be had here fails; none is left out. */
#include "redis/carrier.h"
#include "redis/matrix.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/lock.h>
#include <weir/rate.h>

#include <stdlib.h>

#define DECISION_NS WEIR_MS
#define RECOVER_NS (2 * WEIR_S)
#define LEASE_NS (200 * WEIR_MS)
#define SAMPLES 20000

static struct world {
    struct weir_link *link;
    struct weir_policy *policy[4]; /* rate with a share, rate that is closed, breaker, bulkhead */
    struct weir_lock *lock;
    uint64_t took_ns[SAMPLES];
    size_t taken;
    uint64_t passed[2]; /* of the rates, while the fault was on */
    uint32_t canaries;  /* found in events */
    struct {
        size_t from, to; /* commands of the proxy's log */
    } scripts_lost[8];
    size_t losses;
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

/* ---- what is never said, or said twice ---- */

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

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct proxy_command *)a)->text, ((const struct proxy_command *)b)->text);
}

static bool is_question(const struct proxy_command *command)
{
    return strncmp(command->text, "EVALSHA ", 8) == 0 && strstr(command->text, "}:k") == NULL &&
        strstr(command->text, " weir:{") != NULL;
}

static bool scripts_were_lost(size_t index)
{
    for (size_t i = 0; i < world.losses; i++) {
        if (index >= world.scripts_lost[i].from && index < world.scripts_lost[i].to) return true;
    }
    return false;
}

/* Each question of a policy has a sequence number of its own: the same text is the same question. (A lock's renewals are all
 * alike.) */
static void check_that_nothing_is_repeated(void)
{
    size_t all = proxy_commands(matrix.proxy), count = 0;
    struct proxy_command *question = calloc(all, sizeof *question);
    CHECK(question != NULL);
    for (size_t i = 0; i < all; i++) {
        if (!scripts_were_lost(i) && proxy_command(matrix.proxy, i, &question[count]))
            count += is_question(&question[count]);
    }
    qsort(question, count, sizeof *question, by_text);
    for (size_t i = 1; i < count; i++) {
        if (by_text(&question[i - 1], &question[i]) == 0)
            CHECK_STR(question[i].text, "a question that is new");
    }
    fprintf(stderr, "%zu questions went through, none of them twice\n", count);
    CHECK(count > 1000);
    free(question);
}

/* ---- a row ---- */

static bool is_whole_again(uint64_t healed_ns)
{
    if (!comes_true(WEIR_SHARE_SHARED, RECOVER_NS)) return false;
    (void)weir_lock_release(world.lock, now() + 100 * WEIR_MS);
    struct weir_fence fence;
    return weir_lock_acquire(world.lock, NULL, healed_ns + RECOVER_NS, &fence).status == WEIR_OK;
}

static void run(const struct matrix_row *row)
{
    size_t begun = proxy_commands(matrix.proxy);
    const struct redis_address address = redis_server_tcp(&matrix.server);
    CHECK(redis_client_open(&matrix.second, &address, 5000));
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
    bool whole = is_whole_again(healed_ns), silent = keeps_secrets();
    if (row->scripts_lost) {
        CHECK(world.losses < sizeof world.scripts_lost / sizeof world.scripts_lost[0]);
        world.scripts_lost[world.losses].from = begun;
        world.scripts_lost[world.losses++].to = proxy_commands(matrix.proxy);
    }
    uint64_t worst_ns = p99();
    fprintf(stderr, "%-24s %s, %s, decisions p99 %5.1f us, whole after %4.0f ms%s\n", row->name,
        row->mode == AWAY ? "away" : "goes on", lives ? "lives" : "DOES NOT LIVE AS CHOSEN",
        (double)worst_ns / 1e3, (double)(now() - healed_ns) / 1e6, whole ? "" : ": NOT");
    redis_client_close(&matrix.second);
    CHECK(on);
    CHECK(as_declared);
    CHECK(lives);
    CHECK(whole);
    CHECK(silent);
    CHECK(worst_ns <= DECISION_NS);
}

static void begin(void)
{
    char place[64];
    static const struct weir_share_sink sink = { look_at_event, NULL };
    redis_server_start(&matrix.server, &(struct redis_options) { .clock = true, .config = MATRIX_CONFIG });
    const struct redis_address address = redis_server_tcp(&matrix.server);
    matrix.proxy = proxy_start(&address, NULL);
    snprintf(place, sizeof place, "tcp://127.0.0.1:%u", proxy_address(matrix.proxy).port);
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
    for (size_t i = 0; i < matrix_row_count; i++) run(&matrix_rows[i]);
    check_that_nothing_is_repeated();
    weir_lock_destroy(world.lock);
    for (int i = 0; i < 4; i++) weir_policy_release(world.policy[i]);
    weir_redis_close(world.link, WEIR_S);
    proxy_stop(matrix.proxy);
    redis_server_stop(&matrix.server);
}
