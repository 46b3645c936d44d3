/* Timeout: a deadline that shrinks on the way in and is restored on the way out. */
#include "policy/hooks.h"

#include <weir/timeout.h>

#define START (1000 * WEIR_S)

static struct weir_policy *create(uint64_t timeout_ns)
{
    struct weir_policy *timeout = NULL;
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = timeout_ns), &timeout),
        WEIR_E_NONE);
    return timeout;
}

static struct weir_outcome expired_by(uint32_t position)
{
    return (struct weir_outcome) { .status = WEIR_EXPIRED, .by = (uint8_t)(position + 1) };
}

TEST(timeout, lowers_the_deadline_and_restores_it)
{
    struct weir_policy *outer = create(WEIR_S), *inner = create(100 * WEIR_MS);
    struct weir_call call = hooks_call(0);
    struct weir_outcome ok = { .status = WEIR_OK };
    CHECK_EQ(hooks_admit(outer, &call, START).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, START + WEIR_S);
    CHECK_EQ(call.deadline_by, 1);
    call.cursor = 1;
    CHECK_EQ(hooks_admit(inner, &call, START + WEIR_MS).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, START + 101 * WEIR_MS);
    CHECK_EQ(call.deadline_by, 2);
    CHECK_EQ(hooks_settle(inner, &call, &ok, START + 2 * WEIR_MS).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, START + WEIR_S);
    CHECK_EQ(call.deadline_by, 1);
    call.cursor = 0;
    CHECK_EQ(hooks_settle(outer, &call, &ok, START + 2 * WEIR_MS).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, WEIR_NEVER);
    CHECK_EQ(call.deadline_by, 0);
    weir_policy_release(inner);
    weir_policy_release(outer);
}

TEST(timeout, never_raises_a_deadline)
{
    struct weir_policy *timeout = create(WEIR_S);
    struct weir_call call = hooks_call(3);
    call.attempt.deadline_ns = START + WEIR_S; /* as early as its own: the one outside stays the cause */
    CHECK_EQ(hooks_admit(timeout, &call, START).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, START + WEIR_S);
    CHECK_EQ(call.deadline_by, 0);
    call.attempt.deadline_ns = START + 1;
    CHECK_EQ(hooks_admit(timeout, &call, START).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, START + 1);
    weir_policy_release(timeout);
}

TEST(timeout, at_the_end_of_time_does_not_wrap)
{
    struct weir_policy *timeout = create(86400 * WEIR_S);
    struct weir_call call = hooks_call(0);
    CHECK_EQ(hooks_admit(timeout, &call, WEIR_NEVER - 5).kind, WEIR_PASS);
    CHECK_EQ(call.attempt.deadline_ns, WEIR_NEVER);
    weir_policy_release(timeout);
}

TEST(timeout, counts_what_it_cut_off_and_nothing_else)
{
    struct weir_policy *timeout = create(WEIR_S);
    struct weir_call call = hooks_call(2);
    struct weir_outcome own = expired_by(2), outer = expired_by(0), inner = expired_by(4);
    struct weir_outcome operation = { .status = WEIR_EXPIRED };
    struct weir_outcome refused = { .status = WEIR_REJECTED, .by = 3 };
    struct weir_outcome late = { .status = WEIR_OK, .flags = WEIR_LATE };
    struct weir_outcome *not_its_own[] = { &outer, &inner, &operation, &refused };
    for (size_t i = 0; i < sizeof not_its_own / sizeof not_its_own[0]; i++) {
        hooks_admit(timeout, &call, START);
        hooks_settle(timeout, &call, not_its_own[i], START + WEIR_S);
    }
    call.late_by = 1;
    hooks_admit(timeout, &call, START);
    hooks_settle(timeout, &call, &late, START + WEIR_S); /* for the one outside it came too late */
    CHECK_EQ(weir_timeout_stats(timeout).expired, 0);
    CHECK_EQ(weir_timeout_stats(timeout).late, 0);
    hooks_admit(timeout, &call, START);
    hooks_settle(timeout, &call, &own, START + WEIR_S);
    CHECK_EQ(weir_timeout_stats(timeout).expired, 1);
    call.late_by = 3;
    hooks_admit(timeout, &call, START);
    hooks_settle(timeout, &call, &late, START + 2 * WEIR_S);
    CHECK_EQ(weir_timeout_stats(timeout).expired, 2);
    CHECK_EQ(weir_timeout_stats(timeout).late, 1);
    weir_policy_release(timeout);
}

TEST(timeout, its_defaults_and_what_it_says)
{
    struct weir_policy *timeout;
    char text[64];
    CHECK_EQ(weir_timeout_create(NULL, &timeout), WEIR_E_NONE);
    CHECK_EQ(weir_timeout_stats(timeout).timeout_ns, WEIR_S);
    CHECK_STR(weir_policy_name(timeout), "timeout");
    CHECK_STR(weir_policy_kind(timeout), "timeout");
    CHECK_STR(hooks_describe(timeout, text, sizeof text), "after 1 s");
    weir_policy_release(timeout);
}

TEST(timeout, bad_configs_are_refused)
{
    struct weir_policy *timeout = NULL;
#define REFUSED(text, ns)                                                                            \
    CHECK_REFUSED(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = ns), &timeout), \
        "weir_timeout_config.timeout_ns is " text, "expected 1000..86400000000000")
    REFUSED("999", WEIR_US - 1);
    REFUSED("86400000000001", 86400 * WEIR_S + 1);
    REFUSED("18446744073709551615", WEIR_OFF);
    CHECK(timeout == NULL);
}
