/* What limits may do: bulkhead, rate, gate, retry and its budget. */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

static bool is_held(const struct visit *visit)
{
    return (visit->caller->held >> visit->at & 1) != 0;
}

/* ---- bulkhead ---- */

static uint32_t ungranted(const struct bulkhead_watch *own)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < own->waiters; i++) count += !own->waiting[i]->granted;
    return count;
}

void bulkhead_forget(struct watch *watch, struct caller *caller)
{
    struct bulkhead_watch *own = &watch->bulkhead;
    uint32_t i = 0;
    while (i < own->waiters && own->waiting[i] != caller) i++;
    MUST(i < own->waiters, "bulkhead: call %" PRIu32 " leaves a queue that it is not in", caller->index);
    for (own->waiters--; i < own->waiters; i++) own->waiting[i] = own->waiting[i + 1];
    caller->granted = caller->dismissed = false;
}

/* Its waker was posted: it was handed what it needs, or is told that it never will be. */
void bulkhead_posted(struct caller *caller)
{
    if (caller->granted) return; /* wakers may post again */
    caller->granted = true;
    for (uint32_t i = 0; i < sim->watches; i++) {
        const struct bulkhead_watch *own = &sim->watch[i].bulkhead;
        for (uint32_t j = 0; sim->watch[i].kind == BULKHEAD && j < own->waiters; j++) {
            if (own->waiting[j] == caller && caller->weight > own->limit) caller->dismissed = true;
        }
    }
}

static uint32_t in_use(const struct watch *watch)
{
    return bulkhead_in_use(watch->policy->config, watch->policy->state);
}

static void bulkhead_refused(const struct visit *visit, struct weir_verdict verdict)
{
    const struct bulkhead_watch *own = &visit->watch->bulkhead;
    uint64_t weight = visit->caller->weight, use = in_use(visit->watch);
    const struct bulkhead_config *config = visit->watch->policy->config;
    bool full = use + weight > own->limit || ungranted(own) > 0;
    MUST(full, "bulkhead: refused with %" PRIu64 " of %" PRIu32 " in use", use, own->limit);
    if (verdict.reason == WEIR_REASON_BULKHEAD_FULL) {
        MUST(own->queue == 0 || weight > own->limit, "bulkhead: full, but there is a queue");
    } else {
        bool no_place = ungranted(own) == own->queue || own->waiters == bulkhead_places(config);
        MUST(verdict.reason == WEIR_REASON_QUEUE_FULL && no_place,
            "bulkhead: %" PRIu32 " of %" PRIu32 " waiting", ungranted(own), own->queue);
    }
}

static void asked_again(const struct visit *visit, struct weir_verdict verdict)
{
    struct caller *caller = visit->caller;
    struct bulkhead_watch *own = &visit->watch->bulkhead;
    if (verdict.kind == WEIR_HOLD) {
        MUST(!caller->granted && visit->now_ns < verdict.at_ns, "bulkhead: held on, though granted or over");
        return;
    }
    bool refused = verdict.kind == WEIR_REFUSE;
    MUST(!caller->dismissed || refused, "bulkhead: dismissed, but let in");
    if (caller->dismissed) {
        MUST(verdict.reason == WEIR_REASON_BULKHEAD_FULL, "bulkhead: dismissed for %u", verdict.reason);
        cover(COVER_DISMISSED);
    } else if (refused) {
        MUST(verdict.reason == WEIR_REASON_QUEUE_WAIT, "bulkhead: ended its wait for %u", verdict.reason);
        MUST(visit->now_ns >= caller->waits_until_ns && !caller->granted, "bulkhead: its wait ended early");
    } else {
        own->held += caller->weight;
        cover(COVER_HANDED_OVER);
    }
    bulkhead_forget(visit->watch, caller);
}

