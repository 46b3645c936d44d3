/* The bulkhead's hot halves: a permit that is there, and one that goes back with nobody waiting. */
#ifndef WEIR_LIB_BULKHEAD_HOT_H
#define WEIR_LIB_BULKHEAD_HOT_H

#include "policy/bulkhead.h"

static ALWAYS_INLINE uint32_t bulkhead_cell(const struct bulkhead_config *config, uint32_t line)
{
    return line & (config->cells - 1);
}

static ALWAYS_INLINE bool bulkhead_fits(uint64_t word, uint64_t weight)
{
    return bulkhead_word_count(word) + weight <= bulkhead_word_limit(word);
}

/* Newcomers need not look at the lease more closely. */
static ALWAYS_INLINE bool bulkhead_is_plain(const struct bulkhead_state *state, uint64_t now_ns)
{
    return likely(now_ns < atomic_load_acquire(&state->plain_until_ns));
}

static ALWAYS_INLINE bool bulkhead_enter_single(struct bulkhead_state *state, uint32_t weight)
{
    uint64_t seen = atomic_load_relaxed(&state->word);
    do {
        if (unlikely(bulkhead_waiters(seen) != 0)) return false;
        if (unlikely(!bulkhead_fits(seen, weight))) return false;
    } while (unlikely(!atomic_cas_acq_rel(&state->word, &seen, seen + weight)));
    return true;
}

static ALWAYS_INLINE bool bulkhead_enter_cell(struct bulkhead_state *state, uint32_t cell, uint32_t weight)
{
    if (unlikely(atomic_load_relaxed(&state->word) != 0)) return false;
    uint64_t *free = &state->cell[cell].free, seen = atomic_load_relaxed(free);
    do {
        if (unlikely(seen < weight)) return false;
    } while (unlikely(!atomic_cas_acq_rel(free, &seen, seen - weight)));
    return true;
}

static ALWAYS_INLINE bool bulkhead_enter(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t cell, uint32_t weight)
{
    if (config->cells == 0) return bulkhead_enter_single(state, weight);
    return bulkhead_enter_cell(state, cell, weight);
}

/* Whether somebody must look after the waiters or the debt. */
static ALWAYS_INLINE bool bulkhead_give(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t held)
{
    uint64_t weight = held >> 32;
    if (config->cells == 0) return bulkhead_waiters(atomic_sub_seq_cst(&state->word, weight)) != 0;
    atomic_add_seq_cst(&state->cell[(uint32_t)held].free, weight);
    return atomic_load_seq_cst(&state->word) != 0;
}

#endif
