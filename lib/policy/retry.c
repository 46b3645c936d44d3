/* Retry: decides, attempt by attempt, whether another one follows and when.
 *
 *     attempt ended --> OK, or the call is ending ---------------------> outwards
 *                   --> unwanted, not idempotent, no attempt left,
 *                       no time, no budget: counted -------------------> outwards
 *                   --> else a token is charged ---> AGAIN at now + delay
 *
 * Invariants: no attempt beyond `attempts` of its own (a retry outside or inside it counts apart); none is
 * scheduled at or past the deadline; each token that is charged is spent by an attempt that runs, or refunded
 * at the next settle, which always comes. */
#include "policy/retry.h"

#include "base/arithmetic.h"
#include "policy/budget.h"
#include "policy/duration.h"
#include "policy/handle.h"
#include "policy/outcome.h"

enum {
    RETRIED = POLICY_COUNTERS,
    RECOVERED,
    NOT_IDEMPOTENT,
    EXHAUSTED,
    NO_BUDGET,
    NO_TIME,
    NOT_WANTED,
    NOT_REPEATABLE
};

/* A slot: word 0 is the last delay; word 1 { the call's attempts when the token was charged:16 | attempts that
 * ended here:16 | a token is out:1 }. */
#define TOKEN_OUT 1u

#define RETRY_AFTER_NS_MAX (86400 * WEIR_S) /* who is told to come back later than that does not wait */

static uint32_t slot_ended(const struct weir_slot *slot)
{
    return (uint32_t)(slot->word[1] >> 1) & 0xffff;
}

static uint32_t slot_number(const struct weir_slot *slot)
{
    return (uint32_t)(slot->word[1] >> 17) & 0xffff;
}

static struct weir_verdict admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)call;
    (void)now_ns;
    slot->word[0] = slot->word[1] = 0;
    return verdict(WEIR_PASS);
}

/* base * 2^doublings, capped. */
static uint64_t grown(const struct retry_config *config, uint32_t doublings)
{
    if (doublings > 63) return config->max_ns;
    return config->base_ns > config->max_ns >> doublings ? config->max_ns : config->base_ns << doublings;
}

static uint64_t backoff(
    const struct retry_config *config, struct weir_slot *slot, struct weir_call *call, uint32_t ended)
{
    uint64_t last_ns = time_max(slot->word[0], config->base_ns), delay_ns = config->base_ns;
    switch ((enum weir_backoff)config->backoff) {
    case WEIR_BACKOFF_FULL: delay_ns = random_up_to(call_random(call), grown(config, ended - 1)); break;
    case WEIR_BACKOFF_CONSTANT: break;
    case WEIR_BACKOFF_EXPONENTIAL: delay_ns = grown(config, ended - 1); break;
    case WEIR_BACKOFF_DECORRELATED:
        delay_ns += random_up_to(call_random(call), time_min(3 * last_ns, config->max_ns) - config->base_ns);
        break;
    }
    slot->word[0] = delay_ns;
    return delay_ns;
}

/* The last retry's token: spent if an attempt has run since, else it goes back. */
static void settle_token(const struct weir_slot *slot, const struct weir_call *call, uint64_t now_ns)
{
    bool out = (slot->word[1] & TOKEN_OUT) != 0;
    if (out && call->attempt.number == slot_number(slot)) budget_refund(call->budget, now_ns);
}

static struct weir_verdict no_more(void *state, const struct weir_call *call, uint32_t why)
{
    policy_count(state, call, why);
    return verdict(WEIR_PASS);
}

static struct weir_verdict decide(const struct retry_config *config, void *state, struct weir_slot *slot,
    struct weir_call *call, const struct weir_outcome *outcome, uint32_t ended, uint64_t now_ns)
{
    bool idempotent = (call->flags & CALL_IDEMPOTENT) != 0;
    switch (outcome_retry(outcome, call->cursor, config->on, idempotent)) {
    case RETRY_YES: break;
    case RETRY_NOT_IDEMPOTENT: return no_more(state, call, NOT_IDEMPOTENT);
    case RETRY_NOT_REPEATABLE: return no_more(state, call, NOT_REPEATABLE);
    case RETRY_UNWANTED:
        if (outcome->status == WEIR_CANCELED || outcome->status == WEIR_IGNORED) return verdict(WEIR_PASS);
        /* Wanted but for where it comes from: a timeout or deadline outside. */
        return no_more(state, call, config->on & WEIR_ON(outcome->status) ? NO_TIME : NOT_WANTED);
    }
    bool exhausted = ended >= config->attempts || call->attempt.number >= WEIR_ATTEMPTS_MAX;
    if (exhausted) return no_more(state, call, EXHAUSTED);
    uint64_t delay_ns = time_max(backoff(config, slot, call, ended), outcome->retry_after_ns);
    uint64_t at_ns = time_add(now_ns, delay_ns), deadline_ns = call->attempt.deadline_ns;
    if (outcome->retry_after_ns > RETRY_AFTER_NS_MAX) return no_more(state, call, NO_TIME);
    if (at_ns >= deadline_ns) return no_more(state, call, NO_TIME);
    if (deadline_ns - at_ns < call->typical_ns) return no_more(state, call, NO_TIME);
    if (!budget_charge(call->budget, now_ns)) return no_more(state, call, NO_BUDGET);
    slot->word[1] = (uint64_t)call->attempt.number << 17 | (uint64_t)ended << 1 | TOKEN_OUT;
    policy_count(state, call, RETRIED);
    return (struct weir_verdict) {
        .kind = WEIR_AGAIN, .flags = WEIR_VERDICT_EVENT, .event = WEIR_EVENT_RETRIED, .at_ns = at_ns
    };
}

