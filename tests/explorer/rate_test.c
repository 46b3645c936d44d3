/* The rate limit's word: what passes in any window, whatever is given back meanwhile. */
#include "explorer/explorer.h"
#include "policy/rate_hot.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN = 100, NOW = 100000, TAKES = 4 };

static struct {
    struct gcra gcra;
    struct rate_state leased;
    struct { /* what a thread took, and has not given back */
        uint64_t turn[TAKES], amount[TAKES], left[TAKES];
        uint32_t count;
    } took[EXPLORE_THREADS_MAX];
} w;
static struct rate_config config;

static uint64_t burst(void)
{
    return explore_scenario()->argument;
}

/* ---- steps ---- */

static void keep(uint32_t thread, uint64_t turn, uint64_t amount)
{
    uint32_t n = w.took[thread].count++;
    w.took[thread].turn[n] = turn;
    w.took[thread].amount[n] = w.took[thread].left[n] = amount;
}

static void take(uint32_t thread, uint64_t tokens, uint64_t now)
{
    explore_progress();
    if (gcra_take(&w.gcra, tokens * TOKEN, now)) keep(thread, now, tokens * TOKEN);
}

static void reserve(uint32_t thread, uint64_t tokens, uint64_t now)
{
    uint64_t turn;
    explore_progress();
    if (gcra_reserve(&w.gcra, tokens * TOKEN, now, now + 10 * TOKEN, &turn))
        keep(thread, turn, tokens * TOKEN);
}

/* A giver that held it until now runs nothing: what did not go back is spent. */
static void give_back(uint32_t thread, uint64_t now)
{
    explore_progress();
    if (w.took[thread].count == 0) return;
    uint32_t n = w.took[thread].count - 1;
    w.took[thread].left[n] -= gcra_give_back(&w.gcra, w.took[thread].amount[n], w.took[thread].turn[n], now);
}

/* ---- programs ---- */

static void take_one(uint32_t thread)
{
    take(thread, 1, NOW);
}

static void take_two(uint32_t thread)
{
    take(thread, 1, NOW);
    take(thread, thread + 1, NOW + TOKEN / 2);
}

static void reserve_one(uint32_t thread)
{
    reserve(thread, thread == 2 ? 2 : 1, NOW);
}

static void reserve_and_give_back(uint32_t thread)
{
    reserve(thread, 1, NOW + thread);
    if (thread < 2) give_back(thread, NOW + thread);
    else take(thread, 1, NOW + TOKEN);
}

static void give_back_and_take(uint32_t thread)
{
    if (thread == 0) give_back(0, NOW);
    else if (thread == 1) reserve(1, 1, NOW);
    else take(2, 1, NOW);
}

/* Thread 1's amount goes and comes back while thread 0 gives back: the word is what it was before. */
static void back_and_forth(uint32_t thread)
{
    if (thread == 0) {
        give_back(0, NOW);
    } else if (thread == 1) {
        reserve(1, 1, NOW);
        give_back(1, NOW);
    } else {
        reserve(2, 1, NOW);
        reserve(2, 1, NOW + TOKEN);
    }
}

static void take_leased(uint32_t thread)
{
    for (uint32_t i = 0; i < 3; i++) {
        struct weir_slot slot;
        explore_progress();
        if (rate_take(&config, &w.leased, thread, true, &slot, 1, 0, NOW)) keep(thread, NOW, 1);
    }
}

static void spend_and_deposit(uint32_t thread)
{
    if (thread == 0) gcra_deposit(&w.gcra, TOKEN, NOW);
    else take_two(thread);
}

/* ---- the world ---- */

static void create(void)
{
    memset(&w, 0, sizeof w);
    w.gcra = (struct gcra) { .tat = NOW, .token = TOKEN, .span = burst() * TOKEN };
    explore_region(&w, sizeof w, "rate");
}

static void create_taken(void)
{
    create();
    reserve(0, 1, NOW);
}

static void create_leased(void)
{
    create();
    config.lease = 2;
    w.leased.burst = burst();
    w.leased.gcra = (struct gcra) { .tat = 0, .token = 1, .span = burst() };
}

/* Between any two turns no more than a full bucket and what grows meanwhile. */
static void check_windows(uint64_t extra)
{
    for (uint32_t a = 0; a < EXPLORE_THREADS_MAX * TAKES; a++) {
        for (uint32_t b = 0; b < EXPLORE_THREADS_MAX * TAKES; b++) {
            uint64_t from = w.took[a / TAKES].turn[a % TAKES], to = w.took[b / TAKES].turn[b % TAKES],
                     sum = 0;
            if (from == 0 || to < from) continue;
            for (uint32_t c = 0; c < EXPLORE_THREADS_MAX * TAKES; c++) {
                uint64_t turn = w.took[c / TAKES].turn[c % TAKES];
                if (turn >= from && turn <= to) sum += w.took[c / TAKES].left[c % TAKES];
            }
            EXPLORE_CHECK(sum <= w.gcra.span + (to - from) + extra);
        }
    }
}

static void end(void)
{
    check_windows(0);
    explore_outcome(w.gcra.tat << 20 ^ w.gcra.promised);
}

/* Nobody else was there to take it: what could pass has passed. */
static void end_greedy(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) sum += w.took[i].count;
    EXPLORE_CHECK(sum == burst());
    end();
}

static void end_deposit(void)
{
    check_windows(TOKEN);
    explore_outcome(w.gcra.tat);
}

static void end_leased(void)
{
    uint64_t passed = 0, credit = 0;
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) passed += w.took[i].count;
    for (uint32_t i = 0; i < SHARDS; i++) {
        EXPLORE_CHECK(w.leased.cell[i].credit <= config.lease);
        credit += w.leased.cell[i].credit;
    }
    EXPLORE_CHECK(passed + credit <= burst());
    EXPLORE_CHECK(w.leased.gcra.tat == NOW * GCRA_UNITS_PER_NS + passed + credit);
    explore_outcome(passed << 8 | credit);
}

#define RATE(name, threads, create, run, end, ...)                              \
    {                                                                           \
        name, threads, create, run, NULL, end, .never_waits = true, __VA_ARGS__ \
    }

static const struct scenario scenarios[] = {
    RATE("rate/burst", 3, create, take_one, end_greedy, .argument = 2),
    RATE("rate/2x2", 2, create, take_two, end, .argument = 2),
    RATE("rate/3x2", 3, create, take_two, end, .argument = 3),
    RATE("rate/reserve", 3, create, reserve_one, end, .argument = 2),
    RATE("rate/reserve_2", 2, create, reserve_and_give_back, end, .argument = 1),
    RATE("rate/reserve_and_give_back", 3, create, reserve_and_give_back, end, .argument = 1),
    RATE("rate/give_back", 3, create_taken, give_back_and_take, end, .argument = 1),
    RATE("rate/give_back_of_two", 3, create_taken, give_back_and_take, end, .argument = 2),
    RATE("rate/back_and_forth", 3, create_taken, back_and_forth, end, .argument = 1),
    RATE("rate/deposit", 3, create, spend_and_deposit, end_deposit, .argument = 2),
    RATE("rate/leased", 3, create_leased, take_leased, end_leased, .argument = 5),
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
