/* Outwards: the outcome goes from the innermost policy that is owed a settle to the outermost; each may change
 * it, keep it for a while, ask for another attempt, or for a fallback function. At the end the call is over. */
#include "pipeline/machine.h"

#include "policy/budget.h"

static uint16_t bit(uint32_t position)
{
    return (uint16_t)(1u << position);
}

static uint16_t outside(uint32_t position) /* that position included */
{
    return (uint16_t)((2u << position) - 1);
}

/* Takes the call's waker back from the policy that holds it. */
void machine_let_go(struct weir_call *call)
{
    if (call->waiter == 0) return;
    struct weir_policy *policy = call->pipeline->policy[call->held - 1];
    wakers_disarm(&policy->wakers, call->waiter - 1, call);
    call->waiter = 0;
}

void machine_tell(const struct weir_call *call, uint32_t position_plus_one, enum weir_event_kind kind,
    const struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    if (pipeline->events == NULL) return;
    event_ring_push(pipeline->events,
        (struct weir_event) {
            .kind = (uint8_t)kind,
            .policy = (uint8_t)position_plus_one,
            .attempt = (uint8_t)call->attempt.number,
            .reason = outcome->reason,
            .code = outcome->code,
            .now_ns = now_ns,
        });
}

/* What a verdict asks for beside its answer: calls to wake, something to tell. */
void machine_note(struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    if ((answer.flags & WEIR_VERDICT_WAKE) != 0) policy_post(call->pipeline->policy[position]);
    if ((answer.flags & VERDICT_RING) != 0) policy_ring(call->pipeline->policy[position]);
    if ((answer.flags & VERDICT_SWITCHED_OFF) != 0) pipeline_switched_off(call->pipeline);
    if ((answer.flags & WEIR_VERDICT_EVENT) != 0) {
        machine_tell(call, position + 1, (enum weir_event_kind)answer.event, &call->outcome, now_ns);
    }
}

/* What a policy put in the outcome's place, put into bounds: it may be of the user's own. */
void machine_take_answer(const struct weir_call *call, struct weir_outcome *outcome)
{
    static const char function[] = "weir_policy_ops.settle";
    WEIR_REQUIRE(outcome->status < WEIR_STATUSES, function, "the answer's status is none");
    WEIR_REQUIRE(outcome->by <= call->pipeline->count, function, "the answer's by is no position + 1");
    if (outcome->reason >= WEIR_REASONS) outcome->reason = WEIR_REASON_CUSTOM;
}

/* What this pipeline's calls typically take; the median is looked up once a second at most. */
static uint64_t typical(struct weir_pipeline *pipeline, uint64_t now_ns)
{
    uint64_t until_ns = atomic_load_relaxed(&pipeline->typical_until_ns);
    if (now_ns >= until_ns && atomic_cas_relaxed(&pipeline->typical_until_ns, &until_ns, now_ns + WEIR_S)) {
        atomic_store_relaxed(&pipeline->typical_ns, weir_histogram_quantile(pipeline->latency, 500000));
    }
    return atomic_load_relaxed(&pipeline->typical_ns);
}

/* Whether the outcome is still open where the policy stands: the call has time there, and it was not decided further
 * out (a refusal after a wait). */
static bool is_open(const struct weir_call *call, uint32_t position, uint64_t now_ns)
{
    if ((call->flags & CALL_ENDING) != 0 || now_ns >= call->attempt.deadline_ns) return false;
    return call->outcome.by == 0 || call->outcome.by > position;
}

/* What a call came with can be kept back while it is open, by a policy that is on. Not what is said to one policy alone
 * (a hold that ends, abandoned work). */
static bool may_keep(
    const struct weir_call *call, uint32_t position, const struct weir_outcome *outcome, uint64_t now_ns)
{
    if (outcome != &call->outcome || !is_open(call, position, now_ns)) return false;
    return atomic_load_relaxed(&call->pipeline->policy[position]->head->mode) == WEIR_MODE_ON;
}

