/* timeout, retry and fallback: what a call's passage through one of them means, written down once more. */
#include "models/model.h"

#include "policy/budget.h"
#include "policy/handle.h"

#include <weir/fallback.h>
#include <weir/timeout.h>

#include <string.h>

/* ---- timeout: a stack of them ---- */

#define DEEPEST 6

void timeout_model(const struct program *program)
{
    struct weir_policy *stack[DEEPEST];
    uint64_t limit[DEEPEST], seed = program->seed, expired[DEEPEST] = { 0 };
    for (uint32_t i = 0; i < DEEPEST; i++) {
        limit[i] = model_between(&seed, 1, 6) * WEIR_MS;
        struct weir_timeout_config config = { .size = sizeof config, .timeout_ns = limit[i] };
        HOLDS(weir_timeout_create(&config, &stack[i]) == WEIR_E_NONE, "timeout: create");
    }
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        uint32_t depth = 1 + op->kind % DEEPEST;
        struct weir_call call = { .shard = 0 };
        uint64_t now = 1000 * WEIR_S, outer[DEEPEST], by = 0;
        call.attempt.deadline_ns = op->a % 3 == 0 ? WEIR_NEVER : now + op->b % (8 * WEIR_MS);
        uint64_t least = call.attempt.deadline_ns;
        for (uint32_t j = 0; j < depth; j++) {
            now += op->a % 1000000;
            call.cursor = (uint8_t)j;
            outer[j] = call.attempt.deadline_ns;
            stack[j]->ops->admit(stack[j]->config, stack[j]->state, &call.slot[j], &call, now);
            if (now + limit[j] < least) by = j + 1;
            if (now + limit[j] < least) least = now + limit[j];
            SAME(call.attempt.deadline_ns, least, "timeout: the least deadline");
            SAME(call.deadline_by, by, "timeout: whose it is");
        }
        struct weir_outcome outcome = {
            .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = (uint8_t)by
        };
        for (uint32_t j = depth; j-- > 0;) {
            call.cursor = (uint8_t)j;
            stack[j]->ops->settle(stack[j]->config, stack[j]->state, &call.slot[j], &call, &outcome, now);
            SAME(call.attempt.deadline_ns, outer[j], "timeout: the deadline outside");
            expired[j] += by == j + 1;
            SAME(weir_timeout_stats(stack[j]).expired, expired[j], "timeout: expired");
        }
    }
    for (uint32_t i = 0; i < DEEPEST; i++) weir_policy_release(stack[i]);
}

/* ---- retry ---- */

struct retry {
    struct weir_policy *policy;
    struct weir_retry_config config;
    struct weir_retry_stats stats;
    uint64_t ended, last_delay;
};

enum wish { WISHED, NOT_WISHED, UNSAFE, USED_UP, TOO_LATE, ELSEWHERE, SILENTLY };

static enum wish wish_of(const struct retry *model, const struct weir_outcome *outcome, bool idempotent)
{
    uint32_t on = model->config.on;
    if (on == 0) on = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED);
    if (outcome->status == WEIR_CANCELED || outcome->status == WEIR_IGNORED) return SILENTLY;
    if ((on >> outcome->status & 1) == 0) return NOT_WISHED;
    if (outcome->status == WEIR_EXPIRED && outcome->by <= 3 && outcome->reason != WEIR_REASON_NONE)
        return TOO_LATE;
    if (outcome->status == WEIR_REJECTED && outcome->by != 0 && outcome->by <= 3) return ELSEWHERE;
    if ((outcome->flags & WEIR_NOT_REPEATABLE) != 0) return USED_UP;
    if (outcome->status == WEIR_OVERLOADED || outcome->status == WEIR_REJECTED) return WISHED;
    return idempotent || (outcome->flags & WEIR_NOT_SENT) != 0 ? WISHED : UNSAFE;
}

/* The range in which the next delay may lie. */
static void delay_range(const struct retry *model, uint64_t *low, uint64_t *high)
{
    const struct weir_retry_config *config = &model->config;
    uint64_t grown = config->base_ns;
    for (uint64_t i = 0; i < model->ended && grown < config->max_ns; i++) grown *= 2;
    if (grown > config->max_ns) grown = config->max_ns;
    *low = *high = config->base_ns;
    if (config->backoff == WEIR_BACKOFF_FULL) *low = 0, *high = grown;
    if (config->backoff == WEIR_BACKOFF_EXPONENTIAL) *low = *high = grown;
    if (config->backoff == WEIR_BACKOFF_DECORRELATED) {
        uint64_t last = model->last_delay > config->base_ns ? model->last_delay : config->base_ns;
        *high = 3 * last < config->max_ns ? 3 * last : config->max_ns;
    }
}

