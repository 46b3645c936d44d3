#include "policy/hooks.h"

#include "policy/fallback.h"

#include <weir/retry.h>

#include <pthread.h>

#define START (1000 * WEIR_S)
#define POSITION 1

static const struct weir_outcome ok = { .status = WEIR_OK };
static const struct weir_outcome failed = { .status = WEIR_FAILED, .code = 5, .flags = WEIR_NOT_SENT };
static const struct weir_outcome refused = { .status = WEIR_REJECTED,
    .reason = WEIR_REASON_BREAKER_OPEN,
    .by = POSITION + 2,
    .retry_after_ns = 5 * WEIR_S };

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return ok;
}

static struct weir_policy *create(const struct weir_fallback_config *config)
{
    struct weir_policy *fallback = NULL;
    CHECK_EQ(weir_fallback_create(config, &fallback), WEIR_E_NONE);
    return fallback;
}

#define FALLBACK(...) create(WEIR_CONFIG(weir_fallback_config, __VA_ARGS__))
#define VALUE(text) .value = (text), .value_size = sizeof(text)

/* A call that is in, with a place for its result. */
static struct weir_call begin(const struct weir_policy *fallback, void *value, uint64_t now_ns)
{
    struct weir_call call = hooks_call(POSITION);
    call.attempt.value = value;
    CHECK_EQ(hooks_admit(fallback, &call, now_ns).kind, WEIR_PASS);
    return call;
}

/* What a call whose inside ended so is answered; *outcome becomes the answer. */
static struct weir_verdict end(
    const struct weir_policy *fallback, void *value, struct weir_outcome *outcome, uint64_t now_ns)
{
    struct weir_call call = begin(fallback, value, now_ns);
    return hooks_settle(fallback, &call, outcome, now_ns);
}

static enum weir_verdict_kind kind(const struct weir_policy *fallback, struct weir_outcome outcome)
{
    return (enum weir_verdict_kind)end(fallback, NULL, &outcome, START).kind;
}

/* ---- what it answers ---- */

TEST(fallback, answers_its_value_and_shows_what_it_hides)
{
    struct weir_policy *fallback = FALLBACK(VALUE("plan b"));
    char value[8] = "";
    struct weir_outcome outcome = refused;
    struct weir_verdict verdict = end(fallback, value, &outcome, START);
    CHECK_EQ(verdict.kind, WEIR_ANSWER);
    CHECK_EQ(verdict.flags, WEIR_VERDICT_EVENT);
    CHECK_EQ(verdict.event, WEIR_EVENT_FELL_BACK);
    CHECK_STR(value, "plan b");
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(outcome.by, POSITION + 1);
    CHECK_EQ(outcome.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(outcome.retry_after_ns, 5 * WEIR_S);
    outcome = failed;
    outcome.flags |= WEIR_SHADOW;
    CHECK_EQ(end(fallback, NULL, &outcome, START).kind, WEIR_ANSWER);
    CHECK_EQ(outcome.code, 5);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED | WEIR_SHADOW);
    struct weir_fallback_stats stats = weir_fallback_stats(fallback);
    CHECK_EQ(stats.by_value, 2);
    CHECK_EQ(stats.hidden[WEIR_REJECTED], 1);
    CHECK_EQ(stats.hidden[WEIR_FAILED], 1);
    CHECK_EQ(stats.hidden[WEIR_OK], 0);
    weir_policy_release(fallback);
}

TEST(fallback, with_nothing_given_it_answers_a_bare_ok)
{
    struct weir_policy *fallback = create(NULL);
    char value[4] = "old";
    struct weir_outcome outcome = failed;
    CHECK_EQ(end(fallback, value, &outcome, START).kind, WEIR_ANSWER);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_STR(value, "old");
    weir_policy_release(fallback);
}

