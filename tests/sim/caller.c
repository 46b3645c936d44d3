/* A caller: drives its call as an event loop would, and holds each step against the rules. */
#include "sim/sim.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(
    offsetof(struct caller, room) == sizeof(struct weir_call), "results lie right behind the call");

uint64_t caller_now(const struct caller *caller)
{
    return sim->now_ns + (uint64_t)sim->skew_ns[caller->thread];
}

static uint64_t *due_of(struct caller *caller, uint32_t which)
{
    return &sim->due[3 * caller->index + which];
}

static void look_soon(struct caller *caller)
{
    uint64_t *due = due_of(caller, 0);
    *due = time_min(*due, sim->now_ns + draw_below(50 * WEIR_US));
}

/* ---- wakers ---- */

static void post_granted(void *argument)
{
    struct caller *caller = argument;
    MUST(caller->begun && !caller->over, "call %" PRIu32 " was woken after its end", caller->index);
    bulkhead_posted(caller);
    look_soon(caller);
}

static void post_canceled(void *argument)
{
    look_soon(argument);
}

/* ---- steps ---- */

static const char *const event_names[] = { "begin", "wake", "settle", "cancel", "arm" };

static void start_job(struct caller *caller, struct weir_step step)
{
    uint32_t which = step.what == WEIR_FALLBACK;
    struct job *job = &caller->job[which];
    const struct weir_attempt *attempt = weir_call_attempt(&caller->call);
    uint64_t takes_ns;
    MUST(!job->runs, "a %s was started while the last one runs", which ? "function" : "operation");
    MUST(caller_now(caller) < step.at_ns, "started at %" PRIu64 ", its deadline %" PRIu64, caller_now(caller),
        step.at_ns);
    MUST(step.at_ns == attempt->deadline_ns, "step.at_ns is not the attempt's deadline");
    if (which == 0) watch_run(caller, step.at_ns, caller_now(caller));
    if (which == 0) MUST(attempt->number == ++caller->runs, "attempt %" PRIu32, attempt->number);
    if (which == 0) MUST(step.attempt == attempt->number, "step.attempt %u", step.attempt);
    if (which == 1) MUST(step.attempt == 0, "a function's step.attempt is %u", step.attempt);
    if (caller->given != NULL) {
        MUST(step.at_ns <= caller->given->deadline_ns, "the attempt's deadline is beyond the context's");
    }
    *job = (struct job) { .runs = true,
        .attempt = step.attempt,
        .value = attempt->value,
        .inside = which == 0 ? caller->lane->count : caller->call.falling - 1u };
    job->token = ++sim->settled | (which ? FROM_FUNCTION : 0);
    callee_answer(caller, job, &takes_ns);
    if (which == 1) job->outcome = weir_call_fallback(&caller->call, caller);
    if (chance(40) && attempt->deadline_ns != WEIR_NEVER) { /* it honours its deadline, more or less */
        uint64_t left_ns = time_since(attempt->deadline_ns, caller_now(caller)) + draw_below(WEIR_MS);
        if (takes_ns > left_ns) job->outcome = (struct weir_outcome) { .status = WEIR_FAILED, .code = 110 };
        takes_ns = time_min(takes_ns, left_ns);
    }
    *due_of(caller, 1 + which) = sim->now_ns + takes_ns;
}

static void look_at(struct caller *caller, uint64_t at_ns)
{
    uint64_t *due = due_of(caller, 0);
    if (at_ns == WEIR_NEVER) return;
    uint64_t when = at_ns - (uint64_t)sim->skew_ns[caller->thread];
    uint64_t late = chance(90) ? draw_below(100 * WEIR_US) : draw_below(5 * WEIR_MS);
    when = time_max(when, sim->now_ns) + late;
    *due = time_min(*due, when);
}

