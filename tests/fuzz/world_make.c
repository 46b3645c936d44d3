/* The policies and pipelines of a world, from the input. */
#include "fuzz/world.h"
#include "pipeline/machine.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/chaos.h>
#include <weir/fallback.h>
#include <weir/gate.h>
#include <weir/rate.h>
#include <weir/timeout.h>

static struct world *current; /* for hooks */

static void make_breaker(struct world *world, struct subject *subject)
{
    static const uint64_t windows[] = { WEIR_S, 16 * WEIR_MS, 10 * WEIR_S, 100 * WEIR_MS };
    static const uint32_t calls[] = { 2, 1, 5, 10 }, tenths[] = { WEIR_OFF32, 30, 1, 100 };
    static const uint32_t percents[] = { 0, 50, 1, 100 }, rows[] = { 1, 3, WEIR_OFF32, 255 };
    static const uint64_t slow[] = { 0, WEIR_MS, 100 * WEIR_MS, WEIR_US },
                          opens[] = { WEIR_MS, 50 * WEIR_MS, WEIR_S };
    static const uint32_t jitters[] = { WEIR_OFF32, 20, 90, 1 }, times[] = { 1, 4, 3600 };
    static const uint32_t probes[] = { 1, 2, 3, 255 };
    static const uint64_t leases[] = { WEIR_S, WEIR_MS, 10 * WEIR_S },
                          ramps[] = { WEIR_OFF, WEIR_MS, WEIR_S };
    static const uint64_t late[] = { WEIR_S, 1, WEIR_MS }, overload[] = { 0, WEIR_S, 3600 * WEIR_S };
    struct bytes *in = &world->in;
    struct weir_breaker_config c = weir_breaker_config_init();
    c.window_ns = PICK(in, windows);
    c.calls_min = PICK(in, calls);
    c.failure_percent = 1 + pick(in, 99);
    c.z_tenths = PICK(in, tenths);
    c.plain_percent = PICK(in, percents);
    c.consecutive = PICK(in, rows);
    c.slow_ns = PICK(in, slow);
    c.slow_percent = 1 + pick(in, 100);
    c.jitter_percent = PICK(in, jitters);
    c.open_ns = PICK(in, opens);
    c.open_max_ns = c.open_ns * PICK(in, times);
    c.probes = PICK(in, probes);
    c.successes = 1 + pick(in, c.probes);
    c.probe_ns = PICK(in, leases);
    c.ramp_ns = PICK(in, ramps);
    c.late_failure_ns = PICK(in, late);
    c.overload_open_ns_max = PICK(in, overload);
    c.seed = 7;
    if (weir_breaker_create(&c, &subject->policy) != WEIR_E_NONE) { /* every trigger off */
        c.consecutive = 2;
        MUST(weir_breaker_create(&c, &subject->policy) == WEIR_E_NONE);
    }
    uint64_t open_ns =
        c.open_max_ns + c.open_max_ns / 100 * (c.jitter_percent == WEIR_OFF32 ? 0 : c.jitter_percent);
    subject->duration_ns = open_ns > c.overload_open_ns_max ? open_ns : c.overload_open_ns_max;
    subject->probes = c.probes;
    subject->successes = c.successes;
}

static void make_bulkhead(struct world *world, struct subject *subject)
{
    static const uint32_t limits[] = { 1, 2, 3, 8, 64, 17 };
    static const uint64_t waits[] = { WEIR_S, WEIR_MS, 1, 60 * WEIR_S };
    struct weir_bulkhead_config c = weir_bulkhead_config_init();
    c.limit = PICK(&world->in, limits);
    c.queue = pick(&world->in, 4);
    c.wait_max_ns = PICK(&world->in, waits);
    c.form = (enum weir_form)pick(&world->in, 3);
    MUST(weir_bulkhead_create(&c, &subject->policy) == WEIR_E_NONE);
}

