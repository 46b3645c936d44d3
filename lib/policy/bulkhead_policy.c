/* The bulkhead as a policy: its hooks, its config, its statistics. */
#include "base/lock.h"
#include "policy/bulkhead_hot.h"

#include <stdio.h>

static struct weir_verdict woken(struct weir_verdict verdict, bool handed)
{
    if (handed) verdict.flags |= WEIR_VERDICT_WAKE;
    return verdict;
}

/* ---- strict sharing: a call's deadline is cut to the end of the lease that it runs under ----
 * A slot that says so has the deadline outside, marked by its highest bit, and between cell and weight who set it. */

#define CUT (UINT64_C(1) << 63)
#define CUT_BY_SHIFT 8
#define CUT_BY_MASK (UINT64_C(0xff) << CUT_BY_SHIFT)

static struct weir_verdict pass_cut(
    const struct bulkhead_state *state, struct weir_slot *slot, struct weir_call *call)
{
    if (likely(atomic_load_acquire(&state->plain_until_ns) != 0)) return verdict(WEIR_PASS);
    uint64_t end_ns = bulkhead_lease_end(state);
    if (end_ns >= call->attempt.deadline_ns) return verdict(WEIR_PASS);
    slot->word[0] |= (uint64_t)call->deadline_by << CUT_BY_SHIFT;
    slot->word[1] = call->attempt.deadline_ns | CUT;
    call->attempt.deadline_ns = end_ns;
    call->deadline_by = (uint8_t)(call->cursor + 1);
    return verdict(WEIR_PASS);
}

/* Abandoned work comes back when what it ran for may be elsewhere: then the deadline is another's by now. */
static void uncut(struct weir_slot *slot, struct weir_call *call)
{
    if (call->deadline_by == call->cursor + 1) {
        uint64_t outside_ns = slot->word[1];
        call->attempt.deadline_ns = outside_ns == WEIR_NEVER ? WEIR_NEVER : outside_ns & ~CUT;
        call->deadline_by = (uint8_t)(slot->word[0] >> CUT_BY_SHIFT);
    }
    *slot = (struct weir_slot) { { slot->word[0] & ~CUT_BY_MASK, 0 } };
}

/* ---- the queue ---- */

/* False: the limit has sunk below what it needs, it holds nothing. */
static bool take_grant(const struct bulkhead_config *config, struct bulkhead_state *state,
    struct weir_slot *slot, const struct weir_call *call)
{
    uint32_t weight = bulkhead_take_grant(state, (uint32_t)slot->word[1] - 1);
    uint32_t cell = config->cells == 0 ? 0 : bulkhead_cell(config, call->shard);
    *slot = (struct weir_slot) { { slot_held(cell, weight), 0 } };
    return weight != 0;
}

static COLD struct weir_verdict refuse_full(struct bulkhead_state *state, const struct weir_call *call)
{
    policy_count(state, call, BULKHEAD_LEFT);
    policy_count(state, call, BULKHEAD_REFUSED_FULL);
    return verdict_refuse(WEIR_REASON_BULKHEAD_FULL, 0);
}

/* The wait of a call that was handed something is over. What was lent may have ended since it was handed over. */
static struct weir_verdict end_wait(const struct bulkhead_config *config, struct bulkhead_state *state,
    struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    if (!take_grant(config, state, slot, call)) return refuse_full(state, call);
    if (unlikely(now_ns >= bulkhead_lease_end(state))) {
        bulkhead_give(config, state, slot->word[0]);
        return woken(refuse_full(state, call), bulkhead_pump(config, state, now_ns));
    }
    policy_count(state, call, BULKHEAD_HANDED_OVER);
    return pass_cut(state, slot, call);
}