static void check_expired(const struct caller *caller, struct weir_outcome outcome)
{
    if (outcome.reason == WEIR_REASON_DEADLINE) {
        MUST(outcome.by == 0 && caller->given != NULL, "a deadline without a context, or by %u", outcome.by);
        MUST(caller_now(caller) >= caller->given->deadline_ns, "expired before the context's deadline");
    } else if (outcome.reason == WEIR_REASON_TIMEOUT) {
        MUST(outcome.by >= 1 && outcome.by <= caller->lane->count, "a timeout by %u", outcome.by);
        enum kind kind = caller->lane->order[outcome.by - 1]->kind;
        MUST(kind == TIMEOUT || kind == FALLBACK, "a timeout by a policy of kind %d", (int)kind);
    } else {
        MUST(outcome.reason == WEIR_REASON_NONE, "expired: %s",
            weir_reason_text((enum weir_reason)outcome.reason));
    }
}

static void check_value(const struct caller *caller, struct weir_outcome outcome)
{
    if (!sim->results) return;
    if ((outcome.flags & WEIR_DEGRADED) == 0) {
        MUST(caller->value == caller->answered, "the result is %" PRIx64 ", the answer was %" PRIx64,
            caller->value, caller->answered);
    }
}

static void check_outcome(struct caller *caller, struct weir_outcome outcome, enum event event)
{
    enum weir_reason reason = (enum weir_reason)outcome.reason;
    MUST(outcome.by <= caller->lane->count, "by is %u", outcome.by);
    MUST((outcome.reason == WEIR_REASON_FORKED) == caller->foreign, "foreign %d, reason %s", caller->foreign,
        weir_reason_text(reason));
    switch ((enum weir_status)outcome.status) {
    case WEIR_OK: check_value(caller, outcome); break;
    case WEIR_REJECTED: MUST(reason != WEIR_REASON_NONE, "refused without a reason"); break;
    case WEIR_EXPIRED: check_expired(caller, outcome); break;
    case WEIR_CANCELED:
        if (reason == WEIR_REASON_NONE || event == CANCEL) break; /* the operation's own answer */
        MUST(weir_context_check(caller->given, 0) == WEIR_CANCELED, "canceled, but the context is not");
        break;
    case WEIR_FAILED:
    case WEIR_OVERLOADED:
    case WEIR_IGNORED:
    case WEIR_STATUSES: break;
    }
    coverage.status[outcome.status]++;
    if (reason != WEIR_REASON_NONE) coverage.reason[reason]++;
    if ((outcome.flags & WEIR_LATE) != 0) cover(COVER_LATE);
    if ((outcome.flags & WEIR_SHADOW) != 0) cover(COVER_SHADOWED);
}

/* The answer has been given. */
static void call_over(struct caller *caller, enum event event)
{
    struct lane *lane = caller->lane;
    struct weir_outcome outcome = weir_call_outcome(&caller->call);
    caller->over = true;
    *due_of(caller, 0) = WEIR_NEVER;
    check_outcome(caller, outcome, event);
    hash_in((uint64_t)outcome.status | (uint64_t)outcome.reason << 8 | (uint64_t)outcome.by << 16);
    hash_in((uint64_t)outcome.flags << 32 ^ (uint32_t)outcome.code ^ outcome.retry_after_ns);
    if (caller->foreign) return;
    lane->ended[outcome.status]++;
    if (caller->runs != 0) budget_saw_end(lane, caller_now(caller));
}

/* Nothing of it is left: the storage is free for the next. */
static void call_gone(struct caller *caller)
{
    if (caller->foreign) {
        caller->lane->foreign++;
        cover(COVER_FOREIGN);
    } else {
        caller->lane->unfinished--;
    }
    if (caller->watched) weir_context_unwatch(&caller->watch);
    memset(caller->job, 0, sizeof caller->job);
    *due_of(caller, 1) = *due_of(caller, 2) = WEIR_NEVER;
    caller->begun = false;
    for (uint32_t i = 0; i < sim->callers; i++) {
        if (sim->caller[i].outer == caller) sim->caller[i].outer = NULL;
    }
    if (!sim->calm) *due_of(caller, 0) = sim->now_ns + draw_below(sim->think_ns);
}

