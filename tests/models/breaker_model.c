/* breaker: an exact list of outcomes with their times, and the diagram of weir/breaker.h as a switch. */
#include "models/model.h"

#include "policy/breaker.h"

#include <math.h>
#include <string.h>

#define PERMITS 24

enum { IS_CLOSED, IS_OPEN, IS_HALF_OPEN, IS_RAMP };
enum view { SUCCESS, SLOW_SUCCESS, FAILURE, NOTHING, ASKED };

struct permit {
    struct weir_call call;
    struct weir_slot slot;
    uint32_t generation;
    uint64_t at;
    bool out;
};

struct counted {
    uint64_t epoch;
    bool failed, slow;
};

struct breaker {
    struct weir_policy *policy;
    struct weir_breaker_config config;
    int state;
    uint32_t generation, level, issued, won, streak;
    uint64_t until; /* as weir/breaker.h's stats: when a probe is due, or the lease ends, or when it closed */
    struct counted list[OPS_MAX];
    uint32_t count, since; /* the list's length when it closed */
    bool filling, short_open;
    struct permit permit[PERMITS];
    uint64_t ok, failed, slow, refused_open, refused_probes, refused_ramp, given_back, stale, overloaded;
    uint64_t opened, half_opened, closed, reopened;
};

/* How many calls a ramp let in, over all programs, against how many it should have. */
static double ramp_passed, ramp_expected, ramp_variance;

static uint64_t rounded_up(uint64_t ns) /* instants are kept in units of 2^14 ns */
{
    return (ns + 16383) / 16384 * 16384;
}

static uint64_t epoch_of(const struct breaker *model, uint64_t ns)
{
    return ns / (model->config.window_ns / 16);
}

/* ---- triggers ---- */

/* Of the list: what lies in the 16 newest buckets since it closed. If it may have been open for less than a
 * bucket, the one in which it closed is left out. */
static void window_of(
    const struct breaker *model, uint64_t now, uint64_t *calls, uint64_t *failed, uint64_t *slow)
{
    uint64_t last = epoch_of(model, now), first = last < 15 ? 0 : last - 15;
    bool counting = model->state == IS_CLOSED || model->state == IS_RAMP;
    if (counting && model->until != 0) {
        uint64_t began = epoch_of(model, model->until) + model->short_open;
        if (began > first) first = began;
    }
    *calls = *failed = *slow = 0;
    for (uint32_t i = counting ? model->since : 0; i < model->count; i++) {
        if (model->list[i].epoch < first) continue;
        ++*calls;
        *failed += model->list[i].failed;
        *slow += model->list[i].slow;
    }
}

/* Wilson's lower bound (Wilson 1927) less the threshold. */
static long double wilson_excess(uint64_t failed, uint64_t calls, uint32_t percent, uint32_t z_tenths)
{
    long double n = (long double)calls, p = (long double)failed / n, z = (long double)z_tenths / 10;
    long double middle = p + z * z / (2 * n), spread = z * sqrtl(p * (1 - p) / n + z * z / (4 * n * n));
    return (middle - spread) / (1 + z * z / n) - (long double)percent / 100;
}

/* -1: too close to call. */
static int wilson_fires(const struct breaker_config *record, uint64_t failed, uint64_t calls)
{
    long double excess = wilson_excess(failed, calls, record->failure_percent, record->z_tenths);
    if (fabsl(excess) < 1e-12L) return -1;
    return excess > 0;
}

static int fires(struct breaker *model, uint64_t now)
{
    const struct weir_breaker_config *config = &model->config;
    uint64_t calls, failed, slow;
    window_of(model, now, &calls, &failed, &slow);
    model->filling = false;
    if (calls < config->calls_min) {
        if (config->consecutive != WEIR_OFF32 && model->streak >= config->consecutive) return 1;
        model->filling = failed != 0 || config->slow_ns != 0;
        return 0;
    }
    if (config->plain_percent != 0 && failed * 100 >= calls * config->plain_percent) return 1;
    if (config->slow_ns != 0 && slow * 100 >= calls * config->slow_percent) return 1;
    if (config->z_tenths == WEIR_OFF32) return 0;
    return wilson_fires(model->policy->config, failed, calls);
}

