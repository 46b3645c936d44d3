/* What opens a breaker: each trigger at its boundary, and what must not open it. */
#include "policy/breaker_words.h"

#include "policy/breaker.h"

#include <weir/pipeline.h>
#include <weir/timeout.h>

#include <math.h>

TEST(breaker_trigger, wilson_boundary_is_exact)
{
    /* z = 1, 50 %: (2f - n)^2 > n. Equality is not above. */
    CHECK(!breaker_wilson_above(3, 4, 50, 10));
    CHECK(breaker_wilson_above(4, 4, 50, 10));
    CHECK(!breaker_wilson_above(6, 9, 50, 10));
    CHECK(breaker_wilson_above(7, 9, 50, 10));
    CHECK(!breaker_wilson_above(10, 16, 50, 10));
    CHECK(breaker_wilson_above(11, 16, 50, 10));
    CHECK(!breaker_wilson_above(5050, 10000, 50, 10));
    CHECK(breaker_wilson_above(5051, 10000, 50, 10));
    /* The defaults, z = 3 and 50 %: f = (n + 3 sqrt n) / 2 is the last that is not above. */
    CHECK(!breaker_wilson_above(9, 10, 50, 30));
    CHECK(breaker_wilson_above(10, 10, 50, 30));
    CHECK(!breaker_wilson_above(65, 100, 50, 30));
    CHECK(breaker_wilson_above(66, 100, 50, 30));
    CHECK(!breaker_wilson_above(0, 0, 50, 30));
}

TEST(breaker_trigger, wilson_agrees_with_the_interval_itself)
{
    static const uint32_t percents[] = { 1, 5, 37, 50, 90, 99 }, deviations[] = { 1, 10, 25, 30, 100 };
    for (int i = 0; i < 6 * 5; i++) {
        uint32_t percent = percents[i / 5], tenths = deviations[i % 5];
        long double z = tenths / 10.0L, p0 = percent / 100.0L;
        for (uint64_t n = 1; n <= 120; n++) {
            for (uint64_t f = 0; f <= n; f++) {
                long double p = (long double)f / (long double)n, zz = z * z / (long double)n;
                long double root = sqrtl(p * (1 - p) * zz + zz * zz / 4);
                long double low = (p + zz / 2 - root) / (1 + zz);
                if (fabsl(low - p0) < 1e-12L) continue; /* equality: the test above */
                CHECK_EQ(breaker_wilson_above(f, n, percent, tenths), low > p0);
            }
        }
    }
}

TEST(breaker_trigger, wilson_holds_the_largest_counts)
{
    uint64_t n = UINT64_C(1) << 40;
    CHECK(breaker_wilson_above(n, n, 99, 100));
    CHECK(!breaker_wilson_above(n / 2, n, 50, 1));
    CHECK(breaker_wilson_above(n / 2 + (UINT64_C(1) << 24), n, 50, 30));
}

