#include "policy/hooks.h"

#include "policy/rate.h"

#define START (1000 * WEIR_S)

static struct weir_policy *create(const struct weir_rate_config *config)
{
    struct weir_policy *rate = NULL;
    CHECK_EQ(weir_rate_create(config, &rate), WEIR_E_NONE);
    return rate;
}

#define RATE(...) create(WEIR_CONFIG(weir_rate_config, __VA_ARGS__))

static bool acquire(struct weir_policy *rate, uint32_t cost, uint64_t now_ns)
{
    return weir_rate_acquire_at(rate, cost, now_ns).status == WEIR_OK;
}

/* ---- alone ---- */

TEST(rate, burst_passes_then_one_for_each_period)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 3);
    for (int i = 0; i < 3; i++) CHECK(acquire(rate, 1, START));
    struct weir_outcome outcome = weir_rate_acquire_at(rate, 1, START);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_RATE);
    CHECK_EQ(outcome.retry_after_ns, 100 * WEIR_MS);
    CHECK(!acquire(rate, 1, START + 100 * WEIR_MS - 1));
    CHECK(acquire(rate, 1, START + 100 * WEIR_MS));
    CHECK(!acquire(rate, 1, START + 100 * WEIR_MS));
    CHECK_EQ(weir_rate_stats(rate, START).refused, 3);
    weir_policy_release(rate);
}

TEST(rate, cost_above_the_burst_never_passes)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 5);
    struct weir_outcome outcome = weir_rate_acquire_at(rate, 6, START);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.code, -1);
    CHECK_EQ(outcome.retry_after_ns, 0);
    CHECK(acquire(rate, 5, START));
    CHECK(!acquire(rate, UINT32_MAX, START));
    weir_policy_release(rate);
}

TEST(rate, clock_going_back_adds_nothing)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    CHECK(acquire(rate, 1, START));
    CHECK(!acquire(rate, 1, START - WEIR_S));
    CHECK(!acquire(rate, 1, 0));
    CHECK(acquire(rate, 1, START + 100 * WEIR_MS));
    weir_policy_release(rate);
}

TEST(rate, stays_a_limit_at_the_ends_of_time)
{
    struct weir_policy *rate = RATE(.permits = 1, .period_ns = 86400 * WEIR_S, .burst = 2);
    const uint64_t instants[] = { 0, UINT64_C(100) * 365 * 86400 * WEIR_S };
    for (int i = 0; i < 2; i++) {
        CHECK(acquire(rate, 1, instants[i]));
        CHECK(acquire(rate, 1, instants[i]));
        CHECK(!acquire(rate, 1, instants[i]));
    }
    /* After 73 years time stands still. */
    CHECK(!acquire(rate, 1, WEIR_NEVER - 1));
    weir_policy_release(rate);
}

TEST(rate, greedy_caller_gets_what_was_promised)
{
    struct weir_policy *rate = RATE(.permits = 1000000, .burst = 10);
    uint64_t passed = 0;
    for (uint64_t now_ns = START; now_ns < START + 100 * WEIR_MS; now_ns += 100) {
        passed += acquire(rate, 1, now_ns);
    }
    CHECK(passed >= 100000 - 1);
    CHECK(passed <= 100000 + 10);
    weir_policy_release(rate);
}

TEST(rate, finest_token_is_a_quarter_of_a_nanosecond)
{
    struct weir_policy *rate = RATE(.permits = 4000, .period_ns = WEIR_US, .burst = 10);
    CHECK(acquire(rate, 10, START));
    CHECK(!acquire(rate, 1, START));
    CHECK(acquire(rate, 4, START + 1));
    CHECK(!acquire(rate, 1, START + 1));
    weir_policy_release(rate);
}

