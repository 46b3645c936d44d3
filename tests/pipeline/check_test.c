/* The four plants of row 21 are in tests/lessons/row21.c; here is what lies beside them. */
#include "pipeline/order.h"

#include <string.h>

static struct weir_finding findings[8];

static size_t checked(struct weir_pipeline *pipeline)
{
    memset(findings, 0, sizeof findings);
    size_t count = weir_pipeline_check(pipeline, scripted_ns, findings, 8);
    for (size_t i = 0; i < count && i < 8; i++) CHECK(strlen(findings[i].text) < sizeof findings[i].text - 1);
    return count;
}

static bool found(enum weir_finding_kind kind, uint32_t position)
{
    for (size_t i = 0; i < 8; i++) {
        if (findings[i].kind == kind && findings[i].position == position && findings[i].text[0] != '\0')
            return true;
    }
    return false;
}

TEST(check, a_sound_pipeline_and_one_without_calls)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    struct weir_pipeline *pipeline = order_made();
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 500, WEIR_OK, 10 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 4, WEIR_FAILED, 10 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 500, WEIR_FAILED, 10 * WEIR_MS); /* tripped: it works */
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

TEST(check, few_calls_prove_nothing)
{
    ORDER_ADD(breaker, .name = "b");
    weir_policy_set_mode(order_parts[0], WEIR_MODE_FORCED_OPEN);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 9, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 1, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 0));
    weir_pipeline_destroy(pipeline);
}

/* Those outside the one that refuses were passed, those inside were not; a fallback hides it all. */
TEST(check, never_passed_behind_a_wall)
{
    ORDER_ADD(fallback, .name = "f");
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "wall");
    ORDER_ADD(bulkhead, .name = "inside");
    weir_policy_set_mode(order_parts[2], WEIR_MODE_FORCED_OPEN);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 2);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 2));
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 3));
    CHECK_STR(findings[0].text,
        "breaker \"wall\" let none of 20 calls pass: look at its mode, its limit and what it "
        "refuses for");
    CHECK_STR(findings[1].text,
        "none of 20 calls came to bulkhead \"inside\": breaker \"wall\", outside it, let none "
        "pass");
    weir_pipeline_destroy(pipeline);
}

TEST(check, never_passed_because_the_callers_had_no_time_left)
{
    ORDER_ADD(breaker, .name = "b");
    struct weir_pipeline *pipeline = order_made();
    struct weir_context context;
    weir_context_child(&context, NULL, scripted_ns, NULL);
    struct script script = { .outcome = outcome_of(WEIR_OK, 0) };
    for (int i = 0; i < 10; i++) {
        (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .context = &context), scripted, &script);
    }
    CHECK_EQ(checked(pipeline), 1);
    CHECK_STR(findings[0].text,
        "none of 10 calls came to breaker \"b\": their contexts were over, or the pipeline was "
        "drained");
    weir_pipeline_destroy(pipeline);
}

/* Who waits may still pass. */
TEST(check, calls_that_wait_prove_nothing_yet)
{
    struct weir_call call[10];
    ORDER_ADD(bulkhead, .limit = 1, .queue = 10);
    struct weir_policy *bulkhead = order_parts[0];
    struct weir_pipeline *pipeline = order_made();
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weir_call_begin(&call[i], pipeline, NULL, scripted_ns).action, WEIR_WAIT);
    }
    CHECK_EQ(checked(pipeline), 0);
    for (int i = 0; i < 10; i++) CHECK_EQ(weir_call_cancel(&call[i], scripted_ns).action, WEIR_DONE);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 0));
    weir_bulkhead_release(bulkhead, &taken);
    weir_pipeline_destroy(pipeline);
}

TEST(check, disabled)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    weir_policy_set_mode(order_parts[1], WEIR_MODE_DISABLED);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 30, WEIR_FAILED, 0); /* it counts none, but that is said already */
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 1));
    weir_policy_set_mode(weir_pipeline_policy(pipeline, 1), WEIR_MODE_ON);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_FAILS, 1));
    weir_pipeline_destroy(pipeline);
}

