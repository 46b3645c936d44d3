/* What is tried again, what is not, and why not. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

/* A callee that fails some times and then answers. */
struct callee {
    int failures;               /* left */
    struct weir_outcome failed; /* what it answers until then */
    int asked;
};

static struct weir_outcome ask(void *argument, const struct weir_attempt *attempt)
{
    struct callee *callee = argument;
    (void)attempt;
    callee->asked++;
    if (callee->failures-- > 0) return callee->failed;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_pipeline *create_pipeline(struct weir_budget *budget)
{
    struct weir_policy *retry;
    struct weir_pipeline *pipeline;
    EXPECT(weir_retry_create(
               WEIR_CONFIG(weir_retry_config, .attempts = 3, .base_ns = 100 * WEIR_US, .budget = budget),
               &retry) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &retry, 1, &pipeline) == WEIR_E_NONE);
    weir_policy_release(retry);
    return pipeline;
}

static void show_what_is_tried_again(void)
{
    struct weir_pipeline *pipeline = create_pipeline(NULL);

    /* A call that is not marked idempotent may have been half done: it is not repeated. */
    struct callee callee = { .failures = 2, .failed = weir_from_errno(ETIMEDOUT) };
    struct weir_outcome outcome = weir_run(pipeline, NULL, ask, &callee);
    EXPECT(outcome.status == WEIR_FAILED && outcome.code == ETIMEDOUT && callee.asked == 1);

    /* A read may be repeated. */
    callee = (struct callee) { .failures = 2, .failed = weir_from_errno(ETIMEDOUT) };
    outcome = weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), ask, &callee);
    EXPECT(outcome.status == WEIR_OK && callee.asked == 3);

    /* So may anything that never reached the callee. */
    callee = (struct callee) { .failures = 2, .failed = weir_from_errno(ECONNREFUSED) };
    EXPECT((callee.failed.flags & WEIR_NOT_SENT) != 0);
    outcome = weir_run(pipeline, NULL, ask, &callee);
    EXPECT(outcome.status == WEIR_OK && callee.asked == 3);

    /* And what the callee itself turned away. */
    callee = (struct callee) { .failures = 2, .failed = weir_from_http(503) };
    EXPECT(callee.failed.status == WEIR_OVERLOADED);
    outcome = weir_run(pipeline, NULL, ask, &callee);
    EXPECT(outcome.status == WEIR_OK && callee.asked == 3);

    struct weir_retry_stats stats = weir_retry_stats(weir_pipeline_policy(pipeline, 0));
    EXPECT(stats.retried == 6 && stats.recovered == 3 && stats.not_idempotent == 1);
    weir_pipeline_destroy(pipeline);
}

/* One budget for all that calls the same server, whatever pipeline it goes through. */
static void show_a_shared_budget(void)
{
    struct weir_budget *budget;
    EXPECT(weir_budget_create(WEIR_CONFIG(weir_budget_config, .percent = 10, .floor_per_s = 1), &budget) ==
        WEIR_E_NONE);
    struct weir_pipeline *reads = create_pipeline(budget), *searches = create_pipeline(budget);
    weir_budget_release(budget); /* both retries hold it: it lives as long as they do */

    for (int i = 0; i < 40; i++) { /* the server is down: every call fails */
        struct callee callee = { .failures = 3, .failed = weir_from_errno(EIO) };
        weir_run(
            i % 2 == 0 ? reads : searches, WEIR_CONFIG(weir_call_options, .idempotent = true), ask, &callee);
    }
    struct weir_retry_stats first = weir_retry_stats(weir_pipeline_policy(reads, 0));
    struct weir_retry_stats second = weir_retry_stats(weir_pipeline_policy(searches, 0));
    uint64_t made = first.retried + second.retried, denied = first.no_budget + second.no_budget;
    printf("of 80 retries wanted %d were made, %d calls were told that the budget is spent\n", (int)made,
        (int)denied);
    EXPECT(made >= 10 && made < 30); /* ten were saved up, 10 % of 40 calls came in */
    EXPECT(denied > 0);
    weir_pipeline_destroy(reads);
    weir_pipeline_destroy(searches);
}

int main(void)
{
    show_what_is_tried_again();
    show_a_shared_budget();
    return 0;
}
