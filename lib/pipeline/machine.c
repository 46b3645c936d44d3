/* The call machine: what each event does to a call that left the fast lists, and the public functions.
 *
 *                  .------------------ FAST ------------------.
 *     begin -------+                    | anything unusual     | OK, in time
 *                  |                    v                      v
 *                  '--> admit ----> RUNNING --settle--> unwind --> OVER
 *                      |  |  ^         |               | | | |
 *                 skip |  v  | wake    | wake: time    | | | '--> FALLING --settle--> unwind
 *                      | HOLDING       | over, canceled| | '----> BACKING_OFF --wake--> admit
 *                      '-> unwind      '----> unwind   | '------> AWAITING --settle--> BACKING_OFF
 *                                                  keep'--------> KEEPING --wake--> unwind
 *
 *     begin    weir_call_begin     FAST, or begin_slow()               admit   machine_admit()  admission.c
 *     settle   weir_call_settle    FAST, or machine_settle_slow()      unwind  machine_unwind() unwind.c
 *     wake     weir_call_wake      abandon(), cut_short(), or on       cancel  weir_call_cancel()
 *     keep     turns()             unwind.c, on by ask_keeper()        skip    machine_skip()   admission.c
 *
 * Invariants:
 *   1. a bit in admitted or lasting, or held: that policy is owed exactly one settle, and none else is;
 *   2. OVER with nothing pending: no bit is left;
 *   3. an attempt runs in FAST, RUNNING and FALLING, and where pending says so; never two operations;
 *   4. KEEPING: the policy that keeps the outcome is the innermost that is owed a settle, so that unwinding goes
 *      on where it stopped;
 *   5. the outcome of the context's end cannot be undone: CALL_ENDING stops retries and fallbacks. */
#include "pipeline/machine_hot.h"

#include "base/counters.h"

/* The skipped policies get their slots as if they had been asked at the begin. */
static void materialize(struct weir_call *call, uint32_t count)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    call->flags |= CALL_SLOW;
    call->attempt_ns = call->began_ns;
    call->ran_ns = 0;
    uint32_t asked = (1u << count) - 1;
    call->admitted = (uint16_t)(asked & ~(uint32_t)pipeline->switches);
    call->skipped = (uint16_t)(asked & pipeline->switches);
    call->lasting = 0;
    call->late_by = call->pending = call->shadowed = call->falling = 0;
    call->waiter = 0;
    call->outcome = call->hidden = (struct weir_outcome) { 0 };
    if (!pipeline->folded) return;
    call->attempt.deadline_ns = call_base_deadline(call);
    call->deadline_by = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        if ((policy->flags & WEIR_POLICY_QUIET_ADMIT) == 0 || policy->ops->admit == NULL) continue;
        call->cursor = (uint8_t)i;
        policy->ops->admit(policy->config, policy->state, &call->slot[i], call, call->began_ns);
    }
}

/* A newer caller's options are good as long as what this version does not know is zero. */
static bool is_known(const struct weir_call_options *options)
{
    if (options->size < sizeof *options || options->size > 4096) return false;
    for (uint32_t i = sizeof *options; i < options->size; i++) {
        if (((const unsigned char *)options)[i] != 0) return false;
    }
    return true;
}

void machine_take_options(struct weir_call *call, const struct weir_call_options *options)
{
    WEIR_REQUIRE(is_known(options), "weir_call_begin",
        "options.size is unknown (use WEIR_CONFIG or weir_call_options_init)");
    if (options->idempotent) call->flags |= CALL_IDEMPOTENT;
    if (options->weight > 1) {
        call->weight = options->weight;
        call->flags |= CALL_WEIGHTED;
    }
    if (options->seed != 0) {
        call->random = options->seed;
        call->flags |= CALL_SEEDED;
    }
    if (options->key != 0) {
        call->key = options->key;
        call->keyed = true;
    }
    if (options->waker.post != NULL) {
        call->waker = options->waker;
        call->flags |= CALL_ARMED;
    }
    if (options->value != NULL && call->pipeline->result_size != 0) {
        call->value = options->value;
        call->flags |= CALL_VALUED;
    }
}

/* The end that comes from outside: CANCELED, or EXPIRED by the deadline in force. The last real error's code
 * stays. */