void bulkhead_admitted(struct visit *visit, struct weir_verdict verdict)
{
    struct bulkhead_watch *own = &visit->watch->bulkhead;
    struct caller *caller = visit->caller;
    if (is_held(visit)) {
        asked_again(visit, verdict);
    } else if (verdict.kind == WEIR_PASS) {
        MUST(ungranted(own) == 0, "bulkhead: a newcomer overtook %" PRIu32 " waiters", ungranted(own));
        own->held += caller->weight;
        MUST(in_use(visit->watch) <= own->limit, "bulkhead: %" PRIu32 " in use of %" PRIu32,
            in_use(visit->watch), own->limit);
    } else if (verdict.kind == WEIR_HOLD) {
        MUST(ungranted(own) < own->queue, "bulkhead: more than %" PRIu32 " waiters", own->queue);
        MUST(verdict.at_ns == visit->now_ns + own->wait_max_ns, "bulkhead: a wait until %" PRIu64,
            verdict.at_ns);
        own->waiting[own->waiters++] = caller;
        caller->granted = false;
        caller->waits_until_ns = verdict.at_ns;
        cover(COVER_QUEUED);
    } else {
        bulkhead_refused(visit, verdict);
    }
}

void bulkhead_settled(struct visit *visit, struct weir_verdict verdict)
{
    struct bulkhead_watch *own = &visit->watch->bulkhead;
    (void)verdict;
    if (is_held(visit)) {
        cover(visit->caller->granted ? COVER_GRANTED_LEFT : COVER_WAITING_LEFT);
        bulkhead_forget(visit->watch, visit->caller);
        return;
    }
    MUST(own->held >= visit->caller->weight, "bulkhead: more given back than taken");
    own->held -= visit->caller->weight;
}

void bulkhead_check(struct watch *watch)
{
    struct bulkhead_watch *own = &watch->bulkhead;
    const struct bulkhead_state *state = watch->policy->state;
    uint64_t granted = 0;
    uint32_t use = in_use(watch), waiting = bulkhead_waiters(state->word);
    const struct caller *first = NULL;
    for (uint32_t i = 0; i < own->waiters; i++) {
        const struct caller *caller = own->waiting[i];
        MUST(caller->begun, "bulkhead: a finished call waits");
        if (caller->granted) {
            MUST(first == NULL, "bulkhead: call %" PRIu32 " was served before its turn", caller->index);
            granted += caller->dismissed ? 0 : caller->weight;
        } else if (first == NULL) {
            first = caller;
        }
    }
    MUST(use == own->held + granted,
        "bulkhead: %" PRIu32 " in use, %" PRIu64 " held, %" PRIu64 " handed over", use, own->held, granted);
    MUST(
        use <= own->limit || use <= own->in_use, "bulkhead: %" PRIu32 " in use of %" PRIu32, use, own->limit);
    MUST(waiting == ungranted(own), "bulkhead: %" PRIu32 " waiting, %" PRIu32 " counted", ungranted(own),
        waiting);
    if (first != NULL) {
        MUST(use + (uint64_t)first->weight > own->limit,
            "bulkhead: a waiter sleeps while %" PRIu32 " of %" PRIu32 " are in use", use, own->limit);
    }
    own->in_use = use;
}

/* ---- rate ---- */

static uint64_t *credit_of(const struct visit *visit)
{
    static uint64_t none;
    struct rate_state *state = visit->watch->policy->state;
    const struct rate_config *config = visit->watch->policy->config;
    uint32_t line = visit->caller->call.shard;
    return config->lease == 0 || line >= SHARDS ? &none : &state->cell[line].credit;
}

void rate_before(struct visit *visit)
{
    const struct rate_state *state = visit->watch->policy->state;
    visit->before[0] = state->gcra.tat;
    visit->before[1] = *credit_of(visit);
}

static void log_entry(struct visit *visit, uint64_t turn)
{
    struct rate_watch *own = &visit->watch->rate;
    if (own->entries == own->room) {
        own->room = own->room * 2 + 1024;
        own->log = realloc(own->log, own->room * sizeof *own->log);
        if (own->log == NULL) abort();
    }
    visit->caller->entry[visit->at] = own->entries;
    own->log[own->entries++] = (struct rate_entry) { turn, visit->caller->weight * own->token };
}

