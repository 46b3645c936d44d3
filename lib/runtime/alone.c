/* One policy alone, where a clock may have to be read: acquire and release of breakers, bulkheads and rates.
 *
 * A permit bears its owner and the process that took it; releasing clears both, so a second release, another
 * policy's permit or one of the parent process is told from a good one. */
#include "os/os.h"
#include "policy/breaker_hot.h"
#include "policy/bulkhead_hot.h"
#include "policy/rate_hot.h"

#define PASSED_BY UINT64_MAX /* in a slot: nothing was taken */

static ALWAYS_INLINE struct weir_outcome passed(void)
{
    return (struct weir_outcome) { .status = WEIR_OK };
}

static ALWAYS_INLINE struct weir_outcome refused(enum weir_reason reason, uint64_t retry_after_ns)
{
    return (struct weir_outcome) {
        .status = WEIR_REJECTED, .reason = (uint8_t)reason, .by = 1, .retry_after_ns = retry_after_ns
    };
}

/* ---- what the hot paths ask first ----
 * As in rate_hot.h, all that is unusual is a tail call, so that they save no register. */

/* A policy of that kind, under nobody's hand. */
static ALWAYS_INLINE bool is_plain(const struct weir_policy *policy, enum policy_kind kind)
{
    if (unlikely(policy == NULL)) return false;
    return likely(((policy->head->kind ^ kind) | atomic_load_relaxed(&policy->head->mode)) == 0);
}

/* Of that kind, with a permit of its own that was taken in this process and holds something. */
static ALWAYS_INLINE bool is_own(
    const struct weir_policy *policy, enum policy_kind kind, const struct weir_permit *permit)
{
    if (unlikely(policy == NULL)) return false;
    uint32_t other = policy->head->kind ^ kind;
    other |= permit->owner ^ policy->head->id;
    return likely(other == 0) && process_is(permit->generation) && permit->slot.word[0] != PASSED_BY;
}

static ALWAYS_INLINE void stamp(const struct weir_policy *policy, struct weir_permit *permit)
{
    permit->owner = policy->head->id;
    permit->generation = atomic_load_relaxed(weir_process_word);
}

/* ---- the unusual ---- */

/* Whether there is anything to give back: not if it was taken in another process, or under an operator's
 * hand. */
static bool unstamp(const struct weir_policy *policy, struct weir_permit *permit, const char *function)
{
    WEIR_REQUIRE(permit != NULL, function, "permit is NULL");
    WEIR_REQUIRE(permit->owner == policy->head->id, function,
        "the permit is of another policy, was released before, or never acquired");
    permit->owner = 0;
    return permit->generation == process_generation() && permit->slot.word[0] != PASSED_BY;
}

static struct weir_outcome pass_by(struct weir_policy *policy, struct weir_permit *permit)
{
    permit->slot.word[0] = PASSED_BY;
    stamp(policy, permit);
    return passed();
}

/* An operator's hand, where no machine looks at it. True: *outcome is the answer. */
static bool is_forced(struct weir_policy *policy, struct weir_permit *permit, struct weir_outcome *outcome)
{
    switch (weir_policy_mode(policy)) {
    case WEIR_MODE_FORCED_OPEN:
        policy_count_alone(policy->state, POLICY_REFUSED_FORCED);
        *outcome = refused(WEIR_REASON_FORCED, 0);
        return true;
    case WEIR_MODE_DISABLED: *outcome = pass_by(policy, permit); return true;
    default: return false;
    }
}

/* What a refusal is under shadow or forced closed: counted, and let through without a permit. */
static bool is_let_through(const struct weir_policy *policy)
{
    enum weir_mode mode = weir_policy_mode(policy);
    return mode == WEIR_MODE_SHADOW || mode == WEIR_MODE_FORCED_CLOSED;
}