/* A chaos protects nothing: off it may be. */
TEST(check, a_disabled_chaos_is_no_finding)
{
    ORDER_ADD(chaos, .error_ppm = 1);
    weir_policy_set_mode(order_parts[0], WEIR_MODE_DISABLED);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

/* What it skips counts as an attempt: nobody says that no call has passed. */
TEST(check, a_chaos_that_hits_every_call_is_no_wall)
{
    ORDER_ADD(chaos, .error_ppm = 1000000);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

TEST(check, never_fails_behind_a_fallback_that_hides)
{
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(fallback, .name = "f");
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 9, WEIR_FAILED, 0);
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 1, WEIR_FAILED, 0);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_FAILS, 0));
    weir_pipeline_destroy(pipeline);
}

TEST(check, overloaded_answers_may_be_what_opens_it)
{
    ORDER_ADD(breaker, .name = "b");
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OVERLOADED, 0);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_FAILS, 0));
    weir_pipeline_destroy(pipeline);
    ORDER_ADD(breaker, .overload_open_ns_max = WEIR_S);
    pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OVERLOADED, 0);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

/* Callers who leave are no failures that a breaker misses. */
TEST(check, cancels_are_no_finding)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(breaker, .name = "b");
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 100, WEIR_CANCELED, 0);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

TEST(check, unreachable_needs_time_and_is_cured_by_consecutive)
{
    ORDER_ADD(breaker, .calls_min = 50, .consecutive = WEIR_OFF32);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_FAILED, 400 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 0); /* 8 s: less than a window */
    scripted_calls(pipeline, 20, WEIR_FAILED, 400 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_UNREACHABLE, 0));
    weir_pipeline_destroy(pipeline);
    ORDER_ADD(breaker, .calls_min = 50, .consecutive = 200);
    pipeline = order_made();
    scripted_calls(pipeline, 40, WEIR_FAILED, 400 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

/* The same sparse traffic as above, which is no finding where something speaks against it. */
TEST(check, unreachable_needs_calls_that_the_breaker_counted)
{
    ORDER_ADD(breaker, .calls_min = 50, .consecutive = WEIR_OFF32);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 9, WEIR_FAILED, 4 * WEIR_S);
    scripted_calls(pipeline, 20, WEIR_CANCELED, 4 * WEIR_S);
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 1, WEIR_FAILED, 4 * WEIR_S);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_UNREACHABLE, 0));
    weir_pipeline_destroy(pipeline);
}

TEST(check, unreachable_is_not_said_of_a_breaker_that_knows_no_beginning)
{
    ORDER_ADD(breaker, .calls_min = 50, .consecutive = WEIR_OFF32);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 40, WEIR_OK, 4 * WEIR_S); /* all went well: it has not looked at the time */
    CHECK_EQ(checked(pipeline), 0);
    scripted_calls(pipeline, 1, WEIR_FAILED, 0);
    scripted_calls(pipeline, 40, WEIR_OK, 4 * WEIR_S);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_UNREACHABLE, 0));
    weir_pipeline_destroy(pipeline);
}

TEST(check, what_has_opened_once_is_not_unreachable)
{
    ORDER_ADD(breaker, .calls_min = 50, .consecutive = WEIR_OFF32, .ramp_ns = WEIR_OFF);
    struct weir_policy *breaker = order_parts[0];
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 50, WEIR_FAILED, 0);
    CHECK_EQ(weir_breaker_stats(breaker, scripted_ns).opened, 1);
    scripted_ns += 60 * WEIR_S;
    scripted_calls(pipeline, 200, WEIR_OK, 4 * WEIR_S);
    CHECK_EQ(weir_breaker_stats(breaker, scripted_ns).state, WEIR_BREAKER_CLOSED);
    CHECK(weir_breaker_stats(breaker, scripted_ns).calls < 50);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

static void late_calls(struct weir_pipeline *pipeline, uint32_t count, uint64_t deadline_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        struct weir_context context;
        struct script script = { .outcome = outcome_of(WEIR_FAILED, 4), .takes_ns = 2 * WEIR_S };
        weir_context_child(&context, NULL, scripted_ns + deadline_ns, NULL);
        (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .context = &context), scripted, &script);
    }
}

TEST(check, a_timeout_that_ends_calls_is_no_finding)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    struct weir_pipeline *pipeline = order_made();
    late_calls(pipeline, 1, 1500 * WEIR_MS); /* ended by the timeout */
    late_calls(pipeline, 50, 500 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    pipeline = order_made();
    late_calls(pipeline, 50, 500 * WEIR_MS);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_TIMEOUT, 0));
    weir_pipeline_destroy(pipeline);
}

