/* The rate limit's hot halves: to take, in a pipeline and alone.
 *
 * lib/runtime/alone.c makes weir_rate_acquire() of rate_acquire_credit(), which needs no clock, and
 * rate_acquire(). */
#ifndef WEIR_LIB_RATE_HOT_H
#define WEIR_LIB_RATE_HOT_H

#include "policy/rate_loan.h"

/* A slot: word 0 is the turn, in units, or the generation of the pocket that it was taken from;
 * word 1 { leased:1 | lent:1 | unused:14 | attempts before it:16 | cost:32 }. */
#define RATE_LEASED (UINT64_C(1) << 63)
#define RATE_LENT (UINT64_C(1) << 62)

static ALWAYS_INLINE void rate_keep(struct weir_slot *slot, uint64_t turn, uint32_t cost, uint32_t attempts)
{
    slot->word[0] = turn;
    slot->word[1] = (uint64_t)attempts << 32 | cost;
}

static ALWAYS_INLINE bool rate_take_credit(struct rate_cell *cell, uint32_t cost)
{
    uint64_t credit = atomic_load_relaxed(&cell->credit);
    if (unlikely(credit < cost)) return false;
    atomic_store_relaxed(&cell->credit, credit - cost);
    return true;
}

/* The same of what was lent. */
static ALWAYS_INLINE bool rate_take_lent_credit(
    struct rate_cell *cell, struct weir_slot *slot, uint32_t cost, uint64_t now_ns)
{
    uint64_t credit = atomic_load_relaxed(&cell->lent);
    if (credit < cost) return false;
    if (now_ns >= atomic_load_relaxed(&cell->end_ns)) return false;
    atomic_store_relaxed(&cell->lent, credit - cost);
    slot->word[1] |= RATE_LENT;
    return true;
}

/* The lease is spent at once in part: what was left was less than cost, so the cell stays within a lease. */
static ALWAYS_INLINE bool rate_take_lease(const struct rate_config *config, struct rate_state *state,
    struct rate_cell *cell, uint32_t cost, uint64_t now)
{
    if (!gcra_take(&state->gcra, config->lease * state->gcra.token, now)) return false;
    atomic_store_relaxed(&cell->credit, atomic_load_relaxed(&cell->credit) + config->lease - cost);
    return true;
}

static ALWAYS_INLINE bool rate_take_exactly(struct rate_state *state, uint32_t cost, uint64_t now)
{
    if (unlikely(cost > state->burst)) return false;
    return gcra_take(&state->gcra, cost * state->gcra.token, now);
}

/* True: taken, and the slot says how. */
static ALWAYS_INLINE bool rate_take(const struct rate_config *config, struct rate_state *state, uint32_t line,
    bool solo, struct weir_slot *slot, uint32_t cost, uint32_t attempts, uint64_t now_ns)
{
    uint64_t now = gcra_units(now_ns);
    rate_keep(slot, now, cost, attempts);
    if (solo & (cost <= config->lease)) {
        slot->word[1] |= RATE_LEASED;
        if (likely(rate_take_credit(&state->cell[line], cost))) return true;
        if (likely(rate_take_lent_credit(&state->cell[line], slot, cost, now_ns))) return true;
        if (likely(rate_take_lease(config, state, &state->cell[line], cost, now))) return true;
        slot->word[1] &= ~RATE_LEASED;
    }
    if (likely(rate_take_exactly(state, cost, now))) return true;
    return rate_take_lent(config, state, line, solo, slot, cost, now_ns);
}

/* ---- alone ----
 * All that is unusual is a tail call, so that the hot path saves no register: what it would store must reach
 * memory before the locked instruction can go on. */

struct weir_outcome rate_acquire_slow(struct weir_policy *rate, uint32_t cost, uint64_t now_ns);
struct weir_outcome rate_acquire_either(struct weir_policy *rate, uint32_t cost, uint64_t now_ns);
struct weir_outcome rate_refused(struct weir_policy *rate, uint32_t cost, uint64_t now_ns);
void rate_require(const struct weir_policy *rate, uint32_t cost, uint64_t now_ns, const char *function);

/* A rate limit as it should be, and a thread that has its shard. */
static ALWAYS_INLINE bool rate_is_plain(const struct weir_policy *rate, uint32_t cost)
{
    if (unlikely(rate == NULL)) return false;
    bool plain = rate->head->kind == POLICY_RATE;
    plain &= atomic_load_relaxed(&rate->head->mode) == WEIR_MODE_ON;
    plain &= cost != 0;
    plain &= weir_thread.shard != 0;
    return plain;
}

static ALWAYS_INLINE bool rate_acquire_credit(struct weir_policy *rate, uint32_t cost)
{
    if (unlikely(!rate_is_plain(rate, cost))) {
        rate_require(rate, cost, 0, "weir_rate_acquire");
        return false;
    }
    const struct rate_config *config = rate->config;
    struct rate_state *state = rate->state;
    uint32_t line = weir_thread.shard - 1;
    bool solo = line < SHARDS;
    if (!(solo & (cost <= config->lease))) return false;
    if (!rate_take_credit(&state->cell[line], cost)) return false;
    counters_add(rate->counters, line, true, POLICY_PASSED_ALONE, 1);
    return true;
}

static ALWAYS_INLINE struct weir_outcome rate_acquire(
    struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    bool plain = rate_is_plain(rate, cost);
    plain &= now_ns != WEIR_NEVER;
    if (unlikely(!plain)) return rate_acquire_slow(rate, cost, now_ns);
    const struct rate_config *config = rate->config;
    uint32_t line = weir_thread.shard - 1;
    bool solo = line < SHARDS;
    if (config->lease != 0) return rate_acquire_either(rate, cost, now_ns);
    if (unlikely(!rate_take_exactly(rate->state, cost, gcra_units(now_ns)))) {
        return rate_acquire_either(rate, cost, now_ns);
    }
    counters_add(rate->counters, line, solo, POLICY_PASSED_ALONE, 1);
    return (struct weir_outcome) { .status = WEIR_OK };
}

#endif