void rate_admitted(struct visit *visit, struct weir_verdict verdict)
{
    const struct rate_watch *own = &visit->watch->rate;
    const struct rate_state *state = visit->watch->policy->state;
    uint64_t now = visit->now_ns * 4, turn = visit->slot->word[0];
    uint64_t deadline_ns = visit->caller->call.attempt.deadline_ns;
    if (is_held(visit)) {
        MUST((verdict.kind == WEIR_PASS) == (now >= turn), "rate: its turn is at %" PRIu64 ", now %" PRIu64,
            turn, now);
    } else if (verdict.kind == WEIR_PASS) {
        MUST(turn == now, "rate: passed at %" PRIu64 ", its turn %" PRIu64, now, turn);
        log_entry(visit, turn);
    } else if (verdict.kind == WEIR_HOLD) {
        MUST(turn > now && turn <= now + own->wait, "rate: a wait of %" PRIu64 " units", turn - now);
        MUST(deadline_ns == WEIR_NEVER || verdict.at_ns < deadline_ns,
            "rate: its turn comes after the deadline");
        log_entry(visit, turn);
        cover(COVER_RATE_TURN);
    } else {
        MUST(state->gcra.tat == visit->before[0] && *credit_of(visit) == visit->before[1],
            "rate: refused, but something was taken");
    }
}

void rate_settled(struct visit *visit, struct weir_verdict verdict)
{
    struct rate_watch *own = &visit->watch->rate;
    const struct rate_state *state = visit->watch->policy->state;
    (void)verdict;
    uint64_t back = visit->before[0] - state->gcra.tat;
    back += (*credit_of(visit) - visit->before[1]) * own->token;
    if (back == 0) return;
    struct rate_entry *entry = &own->log[visit->caller->entry[visit->at]];
    MUST(back <= entry->amount, "rate: %" PRIu64 " given back of %" PRIu64, back, entry->amount);
    MUST(visit->caller->runs == 0 || visit->outcome->status != WEIR_OK,
        "rate: a call that went well gave back");
    entry->amount -= back;
    cover(COVER_RATE_BACK);
}

static int by_turn(const void *left, const void *right)
{
    uint64_t a = ((const struct rate_entry *)left)->turn, b = ((const struct rate_entry *)right)->turn;
    return a < b ? -1 : a > b;
}

/* In every window: a bucket that leaks at the rate overflows exactly if some window held too much. */
void rate_check(struct watch *watch)
{
    struct rate_watch *own = &watch->rate;
    uint64_t level = 0, last = 0;
    if (own->entries != 0) qsort(own->log, own->entries, sizeof *own->log, by_turn);
    for (uint32_t i = 0; i < own->entries; i++) {
        const struct rate_entry *entry = &own->log[i];
        level = time_since(level, entry->turn - last) + entry->amount;
        last = entry->turn;
        MUST(level <= own->span + own->slack, "rate: a window held %" PRIu64 " units more than its %" PRIu64,
            level - own->span, own->span);
    }
}

/* ---- gate ---- */

void share_admitted(struct visit *visit, struct weir_verdict verdict)
{
    struct share_watch *own = &visit->watch->share;
    uint64_t key = visit->caller->key;
    bool passed = verdict.kind == WEIR_PASS;
    if (!passed) {
        MUST(verdict.reason == WEIR_REASON_GATE, "gate: refused for %u", verdict.reason);
        MUST(own->share < 100 * WEIR_PERCENT, "gate: refused a call though all may pass");
    } else {
        MUST(own->share != 0, "gate: let a call in though none may pass");
    }
    if (!own->by_key) {
        cover(passed ? COVER_GATE_DRAWN_IN : COVER_GATE_DRAWN_OUT);
        return;
    }
    if (key == 0 && !passed) cover(COVER_GATE_KEYLESS);
    if (key == 0) MUST(passed == (own->share == 100 * WEIR_PERCENT), "gate: nobody's call passed");
    if (passed && own->share < own->passed[key]) own->passed[key] = own->share;
    if (!passed && own->share > own->refused[key]) own->refused[key] = own->share;
    MUST(own->refused[key] < own->passed[key], "gate: key %" PRIu64 " was let in at %u, but refused at %u",
        key, own->passed[key], own->refused[key]);
    if (passed && own->refused[key] != 0) cover(COVER_GATE_KEY_ADDED);
}

