#include "policy/hooks.h"

#include "base/arithmetic.h"
#include "policy/budget.h"

#include <weir/retry.h>

#define START (1000 * WEIR_S)
#define POSITION 2

static const struct weir_outcome ok = { .status = WEIR_OK };
static const struct weir_outcome failed = { .status = WEIR_FAILED, .code = 5 };
static const struct weir_outcome refused = {
    .status = WEIR_REJECTED, .reason = WEIR_REASON_BREAKER_OPEN, .by = POSITION + 2
};

static struct weir_policy *create(const struct weir_retry_config *config)
{
    struct weir_policy *retry = NULL;
    CHECK_EQ(weir_retry_create(config, &retry), WEIR_E_NONE);
    return retry;
}

#define RETRY(...) create(WEIR_CONFIG(weir_retry_config, __VA_ARGS__))
#define STEADY .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 10 * WEIR_MS

static struct weir_call begin(const struct weir_policy *retry)
{
    struct weir_call call = hooks_call(POSITION);
    call.flags |= CALL_IDEMPOTENT;
    call.budget = retry->auxiliary;
    CHECK_EQ(hooks_admit(retry, &call, START).kind, WEIR_PASS);
    return call;
}

static struct weir_verdict settle(
    const struct weir_policy *retry, struct weir_call *call, struct weir_outcome outcome, uint64_t now_ns)
{
    return hooks_settle(retry, call, &outcome, now_ns);
}

/* An attempt runs and ends. */
static struct weir_verdict attempt(
    const struct weir_policy *retry, struct weir_call *call, struct weir_outcome outcome, uint64_t now_ns)
{
    call->attempt.number++;
    return settle(retry, call, outcome, now_ns);
}

/* What a lone attempt that ends so leads to; its reason must be what was counted. */
static struct weir_retry_stats one(struct weir_outcome outcome, uint8_t flags, uint32_t on, int kind)
{
    struct weir_policy *retry = RETRY(STEADY, .on = on);
    struct weir_call call = begin(retry);
    call.flags = (uint8_t)(CALL_SLOW | flags);
    CHECK_EQ(attempt(retry, &call, outcome, START).kind, kind);
    struct weir_retry_stats stats = weir_retry_stats(retry);
    weir_policy_release(retry);
    return stats;
}

TEST(retry, runs_attempts_in_all_and_no_more)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 3);
    struct weir_call call = begin(retry);
    struct weir_verdict verdict = attempt(retry, &call, failed, START);
    CHECK_EQ(verdict.kind, WEIR_AGAIN);
    CHECK_EQ(verdict.at_ns, START + 10 * WEIR_MS);
    CHECK_EQ(verdict.flags, WEIR_VERDICT_EVENT);
    CHECK_EQ(verdict.event, WEIR_EVENT_RETRIED);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_PASS);
    struct weir_retry_stats stats = weir_retry_stats(retry);
    CHECK_EQ(stats.retried, 2);
    CHECK_EQ(stats.exhausted, 1);
    CHECK_EQ(stats.recovered, 0);
    weir_policy_release(retry);
}

TEST(retry, counts_its_own_attempts_when_nested)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 2);
    struct weir_call call = begin(retry);
    call.attempt.number = 50; /* those of an outer retry */
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_admit(retry, &call, START).kind, WEIR_PASS); /* the outer one goes round */
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    weir_policy_release(retry);
}

TEST(retry, no_call_makes_more_attempts_than_the_library_allows)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9);
    struct weir_call call = begin(retry);
    call.attempt.number = WEIR_ATTEMPTS_MAX - 2; /* those of an outer retry */
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_PASS);
    CHECK_EQ(weir_retry_stats(retry).exhausted, 1);
    weir_policy_release(retry);
}

TEST(retry, recovery_is_counted)
{
    struct weir_policy *retry = RETRY(STEADY);
    struct weir_call call = begin(retry);
    CHECK_EQ(attempt(retry, &call, ok, START).kind, WEIR_PASS);
    CHECK_EQ(weir_retry_stats(retry).recovered, 0);
    call = begin(retry);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(attempt(retry, &call, ok, START).kind, WEIR_PASS);
    CHECK_EQ(weir_retry_stats(retry).recovered, 1);
    weir_policy_release(retry);
}