/* Of two timeouts only the one that never ends anything; the other's are not the callers' deadlines. */
TEST(check, calls_ended_by_another_timeout_do_not_count)
{
    ORDER_ADD(timeout, .timeout_ns = WEIR_S);
    ORDER_ADD(timeout, .timeout_ns = 200 * WEIR_MS);
    struct weir_pipeline *pipeline = order_made();
    late_calls(pipeline, 50, 5 * WEIR_S);
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

TEST(check, aborts_without_a_pipeline)
{
    CHECK_ABORTS((void)weir_pipeline_check(NULL, 0, NULL, 0), "weir_pipeline_check: pipeline is NULL");
}

/* What a policy refused alone, or in another pipeline, is not held against it here. */
TEST(check, refusals_elsewhere_are_not_counted)
{
    struct weir_permit held, refused;
    ORDER_ADD(breaker, .name = "b");
    ORDER_ADD(bulkhead, .name = "k", .limit = 1);
    struct weir_policy *breaker = order_parts[0], *bulkhead = order_parts[1];
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &held).status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &refused).status, WEIR_REJECTED);
    weir_bulkhead_release(bulkhead, &held);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_OPEN);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 2);
    CHECK(strstr(findings[0].text, "breaker \"b\" let none of 20 calls pass") != NULL);
    CHECK(strstr(findings[1].text, "none of 20 calls came to bulkhead \"k\"") != NULL);
    weir_pipeline_destroy(pipeline);
}

/* ---- a gate ---- */

static void keyed_calls(struct weir_pipeline *pipeline, uint64_t from, uint64_t count)
{
    struct script script = { .outcome = outcome_of(WEIR_OK, 0) };
    for (uint64_t key = from; key < from + count; key++) {
        (void)weir_run(pipeline, WEIR_CONFIG(weir_call_options, .key = key), scripted, &script);
    }
}

TEST(check, a_gate_by_key_for_calls_that_bear_none)
{
    ORDER_ADD(gate, .name = "g", .by = WEIR_GATE_BY_KEY, .share = 50 * WEIR_PERCENT);
    struct weir_policy *gate = order_parts[0];
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 9, WEIR_OK, 0);
    weir_policy_set_mode(gate, WEIR_MODE_DISABLED);
    scripted_calls(pipeline, 1, WEIR_OK, 0);
    weir_policy_set_mode(gate, WEIR_MODE_ON);
    CHECK_EQ(checked(pipeline), 0); /* nine prove nothing */
    scripted_calls(pipeline, 1, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_KEYLESS, 0));
    CHECK_STR(findings[0].text,
        "gate \"g\" goes by keys, but refused 10 calls that bear none: set weir_call_options.key");
    keyed_calls(pipeline, 1, 100); /* some of them are refused: it does its work */
    CHECK_EQ(checked(pipeline), 0);
    weir_pipeline_destroy(pipeline);
}

/* A fallback hides its refusals from the pipeline's counters. */
TEST(check, a_gate_that_lets_nobody_in)
{
    ORDER_ADD(fallback, .name = "f");
    ORDER_ADD(gate, .name = "g", .share = WEIR_OFF32);
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 1);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 1));
    CHECK(strstr(findings[0].text, "gate \"g\" let none of 20 calls pass") != NULL);
    weir_pipeline_destroy(pipeline);
}

TEST(check, a_gate_by_key_that_lets_nobodys_calls_stand_outside)
{
    ORDER_ADD(fallback, .name = "f");
    ORDER_ADD(gate, .name = "g", .by = WEIR_GATE_BY_KEY, .share = 99 * WEIR_PERCENT);
    ORDER_ADD(bulkhead, .name = "inside");
    struct weir_pipeline *pipeline = order_made();
    scripted_calls(pipeline, 20, WEIR_OK, 0);
    CHECK_EQ(checked(pipeline), 3);
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 1));
    CHECK(found(WEIR_FINDING_INERT_NEVER_PASSED, 2));
    CHECK(found(WEIR_FINDING_INERT_KEYLESS, 1));
    weir_pipeline_destroy(pipeline);
}
