/* One policy alone, where a clock may have to be read: acquire and release of breakers, bulkheads and rates.
 *
 * A permit bears its owner and the process that took it; releasing clears both, so a second release, another
 * policy's permit or one of the parent process is told from a good one. */
#include "os/os.h"
#include "policy/breaker_hot.h"
#include "policy/bulkhead_hot.h"
#include "policy/rate_hot.h"

static ALWAYS_INLINE struct weir_outcome passed(void)
{
    return (struct weir_outcome) { .status = WEIR_OK };
}

static ALWAYS_INLINE struct weir_outcome refused(struct weir_verdict verdict, uint64_t now_ns)
{
    return (struct weir_outcome) {
        .status = WEIR_REJECTED,
        .reason = verdict.reason,
        .by = 1,
        .retry_after_ns = time_since(verdict.at_ns, now_ns),
    };
}

static ALWAYS_INLINE void stamp(const struct weir_policy *policy, struct weir_permit *permit)
{
    permit->owner = policy->head->id;
    permit->generation = process_generation();
}

/* False: taken in another process, and none of ours. */
static ALWAYS_INLINE bool unstamp(
    const struct weir_policy *policy, struct weir_permit *permit, const char *function)
{
    WEIR_REQUIRE(permit->owner == policy->head->id, function,
        "the permit is of another policy, was released before, or never acquired");
    permit->owner = 0;
    return likely(permit->generation == process_generation());
}

/* An operator's hand, where no machine looks at it. True: *outcome is the answer. */
static COLD bool forced(struct weir_policy *policy, struct weir_outcome *outcome)
{
    switch (weir_policy_mode(policy)) {
    case WEIR_MODE_FORCED_OPEN:
        policy_count_alone(policy->state, POLICY_REFUSED_FORCED);
        *outcome = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_FORCED, .by = 1 };
        return true;
    case WEIR_MODE_DISABLED: *outcome = passed(); return true;
    default: return false;
    }
}

/* What a refusal is under shadow or forced closed: counted, and let through without a permit. */
static COLD bool let_through(struct weir_policy *policy)
{
    enum weir_mode mode = weir_policy_mode(policy);
    if (mode == WEIR_MODE_SHADOW) policy_count_alone(policy->state, POLICY_WOULD_REFUSE);
    return mode != WEIR_MODE_ON;
}

#define PASSED_BY UINT64_MAX /* in a slot: nothing was taken */

static COLD struct weir_outcome pass_by(struct weir_policy *policy, struct weir_permit *permit)
{
    permit->slot.word[0] = PASSED_BY;
    stamp(policy, permit);
    return passed();
}

/* ---- breaker ---- */

static ALWAYS_INLINE struct weir_outcome breaker_acquire(struct weir_policy *breaker,
    struct weir_permit *permit, uint64_t now_ns, bool given, const char *function)
{
    policy_require(breaker, POLICY_BREAKER, function);
    const struct breaker_config *config = breaker->config;
    struct breaker_state *state = breaker->state;
    struct weir_outcome outcome;
    if (unlikely(atomic_load_relaxed(&breaker->head->mode) != WEIR_MODE_ON)) {
        if (forced(breaker, &outcome)) return outcome.status == WEIR_OK ? pass_by(breaker, permit) : outcome;
    }
    uint64_t word = atomic_load_acquire(&state->word);
    bool closed = word_state(word) == CLOSED;
    if (!given && (!closed || config->slow_ns != WEIR_NEVER))
        now_ns = os_now((enum weir_timing)config->timing);
    if (likely(closed)) {
        breaker_take(&permit->slot, word, now_ns);
    } else {
        uint32_t line = thread_shard();
        struct breaker_asker asker = { line, line < SHARDS, NULL };
        struct weir_verdict verdict =
            breaker_admit_not_closed(config, state, &permit->slot, word, asker, now_ns);
        if (verdict.kind == WEIR_REFUSE) {
            if (unlikely(atomic_load_relaxed(&breaker->head->mode) != WEIR_MODE_ON)) {
                if (let_through(breaker)) return pass_by(breaker, permit);
            }
            return refused(verdict, now_ns);
        }
    }
    permit->began_ns = now_ns;
    stamp(breaker, permit);
    return passed();
}

struct weir_outcome weir_breaker_acquire(struct weir_policy *breaker, struct weir_permit *permit)
{
    return breaker_acquire(breaker, permit, 0, false, "weir_breaker_acquire");
}

struct weir_outcome weir_breaker_acquire_at(
    struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns)
{
    return breaker_acquire(breaker, permit, now_ns, true, "weir_breaker_acquire_at");
}

static COLD void breaker_release_slow(struct weir_policy *breaker, const struct weir_permit *permit,
    struct weir_outcome outcome, uint64_t now_ns)
{
    const struct breaker_config *config = breaker->config;
    uint64_t ran_ns = time_since(now_ns, permit->began_ns);
    outcome.by = 0;
    struct breaker_outcome seen = { .retry_after_ns = outcome.retry_after_ns };
    seen.view = outcome_view(&outcome, 0, ran_ns, config->late_failure_ns);
    seen.slow = seen.view == VIEW_SUCCESS && ran_ns >= config->slow_ns;
    uint32_t line = thread_shard();
    struct breaker_asker asker = { line, line < SHARDS, NULL };
    breaker_settle_slow(config, breaker->state, &permit->slot, seen, asker, now_ns);
}