static struct weir_outcome let_through(struct weir_policy *policy, struct weir_permit *permit)
{
    struct weir_outcome outcome = pass_by(policy, permit);
    if (weir_policy_mode(policy) == WEIR_MODE_SHADOW) {
        policy_count_alone(policy->state, POLICY_WOULD_REFUSE);
        outcome.flags = WEIR_SHADOW;
    }
    return outcome;
}

/* ---- breaker ---- */

static COLD struct weir_outcome breaker_acquire_slow(
    struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns, const char *function)
{
    policy_require(breaker, POLICY_BREAKER, function);
    WEIR_REQUIRE(permit != NULL, function, "permit is NULL");
    struct weir_outcome outcome;
    if (is_forced(breaker, permit, &outcome)) return outcome;
    struct breaker_state *state = breaker->state;
    uint64_t word = atomic_load_acquire(&state->word);
    if (word_state(word) == CLOSED) {
        breaker_take(&permit->slot, word, now_ns);
    } else {
        uint32_t line = thread_shard();
        struct breaker_asker asker = { line, line < SHARDS, NULL };
        struct weir_verdict verdict =
            breaker_admit_slow(breaker->config, state, &permit->slot, asker, now_ns);
        if (verdict.kind == WEIR_REFUSE) {
            if (is_let_through(breaker)) return let_through(breaker, permit);
            return refused((enum weir_reason)verdict.reason, time_since(verdict.at_ns, now_ns));
        }
    }
    permit->began_ns = now_ns;
    stamp(breaker, permit);
    return passed();
}

/* Not closed. That it is open, and its time not over, is a hot path in an outage. */
static ALWAYS_INLINE struct weir_outcome breaker_acquire_open(
    struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns, const char *function)
{
    const struct breaker_state *state = breaker->state;
    uint64_t until_ns;
    bool open =
        weir_thread.shard != 0 && breaker_is_open(state, atomic_load_acquire(&state->word), &until_ns);
    if (unlikely(!open) || unlikely(now_ns >= until_ns)) {
        return breaker_acquire_slow(breaker, permit, now_ns, function);
    }
    uint32_t line = weir_thread.shard - 1;
    counters_add(breaker->counters, line, line < SHARDS, BREAKER_REFUSED_OPEN, 1);
    return refused(WEIR_REASON_BREAKER_OPEN, until_ns - now_ns);
}

/* True: it is closed, and the permit taken. */
static ALWAYS_INLINE bool breaker_acquire_closed(
    const struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns)
{
    const struct breaker_state *state = breaker->state;
    uint64_t word = atomic_load_acquire(&state->word);
    if (unlikely(word_state(word) != CLOSED) || unlikely(!process_is_settled())) return false;
    breaker_take(&permit->slot, word, now_ns);
    permit->began_ns = now_ns;
    stamp(breaker, permit);
    return true;
}

/* Closed, it needs to know the time only if it times calls; else they begin at no instant, and have run for 0. */
struct weir_outcome weir_breaker_acquire(struct weir_policy *breaker, struct weir_permit *permit)
{
    static const char function[] = "weir_breaker_acquire";
    bool plain = is_plain(breaker, POLICY_BREAKER) && permit != NULL;
    if (unlikely(!plain)) policy_require(breaker, POLICY_BREAKER, function);
    const struct breaker_config *config = breaker->config;
    if (likely(plain) && config->slow_ns == WEIR_NEVER) {
        if (likely(breaker_acquire_closed(breaker, permit, WEIR_NEVER))) return passed();
    }
    uint64_t now_ns = os_now((enum weir_timing)config->timing);
    if (unlikely(!plain)) return breaker_acquire_slow(breaker, permit, now_ns, function);
    if (breaker_acquire_closed(breaker, permit, now_ns)) return passed();
    return breaker_acquire_open(breaker, permit, now_ns, function);
}