static struct weir_outcome draw_outcome(const struct op *op)
{
    static const struct weir_outcome outcomes[] = { { .status = WEIR_OK }, { .status = WEIR_FAILED },
        { .status = WEIR_FAILED }, { .status = WEIR_FAILED },
        { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT }, { .status = WEIR_OVERLOADED },
        { .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .by = 5 },
        { .status = WEIR_REJECTED, .reason = WEIR_REASON_BREAKER_OPEN, .by = 2 },
        { .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = 4 },
        { .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = 2 },
        { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE }, { .status = WEIR_CANCELED },
        { .status = WEIR_IGNORED }, { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT | WEIR_NOT_REPEATABLE },
        { .status = WEIR_OVERLOADED, .flags = WEIR_NOT_REPEATABLE } };
    struct weir_outcome outcome = outcomes[op->a % (sizeof outcomes / sizeof *outcomes)];
    if (outcome.status == WEIR_OVERLOADED) outcome.retry_after_ns = op->b % (300 * WEIR_MS);
    return outcome;
}

/* Whether it may go on, the delay apart, which lies between low and high; counts why not. -1: that decides. */
static int decide(struct retry *model, const struct weir_call *call, const struct weir_outcome *outcome,
    uint64_t now, uint64_t low, uint64_t high)
{
    uint64_t left = call->attempt.deadline_ns - now, need = call->typical_ns;
    switch (wish_of(model, outcome, (call->flags & CALL_IDEMPOTENT) != 0)) {
    case WISHED: break;
    case NOT_WISHED: model->stats.not_wanted++; return 0;
    case UNSAFE: model->stats.not_idempotent++; return 0;
    case USED_UP: model->stats.not_repeatable++; return 0;
    case TOO_LATE: model->stats.no_time++; return 0;
    case ELSEWHERE: /* refused outside, after a wait: not this policy's to try again; how it counts is open */
    case SILENTLY: return 0;
    }
    if (model->ended + 1 >= model->config.attempts) {
        model->stats.exhausted++;
        return 0;
    }
    if (low < outcome->retry_after_ns) low = outcome->retry_after_ns;
    if (high < outcome->retry_after_ns) high = outcome->retry_after_ns;
    if (low < left && left - low >= need && (high >= left || left - high < need)) return -1;
    if (low >= left || left - low < need) {
        model->stats.no_time++;
        return 0;
    }
    if (weir_budget_stats(call->budget, now).tokens == 0) {
        model->stats.no_budget++;
        return 0;
    }
    return 1;
}

static void one_end(struct retry *model, struct weir_call *call, const struct op *op, uint64_t now)
{
    struct weir_outcome outcome = draw_outcome(op);
    uint64_t low, high, retried = model->stats.retried;
    delay_range(model, &low, &high);
    if (outcome.status == WEIR_OK && model->ended > 0) model->stats.recovered++;
    int goes_on = outcome.status == WEIR_OK ? 0 : decide(model, call, &outcome, now, low, high);
    struct weir_verdict verdict = model->policy->ops->settle(
        model->policy->config, model->policy->state, &call->slot[2], call, &outcome, now);
    bool again = verdict.kind == WEIR_AGAIN;
    if (goes_on >= 0) SAME(again, goes_on, "retry: goes on");
    if (again) {
        uint64_t delay = verdict.at_ns - now, asked = outcome.retry_after_ns;
        HOLDS(delay >= (low > asked ? low : asked) && delay <= (high > asked ? high : asked),
            "retry: its delay");
        HOLDS(verdict.at_ns < call->attempt.deadline_ns, "retry: past the deadline");
        model->last_delay = call->slot[2].word[0];
        HOLDS(model->last_delay >= low && model->last_delay <= high, "retry: the delay it remembers");
        model->stats.retried = retried + 1;
        model->ended++;
        call->attempt.number++;
    } else {
        model->ended = WEIR_NEVER;
    }
    struct weir_retry_stats stats = weir_retry_stats(model->policy);
    if ((goes_on < 0 && !again) || outcome.by == 2) {
        model->stats.not_wanted = stats.not_wanted;
        model->stats.no_time = stats.no_time;
        model->stats.no_budget = stats.no_budget;
    }
    HOLDS(memcmp(&stats, &model->stats, sizeof stats) == 0, "retry: counters");
}