static void make_rate(struct world *world, struct subject *subject)
{
    static const uint64_t permits[] = { 10, 1, 1000, 1000000 }, periods[] = { WEIR_S, WEIR_MS, 60 * WEIR_S };
    static const uint64_t bursts[] = { 1, 2, 16, 200, 5000 },
                          waits[] = { 0, 10 * WEIR_MS, WEIR_S, 3600 * WEIR_S };
    struct weir_rate_config c = weir_rate_config_init();
    c.permits = PICK(&world->in, permits);
    c.period_ns = PICK(&world->in, periods);
    c.burst = PICK(&world->in, bursts);
    c.wait_max_ns = PICK(&world->in, waits);
    c.form = (enum weir_form)pick(&world->in, 3);
    MUST(weir_rate_create(&c, &subject->policy) == WEIR_E_NONE);
}

static void make_timeout(struct world *world, struct subject *subject)
{
    static const uint64_t timeouts[] = { 10 * WEIR_MS, WEIR_US, WEIR_MS, WEIR_S, 86400 * WEIR_S };
    subject->duration_ns = PICK(&world->in, timeouts);
    MUST(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = subject->duration_ns),
             &subject->policy) == WEIR_E_NONE);
}

static void make_retry(struct world *world, struct subject *subject)
{
    static const uint32_t attempts[] = { 3, 1, 2, 5, WEIR_ATTEMPTS_MAX };
    static const uint64_t bases[] = { WEIR_MS, WEIR_US, 50 * WEIR_MS };
    struct weir_retry_config c = weir_retry_config_init();
    c.attempts = PICK(&world->in, attempts);
    c.backoff = (enum weir_backoff)pick(&world->in, 4);
    c.base_ns = PICK(&world->in, bases);
    uint32_t on = take(&world->in);
    c.on = on &
        (WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED) | WEIR_ON(WEIR_REJECTED));
    if ((on & 1) != 0) c.budget = world->budget;
    MUST(weir_retry_create(&c, &subject->policy) == WEIR_E_NONE);
    subject->attempts = c.attempts;
}

/* What a fallback function answers is decided when it is settled. */
static struct weir_outcome function(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    (void)argument;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void make_fallback(struct world *world, struct subject *subject)
{
    static const uint64_t ages[] = { WEIR_S, WEIR_US, 60 * WEIR_S };
    static const uint64_t value = RESULT_MAGIC;
    uint32_t choice = take(&world->in);
    struct weir_fallback_config c = weir_fallback_config_init();
    if ((choice & 1) != 0 && world->result_size != 0) c.value = &value;
    if (world->result_size != 0) c.value_size = sizeof value;
    c.last_good = (choice & 2) != 0;
    c.age_max_ns = PICK(&world->in, ages);
    subject->function = (choice & 4) != 0;
    if (subject->function) c.function = function;
    if ((choice & 12) == 12) c.reserve_ns = WEIR_MS;
    c.not_when_forced = (choice & 16) != 0;
    c.rest_after_failure = (choice & 32) != 0;
    if ((choice & 64) != 0) c.on = WEIR_ON(WEIR_REJECTED);
    MUST(weir_fallback_create(&c, &subject->policy) == WEIR_E_NONE);
    subject->bare = c.value == NULL && c.function == NULL && !c.last_good;
}

static void make_gate(struct world *world, struct subject *subject)
{
    static const uint32_t parts[] = { 50 * WEIR_PERCENT, 0, WEIR_OFF32, 1, 100 * WEIR_PERCENT - 1 };
    struct weir_gate_config c = weir_gate_config_init();
    c.share = PICK(&world->in, parts);
    c.by = (enum weir_gate_by)pick(&world->in, 2);
    c.salt = pick(&world->in, 4);
    MUST(weir_gate_create(&c, &subject->policy) == WEIR_E_NONE);
}

/* ---- a policy of the user's own, which answers whatever the input says ---- */

enum { CLEAR = 0, OWED = 0x600d, ANSWERED = 0xbad, FELL_BACK = 0xfa11 };

static struct weir_verdict custom_admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)state;
    bool held = call->held == call->cursor + 1;
    MUST(!held || slot->word[0] == OWED);
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    switch (pick(&current->in, 8)) {
    case 1:
        verdict = (struct weir_verdict) { .kind = WEIR_HOLD,
            .at_ns = now_ns + 1 + pick(&current->in, 250) * WEIR_US };
        break;
    case 2:
        verdict.kind = WEIR_REFUSE;
        verdict.at_ns = pick(&current->in, 2) * WEIR_S;
        break;
    case 7: verdict.kind = WEIR_SKIP; break;
    case 3:
        verdict.flags = WEIR_VERDICT_EVENT;
        verdict.event = WEIR_EVENT_CUSTOM;
        break;
    default: break;
    }
    if (held) current->debts--;
    slot->word[0] = verdict.kind == WEIR_REFUSE ? CLEAR : OWED;
    if (slot->word[0] == OWED) current->debts++;
    return verdict;
}

