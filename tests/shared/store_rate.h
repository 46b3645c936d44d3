/* What a store is to do about a RATE question (weir/transport.h), in obvious C. */
#ifndef WEIR_STORE_RATE_H
#define WEIR_STORE_RATE_H

#include <weir/transport.h>

#define STORE_RATE_INSTANCES 16

/* Zeroed: an empty store. */
struct store_rate {
    int64_t arrival;    /* units of 1/16 us since 2026-01-01 00:00 UTC */
    int64_t expires_ms; /* after that all is forgotten */
    bool unordered;     /* when they count as gone was lost: one of the two keys */
    struct {
        bool known;
        uint64_t id[2];
        int64_t sequence, unspent, gone_ms;
    } instance[STORE_RATE_INSTANCES];
};

/* now_us: the store's clock, since 1970. */
void store_rate_ask(
    struct store_rate *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer);

#endif
