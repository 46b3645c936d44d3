/* Raw bytes as each config, of any size: refused with a text, or accepted and then of use. Pointers and bools
 * among them are made good, for C gives no way to refuse a bad one. */
#include "fuzz/fuzz.h"

#include <weir/transport.h>
#include <weir/weir.h>

#include <fcntl.h>
#include <unistd.h>

struct draft {
    struct bytes in;
    uint8_t *bytes; /* of exactly the size that it says it has, if that is one that may be read */
    uint32_t size;
    char name[2 * WEIR_NAME_MAX];
};

static uint8_t value[WEIR_RESULT_MAX];
static uint64_t now_ns = UINT64_C(1) << 50;

static struct weir_outcome operation(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static uint64_t read_clock(void *argument)
{
    (void)argument;
    return now_ns;
}

static void wait_clock(void *argument, uint64_t until_ns)
{
    (void)argument;
    now_ns = until_ns;
}

static void see(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    (void)event;
}

/* ---- drafts ---- */

static void draft_make(struct draft *draft, uint32_t known)
{
    uint32_t choice = take(&draft->in), length;
    draft->size = known;
    if (choice >= 240) draft->size = (uint32_t)take_wide(&draft->in, 4);
    else if (choice >= 200) draft->size = known + choice - 220;
    length = draft->size < 4 ? 4 : draft->size > 4096 ? 64 : draft->size;
    draft->bytes = calloc(1, length);
    MUST(draft->bytes != NULL);
    /* Mostly defaults, here and there something else. */
    for (uint32_t edits = pick(&draft->in, 16); edits > 0; edits--) {
        uint32_t at = (uint32_t)take_wide(&draft->in, 2) % length, width = 1 + pick(&draft->in, 8);
        for (; width > 0 && at < length; width--, at++) draft->bytes[at] = (uint8_t)take(&draft->in);
    }
    memcpy(draft->bytes, &draft->size, sizeof draft->size);
    uint32_t letters = pick(&draft->in, sizeof draft->name);
    for (uint32_t i = 0; i < letters; i++) draft->name[i] = (char)take(&draft->in);
}

static void put(struct draft *draft, size_t at, const void *bytes, size_t count)
{
    static const uint8_t none[sizeof(uint64_t)];
    if (draft->size > 4096 || at >= draft->size) return;
    if (at + count > draft->size) memcpy(draft->bytes + at, none, draft->size - at); /* cut: not there */
    else memcpy(draft->bytes + at, bytes, count);
}

/* The given pointer, or NULL. */
static void put_pointer(struct draft *draft, size_t at, const void *pointer)
{
    if (pick(&draft->in, 3) == 0) pointer = NULL;
    put(draft, at, &pointer, sizeof pointer);
}

static void put_name(struct draft *draft, size_t at)
{
    put_pointer(draft, at, draft->name);
}

static void put_bool(struct draft *draft, size_t at)
{
    uint8_t said = (uint8_t)pick(&draft->in, 2);
    put(draft, at, &said, sizeof said);
}

/* ---- what is shared, through a link without a store ---- */

static void ring(void *argument)
{
    (void)argument;
}

static struct weir_link *link_of_ours(void)
{
    static struct weir_link *link;
    struct weir_carrier carrier = { .size = sizeof carrier, .nodes = 1, .ring = ring };
    if (link != NULL) return link;
    MUST(weir_link_create(WEIR_CONFIG(weir_link_config, .instance = { 1, 1 }, .carrier = &carrier), &link) ==
        WEIR_E_NONE);
    return link;
}

/* A draft of its own, or NULL; to be freed. */
static uint8_t *put_share(struct draft *draft, size_t at)
{
    struct draft share = { .in = draft->in };
    const void *none = NULL;
    put(draft, at, &none, sizeof none);
    if (pick(&share.in, 4) != 0) return NULL;
    draft_make(&share, sizeof(struct weir_share_config));
    memcpy(draft->name, share.name, sizeof draft->name); /* it outlives this function */
    put_pointer(&share, offsetof(struct weir_share_config, link), link_of_ours());
    put_pointer(&share, offsetof(struct weir_share_config, name), draft->name);
    put_bool(&share, offsetof(struct weir_share_config, strict));
    put(draft, at, &share.bytes, sizeof share.bytes);
    draft->in = share.in;
    return share.bytes;
}

static void step_link(void)
{
    struct weir_instants now = { now_ns, now_ns };
    (void)weir_link_step(link_of_ours(), now);
}

/* ---- what came of it ---- */

static void check_refused(const void *made, enum weir_error error)
{
    const char *text = weir_error_text();
    MUST(made == NULL && error < WEIR_E_NONE && error >= WEIR_E_SYSTEM);
    MUST(text[0] != '\0' && strlen(text) < 256);
    for (; *text != '\0'; text++) MUST(*text >= 0x20 && *text < 0x7f);
}

static void use_pipeline(struct weir_pipeline *pipeline)
{
    char text[200];
    struct weir_finding findings[3];
    weir_pipeline_explain(pipeline, WEIR_S, text, sizeof text);
    weir_pipeline_lint(pipeline, WEIR_S, findings, 3);
    struct weir_call *call = calloc(1, weir_pipeline_call_size(pipeline));
    MUST(call != NULL);
    for (int i = 0; i < 3; i++) {
        struct weir_step step = weir_call_begin(call, pipeline, NULL, now_ns);
        for (int steps = 0; step.action != WEIR_DONE; steps++) {
            MUST(steps < 1000);
            if (step.action == WEIR_WAIT && step.at_ns > now_ns) now_ns = step.at_ns;
            struct weir_outcome outcome = { .status = i == 0 ? WEIR_OK : WEIR_FAILED };
            if (step.action == WEIR_RUN) step = weir_call_settle(call, step.attempt, outcome, now_ns);
            else step = weir_call_wake(call, now_ns);
        }
        weir_outcome_text(text, sizeof text, pipeline, weir_call_outcome(call));
        now_ns += WEIR_MS;
    }
    free(call);
    weir_pipeline_check(pipeline, now_ns, findings, 3);
    weir_pipeline_destroy(pipeline);
}

static void use_policy(struct draft *draft, struct weir_policy *policy, uint32_t result_size)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_pipeline_config c = weir_pipeline_config_init();
    c.result_size = result_size;
    MUST(weir_policy_name(policy)[0] != '\0' && strlen(weir_policy_name(policy)) <= WEIR_NAME_MAX);
    MUST(weir_policy_kind(policy)[0] != '\0');
    MUST(weir_pipeline_create(&c, &policy, 1, &pipeline) == WEIR_E_NONE);
    weir_policy_release(policy);
    use_pipeline(pipeline);
    (void)draft;
}

