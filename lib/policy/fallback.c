/* Fallback: what is answered when what is inside it did not.
 *
 *     OK --------------------------------------> kept as the last good answer ------> outwards
 *     wanted --> FUNCTION --OK--> its answer ---------------------------------------> outwards, DEGRADED
 *        |           | failed (and rests)
 *        '-----------'--> LAST GOOD, young enough ----------------------------------> outwards, DEGRADED
 *                             '--> VALUE -------------------------------------------> outwards, DEGRADED
 *                                    '--> none: what it could not hide -------------> outwards, as it is
 *
 * Invariants: an answer bears reason, code and retry-after of what it hides; a degraded answer of another
 * fallback is never kept as good; nothing starts once the call is ending or the deadline outside has passed;
 * the deadline that was lowered on the way in is restored on the way out. */
#include "policy/fallback.h"

#include "base/arithmetic.h"
#include "policy/duration.h"
#include "policy/outcome.h"

#include <weir/retry.h> /* WEIR_ON */

#include <string.h>

enum {
    BY_FUNCTION = POLICY_COUNTERS,
    BY_LAST_GOOD,
    BY_VALUE,
    FUNCTION_FAILED,
    TOO_OLD,
    RESTING,
    HIDDEN, /* one for each status that it may hide, from FAILED to OVERLOADED */
    END = HIDDEN + WEIR_OVERLOADED,
};
_Static_assert(END <= COUNTERS, "a fallback's counters fit in a line");

/* A slot: word 0 is the deadline outside; word 1 is who set it, and whether the function was asked for. */
#define FUNCTION_ASKED 0x100u

#define REST_NS_MAX (86400 * WEIR_S) /* whatever the callee says */

static struct weir_verdict admit(
    const void *opaque, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)state;
    const struct fallback_config *config = opaque;
    uint64_t deadline_ns = call->attempt.deadline_ns;
    slot->word[0] = deadline_ns;
    slot->word[1] = call->deadline_by;
    if (config->reserve_ns == 0 || deadline_ns == WEIR_NEVER) return verdict(WEIR_PASS);
    call->attempt.deadline_ns = time_max(time_since(deadline_ns, config->reserve_ns), now_ns);
    call->deadline_by = (uint8_t)(call->cursor + 1);
    return verdict(WEIR_PASS);
}

/* ---- the last good answer ---- */

#define READ_TRIES 64

static void keep(
    const struct fallback_config *config, struct fallback_state *state, const void *value, uint64_t now_ns)
{
    uint64_t sequence = atomic_load_relaxed(&state->sequence);
    if ((sequence & 1) != 0 || !atomic_cas_acq_rel(&state->sequence, &sequence, sequence + 1)) return;
    atomic_store_release(&state->stored_ns, now_ns);
    for (uint32_t at = 0; at < config->value_size; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)value + at, time_min(sizeof word, config->value_size - at));
        atomic_store_release(&state->word[at / sizeof word], word);
    }
    atomic_store_release(&state->sequence, sequence + 2);
}

enum found { FOUND, FOUND_OLD, FOUND_NONE };

static enum found find(
    const struct fallback_config *config, const struct fallback_state *state, void *value, uint64_t now_ns)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        uint64_t sequence = atomic_load_acquire(&state->sequence);
        if (sequence == 0) return FOUND_NONE;
        if ((sequence & 1) != 0) continue;
        bool old = time_since(now_ns, atomic_load_acquire(&state->stored_ns)) > config->age_max_ns;
        for (uint32_t at = 0; value != NULL && at < config->value_size; at += sizeof(uint64_t)) {
            uint64_t word = atomic_load_acquire(&state->word[at / sizeof word]);
            memcpy((char *)value + at, &word, time_min(sizeof word, config->value_size - at));
        }
        if (atomic_load_relaxed(&state->sequence) == sequence) return old ? FOUND_OLD : FOUND;
    }
    return FOUND_NONE;
}

/* ---- settle ---- */

static struct weir_verdict answer(void *state, const struct weir_call *call, struct weir_outcome *outcome,
    const struct weir_outcome *hidden, uint32_t how)
{
    policy_count(state, call, how);
    policy_count(state, call, HIDDEN + hidden->status - WEIR_FAILED);
    *outcome = (struct weir_outcome) {
        .status = WEIR_OK,
        .reason = hidden->reason,
        .by = (uint8_t)(call->cursor + 1),
        .flags = (uint8_t)(WEIR_DEGRADED | (hidden->flags & WEIR_SHADOW)),
        .code = hidden->code,
        .retry_after_ns = hidden->retry_after_ns,
    };
    return (struct weir_verdict) {
        .kind = WEIR_ANSWER, .flags = WEIR_VERDICT_EVENT, .event = WEIR_EVENT_FELL_BACK
    };
}