TEST(retry, every_retry_not_made_has_a_reason)
{
    const struct weir_outcome not_sent = { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT };
    const struct weir_outcome overloaded = { .status = WEIR_OVERLOADED };
    const struct weir_outcome used_up = { .status = WEIR_FAILED,
        .flags = WEIR_NOT_SENT | WEIR_NOT_REPEATABLE };
    const struct weir_outcome inside = { .status = WEIR_EXPIRED, .by = POSITION + 2 };
    const struct weir_outcome outside = { .status = WEIR_EXPIRED, .by = POSITION };
    const struct weir_outcome deadline = { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE };
    const struct weir_outcome canceled = { .status = WEIR_CANCELED };
    const struct weir_outcome ignored = { .status = WEIR_IGNORED };

    CHECK_EQ(one(failed, 0, 0, WEIR_PASS).not_idempotent, 1);
    CHECK_EQ(one(not_sent, 0, 0, WEIR_AGAIN).retried, 1);
    CHECK_EQ(one(overloaded, 0, 0, WEIR_AGAIN).retried, 1);
    CHECK_EQ(one(used_up, CALL_IDEMPOTENT, 0, WEIR_PASS).not_repeatable, 1);
    CHECK_EQ(one(inside, 0, 0, WEIR_PASS).not_idempotent, 1);
    CHECK_EQ(one(inside, CALL_IDEMPOTENT, 0, WEIR_AGAIN).retried, 1);
    CHECK_EQ(one(outside, CALL_IDEMPOTENT, 0, WEIR_PASS).no_time, 1);
    CHECK_EQ(one(deadline, CALL_IDEMPOTENT, 0, WEIR_PASS).no_time, 1);
    CHECK_EQ(one(refused, 0, 0, WEIR_PASS).not_wanted, 1);
    CHECK_EQ(one(refused, 0, WEIR_ON(WEIR_REJECTED), WEIR_AGAIN).retried, 1);
    CHECK_EQ(one(failed, CALL_IDEMPOTENT, WEIR_ON(WEIR_EXPIRED), WEIR_PASS).not_wanted, 1);
    /* Nothing to try again for. */
    const struct weir_retry_stats none = { 0 };
    const struct weir_retry_stats after[] = {
        one(canceled, CALL_IDEMPOTENT, 0, WEIR_PASS),
        one(ignored, CALL_IDEMPOTENT, 0, WEIR_PASS),
        one(failed, CALL_IDEMPOTENT | CALL_ENDING, 0, WEIR_PASS),
    };
    for (int i = 0; i < 3; i++) CHECK(memcmp(&after[i], &none, sizeof none) == 0);
}

TEST(retry, nothing_is_scheduled_at_or_past_the_deadline)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9);
    struct weir_call call = begin(retry);
    call.attempt.deadline_ns = START + 10 * WEIR_MS;
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_PASS);
    call.attempt.deadline_ns++;
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(weir_retry_stats(retry).no_time, 1);
    weir_policy_release(retry);
}

TEST(retry, nothing_starts_that_typically_takes_longer_than_what_is_left)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9);
    struct weir_call call = begin(retry);
    call.typical_ns = 5 * WEIR_MS;
    call.attempt.deadline_ns = START + 15 * WEIR_MS - 1;
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_PASS);
    call.attempt.deadline_ns++;
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(weir_retry_stats(retry).no_time, 1);
    weir_policy_release(retry);
}

TEST(retry, the_callees_retry_after_is_honoured_within_the_deadline)
{
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9);
    struct weir_call call = begin(retry);
    struct weir_outcome overloaded = { .status = WEIR_OVERLOADED, .retry_after_ns = WEIR_S };
    CHECK_EQ(attempt(retry, &call, overloaded, START).at_ns, START + WEIR_S);
    overloaded.retry_after_ns = WEIR_MS;
    CHECK_EQ(attempt(retry, &call, overloaded, START).at_ns, START + 10 * WEIR_MS);
    overloaded.retry_after_ns = WEIR_NEVER;
    CHECK_EQ(attempt(retry, &call, overloaded, START).kind, WEIR_PASS);
    call.attempt.deadline_ns = START + WEIR_S;
    overloaded.retry_after_ns = WEIR_S;
    CHECK_EQ(attempt(retry, &call, overloaded, START).kind, WEIR_PASS);
    CHECK_EQ(weir_retry_stats(retry).no_time, 2);
    weir_policy_release(retry);
}

/* ---- the budget ---- */

static struct weir_budget *small_budget(void)
{
    struct weir_budget *budget = NULL;
    CHECK_EQ(weir_budget_create(WEIR_CONFIG(weir_budget_config, .floor_per_s = 1), &budget), WEIR_E_NONE);
    return budget; /* 10 tokens */
}