/* ---- one function a config ---- */

#define AT(type, field) offsetof(struct type, field)

static void try_breaker(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_breaker_config));
    put_name(draft, AT(weir_breaker_config, name));
    uint8_t *share = put_share(draft, AT(weir_breaker_config, share));
    enum weir_error error = weir_breaker_create((void *)draft->bytes, &policy);
    free(share);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static void try_bulkhead(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_bulkhead_config));
    put_name(draft, AT(weir_bulkhead_config, name));
    uint8_t *share = put_share(draft, AT(weir_bulkhead_config, share));
    enum weir_error error = weir_bulkhead_create((void *)draft->bytes, &policy);
    free(share);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static void try_rate(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_rate_config));
    put_name(draft, AT(weir_rate_config, name));
    uint8_t *share = put_share(draft, AT(weir_rate_config, share));
    enum weir_error error = weir_rate_create((void *)draft->bytes, &policy);
    free(share);
    if (error != WEIR_E_NONE) {
        check_refused(policy, error);
        return;
    }
    struct weir_rate_stats stats = weir_rate_stats(policy, now_ns);
    bool shared = weir_share_state(policy) != WEIR_SHARE_DETACHED;
    MUST(stats.burst != 0 && (shared || stats.tokens == stats.burst) && stats.lease <= stats.burst);
    if (stats.burst <= UINT32_MAX && !shared)
        MUST(weir_rate_acquire_at(policy, (uint32_t)stats.burst, now_ns).status == WEIR_OK);
    use_policy(draft, policy, 0);
}