/* ---- arrows ---- */

static struct weir_breaker_stats stats_of(const struct breaker *model, uint64_t now)
{
    return weir_breaker_stats(model->policy, now);
}

/* Its own open time is jittered: what it says must lie within, and is then what it must keep to. */
static void went_open(struct breaker *model, uint64_t now, uint64_t asked)
{
    const struct weir_breaker_config *config = &model->config;
    uint64_t base = config->open_ns;
    for (uint32_t i = 0; i < model->level && base < config->open_max_ns; i++) base *= 2;
    if (base > config->open_max_ns) base = config->open_max_ns;
    uint64_t jitter = config->jitter_percent == WEIR_OFF32 ? 0 : base / 100 * config->jitter_percent;
    uint64_t low = now + (asked != 0 ? asked : base - jitter),
             high = now + (asked != 0 ? asked : base + jitter);
    model->state = IS_OPEN;
    model->generation++;
    model->issued = model->won = 0;
    model->until = stats_of(model, now).until_ns;
    if (model->until < rounded_up(low) || model->until > rounded_up(high)) {
        differs("breaker: open for %" PRIu64 ", expected %" PRIu64 "..%" PRIu64, model->until - now,
            rounded_up(low) - now, rounded_up(high) - now);
    }
}

static void trip(struct breaker *model, uint64_t now, uint64_t asked)
{
    if (model->state != IS_RAMP) model->level = 0;
    model->streak = 0;
    model->filling = false;
    model->opened++;
    went_open(model, now, asked);
}

static void reopen(struct breaker *model, uint64_t now)
{
    model->level = model->level < 31 ? model->level + 1 : 31;
    model->reopened++;
    went_open(model, now, 0);
}

/* ---- admit ---- */

enum answer { PASSES, OPEN_REFUSES, PROBES_REFUSE, RAMP_DECIDES };

static enum answer admits(struct breaker *model, uint64_t now)
{
    uint64_t out = model->issued - model->won;
    switch (model->state) {
    case IS_OPEN:
        if (now < model->until) return OPEN_REFUSES;
        model->state = IS_HALF_OPEN;
        model->generation++;
        model->half_opened++;
        model->issued = 1;
        model->until = rounded_up(now + model->config.probe_ns);
        return PASSES;
    case IS_HALF_OPEN:
        if (out > 0 && now >= model->until) {
            reopen(model, now);
            return OPEN_REFUSES;
        }
        if (model->issued >= model->config.probes) return PROBES_REFUSE;
        if (out == 0) model->until = rounded_up(now + model->config.probe_ns);
        model->issued++;
        return PASSES;
    case IS_RAMP:
        if (now < model->until || now - model->until < model->config.ramp_ns) return RAMP_DECIDES;
        model->state = IS_CLOSED;
        model->level = 0;
        return PASSES;
    default: return PASSES;
    }
}

