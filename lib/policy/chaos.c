/* Chaos: each call is hit by one kind of harm, or by none.
 *
 *     the switch   OFF --set_enabled--> STARTING --first call--> on until an instant --a call after it--> OFF
 *                   ^----------------------- set_enabled ----------------------------'
 *
 *     a call       admit: its number is drawn against the rates
 *       not hit    --> PASS, by the fast lists, and not asked again
 *       LATENCY    --> HOLD --its time, or off--> PASS ----------------------> settle: PASS
 *       ERROR      --> SKIP -------------------------------------------------> settle: ANSWER, FAILED
 *       RESULT     --> PASS, by the full list -------------------------------> settle: ANSWER
 *       LOST       --> PASS, by the full list --> settle: HOLD --off---------> settle: PASS, what it came with
 *                                                      |--lost_max_ns--------> settle: ANSWER, FAILED
 *                                                      '--ended from outside-> settle: PASS, how it ended
 *
 * Invariants: what hits the n-th call depends on seed, n and whether it is in a burst, on nothing else; a call
 * that is counted in held has a slot that says so, and is taken off once; it is held no longer than its own time,
 * and looks at the switch every LOOK_NS; the time it held a call counts as the operation's. */
#include "policy/chaos.h"

#include "base/arithmetic.h"
#include "policy/duration.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum {
    INJECTED = POLICY_COUNTERS, /* each of these: one for each kind */
    SPARED = INJECTED + WEIR_CHAOS_KINDS,
    WOULD_INJECT = SPARED + WEIR_CHAOS_KINDS,
    END = WOULD_INJECT + WEIR_CHAOS_KINDS,
};
_Static_assert(END <= COUNTERS, "a chaos policy's counters fit in a line");

/* A slot: word 0 is { the call's number:56 | hit:8 }, word 1 since when the call is held. */
enum hit {
    HIT_NONE,
    HIT_LATENCY,      /* held */
    HIT_LATENCY_OVER, /* let go */
    HIT_ERROR,
    HIT_RESULT,
    HIT_LOST,
    HIT_LOST_HELD,
};

#define PPM 1000000u
#define LOOK_NS (100 * WEIR_MS) /* so long a held call may overlook the switch */

static enum hit slot_hit(const struct weir_slot *slot)
{
    return (enum hit)(slot->word[0] & 0xff);
}

static void slot_set(struct weir_slot *slot, enum hit hit)
{
    slot->word[0] = (slot->word[0] & ~(uint64_t)0xff) | hit;
}

/* ---- what is drawn ---- */

/* Where the call's own part of the seed's sequence begins. */
static uint64_t sequence_of(const struct chaos_config *config, uint64_t number)
{
    return config->seed + number * 2 * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_burst(const struct chaos_config *config, uint64_t until_ns, uint64_t now_ns)
{
    if (config->burst_every_ns == 0) return false;
    uint64_t since_ns = time_since(now_ns, until_ns - config->duration_ns);
    return since_ns % config->burst_every_ns < config->burst_ns;
}

/* WEIR_CHAOS_KINDS: none. What is hit beyond the rates is shared by the kinds in their proportions. */
static uint32_t choose(const struct chaos_config *config, uint64_t number, bool burst)
{
    uint64_t sequence = sequence_of(config, number);
    uint64_t place = random_up_to(&sequence, PPM - 1), rate = burst ? config->ppm_burst : config->ppm_sum;
    if (likely(place >= rate)) return WEIR_CHAOS_KINDS;
    place = place * config->ppm_sum / rate;
    uint32_t kind = 0;
    while (place >= config->ppm[kind]) place -= config->ppm[kind++];
    return kind;
}

static uint64_t latency(const struct chaos_config *config, uint64_t number)
{
    uint64_t sequence = sequence_of(config, number);
    (void)random_next(&sequence); /* that one chose the kind */
    return config->latency_min_ns + random_up_to(&sequence, config->latency_max_ns - config->latency_min_ns);
}

/* ---- the calls it holds ---- */

static bool take_place(const struct chaos_config *config, struct chaos_state *state)
{
    uint32_t held = atomic_load_relaxed(&state->held);
    while (held < config->held_max) {
        if (atomic_cas_relaxed(&state->held, &held, held + 1)) return true;
    }
    return false;
}

static void give_place(struct chaos_state *state)
{
    atomic_sub_seq_cst(&state->held, 1);
}

static bool is_over(const struct chaos_state *state, uint64_t now_ns)
{
    return now_ns >= atomic_load_relaxed(&state->until_ns); /* OFF is 0 */
}

static struct weir_verdict hold_until(uint64_t end_ns, uint64_t now_ns)
{
    return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = time_min(end_ns, time_add(now_ns, LOOK_NS)) };
}

