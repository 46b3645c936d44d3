/* The bulkhead's queue: bulkhead.h has the words, the diagram and the invariants. */
#include "policy/bulkhead_hot.h"

enum { FREE, WAITING, GRANTED, POSTED };

#define WAITER_STATE_BITS 4
#define WAITER_WEIGHT_BITS 20
#define WAITER_TICKET_SHIFT (WAITER_STATE_BITS + WAITER_WEIGHT_BITS)

static uint32_t state_of(uint64_t waiter)
{
    return (uint32_t)waiter & ((1u << WAITER_STATE_BITS) - 1);
}

static uint32_t weight_of(uint64_t waiter)
{
    return (uint32_t)(waiter >> WAITER_STATE_BITS) & ((1u << WAITER_WEIGHT_BITS) - 1);
}

static uint64_t with_state(uint64_t waiter, uint32_t state)
{
    return (waiter & ~((UINT64_C(1) << WAITER_STATE_BITS) - 1)) | state;
}

static uint64_t granted(uint64_t waiter, uint32_t weight)
{
    uint64_t ticket = waiter >> WAITER_TICKET_SHIFT;
    return ticket << WAITER_TICKET_SHIFT | (uint64_t)weight << WAITER_STATE_BITS | GRANTED;
}

/* ---- permits ---- */

/* Takes up to `most` out of a cell. */
static uint64_t take_some(uint64_t *cell, uint64_t most)
{
    uint64_t seen = atomic_load_seq_cst(cell), some;
    do {
        some = time_min(seen, most);
        if (some == 0) return 0;
    } while (!atomic_cas_seq_cst(cell, &seen, seen - some));
    return some;
}

/* The pump's way to `weight` permits; only the pump takes while there are waiters. */
static bool collect(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight)
{
    uint64_t have = 0;
    for (uint32_t i = 0; i < config->cells; i++) {
        have += take_some(&state->cell[i].free, weight - have);
        if (have == weight) return true;
    }
    if (have != 0) atomic_add_seq_cst(&state->cell[0].free, have);
    return false;
}

static bool reserve(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight)
{
    if (config->cells != 0) return collect(config, state, weight);
    uint64_t seen = atomic_load_seq_cst(&state->word);
    do {
        if (!bulkhead_fits(seen, weight)) return false;
    } while (!atomic_cas_seq_cst(&state->word, &seen, seen + weight));
    return true;
}

static void unreserve(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight)
{
    if (weight == 0) return;
    if (config->cells == 0) atomic_sub_seq_cst(&state->word, (uint64_t)weight);
    else atomic_add_seq_cst(&state->cell[0].free, (uint64_t)weight);
}

/* A thread whose cell is empty: what it needs from the others', and half of what it finds, for next time.
 * A permit on its way between cells is seen by nobody, so under a race this may refuse while one is free;
 * a waiter's pump cannot miss it, because putting it down looks at the waiters again. */
COLD bool bulkhead_gather(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t cell,
    uint32_t weight, uint64_t now_ns, bool *handed)
{
    uint64_t have = 0;
    if (now_ns >= bulkhead_lease_end(state)) return false;
    if (atomic_load_seq_cst(&state->word) != 0) return false;
    for (uint32_t i = 0; i < config->cells && have < weight; i++) {
        uint64_t *from = &state->cell[(cell + i) & (config->cells - 1)].free;
        uint64_t half = (atomic_load_relaxed(from) + 1) / 2, need = weight - have;
        have += take_some(from, i == 0 ? need : time_max(need, half));
    }
    bool enough = have >= weight;
    uint64_t surplus = enough ? have - weight : have;
    if (surplus != 0) {
        atomic_add_seq_cst(&state->cell[cell].free, surplus);
        if (atomic_load_seq_cst(&state->word) != 0) *handed = bulkhead_pump(config, state, now_ns);
    }
    return enough;
}

/* ---- the pump ---- */

/* Free permits pay what a lowered limit left. */
static void pay_debt(const struct bulkhead_config *config, struct bulkhead_state *state)
{
    for (uint32_t i = 0; i < config->cells; i++) {
        uint64_t debt = bulkhead_word_count(atomic_load_seq_cst(&state->word));
        if (debt == 0) return;
        uint64_t paid = take_some(&state->cell[i].free, debt);
        uint64_t seen = atomic_load_seq_cst(&state->word), most;
        do {
            most = time_min(paid, bulkhead_word_count(seen)); /* the limit may have been raised meanwhile */
        } while (!atomic_cas_seq_cst(&state->word, &seen, seen - most));
        if (paid != most) atomic_add_seq_cst(&state->cell[i].free, paid - most);
    }
}

