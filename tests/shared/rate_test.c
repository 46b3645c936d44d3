/* A shared rate limit on a link, by answers that are written by hand. */
#include "shared/rate_one.h"

#include "policy/hooks.h"
#include "policy/rate.h"

#include <sys/wait.h>
#include <unistd.h>

#define GOOD_NS (WEIR_S - WEIR_S / 64 - 2 * WEIR_MS) /* of a lease of 1 s */

TEST(shared_rate, nothing_passes_before_it_is_lent)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64, .form = WEIR_FORM_SINGLE);
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(carried_is_asking(&c), false);
    CHECK_EQ(take_all(rate), 0);
    begin(1);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_SHARED);
    CHECK_EQ(take_all(rate), 1);
    CHECK_EQ(c.ask.kind, WEIR_ASK_RATE);
    CHECK_EQ(c.ask.count, 12);
    CHECK_EQ(c.ask.number[ASK_SEQUENCE], 1);
    CHECK_EQ(c.ask.number[ASK_PERMITS], 1);
    CHECK_EQ(c.ask.number[ASK_PERIOD], 1000);
    CHECK_EQ(c.ask.number[ASK_BURST], 64);
    CHECK_EQ(c.ask.number[ASK_UNSPENT], 0);
    CHECK_EQ(c.ask.number[ASK_HOLD_MAX], 0);
    CHECK_EQ(c.ask.number[ASK_LEASE], 1000);
    drop(rate);
}

TEST(shared_rate, takes_no_more_than_it_asked_for)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(1000000);
    CHECK_EQ(take_all(rate), (uint64_t)c.ask.number[ASK_WANT]);
    drop(rate);
}

TEST(shared_rate, what_is_lent_ends_with_its_lease_counted_from_the_question)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    uint64_t end_ns = weir_share_stats(rate).lease_end_ns;
    CHECK_EQ(end_ns, c.now_ns + GOOD_NS);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, end_ns - 1).status, WEIR_OK);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, end_ns).status, WEIR_REJECTED);
    carried_report(&c, WEIR_LANE_DOWN, 0);
    CHECK(!carried_pass(&c, 2 * WEIR_S));
    CHECK_EQ(weir_share_stats(rate).held, 0);
    CHECK_EQ(weir_share_stats(rate).expired, 8);
    drop(rate);
}

TEST(shared_rate, an_answer_after_its_own_lease_brings_nothing)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    carried_step(&c);
    carried_report(&c, WEIR_LANE_UP, 11);
    carried_pull(&c);
    c.now_ns += GOOD_NS;
    carried_grant(&c, 1, 1, 0);
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(weir_share_stats(rate).expired, 1);
    drop(rate);
}

TEST(shared_rate, a_question_tells_all_that_can_be_spent_in_either_form)
{
    for (int form = WEIR_FORM_SINGLE; form <= WEIR_FORM_SHARDED; form++) {
        struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 128,
            .form = (enum weir_form)form, .lease = form == WEIR_FORM_SHARDED ? 8 : 0);
        begin(0);
        lend(rate, 40);
        CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_OK);
        struct weir_rate_stats stats = weir_rate_stats(rate, c.now_ns);
        CHECK_EQ(stats.tokens + stats.leased, 39);
        CHECK_EQ(stats.leased != 0, form == WEIR_FORM_SHARDED);
        carried_pull(&c);
        CHECK_EQ(c.ask.number[ASK_UNSPENT] + c.ask.number[ASK_RETURNED], 39);
        carried_grant(&c, 0, 2, 0);
        CHECK_EQ(take_all(rate), (uint64_t)c.ask.number[ASK_UNSPENT]);
        drop(rate);
    }
}