void machine_set_ended(struct weir_call *call, enum weir_status status)
{
    bool canceled = status == WEIR_CANCELED;
    uint8_t by = canceled ? 0 : call->deadline_by;
    if (by == 0) call->flags |= CALL_ENDING;
    call->outcome = (struct weir_outcome) {
        .status = (uint8_t)status,
        .reason = canceled ? WEIR_REASON_CANCELED
            : by == 0      ? WEIR_REASON_DEADLINE
                           : WEIR_REASON_TIMEOUT,
        .by = by,
        .code = call->outcome.code,
    };
}

static enum weir_status context_status(const struct weir_call *call, uint64_t now_ns)
{
    const struct weir_context *context = call->attempt.context;
    if (context != NULL) {
        if (context_canceled(context) != 0) return WEIR_CANCELED;
    }
    return now_ns >= call->attempt.deadline_ns ? WEIR_EXPIRED : WEIR_OK;
}

/* ---- begin ---- */

static struct weir_step begin_slow(struct weir_call *call, uint64_t now_ns)
{
    call->attempt.number = 0;
    call->attempt.deadline_ns = call_base_deadline(call);
    materialize(call, 0);
    if ((atomic_load_relaxed(&call->pipeline->attention) & ATTENTION_DRAINING) != 0) {
        call->outcome = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_DRAINING };
        return machine_unwind(call, now_ns);
    }
    enum weir_status status = context_status(call, now_ns);
    if (status != WEIR_OK) {
        machine_set_ended(call, status);
        return machine_unwind(call, now_ns);
    }
    return machine_admit(call, now_ns);
}

COLD bool machine_begin_unusual(
    struct weir_call *call, uint32_t attention, uint64_t now_ns, struct weir_step *step)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    if ((attention & ATTENTION_SLOW) == ATTENTION_SWITCHED && context_status(call, now_ns) == WEIR_OK) {
        return machine_walk(call, pipeline->switched_on, &pipeline->switched_on_end, now_ns, step);
    }
    *step = begin_slow(call, now_ns);
    return false;
}

COLD struct weir_step machine_stopped(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    call->attempt.number = 0;
    if (answer.kind == WEIR_HOLD) call->held = (uint8_t)(position + 1);
    materialize(call, position);
    machine_note(call, position, answer, now_ns);
    if (answer.kind == WEIR_REFUSE) return machine_refused(call, position, answer, now_ns);
    if (answer.kind == WEIR_SKIP) return machine_skip(call, position, now_ns);
    if (answer.kind == WEIR_PASS) call->admitted |= (uint16_t)(1u << position);
    return machine_admit(call, now_ns);
}

COLD struct weir_step machine_too_late(struct weir_call *call, uint64_t now_ns)
{
    call->attempt.number = 0;
    materialize(call, call->pipeline->count);
    machine_set_ended(call, WEIR_EXPIRED);
    return machine_unwind(call, now_ns);
}

struct weir_step weir_call_begin(struct weir_call *call, const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, uint64_t now_ns)
{
    WEIR_REQUIRE(call != NULL, "weir_call_begin", "call is NULL");
    WEIR_REQUIRE(pipeline != NULL, "weir_call_begin", "pipeline is NULL");
    struct weir_step step = { .action = WEIR_RUN, .attempt = 1 };
    if (likely(machine_try_begin(call, pipeline, options, now_ns, &step)))
        step.at_ns = call->attempt.deadline_ns;
    return step;
}

/* ---- settle ---- */