TEST(fallback, hides_what_it_is_asked_to_and_nothing_from_outside)
{
    struct weir_policy *fallback = create(NULL), *only_failed = FALLBACK(.on = WEIR_ON(WEIR_FAILED));
    const struct {
        struct weir_outcome outcome;
        enum weir_verdict_kind by_default, by_failed;
    } rows[] = {
        { { .status = WEIR_OK }, WEIR_PASS, WEIR_PASS },
        { { .status = WEIR_FAILED }, WEIR_ANSWER, WEIR_ANSWER },
        { { .status = WEIR_OVERLOADED }, WEIR_ANSWER, WEIR_PASS },
        { { .status = WEIR_CANCELED, .reason = WEIR_REASON_CANCELED }, WEIR_PASS, WEIR_PASS },
        { { .status = WEIR_IGNORED }, WEIR_PASS, WEIR_PASS },
        { { .status = WEIR_REJECTED, .by = POSITION + 2 }, WEIR_ANSWER, WEIR_PASS },
        { { .status = WEIR_REJECTED, .by = POSITION }, WEIR_PASS, WEIR_PASS },
        { { .status = WEIR_EXPIRED, .by = POSITION + 2 }, WEIR_ANSWER, WEIR_PASS },
        { { .status = WEIR_EXPIRED, .by = POSITION + 1 }, WEIR_ANSWER, WEIR_PASS }, /* its own reserve */
        { { .status = WEIR_EXPIRED, .by = POSITION }, WEIR_PASS, WEIR_PASS },
        { { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE }, WEIR_PASS, WEIR_PASS },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_EQ(kind(fallback, rows[i].outcome), rows[i].by_default);
        CHECK_EQ(kind(only_failed, rows[i].outcome), rows[i].by_failed);
    }
    weir_policy_release(fallback);
    weir_policy_release(only_failed);
}

TEST(fallback, an_operators_refusal_may_pass_by)
{
    const struct weir_outcome forced = {
        .status = WEIR_REJECTED, .reason = WEIR_REASON_FORCED, .by = POSITION + 2
    };
    struct weir_policy *fallback = FALLBACK(.not_when_forced = true), *all = create(NULL);
    CHECK_EQ(kind(fallback, forced), WEIR_PASS);
    CHECK_EQ(kind(fallback, refused), WEIR_ANSWER);
    CHECK_EQ(kind(all, forced), WEIR_ANSWER);
    weir_policy_release(fallback);
    weir_policy_release(all);
}

TEST(fallback, nothing_is_answered_once_the_call_is_ending)
{
    struct weir_policy *fallback = FALLBACK(VALUE("b"), .function = light);
    struct weir_outcome outcome = failed;
    struct weir_call call = begin(fallback, NULL, START);
    call.flags |= CALL_ENDING;
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_PASS);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    call = begin(fallback, NULL, START);
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_FALL_BACK);
    call.flags |= CALL_ENDING; /* canceled while the function runs */
    outcome = (struct weir_outcome) { .status = WEIR_CANCELED };
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_PASS);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK_EQ(weir_fallback_stats(fallback).function_failed, 0);
    weir_policy_release(fallback);
}

/* ---- the function ---- */

static enum weir_verdict_kind run_function(const struct weir_policy *fallback, struct weir_outcome inside,
    struct weir_outcome function, struct weir_outcome *answer, uint64_t now_ns)
{
    struct weir_call call = begin(fallback, NULL, now_ns);
    *answer = inside;
    struct weir_verdict verdict = hooks_settle(fallback, &call, answer, now_ns);
    if (verdict.kind != WEIR_FALL_BACK) return (enum weir_verdict_kind)verdict.kind;
    *answer = function;
    return (enum weir_verdict_kind)hooks_settle(fallback, &call, answer, now_ns).kind;
}