TEST(shared_rate, a_cells_credit_lives_on_with_the_lease)
{
    struct weir_policy *rate =
        RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 128, .form = WEIR_FORM_SHARDED, .lease = 8);
    begin(0);
    lend(rate, 40);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_OK);
    uint64_t leased = weir_rate_stats(rate, c.now_ns).leased, end_ns = weir_share_stats(rate).lease_end_ns;
    CHECK(leased != 0);
    while (weir_share_stats(rate).lease_end_ns == end_ns) {
        carried_pull(&c);
        carried_grant(&c, 0, 2, 0);
    }
    c.now_ns = end_ns;
    CHECK_EQ(take_all(rate), (uint64_t)c.ask.number[ASK_UNSPENT]);
    CHECK_EQ(weir_rate_stats(rate, c.now_ns).leased, 0);
    drop(rate);
}

TEST(shared_rate, what_is_given_back_returns_unless_somebody_was_told)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64, .form = WEIR_FORM_SINGLE);
    struct weir_permit first, second;
    uint64_t at_ns;
    begin(0);
    lend(rate, 9);
    CHECK_EQ(weir_rate_reserve_at(rate, 2, WEIR_S, c.now_ns, &first, &at_ns).status, WEIR_OK);
    CHECK_EQ(at_ns, c.now_ns);
    CHECK_EQ(weir_rate_reserve_at(rate, 2, WEIR_S, c.now_ns, &second, &at_ns).status, WEIR_OK);
    weir_rate_give_back_at(rate, &first, c.now_ns);
    CHECK_EQ(weir_share_stats(rate).held, 7);
    carried_pull(&c);
    weir_rate_give_back_at(rate, &second, c.now_ns);
    CHECK_EQ(weir_rate_stats(rate, c.now_ns).given_back, 1);
    carried_grant(&c, 0, 2, 0);
    drop(rate);
}

TEST(shared_rate, an_empty_store_is_not_asked_again_before_it_has_any)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 10, .burst = 64);
    begin(0);
    uint32_t rings = c.rings;
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_REJECTED);
    CHECK_EQ(c.rings, rings);
    carried_pull(&c);
    carried_grant(&c, 0, 2, 500000);
    rings = c.rings;
    struct weir_outcome outcome = weir_rate_acquire_at(rate, 1, c.now_ns);
    CHECK(outcome.retry_after_ns >= 500 * WEIR_MS);
    CHECK(outcome.retry_after_ns <= 563 * WEIR_MS);
    CHECK(!carried_pass(&c, 499 * WEIR_MS));
    CHECK_EQ(c.rings, rings);
    CHECK(weir_share_stats(rate).denied >= 1);
    CHECK(carried_pass(&c, 65 * WEIR_MS));
    carried_grant(&c, 1, 2, 0);
    CHECK_EQ(take_all(rate), 1);
    drop(rate);
}

TEST(shared_rate, a_refusal_after_idleness_rings_once)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 10, .burst = 3);
    begin(1);
    CHECK_EQ(take_all(rate), 1);
    for (int i = 0; i < 20; i++) {
        if (carried_pass(&c, WEIR_S)) carried_grant(&c, 0, 2, 0);
    }
    CHECK(!carried_pass(&c, 10 * WEIR_S)); /* none is kept: another might lack it */
    uint32_t rings = c.rings;
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(c.rings, rings + 1);
    CHECK(carried_is_asking(&c));
    carried_grant(&c, 1, 2, 0);
    CHECK_EQ(take_all(rate), 1);
    drop(rate);
}

TEST(shared_rate, a_refusal_in_a_pipeline_asks_for_a_ring)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 10, .burst = 3);
    begin(1);
    CHECK_EQ(take_all(rate), 1);
    for (int i = 0; i < 20; i++) {
        if (carried_pass(&c, WEIR_S)) carried_grant(&c, 0, 2, 0);
    }
    struct weir_call call = hooks_call(0);
    struct weir_verdict verdict = hooks_admit(rate, &call, c.now_ns);
    CHECK_EQ(verdict.kind, WEIR_REFUSE);
    CHECK_EQ(verdict.flags, VERDICT_RING);
    CHECK_EQ(hooks_admit(rate, &call, c.now_ns).flags, 0);
    drop(rate);
}

