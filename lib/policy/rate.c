/* The rate limit at work: admit and settle in a pipeline, acquire, reserve and give back alone.
 *
 *     admit      taken now              -> PASS
 *                its turn is in time    -> HOLD until then: it is taken already
 *                else                   -> REFUSE, nothing is taken
 *     settle     nothing ran since      -> what has not grown back goes back
 *                else                   -> spent */
#include "policy/rate_hot.h"

#define WAIT_NS_MAX (GCRA_SPAN_MAX / GCRA_UNITS_PER_NS)

static uint32_t slot_cost(const struct weir_slot *slot)
{
    return (uint32_t)slot->word[1];
}

static uint32_t slot_attempts(const struct weir_slot *slot)
{
    return (uint32_t)(slot->word[1] >> 32) & 0xffff;
}

/* How many attempts the call has made; one that goes by the fast lists is before its first. */
static ALWAYS_INLINE uint32_t attempts_of(const struct weir_call *call)
{
    return call->flags & CALL_SLOW ? call->attempt.number : 0;
}

/* ---- in a pipeline ---- */

static struct weir_verdict hold(const struct weir_slot *slot)
{
    return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = gcra_ns_up(slot->word[0]) };
}

/* Nobody waits for a turn of a limit that is shared: nobody knows when it would be. */
static COLD struct weir_verdict refuse_lent(
    struct rate_state *state, struct weir_call *call, uint32_t cost, uint64_t now_ns)
{
    bool denied, ring;
    policy_count(state, call, RATE_REFUSED);
    if (cost > state->loan.most) return verdict_refuse(WEIR_REASON_RATE, 0);
    uint64_t at_ns = rate_loan_refuse(state, cost, now_ns, &denied, &ring);
    if (denied) policy_count(state, call, RATE_DENIED);
    struct weir_verdict answer = verdict_refuse(WEIR_REASON_RATE, at_ns);
    if (ring) answer.flags |= VERDICT_RING;
    return answer;
}

static COLD struct weir_verdict admit_later(const struct rate_config *config, struct rate_state *state,
    struct weir_slot *slot, struct weir_call *call, uint32_t cost, uint64_t now_ns)
{
    if (rate_is_shared(state)) return refuse_lent(state, call, cost, now_ns);
    if (cost > state->burst) {
        policy_count(state, call, RATE_REFUSED);
        return verdict_refuse(WEIR_REASON_RATE, 0);
    }
    uint64_t amount = cost * state->gcra.token, now = gcra_units(now_ns), turn;
    if (config->wait == 0) {
        policy_count(state, call, RATE_REFUSED);
        return verdict_refuse(WEIR_REASON_RATE, gcra_ns_up(gcra_turn(&state->gcra, amount, now)));
    }
    uint64_t before_deadline = time_since(gcra_units(call->attempt.deadline_ns), 1);
    uint64_t latest = now + config->wait;
    if (gcra_reserve(&state->gcra, amount, now, time_min(latest, before_deadline), &turn)) {
        rate_keep(slot, turn, cost, attempts_of(call));
        if (turn == now) return verdict(WEIR_PASS);
        policy_count(state, call, RATE_WAITED);
        return hold(slot);
    }
    bool deadline = turn <= latest;
    policy_count(state, call, deadline ? RATE_REFUSED_WAIT : RATE_REFUSED);
    return verdict_refuse(deadline ? WEIR_REASON_RATE_WAIT : WEIR_REASON_RATE, gcra_ns_up(turn));
}

struct weir_verdict rate_admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    if (unlikely(call->held != 0)) {
        bool mine = call->held == call->cursor + 1;
        if (mine && gcra_units(now_ns) < slot->word[0]) return hold(slot);
        if (mine) return verdict(WEIR_PASS);
    }
    uint32_t cost = call_weight(call);
    bool taken =
        rate_take(config, state, call->shard, call->shard < SHARDS, slot, cost, attempts_of(call), now_ns);
    if (likely(taken)) return verdict(WEIR_PASS);
    return admit_later(config, state, slot, call, cost, now_ns);
}