static COLD struct weir_verdict queue_up(const struct bulkhead_config *config, struct bulkhead_state *state,
    struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    uint32_t weight = call_weight(call), waiter = 0;
    bool handed = false;
    if (config->cells != 0 && weight <= bulkhead_limit(config, state)) {
        uint32_t cell = bulkhead_cell(config, call->shard);
        if (bulkhead_gather(config, state, cell, weight, now_ns, &handed)) {
            *slot = (struct weir_slot) { { slot_held(cell, weight), 0 } };
            return woken(pass_cut(state, slot, call), handed);
        }
    }
    enum weir_reason reason = bulkhead_enqueue(config, state, weight, &waiter);
    if (reason != WEIR_REASON_NONE) {
        bool full = reason == WEIR_REASON_BULKHEAD_FULL;
        policy_count(state, call, full ? BULKHEAD_REFUSED_FULL : BULKHEAD_REFUSED_QUEUE_FULL);
        return woken(verdict_refuse(reason, 0), handed);
    }
    policy_count(state, call, BULKHEAD_QUEUED);
    *slot = (struct weir_slot) { { time_add(now_ns, config->wait_max_ns), waiter + 1 } };
    if (bulkhead_pump(config, state, now_ns)) handed = true;
    if (bulkhead_waiter_granted(state, waiter)) {
        return woken(end_wait(config, state, slot, call, now_ns), handed);
    }
    struct weir_verdict hold = verdict(WEIR_HOLD);
    hold.waiter = waiter + 1;
    hold.at_ns = slot->word[0];
    return woken(hold, handed);
}

/* Asked again: granted, waiting on, or waited for too long. */
static COLD struct weir_verdict ask_again(const struct bulkhead_config *config, struct bulkhead_state *state,
    struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    uint32_t waiter = (uint32_t)slot->word[1] - 1;
    if (!bulkhead_waiter_granted(state, waiter)) {
        if (now_ns < slot->word[0]) {
            struct weir_verdict hold = verdict(WEIR_HOLD);
            hold.waiter = waiter + 1;
            hold.at_ns = slot->word[0];
            return hold;
        }
        if (bulkhead_withdraw(state, waiter)) {
            policy_count(state, call, BULKHEAD_REFUSED_WAIT);
            policy_count(state, call, BULKHEAD_LEFT);
            return woken(verdict_refuse(WEIR_REASON_QUEUE_WAIT, 0), bulkhead_pump(config, state, now_ns));
        }
    }
    return end_wait(config, state, slot, call, now_ns);
}

/* ---- hooks ---- */

/* The lease has ended; or each call is to end with it: such a one comes again off the fast lists, where the deadline
 * that is in its way is its own. */
static COLD struct weir_verdict look_closer(const struct bulkhead_config *config,
    struct bulkhead_state *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    if (atomic_load_acquire(&state->plain_until_ns) != 0) return queue_up(config, state, slot, call, now_ns);
    *slot = (struct weir_slot) { { slot_held(0, 0), 0 } };
    struct weir_verdict again = verdict(WEIR_HOLD);
    again.at_ns = now_ns;
    return again;
}

/* On the fast lists nobody is held yet, and the form is known. */
static struct weir_verdict first_single(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    uint32_t weight = call_weight(call);
    if (unlikely(!bulkhead_is_plain(state, now_ns))) return look_closer(config, state, slot, call, now_ns);
    if (unlikely(!bulkhead_enter_single(state, weight))) {
        return queue_up(config, state, slot, call, now_ns);
    }
    *slot = (struct weir_slot) { { slot_held(0, weight), 0 } };
    return verdict(WEIR_PASS);
}

static struct weir_verdict first_sharded(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    uint32_t weight = call_weight(call), cell = bulkhead_cell(config, call->shard);
    if (unlikely(!bulkhead_is_plain(state, now_ns))) return look_closer(config, state, slot, call, now_ns);
    if (unlikely(!bulkhead_enter_cell(state, cell, weight))) {
        return queue_up(config, state, slot, call, now_ns);
    }
    *slot = (struct weir_slot) { { slot_held(cell, weight), 0 } };
    return verdict(WEIR_PASS);
}