TEST(breaker_trigger, wilson_waits_for_calls_min)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32);
    calls(breaker, 9, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, wilson_judges_what_the_window_holds)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32);
    calls(breaker, 34, WEIR_OK, START);
    calls(breaker, 63, WEIR_FAILED, START); /* 63 of 97: (126 - 97)^2 = 841 < 9 * 97 = 873 */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START); /* 64 of 98: 900 > 882 */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
    breaker = BREAKER(.consecutive = WEIR_OFF32);
    calls(breaker, 35, WEIR_OK, START);
    calls(breaker, 65, WEIR_FAILED, START); /* 65 of 100: equality */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, wilson_is_not_fooled_by_few_calls)
{
    /* 60 % of ten may be chance; 60 % of a thousand is none. */
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32);
    for (int i = 0; i < 200; i++) call(breaker, i % 5 < 2 ? WEIR_OK : WEIR_FAILED, START);
    CHECK_EQ(stats_at(breaker, START).calls, 200);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    int more = 0;
    while (state_at(breaker, START) == WEIR_BREAKER_CLOSED && more < 800) {
        call(breaker, more++ % 5 < 2 ? WEIR_OK : WEIR_FAILED, START);
    }
    CHECK(more < 40);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, plain_rate_reaches_its_percentage)
{
    struct weir_policy *breaker =
        BREAKER(.z_tenths = WEIR_OFF32, .consecutive = WEIR_OFF32, .plain_percent = 60);
    calls(breaker, 40, WEIR_OK, START);
    calls(breaker, 59, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, plain_rate_waits_for_calls_min)
{
    struct weir_policy *breaker =
        BREAKER(.z_tenths = WEIR_OFF32, .consecutive = WEIR_OFF32, .plain_percent = 1, .calls_min = 20);
    calls(breaker, 19, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, consecutive_failures_broken_by_a_success)
{
    struct weir_policy *breaker = BREAKER(.consecutive = 3, .calls_min = 100);
    for (int i = 0; i < 10; i++) {
        calls(breaker, 2, WEIR_FAILED, START);
        call(breaker, WEIR_OK, START);
    }
    calls(breaker, 2, WEIR_FAILED, START);
    CHECK_EQ(stats_at(breaker, START).streak, 2);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, consecutive_failures_count_only_while_calls_are_few)
{
    struct weir_policy *breaker = BREAKER(.consecutive = 5, .calls_min = 10);
    calls(breaker, 9, WEIR_OK, START);
    calls(breaker, 8, WEIR_FAILED, START); /* 8 in a row, but 17 calls, and 8 of 17 is no rate */
    CHECK_EQ(stats_at(breaker, START).streak, 8);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, consecutive_failures_count_only_while_calls_are_few_also_after_closing)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    calls(breaker, 1000, WEIR_OK, now_ns + WEIR_MS); /* in the bucket in which it closed */
    calls(breaker, 5, WEIR_FAILED, now_ns + WEIR_MS);
    CHECK_EQ(state_at(breaker, now_ns + WEIR_MS), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, what_says_nothing_neither_breaks_nor_makes_a_streak)
{
    struct weir_policy *breaker = BREAKER(.consecutive = 3);
    calls(breaker, 2, WEIR_FAILED, START);
    calls(breaker, 50, WEIR_CANCELED, START);
    calls(breaker, 50, WEIR_IGNORED, START);
    calls(breaker, 50, WEIR_REJECTED, START);
    calls(breaker, 50, WEIR_OVERLOADED, START);
    struct weir_breaker_stats stats = stats_at(breaker, START);
    CHECK_EQ(stats.calls, 2);
    CHECK_EQ(stats.streak, 2);
    CHECK_EQ(stats.overloaded, 50);
    call(breaker, WEIR_FAILED, START);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

static void slow_call(struct weir_policy *breaker, uint64_t took_ns)
{
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, START));
    leave(breaker, &permit, WEIR_OK, START + took_ns);
}

TEST(breaker_trigger, slow_calls_reach_their_percentage)
{
    struct weir_policy *breaker = BREAKER(.slow_ns = 100 * WEIR_MS, .slow_percent = 80);
    slow_call(breaker, 100 * WEIR_MS - 1);
    slow_call(breaker, 0);
    for (int i = 0; i < 7; i++) slow_call(breaker, 100 * WEIR_MS);
    CHECK_EQ(stats_at(breaker, START).slow, 7);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED); /* 7 of 9: not calls_min yet */
    slow_call(breaker, 100 * WEIR_MS);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN); /* 8 of 10 */
    CHECK_EQ(stats_at(breaker, START).counted_slow, 8);
    CHECK_EQ(stats_at(breaker, START).counted_ok, 10);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, one_slow_call_less_does_not)
{
    struct weir_policy *breaker = BREAKER(.slow_ns = 100 * WEIR_MS, .slow_percent = 80);
    for (int i = 0; i < 3; i++) slow_call(breaker, 0);
    for (int i = 0; i < 11; i++) slow_call(breaker, 100 * WEIR_MS); /* 11 of 14: 78 % */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    slow_call(breaker, 100 * WEIR_MS); /* 12 of 15 */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

/* In a pipeline the machine says how long a call ran: from its begin, or, off the fast lists, from its attempt. */
TEST(breaker_trigger, slow_calls_of_a_pipeline_are_slow_on_both_lists)
{
    for (int listed = 0; listed < 2; listed++) {
        struct weir_policy *breaker = BREAKER(.slow_ns = 100 * WEIR_MS), *timeout = NULL;
        CHECK_EQ(weir_timeout_create(NULL, &timeout), WEIR_E_NONE);
        struct weir_policy *order[] = { timeout, breaker };
        struct weir_pipeline *pipeline = NULL;
        CHECK_EQ(weir_pipeline_create(NULL, order, 2, &pipeline), WEIR_E_NONE);
        if (listed) weir_policy_set_mode(timeout, WEIR_MODE_DISABLED); /* every call takes the full list */
        for (uint64_t short_of_ns = 0; short_of_ns < 2; short_of_ns++) {
            struct weir_call each;
            uint64_t end_ns = START + 100 * WEIR_MS - short_of_ns;
            CHECK_EQ(weir_call_begin(&each, pipeline, NULL, START).action, WEIR_RUN);
            CHECK_EQ(weir_call_settle(&each, 1, outcome_of(WEIR_OK), end_ns).action, WEIR_DONE);
            CHECK_EQ(stats_at(breaker, START).counted_slow, 1);
            CHECK_EQ(stats_at(breaker, START).counted_ok, 1 + short_of_ns);
        }
        weir_policy_release(timeout);
        weir_policy_release(breaker);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(breaker_trigger, each_of_them_alone_is_enough)
{
    struct weir_breaker_config off = weir_breaker_config_init();
    struct weir_policy *breaker = NULL;
    off.z_tenths = off.consecutive = WEIR_OFF32;
    CHECK_EQ(weir_breaker_create(&off, &breaker), WEIR_E_INVALID);
    for (int trigger = 0; trigger < 5; trigger++) {
        struct weir_breaker_config one = off;
        if (trigger == 0) one.z_tenths = 30;
        if (trigger == 1) one.plain_percent = 50;
        if (trigger == 2) one.consecutive = 5;
        if (trigger == 3) one.slow_ns = WEIR_S;
        if (trigger == 4) one.overload_open_ns_max = WEIR_S;
        weir_policy_release(breaker_of(&one));
    }
}

TEST(breaker_trigger, the_window_forgets_and_the_totals_do_not)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32, .window_ns = 10 * WEIR_S);
    calls(breaker, 9, WEIR_FAILED, START);
    call(breaker, WEIR_FAILED, START + 11 * WEIR_S);
    struct weir_breaker_stats stats = stats_at(breaker, START + 11 * WEIR_S);
    CHECK_EQ(stats.state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats.calls, 1);
    CHECK_EQ(stats.counted_failed, 10);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, the_window_still_holds_what_is_younger)
{
    struct weir_policy *breaker = BREAKER(.consecutive = WEIR_OFF32, .window_ns = 10 * WEIR_S);
    calls(breaker, 9, WEIR_FAILED, START);
    call(breaker, WEIR_FAILED, START + 9 * WEIR_S);
    CHECK_EQ(state_at(breaker, START + 9 * WEIR_S), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, failures_from_before_it_closed_do_not_count)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .open_ns = WEIR_MS, .calls_min = 6);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    calls(breaker, 4, WEIR_FAILED, now_ns + WEIR_S); /* with the old five it would be nine */
    CHECK_EQ(state_at(breaker, now_ns + WEIR_S), WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats_at(breaker, now_ns + WEIR_S).calls, 4);
    weir_policy_release(breaker);
}