/* ---- retry ---- */

static void budget_flow(struct budget_watch *budget, uint64_t now_ns)
{
    uint64_t passed_ns = time_since(now_ns, budget->last_ns);
    budget->last_ns += passed_ns;
    budget->level -= budget->floor_per_s * (double)passed_ns / 1e9;
    if (budget->level < 0) budget->level = 0;
}

void budget_saw_end(struct lane *lane, uint64_t now_ns)
{
    for (uint32_t i = 0; i < lane->count; i++) {
        if (lane->order[i]->kind != RETRY) continue;
        struct budget_watch *budget = lane->order[i]->retry.budget;
        budget_flow(budget, now_ns);
        budget->level -= budget->percent;
        if (budget->level < 0) budget->level = 0;
    }
}

static void check_again(const struct visit *visit, struct weir_verdict verdict)
{
    const struct weir_outcome *outcome = visit->outcome;
    const struct weir_retry_config *config = &visit->watch->retry.config;
    struct caller *caller = visit->caller;
    uint32_t me = visit->at + 1, on = config->on;
    if (on == 0) on = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED);
    MUST((on >> outcome->status & 1) != 0, "retry: after %s",
        weir_status_text((enum weir_status)outcome->status));
    bool declined = outcome->status == WEIR_OVERLOADED || outcome->status == WEIR_REJECTED;
    bool safe = caller->idempotent || declined || (outcome->flags & WEIR_NOT_SENT) != 0;
    MUST(safe, "retry: of a call that is not idempotent");
    MUST((outcome->flags & WEIR_NOT_REPEATABLE) == 0, "retry: of what is not repeatable");
    if (outcome->status == WEIR_EXPIRED) {
        bool inside = outcome->by > me || (outcome->by == 0 && outcome->reason != WEIR_REASON_DEADLINE);
        MUST(inside, "retry: after a timeout outside");
    }
    MUST(++caller->again[visit->at] < config->attempts, "retry: more than %" PRIu32 " attempts",
        config->attempts);
    MUST(verdict.at_ns < caller->call.attempt.deadline_ns, "retry: scheduled past the deadline");
    if (caller->given != NULL) MUST(verdict.at_ns < caller->given->deadline_ns, "retry: past the context's");
    uint64_t delay_ns = verdict.at_ns - visit->now_ns;
    MUST(delay_ns >= outcome->retry_after_ns, "retry: before the callee's retry-after");
    MUST(delay_ns <= time_max(config->max_ns, outcome->retry_after_ns), "retry: a delay of %" PRIu64,
        delay_ns);
    cover(COVER_RETRY_AGAIN);
    if (caller->call.pending != 0) cover(COVER_RETRY_AWAITED);
}

void retry_settled(struct visit *visit, struct weir_verdict verdict)
{
    struct budget_watch *budget = visit->watch->retry.budget;
    struct weir_budget_stats stats = weir_budget_stats(budget->budget, visit->now_ns);
    budget_flow(budget, visit->now_ns);
    budget->level -= (double)(stats.refunded - budget->refunded);
    if (budget->level < 0) budget->level = 0;
    budget->refunded = stats.refunded;
    budget->level += (double)(stats.charged - budget->charged);
    MUST(stats.charged - budget->charged == (verdict.kind == WEIR_AGAIN), "retry: charged without a retry");
    budget->charged = stats.charged;
    MUST(budget->level <= budget->capacity + budget->slack, "budget: %.1f more retries than it has",
        budget->level - budget->capacity);
    if (verdict.kind == WEIR_AGAIN) check_again(visit, verdict);
    else MUST(verdict.kind == WEIR_PASS, "retry: settle answered %u", verdict.kind);
}