static struct weir_verdict admit(
    const void *opaque_config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    const struct bulkhead_config *config = opaque_config;
    struct bulkhead_state *state = opaque;
    bool held = call->held == call->cursor + 1;
    if (held && slot->word[1] != 0) return ask_again(config, state, slot, call, now_ns);
    uint32_t weight = call_weight(call), cell = config->cells == 0 ? 0 : bulkhead_cell(config, call->shard);
    if (now_ns >= bulkhead_lease_end(state) || !bulkhead_enter(config, state, cell, weight)) {
        return queue_up(config, state, slot, call, now_ns);
    }
    *slot = (struct weir_slot) { { slot_held(cell, weight), 0 } };
    return pass_cut(state, slot, call);
}

static COLD struct weir_verdict give_and_look(
    const struct bulkhead_config *config, struct bulkhead_state *state, uint64_t now_ns)
{
    return woken(verdict(WEIR_PASS), bulkhead_pump(config, state, now_ns));
}

/* A held call ends: it leaves the queue, or gives back what it was granted. */
static COLD struct weir_verdict leave_queue(const struct bulkhead_config *config,
    struct bulkhead_state *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    policy_count(state, call, BULKHEAD_LEFT);
    if (!bulkhead_withdraw(state, (uint32_t)slot->word[1] - 1)) {
        bool taken = take_grant(config, state, slot, call);
        if (taken) bulkhead_give(config, state, slot->word[0]);
    }
    return give_and_look(config, state, now_ns);
}

static struct weir_verdict settle(const void *opaque_config, void *opaque, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)outcome;
    const struct bulkhead_config *config = opaque_config;
    struct bulkhead_state *state = opaque;
    if (unlikely(slot->word[1] != 0)) {
        if ((slot->word[1] & CUT) == 0) return leave_queue(config, state, slot, call, now_ns);
        uncut(slot, call);
    }
    if (unlikely(bulkhead_give(config, state, slot->word[0]))) return give_and_look(config, state, now_ns);
    return verdict(WEIR_PASS);
}

static uint32_t next_woken(const void *config, void *state)
{
    return bulkhead_next_woken(config, state);
}

static void forked(const void *config, void *opaque)
{
    struct bulkhead_state *state = opaque;
    bulkhead_fill(config, state, state->own); /* a child shares nothing */
}

static bool idle(const void *config, const void *opaque)
{
    const struct bulkhead_state *state = opaque;
    if (bulkhead_occupied(config, state) != 0) return false;
    return bulkhead_in_use(config, state) == 0;
}

static void describe(
    const void *opaque_config, const void *opaque, uint64_t now_ns, char *buffer, size_t size)
{
    (void)now_ns;
    const struct bulkhead_config *config = opaque_config;
    const struct bulkhead_state *state = opaque;
    char form[48] = "one word";
    char lease[80] = "exact";
    uint32_t limit = bulkhead_limit(config, state), fleet = atomic_load_acquire(&state->fleet);
    if (config->cells != 0) snprintf(form, sizeof form, "%u shards", config->cells);
    if (fleet != 0) {
        bool lent = bulkhead_lease_end(state) != WEIR_NEVER;
        snprintf(lease, sizeof lease, "%s %u of %u shared by %u", lent ? "lease" : "without a lease", limit,
            atomic_load_relaxed(&state->own), fleet);
    }
    snprintf(buffer, size, "%u of %u in use, %u of %u waiting, %s, %s", bulkhead_in_use(config, state), limit,
        bulkhead_occupied(config, state), config->queue, form, lease);
}

static const struct weir_policy_ops bulkhead_ops = {
    .size = sizeof bulkhead_ops,
    .flags = WEIR_POLICY_LASTING,
    .kind = "bulkhead",
    .admit = admit,
    .settle = settle,
    .next_woken = next_woken,
    .forked = forked,
    .idle = idle,
    .describe = describe,
};

/* ---- create, limit, statistics ---- */

static const char type[] = "weir_bulkhead_config";
#define PERMITS_PER_CELL 4 /* at least, so that cells are not empty all the time */

static uint32_t cells_for(enum weir_form form, uint32_t limit)
{
    if (form == WEIR_FORM_SINGLE) return 0;
    uint32_t cells = 1;
    while (cells * 2 <= SHARDS && cells * 2 * PERMITS_PER_CELL <= limit) cells *= 2;
    if (cells > 1) return cells;
    return form == WEIR_FORM_SHARDED ? 2 : 0;
}

