/* What was lent, at work: rate_loan.h has the diagram and the invariants. */
#include "policy/rate_hot.h"

/* Behind every instant, and far enough from the end of the word for any amount on top. */
#define TAT_SHARED ((UINT64_C(1) << 63) + GCRA_SPAN_MAX)

static uint64_t pocket_credit(uint64_t pocket)
{
    return (uint32_t)pocket;
}

static uint64_t pocket_generation(uint64_t pocket)
{
    return pocket >> 32;
}

static uint64_t pocket_of(uint64_t generation, uint64_t credit)
{
    return generation << 32 | credit;
}

/* ---- to take ---- */

/* The thread's own cell has this credit of that era, and no other. */
static void open_cell(
    struct rate_state *state, struct rate_cell *cell, uint64_t era, uint64_t credit, uint64_t end_ns)
{
    atomic_store_relaxed(&cell->lent, credit);
    atomic_store_release(&cell->era, era);
    atomic_swap_seq_cst(&cell->end_ns, end_ns);
    if (unlikely(atomic_load_seq_cst(&state->loan.era) != era)) atomic_swap_seq_cst(&cell->end_ns, 0);
}

/* Takes between cost and `most` out of the pocket; 0: there is less than cost. */
static uint64_t take_from_pocket(
    struct rate_loan *loan, uint64_t cost, uint64_t most, uint64_t now_ns, uint64_t *generation)
{
    uint64_t pocket = atomic_load_acquire(&loan->pocket), taken;
    do {
        if (now_ns >= atomic_load_acquire(&loan->end_ns)) return 0;
        uint64_t credit = pocket_credit(pocket);
        if (credit < cost) return 0;
        taken = time_max(cost, time_min(most, credit / 8)); /* idle threads park little */
    } while (!atomic_cas_acq_rel(&loan->pocket, &pocket, pocket - taken));
    *generation = pocket_generation(pocket);
    return taken;
}

/* Credit of this era is good as long as the loan; what else the cell has is not. */
static bool take_by_cell(const struct rate_config *config, struct rate_state *state, struct rate_cell *cell,
    uint32_t cost, uint64_t now_ns)
{
    struct rate_loan *loan = &state->loan;
    uint64_t era = atomic_load_acquire(&loan->era), end_ns = atomic_load_acquire(&loan->end_ns), generation;
    uint64_t credit = atomic_load_relaxed(&cell->era) == era ? atomic_load_relaxed(&cell->lent) : 0;
    if (now_ns >= end_ns) return false;
    if (credit < cost) {
        uint64_t most = config->lease - credit;
        atomic_store_relaxed(&cell->moving, most);
        uint64_t taken = take_from_pocket(loan, cost - credit, most, now_ns, &generation);
        credit += taken;
    }
    bool enough = credit >= cost;
    if (enough) open_cell(state, cell, era, credit - cost, end_ns);
    atomic_store_release(&cell->moving, 0);
    return enough;
}

NOINLINE bool rate_take_lent(const struct rate_config *config, struct rate_state *state, uint32_t line,
    bool solo, struct weir_slot *slot, uint32_t cost, uint64_t now_ns)
{
    if (!rate_is_shared(state)) return false;
    slot->word[1] |= RATE_LENT;
    if (solo & (cost <= config->lease)) {
        slot->word[1] |= RATE_LEASED;
        if (take_by_cell(config, state, &state->cell[line], cost, now_ns)) return true;
        slot->word[1] &= ~RATE_LEASED;
    }
    return take_from_pocket(&state->loan, cost, 0, now_ns, &slot->word[0]) != 0;
}

bool rate_give_back_lent(struct rate_state *state, const struct weir_slot *slot, uint64_t now_ns)
{
    struct rate_loan *loan = &state->loan;
    uint64_t cost = (uint32_t)slot->word[1], pocket = atomic_load_acquire(&loan->pocket);
    if ((slot->word[1] & RATE_LEASED) != 0) return false; /* a cell's: the thread does not know of reports */
    do {
        if (pocket_generation(pocket) != slot->word[0]) return false;
        if (now_ns >= atomic_load_acquire(&loan->end_ns)) return false;
    } while (!atomic_cas_acq_rel(&loan->pocket, &pocket, pocket + cost));
    return true;
}

static uint64_t loan_pace(const struct rate_loan *loan)
{
    return atomic_load_relaxed(&loan->pace_ns);
}

/* Whoever says that it wants more then looks when the link looks; the link says when it looks, then at what is wanted: one
 * of the two sees the other. */
