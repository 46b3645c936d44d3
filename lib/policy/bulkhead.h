/* The bulkhead's words.
 *
 * One word:  word:  waiters:12 | limit:20 | in_use:32. The limit stands in the word, so that nobody is admitted
 *            by one that has been lowered.
 * Sharded:   word:  waiters:12 | 0:20 | debt:32, 0 in the good case; the free permits lie in cells, one for a
 *            thread or a few of them. Each permit is in exactly one cell, in the hands of one call, or in the
 *            debt that a lowered limit left: cells + in use = limit + debt, so the limit is exact.
 * A waiter:  ticket:40 | weight:20 | state:4; the lowest ticket is the first. The word counts those that are
 *            WAITING, no more; a GRANTED one keeps its place in the table until its call comes for it, so the
 *            table has places for that many more (on_way).
 *
 *     FREE --enqueue--> WAITING --grant--> GRANTED --next_woken--> POSTED      grant() by the pump only
 *       ^                  |                  |                       |
 *       '----- leave ------+------ take ------+--------- take --------'        by the waiting call only
 *
 * What is first and heavier than a limit that was lowered meanwhile is granted a weight of 0: it is refused, as
 * if it came now, and holds up nobody.
 *
 * Shared (lib/shared/bulkhead.c): `own` is the limit of the whole fleet, and what is too heavy is so by it; the limit
 * in force is what this instance has been lent, good until lease_end_ns, or its part while the store is away. Not
 * shared: both are one, and there is no end. plain_until_ns is the end that newcomers look at, in the line that they
 * read anyway: the lease's, WEIR_NEVER without one, 0 if each call is to end with its lease (strict).
 *
 * Invariants:
 *   1. in use never exceeds the limit, except after the limit was lowered, and then nobody is admitted;
 *   2. nobody overtakes: a newcomer sees waiters in the word and queues behind them;
 *   3. no waiter sleeps while permits for the first of them are free. A waiter announces itself (word), then
 *      looks (pump); a release gives back (word or cell), then looks at the waiters. Both are sequentially
 *      consistent read-modify-writes, so one of the two sees the other;
 *   4. one thread pumps at a time and nobody waits for it: who comes meanwhile leaves a mark, and it goes
 *      round once more;
 *   5. a waiter that leaves takes no permit: it either withdraws its WAITING word, or was granted and then
 *      gives back; in both cases whoever is now first is looked after;
 *   6. nobody is admitted, or handed anything, at an instant after the lease's end. The limit is stored before the
 *      end that is good for it, so whoever sees the end (acquire) sees no older limit; who ended a lease looks at
 *      the waiters, as they were not handed anything meanwhile. */
#ifndef WEIR_LIB_BULKHEAD_H
#define WEIR_LIB_BULKHEAD_H

#include "base/arithmetic.h"
#include "policy/handle.h"

#include <weir/bulkhead.h>

struct bulkhead_config {
    uint64_t wait_max_ns;
    uint32_t queue;
    uint32_t cells;  /* 0: one word; else a power of two */
    uint32_t on_way; /* places for those that were handed their permits and have not come yet */
};

struct bulkhead_state {
    uint64_t word;
    uint32_t limit; /* sharded; in the one word form the word has it */
    uint32_t pumps;
    uint64_t tickets;
    uint64_t plain_until_ns, lease_end_ns;
    uint32_t own;
    uint32_t fleet; /* active instances; 0: not shared */
    uint64_t reserved[2];
    struct {
        uint64_t free;
        uint64_t reserved[7];
    } cell[SHARDS];
    uint64_t waiter[]; /* bulkhead_places() of them */
};

static inline uint32_t bulkhead_places(const struct bulkhead_config *config)
{
    return config->queue + config->on_way;
}

/* Slot: home cell and weight of what it holds; index + 1 of its waiter, and until when it waits. */
static inline uint64_t slot_held(uint32_t cell, uint32_t weight)
{
    return (uint64_t)weight << 32 | cell;
}

enum {
    BULKHEAD_REFUSED_FULL = POLICY_COUNTERS,
    BULKHEAD_REFUSED_QUEUE_FULL,
    BULKHEAD_REFUSED_WAIT,
    BULKHEAD_QUEUED,
    BULKHEAD_HANDED_OVER,
    BULKHEAD_LEFT,
};

#define WAITERS_SHIFT 52
#define WAITER_ONE (UINT64_C(1) << WAITERS_SHIFT)
#define WAITERS_MAX 4095
#define LIMIT_SHIFT 32
#define LIMIT_MAX 1000000
#define LIMIT_MASK (UINT64_C(0xfffff) << LIMIT_SHIFT)

static inline uint32_t bulkhead_waiters(uint64_t word)
{
    return (uint32_t)(word >> WAITERS_SHIFT);
}

static inline uint32_t bulkhead_word_limit(uint64_t word)
{
    return (uint32_t)((word & LIMIT_MASK) >> LIMIT_SHIFT);
}

/* In use, or debt in the sharded form. */
static inline uint32_t bulkhead_word_count(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t bulkhead_limit(
    const struct bulkhead_config *config, const struct bulkhead_state *state)
{
    if (config->cells != 0) return atomic_load_relaxed(&state->limit);
    return bulkhead_word_limit(atomic_load_relaxed(&state->word));
}

static inline uint64_t bulkhead_lease_end(const struct bulkhead_state *state)
{
    return atomic_load_acquire(&state->lease_end_ns);
}

/* What holds from now on. */
struct bulkhead_terms {
    uint32_t limit, fleet;
    uint64_t lease_end_ns; /* WEIR_NEVER: none */
    bool strict;
};

/* bulkhead.c: the queue and what is cold. Each answers whether permits were handed over, so that wakers are
 * to be posted. */
bool bulkhead_pump(const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t now_ns);
bool bulkhead_gather(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t cell,
    uint32_t weight, uint64_t now_ns, bool *handed);
enum weir_reason bulkhead_enqueue(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight, uint32_t *waiter);
bool bulkhead_waiter_granted(const struct bulkhead_state *state, uint32_t waiter);
uint32_t bulkhead_take_grant(struct bulkhead_state *state, uint32_t waiter);
bool bulkhead_withdraw(struct bulkhead_state *state, uint32_t waiter);
uint32_t bulkhead_next_woken(const struct bulkhead_config *config, struct bulkhead_state *state);
bool bulkhead_set_terms(const struct bulkhead_config *config, struct bulkhead_state *state,
    const struct bulkhead_terms *terms, uint64_t now_ns);
bool bulkhead_set_own(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t limit);
bool bulkhead_restore(const struct bulkhead_config *config, struct bulkhead_state *state);
void bulkhead_fill(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t limit);
uint32_t bulkhead_occupied(const struct bulkhead_config *config, const struct bulkhead_state *state);
uint32_t bulkhead_in_use(const struct bulkhead_config *config, const struct bulkhead_state *state);
uint64_t bulkhead_wanted(const struct bulkhead_config *config, const struct bulkhead_state *state);

#endif