TEST(fallback, the_functions_answer_bears_what_it_hides)
{
    struct weir_policy *fallback = FALLBACK(.function = light);
    struct weir_outcome answer;
    CHECK(fallback->auxiliary == (void *)light);
    CHECK_EQ(run_function(fallback, refused, ok, &answer, START), WEIR_ANSWER);
    CHECK_EQ(answer.status, WEIR_OK);
    CHECK_EQ(answer.flags, WEIR_DEGRADED);
    CHECK_EQ(answer.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(answer.by, POSITION + 1);
    CHECK_EQ(weir_fallback_stats(fallback).by_function, 1);
    CHECK_EQ(weir_fallback_stats(fallback).hidden[WEIR_REJECTED], 1);
    weir_policy_release(fallback);
}

TEST(fallback, a_function_that_fails_hands_on_what_it_could_not_hide)
{
    struct weir_policy *fallback = FALLBACK(.function = light);
    struct weir_outcome answer;
    CHECK_EQ(run_function(fallback, refused, failed, &answer, START), WEIR_ANSWER);
    CHECK(memcmp(&answer, &refused, sizeof refused) == 0);
    struct weir_fallback_stats stats = weir_fallback_stats(fallback);
    CHECK_EQ(stats.function_failed, 1);
    CHECK_EQ(stats.by_function, 0);
    CHECK_EQ(stats.hidden[WEIR_REJECTED], 0);
    weir_policy_release(fallback);
}

TEST(fallback, a_function_that_fails_leaves_it_to_the_value)
{
    struct weir_policy *fallback = FALLBACK(.function = light, VALUE("b"));
    struct weir_outcome answer;
    CHECK_EQ(run_function(fallback, refused, failed, &answer, START), WEIR_ANSWER);
    CHECK_EQ(answer.status, WEIR_OK);
    CHECK_EQ(answer.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(weir_fallback_stats(fallback).by_value, 1);
    weir_policy_release(fallback);
}

TEST(fallback, a_function_that_failed_rests_until_the_refusals_retry_after)
{
    struct weir_policy *fallback = FALLBACK(.function = light, VALUE("b"), .rest_after_failure = true);
    struct weir_outcome answer;
    run_function(fallback, refused, failed, &answer, START);
    struct weir_call call = begin(fallback, NULL, START);
    answer = refused;
    CHECK_EQ(hooks_settle(fallback, &call, &answer, START + 5 * WEIR_S - 1).kind, WEIR_ANSWER);
    CHECK_EQ(weir_fallback_stats(fallback).resting, 1);
    answer = refused;
    CHECK_EQ(hooks_settle(fallback, &call, &answer, START + 5 * WEIR_S).kind, WEIR_FALL_BACK);
    weir_policy_release(fallback);
}

TEST(fallback, no_function_starts_at_or_past_the_deadline)
{
    struct weir_policy *fallback = FALLBACK(.function = light, VALUE("b"));
    struct weir_call call = hooks_call(POSITION);
    struct weir_outcome outcome = failed;
    call.attempt.deadline_ns = START + 10;
    CHECK_EQ(hooks_admit(fallback, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START + 10).kind, WEIR_ANSWER);
    CHECK_EQ(weir_fallback_stats(fallback).by_value, 1);
    outcome = failed;
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START + 9).kind, WEIR_FALL_BACK);
    weir_policy_release(fallback);
}

TEST(fallback, reserve_ends_the_inside_earlier_and_is_given_back)
{
    struct weir_policy *fallback = FALLBACK(.function = light, .reserve_ns = 10 * WEIR_MS);
    const uint64_t outside_ns[] = { START + WEIR_S, START + 4 * WEIR_MS, START - 1, WEIR_NEVER };
    const uint64_t inside_ns[] = { START + 990 * WEIR_MS, START, START, WEIR_NEVER };
    for (int i = 0; i < 4; i++) {
        struct weir_call call = hooks_call(POSITION);
        struct weir_outcome outcome = { .status = WEIR_EXPIRED, .by = POSITION + 1 };
        call.attempt.deadline_ns = outside_ns[i];
        call.deadline_by = 9;
        CHECK_EQ(hooks_admit(fallback, &call, START).kind, WEIR_PASS);
        CHECK_EQ(call.attempt.deadline_ns, inside_ns[i]);
        CHECK_EQ(call.deadline_by, outside_ns[i] == WEIR_NEVER ? 9 : POSITION + 1);
        hooks_settle(fallback, &call, &outcome, START);
        CHECK_EQ(call.attempt.deadline_ns, outside_ns[i]);
        CHECK_EQ(call.deadline_by, 9);
    }
    weir_policy_release(fallback);
}

/* ---- the last good answer ---- */

TEST(fallback, answers_the_last_good_within_its_age)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .age_max_ns = WEIR_S, .value_size = 11);
    char value[11] = "0123456789", answer[11] = "";
    struct weir_outcome outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START).kind, WEIR_ANSWER); /* there is none yet */
    CHECK_EQ(outcome.status, WEIR_FAILED);
    outcome = ok;
    CHECK_EQ(end(fallback, value, &outcome, START).kind, WEIR_PASS);
    outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START + WEIR_S).kind, WEIR_ANSWER);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_STR(answer, "0123456789");
    outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START + WEIR_S + 1).kind, WEIR_ANSWER);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    struct weir_fallback_stats stats = weir_fallback_stats(fallback);
    CHECK_EQ(stats.by_last_good, 1);
    CHECK_EQ(stats.too_old, 1);
    weir_policy_release(fallback);
}