/* What a failed attempt has left is no result of an answer that has none. */
static void without_result(const struct fallback_config *config, struct weir_call *call)
{
    if (config->value_size == 0) call->attempt.value = NULL;
}

/* Without a function, or after it. */
static struct weir_verdict answer_stored(const struct fallback_config *config, void *opaque,
    struct weir_call *call, struct weir_outcome *outcome, struct weir_outcome hidden, uint64_t now_ns)
{
    struct fallback_state *state = opaque;
    void *value = call->attempt.value;
    if (config->last_good) {
        enum found found = find(config, state, value, now_ns);
        if (found == FOUND) {
            without_result(config, call);
            return answer(state, call, outcome, &hidden, BY_LAST_GOOD);
        }
        if (found == FOUND_OLD) policy_count(state, call, TOO_OLD);
    }
    bool bare = !config->has_function && !config->last_good;
    if (!config->has_value && !bare) {
        *outcome = hidden;
        return verdict(WEIR_ANSWER);
    }
    without_result(config, call);
    if (config->has_value && value != NULL) memcpy(value, config->value, config->value_size);
    return answer(state, call, outcome, &hidden, BY_VALUE);
}

/* What is inside ended by this policy's own reserve counts as inside. */
static bool is_wanted(
    const struct fallback_config *config, const struct weir_call *call, const struct weir_outcome *outcome)
{
    if ((call->flags & CALL_ENDING) != 0) return false;
    if ((config->on & WEIR_ON(outcome->status)) == 0) return false;
    if (config->not_when_forced && outcome->reason == WEIR_REASON_FORCED) return false;
    return outcome_from_inside(outcome, call->cursor) || outcome->by == call->cursor + 1;
}

static bool may_run_function(
    const struct fallback_config *config, void *opaque, const struct weir_call *call, uint64_t now_ns)
{
    const struct fallback_state *state = opaque;
    if ((call->pending & WEIR_ABANDONED_FALLBACK) != 0) return false; /* one function at a time */
    if (!config->has_function || now_ns >= call->attempt.deadline_ns) return false;
    if (now_ns >= atomic_load_relaxed(&state->rest_until)) return true;
    policy_count(opaque, call, RESTING);
    return false;
}

static struct weir_verdict settle_function(const struct fallback_config *config, void *opaque,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    struct fallback_state *state = opaque;
    if ((call->flags & CALL_ENDING) != 0) return verdict(WEIR_PASS);
    struct weir_outcome hidden = call->hidden;
    if (outcome->status == WEIR_OK) return answer(state, call, outcome, &hidden, BY_FUNCTION);
    policy_count(state, call, FUNCTION_FAILED);
    if (config->rest_after_failure) {
        atomic_store_relaxed(
            &state->rest_until, time_add(now_ns, time_min(hidden.retry_after_ns, REST_NS_MAX)));
    }
    return answer_stored(config, state, call, outcome, hidden, now_ns);
}

static struct weir_verdict settle_slow(const struct fallback_config *config, void *state,
    struct weir_slot *slot, struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    call->attempt.deadline_ns = slot->word[0];
    call->deadline_by = (uint8_t)slot->word[1];
    if ((slot->word[1] & FUNCTION_ASKED) != 0) return settle_function(config, state, call, outcome, now_ns);
    if (!is_wanted(config, call, outcome)) return verdict(WEIR_PASS);
    if (!may_run_function(config, state, call, now_ns)) {
        return answer_stored(config, state, call, outcome, *outcome, now_ns);
    }
    call->hidden = *outcome;
    slot->word[1] |= FUNCTION_ASKED;
    return verdict(WEIR_FALL_BACK);
}

/* A call that goes well by the fast lists comes here only to have its answer kept; its slot is not written. */
static struct weir_verdict settle(const void *opaque, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct fallback_config *config = opaque;
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    if ((call->flags & CALL_SLOW) != 0) verdict = settle_slow(config, state, slot, call, outcome, now_ns);
    if (!config->last_good || outcome->status != WEIR_OK) return verdict;
    bool there = config->value_size == 0 || call->attempt.value != NULL;
    if (there && (outcome->flags & WEIR_DEGRADED) == 0) keep(config, state, call->attempt.value, now_ns);
    return verdict;
}

/* The parent may have been storing an answer just then: without its thread it would be busy for ever. */
static void forked(const void *config, void *opaque)
{
    (void)config;
    struct fallback_state *state = opaque;
    if ((state->sequence & 1) != 0) state->sequence = 0;
}

