/* Between the machine and the hooks: every admit and settle passes here, on its way to the library's own.
 *
 * What is checked for every policy: a debt is made by PASS and HOLD only, paid exactly once, and until then
 * its slot stays as the policy left it; who is asked has all outer policies' leave; who is settled has no
 * inner one owing, but for what lasts. */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint16_t bit(uint32_t position)
{
    return (uint16_t)(1u << position);
}

static struct watch *watch_of(const void *state)
{
    for (uint32_t i = 0; i < sim->watches; i++) {
        if (sim->watch[i].policy->state == state) return &sim->watch[i];
    }
    broken("a hook of no policy of this world was called");
}

static struct visit visit_of(void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    struct visit visit = {
        .watch = watch_of(state), .caller = (struct caller *)call, .slot = slot, .now_ns = now_ns
    };
    while (visit.caller->lane->order[visit.at] != visit.watch) visit.at++;
    MUST(slot == &call->slot[visit.at], "policy %" PRIu32 " was handed another's slot", visit.at);
    return visit;
}

static bool is_quiet(const struct watch *watch)
{
    return (watch->policy->flags & WEIR_POLICY_QUIET_ADMIT) != 0;
}

static bool is_lasting(const struct watch *watch)
{
    return (watch->policy->flags & WEIR_POLICY_LASTING) != 0;
}

/* ---- debts ---- */

static void check_slot(const struct visit *visit)
{
    bool same = memcmp(visit->slot, &visit->caller->kept[visit->at], sizeof *visit->slot) == 0;
    MUST(same, "the slot of policy %" PRIu32 " was changed between its hooks", visit->at);
}

static void before_admit(const struct visit *visit)
{
    const struct caller *caller = visit->caller;
    if ((caller->owed & bit(visit->at)) != 0) {
        MUST((caller->held & bit(visit->at)) != 0,
            "policy %" PRIu32 " was asked again while it is owed a settle", visit->at);
        check_slot(visit);
    }
    bool fast = (caller->call.flags & CALL_SLOW) == 0;
    for (uint32_t i = 0; i < caller->lane->count; i++) {
        const struct watch *other = caller->lane->order[i];
        bool owed = (caller->owed & bit(i)) != 0;
        bool unseen = other->moded || other->kind == CHAOS || (is_quiet(other) && fast) ||
            (is_quiet(other) && is_quiet(visit->watch));
        if (i < visit->at) MUST(owed || unseen, "policy %" PRIu32 " was asked before %" PRIu32, visit->at, i);
        if (i > visit->at && owed &&
            !is_quiet(visit->watch)) { /* quiet ones are asked when a call leaves the fast lists */
            MUST((caller->ignored & bit(visit->at)) != 0,
                "policy %" PRIu32 " is asked, but %" PRIu32 " is owed", visit->at, i);
        }
    }
}

static void after_admit(struct visit *visit, struct weir_verdict verdict)
{
    struct caller *caller = visit->caller;
    uint16_t mine = bit(visit->at);
    uint32_t phase = caller->call.phase;
    bool anew = (caller->ignored & mine) != 0 && (phase == PHASE_HOLDING || phase == PHASE_BACKING_OFF);
    if (verdict.kind != WEIR_HOLD) caller->ignored &= (uint16_t)~mine;
    caller->owed &= (uint16_t)~mine;
    caller->held &= (uint16_t)~mine;
    /* Whom a chaos lets go on by the fast lists owes it nothing: it has nothing to say to him. */
    bool spared = visit->watch->kind == CHAOS && (caller->call.flags & CALL_SLOW) == 0;
    if (spared && verdict.kind == WEIR_PASS && verdict.flags == 0) return;
    switch ((enum weir_verdict_kind)verdict.kind) {
    case WEIR_HOLD: caller->held |= mine; __attribute__((fallthrough));
    case WEIR_SKIP:
    case WEIR_PASS:
        caller->owed |= mine;
        caller->kept[visit->at] = *visit->slot;
        caller->again[visit->at] = 0;
        if (anew) cover(COVER_STALE_READMITTED);
        break;
    case WEIR_REFUSE:
        if (anew) cover(COVER_STALE_REFUSED);
        break;
    default: broken("admit of policy %" PRIu32 " answered %u", visit->at, verdict.kind);
    }
    hash_in((uint64_t)visit->at << 32 | (uint64_t)verdict.kind << 16 | (uint64_t)verdict.reason);
}

