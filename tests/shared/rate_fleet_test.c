/* A fleet's promise as a whole: several links share one limit through one store that answers late, or not at all; in no
 * window do more pass than burst + rate * t (strict), or that and what can be lent (relaxed). */
#include "shared/rate_words.h"
#include "shared/store_rate.h"

#include "policy/rate_loan.h"

#include <stdio.h>
#include <string.h>

enum { MEMBERS = 4, STEPS = 6000 };

struct member {
    struct carried carried;
    struct weir_policy *rate;
    bool asking, asked; /* a question is under way; the store has had it */
    uint64_t store_ns, back_ns;
    struct weir_answer answer;
    uint64_t busy_until_ns, taken;
};

enum { STEADY, GREEDY };

static struct {
    struct member member[MEMBERS];
    struct store_rate store;
    struct weir_rate_config limit;
    struct weir_share_config share;
    uint64_t seed, first, now_ns;
    uint64_t lag_ns;
    int load;
    bool losing; /* answers get lost, lanes go down, machines sleep */
    /* Above what has grown back: in tokens * period, as a leaky bucket; its highest is the worst window's excess. */
    __int128 level, highest;
    uint64_t level_ns;
} f;

static uint64_t up_to(uint64_t bound)
{
    return random_up_to(&f.seed, bound);
}

static bool one_in(uint64_t n)
{
    return up_to(n - 1) == 0;
}

static void log_taken(uint32_t cost)
{
    __int128 grown = (__int128)(f.now_ns - f.level_ns) * f.limit.permits;
    f.level_ns = f.now_ns;
    f.level = f.level > grown ? f.level - grown : 0;
    f.level += (__int128)cost * f.limit.period_ns;
    if (f.level > f.highest) f.highest = f.level;
}

static void begin(uint64_t seed)
{
    memset(&f.store, 0, sizeof f.store);
    f.first = f.seed = seed;
    f.now_ns = f.level_ns = START;
    f.level = f.highest = 0;
    for (uint64_t i = 0; i < MEMBERS; i++) {
        struct member *m = &f.member[i];
        *m = (struct member) { 0 };
        carried_create(&m->carried, 100 * seed + i);
        f.share.size = sizeof f.share;
        f.share.link = m->carried.link;
        f.limit.size = sizeof f.limit;
        f.limit.share = &f.share;
        CHECK_EQ(weir_rate_create(&f.limit, &m->rate), WEIR_E_NONE);
        carried_step(&m->carried);
        carried_report(&m->carried, WEIR_LANE_UP, 1);
    }
}

static void end(void)
{
    for (int i = 0; i < MEMBERS; i++) {
        struct member *m = &f.member[i];
        static const struct weir_answer unknown = { .kind = WEIR_ANSWER_UNKNOWN };
        if (m->asking) carried_answer(&m->carried, &unknown);
        weir_policy_release(m->rate);
        carried_close(&m->carried);
    }
}

/* The store's wall clock; its rate is that of all others. */
static int64_t store_us(void)
{
    return INT64_C(1800000000000000) + (int64_t)(f.now_ns / WEIR_US);
}

static void talk(struct member *m)
{
    struct carried *c = &m->carried;
    c->now_ns = f.now_ns;
    if (!m->asking && carried_is_asking(c)) {
        m->asking = true;
        m->asked = false;
        m->store_ns = f.now_ns + up_to(f.lag_ns);
        m->back_ns = m->store_ns + up_to(f.lag_ns);
    }
    if (m->asking && !m->asked && f.now_ns >= m->store_ns) {
        store_rate_ask(&f.store, &c->ask, store_us(), &m->answer);
        m->asked = true;
    }
    if (m->asking && f.now_ns >= m->back_ns) {
        if (f.losing && one_in(10)) m->answer = (struct weir_answer) { .kind = WEIR_ANSWER_UNKNOWN };
        m->asking = false;
        carried_answer(c, &m->answer);
    }
}

static void disturb(struct member *m)
{
    struct carried *c = &m->carried;
    if (!m->asking && one_in(400)) carried_report(c, WEIR_LANE_DOWN, 0);
    if (one_in(30)) carried_report(c, WEIR_LANE_UP, 1);
    if (one_in(1000)) c->slept_ns += WEIR_S;
    if (one_in(1000)) f.now_ns += WEIR_S; /* nobody was there for a while */
}

/* Takes cost, and may give it back, after the store was told of what is left or before. */
static bool take(struct member *m, uint32_t cost)
{
    struct weir_permit permit;
    uint64_t at_ns, before = weir_rate_stats(m->rate, f.now_ns).given_back;
    if (weir_rate_reserve_at(m->rate, cost, 0, f.now_ns, &permit, &at_ns).status != WEIR_OK) {
        if (weir_rate_acquire_at(m->rate, cost, f.now_ns).status != WEIR_OK) return false;
    } else if (one_in(6)) {
        if (one_in(2)) talk(m);
        weir_rate_give_back_at(m->rate, &permit, f.now_ns);
        if (weir_rate_stats(m->rate, f.now_ns).given_back != before) return true;
    }
    log_taken(cost);
    m->taken += cost;
    return true;
}