static void describe(const void *opaque, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    (void)state;
    (void)now_ns;
    const struct fallback_config *config = opaque;
    char last_good[64] = "";
    const char *first = config->has_function ? "function, " : "", *last = "the outcome as it is";
    if (config->last_good) {
        snprintf(last_good, sizeof last_good, "last good answer of at most %s, ",
            duration_text(config->age_max_ns).text);
    }
    if (config->has_value) last = "value";
    else if (!config->has_function && !config->last_good) last = "a bare OK";
    snprintf(buffer, size, "%s%s%s", first, last_good, last);
}

static const struct weir_policy_ops fallback_ops = {
    .size = sizeof fallback_ops,
    .flags = WEIR_POLICY_QUIET_ADMIT,
    .kind = "fallback",
    .admit = admit,
    .settle = settle,
    .forked = forked,
    .describe = describe,
};

/* ---- create ---- */

static const char type[] = "weir_fallback_config";

static enum weir_error validate(struct weir_fallback_config *c)
{
    const uint64_t day = 86400 * WEIR_S;
    const uint32_t known =
        WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_REJECTED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED);
    enum weir_error error = error_range(type, "age_max_ns", &c->age_max_ns, 60 * WEIR_S, WEIR_US, 365 * day);
    if (error == WEIR_E_NONE && c->reserve_ns != 0) {
        error = error_range(type, "reserve_ns", &c->reserve_ns, 0, WEIR_US, day);
    }
    if (error != WEIR_E_NONE) return error;
    if (c->value_size > WEIR_RESULT_MAX) {
        return error_set(WEIR_E_INVALID, "%s.value_size is %" PRIu32 ", expected 0..%d", type, c->value_size,
            WEIR_RESULT_MAX);
    }
    if (c->value != NULL && c->value_size == 0) {
        return error_set(WEIR_E_INVALID, "%s.value_size is 0, expected the size of value", type);
    }
    if (c->reserve_ns != 0 && c->function == NULL) {
        return error_set(WEIR_E_INVALID, "%s.reserve_ns is %" PRIu64 ", expected 0 without a function", type,
            c->reserve_ns);
    }
    if (c->on == 0) c->on = known;
    if ((c->on & ~known) == 0) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID,
        "%s.on is 0x%" PRIx32 ", expected WEIR_ON() bits of FAILED, REJECTED,"
        " EXPIRED and OVERLOADED (0x%" PRIx32 ")",
        type, c->on, known);
}

enum weir_error weir_fallback_create(const struct weir_fallback_config *given, struct weir_policy **fallback)
{
    WEIR_REQUIRE(fallback != NULL, "weir_fallback_create", "fallback is NULL");
    struct weir_fallback_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error != WEIR_E_NONE) return error;
    union {
        struct fallback_config config;
        unsigned char bytes[sizeof(struct fallback_config) + WEIR_RESULT_MAX];
    } record;
    record.config = (struct fallback_config) {
        .reserve_ns = c.reserve_ns,
        .age_max_ns = c.age_max_ns,
        .value_size = c.value_size,
        .on = c.on,
        .has_function = c.function != NULL,
        .has_value = c.value != NULL,
        .last_good = c.last_good,
        .not_when_forced = c.not_when_forced,
        .rest_after_failure = c.rest_after_failure,
    };
    if (c.value != NULL) memcpy(record.config.value, c.value, c.value_size);
    size_t words = c.last_good ? (c.value_size + sizeof(uint64_t) - 1) / sizeof(uint64_t) : 0;
    error = policy_new(&(struct policy_spec) { .kind = POLICY_FALLBACK,
                           .ops = &fallback_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = "fallback",
                           .config = &record.config,
                           .config_size = sizeof record.config + (c.value != NULL ? c.value_size : 0),
                           .state_size = sizeof(struct fallback_state) + words * sizeof(uint64_t),
                           .flags = c.last_good ? 0 : WEIR_POLICY_QUIET_SETTLE },
        fallback);
    if (error == WEIR_E_NONE) (*fallback)->auxiliary = (void *)c.function;
    return error;
}

struct weir_fallback_stats weir_fallback_stats(const struct weir_policy *fallback)
{
    policy_require(fallback, POLICY_FALLBACK, "weir_fallback_stats");
    const struct counters *counters = fallback->counters;
    struct weir_fallback_stats stats = {
        .by_function = counters_sum(counters, BY_FUNCTION),
        .by_last_good = counters_sum(counters, BY_LAST_GOOD),
        .by_value = counters_sum(counters, BY_VALUE),
        .function_failed = counters_sum(counters, FUNCTION_FAILED),
        .too_old = counters_sum(counters, TOO_OLD),
        .resting = counters_sum(counters, RESTING),
    };
    for (uint32_t i = WEIR_FAILED; i <= WEIR_OVERLOADED; i++) {
        stats.hidden[i] = counters_sum(counters, HIDDEN + i - WEIR_FAILED);
    }
    return stats;
}