/* On the fast lists, in the leased form: credit of the thread's own, else as any other. */
struct weir_verdict rate_first_leased(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    uint32_t cost = call_weight(call), line = call->shard;
    bool taken = line < SHARDS;
    if (likely(taken)) taken = rate_take_credit(&((struct rate_state *)state)->cell[line], cost);
    if (unlikely(!taken)) return rate_admit(config, state, slot, call, now_ns);
    rate_keep(slot, gcra_units(now_ns), cost, 0);
    slot->word[1] |= RATE_LEASED;
    return verdict(WEIR_PASS);
}

static bool give_back(const struct rate_config *config, struct rate_state *state,
    const struct weir_slot *slot, uint32_t line, bool solo, uint64_t now_ns)
{
    uint64_t now = gcra_units(now_ns), turn = slot->word[0];
    uint32_t cost = slot_cost(slot);
    if ((slot->word[1] & RATE_LENT) != 0) return rate_give_back_lent(state, slot, now_ns);
    if ((slot->word[1] & RATE_LEASED) == 0) {
        if (rate_is_shared(state)) return false;
        return gcra_give_back(&state->gcra, cost * state->gcra.token, turn, now) != 0;
    }
    if (!solo || now != turn) return false;
    uint64_t credit = atomic_load_relaxed(&state->cell[line].credit) + cost;
    if (credit > config->lease) return false;
    atomic_store_relaxed(&state->cell[line].credit, credit);
    return true;
}

/* Also of a call that is held: it was canceled or expired, and no attempt has run since it was admitted. */
struct weir_verdict rate_settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    bool ran = outcome->status == WEIR_OK || call->attempt.number != slot_attempts(slot);
    if (!ran && give_back(config, state, slot, call->shard, call->shard < SHARDS, now_ns)) {
        policy_count(state, call, RATE_GIVEN_BACK);
    }
    return verdict(WEIR_PASS);
}

/* ---- alone ---- */

static struct weir_outcome refused_lent(
    struct weir_policy *rate, struct weir_outcome outcome, uint32_t cost, uint64_t now_ns)
{
    struct rate_state *state = rate->state;
    bool denied, ring;
    if (cost > state->loan.most) return outcome;
    outcome.code = 0;
    outcome.retry_after_ns = rate_loan_refuse(state, cost, now_ns, &denied, &ring) - now_ns;
    if (denied) policy_count_alone(state, RATE_DENIED);
    if (ring) policy_ring(rate);
    return outcome;
}

COLD struct weir_outcome rate_refused(struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    struct rate_state *state = rate->state;
    struct weir_outcome outcome = {
        .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .by = 1, .code = -1
    };
    policy_count_alone(state, RATE_REFUSED);
    if (rate_is_shared(state)) return refused_lent(rate, outcome, cost, now_ns);
    if (cost > state->burst) return outcome;
    uint64_t now = gcra_units(now_ns), turn = gcra_turn(&state->gcra, cost * state->gcra.token, now);
    outcome.code = 0;
    outcome.retry_after_ns = gcra_ns_up(turn - now);
    return outcome;
}

/* What is taken at no instant would leave nothing to anybody at any. */
void rate_require(const struct weir_policy *rate, uint32_t cost, uint64_t now_ns, const char *function)
{
    policy_require(rate, POLICY_RATE, function);
    WEIR_REQUIRE(cost != 0, function, "cost is 0");
    WEIR_REQUIRE(now_ns != WEIR_NEVER, function, "now_ns is WEIR_NEVER, expected an instant");
}

/* An operator's hand: what the machine does in a pipeline. */
static struct weir_outcome acquire_by_mode(
    struct weir_policy *rate, enum weir_mode mode, uint32_t cost, uint64_t now_ns)
{
    if (mode == WEIR_MODE_FORCED_OPEN) {
        policy_count_alone(rate->state, POLICY_REFUSED_FORCED);
        return (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_FORCED, .by = 1 };
    }
    struct weir_outcome outcome = { .status = WEIR_OK };
    if (mode == WEIR_MODE_DISABLED) return outcome;
    uint32_t line = thread_shard();
    struct weir_slot slot;
    bool taken = rate_take(rate->config, rate->state, line, line < SHARDS, &slot, cost, 0, now_ns);
    policy_count_alone(rate->state, POLICY_PASSED_ALONE);
    if (!taken) policy_count_alone(rate->state, RATE_REFUSED);
    if (!taken && mode == WEIR_MODE_SHADOW) {
        policy_count_alone(rate->state, POLICY_WOULD_REFUSE);
        outcome.flags = WEIR_SHADOW;
    }
    return outcome;
}

