/* NULL where a pointer is required aborts with a message that names the function and the argument. */
#include "pipeline/machine_words.h"

#include <weir/lock.h>
#include <weir/testing.h>

#define ABORTS_ON_NULL(function, argument, statement) \
    CHECK_ABORTS((void)(statement), "weir: " #function ": " #argument " is NULL")

static uint64_t at_ns;
static struct weir_permit permit;
static struct weir_context context;
static struct weir_source *source;
static struct weir_watch watch;
static struct weir_call call;
static const struct weir_waker no_waker;

static struct weir_outcome plain(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

/* WEIR_MUST_USE answers that nobody lives to see. */
static void ignore_step(struct weir_step step)
{
    (void)step;
}
static void ignore_outcome(struct weir_outcome outcome)
{
    (void)outcome;
}
static void ignore_error(enum weir_error error)
{
    (void)error;
}

TEST(null, locks)
{
    ABORTS_ON_NULL(weir_lock_create, lock, ignore_error(weir_lock_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_lock_acquire, lock, weir_lock_acquire(NULL, NULL, 0, NULL));
    ABORTS_ON_NULL(weir_lock_try, lock, weir_lock_try(NULL, NULL, 0, NULL));
    ABORTS_ON_NULL(weir_lock_begin, lock, weir_lock_begin(NULL, 0));
    ABORTS_ON_NULL(weir_lock_outcome, lock, weir_lock_outcome(NULL));
    ABORTS_ON_NULL(weir_lock_release, lock, weir_lock_release(NULL, 0));
    ABORTS_ON_NULL(weir_lock_check, lock, weir_lock_check(NULL));
    ABORTS_ON_NULL(weir_lock_check_at, lock, weir_lock_check_at(NULL, 0));
    ABORTS_ON_NULL(weir_lock_valid_until, lock, weir_lock_valid_until(NULL));
    ABORTS_ON_NULL(weir_lock_deadline_ns, lock, weir_lock_deadline_ns(NULL));
    ABORTS_ON_NULL(weir_lock_fence, lock, weir_lock_fence(NULL));
    ABORTS_ON_NULL(weir_lock_fd, lock, weir_lock_fd(NULL));
    ABORTS_ON_NULL(weir_lock_stats, lock, weir_lock_stats(NULL));
    ABORTS_ON_NULL(weir_fence_admit, guard, weir_fence_admit(NULL, (struct weir_fence) { 1, 1 }));
    ABORTS_ON_NULL(weir_fence_seen, guard, weir_fence_seen(NULL));
    weir_lock_destroy(NULL);
}

TEST(null, policies)
{
    ABORTS_ON_NULL(weir_policy_acquire, policy, weir_policy_acquire(NULL));
    ABORTS_ON_NULL(weir_policy_name, policy, weir_policy_name(NULL));
    ABORTS_ON_NULL(weir_policy_kind, policy, weir_policy_kind(NULL));
    ABORTS_ON_NULL(weir_policy_mode, policy, weir_policy_mode(NULL));
    ABORTS_ON_NULL(weir_policy_state, policy, weir_policy_state(NULL));
    ABORTS_ON_NULL(weir_policy_set_mode, policy, weir_policy_set_mode(NULL, WEIR_MODE_ON));
    ABORTS_ON_NULL(weir_policy_create, policy, ignore_error(weir_policy_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_breaker_create, breaker, ignore_error(weir_breaker_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_bulkhead_create, bulkhead, ignore_error(weir_bulkhead_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_rate_create, rate, ignore_error(weir_rate_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_timeout_create, timeout, ignore_error(weir_timeout_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_retry_create, retry, ignore_error(weir_retry_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_fallback_create, fallback, ignore_error(weir_fallback_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_gate_create, gate, ignore_error(weir_gate_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_chaos_create, chaos, ignore_error(weir_chaos_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_chaos_set_enabled, policy, weir_chaos_set_enabled(NULL, true));
    ABORTS_ON_NULL(weir_budget_create, budget, ignore_error(weir_budget_create(NULL, NULL)));
    weir_policy_release(NULL);
    weir_budget_release(NULL);
}

TEST(null, statistics)
{
    ABORTS_ON_NULL(weir_breaker_stats, policy, weir_breaker_stats(NULL, START));
    ABORTS_ON_NULL(weir_bulkhead_stats, policy, weir_bulkhead_stats(NULL));
    ABORTS_ON_NULL(weir_rate_stats, policy, weir_rate_stats(NULL, START));
    ABORTS_ON_NULL(weir_timeout_stats, policy, weir_timeout_stats(NULL));
    ABORTS_ON_NULL(weir_retry_stats, policy, weir_retry_stats(NULL));
    ABORTS_ON_NULL(weir_fallback_stats, policy, weir_fallback_stats(NULL));
    ABORTS_ON_NULL(weir_gate_stats, policy, weir_gate_stats(NULL));
    ABORTS_ON_NULL(weir_gate_set_share, policy, ignore_error(weir_gate_set_share(NULL, 1)));
    ABORTS_ON_NULL(weir_chaos_stats, policy, weir_chaos_stats(NULL));
    ABORTS_ON_NULL(weir_budget_stats, budget, weir_budget_stats(NULL, START));
    ABORTS_ON_NULL(weir_pipeline_stats, pipeline, weir_pipeline_stats(NULL));
    ABORTS_ON_NULL(weir_pipeline_latency, pipeline, weir_pipeline_latency(NULL));
}

TEST(null, acquire_and_release)
{
    struct weir_policy *breaker = POLICY(breaker, .name = "b"), *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_policy *rate = POLICY(rate, .permits = 10);
    struct weir_outcome ok = outcome_of(WEIR_OK);
    ABORTS_ON_NULL(weir_breaker_acquire, policy, ignore_outcome(weir_breaker_acquire(NULL, &permit)));
    ABORTS_ON_NULL(weir_breaker_acquire, permit, ignore_outcome(weir_breaker_acquire(breaker, NULL)));
    ABORTS_ON_NULL(
        weir_breaker_acquire_at, policy, ignore_outcome(weir_breaker_acquire_at(NULL, &permit, START)));
    ABORTS_ON_NULL(
        weir_breaker_acquire_at, permit, ignore_outcome(weir_breaker_acquire_at(breaker, NULL, START)));
    ABORTS_ON_NULL(weir_breaker_release, policy, weir_breaker_release(NULL, &permit, ok));
    ABORTS_ON_NULL(weir_breaker_release, permit, weir_breaker_release(breaker, NULL, ok));
    ABORTS_ON_NULL(weir_breaker_release_at, policy, weir_breaker_release_at(NULL, &permit, ok, START));
    ABORTS_ON_NULL(weir_breaker_release_at, permit, weir_breaker_release_at(breaker, NULL, ok, START));
    ABORTS_ON_NULL(weir_bulkhead_acquire, policy, ignore_outcome(weir_bulkhead_acquire(NULL, 1, &permit)));
    ABORTS_ON_NULL(weir_bulkhead_acquire, permit, ignore_outcome(weir_bulkhead_acquire(bulkhead, 1, NULL)));
    ABORTS_ON_NULL(weir_bulkhead_release, policy, weir_bulkhead_release(NULL, &permit));
    ABORTS_ON_NULL(weir_bulkhead_release, permit, weir_bulkhead_release(bulkhead, NULL));
    ABORTS_ON_NULL(weir_rate_acquire, policy, ignore_outcome(weir_rate_acquire(NULL, 1)));
    ABORTS_ON_NULL(weir_rate_acquire_at, policy, ignore_outcome(weir_rate_acquire_at(NULL, 1, START)));
    ABORTS_ON_NULL(
        weir_rate_reserve_at, permit, ignore_outcome(weir_rate_reserve_at(rate, 1, 0, START, NULL, &at_ns)));
    ABORTS_ON_NULL(
        weir_rate_reserve_at, at_ns, ignore_outcome(weir_rate_reserve_at(rate, 1, 0, START, &permit, NULL)));
    ABORTS_ON_NULL(weir_rate_give_back_at, permit, weir_rate_give_back_at(rate, NULL, START));
    weir_policy_release(rate);
    weir_policy_release(bulkhead);
    weir_policy_release(breaker);
}

TEST(null, pipelines)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    ABORTS_ON_NULL(weir_pipeline_create, pipeline, ignore_error(weir_pipeline_create(NULL, NULL, 0, NULL)));
    ABORTS_ON_NULL(weir_pipeline_create, order, ignore_error(weir_pipeline_create(NULL, NULL, 1, &pipeline)));
    ABORTS_ON_NULL(weir_pipeline_standard, pipeline, ignore_error(weir_pipeline_standard(NULL, NULL)));
    ABORTS_ON_NULL(weir_controller_create, controller, ignore_error(weir_controller_create(NULL, NULL)));
    ABORTS_ON_NULL(weir_pipeline_name, pipeline, weir_pipeline_name(NULL));
    ABORTS_ON_NULL(weir_pipeline_count, pipeline, weir_pipeline_count(NULL));
    ABORTS_ON_NULL(weir_pipeline_policy, pipeline, weir_pipeline_policy(NULL, 0));
    ABORTS_ON_NULL(weir_pipeline_call_size, pipeline, weir_pipeline_call_size(NULL));
    ABORTS_ON_NULL(weir_pipeline_now, pipeline, weir_pipeline_now(NULL));
    ABORTS_ON_NULL(weir_pipeline_explain, pipeline, weir_pipeline_explain(NULL, 0, NULL, 0));
    ABORTS_ON_NULL(weir_pipeline_lint, pipeline, weir_pipeline_lint(NULL, 0, NULL, 0));
    ABORTS_ON_NULL(weir_pipeline_check, pipeline, weir_pipeline_check(NULL, START, NULL, 0));
    ABORTS_ON_NULL(weir_pipeline_explain, buffer, weir_pipeline_explain(pipeline, 0, NULL, 1));
    ABORTS_ON_NULL(weir_pipeline_lint, findings, weir_pipeline_lint(pipeline, 0, NULL, 1));
    ABORTS_ON_NULL(weir_pipeline_check, findings, weir_pipeline_check(pipeline, START, NULL, 1));
    ABORTS_ON_NULL(weir_outcome_text, buffer, weir_outcome_text(NULL, 1, pipeline, outcome_of(WEIR_OK)));
    ABORTS_ON_NULL(weir_pipeline_drain, pipeline, ignore_error(weir_pipeline_drain(NULL, START)));
    ABORTS_ON_NULL(weir_pipeline_deliver, pipeline, weir_pipeline_deliver(NULL));
    weir_pipeline_destroy(NULL);
}

TEST(null, calls)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    struct weir_outcome ok = outcome_of(WEIR_OK);
    ABORTS_ON_NULL(weir_call_begin, call, ignore_step(weir_call_begin(NULL, pipeline, NULL, START)));
    ABORTS_ON_NULL(weir_call_begin, pipeline, ignore_step(weir_call_begin(&call, NULL, NULL, START)));
    ABORTS_ON_NULL(weir_call_wake, call, ignore_step(weir_call_wake(NULL, START)));
    ABORTS_ON_NULL(weir_call_settle, call, ignore_step(weir_call_settle(NULL, 1, ok, START)));
    ABORTS_ON_NULL(weir_call_cancel, call, ignore_step(weir_call_cancel(NULL, START)));
    ABORTS_ON_NULL(weir_call_arm, call, ignore_step(weir_call_arm(NULL, no_waker, START)));
    ABORTS_ON_NULL(weir_call_outcome, call, ignore_outcome(weir_call_outcome(NULL)));
    ABORTS_ON_NULL(weir_call_attempt, call, weir_call_attempt(NULL));
    ABORTS_ON_NULL(weir_call_is_ending, call, weir_call_is_ending(NULL));
    ABORTS_ON_NULL(weir_call_fallback, call, ignore_outcome(weir_call_fallback(NULL, NULL)));
    ABORTS_ON_NULL(weir_call_weight, call, weir_call_weight(NULL));
    ABORTS_ON_NULL(weir_call_key, call, weir_call_key(NULL));
    ABORTS_ON_NULL(weir_run, pipeline, ignore_outcome(weir_run(NULL, NULL, plain, NULL)));
    ABORTS_ON_NULL(weir_run, operation, ignore_outcome(weir_run(pipeline, NULL, NULL, NULL)));
    ABORTS_ON_NULL(weir_run_at, pipeline, ignore_outcome(weir_run_at(NULL, NULL, plain, NULL, START)));
    ABORTS_ON_NULL(weir_run_at, operation, ignore_outcome(weir_run_at(pipeline, NULL, NULL, NULL, START)));
    ABORTS_ON_NULL(weir_attempt_left_ms, attempt, weir_attempt_left_ms(NULL));
}

TEST(null, contexts)
{
    ABORTS_ON_NULL(weir_context_child, child, weir_context_child(NULL, NULL, WEIR_NEVER, NULL));
    ABORTS_ON_NULL(weir_context_detached, context, weir_context_detached(NULL, WEIR_NEVER, NULL));
    ABORTS_ON_NULL(weir_context_enter, context, weir_context_enter(NULL));
    ABORTS_ON_NULL(weir_context_leave, context, weir_context_leave(NULL));
    ABORTS_ON_NULL(weir_context_watch, watch, weir_context_watch(NULL, &context, no_waker));
    ABORTS_ON_NULL(weir_context_unwatch, watch, weir_context_unwatch(NULL));
    CHECK_ABORTS(weir_context_watch(&watch, NULL, no_waker), "weir: weir_context_watch: waker.post is NULL");
    ABORTS_ON_NULL(weir_source_create, source, ignore_error(weir_source_create(NULL)));
    ABORTS_ON_NULL(weir_source_acquire, source, weir_source_acquire(NULL));
    ABORTS_ON_NULL(weir_source_cancel, source, weir_source_cancel(NULL, 1));
    ABORTS_ON_NULL(weir_source_reset, source, weir_source_reset(NULL));
    weir_source_release(source);
    CHECK_EQ(weir_context_check(NULL, START), WEIR_OK);
    CHECK_EQ(weir_context_reason(NULL), 0);
}

TEST(null, histograms)
{
    struct weir_histogram *histogram;
    CHECK_EQ(weir_histogram_create(&histogram), WEIR_E_NONE);
    ABORTS_ON_NULL(weir_histogram_create, histogram, ignore_error(weir_histogram_create(NULL)));
    ABORTS_ON_NULL(weir_histogram_record, histogram, weir_histogram_record(NULL, 1));
    ABORTS_ON_NULL(weir_histogram_merge, target, weir_histogram_merge(NULL, histogram));
    ABORTS_ON_NULL(weir_histogram_merge, source, weir_histogram_merge(histogram, NULL));
    ABORTS_ON_NULL(weir_histogram_count, histogram, weir_histogram_count(NULL));
    ABORTS_ON_NULL(weir_histogram_quantile, histogram, weir_histogram_quantile(NULL, 1));
    weir_histogram_destroy(histogram);
    weir_histogram_destroy(NULL);
}

TEST(null, the_test_kit)
{
    struct weir_test_clock clock;
    struct weir_test_callee callee;
    struct weir_test_step step = { 0 };
    struct weir_test_chances chances = { 0 };
    weir_test_clock_init(&clock, START);
    ABORTS_ON_NULL(weir_test_clock_init, clock, weir_test_clock_init(NULL, START));
    ABORTS_ON_NULL(weir_test_clock_now, clock, weir_test_clock_now(NULL));
    ABORTS_ON_NULL(weir_test_clock_at, clock, weir_test_clock_at(NULL, START, NULL, NULL));
    ABORTS_ON_NULL(weir_test_clock_advance, clock, weir_test_clock_advance(NULL, 1));
    ABORTS_ON_NULL(weir_test_clock_use, clock, weir_test_clock_use(NULL));
    ABORTS_ON_NULL(weir_test_callee_script, callee, weir_test_callee_script(NULL, &clock, &step, 1));
    ABORTS_ON_NULL(weir_test_callee_script, clock, weir_test_callee_script(&callee, NULL, &step, 1));
    ABORTS_ON_NULL(weir_test_callee_script, steps, weir_test_callee_script(&callee, &clock, NULL, 1));
    ABORTS_ON_NULL(weir_test_callee_random, callee, weir_test_callee_random(NULL, &clock, chances));
    ABORTS_ON_NULL(weir_test_callee_random, clock, weir_test_callee_random(&callee, NULL, chances));
    ABORTS_ON_NULL(weir_test_callee_run, argument, ignore_outcome(weir_test_callee_run(NULL, NULL)));
    ABORTS_ON_NULL(weir_test_draw, state, weir_test_draw(NULL, 0, 1));
    ABORTS_ON_NULL(weir_test_trace_number, trace, weir_test_trace_number(NULL, 1));
    ABORTS_ON_NULL(weir_test_trace_outcome, trace, weir_test_trace_outcome(NULL, outcome_of(WEIR_OK)));
    ABORTS_ON_NULL(weir_test_trace_step, trace, weir_test_trace_step(NULL, (struct weir_step) { 0 }));
    ABORTS_ON_NULL(weir_test_trace_sink, trace, weir_test_trace_sink(NULL));
}
