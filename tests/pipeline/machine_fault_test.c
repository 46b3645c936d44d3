/* What the machine must not be led into: by functions that are abandoned, by policies that hold again, by
 * operations that answer nonsense. */
#include "pipeline/machine_words.h"

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

static struct weir_step start(struct weir_call *call, const struct weir_pipeline *pipeline)
{
    struct weir_step step =
        weir_call_begin(call, pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), START);
    CHECK_EQ(step.action, WEIR_RUN);
    return step;
}

static struct weir_policy *retry_soon(void)
{
    return POLICY(retry, .attempts = 3, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_MS);
}

/* An abandoned function still runs and may still write: a second one beside it could not be told from it. */
TEST(machine_fault, no_second_function_while_an_abandoned_one_runs)
{
    struct weir_pipeline *pipeline = PIPELINE(
        retry_soon(), POLICY(timeout, .timeout_ns = 10 * WEIR_MS), POLICY(fallback, .function = light));
    struct weir_call call;
    start(&call, pipeline);
    struct weir_step step = weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START);
    CHECK_EQ(step.what, WEIR_FALLBACK);
    step = weir_call_wake(&call, START + 10 * WEIR_MS);
    CHECK_EQ(step.abandon_mask, WEIR_ABANDONED_FALLBACK);
    step = weir_call_wake(&call, START + 20 * WEIR_MS);
    if (step.action == WEIR_RUN)
        step = weir_call_settle(&call, 2, outcome_of(WEIR_FAILED), START + 20 * WEIR_MS);
    CHECK(step.action != WEIR_RUN || step.what != WEIR_FALLBACK);
    step = weir_call_cancel(&call, START + 20 * WEIR_MS);
    CHECK_EQ(weir_call_settle(&call, 0, outcome_of(WEIR_OK), START + 20 * WEIR_MS).pending, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(machine_fault, an_abandoned_function_that_ends_does_not_start_a_second_operation)
{
    struct weir_pipeline *pipeline = PIPELINE(retry_soon(), POLICY(timeout, .timeout_ns = 20 * WEIR_MS),
        POLICY(fallback, .function = light), POLICY(timeout, .timeout_ns = 10 * WEIR_MS));
    struct weir_call call;
    start(&call, pipeline);
    struct weir_step step = weir_call_wake(&call, START + 10 * WEIR_MS);
    CHECK_EQ(step.what, WEIR_FALLBACK);
    CHECK_EQ(step.abandon_mask, WEIR_ABANDONED_OPERATION);
    step = weir_call_wake(&call, START + 20 * WEIR_MS);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.pending, 2);
    step = weir_call_settle(&call, 0, outcome_of(WEIR_OK), START + 30 * WEIR_MS);
    CHECK_EQ(step.abandon_mask, WEIR_ABANDONED_OPERATION);
    CHECK_EQ(step.action, WEIR_WAIT); /* the first attempt still runs */
    step = weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + 30 * WEIR_MS);
    CHECK_EQ(step.action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 2, outcome_of(WEIR_OK), START + 30 * WEIR_MS).action, WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

/* What lasts for an abandoned function is asked again by the next attempt: its slot holds one permit. */
TEST(machine_fault, a_permit_that_lasts_for_a_function_is_not_lost)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 4, .wait_max_ns = WEIR_S);
    struct weir_pipeline *pipeline = PIPELINE(retry_soon(), bulkhead,
        POLICY(timeout, .timeout_ns = 10 * WEIR_MS), POLICY(fallback, .function = light));
    struct weir_call call;
    start(&call, pipeline);
    struct weir_step step = weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START);
    CHECK_EQ(step.what, WEIR_FALLBACK);
    step = weir_call_wake(&call, START + 10 * WEIR_MS);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 1);
    step = weir_call_wake(&call, START + 20 * WEIR_MS);
    step = weir_call_settle(&call, 0, outcome_of(WEIR_OK), START + 30 * WEIR_MS);
    if (step.action == WEIR_WAIT) step = weir_call_wake(&call, START + 30 * WEIR_MS);
    CHECK_EQ(step.action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 2, outcome_of(WEIR_OK), START + 30 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- a policy whose generation passes while another holds the call, and which then holds it itself ---- */

static bool generation_passed;

static struct weir_verdict hold_the_second_time(
    uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)call;
    bool hold = generation_passed && now_ns < START + WEIR_S;
    return (struct weir_verdict) { .kind = hold ? WEIR_HOLD : WEIR_PASS, .at_ns = START + WEIR_S };
}

static bool is_stale(uint8_t spy, const struct weir_slot *slot)
{
    (void)spy;
    (void)slot;
    return generation_passed;
}

TEST(machine_fault, a_policy_that_holds_anew_does_not_make_another_forget_its_waiter)
{
    static struct spy_log log;
    static const struct spy_script with = { .admit = hold_the_second_time, .stale = is_stale };
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1, .wait_max_ns = 60 * WEIR_S);
    struct weir_pipeline *pipeline = PIPELINE(spy_of(&spy_ops, 0, &log, &with), bulkhead);
    struct weir_permit permit;
    struct weir_call call;
    generation_passed = false;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit).status, WEIR_OK);
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 1);
    generation_passed = true;
    CHECK_EQ(weir_call_wake(&call, START + 1).action, WEIR_WAIT);
    CHECK_EQ(weir_call_cancel(&call, START + 2).action, WEIR_DONE);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).waiting, 0);
    check_paid(&log);
    weir_bulkhead_release(bulkhead, &permit);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- nonsense ---- */

