/* What a rate limit's process was lent by its fleet: tokens that are already paid for, good until an instant.
 *
 *      (not shared) --begin--> EMPTY --add--> GOOD --its end, or void--> EMPTY
 *           ^                    |             | ^
 *           '------- end --------+-------------' '-- add: more, and good for longer; report: told of
 *
 *     begin  rate_loan_begin()      add     rate_loan_add()      void  rate_loan_void()
 *     end    rate_loan_end()        report  rate_loan_report()   take  rate_take_lent(), by any thread
 *
 * Threads take from the *pocket*; in the leased form by chunks, into their cells. All but take and give back is done
 * by one thread at a time, under its link's lock.
 *
 * Invariants:
 *   1. nothing is taken at or after end_ns; a cell's copy of it is never later than the loan's was;
 *   2. the pocket changes by compare and swap only, and credit leaves it before it is spent: it is never negative;
 *   3. what a report says is left is never less than what can be spent of it afterwards: the pocket is read before the
 *      cells, and what moves from the one to the other stands in `moving` before it leaves the pocket;
 *   4. a report is of its own generation, and what was taken comes back only into the generation it was taken from:
 *      else the report would have said less than there is;
 *   5. an era ends when what was lent is void: from then on no cell spends what it has of it. Whoever opens a cell
 *      swaps in its end, then looks at the era; whoever ends an era changes it, then swaps the end to 0: one of the
 *      two sees the other. */
#ifndef WEIR_LIB_RATE_LOAN_H
#define WEIR_LIB_RATE_LOAN_H

#include "policy/rate.h"

/* Takes cost of what was lent, if the limit is shared; the slot says how. */
bool rate_take_lent(const struct rate_config *config, struct rate_state *state, uint32_t line, bool solo,
    struct weir_slot *slot, uint32_t cost, uint64_t now_ns);
/* Into the pocket that it came from, if nobody was told meanwhile what was left in it. */
bool rate_give_back_lent(struct rate_state *state, const struct weir_slot *slot, uint64_t now_ns);
static inline bool rate_is_shared(const struct rate_state *state)
{
    return atomic_load_relaxed(&state->loan.most) != 0;
}

/* A refusal: when to come again, and whether the link has to hear of it: not if it looks soon anyhow. */
uint64_t rate_loan_refuse(struct rate_state *state, uint32_t cost, uint64_t now_ns, bool *denied, bool *ring);

/* ---- the link's side ---- */

/* From now on nothing is taken but what is lent: `most` at once. */
void rate_loan_begin(const struct rate_config *config, struct rate_state *state, uint32_t most);
/* The limit is the process's own again; its bucket has `tokens`. Answers what was left in the pocket: it is not spent,
 * and may be given back. */
uint64_t rate_loan_end(
    const struct rate_config *config, struct rate_state *state, uint64_t tokens, uint64_t now_ns);
/* What was lent is worth nothing any more. Answers how much it was. */
uint64_t rate_loan_void(const struct rate_config *config, struct rate_state *state);
void rate_loan_add(struct rate_state *state, uint64_t tokens, uint64_t end_ns);
/* When the link looks by itself. False: more is wanted than it had seen, and who wants it may not have rung. */
bool rate_loan_look_at(struct rate_state *state, uint64_t look_ns, uint32_t seen);
/* Out of the pocket, as much as is there. */
uint64_t rate_loan_withdraw(struct rate_state *state, uint64_t tokens);
/* What is left, at most. */
uint64_t rate_loan_left(const struct rate_config *config, const struct rate_state *state);
/* The same, to be told to others: begins a generation. */
uint64_t rate_loan_report(const struct rate_config *config, struct rate_state *state);
/* Of what is left, what lies in cells. */
uint64_t rate_loan_parked(const struct rate_config *config, const struct rate_state *state);

static inline uint64_t rate_loan_pocket(const struct rate_state *state)
{
    return (uint32_t)atomic_load_acquire(&state->loan.pocket);
}

#endif