void retry_model(const struct program *program)
{
    struct retry model = { 0 };
    struct weir_budget *budget;
    uint64_t seed = program->seed, now = 1000 * WEIR_S;
    struct weir_budget_config own = { .size = sizeof own,
        .floor_per_s = (uint32_t)model_between(&seed, 1, 20) };
    HOLDS(weir_budget_create(&own, &budget) == WEIR_E_NONE, "retry: its budget");
    model.config = (struct weir_retry_config) { .size = sizeof model.config,
        .budget = budget,
        .attempts = (uint32_t)model_between(&seed, 1, 8),
        .backoff = (enum weir_backoff)model_below(&seed, 4),
        .base_ns = model_between(&seed, 1, 50) * WEIR_MS,
        .max_ns = model_between(&seed, 50, 500) * WEIR_MS,
        .on = model_below(&seed, 2) == 0 ? 0 : WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_REJECTED) };
    HOLDS(weir_retry_create(&model.config, &model.policy) == WEIR_E_NONE, "retry: create");
    struct weir_call call = { 0 };
    model.ended = WEIR_NEVER;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        now += op->b % (50 * WEIR_MS);
        if (model.ended == WEIR_NEVER) {
            call = (struct weir_call) { .cursor = 2, .budget = budget, .random = op->b };
            call.flags = (uint8_t)(CALL_SLOW | CALL_SEEDED | (op->kind % 4 != 0 ? CALL_IDEMPOTENT : 0));
            call.attempt.number = 1;
            call.attempt.deadline_ns = op->kind % 3 == 0 ? WEIR_NEVER : now + op->b % WEIR_S + 1;
            if (op->kind % 7 == 0)
                call.attempt.deadline_ns = now + model.config.base_ns; /* to the nanosecond */
            call.typical_ns = op->kind % 5 == 0 ? op->a % (100 * WEIR_MS) : 0;
            model.policy->ops->admit(model.policy->config, model.policy->state, &call.slot[2], &call, now);
            model.ended = model.last_delay = 0;
        }
        if (now >= call.attempt.deadline_ns) call.attempt.deadline_ns = now + 1;
        one_end(&model, &call, op, now);
    }
    weir_policy_release(model.policy);
    weir_budget_release(budget);
}

/* ---- fallback ---- */

static struct weir_outcome never_called(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    differs("fallback: a policy ran its function");
}

struct fallback {
    struct weir_policy *policy;
    struct weir_fallback_config config;
    uint64_t value, good, good_at, rest_until;
    bool has_good;
};

/* What is answered without the function: from where, or 0 for nothing. */
enum { ANSWERS_NOT, ANSWERS_GOOD, ANSWERS_VALUE, ANSWERS_BARE };

static int stored_answer(const struct fallback *model, uint64_t now)
{
    const struct weir_fallback_config *config = &model->config;
    if (config->last_good && model->has_good && now - model->good_at <= config->age_max_ns)
        return ANSWERS_GOOD;
    if (config->value != NULL) return ANSWERS_VALUE;
    return config->last_good || config->function != NULL ? ANSWERS_NOT : ANSWERS_BARE;
}

static void compare_answer(const struct fallback *model, const struct weir_outcome *came,
    const struct weir_outcome *went, uint64_t value, int answer)
{
    if (answer == ANSWERS_NOT) {
        HOLDS(memcmp(came, went, sizeof *came) == 0, "fallback: what it could not hide");
        return;
    }
    SAME(went->status, WEIR_OK, "fallback: status");
    SAME(went->flags & WEIR_DEGRADED, WEIR_DEGRADED, "fallback: degraded");
    SAME(went->by, 3, "fallback: by");
    SAME(went->reason << 16 | went->code, came->reason << 16 | came->code, "fallback: what it hides");
    if (answer == ANSWERS_GOOD) SAME(value, model->good, "fallback: the last good answer");
    if (answer == ANSWERS_VALUE) SAME(value, model->value, "fallback: its value");
}