TEST(fallback, an_old_last_good_leaves_it_to_the_value)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .age_max_ns = WEIR_S, VALUE("default"));
    char value[8] = "0123456", answer[8] = "";
    struct weir_outcome outcome = ok;
    end(fallback, value, &outcome, START);
    outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START + 2 * WEIR_S).kind, WEIR_ANSWER);
    CHECK_STR(answer, "default");
    CHECK_EQ(weir_fallback_stats(fallback).by_value, 1);
    weir_policy_release(fallback);
}

TEST(fallback, only_fresh_answers_are_kept)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .value_size = 4);
    char good[4] = "ok!", other[4] = "bad", answer[4] = "";
    struct weir_outcome outcome = ok;
    end(fallback, good, &outcome, START);
    outcome.flags = WEIR_DEGRADED; /* by a fallback inside */
    end(fallback, other, &outcome, START);
    outcome = ok;
    end(fallback, NULL, &outcome, START); /* nobody asked for the result */
    outcome = failed;
    end(fallback, answer, &outcome, START);
    CHECK_STR(answer, "ok!");
    weir_policy_release(fallback);
}

TEST(fallback, without_a_result_the_last_good_is_that_it_was_good)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .age_max_ns = WEIR_S);
    struct weir_outcome outcome = ok;
    end(fallback, NULL, &outcome, START);
    outcome = failed;
    end(fallback, NULL, &outcome, START + WEIR_S);
    CHECK_EQ(outcome.status, WEIR_OK);
    outcome = failed;
    end(fallback, NULL, &outcome, START + WEIR_S + 1);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    weir_policy_release(fallback);
}

/* By the fast lists admit was not called: what stands in the slot is of another call. */
TEST(fallback, fast_calls_are_kept_without_a_slot)
{
    struct weir_policy *fallback =
        FALLBACK(.last_good = true, .value_size = 4, .function = light, .reserve_ns = WEIR_MS);
    CHECK_EQ(fallback->flags, WEIR_POLICY_QUIET_ADMIT);
    char good[4] = "ok!", answer[4] = "";
    struct weir_call call = hooks_call(POSITION);
    struct weir_outcome outcome = ok;
    memset(&call.slot, 0xa5, sizeof call.slot);
    call.flags = 0;
    call.attempt.value = good;
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, WEIR_NEVER);
    CHECK_EQ(outcome.flags, 0);
    CHECK_EQ(run_function(fallback, failed, failed, &outcome, START), WEIR_ANSWER);
    CHECK_EQ(weir_fallback_stats(fallback).by_last_good, 1);
    outcome = failed;
    call = begin(fallback, answer, START);
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_FALL_BACK);
    outcome = failed;
    CHECK_EQ(hooks_settle(fallback, &call, &outcome, START).kind, WEIR_ANSWER);
    CHECK_STR(answer, "ok!");
    weir_policy_release(fallback);
}

TEST(fallback, a_writer_that_meets_another_does_not_write)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .value_size = 4);
    struct fallback_state *state = fallback->state;
    char good[4] = "ok!", other[4] = "new", answer[4] = "";
    struct weir_outcome outcome = ok;
    end(fallback, good, &outcome, START);
    state->sequence |= 1;
    end(fallback, other, &outcome, START);
    outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START).kind, WEIR_ANSWER); /* the reader gives up */
    CHECK_EQ(outcome.status, WEIR_FAILED);
    state->sequence--;
    end(fallback, answer, &outcome, START);
    CHECK_STR(answer, "ok!");
    weir_policy_release(fallback);
}

TEST(fallback, a_child_whose_parent_was_writing_keeps_answers_again)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .value_size = 4);
    struct fallback_state *state = fallback->state;
    char good[4] = "ok!", other[4] = "new", answer[4] = "";
    struct weir_outcome outcome = ok;
    end(fallback, good, &outcome, START);
    fallback->ops->forked(fallback->config, state); /* nobody was: what was kept stays */
    outcome = failed;
    end(fallback, answer, &outcome, START);
    CHECK_STR(answer, "ok!");
    state->sequence |= 1;
    fallback->ops->forked(fallback->config, state); /* what was half written is nothing */
    outcome = failed;
    end(fallback, answer, &outcome, START);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    outcome = ok;
    end(fallback, other, &outcome, START);
    outcome = failed;
    end(fallback, answer, &outcome, START);
    CHECK_STR(answer, "new");
    weir_policy_release(fallback);
}

#define WORDS 256