/* What the operation said, put into the call's terms. */
static void take_outcome(struct weir_call *call, struct weir_outcome outcome, uint64_t now_ns)
{
    enum weir_status status = (enum weir_status)outcome.status;
    WEIR_REQUIRE(status < WEIR_STATUSES, "weir_call_settle", "the outcome's status is none");
    outcome.by = 0;
    outcome.flags &= status == WEIR_OK ? WEIR_NOT_REPEATABLE : WEIR_NOT_SENT | WEIR_NOT_REPEATABLE;
    if (status != WEIR_REJECTED) outcome.reason = WEIR_REASON_NONE;
    if (outcome.reason >= WEIR_REASONS) outcome.reason = WEIR_REASON_CUSTOM;
    call->outcome = outcome;
    enum weir_status context = context_status(call, now_ns);
    if (status == WEIR_OK) {
        if (now_ns < call->attempt.deadline_ns) return;
        call->outcome.flags |= WEIR_LATE;
        call->late_by = call->deadline_by;
    } else if (status == WEIR_FAILED || status == WEIR_EXPIRED) {
        if (context == WEIR_OK) return;
        machine_set_ended(call, context);
        call->outcome.flags |= outcome.flags;
    } else if (status == WEIR_CANCELED && context == WEIR_CANCELED) {
        machine_set_ended(call, context);
    }
}

/* Until when a call waits that what was abandoned does not hold up. */
static uint64_t waits_until(const struct weir_call *call)
{
    if (call->phase != PHASE_KEEPING) return call->attempt.deadline_ns;
    return time_min(call->wake_ns, call->attempt.deadline_ns);
}

/* True: an abandoned operation says at last that it cannot be made again, and nobody has known. Whoever is yet to
 * hear how it ended hears that, too. */
static bool is_not_repeatable_after_all(struct weir_call *call, uint8_t what, struct weir_outcome outcome)
{
    uint8_t flag = outcome.flags & (uint8_t)~call->outcome.flags & WEIR_NOT_REPEATABLE;
    if (call->phase == PHASE_OVER || what != WEIR_ABANDONED_OPERATION) return false;
    call->outcome.flags |= flag;
    call->hidden.flags |= flag;
    return flag != 0;
}

/* Abandoned work ended at last: what lasted for it is given back. A retry that waits for that may change its mind. */
static struct weir_step settle_abandoned(
    struct weir_call *call, uint8_t what, struct weir_outcome outcome, uint64_t now_ns)
{
    call->pending &= (uint8_t)~what;
    pipeline_count(call->pipeline, call, PIPELINE_RETURNED);
    for (uint32_t i = call->pipeline->count; i-- > 0 && call->pending == 0;) {
        if ((call->lasting >> i & 1) == 0) continue;
        struct weir_outcome copy = outcome;
        machine_settle_one(call, i, &copy, now_ns);
        call->lasting &= (uint16_t) ~(1u << i);
    }
    bool news = is_not_repeatable_after_all(call, what, outcome);
    if (call->phase == PHASE_AWAITING && news) return machine_unwind(call, now_ns);
    if (call->phase == PHASE_AWAITING && call->pending == 0) {
        call->phase = PHASE_BACKING_OFF;
        return weir_call_wake(call, now_ns);
    }
    if (call->phase != PHASE_OVER) return machine_step(call, WEIR_WAIT, waits_until(call));
    struct weir_step step = machine_step(call, WEIR_DONE, WEIR_NEVER);
    if (call->pending == 0) pipeline_count_last(call->pipeline, call->shard, PIPELINE_EMPTIED);
    return step;
}

static struct weir_step settle_foreign(struct weir_call *call, const char *function)
{
    WEIR_REQUIRE(call->attempt.generation != 0, function, "the call was not begun");
    if (call->phase != PHASE_OVER || call->pending != 0)
        pipeline_count(call->pipeline, call, PIPELINE_FOREIGN);
    call->phase = PHASE_OVER;
    call->pending = 0;
    call->outcome = (struct weir_outcome) { .status = WEIR_IGNORED, .reason = WEIR_REASON_FORKED };
    return (struct weir_step) { .action = WEIR_DONE };
}

