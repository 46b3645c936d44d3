#include "shared/store_lock.h"

#include <string.h>

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool is_its(const struct store_lock *store, const struct weir_ask *ask)
{
    return store->taken && memcmp(store->id, ask->id, sizeof store->id) == 0;
}

static void take(struct store_lock *store, const struct weir_ask *ask, int64_t now_ms)
{
    store->taken = true;
    memcpy(store->id, ask->id, sizeof store->id);
    store->ttl_ms = ask->number[0];
    store->until_ms = now_ms + store->ttl_ms;
}

static void lock(
    struct store_lock *store, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer)
{
    int64_t now_ms = now_us / 1000;
    if (store->taken && !is_its(store, ask)) {
        if (store->until_ms > now_ms + store->ttl_ms) store->until_ms = now_ms + store->ttl_ms;
        answer->count = 3;
        answer->number[1] = store->until_ms - now_ms;
        answer->number[2] = store->token;
        return;
    }
    take(store, ask, now_ms);
    store->token = greater(greater(store->token + 1, now_us), ask->number[1]);
    store->token_until_ms = now_ms + ask->number[2];
    answer->count = 2;
    answer->number[0] = 1;
    answer->number[1] = store->token;
}

void store_lock_ask(
    struct store_lock *store, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer)
{
    int64_t now_ms = now_us / 1000;
    if (now_ms > store->until_ms) store->taken = false;
    if (now_ms > store->token_until_ms) store->token = 0;
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE, .count = 1 };
    switch (ask->kind) {
    case WEIR_ASK_LOCK: lock(store, ask, now_us, answer); return;
    case WEIR_ASK_RENEW:
        answer->number[0] = is_its(store, ask);
        if (is_its(store, ask)) take(store, ask, now_ms);
        return;
    case WEIR_ASK_UNLOCK:
        answer->number[0] = is_its(store, ask);
        if (is_its(store, ask)) store->taken = false;
        return;
    default:
        store->token = greater(store->token, ask->number[0]);
        store->token_until_ms = now_ms + ask->number[1];
        answer->number[0] = store->token;
    }
}