/* It looks by itself within a pace, or when its answer comes: a ring would wake a thread for nothing. */
TEST(shared_rate, a_link_that_looks_soon_is_not_rung)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(1);
    uint32_t rings = 0;
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(take_all(rate), 1);
        carried_pull(&c);
        CHECK_EQ(weir_rate_acquire_at(rate, 2, c.now_ns).status, WEIR_REJECTED);
        carried_grant(&c, 1, 2, 0);
        if (i == 0) rings = c.rings; /* then it knows what is needed */
    }
    CHECK_EQ(c.rings, rings);
    drop(rate);
}

TEST(shared_rate, idle_it_gives_back_all_but_one)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    uint64_t returned = 0;
    for (int i = 0; i < 40; i++) {
        if (!carried_pass(&c, 100 * WEIR_MS)) continue;
        returned += (uint64_t)c.ask.number[ASK_RETURNED];
        carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(returned, 8);
    CHECK_EQ(weir_share_stats(rate).returned, 8);
    CHECK_EQ(weir_share_stats(rate).held, 1);
    uint64_t asked = weir_share_stats(rate).asked;
    for (int i = 0; i < 10; i++) {
        if (carried_pass(&c, 100 * WEIR_MS)) carried_grant(&c, 0, 2, 0);
    }
    CHECK(weir_share_stats(rate).asked - asked <= 3);
    drop(rate);
}

TEST(shared_rate, idle_it_keeps_none_that_others_might_lack)
{
    struct weir_policy *rate = create(WEIR_CONFIG(weir_rate_config, .permits = 1000, .burst = 64),
        (struct weir_share_config) { .away = WEIR_AWAY_CLOSED, .lease_max = 3 }, 7);
    begin(0);
    lend(rate, 3);
    for (int i = 0; i < 40; i++) {
        if (carried_pass(&c, 100 * WEIR_MS)) carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(weir_share_stats(rate).returned, 3);
    CHECK_EQ(weir_share_stats(rate).held, 0);
    CHECK(!carried_pass(&c, 10 * WEIR_S));
    drop(rate);
}

/* However often it runs dry. */
TEST(shared_rate, wants_no_more_than_it_is_lent_at_once)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    int64_t most = 0;
    begin(0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weir_rate_acquire_at(rate, 20, c.now_ns).status, WEIR_REJECTED);
        carried_pull(&c);
        if (c.ask.number[ASK_WANT] > most) most = c.ask.number[ASK_WANT];
        carried_grant(&c, 0, 2, 0);
    }
    CHECK_EQ(most, 32);
    drop(rate);
}

TEST(shared_rate, each_time_it_runs_dry_it_wants_twice_as_much)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    int64_t before = 0;
    begin(0);
    for (int64_t least = 1; least <= 32; least *= 2) {
        CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_REJECTED);
        carried_pull(&c);
        CHECK(c.ask.number[ASK_WANT] >= least);
        CHECK(c.ask.number[ASK_WANT] >= before);
        before = c.ask.number[ASK_WANT];
        carried_grant(&c, 0, 2, 0);
    }
    drop(rate);
}

TEST(shared_rate, what_was_refused_is_demand)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    c.now_ns += 10 * WEIR_MS;
    for (int i = 0; i < 50; i++) CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_REJECTED);
    carried_pull(&c);
    CHECK(c.ask.number[ASK_WANT] >= 20); /* 50 in 10 ms, for 5 ms */
    carried_grant(&c, 0, 2, 0);
    drop(rate);
}

/* Of 10 in a second two processes have one each 200 ms: half of that, however often it is refused. */
TEST(shared_rate, asks_no_more_than_once_in_a_pace)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 10, .burst = 64);
    begin(1);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(take_all(rate), 1);
        uint64_t before_ns = c.now_ns;
        carried_pull(&c);
        if (i != 0) CHECK(c.now_ns >= before_ns + 100 * WEIR_MS);
        carried_grant(&c, 1, 2, 0);
    }
    drop(rate);
}