static void check_pending(struct caller *caller, struct weir_step step)
{
    uint32_t running = (uint32_t)caller->job[0].runs + caller->job[1].runs;
    MUST(step.pending == (uint32_t)__builtin_popcount(step.abandon_mask), "pending %u, mask %" PRIu32,
        step.pending, step.abandon_mask);
    for (uint32_t i = 0; i < 2; i++) {
        if ((step.abandon_mask >> i & 1) == 0) continue;
        MUST(caller->job[i].runs, "job %" PRIu32 " is to be stopped, but does not run", i);
        uint64_t *due = due_of(caller, 1 + i); /* what is told to stop sometimes does */
        if (chance(30)) *due = time_min(*due, sim->now_ns + draw_below(2 * WEIR_MS));
    }
    if (step.action == WEIR_DONE && !caller->foreign) {
        MUST(step.pending == running, "done with %u pending of %" PRIu32, step.pending, running);
    }
    if (step.pending == 2) cover(COVER_ABANDONED_BOTH);
}

static void take_step(struct caller *caller, enum event event, uint32_t before, struct weir_step step)
{
    uint32_t after = caller->call.phase;
    sim->steps++;
    hash_in((uint64_t)event << 32 | caller->index);
    hash_in((uint64_t)step.action << 32 | (uint64_t)step.what << 24 | (uint64_t)step.attempt);
    hash_in((uint64_t)step.pending << 32 | step.abandon_mask);
    hash_in(sim->now_ns ^ step.at_ns << 1);
    if (!caller->foreign) cover_arrow(event, before, after);
    check_pending(caller, step);
    switch ((enum weir_action)step.action) {
    case WEIR_RUN:
        start_job(caller, step);
        look_at(caller, step.at_ns);
        break;
    case WEIR_WAIT:
        MUST(after != PHASE_OVER, "%s: wait, but the call is over", event_names[event]);
        if (after == PHASE_HOLDING || after == PHASE_KEEPING || after == PHASE_BACKING_OFF) {
            MUST(step.at_ns != WEIR_NEVER, "%s: a wait without end", event_names[event]);
        }
        if (after == PHASE_HOLDING) caller->waits_until_ns = caller->call.wake_ns;
        look_at(caller, step.at_ns);
        break;
    case WEIR_DONE:
        watch_done(caller, step);
        if (!caller->over) call_over(caller, event);
        if (step.pending == 0) call_gone(caller);
        break;
    default: broken("action %u", step.action);
    }
    world_check();
}

/* ---- events ---- */

static uint64_t take_thread(struct caller *caller)
{
    if (sim->threads > 1 && chance(15)) caller->thread = (uint32_t)draw_below(sim->threads);
    weir_thread.shard = (caller->thread < SHARDS ? caller->thread : SHARDS) + 1;
    weir_thread.call = NULL;
    if (caller->outer != NULL) weir_thread.call = &caller->outer->call;
    return caller_now(caller);
}

static void draw_context(struct caller *caller, uint64_t now_ns)
{
    caller->given = NULL;
    caller->watched = false;
    if (sim->calm || chance(20)) return;
    struct weir_source *source[2] = { NULL, NULL };
    for (uint32_t i = 0; i < 2; i++) {
        if (sim->cancels && chance(50)) source[i] = sim->source[draw_below(SOURCES)];
    }
    uint64_t deadline_ns = chance(20) ? WEIR_NEVER : now_ns + draw_below(chance(50) ? WEIR_S : 60 * WEIR_MS);
    weir_context_child(&caller->context[0], NULL, deadline_ns, source[0]);
    caller->given = &caller->context[0];
    if (chance(40)) {
        uint64_t inner_ns = chance(30) ? WEIR_NEVER : now_ns + draw_below(WEIR_S);
        weir_context_child(&caller->context[1], &caller->context[0], inner_ns, source[1]);
        caller->given = &caller->context[1];
        MUST(caller->given->deadline_ns <= deadline_ns, "a child's deadline is beyond its parent's");
    }
    if (caller->given->sources == NULL || chance(30)) return;
    caller->watched = true;
    weir_context_watch(&caller->watch, caller->given, (struct weir_waker) { post_canceled, caller });
}

