/* Strict sharing: no call is given longer than the lease that it runs under. */
#include "shared/bulkhead_desk.h"

#include <weir/retry.h>
#include <weir/timeout.h>

static struct desk desk;

#define END (START + LEASE_GOOD)
#define FAILED ((struct weir_outcome) { .status = WEIR_FAILED })

/* timeout, retry, the bulkhead, timeout: the bulkhead is at 2 (by 3). */
static void open_pipeline(
    struct weir_bulkhead_config bulkhead, uint64_t outer_ns, uint64_t inner_ns, bool strict)
{
    struct weir_policy *policy[4];
    desk_link(&desk);
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = outer_ns), &policy[0]),
        WEIR_E_NONE);
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = 3, .backoff = WEIR_BACKOFF_CONSTANT,
                                   .base_ns = WEIR_MS),
                 &policy[1]),
        WEIR_E_NONE);
    CHECK_EQ(weir_bulkhead_create(&bulkhead, &policy[2]), WEIR_E_NONE);
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = inner_ns), &policy[3]),
        WEIR_E_NONE);
    desk_share(&desk, policy[2], SHARE(.away = WEIR_AWAY_OPEN, .strict = strict));
    CHECK_EQ(weir_pipeline_create(NULL, policy, 4, &desk.pipeline), WEIR_E_NONE);
    for (int i = 0; i < 4; i++) weir_policy_release(policy[i]);
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
}

/* One that may be made again. */
static enum weir_action come_idempotent(struct guest *guest, uint64_t now_ns)
{
    struct weir_call_options options = { .size = sizeof options, .idempotent = true };
    guest->step = weir_call_begin(&guest->call, desk.pipeline, &options, now_ns);
    return (enum weir_action)guest->step.action;
}

static void settle(struct guest *guest, struct weir_outcome outcome, uint64_t now_ns)
{
    guest->step = weir_call_settle(&guest->call, guest->step.attempt, outcome, now_ns);
}

#define LIMIT(...) (*WEIR_CONFIG(weir_bulkhead_config, .limit = 8, __VA_ARGS__))

TEST(bulkhead_strict, a_call_ends_with_its_lease)
{
    IN_BOTH_FORMS(form)
    {
        struct guest guest;
        open_pipeline(LIMIT(.form = form), 60 * WEIR_S, 30 * WEIR_S, true);
        CHECK_EQ(come(&guest, desk.pipeline, 1, NULL, START), WEIR_RUN);
        CHECK_EQ(guest.step.at_ns, END);
        CHECK_EQ(look(&guest, END), WEIR_DONE); /* given up; the work may run on */
        CHECK_EQ(weir_call_outcome(&guest.call).status, WEIR_EXPIRED);
        CHECK_EQ(weir_call_outcome(&guest.call).reason, WEIR_REASON_TIMEOUT);
        CHECK_EQ(weir_call_outcome(&guest.call).by, 3);
        CHECK_EQ(weir_bulkhead_stats(desk.bulkhead).in_use, 1); /* it has not ended */
        settle(&guest, FAILED, END + WEIR_S);
        CHECK_EQ(weir_bulkhead_stats(desk.bulkhead).in_use, 0);
        desk_close(&desk, END);
    }
}

TEST(bulkhead_strict, not_strict_it_does_not)
{
    struct guest guest;
    open_pipeline(LIMIT(.queue = 0), 60 * WEIR_S, 30 * WEIR_S, false);
    CHECK_EQ(come(&guest, desk.pipeline, 1, NULL, START), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, START + 30 * WEIR_S);
    go(&guest, START);
    desk_close(&desk, START);
}

TEST(bulkhead_strict, a_shorter_deadline_stays)
{
    struct guest guest;
    open_pipeline(LIMIT(.queue = 0), 60 * WEIR_S, WEIR_S, true);
    CHECK_EQ(come(&guest, desk.pipeline, 1, NULL, START), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, START + WEIR_S);
    go(&guest, START);
    weir_policy_unshare(desk.bulkhead);
    desk_close(&desk, START);
    open_pipeline(LIMIT(.queue = 0), WEIR_S, 60 * WEIR_S, true);
    CHECK_EQ(come(&guest, desk.pipeline, 1, NULL, START), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, START + WEIR_S);
    go(&guest, START);
    desk_close(&desk, START);
}