static void admit_one(struct breaker *model, struct permit *permit, const struct op *op, uint64_t now)
{
    uint32_t shard = op->b % LINES;
    permit->call = (struct weir_call) { .flags = CALL_SLOW | CALL_SEEDED,
        .random = op->b,
        .shard = (uint16_t)shard,
        .cursor = 2,
        .began_ns = now };
    struct weir_verdict verdict = model->policy->ops->admit(
        model->policy->config, model->policy->state, &permit->slot, &permit->call, now);
    enum answer answer = admits(model, now);
    if (answer == RAMP_DECIDES) {
        double gone = now < model->until ? 0 : (double)(now - model->until) / (double)model->config.ramp_ns;
        double share = 0.1 + 0.9 * gone;
        ramp_expected += share;
        ramp_variance += share * (1 - share);
        ramp_passed += verdict.kind == WEIR_PASS;
        if (verdict.kind != WEIR_PASS) SAME(verdict.reason, WEIR_REASON_BREAKER_RAMP, "breaker: reason");
        model->refused_ramp += verdict.kind != WEIR_PASS;
    } else if (answer == PASSES) {
        SAME(verdict.kind, WEIR_PASS, "breaker: let in");
    } else {
        bool open = answer == OPEN_REFUSES;
        uint32_t reason = open ? WEIR_REASON_BREAKER_OPEN : WEIR_REASON_BREAKER_PROBES;
        SAME(verdict.kind << 8 | verdict.reason, WEIR_REFUSE << 8 | reason, "breaker: refused");
        if (open) SAME(verdict.at_ns, model->until, "breaker: when to ask again");
        model->refused_open += open;
        model->refused_probes += !open;
    }
    permit->out = verdict.kind == WEIR_PASS;
    permit->generation = model->generation;
    permit->at = now;
}

/* ---- settle ---- */

/* The table of outcomes, for a policy at position 3 of a pipeline (2 from 0). */
static enum view draw_outcome(
    const struct breaker *model, const struct op *op, struct weir_call *call, struct weir_outcome *outcome)
{
    const struct weir_breaker_config *config = &model->config;
    call->ran_ns = op->a % 3 == 0 ? 0 : op->b % (config->late_failure_ns * 2 + 1);
    call->late_by = 0;
    switch (op->a / 4 % 12) {
    case 0:
        *outcome = (struct weir_outcome) { .status = WEIR_CANCELED, .reason = WEIR_REASON_CANCELED };
        return NOTHING;
    case 1: *outcome = (struct weir_outcome) { .status = WEIR_IGNORED }; return NOTHING;
    case 2:
        *outcome = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_RATE, .by = 5 };
        return NOTHING;
    case 3:
        *outcome =
            (struct weir_outcome) { .status = WEIR_OVERLOADED, .retry_after_ns = op->b % 3 * 50000000 };
        return ASKED;
    case 4:
        *outcome = (struct weir_outcome) { .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = 4 };
        return FAILURE; /* a timeout inside */
    case 5:
        *outcome = (struct weir_outcome) { .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = 1 };
        return call->ran_ns >= config->late_failure_ns ? FAILURE : NOTHING;
    case 6:
        *outcome = (struct weir_outcome) { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE };
        return call->ran_ns >= config->late_failure_ns ? FAILURE : NOTHING;
    case 7:
    case 8:
    case 9: *outcome = (struct weir_outcome) { .status = WEIR_FAILED, .code = 5 }; return FAILURE;
    case 10:
        *outcome = (struct weir_outcome) { .status = WEIR_OK, .flags = WEIR_LATE };
        call->late_by = (uint8_t)(op->b % 5);
        if (config->slow_ns != 0 && call->late_by <= 2) return SLOW_SUCCESS;
        break;
    default: *outcome = (struct weir_outcome) { .status = WEIR_OK }; break;
    }
    return config->slow_ns != 0 && call->ran_ns >= config->slow_ns ? SLOW_SUCCESS : SUCCESS;
}

static void probe_ended(struct breaker *model, const struct permit *permit, enum view view, uint64_t now)
{
    if (view == NOTHING || view == ASKED) {
        model->issued--;
        model->given_back++;
    } else if (view == SUCCESS && now - permit->at <= model->config.probe_ns) {
        if (++model->won < model->config.successes) return;
        model->generation++;
        model->issued = model->won = model->streak = 0;
        model->closed++;
        model->filling = false;
        model->since = model->count;
        model->until = rounded_up(now);
        model->state = model->config.ramp_ns == WEIR_OFF ? IS_CLOSED : IS_RAMP;
        if (model->state == IS_CLOSED) model->level = 0;
    } else {
        reopen(model, now);
    }
}