uint64_t rate_loan_refuse(struct rate_state *state, uint32_t cost, uint64_t now_ns, bool *denied, bool *ring)
{
    struct rate_loan *loan = &state->loan;
    uint64_t until_ns = atomic_load_relaxed(&loan->deny_until_ns);
    uint32_t wanted = atomic_load_relaxed(&loan->wanted);
    *denied = now_ns < until_ns;
    *ring = false;
    while (wanted < cost) {
        if (!atomic_cas_seq_cst(&loan->wanted, &wanted, cost)) continue;
        *ring = !*denied && atomic_load_seq_cst(&loan->look_ns) > time_add(now_ns, loan_pace(loan));
        break;
    }
    return *denied ? until_ns : time_add(now_ns, loan_pace(loan));
}

/* ---- the link's side ---- */

static void end_era(const struct rate_config *config, struct rate_state *state)
{
    atomic_add_seq_cst(&state->loan.era, 1);
    for (uint32_t line = 0; config->lease != 0 && line < SHARDS; line++) {
        atomic_swap_seq_cst(&state->cell[line].end_ns, 0);
    }
}

/* Takes the whole pocket into a new generation. */
static uint64_t empty_pocket(struct rate_loan *loan)
{
    uint64_t pocket = atomic_load_acquire(&loan->pocket);
    while (!atomic_cas_acq_rel(&loan->pocket, &pocket, pocket_of(pocket_generation(pocket) + 1, 0))) { }
    return pocket_credit(pocket);
}

void rate_loan_begin(const struct rate_config *config, struct rate_state *state, uint32_t most)
{
    atomic_swap_acq_rel(&state->gcra.tat, TAT_SHARED);
    end_era(config, state);
    atomic_store_release(&state->loan.end_ns, 0);
    atomic_store_release(&state->loan.most, most);
}

uint64_t rate_loan_end(
    const struct rate_config *config, struct rate_state *state, uint64_t tokens, uint64_t now_ns)
{
    struct rate_loan *loan = &state->loan;
    uint64_t left = empty_pocket(loan);
    end_era(config, state);
    atomic_store_release(&loan->end_ns, 0);
    atomic_store_release(&loan->most, 0u);
    uint64_t missing = time_since(state->burst, tokens) * state->gcra.token;
    atomic_swap_acq_rel(&state->gcra.tat, gcra_units(now_ns) + missing);
    return left;
}

uint64_t rate_loan_void(const struct rate_config *config, struct rate_state *state)
{
    uint64_t left = empty_pocket(&state->loan); /* before the cells: invariant 3 */
    left += rate_loan_parked(config, state);
    end_era(config, state);
    atomic_store_release(&state->loan.end_ns, 0);
    return left;
}

/* The end first: who sees the credit sees how long it is good. */
void rate_loan_add(struct rate_state *state, uint64_t tokens, uint64_t end_ns)
{
    struct rate_loan *loan = &state->loan;
    atomic_store_release(&loan->end_ns, end_ns);
    uint64_t pocket = atomic_load_acquire(&loan->pocket);
    while (!atomic_cas_acq_rel(&loan->pocket, &pocket, pocket + tokens)) { }
}

bool rate_loan_look_at(struct rate_state *state, uint64_t look_ns, uint32_t seen)
{
    atomic_swap_seq_cst(&state->loan.look_ns, look_ns);
    return atomic_load_seq_cst(&state->loan.wanted) == seen;
}

uint64_t rate_loan_withdraw(struct rate_state *state, uint64_t tokens)
{
    uint64_t pocket = atomic_load_acquire(&state->loan.pocket), taken;
    do {
        taken = time_min(tokens, pocket_credit(pocket));
    } while (!atomic_cas_acq_rel(&state->loan.pocket, &pocket, pocket - taken));
    return taken;
}

uint64_t rate_loan_parked(const struct rate_config *config, const struct rate_state *state)
{
    uint64_t parked = 0, era = atomic_load_acquire(&state->loan.era);
    for (uint32_t line = 0; config->lease != 0 && line < SHARDS; line++) {
        const struct rate_cell *cell = &state->cell[line];
        parked += atomic_load_acquire(&cell->moving);
        if (atomic_load_acquire(&cell->era) == era) parked += atomic_load_relaxed(&cell->lent);
    }
    return parked;
}

uint64_t rate_loan_left(const struct rate_config *config, const struct rate_state *state)
{
    uint64_t pocket = rate_loan_pocket(state);
    return pocket + rate_loan_parked(config, state);
}

uint64_t rate_loan_report(const struct rate_config *config, struct rate_state *state)
{
    struct rate_loan *loan = &state->loan;
    uint64_t pocket = atomic_load_acquire(&loan->pocket), next;
    do {
        next = pocket_of(pocket_generation(pocket) + 1, pocket_credit(pocket));
    } while (!atomic_cas_acq_rel(&loan->pocket, &pocket, next));
    return pocket_credit(pocket) + rate_loan_parked(config, state);
}