/* Takes a place for the call if there is one. */
static bool may_hold(const struct chaos_config *config, struct chaos_state *state, struct weir_slot *slot,
    const struct weir_call *call, enum weir_chaos_kind kind, uint64_t now_ns)
{
    if (!take_place(config, state)) {
        policy_count(state, call, SPARED + kind);
        slot_set(slot, HIT_NONE);
        return false;
    }
    policy_count(state, call, INJECTED + kind);
    slot->word[1] = now_ns;
    return true;
}

static struct weir_verdict tell(struct weir_verdict answer)
{
    answer.flags |= WEIR_VERDICT_EVENT;
    answer.event = WEIR_EVENT_CHAOS_HIT;
    return answer;
}

/* ---- admit ---- */

/* The first call since it was switched on, of all threads. */
static uint64_t start(const struct chaos_config *config, struct chaos_state *state, uint64_t now_ns)
{
    uint64_t until_ns = time_min(time_add(now_ns, config->duration_ns), CHAOS_STARTING - 1);
    uint64_t seen = CHAOS_STARTING;
    return atomic_cas_relaxed(&state->until_ns, &seen, until_ns) ? until_ns : seen;
}

/* Its time is over, or it was off already. */
static struct weir_verdict go_by(struct chaos_state *state, uint64_t until_ns)
{
    struct weir_verdict answer = { .kind = WEIR_PASS, .flags = VERDICT_SWITCHED_OFF };
    if (until_ns == CHAOS_OFF || !atomic_cas_relaxed(&state->until_ns, &until_ns, CHAOS_OFF)) return answer;
    answer.flags |= WEIR_VERDICT_EVENT;
    answer.event = WEIR_EVENT_CHAOS_ENDED;
    return answer;
}

static NOINLINE struct weir_verdict strike(const struct chaos_config *config, struct chaos_state *state,
    struct weir_slot *slot, struct weir_call *call, uint64_t number, uint32_t kind, uint64_t now_ns)
{
    static const enum hit hits[] = { HIT_LATENCY, HIT_ERROR, HIT_RESULT, HIT_LOST };
    if (atomic_load_relaxed(&policy_head_of(state)->mode) != WEIR_MODE_ON) {
        policy_count(state, call, WOULD_INJECT + kind);
        return verdict(WEIR_PASS);
    }
    slot->word[0] = number << 8 | hits[kind];
    if (kind == WEIR_CHAOS_ERROR) return verdict(WEIR_SKIP);
    if (kind != WEIR_CHAOS_LATENCY)
        return (struct weir_verdict) { .kind = WEIR_PASS, .flags = VERDICT_LEAVE };
    if (!may_hold(config, state, slot, call, WEIR_CHAOS_LATENCY, now_ns)) return verdict(WEIR_PASS);
    return tell(hold_until(time_add(now_ns, latency(config, number)), now_ns));
}

static struct weir_verdict admit_held(
    const struct chaos_config *config, struct chaos_state *state, struct weir_slot *slot, uint64_t now_ns)
{
    uint64_t end_ns = time_add(slot->word[1], latency(config, slot->word[0] >> 8));
    if (now_ns < end_ns && !is_over(state, now_ns)) return hold_until(end_ns, now_ns);
    give_place(state);
    slot_set(slot, HIT_LATENCY_OVER);
    return verdict(WEIR_PASS);
}

static struct weir_verdict admit(
    const void *opaque_config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    const struct chaos_config *config = opaque_config;
    struct chaos_state *state = opaque;
    if (unlikely(call->held == call->cursor + 1)) return admit_held(config, state, slot, now_ns);
    slot->word[0] = HIT_NONE;
    uint64_t until_ns = atomic_load_relaxed(&state->until_ns);
    if (unlikely(until_ns == CHAOS_STARTING)) until_ns = start(config, state, now_ns);
    if (unlikely(now_ns >= until_ns)) return go_by(state, until_ns);
    uint64_t number = atomic_add_relaxed(&state->number, 1);
    uint32_t kind = choose(config, number, is_burst(config, until_ns, now_ns));
    if (likely(kind == WEIR_CHAOS_KINDS)) return verdict(WEIR_PASS);
    return strike(config, state, slot, call, number, kind, now_ns);
}

