/* The breaker's hot halves: closed and well, or open and refusing. */
#ifndef WEIR_LIB_BREAKER_HOT_H
#define WEIR_LIB_BREAKER_HOT_H

#include "policy/breaker.h"

/* Whether that word is open and has said until when. */
static ALWAYS_INLINE bool breaker_is_open(
    const struct breaker_state *state, uint64_t word, uint64_t *until_ns)
{
    uint64_t until = atomic_load_acquire(&state->until);
    *until_ns = until_time(until);
    return word_state(word) == OPEN && until >> 48 == word_tag(word);
}

/* An open breaker is a hot path in an outage: refused here; all else that is not CLOSED is cold. */
static ALWAYS_INLINE struct weir_verdict breaker_admit_not_closed(const struct breaker_config *config,
    struct breaker_state *state, struct weir_slot *slot, uint64_t word, struct breaker_asker asker,
    uint64_t now_ns)
{
    uint64_t until_ns;
    bool open = breaker_is_open(state, word, &until_ns);
    if (unlikely(!open) || unlikely(now_ns >= until_ns)) {
        return breaker_admit_slow(config, state, slot, asker, now_ns);
    }
    struct policy_head *head = policy_head_of(state);
    struct counters *counters = (struct counters *)((char *)state + head->counters_offset);
    counters_add(counters, asker.line, asker.solo, BREAKER_REFUSED_OPEN, 1);
    return verdict_refuse(WEIR_REASON_BREAKER_OPEN, until_ns);
}

static ALWAYS_INLINE void breaker_take(struct weir_slot *slot, uint64_t word, uint64_t now_ns)
{
    slot->word[0] = word_generation(word);
    slot->word[1] = now_ns;
}

/* The slow calls are judged against all: both halve at once. */
static ALWAYS_INLINE void breaker_count(const struct breaker_config *config, struct breaker_state *state,
    uint32_t line, bool solo, uint64_t epoch, uint64_t one)
{
    bool halved = window_add(&state->outcomes, line, solo, epoch, one);
    if (likely(!halved)) return;
    if (config->slow_ns != WEIR_NEVER) window_halve(&state->slow, line, solo, epoch);
}

/* A success that was neither late nor slow, while closed, and while no failure waits for more calls to be judged.
 * False: it is not as calm as that, nothing was done, breaker_settle_slow() has to look. */
static ALWAYS_INLINE bool breaker_count_good(const struct breaker_config *config, struct breaker_state *state,
    const struct weir_slot *slot, uint32_t line, bool solo, uint64_t now_ns)
{
    uint64_t word = atomic_load_acquire(&state->word);
    if (unlikely(word_generation(word) != slot->word[0])) return false;
    if (unlikely(word_state(word) != CLOSED)) return false;
    if (unlikely(atomic_load_relaxed(&state->filling) != 0)) return false;
    breaker_count(config, state, line, solo, window_epoch(config->bucket, now_ns), WINDOW_GOOD);
    if (unlikely(atomic_load_relaxed(&state->streak) != 0)) atomic_store_relaxed(&state->streak, 0);
    return true;
}

#endif