/* In bursts, each member on its own. */
static void call_steadily(struct member *m)
{
    if (f.now_ns >= m->busy_until_ns && !one_in(40)) return;
    if (f.now_ns >= m->busy_until_ns) m->busy_until_ns = f.now_ns + up_to(300 * WEIR_MS);
    for (uint64_t n = up_to(12); n > 0; n--) take(m, one_in(5) ? 1 + (uint32_t)up_to(2) : 1);
}

/* All at once all that there is; then nobody, while what they are lent piles up. */
static void call_greedily(struct member *m)
{
    uint64_t phase_ns = (f.now_ns - START) % (200 * WEIR_MS);
    if (phase_ns > 120 * WEIR_MS) return;
    while (take(m, 1)) { }
}

static void run(void)
{
    atomic_or_acq_rel(&weir_shards_ever, 3u);
    for (int step = 0; step < STEPS; step++) {
        f.now_ns += up_to(2 * WEIR_MS);
        for (int i = 0; i < MEMBERS; i++) {
            weir_thread.shard = 1 + (uint32_t)up_to(1); /* as if another thread called */
            if (f.losing) disturb(&f.member[i]);
            talk(&f.member[i]);
            if (f.load == STEADY) call_steadily(&f.member[i]);
            else call_greedily(&f.member[i]);
        }
    }
}

/* `slack` tokens above the burst, and at least that many hundredths of the rate used. */
static void check_load(int load, uint64_t slack, uint64_t percent)
{
    f.load = load;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        begin(seed);
        run();
        uint64_t taken = 0, lasted_ns = f.now_ns - START;
        for (int i = 0; i < MEMBERS; i++) taken += f.member[i].taken;
        __int128 bound = (__int128)(f.limit.burst + slack) * f.limit.period_ns;
        uint64_t due = (uint64_t)((unsigned __int128)lasted_ns * f.limit.permits / f.limit.period_ns);
        bool good = f.highest <= bound && taken >= due * percent / 100;
        if (!good) {
            printf("seed %ju: worst window %jd above %ju, %ju of %ju used\n", (uintmax_t)seed,
                (intmax_t)(f.highest / f.limit.period_ns), (uintmax_t)(f.limit.burst + slack),
                (uintmax_t)taken, (uintmax_t)due);
        }
        end();
        CHECK(good);
    }
}

static void check(uint64_t slack, uint64_t percent)
{
    check_load(STEADY, slack, percent);
    check_load(GREEDY, slack, 0);
}

#define LIMIT(...)                       \
    f.limit = (struct weir_rate_config)  \
    {                                    \
        .period_ns = WEIR_S, __VA_ARGS__ \
    }
#define SHARE(...)                       \
    f.share = (struct weir_share_config) \
    {                                    \
        __VA_ARGS__                      \
    }

TEST(rate_fleet, strict_no_window_has_one_more)
{
    f.losing = false;
    f.lag_ns = 2 * WEIR_MS;
    LIMIT(.permits = 1000, .burst = 60, .form = WEIR_FORM_SINGLE);
    SHARE(.away = WEIR_AWAY_CLOSED, .strict = true, .lease_ns = 200 * WEIR_MS);
    check(0, 50);
    LIMIT(.permits = 1000, .burst = 200, .form = WEIR_FORM_SHARDED, .lease = 6);
    check(0, 50);
}

TEST(rate_fleet, strict_whatever_gets_lost)
{
    f.lag_ns = 60 * WEIR_MS;
    f.losing = true;
    LIMIT(.permits = 1000, .burst = 60, .form = WEIR_FORM_SINGLE);
    SHARE(.away = WEIR_AWAY_CLOSED, .strict = true, .lease_ns = 100 * WEIR_MS);
    check(0, 0);
    LIMIT(.permits = 1000, .burst = 200, .form = WEIR_FORM_SHARDED, .lease = 6);
    check(0, 0);
}

TEST(rate_fleet, relaxed_as_many_more_as_can_be_lent)
{
    f.losing = false;
    f.lag_ns = 2 * WEIR_MS;
    LIMIT(.permits = 1000, .burst = 60, .form = WEIR_FORM_SINGLE);
    SHARE(.away = WEIR_AWAY_CLOSED, .lease_max = 8, .lease_ns = 200 * WEIR_MS);
    check((uint64_t)MEMBERS * 8, 50);
    f.lag_ns = 60 * WEIR_MS;
    f.losing = true;
    check((uint64_t)MEMBERS * 8, 0);
}

/* Each adds its share of the rate while it is away. */
TEST(rate_fleet, away_its_share_adds_no_more_than_the_rate_once)
{
    f.losing = false;
    f.lag_ns = 2 * WEIR_MS;
    LIMIT(.permits = 1000, .burst = 60, .form = WEIR_FORM_SINGLE);
    SHARE(.away = WEIR_AWAY_SHARE, .instances = MEMBERS, .lease_ns = 200 * WEIR_MS);
    begin(1);
    for (int i = 0; i < MEMBERS; i++) carried_report(&f.member[i].carried, WEIR_LANE_DOWN, 0);
    run();
    CHECK(f.highest <= (__int128)(60 + 60) * WEIR_S);
    uint64_t taken = 0;
    for (int i = 0; i < MEMBERS; i++) taken += f.member[i].taken;
    CHECK(taken > (f.now_ns - START) / WEIR_MS / 4);
    end();
}
