/* The breaker as a policy: its hooks, its config, its statistics. */
#include "policy/breaker_hot.h"

#include <inttypes.h>
#include <stdio.h>

static struct breaker_asker asker_of(struct weir_call *call)
{
    return (struct breaker_asker) { call->shard, call->shard < SHARDS, call };
}

static struct weir_verdict admit(
    const void *config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    struct breaker_state *state = opaque;
    uint64_t word = atomic_load_acquire(&state->word);
    if (unlikely(word_state(word) != CLOSED)) {
        return breaker_admit_not_closed(config, state, slot, word, asker_of(call), now_ns);
    }
    breaker_take(slot, word, now_ns);
    return verdict(WEIR_PASS);
}

static NOINLINE struct weir_verdict settle_not_calm(const struct breaker_config *config,
    struct breaker_state *state, const struct weir_slot *slot, struct weir_call *call,
    const struct weir_outcome *outcome, uint64_t ran_ns, uint64_t now_ns)
{
    struct breaker_outcome seen = { .retry_after_ns = outcome->retry_after_ns };
    seen.view = outcome_view(outcome, call->cursor, ran_ns, config->late_failure_ns);
    if (seen.view == VIEW_SUCCESS && config->slow_ns != WEIR_NEVER) {
        bool late = (outcome->flags & WEIR_LATE) != 0 && call->late_by <= call->cursor;
        seen.slow = late || ran_ns >= config->slow_ns;
    }
    return breaker_settle_slow(config, state, slot, seen, asker_of(call), now_ns);
}

/* A call that goes well by the fast lists ran from its begin; else the machine says how long it ran. */
static struct weir_verdict settle(const void *opaque_config, void *opaque, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct breaker_config *config = opaque_config;
    uint64_t ran_ns = call->flags & CALL_SLOW ? call->ran_ns : time_since(now_ns, call->began_ns);
    bool plain = outcome->status == WEIR_OK && (outcome->flags & WEIR_LATE) == 0 && ran_ns < config->slow_ns;
    if (likely(plain)) {
        bool counted = breaker_count_good(config, opaque, slot, call->shard, call->shard < SHARDS, now_ns);
        if (likely(counted)) return verdict(WEIR_PASS);
    }
    return settle_not_calm(config, opaque, slot, call, outcome, ran_ns, now_ns);
}

/* On the fast lists the outcome is known to be good, and the call ran from its begin. */
static struct weir_verdict well(const void *config, void *opaque, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    bool counted = breaker_count_good(config, opaque, slot, call->shard, call->shard < SHARDS, now_ns);
    if (likely(counted)) return verdict(WEIR_PASS);
    return settle(config, opaque, slot, call, outcome, now_ns);
}

static bool stale(const void *config, const void *opaque, const struct weir_slot *slot)
{
    (void)config;
    const struct breaker_state *state = opaque;
    return word_generation(atomic_load_acquire(&state->word)) != slot->word[0];
}

/* The parent's probes are not ours: those that are out go back. Nor is its turn: nobody renews it here. */
static void forked(const void *config, void *opaque)
{
    (void)config;
    struct breaker_state *state = opaque;
    uint64_t word = state->word;
    state->turn = 0;
    if (word_state(word) != HALF_OPEN) return;
    state->word = word_of(
        word_generation(word), word_spell(word), word_won(word), word_won(word), word_lease(word), HALF_OPEN);
}