TEST(rate, operator_overrules)
{
    struct weir_policy *rate = RATE(.permits = 1, .burst = 1);
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).reason, WEIR_REASON_FORCED);
    weir_policy_set_mode(rate, WEIR_MODE_DISABLED);
    CHECK(acquire(rate, 9, START));
    weir_policy_set_mode(rate, WEIR_MODE_SHADOW);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).flags, 0);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).flags, WEIR_SHADOW);
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_CLOSED);
    CHECK(acquire(rate, 1, START));
    weir_policy_set_mode(rate, WEIR_MODE_ON);
    CHECK(!acquire(rate, 1, START));
    struct weir_rate_stats stats = weir_rate_stats(rate, START);
    CHECK_EQ(stats.refused_forced, 1);
    CHECK_EQ(stats.would_refuse, 1);
    weir_policy_release(rate);
}

TEST(rate, reserve_tells_the_turn_and_gives_back)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_permit first, second, third;
    uint64_t at_ns;
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_S, START, &first, &at_ns).status, WEIR_OK);
    CHECK_EQ(at_ns, START);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_S, START, &second, &at_ns).status, WEIR_OK);
    CHECK_EQ(at_ns, START + 100 * WEIR_MS);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, 150 * WEIR_MS, START, &third, &at_ns).reason, WEIR_REASON_RATE);
    weir_rate_give_back_at(rate, &second, START + 50 * WEIR_MS);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_NEVER, START + 50 * WEIR_MS, &third, &at_ns).status, WEIR_OK);
    CHECK_EQ(at_ns, START + 100 * WEIR_MS);
    CHECK_EQ(weir_rate_reserve_at(rate, 2, WEIR_NEVER, START, &second, &at_ns).code, -1);
    CHECK_EQ(weir_rate_stats(rate, START).given_back, 1);
    CHECK_EQ(weir_rate_stats(rate, START).waited, 2);
    weir_policy_release(rate);
}

/* i's tokens have grown back by 5 of 10; j's place has moved with them, so it may not count from where j's
 * end was when it was taken: k is there now. */
TEST(rate, giving_back_twice_does_not_let_more_pass)
{
    struct weir_policy *rate = RATE(.permits = 1000, .burst = 30);
    struct weir_permit i, j, k;
    uint64_t at_ns;
    CHECK_EQ(weir_rate_reserve_at(rate, 10, 0, START, &i, &at_ns).status, WEIR_OK);
    CHECK_EQ(weir_rate_reserve_at(rate, 10, 0, START, &j, &at_ns).status, WEIR_OK);
    weir_rate_give_back_at(rate, &i, START + 5 * WEIR_MS);
    CHECK_EQ(weir_rate_stats(rate, START + 5 * WEIR_MS).tokens, 20);
    CHECK_EQ(weir_rate_reserve_at(rate, 10, 0, START + 11 * WEIR_MS, &k, &at_ns).status, WEIR_OK);
    weir_rate_give_back_at(rate, &j, START + 12 * WEIR_MS);
    CHECK(weir_rate_stats(rate, START + 12 * WEIR_MS).tokens <= 21);
    weir_policy_release(rate);
}

/* What was told to those who wait stands: a turn given back before theirs is lost, not doubled. */
TEST(rate, giving_back_before_others_turns_does_not_double_them)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_permit first, second, third, fourth;
    uint64_t first_ns, second_ns, third_ns;
    CHECK(acquire(rate, 1, START));
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_S, START, &first, &first_ns).status, WEIR_OK);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_S, START, &second, &second_ns).status, WEIR_OK);
    weir_rate_give_back_at(rate, &first, START);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, WEIR_S, START, &third, &third_ns).status, WEIR_OK);
    CHECK(third_ns >= second_ns + 100 * WEIR_MS);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, 0, START, &fourth, &third_ns).status, WEIR_REJECTED);
    weir_policy_release(rate);
}

TEST(rate, a_reservation_under_an_operators_hand_holds_nothing)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_permit permit;
    uint64_t at_ns;
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_rate_reserve_at(rate, 1, 0, START, &permit, &at_ns).reason, WEIR_REASON_FORCED);
    weir_policy_set_mode(rate, WEIR_MODE_SHADOW);
    CHECK(acquire(rate, 1, START));
    CHECK_EQ(weir_rate_reserve_at(rate, 1, 0, START, &permit, &at_ns).flags, WEIR_SHADOW);
    CHECK_EQ(at_ns, START);
    weir_rate_give_back_at(rate, &permit, START);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 0);
    CHECK_EQ(weir_rate_stats(rate, START).given_back, 0);
    weir_policy_release(rate);
}