TEST(retry, policies_share_a_budget_and_keep_it)
{
    struct weir_budget *budget = small_budget();
    struct weir_policy *first = RETRY(STEADY, .attempts = 9, .budget = budget);
    struct weir_policy *second = RETRY(STEADY, .attempts = 9, .budget = budget);
    weir_budget_release(budget);
    struct weir_call call = begin(first), other = begin(second);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(attempt(first, &call, failed, START).kind, WEIR_AGAIN);
        CHECK_EQ(attempt(second, &other, failed, START).kind, WEIR_AGAIN);
    }
    CHECK_EQ(attempt(first, &call, failed, START).kind, WEIR_PASS);
    CHECK_EQ(weir_retry_stats(first).no_budget, 1);
    CHECK_EQ(weir_budget_stats(budget, START).tokens, 0);
    weir_policy_release(first);
    CHECK_EQ(weir_budget_stats(budget, START).charged, 10);
    weir_policy_release(second);
}

TEST(retry, a_retry_that_never_ran_is_refunded_once)
{
    struct weir_budget *budget = small_budget();
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9, .budget = budget);
    struct weir_call call = begin(retry);
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    CHECK_EQ(weir_budget_stats(budget, START).tokens, 9);
    CHECK_EQ(settle(retry, &call, refused, START).kind, WEIR_PASS); /* by a breaker inside */
    CHECK_EQ(weir_budget_stats(budget, START).tokens, 10);
    CHECK_EQ(settle(retry, &call, refused, START).kind, WEIR_PASS);
    CHECK_EQ(weir_budget_stats(budget, START).refunded, 1);
    weir_policy_release(retry);
    weir_budget_release(budget);
}

TEST(retry, a_cancel_while_it_backs_off_refunds)
{
    struct weir_budget *budget = small_budget();
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9, .budget = budget);
    struct weir_call call = begin(retry);
    const struct weir_outcome canceled = { .status = WEIR_CANCELED };
    CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
    call.flags |= CALL_ENDING;
    CHECK_EQ(settle(retry, &call, canceled, START).kind, WEIR_PASS);
    CHECK_EQ(weir_budget_stats(budget, START).tokens, 10);
    weir_policy_release(retry);
    weir_budget_release(budget);
}

TEST(retry, a_retry_that_ran_is_spent_however_it_ended)
{
    struct weir_budget *budget = small_budget();
    struct weir_policy *retry = RETRY(STEADY, .attempts = 9, .budget = budget);
    const struct weir_outcome outcomes[] = { ok, refused, { .status = WEIR_CANCELED } };
    for (int i = 0; i < 3; i++) {
        struct weir_call call = begin(retry);
        CHECK_EQ(attempt(retry, &call, failed, START).kind, WEIR_AGAIN);
        attempt(retry, &call, outcomes[i], START);
    }
    CHECK_EQ(weir_budget_stats(budget, START).tokens, 7);
    CHECK_EQ(weir_budget_stats(budget, START).refunded, 0);
    weir_policy_release(retry);
    weir_budget_release(budget);
}

/* ---- delays ---- */

static uint64_t delay(struct weir_policy *retry, struct weir_call *call)
{
    budget_deposit(call->budget, 1000, START);
    struct weir_verdict verdict = attempt(retry, call, failed, START);
    CHECK_EQ(verdict.kind, WEIR_AGAIN);
    return verdict.at_ns - START;
}

TEST(retry, exponential_doubles_up_to_its_maximum)
{
    struct weir_policy *retry = RETRY(.attempts = 100, .backoff = WEIR_BACKOFF_EXPONENTIAL,
        .base_ns = WEIR_MS, .max_ns = 100 * WEIR_MS);
    struct weir_call call = begin(retry);
    const uint64_t expected_ms[] = { 1, 2, 4, 8, 16, 32, 64, 100, 100 };
    for (int i = 0; i < 9; i++) CHECK_EQ(delay(retry, &call), expected_ms[i] * WEIR_MS);
    for (int i = 9; i < 99; i++) CHECK_EQ(delay(retry, &call), 100 * WEIR_MS);
    weir_policy_release(retry);
}

TEST(retry, the_longest_maximum_does_not_overflow)
{
    struct weir_policy *retry = RETRY(.attempts = 100, .backoff = WEIR_BACKOFF_EXPONENTIAL,
        .base_ns = 3600 * WEIR_S, .max_ns = 86400 * WEIR_S);
    struct weir_call call = begin(retry);
    for (int i = 0; i < 5; i++) CHECK_EQ(delay(retry, &call), (3600 * WEIR_S) << i);
    for (int i = 5; i < 99; i++) CHECK_EQ(delay(retry, &call), 86400 * WEIR_S);
    weir_policy_release(retry);
}

TEST(retry, full_jitter_covers_zero_to_the_exponential)
{
    struct weir_policy *retry = RETRY(.attempts = 100, .base_ns = WEIR_MS, .max_ns = 8 * WEIR_MS);
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct weir_call call = begin(retry);
        call.random = seed;
        CHECK(delay(retry, &call) <= WEIR_MS);
        CHECK(delay(retry, &call) <= 2 * WEIR_MS);
        for (int i = 0; i < 10; i++) {
            uint64_t delay_ns = delay(retry, &call);
            CHECK(delay_ns <= 8 * WEIR_MS);
            lowest = time_min(lowest, delay_ns);
            highest = time_max(highest, delay_ns);
        }
    }
    CHECK(lowest < WEIR_MS / 10);
    CHECK(highest > 79 * WEIR_MS / 10);
    weir_policy_release(retry);
}