COLD struct weir_step machine_settle_slow(
    struct weir_call *call, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns)
{
    static const char twice[] = "no such attempt is owed a settle (settled twice, or not begun)";
    if (call->attempt.generation != process_generation()) return settle_foreign(call, "weir_call_settle");
    call->shard = (uint16_t)thread_shard();
    bool function = attempt == 0, slow = (call->flags & CALL_SLOW) != 0;
    uint8_t what = function ? WEIR_ABANDONED_FALLBACK : WEIR_ABANDONED_OPERATION;
    if (!function) WEIR_REQUIRE(attempt == call->attempt.number, "weir_call_settle", twice);
    if (slow && (call->pending & what) != 0) return settle_abandoned(call, what, outcome, now_ns);
    if (function) {
        WEIR_REQUIRE(call->phase == PHASE_FALLING, "weir_call_settle", twice);
        take_outcome(call, outcome, now_ns);
        return machine_unwind(call, now_ns);
    }
    bool running = call->phase == PHASE_FAST;
    running |= call->phase == PHASE_RUNNING;
    WEIR_REQUIRE(running, "weir_call_settle", twice);
    if (!slow) {
        materialize(call, call->pipeline->count);
        pipeline_count(call->pipeline, call, PIPELINE_ATTEMPTS);
    }
    call->ran_ns = time_max(time_since(now_ns, call->attempt_ns), 1);
    take_outcome(call, outcome, now_ns);
    return machine_unwind(call, now_ns);
}

/* The fast settle list does not put back the deadlines that those inside have lowered: the outermost of them knows
 * the one outside. Folded, materialize() has made it anew. */
static void restore_deadline(struct weir_call *call, uint32_t position)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    if (pipeline->folded) return;
    for (uint32_t i = position + 1; i < pipeline->count; i++) {
        uint32_t kind = pipeline->policy[i]->head->kind;
        if (kind != POLICY_TIMEOUT && kind != POLICY_FALLBACK) continue;
        call->attempt.deadline_ns = call->slot[i].word[0];
        call->deadline_by = (uint8_t)call->slot[i].word[1];
        return;
    }
}

COLD struct weir_step machine_turned(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    struct weir_outcome outcome = call->outcome;
    materialize(call, position);
    restore_deadline(call, position);
    pipeline_count(call->pipeline, call, PIPELINE_ATTEMPTS);
    call->outcome = outcome;
    if (answer.kind == WEIR_ANSWER) machine_take_answer(call, &call->outcome);
    call->admitted |= (uint16_t)(1u << position);
    call->ran_ns = time_max(time_since(now_ns, call->attempt_ns), 1);
    machine_note(call, position, answer, now_ns);
    return machine_unwind_from(call, position, answer, now_ns);
}

struct weir_step weir_call_settle(
    struct weir_call *call, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns)
{
    WEIR_REQUIRE(call != NULL, "weir_call_settle", "call is NULL");
    struct weir_step step;
    enum settled settled = machine_try_settle(call, call->pipeline, attempt, outcome, now_ns, true, &step);
    if (likely(settled == SETTLED_WELL)) return (struct weir_step) { .action = WEIR_DONE };
    return settled == SETTLED_TURNED ? step : machine_settle_slow(call, attempt, outcome, now_ns);
}

/* ---- wake and cancel ---- */

/* The attempt or function that runs is given up; what lasts for it stays taken until it ends. */
static struct weir_step abandon(struct weir_call *call, enum weir_status status, uint64_t now_ns)
{
    bool function = call->phase == PHASE_FALLING;
    if ((call->flags & CALL_SLOW) == 0) {
        materialize(call, call->pipeline->count);
        pipeline_count(call->pipeline, call, PIPELINE_ATTEMPTS);
    }
    call->ran_ns = time_max(time_since(now_ns, call->attempt_ns), 1);
    call->pending |= function ? WEIR_ABANDONED_FALLBACK : WEIR_ABANDONED_OPERATION;
    pipeline_count(call->pipeline, call, PIPELINE_ABANDONED);
    call_use_row(call, ROW_STORED);
    machine_set_ended(call, status);
    machine_tell(call, call->deadline_by, WEIR_EVENT_ABANDONED, &call->outcome, now_ns);
    return machine_unwind(call, now_ns);
}

/* What a policy keeps has not yet come out: from outside, the attempt still runs. */
static void count_kept(struct weir_call *call, uint64_t now_ns)
{
    if (call->ran_ns != 0) call->ran_ns = time_max(time_since(now_ns, call->attempt_ns), call->ran_ns);
}

static struct weir_step ask_keeper(struct weir_call *call, uint64_t now_ns)
{
    count_kept(call, now_ns);
    return machine_unwind(call, now_ns);
}

/* Nothing runs; it waits no longer. What was kept back until then never came out, its code included; but what cannot
 * be made again stays so. */