struct weir_verdict machine_settle_one(
    struct weir_call *call, uint32_t position, struct weir_outcome *outcome, uint64_t now_ns)
{
    struct weir_policy *policy = call->pipeline->policy[position];
    if (call->held == position + 1) machine_let_go(call);
    struct weir_verdict answer = verdict(WEIR_PASS);
    if (policy->ops->settle != NULL) {
        call->cursor = (uint8_t)position;
        call->ending = !may_keep(call, position, outcome, now_ns);
        if (policy->head->kind == POLICY_RETRY) {
            call->budget = policy->auxiliary;
            call->typical_ns = typical((struct weir_pipeline *)call->pipeline, now_ns);
        }
        answer =
            policy->ops->settle(policy->config, policy->state, &call->slot[position], call, outcome, now_ns);
        if (answer.kind == WEIR_ANSWER) machine_take_answer(call, outcome);
    }
    if (call->held == position + 1) call->held = 0;
    machine_note(call, position, answer, now_ns);
    return answer;
}

/* A budget that two retries of the pipeline share hears of a call once. */
static bool is_named_before(const struct weir_pipeline *pipeline, uint32_t position)
{
    for (uint32_t i = 0; i < position; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        if (policy->head->kind != POLICY_RETRY) continue;
        if (policy->auxiliary == pipeline->policy[position]->auxiliary) return true;
    }
    return false;
}

void machine_deposit(const struct weir_pipeline *pipeline, uint64_t calls, uint64_t now_ns)
{
    for (uint32_t i = 0; i < pipeline->count; i++) {
        const struct weir_policy *policy = pipeline->policy[i];
        if (policy->head->kind != POLICY_RETRY || is_named_before(pipeline, i)) continue;
        budget_deposit(policy->auxiliary, calls, now_ns);
    }
}

/* The retry at that position wants another attempt. What is inside it was settled and will be asked anew. */
static struct weir_step again(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    call->admitted |= bit(position); /* also if it has held the call until now */
    call->skipped &= outside(position);
    call->ran_ns = 0;
    call->wake_ns = answer.at_ns;
    call->phase = PHASE_BACKING_OFF;
    if (call->pending != 0) {
        call->phase = PHASE_AWAITING;
        return machine_step(call, WEIR_WAIT, call->attempt.deadline_ns);
    }
    if (now_ns >= answer.at_ns) return machine_admit(call, now_ns);
    return machine_step(call, WEIR_WAIT, time_min(answer.at_ns, call->attempt.deadline_ns));
}

/* The policy that keeps the outcome is still owed a settle; it is asked when the call is woken. */
static struct weir_step keep(struct weir_call *call, uint32_t position, struct weir_verdict answer)
{
    call->admitted |= bit(position); /* also if it has held the call until now */
    call->phase = PHASE_KEEPING;
    call->wake_ns = answer.at_ns;
    return machine_step(call, WEIR_WAIT, time_min(answer.at_ns, call->attempt.deadline_ns));
}

static struct weir_step fall_back(struct weir_call *call, uint32_t position)
{
    call->phase = PHASE_FALLING;
    call->falling = (uint8_t)(position + 1);
    call_use_row(call, ROW_FUNCTION);
    struct weir_step step = machine_step(call, WEIR_RUN, call->attempt.deadline_ns);
    step.what = WEIR_FALLBACK;
    return step;
}