TEST(retry, decorrelated_jitter_stays_between_base_and_thrice_the_last)
{
    struct weir_policy *retry = RETRY(.attempts = 100, .backoff = WEIR_BACKOFF_DECORRELATED,
        .base_ns = WEIR_MS, .max_ns = 50 * WEIR_MS);
    uint64_t highest = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct weir_call call = begin(retry);
        call.random = seed;
        uint64_t last_ns = WEIR_MS;
        for (int i = 0; i < 99; i++) {
            uint64_t delay_ns = delay(retry, &call);
            CHECK(delay_ns >= WEIR_MS);
            CHECK(delay_ns <= time_min(3 * last_ns, 50 * WEIR_MS));
            last_ns = delay_ns;
            highest = time_max(highest, delay_ns);
        }
    }
    CHECK(highest > 49 * WEIR_MS);
    weir_policy_release(retry);
}

TEST(retry, the_same_seed_gives_the_same_delays)
{
    struct weir_policy *retry = RETRY(.attempts = 100);
    struct weir_call first = begin(retry), second = begin(retry), third = begin(retry);
    third.random = 77;
    int differ = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t delay_ns = delay(retry, &first);
        CHECK_EQ(delay(retry, &second), delay_ns);
        differ += delay(retry, &third) != delay_ns;
    }
    CHECK(differ > 10);
    weir_policy_release(retry);
}

/* ---- config ---- */

TEST(retry, bad_configs_are_refused)
{
    struct weir_policy *retry = NULL;
#define REFUSED(field, text, ...) \
    CHECK_REFUSED(weir_retry_create(WEIR_CONFIG(weir_retry_config, __VA_ARGS__), &retry), field, text)
    REFUSED("weir_retry_config.attempts is 101", "expected 1..100", .attempts = 101);
    REFUSED("backoff is 4", "weir_backoff", .backoff = (enum weir_backoff)4);
    REFUSED("base_ns is 999", "expected 1000..3600000000000", .base_ns = 999);
    REFUSED("base_ns is 18446744073709551615", "expected", .base_ns = WEIR_OFF);
    REFUSED("max_ns is 1000000", "expected 50000000..86400000000000", .max_ns = WEIR_MS);
    REFUSED("max_ns is 18446744073709551615", "expected", .max_ns = WEIR_OFF);
    REFUSED("on is 0x1,", "expected WEIR_ON()", .on = WEIR_ON(WEIR_OK));
    REFUSED("on is 0xffffffff", "expected WEIR_ON()", .on = WEIR_OFF32);
    REFUSED("name is empty", "expected 1..63 bytes", .name = "");
    struct weir_retry_config unknown = { .size = 3 };
    CHECK_EQ(weir_retry_create(&unknown, &retry), WEIR_E_SIZE);
    CHECK_ABORTS((void)!weir_retry_create(NULL, NULL), "weir_retry_create: retry is NULL");
    CHECK_ABORTS(weir_retry_stats(NULL), "weir_retry_stats: policy is NULL");
}

TEST(retry, a_refused_create_keeps_no_budget)
{
    struct weir_budget *budget = small_budget();
    struct weir_policy *retry = NULL;
    struct weir_retry_config config = { .size = sizeof config, .name = "", .budget = budget };
    CHECK_EQ(weir_retry_create(&config, &retry), WEIR_E_INVALID);
    CHECK_EQ(budget->references, 1);
    weir_budget_release(budget);
}

TEST(retry, defaults_and_description)
{
    char text[160];
    struct weir_policy *retry = create(NULL);
    CHECK_STR(hooks_describe(retry, text, sizeof text),
        "3 attempts, full jitter on a base of 50 ms, at most 2 s, only calls marked idempotent, not sent or "
        "declined");
    CHECK_EQ(retry->flags, WEIR_POLICY_QUIET_ADMIT | WEIR_POLICY_QUIET_SETTLE);
    weir_policy_release(retry);
    retry = RETRY(STEADY, .attempts = 2);
    CHECK_STR(hooks_describe(retry, text, sizeof text),
        "2 attempts, a constant back-off of 10 ms, only calls marked idempotent, not sent or declined");
    weir_policy_release(retry);
    retry = RETRY(.base_ns = 10 * WEIR_S); /* above the default maximum: that rises with it */
    weir_policy_release(retry);
}