static uint64_t *first_waiting(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t *seen)
{
    uint64_t *first = NULL, lowest = UINT64_MAX;
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        uint64_t waiter = atomic_load_seq_cst(&state->waiter[i]);
        if (state_of(waiter) != WAITING) continue;
        if (waiter >> WAITER_TICKET_SHIFT >= lowest) continue;
        lowest = waiter >> WAITER_TICKET_SHIFT;
        first = &state->waiter[i];
        *seen = waiter;
    }
    return first;
}

enum grant { GRANT_NONE, GRANT_DONE, GRANT_LEFT };

/* A call that queued up during the scan may have been missed, and one that came after it seen: it has left a
 * mark by then, and the scan does not count. */
static enum grant grant(const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t now_ns)
{
    if (now_ns >= bulkhead_lease_end(state)) return GRANT_NONE;
    uint32_t mark = atomic_load_seq_cst(&state->pumps);
    uint64_t seen = 0, *first = first_waiting(config, state, &seen);
    if (first == NULL) return GRANT_NONE;
    if (atomic_load_seq_cst(&state->pumps) != mark) return GRANT_LEFT;
    uint32_t weight = weight_of(seen);
    if (weight > atomic_load_seq_cst(&state->own)) weight = 0;
    else if (!reserve(config, state, weight)) return GRANT_NONE;
    if (atomic_cas_seq_cst(first, &seen, granted(seen, weight))) {
        atomic_sub_seq_cst(&state->word, WAITER_ONE);
        return GRANT_DONE;
    }
    unreserve(config, state, weight); /* it left while we were at it */
    return GRANT_LEFT;
}

COLD bool bulkhead_pump(const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t now_ns)
{
    if (atomic_add_seq_cst(&state->pumps, 1u) != 0) return false;
    bool handed = false;
    uint32_t seen;
    do {
        seen = atomic_load_seq_cst(&state->pumps);
        pay_debt(config, state);
        for (enum grant last; (last = grant(config, state, now_ns)) != GRANT_NONE;) {
            if (last == GRANT_DONE) handed = true;
        }
    } while (!atomic_cas_seq_cst(&state->pumps, &seen, 0u));
    return handed;
}

/* ---- a waiter's own steps ---- */

/* False: all places are taken, as many as are on their way to what they were handed. */
static bool claim(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight, uint32_t *waiter)
{
    uint64_t ticket = atomic_add_seq_cst(&state->tickets, UINT64_C(1));
    uint64_t want = ticket << WAITER_TICKET_SHIFT | (uint64_t)weight << WAITER_STATE_BITS | WAITING;
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        uint64_t seen = FREE;
        *waiter = i;
        if (atomic_cas_seq_cst(&state->waiter[i], &seen, want)) return true;
    }
    return false;
}

COLD enum weir_reason bulkhead_enqueue(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t weight, uint32_t *waiter)
{
    if (config->queue == 0) return WEIR_REASON_BULKHEAD_FULL;
    if (weight > atomic_load_seq_cst(&state->own)) return WEIR_REASON_BULKHEAD_FULL;
    uint64_t seen = atomic_load_seq_cst(&state->word);
    do {
        if (bulkhead_waiters(seen) >= config->queue) return WEIR_REASON_QUEUE_FULL;
    } while (!atomic_cas_seq_cst(&state->word, &seen, seen + WAITER_ONE));
    if (claim(config, state, weight, waiter)) return WEIR_REASON_NONE;
    atomic_sub_seq_cst(&state->word, WAITER_ONE);
    return WEIR_REASON_QUEUE_FULL;
}

bool bulkhead_waiter_granted(const struct bulkhead_state *state, uint32_t waiter)
{
    return state_of(atomic_load_seq_cst(&state->waiter[waiter])) != WAITING;
}

/* Answers the weight that was granted; 0: none ever will be, it is refused. */
uint32_t bulkhead_take_grant(struct bulkhead_state *state, uint32_t waiter)
{
    uint32_t weight = weight_of(atomic_load_relaxed(&state->waiter[waiter]));
    atomic_store_release(&state->waiter[waiter], (uint64_t)FREE);
    return weight;
}

/* False: it was granted before it could leave. */
bool bulkhead_withdraw(struct bulkhead_state *state, uint32_t waiter)
{
    uint64_t seen = atomic_load_seq_cst(&state->waiter[waiter]);
    if (state_of(seen) != WAITING) return false;
    if (!atomic_cas_seq_cst(&state->waiter[waiter], &seen, (uint64_t)FREE)) return false;
    atomic_sub_seq_cst(&state->word, WAITER_ONE);
    return true;
}

