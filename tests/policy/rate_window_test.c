/* The rate limit's promise as a whole: in no window more than burst + rate * t, whatever is given back, held and
 * leased, and by how many threads. */
#include "policy/hooks.h"

#include "base/arithmetic.h"

#include <weir/rate.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define START (1000 * WEIR_S)

static struct weir_policy *create(const struct weir_rate_config *config)
{
    struct weir_policy *rate = NULL;
    CHECK_EQ(weir_rate_create(config, &rate), WEIR_E_NONE);
    return rate;
}

#define RATE(...) create(WEIR_CONFIG(weir_rate_config, __VA_ARGS__))

/* ---- every window, against a log ---- */

struct entry {
    uint64_t turn_ns;
    uint32_t cost;
    bool given_back;
};

#define STEPS 1500

/* The excess over burst + rate * t in the worst window, in tokens. */
static int64_t worst_excess(const struct entry *log, size_t count, uint64_t token_ns, uint64_t burst)
{
    int64_t worst = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        uint64_t passed = 0;
        for (size_t j = i; j < count; j++) {
            if (!log[j].given_back) passed += log[j].cost;
            uint64_t grown = (log[j].turn_ns - log[i].turn_ns) / token_ns;
            int64_t excess = (int64_t)passed - (int64_t)(burst + grown);
            if (excess > worst) worst = excess;
        }
    }
    return worst;
}

static int by_turn(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->turn_ns > y->turn_ns) - (x->turn_ns < y->turn_ns);
}

struct pending {
    struct weir_call call;
    size_t entry;
};

/* Admits, waits, gives back late and out of order, under one to four lines. */
static size_t random_history(
    struct weir_policy *rate, uint64_t token_ns, uint64_t seed, uint32_t lines, struct entry *log)
{
    struct pending pending[16];
    size_t count = 0, waiting = 0;
    atomic_or_acq_rel(&weir_shards_ever, (UINT32_C(1) << lines) - 1); /* as if threads had them */
    uint64_t now_ns = START;
    for (int step = 0; step < STEPS; step++) {
        if (random_up_to(&seed, 3) == 0) now_ns += random_up_to(&seed, 3 * token_ns);
        if (waiting > 0 && (waiting == 16 || random_up_to(&seed, 2) == 0)) {
            size_t i = random_up_to(&seed, waiting - 1);
            struct weir_outcome outcome = { .status = WEIR_CANCELED };
            bool ran = random_up_to(&seed, 1) != 0;
            pending[i].call.attempt.number += ran;
            uint64_t before = weir_rate_stats(rate, now_ns).given_back;
            hooks_settle(rate, &pending[i].call, &outcome, now_ns);
            if (weir_rate_stats(rate, now_ns).given_back != before) log[pending[i].entry].given_back = true;
            pending[i] = pending[--waiting];
            continue;
        }
        struct weir_call call = hooks_call(0);
        call.shard = (uint16_t)random_up_to(&seed, lines - 1);
        call.weight = (uint32_t)random_up_to(&seed, 3) + 1;
        call.flags |= CALL_WEIGHTED;
        struct weir_verdict verdict = hooks_admit(rate, &call, now_ns);
        if (verdict.kind == WEIR_REFUSE) continue;
        log[count] =
            (struct entry) { verdict.kind == WEIR_HOLD ? verdict.at_ns : now_ns, call.weight, false };
        pending[waiting++] = (struct pending) { call, count++ };
    }
    qsort(log, count, sizeof *log, by_turn);
    return count;
}

static void check_windows(struct weir_rate_config config, uint32_t lines, uint64_t slack)
{
    static struct entry log[STEPS];
    config.size = sizeof config;
    uint64_t token_ns = config.period_ns / config.permits;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct weir_policy *rate = create(&config);
        size_t count = random_history(rate, token_ns, seed, lines, log);
        int64_t excess = worst_excess(log, count, token_ns, config.burst + slack);
        if (excess > 0) printf("seed %ju: %jd too many\n", (uintmax_t)seed, (intmax_t)excess);
        CHECK(excess <= 0);
        CHECK(count > STEPS / 20);
        weir_policy_release(rate);
    }
}

TEST(rate_window, every_window_holds)
{
    check_windows((struct weir_rate_config) { .permits = 1000, .period_ns = WEIR_S, .burst = 10 }, 1, 0);
    check_windows((struct weir_rate_config) { .permits = 1, .period_ns = WEIR_US, .burst = 4 }, 1, 0);
}

TEST(rate_window, every_window_holds_with_waiting)
{
    check_windows(
        (struct weir_rate_config) {
            .permits = 1000, .period_ns = WEIR_S, .burst = 4, .wait_max_ns = 20 * WEIR_MS },
        1, 0);
    check_windows(
        (struct weir_rate_config) {
            .permits = 1000, .period_ns = WEIR_S, .burst = 9, .wait_max_ns = 5 * WEIR_MS },
        1, 0);
}

TEST(rate_window, every_window_holds_with_leases)
{
    check_windows(
        (struct weir_rate_config) {
            .permits = 1000, .period_ns = WEIR_S, .burst = 32, .form = WEIR_FORM_SHARDED, .lease = 4 },
        1, 4);
    check_windows(
        (struct weir_rate_config) {
            .permits = 1000, .period_ns = WEIR_S, .burst = 64, .form = WEIR_FORM_SHARDED, .lease = 8 },
        4, 4 * 8);
}

/* ---- threads ---- */

struct taker {
    pthread_t thread;
    struct weir_policy *rate;
    uint64_t taken;
};

static void *take_all(void *argument)
{
    struct taker *taker = argument;
    uint64_t at_ns;
    for (int i = 0; i < 20000; i++) {
        struct weir_permit permit;
        taker->taken += weir_rate_acquire_at(taker->rate, 1, START).status == WEIR_OK;
        if (weir_rate_reserve_at(taker->rate, 1, 0, START, &permit, &at_ns).status != WEIR_OK) continue;
        weir_rate_give_back_at(taker->rate, &permit, START);
    }
    return NULL;
}

static void check_threads(struct weir_policy *rate)
{
    struct taker taker[4];
    uint64_t taken = 0;
    for (int i = 0; i < 4; i++) {
        taker[i] = (struct taker) { .rate = rate };
        CHECK_EQ(pthread_create(&taker[i].thread, NULL, take_all, &taker[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(taker[i].thread, NULL), 0);
        taken += taker[i].taken;
    }
    struct weir_rate_stats stats = weir_rate_stats(rate, START);
    CHECK_EQ(taken + stats.leased + stats.tokens, stats.burst);
    weir_policy_release(rate);
}

TEST(rate_window, threads_share_one_burst)
{
    check_threads(RATE(.permits = 1, .burst = 10000, .form = WEIR_FORM_SINGLE));
    check_threads(RATE(.permits = 1, .burst = 10000, .lease = 16));
}
