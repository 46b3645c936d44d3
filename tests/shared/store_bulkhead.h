/* What lib/redis/scripts/bulkhead.lua does, in C: the store's side of a shared bulkhead. All zero: an empty key. */
#ifndef WEIR_TEST_STORE_BULKHEAD_H
#define WEIR_TEST_STORE_BULKHEAD_H

#include <weir/transport.h>

#define STORE_BULKHEAD_MAX 32 /* instances; more are a mistake of the test */

struct store_bulkhead {
    struct store_holder {
        uint64_t id[2];
        int64_t sequence, granted, counted, want, ends_ms; /* counted: also what is in use beyond */
        bool there, is_greedy, is_short;
    } holder[STORE_BULKHEAD_MAX];
    int64_t ends_ms; /* the key */
    bool unordered;  /* when leases end was lost: one of the two keys */
};

/* now_us: the store's wall clock. */
void store_bulkhead_ask(
    struct store_bulkhead *state, const struct weir_ask *ask, int64_t now_us, struct weir_answer *answer);
int64_t store_bulkhead_granted(const struct store_bulkhead *state); /* to all */

#endif