/* `ended` comes last: from then on the pipeline may be destroyed. */
static void count_end(struct weir_call *call, uint64_t now_ns)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    const struct weir_outcome *outcome = &call->outcome;
    struct pipeline_cold_line *cold = &pipeline->cold[call->shard];
    if (pipeline->budgeted && call->attempt.number != 0) machine_deposit(pipeline, 1, now_ns);
    if (outcome->status == WEIR_REJECTED) {
        line_add(&cold->refused[outcome->reason], 1, call->shard < SHARDS);
        if (outcome->by != 0) line_add(&cold->refused_by[outcome->by - 1], 1, call->shard < SHARDS);
    }
    if ((outcome->flags & WEIR_DEGRADED) != 0)
        line_add(&cold->counter[PIPELINE_DEGRADED], 1, call->shard < SHARDS);
    if ((outcome->flags & WEIR_LATE) != 0) line_add(&cold->counter[PIPELINE_LATE], 1, call->shard < SHARDS);
    if ((outcome->flags & WEIR_SHADOW) != 0)
        line_add(&cold->counter[PIPELINE_SHADOWED], 1, call->shard < SHARDS);
    if (call->pending != 0) line_add_release(&cold->counter[PIPELINE_LEFT], 1, call->shard < SHARDS);
    line_add_release(&cold->ended[outcome->status], 1, call->shard < SHARDS);
}

static struct weir_step over(struct weir_call *call, uint64_t now_ns)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    if (call->shadowed != 0) call->outcome.flags |= WEIR_SHADOW;
    if (call->outcome.status == WEIR_OK) call->outcome.flags &= (uint8_t)~WEIR_NOT_REPEATABLE;
    bool valued = (call->flags & CALL_VALUED) != 0 && call->attempt.value != NULL;
    if (valued && call->outcome.status == WEIR_OK) {
        __builtin_memcpy(call->value, call->attempt.value, pipeline->result_size);
    }
    WEIR_ASSERT(call->outcome.status < WEIR_STATUSES);
    bool timed = call->outcome.status == WEIR_OK && (call->outcome.flags & WEIR_DEGRADED) == 0 &&
        (call->flags & CALL_UNTIMED) == 0 && now_ns > call->began_ns;
    if (timed)
        histogram_record(pipeline->latency, call->shard, call->shard < SHARDS, now_ns - call->began_ns);
    call->phase = PHASE_OVER;
    count_end(call, now_ns);
    return machine_step(call, WEIR_DONE, WEIR_NEVER);
}

/* A policy that lasts keeps its permit for work that was abandoned but still runs. */
static bool lasts(const struct weir_call *call, uint32_t position)
{
    if (call->pending == 0) return false;
    return (call->pipeline->policy[position]->flags & WEIR_POLICY_LASTING) != 0;
}

/* True: after the policy's answer to its settle the outcome goes no further outwards, *step says why. */
static bool turns(struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns,
    struct weir_step *step)
{
    if ((call->flags & CALL_ENDING) != 0) return false;
    if (answer.kind == WEIR_AGAIN && call->attempt.number < WEIR_ATTEMPTS_MAX &&
        is_open(call, position, now_ns)) {
        *step = again(call, position, answer, now_ns);
        return true;
    }
    if (answer.kind == WEIR_HOLD && !call->ending) {
        *step = keep(call, position, answer);
        return true;
    }
    if (answer.kind != WEIR_FALL_BACK) return false;
    *step = fall_back(call, position);
    return true;
}

struct weir_step machine_unwind_from(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    struct weir_step step;
    if (turns(call, position, answer, now_ns, &step)) return step;
    call->admitted &= (uint16_t)~bit(position);
    return machine_unwind(call, now_ns);
}

struct weir_step machine_unwind(struct weir_call *call, uint64_t now_ns)
{
    for (uint32_t i = call->pipeline->count; i-- > 0;) {
        bool held = call->held == i + 1;
        if ((call->admitted & bit(i)) == 0 && !held) continue;
        if (!held && lasts(call, i)) {
            call->admitted &= (uint16_t)~bit(i);
            call->lasting |= bit(i);
            continue;
        }
        struct weir_verdict answer = machine_settle_one(call, i, &call->outcome, now_ns);
        struct weir_step step;
        if (turns(call, i, answer, now_ns, &step)) return step;
        call->admitted &= (uint16_t)~bit(i);
    }
    return over(call, now_ns);
}
