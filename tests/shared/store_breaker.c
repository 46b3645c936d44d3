#include "shared/store_breaker.h"

#include <stdlib.h>
#include <string.h>

enum { CLOSED, OPEN, HALF_OPEN };

struct question {
    int64_t sequence, epoch, state, left, level, good, bad, slow, vote, want, won, lost, holds;
    int64_t calls_min, failure, z, plain, slow_percent, quorum;
    int64_t open, open_max, ramp, probes, successes, turn, presence;
};

static bool same(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] == b[0] && a[1] == b[1];
}

static void nobodys(struct store_breaker *state)
{
    state->turn[0] = state->turn[1] = 0;
}

static struct store_breaker_instance *find(struct store_breaker *state, const uint64_t id[2])
{
    for (int i = 0; i < STORE_BREAKER_INSTANCES; i++) {
        if (same(state->instance[i].id, id)) return &state->instance[i];
    }
    return NULL;
}

static int64_t open_time(const struct store_breaker *state, const struct question *q)
{
    int64_t time = q->open;
    for (int64_t i = 0; i < state->level && time < q->open_max; i++) time *= 2;
    return time < q->open_max ? time : q->open_max;
}

static void become(struct store_breaker *state, int64_t next, int64_t until)
{
    state->epoch++;
    state->state = next;
    state->until = until;
    state->won = 0;
    nobodys(state);
    if (next == CLOSED) state->good = state->bad = state->slow = state->votes = 0;
}

/* While closed the sums are counted from scratch; then they stay as they were when it opened. */
static void sum_up(struct store_breaker *state)
{
    if (state->state != CLOSED) return;
    state->good = state->bad = state->slow = state->votes = 0;
    for (int i = 0; i < STORE_BREAKER_INSTANCES; i++) {
        const struct store_breaker_instance *one = &state->instance[i];
        if ((one->id[0] | one->id[1]) == 0 || one->epoch != state->epoch) continue;
        state->good += one->good;
        state->bad += one->bad;
        state->slow += one->slow;
        state->votes += one->vote;
    }
}

static int64_t active(const struct store_breaker *state)
{
    int64_t count = 0;
    for (int i = 0; i < STORE_BREAKER_INSTANCES; i++)
        count += (state->instance[i].id[0] | state->instance[i].id[1]) != 0;
    return count;
}

static bool is_ill(const struct store_breaker *state, const struct question *q)
{
    int64_t calls = state->good + state->bad;
    if (calls < q->calls_min) return false;
    __int128 excess = (__int128)state->bad * 100 - (__int128)calls * q->failure;
    __int128 wilson = (__int128)(q->z * q->z) * q->failure * (100 - q->failure) * calls;
    if (q->z > 0 && excess > 0 && excess * excess * 100 > wilson) return true;
    if (q->plain > 0 && state->bad * 100 >= calls * q->plain) return true;
    return q->slow_percent > 0 && state->slow * 100 >= calls * q->slow_percent;
}

static bool is_voted(const struct store_breaker *state, const struct question *q)
{
    int64_t need = (q->quorum * active(state) + 99) / 100;
    return state->votes >= (need < 2 ? 2 : need);
}

/* The clock went back: all are told anew. */
static void forget(struct store_breaker *state, const struct question *q, int64_t now)
{
    int64_t latest = now + open_time(state, q);
    memset(state->instance, 0, sizeof state->instance);
    nobodys(state);
    state->good = state->bad = state->slow = state->votes = 0;
    if (state->state != OPEN) state->until = now;
    else if (state->until > latest) state->until = latest;
}

/* Nobody knows when they are gone: they stay. */
static void keep_all(struct store_breaker *state, int64_t gone_ms)
{
    for (int i = 0; i < STORE_BREAKER_INSTANCES; i++) state->instance[i].gone_ms = gone_ms;
    state->unordered = false;
}

static void purge(struct store_breaker *state, int64_t now)
{
    for (int i = 0; i < STORE_BREAKER_INSTANCES; i++) {
        struct store_breaker_instance *one = &state->instance[i];
        if ((one->id[0] | one->id[1]) == 0 || one->gone_ms > now) continue;
        if (same(one->id, state->turn)) nobodys(state);
        memset(one, 0, sizeof *one);
    }
}

static void take_over(struct store_breaker *state, const struct question *q, int64_t now)
{
    state->epoch = q->epoch;
    state->level = q->level;
    state->won = state->good = state->bad = state->slow = state->votes = 0;
    nobodys(state);
    state->state = q->state == CLOSED ? CLOSED : OPEN;
    int64_t open = open_time(state, q), left = q->left < open ? q->left : open;
    state->until = q->state == CLOSED ? now : now + left;
}