/* In either form, leased or not. */
struct weir_outcome rate_acquire_either(struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    uint32_t line = thread_shard();
    bool solo = line < SHARDS;
    struct weir_slot slot;
    bool taken = rate_take(rate->config, rate->state, line, solo, &slot, cost, 0, now_ns);
    if (unlikely(!taken)) return rate_refused(rate, cost, now_ns);
    counters_add(rate->counters, line, solo, POLICY_PASSED_ALONE, 1);
    return (struct weir_outcome) { .status = WEIR_OK };
}

COLD struct weir_outcome rate_acquire_slow(struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    rate_require(rate, cost, now_ns, "weir_rate_acquire_at");
    enum weir_mode mode = weir_policy_mode(rate);
    if (mode == WEIR_MODE_ON) return rate_acquire_either(rate, cost, now_ns);
    return acquire_by_mode(rate, mode, cost, now_ns);
}

struct weir_outcome weir_rate_acquire_at(struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    return rate_acquire(rate, cost, now_ns);
}

static struct weir_outcome reserve(struct weir_policy *rate, uint32_t cost, uint64_t wait_ns,
    struct weir_slot *slot, uint64_t *at_ns, uint64_t now_ns)
{
    struct rate_state *state = rate->state;
    uint64_t now = gcra_units(now_ns), turn = now;
    uint64_t latest = now + gcra_units(time_min(wait_ns, WAIT_NS_MAX));
    rate_keep(slot, now, cost, 0);
    if (rate_take_lent(rate->config, state, SHARDS, false, slot, cost, now_ns)) {
        policy_count_alone(state, POLICY_PASSED_ALONE);
        return (struct weir_outcome) { .status = WEIR_OK };
    }
    if (rate_is_shared(state)) return rate_refused(rate, cost, now_ns);
    if (cost > state->burst) return rate_refused(rate, cost, now_ns);
    bool taken = gcra_reserve(&state->gcra, cost * state->gcra.token, now, latest, &turn);
    if (!taken) return rate_refused(rate, cost, now_ns);
    rate_keep(slot, turn, cost, 0);
    if (turn > now) {
        policy_count_alone(state, RATE_WAITED);
        *at_ns = gcra_ns_up(turn);
    }
    policy_count_alone(state, POLICY_PASSED_ALONE);
    return (struct weir_outcome) { .status = WEIR_OK };
}

struct weir_outcome weir_rate_reserve_at(struct weir_policy *rate, uint32_t cost, uint64_t wait_ns,
    uint64_t now_ns, struct weir_permit *permit, uint64_t *at_ns)
{
    static const char function[] = "weir_rate_reserve_at";
    rate_require(rate, cost, now_ns, function);
    WEIR_REQUIRE(permit != NULL, function, "permit is NULL");
    WEIR_REQUIRE(at_ns != NULL, function, "at_ns is NULL");
    *permit = (struct weir_permit) { .began_ns = now_ns };
    *at_ns = now_ns;
    /* Under an operator's hand the permit holds nothing: what it may have taken is not given back. */
    enum weir_mode mode = weir_policy_mode(rate);
    struct weir_outcome outcome = mode == WEIR_MODE_ON
        ? reserve(rate, cost, wait_ns, &permit->slot, at_ns, now_ns)
        : acquire_by_mode(rate, mode, cost, now_ns);
    if (outcome.status != WEIR_OK) return outcome;
    permit->owner = rate->head->id;
    permit->generation = process_generation();
    return outcome;
}

void weir_rate_give_back_at(struct weir_policy *rate, struct weir_permit *permit, uint64_t now_ns)
{
    static const char function[] = "weir_rate_give_back_at";
    policy_require(rate, POLICY_RATE, function);
    WEIR_REQUIRE(permit != NULL, function, "permit is NULL");
    WEIR_REQUIRE(permit->owner == rate->head->id, function,
        "the permit is of another policy, was refused or was given back already");
    permit->owner = 0;
    if (permit->generation != process_generation()) return; /* the parent's */
    if (give_back(rate->config, rate->state, &permit->slot, 0, false, now_ns)) {
        policy_count_alone(rate->state, RATE_GIVEN_BACK);
    }
}