static uint64_t refused_in_all(const struct weir_pipeline *pipeline)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
    uint64_t sum = 0;
    for (int i = 0; i < WEIR_REASONS; i++) sum += stats.refused[i];
    return sum;
}

TEST(machine_fault, a_reason_that_is_none_from_an_operation_is_counted_as_some_reason)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    struct weir_call call;
    for (int reason = 0; reason < 256; reason++) {
        start(&call, pipeline);
        struct weir_outcome nonsense = { .status = WEIR_REJECTED, .reason = (uint8_t)reason, .by = 99 };
        CHECK_EQ(weir_call_settle(&call, 1, nonsense, START).action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).by, 0);
    }
    CHECK_EQ(weir_pipeline_stats(pipeline).ended[WEIR_REJECTED], 256);
    CHECK_EQ(refused_in_all(pipeline), 256);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 0);
    weir_pipeline_destroy(pipeline);
}

static struct weir_verdict refuse_by_nonsense(
    uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)call;
    return (struct weir_verdict) { .kind = WEIR_REFUSE, .reason = (uint8_t)(now_ns % 256) };
}

TEST(machine_fault, a_reason_that_is_none_from_a_policy_is_counted_as_some_reason)
{
    static struct spy_log log;
    static const struct spy_script with = { .admit = refuse_by_nonsense };
    struct weir_pipeline *pipeline = PIPELINE(spy_of(&spy_ops, 0, &log, &with));
    for (uint64_t i = 0; i < 256; i++) {
        struct weir_call call;
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START + i).action, WEIR_DONE);
    }
    CHECK_EQ(weir_pipeline_stats(pipeline).refused_by[0], 256);
    CHECK_EQ(refused_in_all(pipeline), 256);
    weir_pipeline_destroy(pipeline);
}

/* Begun in the child that aborts: a call of another process would only be ignored. */
static void settle_with_no_status(bool function)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(fallback, .function = light));
    struct weir_outcome none = { .status = 99 };
    struct weir_call call;
    struct weir_step step = start(&call, pipeline);
    if (function) step = weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START);
    (void)!weir_call_settle(&call, step.attempt, none, START).action;
}

TEST(machine_fault, a_status_that_is_none_aborts)
{
    CHECK_ABORTS(settle_with_no_status(false), "weir_call_settle: the outcome's status is none");
    CHECK_ABORTS(settle_with_no_status(true), "weir_call_settle: the outcome's status is none");
}

TEST(machine_fault, what_a_function_says_is_as_bounded_as_what_an_operation_says)
{
    struct weir_policy *fallback = POLICY(fallback, .function = light);
    struct weir_pipeline *pipeline = PIPELINE(fallback);
    for (int good = 0; good < 2; good++) {
        struct weir_call call;
        start(&call, pipeline);
        struct weir_outcome failed = { .status = WEIR_FAILED, .code = 5 };
        CHECK_EQ(weir_call_settle(&call, 1, failed, START).what, WEIR_FALLBACK);
        struct weir_outcome nonsense = { .reason = 200, .by = 77, .flags = 0xff };
        nonsense.status = good ? WEIR_OK : WEIR_REJECTED;
        CHECK_EQ(weir_call_settle(&call, 0, nonsense, START).action, WEIR_DONE);
        struct weir_outcome outcome = weir_call_outcome(&call);
        CHECK_EQ(outcome.status, good ? WEIR_OK : WEIR_FAILED);
        CHECK_EQ(outcome.flags, good ? WEIR_DEGRADED : 0);
        CHECK_EQ(outcome.by, good);
        CHECK_EQ(outcome.reason, WEIR_REASON_NONE);
        CHECK_EQ(outcome.code, 5);
    }
    CHECK_EQ(weir_fallback_stats(fallback).function_failed, 1);
    CHECK_EQ(weir_fallback_stats(fallback).by_function, 1);
    weir_pipeline_destroy(pipeline);
}

/* ---- options of another version ---- */

TEST(machine_fault, options_of_a_newer_caller_are_good_while_what_is_new_is_zero)
{
    struct {
        struct weir_call_options known;
        unsigned char newer[64];
    } options = { .known = { .size = sizeof options, .weight = 3 } };
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 3);
    struct weir_pipeline *pipeline = PIPELINE(bulkhead);
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, &options.known, START).action, WEIR_RUN);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 3);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    options.newer[63] = 1;
    CHECK_ABORTS((void)weir_call_begin(&call, pipeline, &options.known, START).action,
        "weir: weir_call_begin: options.size is unknown");
    options.known.size--; /* what lies behind it is not ours */
    CHECK_EQ(weir_call_begin(&call, pipeline, &options.known, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}