static void *write_and_read(void *argument)
{
    struct weir_policy *fallback = argument;
    uint64_t value[WORDS];
    for (uint64_t i = 0; i < 20000; i++) {
        struct weir_outcome outcome = i % 2 == 0 ? ok : failed;
        for (int word = 0; word < WORDS; word++) value[word] = i + (uint64_t)(uintptr_t)&value;
        end(fallback, value, &outcome, START);
        if (outcome.status != WEIR_OK) continue; /* others wrote all the time: no answer */
        for (int word = 1; word < WORDS; word++) CHECK_EQ(value[word], value[0]);
    }
    return NULL;
}

TEST(fallback, snapshots_are_never_torn)
{
    struct weir_policy *fallback = FALLBACK(.last_good = true, .value_size = WORDS * sizeof(uint64_t));
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&thread[i], NULL, write_and_read, fallback), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK(weir_fallback_stats(fallback).by_last_good > 0);
    weir_policy_release(fallback);
}

/* ---- config ---- */

TEST(fallback, bad_configs_are_refused)
{
    struct weir_policy *fallback = NULL;
    static const char big[WEIR_RESULT_MAX + 1];
#define REFUSED(field, text, ...) \
    CHECK_REFUSED(                \
        weir_fallback_create(WEIR_CONFIG(weir_fallback_config, __VA_ARGS__), &fallback), field, text)
    REFUSED("weir_fallback_config.value_size is 4097", "expected 0..4096", VALUE(big));
    REFUSED("value_size is 0", "expected the size of value", .value = big);
    REFUSED("age_max_ns is 999", "expected 1000..", .age_max_ns = 999);
    REFUSED("age_max_ns is 18446744073709551615", "expected", .age_max_ns = WEIR_OFF);
    REFUSED("reserve_ns is 999", "expected 1000..86400000000000", .function = light, .reserve_ns = 999);
    REFUSED("reserve_ns is 1000000", "expected 0 without a function", .reserve_ns = WEIR_MS);
    REFUSED("on is 0x10,", "expected WEIR_ON() bits", .on = WEIR_ON(WEIR_CANCELED));
    REFUSED("on is 0x1,", "expected WEIR_ON() bits", .on = WEIR_ON(WEIR_OK));
    REFUSED("name is empty", "expected 1..63 bytes", .name = "");
    struct weir_fallback_config unknown = { .size = 3 };
    CHECK_EQ(weir_fallback_create(&unknown, &fallback), WEIR_E_SIZE);
    CHECK_ABORTS((void)!weir_fallback_create(NULL, NULL), "weir_fallback_create: fallback is NULL");
    CHECK_ABORTS(weir_fallback_stats(NULL), "weir_fallback_stats: policy is NULL");
}

TEST(fallback, the_largest_value_is_kept_whole)
{
    static char big[WEIR_RESULT_MAX], answer[WEIR_RESULT_MAX];
    memset(big, 'x', sizeof big);
    struct weir_policy *fallback = FALLBACK(VALUE(big), .last_good = true);
    struct weir_outcome outcome = failed;
    CHECK_EQ(end(fallback, answer, &outcome, START).kind, WEIR_ANSWER);
    CHECK(memcmp(answer, big, sizeof big) == 0);
    memset(big, 'y', sizeof big);
    outcome = ok;
    end(fallback, big, &outcome, START);
    outcome = failed;
    end(fallback, answer, &outcome, START);
    CHECK(memcmp(answer, big, sizeof big) == 0);
    weir_policy_release(fallback);
}

TEST(fallback, defaults_and_description)
{
    char text[160];
    struct weir_policy *fallback = create(NULL);
    CHECK_EQ(fallback->flags, WEIR_POLICY_QUIET_ADMIT | WEIR_POLICY_QUIET_SETTLE);
    CHECK_STR(weir_policy_name(fallback), "fallback");
    CHECK_STR(hooks_describe(fallback, text, sizeof text), "a bare OK");
    weir_policy_release(fallback);
    fallback = FALLBACK(.function = light, .last_good = true, VALUE("b"));
    CHECK_STR(
        hooks_describe(fallback, text, sizeof text), "function, last good answer of at most 60 s, value");
    weir_policy_release(fallback);
    fallback = FALLBACK(.last_good = true, .age_max_ns = 1500 * WEIR_US);
    CHECK_STR(hooks_describe(fallback, text, sizeof text),
        "last good answer of at most 1500 us, the outcome as it is");
    weir_policy_release(fallback);
    fallback = FALLBACK(.function = light);
    CHECK_STR(hooks_describe(fallback, text, sizeof text), "function, the outcome as it is");
    weir_policy_release(fallback);
}