static void give_back_twice(void)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_permit permit;
    uint64_t at_ns;
    CHECK_EQ(weir_rate_reserve_at(rate, 1, 0, START, &permit, &at_ns).status, WEIR_OK);
    weir_rate_give_back_at(rate, &permit, START);
    weir_rate_give_back_at(rate, &permit, START);
}

TEST(rate, misuse_aborts)
{
    struct weir_policy *rate = RATE(.permits = 10);
    struct weir_permit permit = { .owner = 0 };
    CHECK_ABORTS(give_back_twice(), "weir_rate_give_back_at: the permit is of another policy");
    CHECK_ABORTS(weir_rate_give_back_at(rate, &permit, 0), "weir_rate_give_back_at: the permit");
    CHECK_ABORTS(weir_rate_give_back_at(rate, NULL, 0), "weir_rate_give_back_at: permit is NULL");
    CHECK_ABORTS(acquire(NULL, 1, 0), "weir_rate_acquire_at: policy is NULL");
    CHECK_ABORTS(acquire(rate, 0, 0), "weir_rate_acquire_at: cost is 0");
    CHECK_ABORTS(weir_rate_stats(NULL, 0), "weir_rate_stats: policy is NULL");
    weir_policy_release(rate);
}

/* ---- in a pipeline ---- */

TEST(rate, admit_refuses_with_the_instant)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_call call = hooks_call(2);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    struct weir_verdict verdict = hooks_admit(rate, &call, START);
    CHECK_EQ(verdict.kind, WEIR_REFUSE);
    CHECK_EQ(verdict.reason, WEIR_REASON_RATE);
    CHECK_EQ(verdict.at_ns, START + 100 * WEIR_MS);
    call.flags |= CALL_WEIGHTED;
    call.weight = 2;
    CHECK_EQ(hooks_admit(rate, &call, START + WEIR_S).kind, WEIR_REFUSE);
    CHECK_EQ(hooks_admit(rate, &call, START + WEIR_S).at_ns, 0);
    weir_policy_release(rate);
}

TEST(rate, held_until_its_turn)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1, .wait_max_ns = 150 * WEIR_MS);
    CHECK((rate->flags & POLICY_READS_DEADLINE) != 0);
    struct weir_call call = hooks_call(1), other = hooks_call(1);
    CHECK_EQ(hooks_admit(rate, &other, START).kind, WEIR_PASS);
    struct weir_verdict verdict = hooks_admit(rate, &call, START);
    CHECK_EQ(verdict.kind, WEIR_HOLD);
    CHECK_EQ(verdict.at_ns, START + 100 * WEIR_MS);
    call.held = 2;
    CHECK_EQ(hooks_admit(rate, &call, START + 1).at_ns, START + 100 * WEIR_MS);
    CHECK_EQ(hooks_admit(rate, &call, START + 100 * WEIR_MS).kind, WEIR_PASS);
    CHECK_EQ(hooks_admit(rate, &other, START).reason, WEIR_REASON_RATE); /* its turn: in 200 ms */
    CHECK_EQ(weir_rate_stats(rate, START).waited, 1);
    weir_policy_release(rate);
}

TEST(rate, a_call_held_by_another_policy_is_asked_as_usual)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1);
    struct weir_call call = hooks_call(1);
    call.held = 1;
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_REFUSE);
    weir_policy_release(rate);
}

TEST(rate, nobody_waits_for_a_turn_at_or_past_the_deadline)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 1, .wait_max_ns = WEIR_S);
    struct weir_call call = hooks_call(0);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    call.attempt.deadline_ns = START + 100 * WEIR_MS;
    CHECK_EQ(hooks_admit(rate, &call, START).reason, WEIR_REASON_RATE_WAIT);
    call.attempt.deadline_ns = 0;
    CHECK_EQ(hooks_admit(rate, &call, START).reason, WEIR_REASON_RATE_WAIT);
    call.attempt.deadline_ns = START + 100 * WEIR_MS + 1;
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_HOLD);
    CHECK_EQ(weir_rate_stats(rate, START).refused_wait, 2);
    weir_policy_release(rate);
}

