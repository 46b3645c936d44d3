/* The rate limit as a policy: its config, its statistics. */
#include "policy/duration.h"
#include "policy/rate_loan.h"

static void describe_loan(const struct rate_config *config, const struct rate_state *state, uint64_t now_ns,
    char *buffer, size_t size)
{
    const struct rate_loan *loan = &state->loan;
    bool good = now_ns < atomic_load_relaxed(&loan->end_ns);
    snprintf(buffer, size, ", shared by %" PRIu32 ": has %" PRIu64 " of at most %" PRIu32 " that it is lent",
        atomic_load_relaxed(&loan->instances), good ? rate_loan_left(config, state) : 0,
        atomic_load_relaxed(&loan->most));
}

static void describe(const void *opaque, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    const struct rate_config *config = opaque;
    char form[96] = "exact", wait[48] = "", shared[96] = "";
    if (config->lease != 0) {
        snprintf(form, sizeof form,
            "leases of %" PRIu32 " per thread: at most %" PRIu32 " more in any window", config->lease,
            config->lease * SHARDS);
    }
    if (config->wait != 0) {
        snprintf(wait, sizeof wait, ", waits up to %s", duration_text(config->wait / GCRA_UNITS_PER_NS).text);
    }
    if (rate_is_shared(state)) describe_loan(config, state, now_ns, shared, sizeof shared);
    snprintf(buffer, size, "%" PRIu64 " per %s, burst %" PRIu64 ", %s%s%s", config->permits,
        duration_text(config->period_ns).text, config->burst, form, wait, shared);
}

/* A child holds nothing of what its parent was lent, and nobody lends it anything: its limit is its own, with a bucket
 * that was empty when the parent's link last looked, which is at most a lease ago. */
static void forked(const void *config, void *state)
{
    struct rate_state *words = state;
    if (!rate_is_shared(words)) return;
    rate_loan_end(config, words, 0, words->loan.at_ns);
}

static const struct weir_policy_ops rate_ops = {
    .size = sizeof rate_ops,
    .flags = WEIR_POLICY_QUIET_SETTLE,
    .kind = "rate",
    .admit = rate_admit,
    .settle = rate_settle,
    .describe = describe,
    .forked = forked,
};

/* ---- create ---- */

static const char type[] = "weir_rate_config";

static uint64_t token_of(const struct weir_rate_config *c)
{
    return (c->period_ns * GCRA_UNITS_PER_NS + c->permits - 1) / c->permits;
}

/* A token takes a unit at least, a full bucket the longest span at most. */
static enum weir_error validate_amounts(struct weir_rate_config *c)
{
    const uint64_t day = 86400 * WEIR_S;
    enum weir_error error = error_range(type, "period_ns", &c->period_ns, WEIR_S, WEIR_US, day);
    if (error != WEIR_E_NONE) return error;
    uint64_t permits_max = time_min(1000000000, c->period_ns * GCRA_UNITS_PER_NS);
    error = error_range(type, "permits", &c->permits, 100, 1, permits_max);
    if (error != WEIR_E_NONE) return error;
    unsigned __int128 second = (unsigned __int128)c->permits * WEIR_S / c->period_ns;
    uint64_t burst_max = time_min(UINT32_MAX, GCRA_SPAN_MAX / token_of(c));
    uint64_t standard = time_min(time_max((uint64_t)second, 1), burst_max);
    return error_range(type, "burst", &c->burst, standard, 1, burst_max);
}

static enum weir_error validate_form(struct weir_rate_config *c)
{
    if ((unsigned)c->form > WEIR_FORM_SHARDED) {
        return error_set(WEIR_E_INVALID, "%s.form is %u, expected a weir_form", type, (unsigned)c->form);
    }
    if (c->form == WEIR_FORM_SINGLE && c->lease != 0) {
        return error_set(
            WEIR_E_INVALID, "%s.lease is %" PRIu32 ", expected 0 with WEIR_FORM_SINGLE", type, c->lease);
    }
    uint64_t small = c->burst / 64;
    uint32_t standard = (uint32_t)time_max(1, time_min(256, small));
    uint32_t lease_max = (uint32_t)time_min(c->burst, 1u << 24);
    enum weir_error error = error_range32(type, "lease", &c->lease, standard, 1, lease_max);
    bool worth = c->lease >= 2 && c->lease <= small;
    if (c->form == WEIR_FORM_SINGLE || (c->form == WEIR_FORM_AUTO && !worth)) c->lease = 0;
    return error;
}