struct weir_breaker_stats weir_breaker_stats(const struct weir_policy *breaker, uint64_t now_ns)
{
    policy_require(breaker, POLICY_BREAKER, "weir_breaker_stats");
    const struct breaker_state *state = breaker->state;
    const struct breaker_config *config = breaker->config;
    const struct counters *counters = breaker->counters;
    uint64_t word = atomic_load_acquire(&state->word), until = atomic_load_acquire(&state->until);
    uint64_t time_ns = until >> 48 == word_tag(word) ? until_time(until) : now_ns;
    bool counting = word_state(word) == CLOSED || word_state(word) == RAMP;
    struct window_sum sum = breaker_window(config, &state->outcomes, counting ? time_ns : 0, now_ns);
    struct window_sum total = window_total(&state->outcomes);
    struct weir_breaker_stats stats = {
        .state = (enum weir_breaker_state)word_state(word),
        .generation = word_generation(word),
        .probes_out = word_issued(word) - word_won(word),
        .probes_won = word_won(word),
        .streak = atomic_load_relaxed(&state->streak),
        .calls = sum.good + sum.bad,
        .failures = sum.bad,
        .counted_ok = total.good,
        .counted_failed = total.bad,
        .refused_open = counters_sum(counters, BREAKER_REFUSED_OPEN),
        .refused_probes = counters_sum(counters, BREAKER_REFUSED_PROBES),
        .refused_ramp = counters_sum(counters, BREAKER_REFUSED_RAMP),
        .refused_forced = counters_sum(counters, POLICY_REFUSED_FORCED),
        .would_refuse = counters_sum(counters, POLICY_WOULD_REFUSE),
        .given_back = counters_sum(counters, BREAKER_GIVEN_BACK),
        .stale = counters_sum(counters, BREAKER_STALE),
        .overloaded = counters_sum(counters, BREAKER_OVERLOADED),
        .opened = counters_sum(counters, BREAKER_OPENED),
        .half_opened = counters_sum(counters, BREAKER_HALF_OPENED),
        .closed = counters_sum(counters, BREAKER_CLOSED),
        .reopened = counters_sum(counters, BREAKER_REOPENED),
    };
    if (config->slow_ns != WEIR_NEVER) {
        stats.slow = breaker_window(config, &state->slow, counting ? time_ns : 0, now_ns).bad;
        stats.counted_slow = window_total(&state->slow).bad;
    }
    stats.changed_ns = atomic_load_relaxed(&state->changed_ns);
    for (int i = 0; i < 4; i++) stats.spent_ns[i] = atomic_load_relaxed(&state->spent_ns[i]);
    if (word_state(word) == OPEN && now_ns < time_ns) stats.until_ns = time_ns;
    else if (word_state(word) == OPEN && breaker_probes(config, state, word, now_ns) == 0)
        stats.until_ns = turn_end(atomic_load_acquire(&state->turn));
    else if (word_state(word) == OPEN) stats.state = WEIR_BREAKER_HALF_OPEN;
    if (word_state(word) == RAMP && now_ns < time_ns + config->ramp_ns)
        stats.until_ns = time_ns + config->ramp_ns;
    else if (word_state(word) == RAMP) stats.state = WEIR_BREAKER_CLOSED;
    return stats;
}

const char *weir_breaker_state_text(enum weir_breaker_state state)
{
    static const char *const texts[] = { "closed", "open", "half_open", "ramp" };
    return (unsigned)state <= WEIR_BREAKER_RAMP ? texts[state] : "?";
}

static void describe(const void *config, const void *opaque, uint64_t now_ns, char *buffer, size_t size)
{
    static const char *const names[] = { "closed", "open", "half open", "closed, ramping up" };
    const struct breaker_state *state = opaque;
    uint64_t word = atomic_load_acquire(&state->word), until = atomic_load_acquire(&state->until);
    bool counting = word_state(word) == CLOSED || word_state(word) == RAMP;
    uint64_t since_ns = counting && until >> 48 == word_tag(word) ? until_time(until) : 0;
    struct window_sum sum = breaker_window(config, &state->outcomes, since_ns, now_ns);
    const char *by = word_is_fleets(word) ? " by its fleet" : "";
    snprintf(buffer, size, "%s%s, %" PRIu64 " of %" PRIu64 " calls failed", names[word_state(word)], by,
        sum.bad, sum.good + sum.bad);
}

static const struct weir_policy_ops breaker_ops = {
    .size = sizeof breaker_ops,
    .kind = "breaker",
    .admit = admit,
    .settle = settle,
    .stale = stale,
    .forked = forked,
    .describe = describe,
};

/* ---- create ---- */

static const char type[] = "weir_breaker_config";

/* 0 becomes the standard, WEIR_OFF32 becomes 0: the trigger is off. */
static enum weir_error range_or_off(
    const char *field, uint32_t *value, uint32_t standard, uint32_t low, uint32_t high)
{
    if (*value == WEIR_OFF32) {
        *value = 0;
        return WEIR_E_NONE;
    }
    if (*value == 0 && standard == 0) return WEIR_E_NONE;
    return error_range32(type, field, value, standard, low, high);
}

static enum weir_error validate_triggers(struct weir_breaker_config *c)
{
    const uint64_t hour = 3600 * WEIR_S;
    enum weir_error error = error_range(type, "window_ns", &c->window_ns, 10 * WEIR_S, 16 * WEIR_MS, hour);
    if (error == WEIR_E_NONE) error = error_range32(type, "calls_min", &c->calls_min, 10, 1, 1u << 20);
    if (error == WEIR_E_NONE) error = error_range32(type, "failure_percent", &c->failure_percent, 50, 1, 99);
    if (error == WEIR_E_NONE) error = range_or_off("z_tenths", &c->z_tenths, 30, 1, 100);
    if (error == WEIR_E_NONE) error = range_or_off("plain_percent", &c->plain_percent, 0, 1, 100);
    if (error == WEIR_E_NONE) error = range_or_off("consecutive", &c->consecutive, 5, 1, 255);
    if (error == WEIR_E_NONE) error = error_range32(type, "slow_percent", &c->slow_percent, 80, 1, 100);
    if (c->slow_ns == 0) c->slow_ns = WEIR_OFF;
    if (error == WEIR_E_NONE && c->slow_ns != WEIR_OFF) {
        error = error_range(type, "slow_ns", &c->slow_ns, 0, WEIR_US, hour);
    }
    bool none = c->z_tenths == 0 && c->plain_percent == 0 && c->consecutive == 0 && c->slow_ns == WEIR_OFF;
    if (error == WEIR_E_NONE && none && c->overload_open_ns_max == 0) {
        error = error_set(WEIR_E_INVALID,
            "%s: every trigger is off (z_tenths, plain_percent, consecutive,"
            " slow_ns, overload_open_ns_max), expected at least one",
            type);
    }
    return error;
}