static void forget_last(struct caller *caller)
{
    caller->over = caller->foreign = caller->granted = caller->dismissed = false;
    caller->owed = caller->held = caller->ignored = caller->harmed = 0;
    caller->runs = 0;
    caller->answered = caller->value = 0;
    caller->outer = NULL;
    if (!sim->nesting || sim->calm || chance(70)) return;
    struct caller *outer = &sim->caller[draw_below(sim->callers)];
    if (outer != caller && outer->begun && outer->outer == NULL && outer->job[0].runs && !outer->foreign) {
        caller->outer = outer;
    }
}

void caller_begin(struct caller *caller)
{
    if (sim->calm && !sim->beating) return;
    forget_last(caller);
    if (!sim->calm) caller->lane = &sim->lane[draw_below(sim->lanes)];
    caller->begun = true;
    caller->weight = sim->calm || chance(80) ? 1 : (uint32_t)draw_between(2, 5);
    caller->idempotent = chance(70);
    caller->key = chance(20) ? 0 : draw_between(1, CALLER_KEYS);
    uint64_t now_ns = take_thread(caller);
    draw_context(caller, now_ns);
    bool armed = chance(70);
    struct weir_call_options options = { .size = sizeof options,
        .idempotent = caller->idempotent,
        .weight = caller->weight,
        .context = caller->given,
        .value = &caller->value,
        .key = caller->key,
        .seed = draw() | 1 };
    if (armed) options.waker = (struct weir_waker) { post_granted, caller };
    caller->lane->begun++;
    caller->lane->unfinished++;
    memset(&caller->call, 0xa5, sizeof caller->call); /* nothing may depend on what lay there */
    caller->call.outer = NULL;
    struct weir_step step = weir_call_begin(&caller->call, caller->lane->pipeline, &options, now_ns);
    caller->call.outer = NULL; /* weir_run() alone sets it */
    uint32_t before = PHASE_NONE;
    if (step.action == WEIR_WAIT && !armed) { /* as drivers do that first see whether they must wait */
        cover_arrow(BEGIN, PHASE_NONE, caller->call.phase);
        before = caller->call.phase;
        step = weir_call_arm(&caller->call, (struct weir_waker) { post_granted, caller }, now_ns);
        take_step(caller, ARM, before, step);
        return;
    }
    take_step(caller, BEGIN, before, step);
}

/* A call that was not armed at its begin is armed when it first waits. */
static struct weir_step armed(struct caller *caller, struct weir_step step, uint64_t now_ns)
{
    bool waits = step.action == WEIR_WAIT && (caller->call.flags & CALL_ARMED) == 0;
    if (!waits || caller->foreign) return step;
    return weir_call_arm(&caller->call, (struct weir_waker) { post_granted, caller }, now_ns);
}

void caller_wake(struct caller *caller)
{
    uint64_t now_ns = take_thread(caller);
    uint32_t before = caller->call.phase;
    struct weir_step step = weir_call_wake(&caller->call, now_ns);
    take_step(caller, WAKE, before, armed(caller, step, now_ns));
}

void caller_cancel(struct caller *caller)
{
    uint64_t now_ns = take_thread(caller);
    uint32_t before = caller->call.phase;
    struct weir_step step = weir_call_cancel(&caller->call, now_ns);
    MUST(step.action == WEIR_DONE, "a canceled call goes on");
    take_step(caller, CANCEL, before, step);
}

/* What ran has ended, in time, late, or after it was abandoned. */
void caller_end(struct caller *caller, uint32_t which)
{
    struct job *job = &caller->job[which];
    MUST(caller->begun && job->runs, "job %" PRIu32 " ends, but does not run", which);
    bool ok = job->outcome.status == WEIR_OK;
    if (sim->results && (ok || chance(50))) *job->value = job->token; /* a failed one may write, too */
    uint64_t now_ns = take_thread(caller);
    uint32_t before = caller->call.phase;
    job->runs = false;
    if (ok && !caller->over) caller->answered = job->token;
    struct weir_step step = weir_call_settle(&caller->call, job->attempt, job->outcome, now_ns);
    take_step(caller, SETTLE, before, armed(caller, step, now_ns));
}