/* A call that goes well by the fast lists owes nothing to those inside whose settle would do nothing. */
static void forgive_quiet(const struct visit *visit)
{
    struct caller *caller = visit->caller;
    for (uint32_t i = visit->at + 1; i < caller->lane->count; i++) {
        bool quiet = (caller->lane->order[i]->policy->flags & WEIR_POLICY_QUIET_SETTLE) != 0;
        if (quiet) caller->owed &= (uint16_t)~bit(i);
    }
}

static void before_settle(const struct visit *visit)
{
    const struct caller *caller = visit->caller;
    bool fast = (caller->call.flags & CALL_SLOW) == 0;
    if (fast) forgive_quiet(visit);
    bool owed = (caller->owed & bit(visit->at)) != 0, skipped = fast && is_quiet(visit->watch);
    MUST(owed || skipped, "policy %" PRIu32 " was settled, but is owed nothing", visit->at);
    if (is_lasting(visit->watch)) { /* rule 4: the slot stays taken until the work has really ended */
        const struct job *function = &caller->job[1];
        bool runs = caller->job[0].runs || (function->runs && visit->at < function->inside);
        MUST(!runs, "policy %" PRIu32 " gave back what running work holds", visit->at);
    }
    if (owed) check_slot(visit);
    for (uint32_t i = visit->at + 1; i < caller->lane->count; i++) {
        if ((caller->owed & bit(i)) == 0 || visit->outcome->status == WEIR_IGNORED) continue;
        const struct watch *inner = caller->lane->order[i];
        bool lasts = is_lasting(inner) && caller->call.pending != 0;
        MUST(lasts, "policy %" PRIu32 " is settled before %" PRIu32, visit->at, i);
    }
}

/* What a call came with is kept while it has time, by a policy that is ON. The machine has told the policy so before
 * it asked. */
static bool may_keep(const struct visit *visit)
{
    const struct weir_call *call = &visit->caller->call;
    bool fast = (call->flags & CALL_SLOW) == 0, ending = (call->flags & CALL_ENDING) != 0;
    if (fast) return true;
    if (weir_policy_mode(visit->watch->policy) != WEIR_MODE_ON) ending = true;
    if (visit->now_ns >= call->attempt.deadline_ns || visit->beside) ending = true;
    if (visit->outcome->by != 0 && visit->outcome->by <= visit->at) ending = true; /* refused further out */
    MUST(weir_call_is_ending(call) == ending, "policy %" PRIu32 " is told that the call is%s ending",
        visit->at, ending ? " not" : "");
    return !ending;
}

static void after_settle(struct visit *visit, struct weir_verdict verdict)
{
    struct caller *caller = visit->caller;
    bool more = verdict.kind == WEIR_AGAIN || verdict.kind == WEIR_FALL_BACK;
    bool ending = (caller->call.flags & CALL_ENDING) != 0;
    caller->kept[visit->at] = *visit->slot;
    if (more && !ending) return;
    if (verdict.kind == WEIR_HOLD && may_keep(visit)) {
        cover(COVER_KEPT);
        return;
    }
    caller->owed &= (uint16_t)~bit(visit->at);
    caller->held &= (uint16_t)~bit(visit->at);
    if (visit->outcome->status == WEIR_IGNORED) caller->ignored |= bit(visit->at);
}

/* ---- deadlines ---- */

static void deadline_before(struct visit *visit)
{
    visit->before[0] = visit->caller->call.attempt.deadline_ns;
}

static void deadline_admitted(struct visit *visit, struct weir_verdict verdict)
{
    const struct watch *watch = visit->watch;
    uint64_t before_ns = visit->before[0], after_ns = visit->caller->call.attempt.deadline_ns;
    MUST(verdict.kind == WEIR_PASS, "a quiet policy refused");
    MUST(after_ns <= before_ns, "a deadline grew on the way in");
    if (watch->kind == TIMEOUT) {
        MUST(after_ns == time_min(before_ns, visit->now_ns + watch->timeout_ns),
            "the timeout's deadline is %" PRIu64, after_ns);
    }
    visit->caller->deadline_ns[visit->at] = before_ns;
}

static void deadline_settled(struct visit *visit)
{
    if ((visit->caller->call.flags & CALL_SLOW) == 0) return;
    MUST(visit->caller->call.attempt.deadline_ns == visit->caller->deadline_ns[visit->at],
        "policy %" PRIu32 " did not restore the deadline", visit->at);
}

/* ---- hooks ---- */

static void before_hook(struct visit *visit)
{
    switch (visit->watch->kind) {
    case BREAKER: breaker_before(visit); break;
    case RATE: rate_before(visit); break;
    case TIMEOUT:
    case FALLBACK: deadline_before(visit); break;
    case RETRY:
    case BULKHEAD:
    case GATE:
    case SHARE:
    case CHAOS:
    case KINDS: break;
    }
}

