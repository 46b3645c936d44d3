/* A rate limit alone, with the instants given; and in a pipeline, where calls wait for their turn. */
#include "expect.h"

#include <weir/weir.h>

static void show_it_alone(void)
{
    struct weir_policy *rate;
    EXPECT(
        weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 100, .burst = 10), &rate) == WEIR_E_NONE);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);

    for (int i = 0; i < 10; i++) EXPECT(weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK);
    struct weir_outcome refused = weir_rate_acquire_at(rate, 1, now_ns);
    EXPECT(refused.status == WEIR_REJECTED && refused.reason == WEIR_REASON_RATE);
    EXPECT(refused.retry_after_ns == 10 * WEIR_MS); /* 100 a second */
    EXPECT(weir_rate_acquire_at(rate, 1, now_ns + refused.retry_after_ns).status == WEIR_OK);

    refused = weir_rate_acquire_at(rate, 11, now_ns + WEIR_S);
    EXPECT(refused.code == -1); /* more than the burst: it could never pass */
    weir_policy_release(rate);
}

/* For whoever waits in a way of his own: a turn is taken now and begins later. */
static void show_a_reservation(void)
{
    struct weir_policy *rate;
    EXPECT(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 100, .burst = 1), &rate) == WEIR_E_NONE);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE), at_ns;
    EXPECT(weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK);

    struct weir_permit permit;
    struct weir_outcome outcome = weir_rate_reserve_at(rate, 1, 50 * WEIR_MS, now_ns, &permit, &at_ns);
    EXPECT(outcome.status == WEIR_OK && at_ns == now_ns + 10 * WEIR_MS);
    weir_rate_give_back_at(rate, &permit, now_ns); /* changed our mind: the next may have that turn */
    outcome = weir_rate_reserve_at(rate, 1, 5 * WEIR_MS, now_ns, &permit, &at_ns);
    EXPECT(outcome.status == WEIR_REJECTED); /* its turn would come later than in 5 ms */
    weir_policy_release(rate);
}

static struct weir_outcome send_letter(void *count, const struct weir_attempt *attempt)
{
    (void)attempt;
    ++*(int *)count;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void show_waiting(void)
{
    struct weir_policy *rate;
    struct weir_pipeline *pipeline;
    EXPECT(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 200, .burst = 1, .wait_max_ns = WEIR_S),
               &rate) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &rate, 1, &pipeline) == WEIR_E_NONE);

    uint64_t began_ns = weir_now(WEIR_TIMING_PRECISE);
    int sent = 0;
    for (int i = 0; i < 20; i++) EXPECT(weir_run(pipeline, NULL, send_letter, &sent).status == WEIR_OK);
    EXPECT(weir_now(WEIR_TIMING_PRECISE) - began_ns >= 19 * 5 * WEIR_MS); /* 200 a second, one at once */
    EXPECT(sent == 20 && weir_rate_stats(rate, began_ns).waited > 0);

    /* A turn that comes after the deadline is not waited for. */
    struct weir_context soon;
    weir_context_child(&soon, NULL, weir_now(WEIR_TIMING_PRECISE) + WEIR_MS, NULL);
    struct weir_outcome outcome =
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .context = &soon), send_letter, &sent);
    EXPECT(outcome.reason == WEIR_REASON_RATE_WAIT || outcome.reason == WEIR_REASON_DEADLINE);
    EXPECT(sent == 20);
    weir_policy_release(rate);
    weir_pipeline_destroy(pipeline);
}

int main(void)
{
    show_it_alone();
    show_a_reservation();
    show_waiting();
    return 0;
}