static void overload(struct weir_policy *breaker, uint64_t retry_after_ns)
{
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, START));
    struct weir_outcome outcome = { .status = WEIR_OVERLOADED, .retry_after_ns = retry_after_ns };
    weir_breaker_release_at(breaker, &permit, outcome, START);
}

TEST(breaker_trigger, overloaded_opens_for_its_retry_after)
{
    struct weir_policy *breaker = BREAKER(.overload_open_ns_max = 10 * WEIR_S);
    overload(breaker, 0);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    overload(breaker, 4 * WEIR_S);
    struct weir_breaker_stats stats = stats_at(breaker, START);
    CHECK_EQ(stats.state, WEIR_BREAKER_OPEN);
    CHECK(stats.until_ns >= START + 4 * WEIR_S);
    CHECK(stats.until_ns <= START + 4 * WEIR_S + LOOSE);
    CHECK_EQ(stats.overloaded, 2);
    CHECK_EQ(stats.calls, 0);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, overloaded_opens_at_most_so_long)
{
    struct weir_policy *breaker = BREAKER(.overload_open_ns_max = 10 * WEIR_S);
    overload(breaker, WEIR_NEVER);
    CHECK(stats_at(breaker, START).until_ns >= START + 10 * WEIR_S);
    CHECK(stats_at(breaker, START).until_ns <= START + 10 * WEIR_S + LOOSE);
    weir_policy_release(breaker);
}

TEST(breaker_trigger, overloaded_opens_nothing_unless_asked_to)
{
    struct weir_policy *breaker = BREAKER(.name = "plain");
    for (int i = 0; i < 100; i++) overload(breaker, 4 * WEIR_S);
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    CHECK_EQ(stats_at(breaker, START).overloaded, 100);
    weir_policy_release(breaker);
}