/* Its admit skipped, and that counts as an attempt. */
static void count_skipped(const struct weir_call *call)
{
    for (struct caller *caller = current->caller; caller < current->caller + CALLERS; caller++) {
        if (caller->call != call) continue;
        caller->attempts++;
        current->line[caller->pipeline].want.attempts++;
    }
}

/* AGAIN and FALL_BACK may be followed by another settle, or by none if the call is ending. */
static struct weir_verdict custom_settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    bool fell = slot->word[0] == FELL_BACK, ending = weir_call_is_ending(call);
    bool skipped = outcome->status == WEIR_IGNORED && outcome->by == call->cursor + 1;
    if (skipped && call->phase != PHASE_KEEPING) count_skipped(call);
    MUST(slot->word[0] == OWED || slot->word[0] == ANSWERED || fell);
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    uint32_t choice = pick(&current->in, 8);
    if (choice == 7) { /* kept, and asked again; or that counts as PASS */
        verdict = (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = now_ns + 100 * WEIR_US };
        if (!ending) return verdict;
    }
    if (slot->word[0] == OWED) current->debts--;
    slot->word[0] = CLEAR;
    switch (choice) {
    case 1:
        verdict =
            (struct weir_verdict) { .kind = WEIR_AGAIN, .at_ns = now_ns + pick(&current->in, 250) * WEIR_US };
        slot->word[0] = fell ? FELL_BACK : ANSWERED;
        break;
    case 2:
        if (fell) break; /* one function for one admission */
        verdict.kind = WEIR_FALL_BACK;
        slot->word[0] = FELL_BACK;
        break;
    case 3:
        *outcome = (struct weir_outcome) { .status = WEIR_FAILED, .code = 3 };
        verdict.kind = WEIR_ANSWER;
        break;
    default: break;
    }
    return verdict;
}

static void make_custom(struct world *world, struct subject *subject)
{
    static const struct weir_policy_ops ops = {
        .size = sizeof ops, .kind = "custom", .admit = custom_admit, .settle = custom_settle
    };
    (void)world;
    subject->function = true;
    MUST(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops), &subject->policy) == WEIR_E_NONE);
}

static void make_chaos(struct world *world, struct subject *subject)
{
    uint32_t choice = take(&world->in);
    struct weir_chaos_config c = weir_chaos_config_init();
    c.seed = choice;
    c.latency_ppm = c.error_ppm = c.lost_ppm = 250000;
    c.result_ppm = (choice & 1) != 0 ? 250000 : 0;
    c.held_max = (choice & 2) != 0 ? 1 : 0;
    c.error_not_sent = (choice & 4) != 0;
    c.lost_max_ns = (choice & 8) != 0 ? WEIR_MS : 0;
    c.burst_ns = (choice & 16) != 0 ? WEIR_S : 0;
    c.off = (choice & 32) != 0;
    c.duration_ns = (choice & 64) != 0 ? WEIR_S : 0;
    MUST(weir_chaos_create(&c, &subject->policy) == WEIR_E_NONE);
}

