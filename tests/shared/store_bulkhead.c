#include "shared/store_bulkhead.h"

#include <stdlib.h>
#include <string.h>

#define LEASE_MAX_MS 60000
#define KEEP_MS 120000

enum { SEQUENCE, LIMIT, IN_USE, WANT, LEASE };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient * b > a ? quotient - 1 : quotient;
}

/* Nobody knows when leases end: they begin anew. */
static void keep_all(struct store_bulkhead *state, int64_t ends_ms)
{
    for (int i = 0; i < STORE_BULKHEAD_MAX; i++) state->holder[i].ends_ms = ends_ms;
    state->unordered = false;
}

/* Leases that have ended, and those that a clock which went back left too long; all of a key that has. */
static void purge(struct store_bulkhead *state, int64_t now_ms, int64_t lease)
{
    if (now_ms >= state->ends_ms) memset(state, 0, sizeof *state);
    if (state->unordered) keep_all(state, now_ms + (lease > 0 ? lease : LEASE_MAX_MS));
    for (int i = 0; i < STORE_BULKHEAD_MAX; i++) {
        struct store_holder *holder = &state->holder[i];
        holder->ends_ms = least(holder->ends_ms, now_ms + LEASE_MAX_MS);
        if (holder->there && holder->ends_ms <= now_ms) memset(holder, 0, sizeof *holder);
    }
}

static struct store_holder *find(struct store_bulkhead *state, const uint64_t id[2])
{
    struct store_holder *unused = NULL;
    for (int i = STORE_BULKHEAD_MAX; i-- > 0;) {
        struct store_holder *holder = &state->holder[i];
        if (!holder->there) unused = holder;
        else if (holder->id[0] == id[0] && holder->id[1] == id[1]) return holder;
    }
    if (unused == NULL) abort();
    memcpy(unused->id, id, sizeof unused->id);
    return unused;
}

/* All but one. */
struct others {
    int64_t counted, modest, greedy, shorts, count;
};

static struct others others_than(const struct store_bulkhead *state, const struct store_holder *one)
{
    struct others others = { 0 };
    for (const struct store_holder *h = state->holder; h < state->holder + STORE_BULKHEAD_MAX; h++) {
        if (!h->there || h == one) continue;
        others.count++;
        others.counted += h->counted;
        others.shorts += h->is_short;
        others.greedy += h->is_greedy;
        if (!h->is_greedy) others.modest += h->want;
    }
    return others;
}

void store_bulkhead_ask(
    struct store_bulkhead *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer)
{
    const int64_t *number = ask->number;
    int64_t now_ms = floor_divide(now_us, 1000);
    purge(state, now_ms, number[LEASE]);
    state->ends_ms = now_ms + KEEP_MS;
    struct store_holder *mine = find(state, ask->id);
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE, .count = 5, .number = { -1 } };
    if (mine->there && number[SEQUENCE] <= mine->sequence) return;
    struct others others = others_than(state, mine);
    int64_t fair = most(0, floor_divide(number[LIMIT] - others.modest, others.greedy + 1));
    int64_t share = most(fair, 1), free_permits = most(0, number[LIMIT] - others.counted);
    if (others.shorts > 0) free_permits = least(free_permits, share);
    mine->there = true;
    mine->sequence = number[SEQUENCE];
    mine->want = least(number[WANT], number[LIMIT]);
    mine->granted = least(mine->want, most(mine->granted, free_permits));
    mine->counted = most(mine->granted, number[IN_USE]);
    mine->is_greedy = mine->want > fair;
    mine->is_short = mine->granted < least(mine->want, share);
    mine->ends_ms = now_ms + number[LEASE];
    const int64_t numbers[] = { mine->granted, fair, others.shorts, others.count + 1,
        others.counted + mine->counted };
    memcpy(answer->number, numbers, sizeof numbers);
}

int64_t store_bulkhead_granted(const struct store_bulkhead *state)
{
    int64_t granted = 0;
    for (int i = 0; i < STORE_BULKHEAD_MAX; i++) granted += state->holder[i].granted;
    return granted;
}
