#include "shared/store.h"

#include "base/arithmetic.h"
#include "support/test.h"

#include <string.h>

#define WALL_US (INT64_C(1800000000) * 1000000) /* 2027: the scripts count from 2026 */

void store_open(struct store *store, uint64_t seed)
{
    memset(store, 0, sizeof *store);
    store->random = seed;
    store->server = 1 + random_up_to(&store->random, 1000000);
}

static struct store_keys *keys_of(struct store *store, const struct weir_ask *ask)
{
    uint8_t kind = ask->kind > WEIR_ASK_LOCK ? WEIR_ASK_LOCK : ask->kind;
    struct store_keys *keys = store->keys;
    CHECK(strlen(ask->name) < sizeof keys->name);
    while (keys->name[0] != '\0' && (keys->kind != kind || strcmp(keys->name, ask->name) != 0)) keys++;
    CHECK(keys < store->keys + STORE_NAMES - 1);
    strcpy(keys->name, ask->name);
    keys->kind = kind;
    return keys;
}

static void do_it(
    struct store *store, const struct weir_ask *ask, uint64_t now_ns, struct weir_answer *answer)
{
    struct store_keys *keys = keys_of(store, ask);
    int64_t now_us = WALL_US + (int64_t)(now_ns / 1000) + store->jumped_us;
    switch (keys->kind) {
    case WEIR_ASK_RATE: store_rate_ask(&keys->rate, ask, now_us, answer); break;
    case WEIR_ASK_BREAKER: store_breaker_ask(&keys->breaker, ask, now_us, answer); break;
    case WEIR_ASK_BULKHEAD: store_bulkhead_ask(&keys->bulkhead, ask, now_us, answer); break;
    default: store_lock_ask(&keys->lock, ask, now_us, answer); break;
    }
}

/* ---- moods ---- */

static void lie(struct store *store, struct weir_answer *answer)
{
    static const int64_t strange[] = { -1, 0, 1, INT64_C(1) << 40, (INT64_C(1) << 53) - 1, INT64_MIN,
        INT64_MAX };
    uint64_t which = random_up_to(&store->random, WEIR_NUMBERS_MAX - 1);
    switch (random_up_to(&store->random, 5)) {
    case 0: answer->count = (uint8_t)random_up_to(&store->random, WEIR_NUMBERS_MAX); break;
    case 1: *answer = store->old; break;
    case 2: answer->number[which % 10] = strange[random_up_to(&store->random, 6)]; break;
    case 4: /* of any size */
        answer->number[which % 10] =
            (int64_t)(random_next(&store->random) >> random_up_to(&store->random, 63));
        break;
    case 3: answer->number[which % 10] += (int64_t)random_up_to(&store->random, 20) - 10; break;
    default:
        for (int i = 0; i < 10; i++) answer->number[i] = (int64_t)(random_next(&store->random) >> 11);
        break;
    }
}

void store_ask(struct store *store, const struct weir_ask *ask, uint64_t now_ns, struct weir_answer *answer)
{
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_NOT_RUN };
    if (store->mood == STORE_READ_ONLY) return;
    if (store->mood != STORE_ERRORS || random_up_to(&store->random, 1) == 0)
        do_it(store, ask, now_ns, answer);
    if (store->mood == STORE_ERRORS) *answer = (struct weir_answer) { .kind = WEIR_ANSWER_ERROR };
    struct weir_answer honest = *answer;
    if (store->mood == STORE_LIES && random_up_to(&store->random, 1) == 0) lie(store, answer);
    if (honest.kind == WEIR_ANSWER_DONE) store->old = honest;
}

/* ---- lives ---- */

void store_flush(struct store *store)
{
    memset(store->keys, 0, sizeof store->keys);
    memset(store->replica, 0, sizeof store->replica);
}

void store_kill(struct store *store, uint64_t until_ns)
{
    store_flush(store);
    store->server++;
    store->away_ns = until_ns;
}

void store_replicate(struct store *store)
{
    memcpy(store->replica, store->keys, sizeof store->replica);
}

void store_fail_over(struct store *store, uint64_t until_ns)
{
    memcpy(store->keys, store->replica, sizeof store->keys);
    store->server++;
    store->away_ns = until_ns;
}