static void keep(struct store_breaker *state, const uint64_t id[2], const struct question *q, int64_t now)
{
    static const uint64_t nobody[2];
    struct store_breaker_instance *one = find(state, id);
    if (one == NULL) one = find(state, nobody);
    if (one == NULL) abort(); /* more instances than a test may have */
    *one = (struct store_breaker_instance) { .id = { id[0], id[1] },
        .gone_ms = now + q->presence,
        .sequence = q->sequence,
        .epoch = q->epoch,
        .good = q->good,
        .bad = q->bad,
        .slow = q->slow,
        .vote = q->vote };
}

static void grant(struct store_breaker *state, const uint64_t id[2], const struct question *q, int64_t now)
{
    memcpy(state->turn, id, sizeof state->turn);
    state->until = now + q->turn;
}

/* Answers how many probes of its turns this instance has won in the epoch, as far as it has told. */
static int64_t settle_turn(
    struct store_breaker *state, const uint64_t id[2], const struct question *q, int64_t own, int64_t now)
{
    if (!same(state->turn, id) || q->epoch != state->epoch) return own;
    if (q->won > own) {
        state->won += q->won - own;
        own = q->won;
    }
    if (q->lost == 1) {
        state->level = state->level < 31 ? state->level + 1 : 31;
        become(state, OPEN, now + open_time(state, q));
    } else if (state->won >= q->successes) {
        become(state, CLOSED, now);
    } else if (q->holds == 0) {
        nobodys(state);
    }
    return own;
}

static int64_t change(
    struct store_breaker *state, const uint64_t id[2], const struct question *q, int64_t own, int64_t now)
{
    bool wants = q->want == 1 && q->epoch == state->epoch;
    if (state->state == CLOSED) {
        if (!is_ill(state, q) || !is_voted(state, q)) return own;
        if (now - state->until >= q->ramp) state->level = 0;
        become(state, OPEN, now + open_time(state, q));
    } else if (state->state == OPEN) {
        if (now < state->until || !wants) return own;
        become(state, HALF_OPEN, 0);
        grant(state, id, q, now);
    } else {
        static const uint64_t nobody[2];
        own = settle_turn(state, id, q, own, now);
        if (state->state != HALF_OPEN) return own;
        if (now >= state->until) nobodys(state);
        if (same(state->turn, nobody) && wants) grant(state, id, q, now);
    }
    return own;
}

static void reply(struct store_breaker *state, const struct weir_ask *ask, const struct question *q,
    int64_t own, int64_t now, struct weir_answer *answer)
{
    int64_t granted = 0, left = state->state == CLOSED ? 0 : state->until - now;
    if (state->epoch != q->epoch) own = 0;
    if (state->state == HALF_OPEN && same(state->turn, ask->id)) granted = q->probes - (state->won - own);
    const int64_t number[] = { state->epoch, state->state, left < 0 ? 0 : left, granted < 0 ? 0 : granted,
        active(state), state->votes, state->good + state->bad, state->bad, state->level };
    memcpy(answer->number, number, sizeof number);
    answer->count = sizeof number / sizeof *number;
}

void store_breaker_ask(
    struct store_breaker *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer)
{
    struct question q;
    int64_t now = now_us / 1000, own = 0;
    memcpy(&q, ask->number, sizeof q);
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE, .count = 1, .number = { -1 } };
    if (ask->count != sizeof q / sizeof(int64_t)) abort();
    if (now > state->ends_ms) memset(state, 0, sizeof *state);
    if (now < state->seen) forget(state, &q, now);
    struct store_breaker_instance *mine = find(state, ask->id);
    if (q.sequence <= (mine == NULL ? 0 : mine->sequence)) return;
    if (mine != NULL && mine->epoch == q.epoch) own = mine->won;
    if (state->unordered) keep_all(state, now + q.presence);
    purge(state, now);
    if (q.epoch > state->epoch) take_over(state, &q, now);
    if (q.epoch != state->epoch) own = 0;
    mine = find(state, ask->id);
    if (q.presence != 0) keep(state, ask->id, &q, now);
    else if (mine != NULL) memset(mine, 0, sizeof *mine);
    sum_up(state);
    own = change(state, ask->id, &q, own, now);
    if ((mine = find(state, ask->id)) != NULL) mine->won = own;
    state->seen = now;
    state->ends_ms = now + 2 * (q.open_max + q.turn + q.ramp) + q.presence;
    reply(state, ask, &q, own, now, answer);
}
