/* What was lent, under threads that take and give it back while the link lends, is told and lapses: no token is spent
 * twice, and none but those that were void is lost. */
#include "shared/rate_words.h"

#include <pthread.h>
#include <sched.h>

enum { TAKERS = 3, ROUNDS = 3000, TAKEN_MIN = 4000 };

static struct carried c;
static uint64_t now_ns = START;
static uint32_t over;
static uint64_t progress; /* tokens taken, roughly */

struct taker {
    pthread_t thread;
    struct weir_policy *rate;
    uint64_t taken;
};

static void *take(void *argument)
{
    struct taker *taker = argument;
    struct weir_permit permit;
    uint64_t at_ns;
    while (__atomic_load_n(&over, __ATOMIC_ACQUIRE) == 0) {
        uint64_t now = __atomic_load_n(&now_ns, __ATOMIC_ACQUIRE);
        bool passed = weir_rate_acquire_at(taker->rate, 1, now).status == WEIR_OK;
        taker->taken += passed;
        if (passed) __atomic_add_fetch(&progress, 1, __ATOMIC_RELAXED);
        if (weir_rate_reserve_at(taker->rate, 2, 0, now, &permit, &at_ns).status != WEIR_OK) continue;
        weir_rate_give_back_at(taker->rate, &permit, now);
        taker->taken += 2;
    }
    return NULL;
}

static void talk(uint64_t round)
{
    __atomic_store_n(&now_ns, now_ns + 300 * WEIR_US, __ATOMIC_RELEASE);
    c.now_ns = now_ns;
    if (round % 100 == 99) c.slept_ns += WEIR_S;
    if (carried_is_asking(&c)) carried_grant(&c, c.ask.number[ASK_WANT], 1, 0);
}

/* Of all that is to be seen: threads may begin late. */
static bool is_enough(const struct weir_policy *rate)
{
    return __atomic_load_n(&progress, __ATOMIC_RELAXED) >= TAKEN_MIN && weir_share_stats(rate).expired > 0;
}

static void check(enum weir_form form, uint32_t lease)
{
    struct weir_policy *rate;
    struct taker taker[TAKERS];
    uint64_t taken = 0;
    carried_create(&c, 7);
    const struct weir_share_config *share =
        WEIR_CONFIG(weir_share_config, .link = c.link, .away = WEIR_AWAY_CLOSED, .lease_ns = WEIR_S);
    CHECK_EQ(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 1000000, .burst = 100000, .form = form,
                                  .lease = lease, .share = share),
                 &rate),
        WEIR_E_NONE);
    carried_step(&c);
    carried_report(&c, WEIR_LANE_UP, 1);
    over = 0;
    progress = 0;
    for (int i = 0; i < TAKERS; i++) {
        taker[i] = (struct taker) { .rate = rate };
        CHECK_EQ(pthread_create(&taker[i].thread, NULL, take, &taker[i]), 0);
    }
    for (uint64_t round = 0; round < ROUNDS || !is_enough(rate); round++) {
        talk(round);
        sched_yield();
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < TAKERS; i++) {
        CHECK_EQ(pthread_join(taker[i].thread, NULL), 0);
        taken += taker[i].taken;
    }
    taken -= 2 * weir_rate_stats(rate, now_ns).given_back;
    struct weir_share_stats stats = weir_share_stats(rate);
    /* Void is more than was there, if a thread takes while it is looked at: what moves is counted twice. */
    CHECK(taken + stats.held + stats.returned <= stats.lent);
    CHECK(taken + stats.held + stats.returned + stats.expired >= stats.lent);
    weir_policy_release(rate);
    carried_close(&c);
}

TEST(shared_rate_threads, no_token_is_spent_twice)
{
    check(WEIR_FORM_SINGLE, 0);
    check(WEIR_FORM_SHARDED, 16);
}