/* ---- settle ---- */

static struct weir_verdict inject(const struct chaos_config *config, const struct weir_call *call,
    struct weir_outcome *outcome, enum weir_chaos_kind kind)
{
    uint8_t kept = outcome->flags & WEIR_NOT_REPEATABLE; /* the work was done, and cannot be made again */
    *outcome = (struct weir_outcome) { .status = WEIR_FAILED,
        .reason = WEIR_REASON_CHAOS,
        .by = (uint8_t)(call->cursor + 1),
        .code = config->error_code };
    if (kind == WEIR_CHAOS_ERROR) outcome->flags = config->error_flags;
    if (kind == WEIR_CHAOS_RESULT) {
        outcome->status = config->result_status;
        outcome->code = config->result_code;
        outcome->retry_after_ns = config->result_retry_after_ns;
    }
    outcome->flags |= kept;
    return verdict(WEIR_ANSWER);
}

static struct weir_verdict settle_held(const struct chaos_config *config, struct chaos_state *state,
    const struct weir_slot *slot, struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    uint64_t end_ns = time_add(slot->word[1], config->lost_max_ns);
    bool freed = call->ending || is_over(state, now_ns);
    if (!freed && now_ns < end_ns) return hold_until(end_ns, now_ns);
    give_place(state);
    return freed ? verdict(WEIR_PASS) : inject(config, call, outcome, WEIR_CHAOS_LOST);
}

/* What did not run has no answer that could be harmed, and what is ending ends as it does. */
static bool has_answer(const struct weir_call *call)
{
    return !call->ending && call->ran_ns != 0;
}

static struct weir_verdict settle(const void *opaque_config, void *opaque, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct chaos_config *config = opaque_config;
    struct chaos_state *state = opaque;
    switch (slot_hit(slot)) {
    case HIT_NONE: break;
    case HIT_LATENCY:
    case HIT_LATENCY_OVER:
        if (slot_hit(slot) == HIT_LATENCY) give_place(state);
        call->ran_ns = time_max(time_since(now_ns, slot->word[1]), 1);
        break;
    case HIT_ERROR:
        if (outcome->status != WEIR_IGNORED || outcome->by != call->cursor + 1) break;
        policy_count(state, call, INJECTED + WEIR_CHAOS_ERROR);
        return tell(inject(config, call, outcome, WEIR_CHAOS_ERROR));
    case HIT_RESULT:
        if (!has_answer(call)) break;
        policy_count(state, call, INJECTED + WEIR_CHAOS_RESULT);
        return tell(inject(config, call, outcome, WEIR_CHAOS_RESULT));
    case HIT_LOST:
        if (!has_answer(call) || !may_hold(config, state, slot, call, WEIR_CHAOS_LOST, now_ns)) break;
        slot_set(slot, HIT_LOST_HELD);
        return tell(hold_until(time_add(now_ns, config->lost_max_ns), now_ns));
    case HIT_LOST_HELD: return settle_held(config, state, slot, call, outcome, now_ns);
    }
    return verdict(WEIR_PASS);
}

/* The calls that the parent holds do not end here. */
static void forked(const void *config, void *opaque)
{
    (void)config;
    struct chaos_state *state = opaque;
    state->held = 0;
}

/* ---- the switch, and what is said of it ---- */

static void switch_on(struct chaos_state *state)
{
    atomic_store_relaxed(&state->number, 0);
    atomic_store_release(&state->until_ns, CHAOS_STARTING);
}

void weir_chaos_set_enabled(struct weir_policy *chaos, bool enabled)
{
    policy_require(chaos, POLICY_CHAOS, "weir_chaos_set_enabled");
    struct chaos_state *state = chaos->state;
    if (enabled) switch_on(state);
    else atomic_store_release(&state->until_ns, CHAOS_OFF);
    policy_notice(chaos);
}

