/* An obvious model of breaker.lua, for stores of the tests: the same answers to the same questions at the same times. */
#ifndef WEIR_TEST_STORE_BREAKER_H
#define WEIR_TEST_STORE_BREAKER_H

#include <weir/transport.h>

#define STORE_BREAKER_INSTANCES 16

struct store_breaker_instance {
    uint64_t id[2]; /* both 0: nobody */
    int64_t gone_ms;
    int64_t sequence, epoch, good, bad, slow, vote, won;
};

/* Zeroed: nothing is kept under its key. */
struct store_breaker {
    int64_t epoch, state, until, level, won, seen; /* seen: the time of the last question */
    int64_t good, bad, slow, votes;
    int64_t ends_ms;  /* its key goes after that */
    bool unordered;   /* when they count as gone was lost: one of the two keys */
    uint64_t turn[2]; /* whose it is to probe */
    struct store_breaker_instance instance[STORE_BREAKER_INSTANCES];
};

void store_breaker_ask(
    struct store_breaker *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer);

#endif