static struct weir_verdict settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    uint32_t ended = slot_ended(slot);
    settle_token(slot, call, now_ns);
    slot->word[1] &= ~(uint64_t)TOKEN_OUT;
    if (outcome->status == WEIR_OK) {
        if (ended > 0) policy_count(state, call, RECOVERED);
        return verdict(WEIR_PASS);
    }
    if ((call->flags & CALL_ENDING) != 0) return verdict(WEIR_PASS);
    return decide(config, state, slot, call, outcome, ended + 1, now_ns);
}

static void describe(const void *opaque, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    static const char *const backoffs[] = { "full jitter on a base", "a constant back-off",
        "exponential from a base", "decorrelated jitter on a base" };
    (void)state;
    (void)now_ns;
    const struct retry_config *config = opaque;
    char last[48] = "";
    if (config->backoff != WEIR_BACKOFF_CONSTANT) {
        snprintf(last, sizeof last, ", at most %s", duration_text(config->max_ns).text);
    }
    snprintf(buffer, size,
        "%" PRIu32 " attempts, %s of %s%s, only calls marked idempotent, not sent or declined",
        config->attempts, backoffs[config->backoff], duration_text(config->base_ns).text, last);
}

static const struct weir_policy_ops retry_ops = {
    .size = sizeof retry_ops,
    .flags = WEIR_POLICY_QUIET_ADMIT | WEIR_POLICY_QUIET_SETTLE,
    .kind = "retry",
    .admit = admit,
    .settle = settle,
    .describe = describe,
};

/* ---- create ---- */

static const char type[] = "weir_retry_config";

static enum weir_error validate(struct weir_retry_config *c)
{
    const uint64_t hour = 3600 * WEIR_S;
    const uint32_t failed = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED);
    const uint32_t known = failed | WEIR_ON(WEIR_REJECTED);
    enum weir_error error = error_range32(type, "attempts", &c->attempts, 3, 1, WEIR_ATTEMPTS_MAX);
    if (error == WEIR_E_NONE) error = error_range(type, "base_ns", &c->base_ns, 50 * WEIR_MS, WEIR_US, hour);
    uint64_t max_ns = time_max(2 * WEIR_S, c->base_ns);
    if (error == WEIR_E_NONE) error = error_range(type, "max_ns", &c->max_ns, max_ns, c->base_ns, 24 * hour);
    if (error == WEIR_E_NONE && (unsigned)c->backoff > WEIR_BACKOFF_DECORRELATED) {
        error = error_set(
            WEIR_E_INVALID, "%s.backoff is %u, expected a weir_backoff", type, (unsigned)c->backoff);
    }
    if (c->on == 0) c->on = failed;
    if (error == WEIR_E_NONE && (c->on & ~known) != 0) {
        error = error_set(WEIR_E_INVALID,
            "%s.on is 0x%" PRIx32 ", expected WEIR_ON() bits of FAILED, EXPIRED,"
            " OVERLOADED and REJECTED (0x%" PRIx32 ")",
            type, c->on, known);
    }
    return error;
}

static void released(struct weir_policy *retry)
{
    weir_budget_release(retry->auxiliary);
}

enum weir_error weir_retry_create(const struct weir_retry_config *given, struct weir_policy **retry)
{
    WEIR_REQUIRE(retry != NULL, "weir_retry_create", "retry is NULL");
    struct weir_retry_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error != WEIR_E_NONE) return error;
    if (c.budget != NULL) budget_acquire(c.budget);
    else error = weir_budget_create(NULL, &c.budget);
    if (error != WEIR_E_NONE) return error;
    struct retry_config record = {
        .base_ns = c.base_ns,
        .max_ns = c.max_ns,
        .attempts = c.attempts,
        .on = c.on,
        .backoff = (uint32_t)c.backoff,
    };
    error = policy_new(&(struct policy_spec) { .kind = POLICY_RETRY,
                           .ops = &retry_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = "retry",
                           .config = &record,
                           .config_size = sizeof record },
        retry);
    if (error != WEIR_E_NONE) {
        weir_budget_release(c.budget);
        return error;
    }
    (*retry)->auxiliary = c.budget;
    (*retry)->released = released;
    return WEIR_E_NONE;
}

struct weir_retry_stats weir_retry_stats(const struct weir_policy *retry)
{
    policy_require(retry, POLICY_RETRY, "weir_retry_stats");
    const struct counters *counters = retry->counters;
    return (struct weir_retry_stats) {
        .retried = counters_sum(counters, RETRIED),
        .recovered = counters_sum(counters, RECOVERED),
        .not_idempotent = counters_sum(counters, NOT_IDEMPOTENT),
        .exhausted = counters_sum(counters, EXHAUSTED),
        .no_budget = counters_sum(counters, NO_BUDGET),
        .no_time = counters_sum(counters, NO_TIME),
        .not_wanted = counters_sum(counters, NOT_WANTED),
        .not_repeatable = counters_sum(counters, NOT_REPEATABLE),
    };
}