struct weir_outcome weir_breaker_acquire_at(
    struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns)
{
    static const char function[] = "weir_breaker_acquire_at";
    bool plain = is_plain(breaker, POLICY_BREAKER) && permit != NULL;
    if (unlikely(!plain)) return breaker_acquire_slow(breaker, permit, now_ns, function);
    if (likely(breaker_acquire_closed(breaker, permit, now_ns))) return passed();
    return breaker_acquire_open(breaker, permit, now_ns, function);
}

static NOINLINE void breaker_release_slow(struct weir_policy *breaker, struct weir_permit *permit,
    struct weir_outcome outcome, uint64_t now_ns, const char *function)
{
    policy_require(breaker, POLICY_BREAKER, function);
    WEIR_REQUIRE(outcome.status < WEIR_STATUSES, function, "the outcome's status is none");
    if (!unstamp(breaker, permit, function)) return;
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
    bool well = permit != NULL && outcome.status == WEIR_OK && weir_thread.shard != 0 &&
        is_own(breaker, POLICY_BREAKER, permit);
    if (likely(well)) {
        const struct breaker_config *config = breaker->config;
        uint32_t line = weir_thread.shard - 1;
        if (likely(time_since(now_ns, permit->began_ns) < config->slow_ns) &&
            likely(breaker_count_good(config, breaker->state, &permit->slot, line, line < SHARDS, now_ns))) {
            permit->owner = 0;
            return;
        }
    }
    breaker_release_slow(breaker, permit, outcome, now_ns, function);
}

void weir_breaker_release(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome)
{
    static const char function[] = "weir_breaker_release";
    policy_require(breaker, POLICY_BREAKER, function);
    const struct breaker_config *config = breaker->config;
    breaker_release(breaker, permit, outcome, os_now((enum weir_timing)config->timing), function);
}

void weir_breaker_release_at(
    struct weir_policy *breaker, struct weir_permit *permit, struct weir_outcome outcome, uint64_t now_ns)
{
    breaker_release(breaker, permit, outcome, now_ns, "weir_breaker_release_at");
}

/* ---- bulkhead ---- */

/* A clock is read only where there is a lease that ends. */
static uint64_t bulkhead_now(const struct bulkhead_state *state)
{
    return bulkhead_lease_end(state) == WEIR_NEVER ? 0 : os_now_coarse();
}

static COLD struct weir_outcome bulkhead_acquire_slow(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    static const char function[] = "weir_bulkhead_acquire";
    policy_require(bulkhead, POLICY_BULKHEAD, function);
    WEIR_REQUIRE(weight != 0, function, "weight is 0");
    WEIR_REQUIRE(permit != NULL, function, "permit is NULL");
    const struct bulkhead_config *config = bulkhead->config;
    struct bulkhead_state *state = bulkhead->state;
    struct weir_outcome outcome;
    if (is_forced(bulkhead, permit, &outcome)) return outcome;
    uint32_t cell = config->cells == 0 ? 0 : bulkhead_cell(config, thread_shard());
    bool handed = false, entered = false;
    uint64_t now_ns = bulkhead_now(state);
    if (config->cells != 0) {
        entered = weight <= bulkhead_limit(config, state) &&
            bulkhead_gather(config, state, cell, weight, now_ns, &handed);
    } else if (now_ns < bulkhead_lease_end(state)) {
        entered = bulkhead_enter_single(state, weight);
    }
    if (handed) policy_post(bulkhead);
    if (!entered) {
        policy_count_alone(state, BULKHEAD_REFUSED_FULL);
        if (is_let_through(bulkhead)) return let_through(bulkhead, permit);
        return refused(WEIR_REASON_BULKHEAD_FULL, 0);
    }
    permit->slot.word[0] = slot_held(cell, weight);
    stamp(bulkhead, permit);
    return passed();
}

/* No lease to look at: the end is never. */
static ALWAYS_INLINE bool bulkhead_is_unshared(const struct weir_policy *bulkhead)
{
    const struct bulkhead_state *state = bulkhead->state;
    return likely(atomic_load_relaxed(&state->plain_until_ns) == WEIR_NEVER);
}