TEST(shared_rate, unshared_it_gives_back_and_is_its_own_from_an_empty_bucket)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    weir_policy_unshare(rate);
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(weir_rate_stats(rate, c.now_ns + 10 * WEIR_MS).tokens, 10);
    CHECK(!weir_link_is_flushed(c.link));
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_RETURNED], 9);
    CHECK_EQ(c.ask.number[ASK_UNSPENT], 0);
    CHECK_EQ(c.ask.number[ASK_WANT], 0);
    carried_grant(&c, 0, 1, 0);
    CHECK(weir_link_is_flushed(c.link));
    drop(rate);
}

TEST(shared_rate, unshared_while_it_asks_it_gives_back_what_comes)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    CHECK_EQ(take_all(rate), 9);
    carried_pull(&c);
    int64_t want = c.ask.number[ASK_WANT];
    CHECK(want >= 1);
    weir_policy_unshare(rate);
    carried_grant(&c, want, 1, 0);
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_RETURNED], want);
    carried_grant(&c, 0, 1, 0);
    CHECK(!carried_pass(&c, 5 * WEIR_S));
    drop(rate);
}

TEST(shared_rate, flushed_it_gives_back_all_and_asks_no_more)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_SHARE, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    weir_link_flush(c.link, carried_now(&c));
    CHECK(!weir_link_is_flushed(c.link));
    carried_pull(&c);
    CHECK_EQ(c.ask.number[ASK_RETURNED], 9);
    CHECK_EQ(c.ask.number[ASK_WANT], 0);
    carried_grant(&c, 0, 2, 0);
    CHECK(weir_link_is_flushed(c.link));
    CHECK_EQ(take_all(rate), 0);
    CHECK(!carried_pass(&c, 5 * WEIR_S));
    weir_link_close(c.link, carried_now(&c));
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns + WEIR_MS).status, WEIR_OK);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DETACHED);
    drop(rate);
}

TEST(shared_rate, after_a_sleep_what_was_lent_is_void_in_cells_too)
{
    struct weir_policy *rate =
        RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 128, .form = WEIR_FORM_SHARDED, .lease = 8);
    begin(0);
    lend(rate, 40);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_OK);
    c.slept_ns = WEIR_S;
    carried_step(&c);
    CHECK_EQ(take_all(rate), 0);
    CHECK_EQ(weir_share_stats(rate).expired, 39);
    drop(rate);
}

/* The answer may be at hand before anybody steps the link. */
TEST(shared_rate, what_was_granted_before_a_sleep_is_as_old_as_that)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 128);
    begin(0);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_REJECTED);
    carried_pull(&c);
    c.slept_ns = 2 * WEIR_S; /* a lease is good for 1 s */
    carried_grant(&c, c.ask.number[ASK_WANT], 2, 0);
    CHECK_EQ(take_all(rate), 0);
    drop(rate);
}

/* ---- what else there is ---- */

TEST(shared_rate, a_child_holds_nothing_and_its_limit_is_its_own)
{
    struct weir_policy *rate =
        RATE(WEIR_AWAY_OPEN, .permits = 1000, .burst = 128, .form = WEIR_FORM_SHARDED, .lease = 8);
    begin(0);
    lend(rate, 40);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).status, WEIR_OK);
    int child = fork();
    if (child == 0) {
        uint64_t end_ns = weir_share_stats(rate).lease_end_ns;
        bool good = weir_rate_acquire_at(rate, 1, c.now_ns).status == WEIR_REJECTED;
        uint64_t next_ns = c.now_ns + WEIR_MS; /* its own limit lets one in then, and no more */
        good &= weir_rate_acquire_at(rate, 1, next_ns).status == WEIR_OK;
        good &= weir_rate_acquire_at(rate, 1, next_ns).status == WEIR_REJECTED;
        good &= weir_share_state(rate) == WEIR_SHARE_DETACHED;
        weir_policy_release(rate);
        _exit(good && end_ns == 0 ? 0 : 1);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(take_all(rate), 39);
    drop(rate);
}

