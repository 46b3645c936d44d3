/* What was lent, under threads that take of it while the link (thread 0) reports it, voids it or lends more: no token is
 * spent twice, none is lost to the statistics, and no store hears of less than can still be spent. */
#include "explorer/explorer.h"
#include "policy/rate_hot.h"

#include <string.h>

enum { LENT = 24, MORE = 8, LEASE = 4, BIG = LEASE + 1, NOW = 1000, END = 2000 };

static struct {
    struct rate_state state;
    uint32_t heard, rung;                      /* what the link knew to be wanted; that it was rung */
    uint64_t told, voided;                     /* what the link's call answered */
    uint32_t over;                             /* that it has */
    uint64_t spent[EXPLORE_THREADS_MAX];       /* taken, and not given back */
    uint64_t spent_after[EXPLORE_THREADS_MAX]; /* of it, by takes that began when the link's call was over */
} w;
static const struct rate_config config = { .permits = 1, .period_ns = 1, .burst = LENT, .lease = LEASE };

static uint64_t sum(const uint64_t *of_thread)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) all += of_thread[i];
    return all;
}

/* ---- steps ---- */

static bool is_over(void)
{
    weir_explore_point(&w.over);
    return w.over != 0;
}

static void set_over(void)
{
    weir_explore_point(&w.over);
    w.over = 1;
}

static bool take(uint32_t thread, uint32_t cost, struct weir_slot *slot)
{
    bool after = is_over();
    explore_progress();
    if (!rate_take(&config, &w.state, thread, true, slot, cost, 0, NOW)) return false;
    w.spent[thread] += cost;
    if (after) w.spent_after[thread] += cost;
    return true;
}

/* A cell's tokens, and once the pocket's own: these go back, if they can. */
static void take_some(uint32_t thread)
{
    struct weir_slot slot;
    (void)take(thread, 1, &slot);
    if (thread == 1) {
        (void)take(thread, 2, &slot);
        return;
    }
    uint64_t after = w.spent_after[thread];
    if (!take(thread, BIG, &slot)) return;
    explore_progress();
    if (!rate_give_back_lent(&w.state, &slot, NOW)) return;
    w.spent[thread] -= BIG;
    w.spent_after[thread] = after;
}

/* ---- programs ---- */

static void reports(uint32_t thread)
{
    if (thread != 0) {
        take_some(thread);
        return;
    }
    w.told = rate_loan_report(&config, &w.state);
    set_over();
}

static void voids(uint32_t thread)
{
    if (thread != 0) {
        take_some(thread);
        return;
    }
    w.voided = rate_loan_void(&config, &w.state);
    set_over();
}

static void lends_more(uint32_t thread)
{
    if (thread == 0) rate_loan_add(&w.state, MORE, END + 1);
    else take_some(thread);
}

static void voids_and_lends(uint32_t thread)
{
    voids(thread);
    if (thread == 0) rate_loan_add(&w.state, MORE, END);
}

/* Idle, it would look in a long time; it plans anew while one more is wanted. */
static void plans(uint32_t thread)
{
    bool denied, ring;
    if (thread != 0) {
        explore_progress();
        (void)rate_loan_refuse(&w.state, thread, NOW, &denied, &ring);
        weir_explore_point(&w.rung);
        w.rung |= ring;
        return;
    }
    do {
        w.heard = atomic_load_relaxed(&w.state.loan.wanted);
        explore_progress();
    } while (!rate_loan_look_at(&w.state, w.heard == 0 ? WEIR_NEVER : 0, w.heard));
}

static void withdraws_and_reports(uint32_t thread)
{
    if (thread == 0) w.voided = rate_loan_withdraw(&w.state, MORE);
    reports(thread);
}

/* ---- the world ---- */

static void create(void)
{
    memset(&w, 0, sizeof w);
    w.state.burst = LENT;
    w.state.gcra.token = GCRA_UNITS_PER_NS;
    w.state.gcra.span = LENT * w.state.gcra.token;
    rate_loan_begin(&config, &w.state, LENT);
    rate_loan_add(&w.state, LENT, END);
    explore_region(&w, sizeof w, "loan");
}

static uint64_t left(void)
{
    return rate_loan_left(&config, &w.state);
}

static void outcome(void)
{
    explore_outcome(sum(w.spent) << 32 | w.voided << 16 | w.told << 8 | left());
}

static void end_reported(void)
{
    EXPLORE_CHECK(sum(w.spent) + w.voided + left() == LENT);
    EXPLORE_CHECK(left() + sum(w.spent_after) <= w.told);
    outcome();
}

/* What moved while it was looked at is counted twice; nothing is counted never. */
static void end_void(void)
{
    EXPLORE_CHECK(sum(w.spent) <= LENT);
    EXPLORE_CHECK(sum(w.spent) + w.voided >= LENT);
    EXPLORE_CHECK(sum(w.spent_after) == 0);
    EXPLORE_CHECK(left() == 0);
    outcome();
}

static void end_lent_more(void)
{
    EXPLORE_CHECK(sum(w.spent) + left() == LENT + MORE);
    outcome();
}

static void end_lent_anew(void)
{
    EXPLORE_CHECK(sum(w.spent_after) + left() <= MORE);
    EXPLORE_CHECK(sum(w.spent) + left() <= LENT + MORE);
    EXPLORE_CHECK(sum(w.spent) + w.voided + left() >= LENT + MORE);
    outcome();
}

/* The link has planned to look soon, or it was rung. */
static void end_planned(void)
{
    EXPLORE_CHECK(w.heard != 0 || w.rung != 0);
    explore_outcome(w.rung << 8 | w.heard);
}

#define LOAN(name, run, end, most)                                          \
    {                                                                       \
        name, 3, create, run, NULL, end, .bound = most, .never_waits = true \
    }

static const struct scenario scenarios[] = {
    LOAN("loan/report", reports, end_reported, 2),
    LOAN("loan/void", voids, end_void, 2),
    LOAN("loan/more", lends_more, end_lent_more, 3),
    LOAN("loan/void_and_lend", voids_and_lends, end_lent_anew, 2),
    LOAN("loan/plan", plans, end_planned, 0),
    LOAN("loan/withdraw", withdraws_and_reports, end_reported, 2),
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