static void try_timeout(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_timeout_config));
    put_name(draft, AT(weir_timeout_config, name));
    enum weir_error error = weir_timeout_create((void *)draft->bytes, &policy);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static void try_retry(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    struct weir_budget *budget = NULL;
    MUST(weir_budget_create(NULL, &budget) == WEIR_E_NONE);
    draft_make(draft, sizeof(struct weir_retry_config));
    put_name(draft, AT(weir_retry_config, name));
    put_pointer(draft, AT(weir_retry_config, budget), budget);
    enum weir_error error = weir_retry_create((void *)draft->bytes, &policy);
    weir_budget_release(budget);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static void try_gate(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_gate_config));
    put_name(draft, AT(weir_gate_config, name));
    enum weir_error error = weir_gate_create((void *)draft->bytes, &policy);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static void try_budget(struct draft *draft)
{
    struct weir_budget *budget = NULL;
    draft_make(draft, sizeof(struct weir_budget_config));
    put_name(draft, AT(weir_budget_config, name));
    enum weir_error error = weir_budget_create((void *)draft->bytes, &budget);
    if (error != WEIR_E_NONE) {
        check_refused(budget, error);
        return;
    }
    struct weir_budget_stats stats = weir_budget_stats(budget, now_ns);
    MUST(stats.capacity != 0 && stats.tokens == stats.capacity);
    weir_budget_release(budget);
}

static void try_fallback(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    weir_operation *function = pick(&draft->in, 2) != 0 ? operation : NULL;
    draft_make(draft, sizeof(struct weir_fallback_config));
    put_name(draft, AT(weir_fallback_config, name));
    put_pointer(draft, AT(weir_fallback_config, value), value);
    put(draft, AT(weir_fallback_config, function), &function, sizeof function);
    put_bool(draft, AT(weir_fallback_config, last_good));
    put_bool(draft, AT(weir_fallback_config, not_when_forced));
    put_bool(draft, AT(weir_fallback_config, rest_after_failure));
    enum weir_error error = weir_fallback_create((void *)draft->bytes, &policy);
    uint32_t size = 0;
    size_t at = AT(weir_fallback_config, value_size);
    if (draft->size >= at + sizeof size) memcpy(&size, draft->bytes + at, sizeof size);
    else if (draft->size > at) memcpy(&size, draft->bytes + at, draft->size - at);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, size);
}

static void try_chaos(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_chaos_config));
    put_name(draft, AT(weir_chaos_config, name));
    put_bool(draft, AT(weir_chaos_config, off));
    put_bool(draft, AT(weir_chaos_config, error_not_sent));
    enum weir_error error = weir_chaos_create((void *)draft->bytes, &policy);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

static const struct weir_clock clock_of_ours = { read_clock, wait_clock, NULL };
static const struct weir_clock clock_without_wait = { read_clock, NULL, NULL };
static const struct weir_sink sink_of_ours = { see, NULL };
static const struct weir_sink sink_without_event = { NULL, NULL };

static void put_clock_and_sink(struct draft *draft, size_t clock, size_t sink)
{
    put_pointer(draft, clock, pick(&draft->in, 8) == 0 ? &clock_without_wait : &clock_of_ours);
    put_pointer(draft, sink, pick(&draft->in, 8) == 0 ? &sink_without_event : &sink_of_ours);
}

static const struct weir_classifier judge_of_ours = { weir_classify_http, NULL };
static const struct weir_classifier judge_without_function = { NULL, NULL };

static void put_classifier(struct draft *draft, size_t at)
{
    put_pointer(draft, at, pick(&draft->in, 8) == 0 ? &judge_without_function : &judge_of_ours);
}

static void try_pipeline(struct draft *draft)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_policy *order[WEIR_POLICIES_MAX + 1] = { NULL }, *policy = NULL;
    draft_make(draft, sizeof(struct weir_pipeline_config));
    put_name(draft, AT(weir_pipeline_config, name));
    put_clock_and_sink(draft, AT(weir_pipeline_config, clock), AT(weir_pipeline_config, sink));
    put_classifier(draft, AT(weir_pipeline_config, classifier));
    MUST(weir_timeout_create(NULL, &policy) == WEIR_E_NONE);
    uint32_t count = pick(&draft->in, WEIR_POLICIES_MAX + 2), holes = take(&draft->in);
    if ((holes & 3) != 0 && count > 1) count = 1;
    for (uint32_t i = 0; i < count; i++) order[i] = (holes & 128) != 0 ? NULL : policy;
    enum weir_error error = weir_pipeline_create((void *)draft->bytes, order, count, &pipeline);
    weir_policy_release(policy);
    if (error != WEIR_E_NONE) check_refused(pipeline, error);
    else use_pipeline(pipeline);
}