TEST(shared_rate, says_what_it_is_lent)
{
    char text[200];
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 9);
    CHECK_STR(hooks_describe(rate, text, sizeof text),
        "1000 per 1 s, burst 64, exact, shared by 2: has 9 of at most 32 that it is lent");
    drop(rate);
}

TEST(shared_rate, an_operator_overrules)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    lend(rate, 2);
    weir_policy_set_mode(rate, WEIR_MODE_SHADOW);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).flags, i < 2 ? 0 : WEIR_SHADOW);
    }
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, c.now_ns).reason, WEIR_REASON_FORCED);
    drop(rate);
}

TEST(shared_rate, a_cost_above_what_it_is_lent_at_once_never_passes)
{
    struct weir_policy *rate = RATE(WEIR_AWAY_CLOSED, .permits = 1000, .burst = 64);
    begin(0);
    CHECK_EQ(weir_rate_acquire_at(rate, 33, c.now_ns).code, -1);
    CHECK_EQ(weir_rate_acquire_at(rate, 32, c.now_ns).code, 0);
    lend(rate, 32);
    CHECK_EQ(weir_rate_acquire_at(rate, 32, c.now_ns).status, WEIR_OK);
    drop(rate);
}

TEST(shared_rate, a_limit_that_cannot_be_shared_stays_as_it_was)
{
    struct weir_policy *rate = NULL;
    carried_create(&c, 7);
    weir_link_close(c.link, carried_now(&c));
    CHECK_EQ(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 10, .burst = 5), &rate), WEIR_E_NONE);
    CHECK_REFUSED(
        weir_policy_share(rate, WEIR_CONFIG(weir_share_config, .link = c.link, .away = WEIR_AWAY_CLOSED)),
        "closed", "link");
    CHECK_EQ(take_all(rate), 5);
    drop(rate);
}

static enum weir_error try(const struct weir_rate_config *config, struct weir_share_config share)
{
    struct weir_policy *rate = NULL;
    struct weir_rate_config shared = *config;
    share.size = sizeof share;
    share.link = c.link;
    shared.share = &share;
    enum weir_error error = weir_rate_create(&shared, &rate);
    CHECK_EQ(rate == NULL, error != WEIR_E_NONE);
    return error;
}

TEST(shared_rate, bad_configs_are_refused)
{
    carried_create(&c, 7);
#define SHARE(...) ((struct weir_share_config) { __VA_ARGS__ })
#define LIMIT(...) WEIR_CONFIG(weir_rate_config, __VA_ARGS__)
    CHECK_REFUSED(try(LIMIT(.permits = 10), SHARE(.strict = true)), "away is 0", "WEIR_AWAY_SHARE");
    CHECK_REFUSED(try(LIMIT(.permits = 10), SHARE(.away = WEIR_AWAY_OPEN, .lease_ns = WEIR_MS)), "lease_ns",
        "expected 50000000..60000000000");
    CHECK_REFUSED(try(LIMIT(.permits = 10, .burst = 10), SHARE(.away = WEIR_AWAY_OPEN, .lease_max = 11)),
        "lease_max is 11", "expected 1..10");
    CHECK_REFUSED(try(LIMIT(.permits = 10, .burst = 1), SHARE(.away = WEIR_AWAY_OPEN, .strict = true)),
        "burst is 1", "shared strictly");
    CHECK_REFUSED(try(LIMIT(.permits = 10, .wait_max_ns = WEIR_S), SHARE(.away = WEIR_AWAY_OPEN)),
        "wait_max_ns", "retry");
    CHECK_REFUSED(try(LIMIT(.permits = 1000000000, .burst = 10), SHARE(.away = WEIR_AWAY_OPEN)),
        "burst is 10", "expected more");
    CHECK_REFUSED(try(LIMIT(.permits = 999999937, .period_ns = 86399999999999, .burst = 1000),
                      SHARE(.away = WEIR_AWAY_OPEN)),
        "burst is 1000", "divisors");
#undef SHARE
#undef LIMIT
    carried_close(&c);
    c.link = NULL;
}