/* ---- the whole ---- */

static uint64_t clock_now(void *argument)
{
    return ((struct world *)argument)->now_ns;
}

static void clock_wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    (void)until_ns;
}

static void on_event(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    MUST(event->kind > WEIR_EVENT_NONE && event->kind < WEIR_EVENTS);
    MUST(event->policy <= weir_pipeline_count(pipeline));
    MUST(event->reason < WEIR_REASONS);
}

static void make_line(struct world *world, struct line *line)
{
    struct weir_policy *order[WEIR_POLICIES_MAX];
    uint32_t taken = 0, count = pick(&world->in, POLICIES);
    if (world->forks && count == 0) count = 1; /* a pipeline without policies learns nothing of a fork */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t which = pick(&world->in, world->subjects);
        if ((taken >> which & 1) != 0) continue;
        if (KNOWN_TWO_FUNCTIONS && world->subject[which].function && line->function) continue;
        line->function |= world->subject[which].function;
        taken |= 1u << which;
        line->order[line->count] = &world->subject[which];
        if (world->subject[which].kind == POLICY_CUSTOM) line->custom = true;
        if (world->subject[which].kind == POLICY_CHAOS) line->chaos = true;
        order[line->count++] = world->subject[which].policy;
    }
    struct weir_pipeline_config c = weir_pipeline_config_init();
    c.clock = &(struct weir_clock) { clock_now, clock_wait, world };
    struct weir_sink sink = { on_event, world };
    if (pick(&world->in, 2) != 0) c.sink = &sink;
    c.result_size = world->result_size;
    MUST(weir_pipeline_create(&c, order, line->count, &line->pipeline) == WEIR_E_NONE);
    char text[4096];
    if (world->trace) weir_pipeline_explain(line->pipeline, 0, text, sizeof text);
    TELL(world, "%s\n", text);
}

void world_make(struct world *world)
{
    static void (*const make[])(struct world *, struct subject *) = { NULL, make_breaker, make_bulkhead,
        make_rate, make_timeout, make_retry, make_fallback, make_custom, make_gate, make_chaos };
    current = world;
    world->clock_ns = world->now_ns = world->most_ns = WORLD_BEGIN;
    world->result_size = pick(&world->in, 2) * (uint32_t)sizeof(uint64_t);
    MUST(weir_budget_create(WEIR_CONFIG(weir_budget_config, .percent = 1 + pick(&world->in, 100),
                                .floor_per_s = 1 + pick(&world->in, 20)),
             &world->budget) == WEIR_E_NONE);
    world->subjects = 1 + pick(&world->in, POLICIES);
    for (uint32_t i = 0; i < world->subjects; i++) {
        uint32_t choice = take(&world->in), kind = choice >= 238 ? 9 : 1 + choice % 8;
        make[kind](world, &world->subject[i]);
        world->subject[i].kind = world->subject[i].policy->head->kind;
    }
    for (uint32_t i = 0; i < PIPELINES; i++) make_line(world, &world->line[i]);
    for (uint32_t i = 0; i < GROUPS; i++) {
        MUST(weir_source_create(&world->source[i]) == WEIR_E_NONE);
        weir_context_child(&world->group[i], i == 0 ? NULL : &world->group[i - 1],
            i == 0 ? WEIR_NEVER : world->clock_ns + 3600 * WEIR_S, world->source[i]);
    }
}

void world_unmake(struct world *world)
{
    for (uint32_t i = 0; i < PIPELINES; i++) weir_pipeline_destroy(world->line[i].pipeline);
    for (uint32_t i = 0; i < world->subjects; i++) weir_policy_release(world->subject[i].policy);
    for (uint32_t i = 0; i < GROUPS; i++) weir_source_release(world->source[i]);
    weir_budget_release(world->budget);
}