static enum weir_error validate_times(struct weir_breaker_config *c)
{
    const uint64_t hour = 3600 * WEIR_S;
    enum weir_error error = error_range(type, "open_ns", &c->open_ns, WEIR_S, WEIR_MS, hour);
    uint64_t open_max = time_max(30 * WEIR_S, c->open_ns);
    if (error == WEIR_E_NONE)
        error = error_range(type, "open_max_ns", &c->open_max_ns, open_max, c->open_ns, 24 * hour);
    if (error == WEIR_E_NONE) error = range_or_off("jitter_percent", &c->jitter_percent, 20, 1, 90);
    if (error == WEIR_E_NONE) error = error_range32(type, "probes", &c->probes, 3, 1, 255);
    if (error == WEIR_E_NONE)
        error = error_range32(type, "successes", &c->successes, c->probes, 1, c->probes);
    if (error == WEIR_E_NONE) error = error_range(type, "probe_ns", &c->probe_ns, 10 * WEIR_S, WEIR_MS, hour);
    if (error == WEIR_E_NONE && c->ramp_ns != WEIR_OFF) {
        error = error_range(type, "ramp_ns", &c->ramp_ns, 5 * WEIR_S, WEIR_MS, hour);
    }
    if (c->ramp_ns == WEIR_OFF) c->ramp_ns = 0;
    if (error == WEIR_E_NONE) {
        error = error_range(type, "late_failure_ns", &c->late_failure_ns, WEIR_S, 1, hour);
    }
    if (error == WEIR_E_NONE && c->overload_open_ns_max > 24 * hour) {
        error = error_range(type, "overload_open_ns_max", &c->overload_open_ns_max, 0, 1, 24 * hour);
    }
    if (error == WEIR_E_NONE) error = error_timing(type, c->timing);
    return error;
}

enum weir_error weir_breaker_create(const struct weir_breaker_config *given, struct weir_policy **breaker)
{
    static uint64_t seeds = 1;
    WEIR_REQUIRE(breaker != NULL, "weir_breaker_create", "breaker is NULL");
    struct weir_breaker_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = validate_triggers(&c);
    if (error == WEIR_E_NONE) error = validate_times(&c);
    if (error != WEIR_E_NONE) return error;
    bool slow = c.slow_ns != WEIR_OFF;
    if (c.seed == 0) c.seed = mix64(atomic_add_relaxed(&seeds, 1) ^ (uint64_t)(uintptr_t)breaker);
    struct breaker_config record = {
        .bucket = reciprocal_of(c.window_ns / WINDOW_BUCKETS),
        .bucket_ns = c.window_ns / WINDOW_BUCKETS,
        .slow_ns = slow ? c.slow_ns : WEIR_NEVER,
        .late_failure_ns = c.late_failure_ns,
        .open_ns = c.open_ns,
        .open_max_ns = c.open_max_ns,
        .probe_ns = c.probe_ns,
        .ramp_ns = c.ramp_ns,
        .overload_open_ns_max = c.overload_open_ns_max,
        .seed = c.seed,
        .calls_min = c.calls_min,
        .failure_percent = c.failure_percent,
        .z_tenths = c.z_tenths,
        .plain_percent = c.plain_percent,
        .consecutive = c.consecutive,
        .slow_percent = c.slow_percent,
        .jitter_percent = c.jitter_percent,
        .probes = c.probes,
        .successes = c.successes,
        .short_open = c.overload_open_ns_max != 0 ||
            c.open_ns - c.open_ns / 100 * c.jitter_percent < c.window_ns / WINDOW_BUCKETS,
        .timing = c.timing == WEIR_TIMING_AUTO ? WEIR_TIMING_COARSE : (uint32_t)c.timing,
    };
    size_t size = slow ? sizeof(struct breaker_state) : offsetof(struct breaker_state, slow);
    error = policy_new(&(struct policy_spec) { .kind = POLICY_BREAKER,
                           .ops = &breaker_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = "breaker",
                           .config = &record,
                           .config_size = sizeof record,
                           .state_size = size,
                           .well = slow ? NULL : well },
        breaker);
    return policy_share(breaker, c.share, error);
}
