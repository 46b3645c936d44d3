/* Inwards: every policy is asked, outermost first, until one refuses, holds or skips; then the attempt starts.
 *
 * The walk may be repeated at any time: who has let the call in is not asked again, unless the call waited and
 * that policy's generation has passed meanwhile (a breaker that opened): then it is settled IGNORED and asked
 * anew, and only a refusal ends the call. */
#include "pipeline/machine.h"

static uint16_t bit(uint32_t position)
{
    return (uint16_t)(1u << position);
}

/* Passes by a policy that the call does not ask, or whose refusal does not count. */
static struct weir_verdict pass_by(struct weir_call *call, uint32_t position)
{
    call->skipped |= bit(position);
    return verdict(WEIR_PASS);
}

static void pay_hold(struct weir_call *call, uint32_t position, uint64_t now_ns)
{
    struct weir_outcome ignored = { .status = WEIR_IGNORED };
    machine_settle_one(call, position, &ignored, now_ns);
}

static struct weir_verdict admit_one(struct weir_call *call, uint32_t position, uint64_t now_ns)
{
    const struct weir_policy *policy = call->pipeline->policy[position];
    call->cursor = (uint8_t)position;
    if (policy->ops->admit == NULL) return verdict(WEIR_PASS);
    return policy->ops->admit(policy->config, policy->state, &call->slot[position], call, now_ns);
}

static struct weir_verdict admit_shadowed(
    struct weir_call *call, uint32_t position, enum weir_mode mode, uint64_t now_ns)
{
    struct weir_verdict answer = admit_one(call, position, now_ns);
    if (answer.kind == WEIR_PASS) return answer;
    if (answer.kind != WEIR_REFUSE) pay_hold(call, position, now_ns);
    if (mode == WEIR_MODE_SHADOW) {
        policy_count(call->pipeline->policy[position]->state, call, POLICY_WOULD_REFUSE);
        call->shadowed = 1;
    }
    machine_note(call, position, answer, now_ns);
    return pass_by(call, position);
}

/* The policy's answer under an operator's hand. */
static struct weir_verdict ask(struct weir_call *call, uint32_t position, uint64_t now_ns)
{
    struct weir_policy *policy = call->pipeline->policy[position];
    enum weir_mode mode = weir_policy_mode(policy);
    if (likely(mode == WEIR_MODE_ON)) return admit_one(call, position, now_ns);
    if (mode == WEIR_MODE_SHADOW || mode == WEIR_MODE_FORCED_CLOSED) {
        return admit_shadowed(call, position, mode, now_ns);
    }
    if (call->held == position + 1) pay_hold(call, position, now_ns);
    if (mode == WEIR_MODE_DISABLED) return pass_by(call, position);
    policy_count(policy->state, call, POLICY_REFUSED_FORCED);
    return verdict_refuse(WEIR_REASON_FORCED, 0);
}

/* Whether a call of this thread, further out, already holds the policy: waiting for it could wait for ever. */
static bool is_nested(const struct weir_call *call, const struct weir_policy *policy)
{
    for (const struct weir_call *outer = weir_thread.call; outer != NULL; outer = outer->outer) {
        if (outer == call) continue;
        for (uint32_t i = 0; i < outer->pipeline->count; i++) {
            if (outer->pipeline->policy[i] != policy) continue;
            if (outer->phase == PHASE_FAST || (outer->admitted & bit(i)) != 0) return true;
        }
    }
    return false;
}

/* Held: announce the waker, then look once more, so that a hand-over in between is not missed. */
static struct weir_verdict hold(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    struct weir_policy *policy = call->pipeline->policy[position];
    call->held = (uint8_t)(position + 1);
    if (answer.waiter != 0 && is_nested(call, policy)) {
        pay_hold(call, position, now_ns);
        policy_count(policy->state, call, POLICY_REFUSED_NESTED);
        return verdict_refuse(WEIR_REASON_NESTED, 0);
    }
    if (answer.waiter == 0 || (call->flags & CALL_ARMED) == 0) return answer;
    WEIR_REQUIRE(answer.waiter <= policy->wakers.count, "weir_policy_ops.admit",
        "the verdict's waiter is none that the policy was created with");
    call->waiter = answer.waiter;
    wakers_arm(&policy->wakers, answer.waiter - 1, call, call->waker);
    struct weir_verdict again = ask(call, position, now_ns);
    machine_note(call, position, again, now_ns);
    return again;
}