static struct weir_step cut_short(struct weir_call *call, enum weir_status status, uint64_t now_ns)
{
    uint8_t flags = 0;
    if (call->phase == PHASE_KEEPING) {
        count_kept(call, now_ns);
        flags = call->outcome.flags & WEIR_NOT_REPEATABLE;
        call->outcome.code = 0;
    } else {
        call->ran_ns = 0;
    }
    machine_set_ended(call, status);
    call->outcome.flags |= flags;
    return machine_unwind(call, now_ns);
}

struct weir_step weir_call_wake(struct weir_call *call, uint64_t now_ns)
{
    WEIR_REQUIRE(call != NULL, "weir_call_wake", "call is NULL");
    if (call->attempt.generation != process_generation()) return settle_foreign(call, "weir_call_wake");
    call->shard = (uint16_t)thread_shard();
    if (call->phase == PHASE_OVER) return machine_step(call, WEIR_DONE, WEIR_NEVER);
    enum weir_status status = context_status(call, now_ns);
    uint64_t deadline_ns = call->attempt.deadline_ns;
    switch ((enum call_phase)call->phase) {
    case PHASE_FAST:
        if (status != WEIR_OK) return abandon(call, status, now_ns);
        return (struct weir_step) { .action = WEIR_WAIT, .attempt = 1, .at_ns = deadline_ns };
    case PHASE_RUNNING:
    case PHASE_FALLING:
        if (status != WEIR_OK) return abandon(call, status, now_ns);
        return machine_step(call, WEIR_WAIT, deadline_ns);
    case PHASE_AWAITING:
        if (status != WEIR_OK) return cut_short(call, status, now_ns);
        return machine_step(call, WEIR_WAIT, deadline_ns);
    case PHASE_BACKING_OFF:
        if (status != WEIR_OK) return cut_short(call, status, now_ns);
        if (now_ns < call->wake_ns)
            return machine_step(call, WEIR_WAIT, time_min(call->wake_ns, deadline_ns));
        return machine_admit(call, now_ns);
    case PHASE_HOLDING:
        if (status != WEIR_OK) return cut_short(call, status, now_ns);
        return machine_admit(call, now_ns);
    case PHASE_KEEPING:
        if (status != WEIR_OK) return cut_short(call, status, now_ns);
        return ask_keeper(call, now_ns);
    case PHASE_NONE:
    case PHASE_OVER: break;
    }
    weir_misuse("weir_call_wake", "the call was not begun");
}

struct weir_step weir_call_cancel(struct weir_call *call, uint64_t now_ns)
{
    WEIR_REQUIRE(call != NULL, "weir_call_cancel", "call is NULL");
    if (call->attempt.generation != process_generation()) return settle_foreign(call, "weir_call_cancel");
    call->shard = (uint16_t)thread_shard();
    bool runs = call->phase == PHASE_FAST || call->phase == PHASE_RUNNING || call->phase == PHASE_FALLING;
    if (runs) return abandon(call, WEIR_CANCELED, now_ns);
    if (call->phase == PHASE_OVER) return machine_step(call, WEIR_DONE, WEIR_NEVER);
    return cut_short(call, WEIR_CANCELED, now_ns);
}

struct weir_step weir_call_arm(struct weir_call *call, struct weir_waker waker, uint64_t now_ns)
{
    WEIR_REQUIRE(call != NULL, "weir_call_arm", "call is NULL");
    WEIR_REQUIRE(waker.post != NULL, "weir_call_arm", "waker.post is NULL");
    if (call->phase == PHASE_HOLDING) machine_let_go(call);
    call->waker = waker;
    call->flags |= CALL_ARMED;
    return weir_call_wake(call, now_ns);
}

struct weir_outcome weir_call_outcome(const struct weir_call *call)
{
    WEIR_REQUIRE(call != NULL, "weir_call_outcome", "call is NULL");
    WEIR_REQUIRE(call->phase == PHASE_OVER, "weir_call_outcome", "the call is not over");
    return call->outcome;
}

const struct weir_attempt *weir_call_attempt(const struct weir_call *call)
{
    WEIR_REQUIRE(call != NULL, "weir_call_attempt", "call is NULL");
    return &call->attempt;
}
