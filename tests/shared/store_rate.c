#include "shared/store_rate.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH_US (INT64_C(1767225600) * 1000000)

enum {
    SEQUENCE,
    PERMITS,
    PERIOD,
    BURST,
    WANT,
    UNSPENT,
    RETURNED,
    DEBIT,
    HOLD_MAX,
    LEASE,
    WATERMARK,
    PRESENCE
};

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Of those whose time has come: the 64 that the script looks at are more than there are here. If the clock went back,
 * nobody stays for longer than by an answer of now. */
static void purge(struct store_rate *state, int64_t now_ms, int64_t stays)
{
    for (int i = 0; i < STORE_RATE_INSTANCES; i++) {
        if (state->instance[i].gone_ms <= now_ms) state->instance[i].known = false;
        state->instance[i].gone_ms = lesser(state->instance[i].gone_ms, now_ms + stays);
    }
}

/* Nobody knows when they are gone: they stay. */
static void keep_all(struct store_rate *state, int64_t now_ms, int64_t stays)
{
    for (int i = 0; i < STORE_RATE_INSTANCES; i++) state->instance[i].gone_ms = now_ms + stays;
    state->unordered = false;
}

static int place_of(const struct store_rate *state, const uint64_t id[2])
{
    int free = -1;
    for (int i = 0; i < STORE_RATE_INSTANCES; i++) {
        bool same = state->instance[i].id[0] == id[0] && state->instance[i].id[1] == id[1];
        if (state->instance[i].known && same) return i;
        if (!state->instance[i].known) free = i;
    }
    if (free < 0) abort();
    return free;
}

static int64_t unspent_of_others(const struct store_rate *state, int own, int64_t *active)
{
    int64_t sum = 0;
    *active = 1;
    for (int i = 0; i < STORE_RATE_INSTANCES; i++) {
        if (!state->instance[i].known || i == own) continue;
        sum += state->instance[i].unspent;
        ++*active;
    }
    return sum;
}

static int64_t grant(const int64_t *n, int64_t there, int64_t others, int64_t active)
{
    int64_t granted = lesser(n[WANT], there);
    if (active > 1) granted = lesser(granted, greater(1, there / (2 * active)));
    if (n[HOLD_MAX] > 0) {
        int64_t free = greater(0, n[HOLD_MAX] - others - n[UNSPENT]);
        if (active > 1 && free > 1) free /= 2;
        granted = lesser(granted, free);
    }
    return there < 1 ? 0 : granted;
}

void store_rate_ask(
    struct store_rate *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer)
{
    const int64_t *n = ask->number;
    int64_t now = (now_us - EPOCH_US) * 16, now_ms = (now_us - EPOCH_US) / 1000, token = 16 * n[PERIOD];
    if (now_ms > state->expires_ms) memset(state, 0, sizeof *state);
    int own = place_of(state, ask->id);
    if (state->instance[own].known && n[SEQUENCE] <= state->instance[own].sequence) {
        *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE, .count = 1, .number = { -1 } };
        return;
    }
    int64_t stays = greater(n[LEASE], n[PRESENCE]);
    if (state->unordered) keep_all(state, now_ms, stays);
    purge(state, now_ms, stays);
    bool known = state->instance[own].known;
    int64_t span = n[BURST] * token / n[PERMITS], t = state->arrival, active;
    if (n[WATERMARK] > t) t = n[WATERMARK];
    if (!known && -n[WATERMARK] > t) t = -n[WATERMARK];
    t = lesser(greater(t, now), now + span);
    t = greater(now, t - n[RETURNED] * token / n[PERMITS]);
    t = lesser(now + span, t + divide_up(n[DEBIT] * token, n[PERMITS]));

    int64_t others = unspent_of_others(state, own, &active);
    int64_t there = (now + span - t) * n[PERMITS] / token;
    int64_t granted = grant(n, there, others, active);
    t += divide_up(granted * token, n[PERMITS]);
    state->arrival = t;
    state->instance[own].known = true;
    state->instance[own].id[0] = ask->id[0];
    state->instance[own].id[1] = ask->id[1];
    state->instance[own].sequence = n[SEQUENCE];
    state->instance[own].unspent = n[UNSPENT] + granted;
    state->instance[own].gone_ms = now_ms + stays;
    state->expires_ms = now_ms + divide_up(t - now, 16000) + stays + 1000;
    int64_t missing = greater(0, divide_up(token, n[PERMITS]) - (now + span - t));
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE,
        .count = 6,
        .number = { granted, t, now, active, divide_up(missing, 16), others + n[UNSPENT] + granted } };
}
