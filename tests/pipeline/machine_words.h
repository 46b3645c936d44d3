/* A policy of the tests' own, which writes down what the machine asks it and answers from a script. */
#ifndef WEIR_TEST_MACHINE_WORDS_H
#define WEIR_TEST_MACHINE_WORDS_H

#include "support/test.h"

#include <weir/weir.h>

#include <string.h>

#define START (1000 * WEIR_S)

struct spy_note {
    char what; /* Admit, Settle */
    uint8_t spy, status, reason, by, flags;
    uint16_t reserved; /* no padding: notes are compared by memcmp */
    int32_t code;
    uint32_t weight;
    uint64_t now_ns, deadline_ns, word[2];
};

struct spy_log {
    struct spy_note note[4096];
    uint32_t count;
    /* Of each spy: calls that it holds; and what each call that it let in is owed. A held slot bears no id. */
    int held[8];
    uint8_t owed[8][1024];
};
enum { NOTHING, A_SETTLE, A_SETTLE_UNLESS_ENDING };

/* What the script answers; NULL functions pass. */
struct spy_script {
    struct weir_verdict (*admit)(
        uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns);
    struct weir_verdict (*settle)(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
        struct weir_outcome *outcome, uint64_t now_ns);
    bool (*stale)(uint8_t spy, const struct weir_slot *slot);
};

struct spy_config {
    uint64_t spy;   /* which one, 0..7 */
    uint64_t quiet; /* its flags */
    struct spy_log *log;
    const struct spy_script *script;
};

static inline void spy_note(const struct spy_config *config, char what, const struct weir_slot *slot,
    const struct weir_call *call, const struct weir_outcome *outcome, uint64_t now_ns)
{
    struct spy_log *log = config->log;
    CHECK(slot == &call->slot[call->cursor]);
    CHECK(log->count < sizeof log->note / sizeof log->note[0]);
    log->note[log->count++] = (struct spy_note) {
        .what = what,
        .spy = (uint8_t)config->spy,
        .status = outcome->status,
        .reason = outcome->reason,
        .by = outcome->by,
        .flags = outcome->flags,
        .code = outcome->code,
        .now_ns = now_ns,
        .deadline_ns = config->quiet ? call->attempt.deadline_ns : 0,
        .word = { slot->word[0], slot->word[1] },
        .weight = weir_call_weight(call),
    };
    /* One that holds may be asked again at once: nothing has happened. */
    const struct spy_note *last = &log->note[log->count - 1];
    bool again = what == 'A' && outcome->status == WEIR_HOLD && log->count > 1;
    if (again && memcmp(last - 1, last, sizeof *last) == 0) log->count--;
}

static inline struct weir_verdict spy_admit(
    const void *opaque, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    const struct spy_config *config = opaque;
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    bool held =
        call->held != 0 && weir_policy_state(weir_pipeline_policy(call->pipeline, call->held - 1u)) == state;
    if (config->script->admit != NULL)
        verdict = config->script->admit((uint8_t)config->spy, slot, call, now_ns);
    if (held && verdict.kind != WEIR_HOLD) config->log->held[config->spy]--;
    if (!held && verdict.kind == WEIR_HOLD) config->log->held[config->spy]++;
    if (verdict.kind == WEIR_HOLD) slot->word[1] = 0;
    if (verdict.kind == WEIR_PASS || verdict.kind == WEIR_SKIP) {
        *slot = (struct weir_slot) { { now_ns, 1 } };
        if (config->quiet == 0) { /* a quiet one is asked late, or never */
            slot->word[1] = ++*(uint64_t *)state;
            config->log->owed[config->spy][slot->word[1]] = A_SETTLE;
        }
    }
    if (config->quiet == 0)
        spy_note(config, 'A', slot, call, &(struct weir_outcome) { verdict.kind }, now_ns);
    return verdict;
}

/* Nothing is settled that was not let in or held, and nothing twice. */
static inline void spy_paid(const struct spy_config *config, const struct weir_slot *slot, bool again)
{
    if (config->quiet != 0) return;
    if (slot->word[1] == 0) {
        CHECK(config->log->held[config->spy]-- > 0);
        return;
    }
    uint8_t *owed = &config->log->owed[config->spy][slot->word[1]];
    CHECK(*owed != NOTHING);
    *owed = again ? A_SETTLE_UNLESS_ENDING : NOTHING;
}