static struct weir_verdict watch_admit(
    struct visit visit, admit_hook *admit, const void *config, struct weir_slot *slot)
{
    before_admit(&visit);
    before_hook(&visit);
    struct weir_verdict verdict =
        admit(config, visit.watch->policy->state, slot, &visit.caller->call, visit.now_ns);
    switch (visit.watch->kind) {
    case BREAKER: breaker_admitted(&visit, verdict); break;
    case BULKHEAD: bulkhead_admitted(&visit, verdict); break;
    case RATE: rate_admitted(&visit, verdict); break;
    case TIMEOUT:
    case FALLBACK: deadline_admitted(&visit, verdict); break;
    case SHARE: share_admitted(&visit, verdict); break;
    case CHAOS: chaos_admitted(&visit, verdict); break;
    case RETRY:
    case GATE:
    case KINDS: break;
    }
    after_admit(&visit, verdict);
    return verdict;
}

static struct weir_verdict watched_admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    struct visit visit = visit_of(state, slot, call, now_ns);
    return watch_admit(visit, visit.watch->real->admit, config, slot);
}

static struct weir_verdict watched_first(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    struct visit visit = visit_of(state, slot, call, now_ns);
    return watch_admit(visit, visit.watch->first, config, slot);
}

static struct weir_verdict watch_settle(struct visit visit, settle_hook *settle, const void *config,
    struct weir_slot *slot, struct weir_outcome *outcome)
{
    struct weir_outcome came = *outcome;
    visit.outcome = &came;
    visit.beside = outcome != &visit.caller->call.outcome;
    bool skipped = came.status == WEIR_IGNORED && came.by == visit.at + 1 && !visit.beside;
    if (skipped && visit.caller->call.phase != PHASE_KEEPING) {
        visit.caller->runs++; /* it counts as an attempt */
        cover(COVER_SKIPPED);
    }
    before_settle(&visit);
    before_hook(&visit);
    struct weir_verdict verdict = { .kind = WEIR_PASS }; /* what it means to leave the hook out */
    if (settle != NULL) {
        verdict =
            settle(config, visit.watch->policy->state, slot, &visit.caller->call, outcome, visit.now_ns);
    }
    switch (visit.watch->kind) {
    case BREAKER: breaker_settled(&visit, verdict); break;
    case BULKHEAD: bulkhead_settled(&visit, verdict); break;
    case RATE: rate_settled(&visit, verdict); break;
    case RETRY: retry_settled(&visit, verdict); break;
    case TIMEOUT:
    case FALLBACK: deadline_settled(&visit); break;
    case CHAOS: chaos_settled(&visit, verdict); break;
    case GATE:
    case SHARE:
    case KINDS: break;
    }
    after_settle(&visit, verdict);
    return verdict;
}

static struct weir_verdict watched_settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    struct visit visit = visit_of(state, slot, call, now_ns);
    return watch_settle(visit, visit.watch->real->settle, config, slot, outcome);
}

static struct weir_verdict watched_well(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    struct visit visit = visit_of(state, slot, call, now_ns);
    return watch_settle(visit, visit.watch->well, config, slot, outcome);
}

/* The policy's operations, but for its admit and settle; one copy for each kind. */
void watch_policy(struct watch *watch, struct weir_policy *policy, enum kind kind)
{
    static struct weir_policy_ops watched[KINDS];
    static const struct weir_policy_ops *real[KINDS];
    if (real[kind] == NULL) {
        real[kind] = policy->ops;
        watched[kind] = *policy->ops;
        watched[kind].admit = watched_admit;
        watched[kind].settle = watched_settle;
    }
    watch->kind = kind;
    watch->policy = policy;
    watch->real = real[kind];
    watch->first = policy->first;
    watch->well = policy->well;
    policy->ops = &watched[kind];
    policy->first = watched_first;
    policy->well = watched_well;
}

void watch_event(struct watch *watch, const struct weir_event *event)
{
    switch ((enum weir_event_kind)event->kind) {
    case WEIR_EVENT_BREAKER_OPENED:
    case WEIR_EVENT_BREAKER_REOPENED:
    case WEIR_EVENT_BREAKER_HALF_OPENED:
    case WEIR_EVENT_BREAKER_CLOSED:
    case WEIR_EVENT_BREAKER_RAMP_OVER:
        MUST(watch->kind == BREAKER, "event %u by a policy of another kind", event->kind);
        watch->breaker.told++;
        break;
    case WEIR_EVENT_CHAOS_ENDED: cover(COVER_CHAOS_ENDED); __attribute__((fallthrough));
    case WEIR_EVENT_CHAOS_HIT:
        MUST(watch->kind == CHAOS, "event %u by a policy of another kind", event->kind);
        break;
    default: break;
    }
}