static void count_outcome(struct breaker *model, enum view view, uint64_t now)
{
    bool failed = view == FAILURE, slow = view == SLOW_SUCCESS;
    model->list[model->count++] = (struct counted) { epoch_of(model, now), failed, slow };
    model->ok += !failed;
    model->failed += failed;
    model->slow += slow;
    model->streak = failed ? model->streak + 1 : 0;
    if (!failed && !slow && !model->filling) return;
    int fired = fires(model, now);
    if (fired < 0) fired = word_state(((const struct breaker_state *)model->policy->state)->word) == OPEN;
    if (fired) trip(model, now, 0);
}

static void settle_one(struct breaker *model, struct permit *permit, const struct op *op, uint64_t now)
{
    struct weir_outcome outcome;
    enum view view = draw_outcome(model, op, &permit->call, &outcome);
    model->policy->ops->settle(
        model->policy->config, model->policy->state, &permit->slot, &permit->call, &outcome, now);
    permit->out = false;
    if (permit->generation != model->generation) {
        model->stale++;
        return;
    }
    if (view == ASKED) model->overloaded++;
    if (model->state == IS_HALF_OPEN) {
        probe_ended(model, permit, view, now);
    } else if (view == ASKED) {
        uint64_t asked = outcome.retry_after_ns, most = model->config.overload_open_ns_max;
        if (asked > most) asked = most;
        if (asked != 0) trip(model, now, asked);
    } else if (view != NOTHING) {
        count_outcome(model, view, now);
    }
}

/* ---- compare ---- */

static void compare(const struct breaker *model, uint64_t now)
{
    struct weir_breaker_stats stats = stats_of(model, now);
    uint64_t calls, failed, slow;
    window_of(model, now, &calls, &failed, &slow);
    uint64_t word = ((const struct breaker_state *)model->policy->state)->word;
    SAME(word_state(word), model->state, "breaker: state");
    SAME(stats.generation, model->generation, "breaker: generation");
    SAME(word_level(word), model->level, "breaker: level");
    SAME(stats.probes_out, model->issued - model->won, "breaker: probes out");
    SAME(stats.probes_won, model->won, "breaker: probes won");
    SAME(stats.streak, model->streak, "breaker: streak");
    SAME(stats.calls, calls, "breaker: calls in the window");
    SAME(stats.failures, failed, "breaker: failures in the window");
    SAME(stats.slow, slow, "breaker: slow calls in the window");
    SAME(stats.counted_ok, model->ok, "breaker: counted ok");
    SAME(stats.counted_failed, model->failed, "breaker: counted failed");
    SAME(stats.counted_slow, model->slow, "breaker: counted slow");
    SAME(stats.refused_open, model->refused_open, "breaker: refused open");
    SAME(stats.refused_probes, model->refused_probes, "breaker: refused probes");
    SAME(stats.refused_ramp, model->refused_ramp, "breaker: refused ramp");
    SAME(stats.given_back, model->given_back, "breaker: given back");
    SAME(stats.stale, model->stale, "breaker: stale");
    SAME(stats.overloaded, model->overloaded, "breaker: overloaded");
    SAME(stats.opened << 32 | stats.half_opened, model->opened << 32 | model->half_opened, "breaker: opened");
    SAME(stats.closed << 32 | stats.reopened, model->closed << 32 | model->reopened, "breaker: closed");
}