/* Away from the store there is no lease to end with. */
TEST(bulkhead_strict, away_nothing_is_cut)
{
    struct guest guest;
    open_pipeline(LIMIT(.queue = 0), 60 * WEIR_S, 30 * WEIR_S, true);
    desk_report(&desk, WEIR_LANE_DOWN, START);
    weir_link_step(desk.link, at(END));
    CHECK_EQ(desk_state(&desk), WEIR_SHARE_DEGRADED);
    CHECK_EQ(come(&guest, desk.pipeline, 1, NULL, END), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, END + 30 * WEIR_S);
    go(&guest, END);
    desk_close(&desk, END);
}

/* Each attempt is under its own lease; outside, the deadline is what it was, and whose it was. */
TEST(bulkhead_strict, the_next_attempt_has_the_next_lease)
{
    IN_BOTH_FORMS(form)
    {
        struct guest guest;
        open_pipeline(LIMIT(.form = form), 4 * WEIR_S, 30 * WEIR_S, true);
        CHECK_EQ(come_idempotent(&guest, START), WEIR_RUN);
        CHECK_EQ(guest.step.at_ns, END);
        settle(&guest, FAILED, START + 2 * WEIR_S);
        CHECK_EQ(guest.step.action, WEIR_WAIT);
        desk_grant(&desk, 1, 1, START + 2 * WEIR_S);
        CHECK_EQ(look(&guest, guest.step.at_ns), WEIR_RUN);
        CHECK_EQ(guest.step.at_ns, START + 4 * WEIR_S); /* the outer timeout's, before the new lease's */
        CHECK_EQ(look(&guest, START + 4 * WEIR_S), WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&guest.call).by, 1);
        settle(&guest, FAILED, START + 5 * WEIR_S);
        CHECK_EQ(weir_bulkhead_stats(desk.bulkhead).in_use, 0);
        desk_close(&desk, START + 5 * WEIR_S);
    }
}

/* No deadline but the lease's: afterwards there is none again. */
TEST(bulkhead_strict, without_a_deadline)
{
    struct guest guest;
    struct weir_policy *policy[2];
    desk_link(&desk);
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = 2, .backoff = WEIR_BACKOFF_CONSTANT,
                                   .base_ns = WEIR_MS),
                 &policy[0]),
        WEIR_E_NONE);
    policy[1] = BULKHEAD(.limit = 8);
    desk_share(&desk, policy[1], SHARE(.away = WEIR_AWAY_OPEN, .strict = true));
    CHECK_EQ(weir_pipeline_create(NULL, policy, 2, &desk.pipeline), WEIR_E_NONE);
    for (int i = 0; i < 2; i++) weir_policy_release(policy[i]);
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    CHECK_EQ(come_idempotent(&guest, START), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, END);
    settle(&guest, FAILED, START + WEIR_S);
    weir_policy_unshare(desk.bulkhead);
    CHECK_EQ(look(&guest, guest.step.at_ns), WEIR_RUN);
    CHECK_EQ(guest.step.at_ns, WEIR_NEVER);
    go(&guest, START + WEIR_S);
    desk_close(&desk, START + WEIR_S);
}

/* Also who waited for its permit. And what is abandoned, and comes back later, leaves alone what is not its own. */
TEST(bulkhead_strict, who_waited_is_under_the_lease_too)
{
    IN_BOTH_FORMS(form)
    {
        struct guest first, second;
        open_pipeline(
            LIMIT(.form = form, .queue = 4, .wait_max_ns = 20 * WEIR_S), 60 * WEIR_S, 30 * WEIR_S, true);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&second, desk.pipeline, 1, NULL, START), WEIR_WAIT);
        go(&first, START + WEIR_S);
        CHECK_EQ(look(&second, START + WEIR_S), WEIR_RUN);
        CHECK_EQ(second.step.at_ns, END);
        go(&second, START + WEIR_S);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, END), WEIR_WAIT); /* the lease has ended */
        desk_grant(&desk, 1, 1, END);
        CHECK_EQ(look(&first, END), WEIR_RUN);
        CHECK_EQ(first.step.at_ns, END + LEASE_GOOD);
        go(&first, END);
        CHECK_EQ(weir_bulkhead_stats(desk.bulkhead).in_use, 0);
        desk_close(&desk, END);
    }
}