/* What an attempt that starts now without a wait must have by way of time: inwards, the least. */
static uint64_t first_deadline(const struct caller *caller, uint64_t now_ns)
{
    uint64_t deadline_ns = caller->given == NULL ? WEIR_NEVER : caller->given->deadline_ns;
    for (uint32_t i = 0; i < caller->lane->count; i++) {
        const struct watch *watch = caller->lane->order[i];
        if (watch->kind == TIMEOUT) deadline_ns = time_min(deadline_ns, now_ns + watch->timeout_ns);
        if (watch->reserve_ns == 0 || deadline_ns == WEIR_NEVER) continue;
        deadline_ns = time_max(time_since(deadline_ns, watch->reserve_ns), now_ns);
    }
    return deadline_ns;
}

/* RUN: by the fast lists no hook has shown the deadline; and who waited has the leave of breakers as they are. */
void watch_run(const struct caller *caller, uint64_t at_ns, uint64_t now_ns)
{
    if ((caller->call.flags & CALL_SLOW) == 0) {
        uint64_t expected = first_deadline(caller, now_ns);
        MUST(at_ns == expected, "the attempt's deadline is %" PRIu64 ", expected %" PRIu64, at_ns, expected);
    }
    for (uint32_t i = 0; i < caller->lane->count; i++) {
        const struct watch *watch = caller->lane->order[i];
        if (watch->kind != BREAKER || (caller->owed & bit(i)) == 0) continue;
        uint32_t now = word_generation(((const struct breaker_state *)watch->policy->state)->word);
        MUST(caller->generation[i] == now,
            "started with the leave of an older generation of breaker %" PRIu32, i);
    }
}

/* DONE: nothing is owed but what lasts for abandoned work. */
void watch_done(struct caller *caller, struct weir_step step)
{
    bool fast = (caller->call.flags & CALL_SLOW) == 0;
    for (uint32_t i = 0; i < caller->lane->count; i++) {
        if ((caller->owed & bit(i)) == 0) continue;
        const struct watch *watch = caller->lane->order[i];
        if (step.pending != 0 && is_lasting(watch)) {
            cover(COVER_LASTED);
            continue;
        }
        bool quiet = fast && (watch->policy->flags & WEIR_POLICY_QUIET_SETTLE) != 0;
        MUST(quiet, "the call is over, but policy %" PRIu32 " was not settled", i);
    }
}

/* ---- the gate ---- */

static uint64_t gate_draw(struct gate_state *state)
{
    state->random = state->random * UINT64_C(6364136223846793005) + 1;
    return (state->random >> 33) % 100;
}

static struct weir_verdict gate_admit(
    const void *opaque, void *opaque_state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    const struct gate_config *config = opaque;
    struct gate_state *state = opaque_state;
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    (void)call;
    state->passed++;
    slot->word[0] = state->passed;
    slot->word[1] = now_ns;
    if (state->calm) return verdict;
    uint64_t what = gate_draw(state);
    if (what < config->hold_percent) {
        verdict.kind = WEIR_HOLD;
        verdict.at_ns = now_ns + config->hold_ns;
    } else if (what < config->hold_percent + config->refuse_percent) {
        verdict.kind = WEIR_REFUSE;
    } else if (gate_draw(state) < config->skip_percent) {
        verdict.kind = WEIR_SKIP;
    }
    return verdict;
}

static struct weir_verdict gate_settle(const void *opaque, void *opaque_state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct gate_config *config = opaque;
    struct gate_state *state = opaque_state;
    (void)slot;
    (void)call;
    if (!state->calm && gate_draw(state) < config->keep_percent) {
        return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = now_ns + config->hold_ns };
    }
    if (state->calm || gate_draw(state) >= config->answer_percent)
        return (struct weir_verdict) { .kind = WEIR_PASS };
    if (outcome->status == WEIR_OK) {
        *outcome = (struct weir_outcome) { .status = WEIR_FAILED, .reason = WEIR_REASON_CUSTOM, .code = 99 };
    }
    return (struct weir_verdict) { .kind = WEIR_ANSWER };
}

static bool gate_stale(const void *opaque, const void *opaque_state, const struct weir_slot *slot)
{
    const struct gate_config *config = opaque;
    const struct gate_state *state = opaque_state;
    return !state->calm && (slot->word[0] + state->passed) % 100 < config->stale_percent;
}

const struct weir_policy_ops gate_ops = {
    .size = sizeof gate_ops,
    .kind = "gate",
    .admit = gate_admit,
    .settle = gate_settle,
    .stale = gate_stale,
};