static struct weir_breaker_config draw_config(uint64_t *seed)
{
    uint32_t probes = (uint32_t)model_between(seed, 1, 4);
    struct weir_breaker_config config = { .size = sizeof config,
        .window_ns = model_between(seed, 16, 2000) * WEIR_MS + model_below(seed, 1000),
        .calls_min = (uint32_t)model_between(seed, 1, 12),
        .failure_percent = (uint32_t)model_between(seed, 1, 99),
        .z_tenths = model_below(seed, 4) == 0 ? WEIR_OFF32 : (uint32_t)model_between(seed, 1, 40),
        .plain_percent = model_below(seed, 2) == 0 ? 0 : (uint32_t)model_between(seed, 1, 100),
        .consecutive = model_below(seed, 3) == 0 ? WEIR_OFF32 : (uint32_t)model_between(seed, 1, 8),
        .slow_ns = model_below(seed, 2) == 0 ? 0 : model_between(seed, 1, 100) * WEIR_MS,
        .slow_percent = (uint32_t)model_between(seed, 1, 100),
        .jitter_percent = model_below(seed, 3) == 0 ? WEIR_OFF32 : (uint32_t)model_between(seed, 1, 90),
        .open_ns = model_between(seed, 1, 100) * WEIR_MS,
        .open_max_ns = model_between(seed, 100, 1000) * WEIR_MS,
        .probes = probes,
        .successes = (uint32_t)model_between(seed, 1, probes),
        .probe_ns = model_between(seed, 1, 500) * WEIR_MS,
        .ramp_ns = model_below(seed, 2) == 0 ? WEIR_OFF : model_between(seed, 1, 1000) * WEIR_MS,
        .late_failure_ns = model_between(seed, 1, 100) * WEIR_MS,
        .overload_open_ns_max = model_below(seed, 2) == 0 ? 0 : model_between(seed, 1, 100) * WEIR_MS,
        .seed = model_draw(seed) | 1 };
    if (config.z_tenths == WEIR_OFF32 && config.plain_percent == 0) config.consecutive = 3;
    return config;
}

void breaker_model(const struct program *program)
{
    static struct breaker model;
    uint64_t seed = program->seed, now = 5000 * WEIR_S + model_below(&seed, WEIR_S);
    memset(&model, 0, sizeof model);
    model.config = draw_config(&seed);
    HOLDS(weir_breaker_create(&model.config, &model.policy) == WEIR_E_NONE, "breaker: create");
    model.short_open =
        ((const struct breaker_config *)model.policy->config)->short_open; /* granularity only */
    uint64_t pace = model_between(&seed, 1, 100) * WEIR_MS / 10;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        struct permit *permit = &model.permit[op->a % 5 == 0 ? op->a / 5 % PERMITS : op->a / 5 % 4];
        now += op->kind % 16 == 0 ? op->b % (WEIR_S / 2) : op->b % pace;
        if (permit->out) settle_one(&model, permit, op, now);
        else admit_one(&model, permit, op, now);
        compare(&model, now);
    }
    weir_policy_release(model.policy);
}

/* Ramps draw lots: over all programs they let in the share they promise, within five standard deviations. */
void breaker_model_end(void)
{
    double off = ramp_passed - ramp_expected;
    if (off * off <= 25 * ramp_variance) return;
    differs("breaker: ramps let in %.0f calls, %.0f expected, standard deviation %.1f", ramp_passed,
        ramp_expected, sqrt(ramp_variance));
}

/* ---- Wilson's bound alone, also where the counts are large ---- */

void wilson_model(const struct program *program)
{
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        uint64_t calls = 1 + ((uint64_t)op->a << 8 | op->kind) % (op->kind % 2 == 0 ? 60 : UINT64_C(1) << 31);
        uint64_t failed = op->b % (calls + 1);
        uint32_t percent = 1 + op->a % 99, z_tenths = 1 + op->b % 100;
        long double excess = wilson_excess(failed, calls, percent, z_tenths);
        if (fabsl(excess) < 1e-12L) continue;
        bool above = breaker_wilson_above(failed, calls, percent, z_tenths);
        if (above != (excess > 0)) {
            differs("wilson: %" PRIu64 " of %" PRIu64 ", %" PRIu32 " %%, z %" PRIu32 "/10: lib %d, model %Lg",
                failed, calls, percent, z_tenths, above, excess);
        }
    }
}