static enum weir_error validate(struct weir_rate_config *c)
{
    enum weir_error error = validate_amounts(c);
    if (error == WEIR_E_NONE) error = validate_form(c);
    if (error == WEIR_E_NONE && c->wait_max_ns != 0) {
        error = error_range(type, "wait_max_ns", &c->wait_max_ns, 0, 1, 86400 * WEIR_S);
    }
    if (error == WEIR_E_NONE && (unsigned)c->timing > WEIR_TIMING_FAST) {
        error =
            error_set(WEIR_E_INVALID, "%s.timing is %u, expected a weir_timing", type, (unsigned)c->timing);
    }
    return error;
}

enum weir_error weir_rate_create(const struct weir_rate_config *given, struct weir_policy **rate)
{
    WEIR_REQUIRE(rate != NULL, "weir_rate_create", "rate is NULL");
    struct weir_rate_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error != WEIR_E_NONE) return error;
    struct rate_config record = {
        .permits = c.permits,
        .period_ns = c.period_ns,
        .burst = c.burst,
        .wait = c.wait_max_ns * GCRA_UNITS_PER_NS,
        .lease = c.lease,
        .timing = c.timing == WEIR_TIMING_AUTO ? WEIR_TIMING_PRECISE : (uint32_t)c.timing,
    };
    size_t size = c.lease != 0 ? sizeof(struct rate_state) : offsetof(struct rate_state, cell);
    error = policy_new(&(struct policy_spec) { .kind = POLICY_RATE,
                           .ops = &rate_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = "rate",
                           .config = &record,
                           .config_size = sizeof record,
                           .state_size = size,
                           .flags = c.wait_max_ns != 0 ? POLICY_READS_DEADLINE : 0,
                           .first = c.lease != 0 ? rate_first_leased : NULL },
        rate);
    if (error != WEIR_E_NONE) return error;
    struct rate_state *state = (*rate)->state;
    state->gcra.token = token_of(&c);
    state->gcra.span = c.burst * token_of(&c);
    state->burst = c.burst;
    return policy_share(rate, c.share, WEIR_E_NONE);
}

struct weir_rate_stats weir_rate_stats(const struct weir_policy *rate, uint64_t now_ns)
{
    policy_require(rate, POLICY_RATE, "weir_rate_stats");
    const struct rate_config *config = rate->config;
    const struct rate_state *state = rate->state;
    struct weir_rate_stats stats = {
        .permits = config->permits,
        .period_ns = config->period_ns,
        .burst = config->burst,
        .lease = config->lease,
        .tokens = gcra_tokens(&state->gcra, gcra_units(now_ns)),
        .refused = counters_sum(rate->counters, RATE_REFUSED),
        .refused_wait = counters_sum(rate->counters, RATE_REFUSED_WAIT),
        .refused_forced = counters_sum(rate->counters, POLICY_REFUSED_FORCED),
        .would_refuse = counters_sum(rate->counters, POLICY_WOULD_REFUSE),
        .waited = counters_sum(rate->counters, RATE_WAITED),
        .given_back = counters_sum(rate->counters, RATE_GIVEN_BACK),
    };
    for (uint32_t line = 0; config->lease != 0 && line < SHARDS; line++) {
        stats.leased += atomic_load_relaxed(&state->cell[line].credit);
    }
    if (rate_is_shared(state)) {
        bool good = now_ns < atomic_load_relaxed(&state->loan.end_ns);
        stats.tokens = good ? rate_loan_pocket(state) : 0;
        stats.leased += good ? rate_loan_parked(config, state) : 0;
    }
    return stats;
}