/* In overload a refusal is a hot path, too: in one word what is full is so. */
static NOINLINE struct weir_outcome bulkhead_acquire_single(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    if (unlikely(!bulkhead_is_unshared(bulkhead))) return bulkhead_acquire_slow(bulkhead, weight, permit);
    if (unlikely(!bulkhead_enter_single(bulkhead->state, weight))) {
        if (unlikely(weir_thread.shard == 0)) return bulkhead_acquire_slow(bulkhead, weight, permit);
        uint32_t line = weir_thread.shard - 1;
        counters_add(bulkhead->counters, line, line < SHARDS, BULKHEAD_REFUSED_FULL, 1);
        return refused(WEIR_REASON_BULKHEAD_FULL, 0);
    }
    permit->slot.word[0] = slot_held(0, weight);
    stamp(bulkhead, permit);
    return passed();
}

static NOINLINE struct weir_outcome bulkhead_acquire_sharded(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    if (unlikely(weir_thread.shard == 0)) return bulkhead_acquire_slow(bulkhead, weight, permit);
    if (unlikely(!bulkhead_is_unshared(bulkhead))) return bulkhead_acquire_slow(bulkhead, weight, permit);
    uint32_t cell = bulkhead_cell(bulkhead->config, weir_thread.shard - 1);
    if (unlikely(!bulkhead_enter_cell(bulkhead->state, cell, weight))) {
        return bulkhead_acquire_slow(bulkhead, weight, permit);
    }
    permit->slot.word[0] = slot_held(cell, weight);
    stamp(bulkhead, permit);
    return passed();
}

/* The forms are functions of their own, called last: joined they would need more registers than may be used
 * without saving any. */
struct weir_outcome weir_bulkhead_acquire(
    struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    bool plain = permit != NULL && weight != 0 && process_is_settled() && is_plain(bulkhead, POLICY_BULKHEAD);
    if (unlikely(!plain)) return bulkhead_acquire_slow(bulkhead, weight, permit);
    const struct bulkhead_config *config = bulkhead->config;
    if (config->cells == 0) return bulkhead_acquire_single(bulkhead, weight, permit);
    return bulkhead_acquire_sharded(bulkhead, weight, permit);
}

static COLD void bulkhead_look(struct weir_policy *bulkhead)
{
    uint64_t now_ns = bulkhead_now(bulkhead->state);
    if (bulkhead_pump(bulkhead->config, bulkhead->state, now_ns)) policy_post(bulkhead);
}

static COLD void bulkhead_release_slow(struct weir_policy *bulkhead, struct weir_permit *permit)
{
    static const char function[] = "weir_bulkhead_release";
    policy_require(bulkhead, POLICY_BULKHEAD, function);
    if (!unstamp(bulkhead, permit, function)) return;
    if (bulkhead_give(bulkhead->config, bulkhead->state, permit->slot.word[0])) bulkhead_look(bulkhead);
}

void weir_bulkhead_release(struct weir_policy *bulkhead, struct weir_permit *permit)
{
    bool own = permit != NULL && is_own(bulkhead, POLICY_BULKHEAD, permit);
    if (unlikely(!own)) {
        bulkhead_release_slow(bulkhead, permit);
        return;
    }
    bool look = bulkhead_give(bulkhead->config, bulkhead->state, permit->slot.word[0]);
    permit->owner = 0;
    if (unlikely(look)) bulkhead_look(bulkhead);
}

/* ---- rate ---- */

struct weir_outcome weir_rate_acquire(struct weir_policy *rate, uint32_t cost)
{
    if (rate_acquire_credit(rate, cost)) return passed();
    const struct rate_config *config = rate->config;
    return rate_acquire(rate, cost, os_now((enum weir_timing)config->timing));
}