TEST(rate, gives_back_only_if_nothing_ran)
{
    struct weir_policy *rate = RATE(.permits = 10, .burst = 2);
    struct weir_outcome rejected = { .status = WEIR_REJECTED, .by = 5 }, failed = { .status = WEIR_FAILED };
    struct weir_call call = hooks_call(0);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(rate, &call, &rejected, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 2);
    call.attempt.number = 1; /* admitted on the fast path: there it is 1 before the attempt has begun */
    call.flags &= (uint8_t)~CALL_SLOW;
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    call.flags |= CALL_SLOW;
    CHECK_EQ(hooks_settle(rate, &call, &failed, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 1);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS); /* the second attempt, refused inside */
    CHECK_EQ(hooks_settle(rate, &call, &rejected, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 1);
    CHECK_EQ(weir_rate_stats(rate, START).given_back, 2);
    struct weir_outcome ok = { .status = WEIR_OK }; /* by a fallback inside, in its stead */
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(rate, &call, &ok, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 0);
    weir_policy_release(rate);
}

/* ---- leases ---- */

TEST(rate, form_follows_the_burst)
{
    struct weir_policy *rate = RATE(.permits = 64, .burst = 127);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 0);
    weir_policy_release(rate);
    rate = RATE(.permits = 64, .burst = 128);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 2);
    weir_policy_release(rate);
    rate = RATE(.permits = 1000000);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 256);
    weir_policy_release(rate);
    rate = RATE(.permits = 1000000, .lease = 20000);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 0);
    weir_policy_release(rate);
    rate = RATE(.permits = 1000000, .form = WEIR_FORM_SINGLE);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 0);
    weir_policy_release(rate);
    rate = RATE(.burst = 20, .form = WEIR_FORM_SHARDED);
    CHECK_EQ(weir_rate_stats(rate, START).lease, 1);
    weir_policy_release(rate);
}

TEST(rate, credit_is_spent_before_a_new_lease)
{
    struct weir_policy *rate = RATE(.permits = 1, .burst = 20, .form = WEIR_FORM_SHARDED, .lease = 8);
    CHECK(acquire(rate, 1, START));
    struct weir_rate_stats stats = weir_rate_stats(rate, START);
    CHECK_EQ(stats.tokens, 12);
    CHECK_EQ(stats.leased, 7);
    CHECK(acquire(rate, 9, START)); /* more than a lease: exactly */
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 3);
    CHECK(acquire(rate, 7, START));
    CHECK(acquire(rate, 3, START)); /* no whole lease is left */
    CHECK(!acquire(rate, 1, START));
    CHECK_EQ(weir_rate_stats(rate, START).leased, 0);
    weir_policy_release(rate);
}

TEST(rate, a_line_of_many_threads_has_no_credit)
{
    struct weir_policy *rate = RATE(.permits = 1, .burst = 20, .form = WEIR_FORM_SHARDED, .lease = 8);
    struct weir_call call = hooks_call(0);
    call.shard = SHARDS;
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).tokens, 19);
    CHECK_EQ(weir_rate_stats(rate, START).leased, 0);
    weir_policy_release(rate);
}

TEST(rate, leased_tokens_go_back_to_the_cell_in_their_own_instant_only)
{
    struct weir_policy *rate = RATE(.permits = 1000, .burst = 20, .form = WEIR_FORM_SHARDED, .lease = 8);
    struct weir_outcome rejected = { .status = WEIR_REJECTED, .by = 5 };
    struct weir_call call = hooks_call(0), full = hooks_call(0);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(rate, &call, &rejected, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).leased, 8);
    full.slot[0] = call.slot[0];
    CHECK_EQ(hooks_settle(rate, &full, &rejected, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).leased, 8);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    CHECK_EQ(hooks_settle(rate, &call, &rejected, START + 1).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).leased, 7);
    CHECK_EQ(hooks_admit(rate, &call, START).kind, WEIR_PASS);
    call.shard = SHARDS; /* settled by a thread without a line of its own */
    CHECK_EQ(hooks_settle(rate, &call, &rejected, START).kind, WEIR_PASS);
    CHECK_EQ(weir_rate_stats(rate, START).leased, 6);
    CHECK_EQ(weir_rate_stats(rate, START).given_back, 1);
    weir_policy_release(rate);
}