/* Policies of the user's: a fallback in either of its places, or what is none. */
static struct weir_policy *of_ours(struct draft *draft)
{
    struct weir_policy *policy = NULL;
    uint64_t reserve_ns = pick(&draft->in, 2) * WEIR_MS;
    switch (pick(&draft->in, 3)) {
    case 0:
        MUST(weir_fallback_create(
                 WEIR_CONFIG(weir_fallback_config, .function = operation, .reserve_ns = reserve_ns),
                 &policy) == WEIR_E_NONE);
        break;
    case 1:
        MUST(weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .error_ppm = 1), &policy) == WEIR_E_NONE);
        break;
    default: break;
    }
    return policy;
}

static void try_standard(struct draft *draft)
{
    struct weir_pipeline *pipeline = NULL;
    draft_make(draft, sizeof(struct weir_standard_config));
    put_name(draft, AT(weir_standard_config, name));
    put_clock_and_sink(draft, AT(weir_standard_config, clock), AT(weir_standard_config, sink));
    put_classifier(draft, AT(weir_standard_config, classifier));
    struct weir_policy *fallback = of_ours(draft), *innermost = of_ours(draft);
    put(draft, AT(weir_standard_config, fallback), &fallback, sizeof fallback);
    put(draft, AT(weir_standard_config, innermost), &innermost, sizeof innermost);
    enum weir_error error = weir_pipeline_standard((void *)draft->bytes, &pipeline);
    weir_policy_release(fallback);
    weir_policy_release(innermost);
    if (error != WEIR_E_NONE) check_refused(pipeline, error);
    else use_pipeline(pipeline);
}

static void try_controller(struct draft *draft)
{
    struct weir_pipeline *pipeline = NULL;
    weir_operation *light = pick(&draft->in, 2) != 0 ? operation : NULL;
    draft_make(draft, sizeof(struct weir_controller_config));
    put_name(draft, AT(weir_controller_config, name));
    put(draft, AT(weir_controller_config, light), &light, sizeof light);
    put_pointer(draft, AT(weir_controller_config, value), value);
    put_clock_and_sink(draft, AT(weir_controller_config, clock), AT(weir_controller_config, sink));
    enum weir_error error = weir_controller_create((void *)draft->bytes, &pipeline);
    if (error != WEIR_E_NONE) check_refused(pipeline, error);
    else use_pipeline(pipeline);
}

static void try_spec(struct draft *draft)
{
    static const struct weir_policy_ops ops = { .size = sizeof ops, .kind = "of the user's own" };
    static const struct weir_policy_ops short_ops = { .size = 8, .kind = "x" };
    static const struct weir_policy_ops kindless = { .size = sizeof kindless };
    static const struct weir_policy_ops *const some[] = { &ops, &ops, &ops, &short_ops, &kindless };
    static uint8_t config[1 << 20];
    struct weir_policy *policy = NULL;
    draft_make(draft, sizeof(struct weir_policy_spec));
    size_t state_size = take_wide(&draft->in, 2) << (take(&draft->in) > 250 ? 30 : 0);
    put_name(draft, AT(weir_policy_spec, name));
    put_pointer(draft, AT(weir_policy_spec, ops), PICK(&draft->in, some));
    put_pointer(draft, AT(weir_policy_spec, config), config);
    put(draft, AT(weir_policy_spec, state_size), &state_size, sizeof state_size);
    enum weir_error error = weir_policy_create((void *)draft->bytes, &policy);
    if (error != WEIR_E_NONE) check_refused(policy, error);
    else use_policy(draft, policy, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const try[])(struct draft *) = { try_breaker, try_bulkhead, try_rate, try_timeout,
        try_retry, try_budget, try_fallback, try_pipeline, try_standard, try_controller, try_spec, try_gate,
        try_chaos };
    struct draft draft = { .in = { data, data + size } };
    PICK(&draft.in, try)(&draft);
    step_link(); /* what was shared is gone */
    free(draft.bytes);
    return 0;
}