static bool is_stale(const struct weir_call *call, uint32_t position)
{
    const struct weir_policy *policy = call->pipeline->policy[position];
    if (policy->ops->stale == NULL) return false;
    return policy->ops->stale(policy->config, policy->state, &call->slot[position]);
}

/* Nothing starts at or after its deadline, even if that came while it was being admitted. */
static bool may_start(struct weir_call *call, uint64_t now_ns)
{
    call->ran_ns = 0;
    if (now_ns >= call->attempt.deadline_ns) {
        machine_set_ended(call, WEIR_EXPIRED);
        return false;
    }
    call->attempt_ns = now_ns;
    call_use_row(call, ROW_OPERATION);
    if (++call->attempt.number == 1 && call->attempt.deadline_ns == WEIR_NEVER) {
        context_count(CONTEXT_WITHOUT_DEADLINE);
    }
    pipeline_count(call->pipeline, call, PIPELINE_ATTEMPTS);
    return true;
}

static struct weir_step start(struct weir_call *call, uint64_t now_ns)
{
    if (!may_start(call, now_ns)) return machine_unwind(call, now_ns);
    call->phase = PHASE_RUNNING;
    return machine_step(call, WEIR_RUN, call->attempt.deadline_ns);
}

struct weir_step machine_skip(struct weir_call *call, uint32_t position, uint64_t now_ns)
{
    call->admitted |= bit(position);
    if (may_start(call, now_ns)) {
        call->outcome = (struct weir_outcome) {
            .status = WEIR_IGNORED, .by = (uint8_t)(position + 1), .code = call->outcome.code
        };
    }
    return machine_unwind(call, now_ns);
}

struct weir_step machine_refused(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns)
{
    bool known = answer.reason != WEIR_REASON_NONE && answer.reason < WEIR_REASONS;
    call->outcome = (struct weir_outcome) {
        .status = WEIR_REJECTED,
        .reason = known ? answer.reason : WEIR_REASON_CUSTOM,
        .by = (uint8_t)(position + 1),
        .code = call->outcome.code,
        .retry_after_ns = time_since(answer.at_ns, now_ns),
    };
    call->ran_ns = 0;
    machine_tell(call, position + 1, WEIR_EVENT_REFUSED, &call->outcome, now_ns);
    return machine_unwind(call, now_ns);
}

struct weir_step machine_admit(struct weir_call *call, uint64_t now_ns)
{
    bool waited = call->phase != PHASE_FAST;
    for (uint32_t i = 0; i < call->pipeline->count; i++) {
        if ((call->skipped & bit(i)) != 0) continue;
        if ((call->admitted & bit(i)) != 0) {
            if (!waited || !is_stale(call, i)) continue;
            pay_hold(call, i, now_ns);
            call->admitted &= (uint16_t)~bit(i);
        }
        struct weir_verdict answer = ask(call, i, now_ns);
        machine_note(call, i, answer, now_ns);
        if (answer.kind == WEIR_HOLD) {
            if (call->held != 0 && call->held != i + 1) pay_hold(call, call->held - 1u, now_ns);
            answer = hold(call, i, answer, now_ns);
        }
        if (answer.kind == WEIR_HOLD) {
            call->phase = PHASE_HOLDING;
            call->wake_ns = answer.at_ns;
            return machine_step(call, WEIR_WAIT, time_min(answer.at_ns, call->attempt.deadline_ns));
        }
        machine_let_go(call);
        if (call->held == i + 1) call->held = 0;
        if (answer.kind == WEIR_REFUSE) return machine_refused(call, i, answer, now_ns);
        if (answer.kind == WEIR_SKIP) return machine_skip(call, i, now_ns);
        if ((call->skipped & bit(i)) == 0) call->admitted |= bit(i);
    }
    return start(call, now_ns);
}