static bool wants(const struct fallback *model, const struct weir_outcome *outcome)
{
    if (outcome->status == WEIR_OK || outcome->status == WEIR_CANCELED || outcome->status == WEIR_IGNORED)
        return false;
    if (model->config.on != 0 && (model->config.on >> outcome->status & 1) == 0) return false;
    if (model->config.not_when_forced && outcome->reason == WEIR_REASON_FORCED) return false;
    if (outcome->by != 0) return outcome->by >= 3;
    return outcome->reason != WEIR_REASON_DEADLINE;
}

static struct weir_verdict settled(
    const struct fallback *model, struct weir_call *call, struct weir_outcome *outcome, uint64_t now)
{
    return model->policy->ops->settle(
        model->policy->config, model->policy->state, &call->slot[2], call, outcome, now);
}

static void function_ended(struct fallback *model, struct weir_call *call, const struct weir_outcome *hidden,
    const struct op *op, uint64_t now)
{
    struct weir_outcome outcome = { .status = op->b % 2 == 0 ? WEIR_OK : WEIR_FAILED, .code = 77 };
    uint64_t value = 1234, rest = hidden->retry_after_ns;
    bool ok = outcome.status == WEIR_OK;
    call->attempt.value = &value;
    settled(model, call, &outcome, now);
    if (!ok && model->config.rest_after_failure) model->rest_until = now + rest;
    compare_answer(model, hidden, &outcome, value, ok ? ANSWERS_BARE : stored_answer(model, now));
    if (ok) SAME(value, 1234, "fallback: the function's own value");
}

static void one_call(struct fallback *model, const struct op *op, uint64_t now)
{
    struct weir_outcome came = draw_outcome(op);
    if (op->kind % 8 == 1)
        came = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_FORCED, .by = 4 };
    uint64_t value = (uint64_t)op->b << 8 | 1;
    struct weir_call call = { .cursor = 2, .flags = CALL_SLOW };
    call.attempt.deadline_ns = op->kind % 3 == 0 ? WEIR_NEVER : now + op->a;
    call.attempt.value = &value;
    uint64_t outside = call.attempt.deadline_ns, reserve = model->config.reserve_ns;
    model->policy->ops->admit(model->policy->config, model->policy->state, &call.slot[2], &call, now);
    uint64_t inside = outside == WEIR_NEVER || outside < reserve ? outside : outside - reserve;
    SAME(call.attempt.deadline_ns, outside != WEIR_NEVER && inside < now ? now : inside,
        "fallback: its reserve");
    struct weir_outcome went = came;
    struct weir_verdict verdict = settled(model, &call, &went, now);
    SAME(call.attempt.deadline_ns, outside, "fallback: the deadline outside");
    if (came.status == WEIR_OK && model->config.last_good) {
        model->has_good = true;
        model->good = value;
        model->good_at = now;
    }
    bool runs = model->config.function != NULL && now < outside && now >= model->rest_until;
    if (!wants(model, &came)) {
        HOLDS(memcmp(&came, &went, sizeof came) == 0, "fallback: changed what it doesn't want");
    } else if (runs) {
        SAME(verdict.kind, WEIR_FALL_BACK, "fallback: asks for its function");
        function_ended(model, &call, &came, op, now);
    } else {
        compare_answer(model, &came, &went, value, stored_answer(model, now));
    }
}

void fallback_model(const struct program *program)
{
    static struct fallback model;
    uint64_t seed = program->seed, now = 1000 * WEIR_S;
    model = (struct fallback) { .value = 99 };
    bool function = model_below(&seed, 2) == 0;
    model.config = (struct weir_fallback_config) { .size = sizeof model.config,
        .value_size = sizeof model.value,
        .value = model_below(&seed, 2) == 0 ? &model.value : NULL,
        .last_good = model_below(&seed, 2) == 0,
        .age_max_ns = model_between(&seed, 1, 300) * WEIR_MS,
        .function = function ? never_called : NULL,
        .reserve_ns = function ? model_below(&seed, 3) * 5 * WEIR_MS : 0,
        .on = model_below(&seed, 2) == 0 ? 0 : WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_REJECTED),
        .not_when_forced = model_below(&seed, 2) == 0,
        .rest_after_failure = model_below(&seed, 2) == 0 };
    HOLDS(weir_fallback_create(&model.config, &model.policy) == WEIR_E_NONE, "fallback: create");
    for (uint32_t i = 0; i < program->count; i++) {
        now += program->op[i].b % (100 * WEIR_MS);
        one_call(&model, &program->op[i], now);
    }
    weir_policy_release(model.policy);
}