enum weir_error weir_bulkhead_create(const struct weir_bulkhead_config *given, struct weir_policy **bulkhead)
{
    WEIR_REQUIRE(bulkhead != NULL, "weir_bulkhead_create", "bulkhead is NULL");
    struct weir_bulkhead_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = error_range32(type, "limit", &c.limit, 64, 1, LIMIT_MAX);
    if (error == WEIR_E_NONE && c.queue != 0)
        error = error_range32(type, "queue", &c.queue, 0, 1, WAITERS_MAX);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "wait_max_ns", &c.wait_max_ns, WEIR_S, 1, 86400 * WEIR_S);
    }
    if (error == WEIR_E_NONE && (unsigned)c.form > WEIR_FORM_SHARDED) {
        error = error_set(WEIR_E_INVALID, "%s.form is %u, expected a weir_form", type, (unsigned)c.form);
    }
    if (error != WEIR_E_NONE) return error;
    struct bulkhead_config record = {
        .wait_max_ns = c.wait_max_ns,
        .queue = c.queue,
        .cells = cells_for(c.form, c.limit),
        .on_way = (uint32_t)time_min(c.limit, c.queue),
    };
    error = policy_new(
        &(struct policy_spec) { .kind = POLICY_BULKHEAD,
            .ops = &bulkhead_ops,
            .type = type,
            .name = c.name,
            .standard_name = "bulkhead",
            .config = &record,
            .config_size = sizeof record,
            .state_size = sizeof(struct bulkhead_state) + bulkhead_places(&record) * sizeof(uint64_t),
            .waiters = bulkhead_places(&record),
            .first = record.cells == 0 ? first_single : first_sharded },
        bulkhead);
    if (error == WEIR_E_NONE) bulkhead_fill((*bulkhead)->config, (*bulkhead)->state, c.limit);
    return policy_share(bulkhead, c.share, error);
}

enum weir_error weir_bulkhead_set_limit(struct weir_policy *bulkhead, uint32_t limit)
{
    policy_require(bulkhead, POLICY_BULKHEAD, "weir_bulkhead_set_limit");
    if (limit == 0 || limit > LIMIT_MAX) {
        return error_set(WEIR_E_INVALID, "limit is %u, expected 1..%d", limit, LIMIT_MAX);
    }
    lock_take(&weir_registry_lock);
    bool handed = bulkhead_set_own(bulkhead->config, bulkhead->state, limit);
    lock_drop(&weir_registry_lock);
    if (handed) policy_post(bulkhead);
    return WEIR_E_NONE;
}

struct weir_bulkhead_stats weir_bulkhead_stats(const struct weir_policy *bulkhead)
{
    policy_require(bulkhead, POLICY_BULKHEAD, "weir_bulkhead_stats");
    const struct bulkhead_state *state = bulkhead->state;
    const struct bulkhead_config *config = bulkhead->config;
    const struct counters *counters = bulkhead->counters;
    return (struct weir_bulkhead_stats) {
        .limit = bulkhead_limit(config, state),
        .in_use = bulkhead_in_use(config, state),
        .waiting = bulkhead_occupied(config, state),
        .shards = config->cells,
        .refused_full = counters_sum(counters, BULKHEAD_REFUSED_FULL),
        .refused_queue_full = counters_sum(counters, BULKHEAD_REFUSED_QUEUE_FULL),
        .refused_wait = counters_sum(counters, BULKHEAD_REFUSED_WAIT),
        .refused_nested = counters_sum(counters, POLICY_REFUSED_NESTED),
        .refused_forced = counters_sum(counters, POLICY_REFUSED_FORCED),
        .would_refuse = counters_sum(counters, POLICY_WOULD_REFUSE),
        .queued = counters_sum(counters, BULKHEAD_QUEUED),
        .handed_over = counters_sum(counters, BULKHEAD_HANDED_OVER),
        .left = counters_sum(counters, BULKHEAD_LEFT),
    };
}