static ALWAYS_INLINE void breaker_release(struct weir_policy *breaker, struct weir_permit *permit,
    struct weir_outcome outcome, uint64_t now_ns, const char *function)
{
    const struct breaker_config *config = breaker->config;
    if (unlikely(!unstamp(breaker, permit, function))) return;
    if (unlikely(permit->slot.word[0] == PASSED_BY)) return;
    bool plain = outcome.status == WEIR_OK && time_since(now_ns, permit->began_ns) < config->slow_ns;
    if (likely(plain)) {
        uint32_t line = thread_shard();
        bool counted = breaker_count_good(config, breaker->state, &permit->slot, line, line < SHARDS, now_ns);
        if (likely(counted)) return;
    }
    breaker_release_slow(breaker, permit, outcome, now_ns);
}

void weir_breaker_release(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome)
{
    policy_require(breaker, POLICY_BREAKER, "weir_breaker_release");
    const struct breaker_config *config = breaker->config;
    uint64_t now_ns = os_now((enum weir_timing)config->timing);
    breaker_release(breaker, permit, outcome, now_ns, "weir_breaker_release");
}

void weir_breaker_release_at(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome, uint64_t now_ns)
{
    policy_require(breaker, POLICY_BREAKER, "weir_breaker_release_at");
    breaker_release(breaker, permit, outcome, now_ns, "weir_breaker_release_at");
}

/* ---- bulkhead ---- */

/* In overload this is the hot path. */
static ALWAYS_INLINE struct weir_outcome bulkhead_refused(struct weir_policy *bulkhead)
{
    uint32_t line = thread_shard();
    counters_add(bulkhead->counters, line, line < SHARDS, BULKHEAD_REFUSED_FULL, 1);
    return refused(verdict_refuse(WEIR_REASON_BULKHEAD_FULL, 0), 0);
}

static COLD struct weir_outcome bulkhead_full(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    const struct bulkhead_config *config = bulkhead->config;
    bool handed = false;
    if (config->cells != 0 && weight <= bulkhead_limit(config, bulkhead->state)) {
        uint32_t cell = bulkhead_cell(config, thread_shard());
        bool enough = bulkhead_gather(config, bulkhead->state, cell, weight, &handed);
        if (handed) policy_post(bulkhead);
        if (enough) {
            permit->slot.word[0] = slot_held(cell, weight);
            stamp(bulkhead, permit);
            return passed();
        }
    }
    if (let_through(bulkhead)) return pass_by(bulkhead, permit);
    return bulkhead_refused(bulkhead);
}

struct weir_outcome weir_bulkhead_acquire(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    policy_require(bulkhead, POLICY_BULKHEAD, "weir_bulkhead_acquire");
    WEIR_REQUIRE(weight != 0, "weir_bulkhead_acquire", "weight is 0");
    const struct bulkhead_config *config = bulkhead->config;
    struct weir_outcome outcome;
    if (unlikely(atomic_load_relaxed(&bulkhead->head->mode) != WEIR_MODE_ON)) {
        if (forced(bulkhead, &outcome))
            return outcome.status == WEIR_OK ? pass_by(bulkhead, permit) : outcome;
    }
    uint32_t cell = 0;
    bool entered;
    if (config->cells == 0) {
        entered = bulkhead_enter_single(bulkhead->state, weight);
    } else {
        cell = bulkhead_cell(config, thread_shard());
        entered = bulkhead_enter_cell(bulkhead->state, cell, weight);
    }
    if (unlikely(!entered)) {
        bool plain = config->cells == 0 && atomic_load_relaxed(&bulkhead->head->mode) == WEIR_MODE_ON;
        return plain ? bulkhead_refused(bulkhead) : bulkhead_full(bulkhead, weight, permit);
    }
    permit->slot.word[0] = slot_held(cell, weight);
    stamp(bulkhead, permit);
    return passed();
}

void weir_bulkhead_release(struct weir_policy *bulkhead, struct weir_permit *permit)
{
    policy_require(bulkhead, POLICY_BULKHEAD, "weir_bulkhead_release");
    if (unlikely(!unstamp(bulkhead, permit, "weir_bulkhead_release"))) return;
    if (unlikely(permit->slot.word[0] == PASSED_BY)) return;
    if (unlikely(bulkhead_give(bulkhead->config, bulkhead->state, permit->slot.word[0]))) {
        if (bulkhead_pump(bulkhead->config, bulkhead->state)) policy_post(bulkhead);
    }
}

/* ---- rate ---- */

struct weir_outcome weir_rate_acquire(struct weir_policy *rate, uint32_t cost)
{
    if (rate_acquire_credit(rate, cost)) return passed();
    const struct rate_config *config = rate->config;
    return rate_acquire(rate, cost, os_now((enum weir_timing)config->timing));
}