static inline struct weir_verdict spy_settle(const void *opaque, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)state;
    const struct spy_config *config = opaque;
    bool silent = config->quiet != 0 && outcome->status == WEIR_OK, held = slot->word[1] == 0;
    if (!silent) spy_note(config, 'S', slot, call, outcome, now_ns);
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    if (config->script->settle != NULL && !held) {
        verdict = config->script->settle((uint8_t)config->spy, slot, call, outcome, now_ns);
    }
    bool kept = verdict.kind == WEIR_HOLD && !weir_call_is_ending(call);
    if (!kept) spy_paid(config, slot, verdict.kind == WEIR_AGAIN);
    return verdict;
}

static inline void check_paid(const struct spy_log *log)
{
    for (int spy = 0; spy < 8; spy++) {
        CHECK_EQ(log->held[spy], 0);
        for (int id = 0; id < 1024; id++) CHECK(log->owed[spy][id] != A_SETTLE);
    }
}

static inline bool spy_stale(const void *opaque, const void *state, const struct weir_slot *slot)
{
    (void)state;
    const struct spy_config *config = opaque;
    return config->script->stale != NULL && config->script->stale((uint8_t)config->spy, slot);
}

static const struct weir_policy_ops spy_ops = {
    .size = sizeof spy_ops,
    .kind = "spy",
    .admit = spy_admit,
    .settle = spy_settle,
    .stale = spy_stale,
};
static const struct weir_policy_ops spy_quiet_ops = {
    .size = sizeof spy_ops,
    .flags = WEIR_POLICY_QUIET_ADMIT | WEIR_POLICY_QUIET_SETTLE,
    .kind = "quiet spy",
    .admit = spy_admit,
    .settle = spy_settle,
};
static const struct weir_policy_ops spy_lasting_ops = {
    .size = sizeof spy_ops,
    .flags = WEIR_POLICY_LASTING,
    .kind = "lasting spy",
    .admit = spy_admit,
    .settle = spy_settle,
};
static const struct weir_policy_ops nobody_ops = { .size = sizeof nobody_ops, .kind = "nobody" };

static inline struct weir_policy *spy_of(
    const struct weir_policy_ops *ops, uint8_t spy, struct spy_log *log, const struct spy_script *script)
{
    struct spy_config config = {
        .spy = spy, .quiet = ops->flags & WEIR_POLICY_QUIET_ADMIT, .log = log, .script = script
    };
    struct weir_policy *policy = NULL;
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = ops, .config = &config,
                                    .config_size = sizeof config, .state_size = sizeof(uint64_t)),
                 &policy),
        WEIR_E_NONE);
    return policy;
}

/* A policy without a hook. Any mode but ON makes each call of its pipelines take the full list. */
static inline struct weir_policy *nobody(void)
{
    struct weir_policy *policy = NULL;
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &nobody_ops), &policy), WEIR_E_NONE);
    return policy;
}

/* The pipeline takes over the references. */
static inline struct weir_pipeline *pipeline_of(struct weir_policy **order, size_t count)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &pipeline), WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}
#define PIPELINE(...)                                     \
    pipeline_of((struct weir_policy *[]) { __VA_ARGS__ }, \
        sizeof((struct weir_policy *[]) { __VA_ARGS__ }) / sizeof(struct weir_policy *))

#define POLICY(kind, ...) kind##_of(WEIR_CONFIG(weir_##kind##_config, __VA_ARGS__))
#define POLICY_OF(kind)                                                                      \
    static inline struct weir_policy *kind##_of(const struct weir_##kind##_config *config)   \
    {                                                                                        \
        struct weir_policy *policy = NULL;                                                   \
        enum weir_error error = weir_##kind##_create(config, &policy);                       \
        if (error != WEIR_E_NONE) check_failed(__FILE__, __LINE__, "%s", weir_error_text()); \
        return policy;                                                                       \
    }
POLICY_OF(breaker)
POLICY_OF(bulkhead)
POLICY_OF(rate)
POLICY_OF(timeout)
POLICY_OF(retry)
POLICY_OF(fallback)
POLICY_OF(gate)

static inline struct weir_outcome outcome_of(enum weir_status status)
{
    return (struct weir_outcome) { .status = (uint8_t)status };
}

#endif
