/* What lib/redis/scripts/{lock,renew,unlock,fence}.lua do, as an obvious model: the keys of one name in one store. */
#ifndef WEIR_STORE_LOCK_H
#define WEIR_STORE_LOCK_H

#include <weir/transport.h>

struct store_lock { /* zeroed: no keys */
    bool taken;
    uint64_t id[2];
    int64_t until_ms, ttl_ms;      /* of the lock */
    int64_t token, token_until_ms; /* of the fence; token 0: no key */
};

/* Answers LOCK, RENEW, UNLOCK and FENCE; now_us is the store's wall clock. */
void store_lock_ask(
    struct store_lock *store, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer);

#endif