/* More calls in a bucket than it counts: both windows halve, so that the share of slow ones stays what it is. */
TEST(breaker_trigger, many_calls_do_not_make_more_of_them_slow)
{
    struct weir_policy *breaker =
        BREAKER(.window_ns = 3600 * WEIR_S, .calls_min = 1000, .slow_ns = WEIR_MS, .slow_percent = 80);
    for (uint32_t i = 0; i < 5000000; i++) {
        struct weir_permit permit;
        CHECK_EQ(weir_breaker_acquire_at(breaker, &permit, START).status, WEIR_OK);
        uint64_t slow_ns = i % 20 < 9 ? WEIR_MS : 0; /* 45 % */
        weir_breaker_release_at(breaker, &permit, outcome_of(WEIR_OK), START + slow_ns);
    }
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, START);
    CHECK_EQ(stats.opened, 0);
    CHECK_EQ(stats.counted_ok, 5000000);
    CHECK_EQ(stats.counted_slow, 2250000);
    CHECK(stats.slow * 100 >= stats.calls * 44);
    CHECK(stats.slow * 100 <= stats.calls * 46);
    weir_policy_release(breaker);
}

/* Without a slow limit there is no second window to halve. */
TEST(breaker_trigger, many_calls_without_a_slow_limit)
{
    struct weir_policy *breaker = BREAKER(.window_ns = 3600 * WEIR_S);
    struct weir_permit permit;
    for (uint32_t i = 0; i < (1u << 21) + 10; i++) {
        CHECK_EQ(weir_breaker_acquire_at(breaker, &permit, START).status, WEIR_OK);
        weir_breaker_release_at(breaker, &permit, outcome_of(WEIR_OK), START);
    }
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, START);
    CHECK_EQ(stats.counted_ok, (1u << 21) + 10);
    CHECK(stats.calls < (1u << 21));
    weir_policy_release(breaker);
}

TEST(breaker_trigger, a_window_whose_bucket_is_a_power_of_two_slides)
{
    for (uint32_t bits = 20; bits <= 37; bits++) {
        uint64_t window_ns = UINT64_C(16) << bits;
        struct weir_policy *breaker =
            BREAKER(.window_ns = window_ns, .calls_min = 10, .consecutive = WEIR_OFF32);
        calls(breaker, 9, WEIR_FAILED, START);
        CHECK_EQ(weir_breaker_stats(breaker, START).failures, 9);
        CHECK_EQ(weir_breaker_stats(breaker, START + 2 * window_ns).failures, 0);
        calls(breaker, 1, WEIR_FAILED, START + 2 * window_ns);
        CHECK_EQ(weir_breaker_stats(breaker, START + 2 * window_ns).opened, 0);
        weir_policy_release(breaker);
    }
}

/* After how long a breaker opens when steady traffic that was well fails all at once, and how docs/policies/breaker.md
 * tells it. */
static uint64_t blind_for(uint64_t window_ns, uint64_t pause_ns)
{
    struct weir_policy *breaker = BREAKER(.window_ns = window_ns);
    uint64_t now_ns = START;
    for (; now_ns < START + 3 * window_ns; now_ns += pause_ns) calls(breaker, 1, WEIR_OK, now_ns);
    uint64_t failing_ns = now_ns;
    for (; weir_breaker_stats(breaker, now_ns).opened == 0; now_ns += pause_ns) {
        calls(breaker, 1, WEIR_FAILED, now_ns);
    }
    weir_policy_release(breaker);
    return now_ns - pause_ns - failing_ns;
}

TEST(breaker_trigger, steady_traffic_must_fail_for_half_the_window)
{
    uint64_t thin_ns = blind_for(10 * WEIR_S, 100 * WEIR_MS), thick_ns = blind_for(10 * WEIR_S, WEIR_MS);
    CHECK(thin_ns >= 6 * WEIR_S && thin_ns <= 6500 * WEIR_MS);
    CHECK(thick_ns >= 5 * WEIR_S && thick_ns <= 5500 * WEIR_MS);
    uint64_t twice_ns = blind_for(20 * WEIR_S, WEIR_MS);
    CHECK(twice_ns >= 2 * thick_ns - WEIR_S && twice_ns <= 2 * thick_ns + WEIR_S);
    CHECK(blind_for(WEIR_S, WEIR_MS) <= 700 * WEIR_MS);
}
