/* A store that is none: what the models of the scripts (store_*.h) keep under each name, a wall clock of its own, a
 * replica that lags, and moods.
 *
 *     WELL       it does what it is asked
 *     READ_ONLY  it refuses, and has done nothing
 *     ERRORS     an error, done or not
 *     LIES       it does it, and may say anything: other numbers, fewer, an old answer, nonsense
 *
 * Each life of a server has its number. A killed one has lost all, a flushed one too, but is the same; after a fail-over
 * the replica answers, with what it had when it was last told. */
#ifndef WEIR_TESTS_STORE_H
#define WEIR_TESTS_STORE_H

#include "shared/store_breaker.h"
#include "shared/store_bulkhead.h"
#include "shared/store_lock.h"
#include "shared/store_rate.h"

#define STORE_NAMES 8

enum store_mood { STORE_WELL, STORE_READ_ONLY, STORE_ERRORS, STORE_LIES, STORE_MOODS };

struct store_keys { /* of one name and kind */
    char name[16];  /* "": not in use */
    uint8_t kind;   /* enum weir_ask_kind; LOCK for all four of locks */
    union {
        struct store_rate rate;
        struct store_breaker breaker;
        struct store_bulkhead bulkhead;
        struct store_lock lock;
    };
};

struct store {
    struct store_keys keys[STORE_NAMES], replica[STORE_NAMES];
    uint64_t server;   /* its number */
    uint64_t away_ns;  /* until then it does nothing: it is stopped, or starts */
    int64_t jumped_us; /* of its clock */
    uint8_t mood;      /* enum store_mood */
    uint64_t random;
    struct weir_answer old;
};

void store_open(struct store *store, uint64_t seed);
void store_ask(struct store *store, const struct weir_ask *ask, uint64_t now_ns, struct weir_answer *answer);
/* What it knows is gone. */
void store_flush(struct store *store);
/* And it is another server, after that time. */
void store_kill(struct store *store, uint64_t until_ns);
void store_replicate(struct store *store);
void store_fail_over(struct store *store, uint64_t until_ns);

#endif