const char *weir_chaos_kind_text(enum weir_chaos_kind kind)
{
    static const char *const texts[] = { "latency", "error", "result", "lost" };
    return (unsigned)kind < WEIR_CHAOS_KINDS ? texts[kind] : "?";
}

struct weir_chaos_stats weir_chaos_stats(const struct weir_policy *chaos)
{
    policy_require(chaos, POLICY_CHAOS, "weir_chaos_stats");
    const struct chaos_state *state = chaos->state;
    uint64_t until_ns = atomic_load_acquire(&state->until_ns);
    struct weir_chaos_stats stats = {
        .enabled = until_ns != CHAOS_OFF,
        .until_ns = until_ns == CHAOS_STARTING ? 0 : until_ns,
        .calls = atomic_load_relaxed(&state->number),
        .held = atomic_load_relaxed(&state->held),
    };
    for (uint32_t i = 0; i < WEIR_CHAOS_KINDS; i++) {
        stats.injected[i] = counters_sum(chaos->counters, INJECTED + i);
        stats.spared[i] = counters_sum(chaos->counters, SPARED + i);
        stats.would_inject[i] = counters_sum(chaos->counters, WOULD_INJECT + i);
    }
    return stats;
}

__attribute__((format(printf, 3, 4))) static void add(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(buffer);
    va_start(arguments, format);
    vsnprintf(buffer + used, size - used, format, arguments);
    va_end(arguments);
}

static void add_rate(char *buffer, size_t size, uint32_t kind, uint32_t ppm)
{
    bool whole = ppm % (PPM / 100) == 0;
    add(buffer, size, ", %s %" PRIu32 " %s", weir_chaos_kind_text((enum weir_chaos_kind)kind),
        whole ? ppm / (PPM / 100) : ppm, whole ? "%" : "ppm");
}

static void describe(
    const void *opaque_config, const void *opaque, uint64_t now_ns, char *buffer, size_t size)
{
    const struct chaos_config *config = opaque_config;
    const struct chaos_state *state = opaque;
    uint64_t until_ns = atomic_load_relaxed(&state->until_ns), left_ns = time_since(until_ns, now_ns);
    if (until_ns == CHAOS_STARTING) left_ns = config->duration_ns;
    if (left_ns >= WEIR_S) left_ns -= left_ns % WEIR_S;
    snprintf(buffer, size, "%s", left_ns == 0 ? "off" : "on");
    if (left_ns != 0) add(buffer, size, ", ends in %s", duration_text(left_ns).text);
    for (uint32_t i = 0; i < WEIR_CHAOS_KINDS; i++) {
        if (config->ppm[i] != 0) add_rate(buffer, size, i, config->ppm[i]);
    }
}

static const struct weir_policy_ops chaos_ops = {
    .size = sizeof chaos_ops,
    .flags = WEIR_POLICY_QUIET_SETTLE,
    .kind = "chaos",
    .admit = admit,
    .settle = settle,
    .forked = forked,
    .describe = describe,
};

/* ---- create ---- */

static const char type[] = "weir_chaos_config";

static uint64_t sum_of(const struct weir_chaos_config *c)
{
    return (uint64_t)c->latency_ppm + c->error_ppm + c->result_ppm + c->lost_ppm;
}

static enum weir_error validate_rates(const struct weir_chaos_config *c)
{
    uint64_t sum = sum_of(c);
    if (sum == 0) {
        return error_set(WEIR_E_INVALID,
            "%s: every rate is 0 (latency_ppm, error_ppm, result_ppm, lost_ppm), expected at least one",
            type);
    }
    if (sum <= PPM) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID,
        "%s.latency_ppm, error_ppm, result_ppm and lost_ppm are %" PRIu64 " together (%" PRIu32 ", %" PRIu32
        ", %" PRIu32 ", %" PRIu32 "), expected 1..%u",
        type, sum, c->latency_ppm, c->error_ppm, c->result_ppm, c->lost_ppm, PPM);
}