/* ---- config ---- */

TEST(rate, bad_configs_are_refused)
{
    struct weir_policy *rate = NULL;
#define REFUSED(field, text, ...) \
    CHECK_REFUSED(weir_rate_create(WEIR_CONFIG(weir_rate_config, __VA_ARGS__), &rate), field, text)
    REFUSED("weir_rate_config.permits is 1000000001", "expected 1..1000000000", .permits = 1000000001);
    REFUSED("permits is 4001", "expected 1..4000", .permits = 4001, .period_ns = WEIR_US);
    REFUSED("period_ns is 999", "expected 1000..86400000000000", .period_ns = 999);
    REFUSED("period_ns is 18446744073709551615", "expected", .period_ns = WEIR_OFF);
    REFUSED("burst is 7000", "expected 1..6671", .permits = 1, .period_ns = 86400 * WEIR_S, .burst = 7000);
    REFUSED("burst is 18446744073709551615", "expected", .burst = WEIR_OFF);
    REFUSED("wait_max_ns is 18446744073709551615", "expected 1..", .wait_max_ns = WEIR_OFF);
    REFUSED("form is 3", "weir_form", .form = (enum weir_form)3);
    REFUSED("lease is 101", "expected 1..100", .form = WEIR_FORM_SHARDED, .lease = 101);
    REFUSED("lease is 4", "expected 0 with WEIR_FORM_SINGLE", .form = WEIR_FORM_SINGLE, .lease = 4);
    REFUSED("timing is 9", "weir_timing", .timing = (enum weir_timing)9);
    REFUSED("name is empty", "expected 1..63 bytes", .name = "");
    struct weir_rate_config unknown = { .size = 2 };
    CHECK_EQ(weir_rate_create(&unknown, &rate), WEIR_E_SIZE);
    CHECK_ABORTS((void)!weir_rate_create(NULL, NULL), "weir_rate_create: rate is NULL");
}

TEST(rate, defaults_and_description)
{
    char text[160];
    struct weir_policy *rate = create(NULL);
    struct weir_rate_stats stats = weir_rate_stats(rate, START);
    CHECK_EQ(stats.permits, 100);
    CHECK_EQ(stats.period_ns, WEIR_S);
    CHECK_EQ(stats.burst, 100);
    CHECK_EQ(stats.tokens, 100);
    CHECK_STR(weir_policy_name(rate), "rate");
    CHECK_STR(hooks_describe(rate, text, sizeof text), "100 per 1 s, burst 100, exact");
    weir_policy_release(rate);
    rate = RATE(.permits = 5, .period_ns = 1500 * WEIR_US, .burst = 2048, .wait_max_ns = 20 * WEIR_MS);
    CHECK_STR(hooks_describe(rate, text, sizeof text),
        "5 per 1500 us, burst 2048, leases of 32 per thread: at most 512 more in any window, waits up to 20 "
        "ms");
    weir_policy_release(rate);
    rate = RATE(.permits = 1, .period_ns = 86400 * WEIR_S);
    CHECK_EQ(weir_rate_stats(rate, START).burst, 1);
    weir_policy_release(rate);
}

TEST(rate, nothing_is_taken_at_no_instant)
{
    static const char message[] = "now_ns is WEIR_NEVER, expected an instant";
    struct weir_policy *rate = RATE(.permits = 10, .form = WEIR_FORM_SINGLE);
    struct weir_permit permit;
    uint64_t at_ns;
    CHECK_ABORTS((void)weir_rate_acquire_at(rate, 1, WEIR_NEVER).status, message);
    CHECK_ABORTS((void)weir_rate_reserve_at(rate, 1, 0, WEIR_NEVER, &permit, &at_ns).status, message);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).status, WEIR_OK);
    weir_policy_release(rate);
}
