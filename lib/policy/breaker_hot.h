/* The breaker's hot halves: closed and well, or open and refusing. */
#ifndef WEIR_LIB_BREAKER_HOT_H
#define WEIR_LIB_BREAKER_HOT_H

#include "policy/breaker.h"

/* An open breaker is a hot path in an outage: refused here; all else that is not CLOSED is cold. */
static ALWAYS_INLINE struct weir_verdict breaker_admit_not_closed(const struct breaker_config *config,
    struct breaker_state *state, struct weir_slot *slot, uint64_t word, struct breaker_asker asker,
    uint64_t now_ns)
{
    uint64_t until = atomic_load_acquire(&state->until);
    bool open = word_state(word) == OPEN && until >> 48 == word_tag(word);
    if (likely(open) && likely(now_ns < until_time(until))) {
        struct policy_head *head = policy_head_of(state);
        struct counters *counters = (struct counters *)((char *)state + head->counters_offset);
        counters_add(counters, asker.line, asker.solo, BREAKER_REFUSED_OPEN, 1);
        return verdict_refuse(WEIR_REASON_BREAKER_OPEN, until_time(until));
    }
    return breaker_admit_slow(config, state, slot, asker, now_ns);
}

static ALWAYS_INLINE void breaker_take(struct weir_slot *slot, uint64_t word, uint64_t now_ns)
{
    slot->word[0] = word_generation(word);
    slot->word[1] = now_ns;
}

static ALWAYS_INLINE struct weir_verdict breaker_settle_hot(const struct breaker_config *config,
    struct breaker_state *state, const struct weir_slot *slot, struct breaker_outcome outcome,
    struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t word = atomic_load_acquire(&state->word);
    bool calm = word_generation(word) == slot->word[0];
    calm &= word_state(word) == CLOSED;
    calm &= outcome.view == VIEW_SUCCESS;
    calm &= !outcome.slow;
    calm &= atomic_load_relaxed(&state->streak) == 0;
    if (unlikely(!calm)) return breaker_settle_slow(config, state, slot, outcome, asker, now_ns);
    window_add(&state->outcomes, asker.line, asker.solo, window_epoch(config->bucket, now_ns), WINDOW_GOOD);
    return verdict(WEIR_PASS);
}

#endif