static enum weir_error validate_burst(struct weir_chaos_config *c)
{
    const uint64_t day = 86400 * WEIR_S;
    if (c->burst_ns == 0 && c->burst_every_ns == 0 && c->burst_factor == 0) return WEIR_E_NONE;
    enum weir_error error = WEIR_E_NONE;
    if (c->burst_ns == 0) {
        error = error_set(WEIR_E_INVALID, "%s.burst_ns is 0, expected how long a burst lasts", type);
    }
    if (error == WEIR_E_NONE) error = error_range(type, "burst_ns", &c->burst_ns, 0, WEIR_MS, day);
    if (error == WEIR_E_NONE) {
        error = error_range(
            type, "burst_every_ns", &c->burst_every_ns, time_min(10 * c->burst_ns, day), c->burst_ns, day);
    }
    if (error == WEIR_E_NONE) error = error_range32(type, "burst_factor", &c->burst_factor, 10, 2, PPM);
    return error;
}

static enum weir_error validate_times(struct weir_chaos_config *c)
{
    const uint64_t day = 86400 * WEIR_S, hour = 3600 * WEIR_S;
    enum weir_error error =
        error_range(type, "duration_ns", &c->duration_ns, 600 * WEIR_S, WEIR_MS, 30 * day);
    uint64_t least_ns = c->latency_max_ns == 0 ? 10 * WEIR_MS : time_min(10 * WEIR_MS, c->latency_max_ns);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "latency_min_ns", &c->latency_min_ns, least_ns, WEIR_US, hour);
    }
    uint64_t most_ns = time_max(100 * WEIR_MS, c->latency_min_ns);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "latency_max_ns", &c->latency_max_ns, most_ns, c->latency_min_ns, hour);
    }
    if (error == WEIR_E_NONE && c->result_retry_after_ns != 0) {
        error = error_range(type, "result_retry_after_ns", &c->result_retry_after_ns, 0, 1, day);
    }
    if (error == WEIR_E_NONE) {
        error = error_range(type, "lost_max_ns", &c->lost_max_ns, 30 * WEIR_S, WEIR_MS, day);
    }
    if (error == WEIR_E_NONE) error = validate_burst(c);
    return error;
}

static enum weir_error validate(struct weir_chaos_config *c)
{
    enum weir_error error = validate_rates(c);
    if (error == WEIR_E_NONE) error = validate_times(c);
    if (error == WEIR_E_NONE) error = error_range32(type, "held_max", &c->held_max, 100, 1, PPM);
    if (c->result_status == WEIR_OK) c->result_status = WEIR_FAILED;
    if (error != WEIR_E_NONE || c->result_status == WEIR_FAILED || c->result_status == WEIR_OVERLOADED) {
        return error;
    }
    return error_set(WEIR_E_INVALID,
        "%s.result_status is %d, expected WEIR_FAILED (%d) or WEIR_OVERLOADED (%d)", type,
        (int)c->result_status, WEIR_FAILED, WEIR_OVERLOADED);
}

enum weir_error weir_chaos_create(const struct weir_chaos_config *given, struct weir_policy **chaos)
{
    WEIR_REQUIRE(chaos != NULL, "weir_chaos_create", "chaos is NULL");
    struct weir_chaos_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error != WEIR_E_NONE) return error;
    struct chaos_config record = {
        .seed = mix64(c.seed == 0 ? 1 : c.seed),
        .duration_ns = c.duration_ns,
        .latency_min_ns = c.latency_min_ns,
        .latency_max_ns = c.latency_max_ns,
        .result_retry_after_ns = c.result_retry_after_ns,
        .lost_max_ns = c.lost_max_ns,
        .burst_ns = c.burst_ns,
        .burst_every_ns = c.burst_every_ns,
        .ppm = { c.latency_ppm, c.error_ppm, c.result_ppm, c.lost_ppm },
        .ppm_sum = (uint32_t)sum_of(&c),
        .ppm_burst = (uint32_t)time_min(sum_of(&c) * c.burst_factor, PPM),
        .held_max = c.held_max,
        .error_code = c.error_code == 0 ? EIO : c.error_code,
        .result_code = c.result_code == 0 ? EIO : c.result_code,
        .error_flags = c.error_not_sent ? WEIR_NOT_SENT : 0,
        .result_status = (uint8_t)c.result_status,
    };
    error = policy_new(&(struct policy_spec) { .kind = POLICY_CHAOS,
                           .ops = &chaos_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = "chaos",
                           .config = &record,
                           .config_size = sizeof record,
                           .state_size = sizeof(struct chaos_state),
                           .flags = POLICY_HAS_SWITCH },
        chaos);
    if (error == WEIR_E_NONE && !c.off) switch_on((*chaos)->state);
    return error;
}