uint32_t bulkhead_next_woken(const struct bulkhead_config *config, struct bulkhead_state *state)
{
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        uint64_t seen = atomic_load_seq_cst(&state->waiter[i]);
        if (state_of(seen) != GRANTED) continue;
        if (atomic_cas_seq_cst(&state->waiter[i], &seen, with_state(seen, POSTED))) return i + 1;
    }
    return 0;
}

/* ---- the limit ---- */

static void change_in_word(struct bulkhead_state *state, uint32_t limit)
{
    uint64_t seen = atomic_load_seq_cst(&state->word), want;
    do {
        want = (seen & ~LIMIT_MASK) | (uint64_t)limit << LIMIT_SHIFT;
    } while (!atomic_cas_seq_cst(&state->word, &seen, want));
}

/* What is raised first forgives the debt, then is free; what is lowered is debt until the pump has paid it. */
static void change_in_cells(struct bulkhead_state *state, uint32_t limit)
{
    uint32_t before = atomic_swap_acq_rel(&state->limit, limit);
    if (limit < before) atomic_add_seq_cst(&state->word, (uint64_t)(before - limit));
    if (limit <= before) return;
    uint64_t more = limit - before, seen = atomic_load_seq_cst(&state->word), forgiven;
    do {
        forgiven = time_min(more, bulkhead_word_count(seen));
    } while (!atomic_cas_seq_cst(&state->word, &seen, seen - forgiven));
    atomic_add_seq_cst(&state->cell[0].free, more - forgiven);
}

/* One at a time: between the two steps of a change in cells nobody else may make one. */
bool bulkhead_set_terms(const struct bulkhead_config *config, struct bulkhead_state *state,
    const struct bulkhead_terms *terms, uint64_t now_ns)
{
    if (config->cells == 0) change_in_word(state, terms->limit);
    else change_in_cells(state, terms->limit);
    atomic_store_release(&state->lease_end_ns, terms->lease_end_ns);
    atomic_store_release(&state->plain_until_ns, terms->strict ? 0 : terms->lease_end_ns);
    atomic_store_release(&state->fleet, terms->fleet);
    return bulkhead_pump(config, state, now_ns);
}

/* The limit of its own, or the fleet's: then who shares it looks at it soon, and sets the terms. One at a time, too. */
bool bulkhead_set_own(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t limit)
{
    atomic_swap_acq_rel(&state->own, limit);
    return atomic_load_acquire(&state->fleet) == 0 && bulkhead_restore(config, state);
}

/* The own limit is in force: it is not shared (any more). */
bool bulkhead_restore(const struct bulkhead_config *config, struct bulkhead_state *state)
{
    const struct bulkhead_terms terms = { atomic_load_acquire(&state->own), 0, WEIR_NEVER, false };
    return bulkhead_set_terms(config, state, &terms, 0);
}

/* All permits free and nobody waiting: at create, and in a forked child. */
void bulkhead_fill(const struct bulkhead_config *config, struct bulkhead_state *state, uint32_t limit)
{
    state->word = config->cells == 0 ? (uint64_t)limit << LIMIT_SHIFT : 0;
    state->pumps = 0;
    state->limit = state->own = limit;
    state->fleet = 0;
    state->plain_until_ns = state->lease_end_ns = WEIR_NEVER;
    for (uint32_t i = 0; i < config->cells; i++) {
        state->cell[i].free = limit / config->cells + (i < limit % config->cells);
    }
    for (uint32_t i = 0; i < bulkhead_places(config); i++) state->waiter[i] = FREE;
}

/* Who waits, and who was handed something and has not come for it. */
uint32_t bulkhead_occupied(const struct bulkhead_config *config, const struct bulkhead_state *state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        count += state_of(atomic_load_seq_cst(&state->waiter[i])) != FREE;
    }
    return count;
}

uint32_t bulkhead_in_use(const struct bulkhead_config *config, const struct bulkhead_state *state)
{
    uint64_t word = atomic_load_seq_cst(&state->word);
    if (config->cells == 0) return bulkhead_word_count(word);
    uint64_t free = 0, all = atomic_load_relaxed(&state->limit) + (uint64_t)bulkhead_word_count(word);
    for (uint32_t i = 0; i < config->cells; i++) free += atomic_load_seq_cst(&state->cell[i].free);
    return (uint32_t)time_since(all, free);
}

/* The weight of all who wait. */
uint64_t bulkhead_wanted(const struct bulkhead_config *config, const struct bulkhead_state *state)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < bulkhead_places(config); i++) {
        uint64_t waiter = atomic_load_seq_cst(&state->waiter[i]);
        if (state_of(waiter) == WAITING) weight += weight_of(waiter);
    }
    return weight;
}
