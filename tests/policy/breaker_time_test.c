/* The breaker's times: how long it stays open, leases of probes, the ramp. */
#include "policy/breaker_words.h"

#include <weir/pipeline.h>

/* From open at now_ns: lets the probe fail and answers for how long it is open again. */
static uint64_t fail_probe(struct weir_policy *breaker, uint64_t *now_ns)
{
    *now_ns = stats_at(breaker, *now_ns).until_ns;
    call(breaker, WEIR_FAILED, *now_ns);
    return stats_at(breaker, *now_ns).until_ns - *now_ns;
}

static void check_about(uint64_t value, uint64_t expected)
{
    CHECK(value >= expected);
    CHECK(value <= expected + LOOSE);
}

TEST(breaker_time, open_time_doubles_up_to_its_maximum)
{
    struct weir_policy *breaker = BREAKER(.open_ns = WEIR_S, .open_max_ns = 30 * WEIR_S);
    static const uint64_t expected[] = { 2, 4, 8, 16, 30, 30, 30 };
    trip(breaker, START);
    uint64_t now_ns = START;
    check_about(stats_at(breaker, START).until_ns - START, WEIR_S);
    for (int i = 0; i < 7; i++) check_about(fail_probe(breaker, &now_ns), expected[i] * WEIR_S);
    for (int i = 0; i < 200; i++) check_about(fail_probe(breaker, &now_ns), 30 * WEIR_S);
    weir_policy_release(breaker);
}

TEST(breaker_time, the_longest_times_do_not_overflow)
{
    struct weir_policy *breaker = BREAKER(.open_ns = 3600 * WEIR_S, .open_max_ns = 24 * 3600 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = START;
    for (int i = 0; i < 100; i++) fail_probe(breaker, &now_ns);
    check_about(fail_probe(breaker, &now_ns), 24 * 3600 * WEIR_S);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_short_open_after_a_long_one_is_short)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .open_ns = WEIR_S, .open_max_ns = 30 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = START;
    for (int i = 0; i < 5; i++) fail_probe(breaker, &now_ns);
    now_ns = stats_at(breaker, now_ns).until_ns;
    call(breaker, WEIR_OK, now_ns);
    now_ns += WEIR_MS;
    trip(breaker, now_ns);
    check_about(stats_at(breaker, now_ns).until_ns - now_ns, WEIR_S);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_retry_after_is_not_inherited)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .overload_open_ns_max = 60 * WEIR_S);
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, START));
    struct weir_outcome busy = { .status = WEIR_OVERLOADED, .retry_after_ns = 60 * WEIR_S };
    weir_breaker_release_at(breaker, &permit, busy, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    check_about(now_ns - START, 60 * WEIR_S);
    call(breaker, WEIR_OK, now_ns);
    trip(breaker, now_ns + WEIR_MS);
    check_about(stats_at(breaker, now_ns + WEIR_MS).until_ns - now_ns - WEIR_MS, WEIR_S);
    weir_policy_release(breaker);
}

TEST(breaker_time, jitter_stays_within_its_bounds_and_uses_them)
{
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct weir_policy *breaker = breaker_of(
            WEIR_CONFIG(weir_breaker_config, .jitter_percent = 20, .open_ns = WEIR_S, .seed = seed));
        trip(breaker, START);
        uint64_t open_ns = stats_at(breaker, START).until_ns - START;
        if (open_ns < lowest) lowest = open_ns;
        if (open_ns > highest) highest = open_ns;
        weir_policy_release(breaker);
    }
    CHECK(lowest >= 800 * WEIR_MS);
    CHECK(lowest < 810 * WEIR_MS);
    CHECK(highest <= 1200 * WEIR_MS + LOOSE);
    CHECK(highest > 1190 * WEIR_MS);
}

TEST(breaker_time, jitter_differs_from_outage_to_outage)
{
    struct weir_policy *breaker =
        breaker_of(WEIR_CONFIG(weir_breaker_config, .open_ns = WEIR_S, .open_max_ns = WEIR_S, .seed = 7));
    trip(breaker, START);
    uint64_t now_ns = START, first = fail_probe(breaker, &now_ns), differ = 0;
    for (int i = 0; i < 20; i++) differ += fail_probe(breaker, &now_ns) != first;
    CHECK(differ >= 19);
    weir_policy_release(breaker);
}

TEST(breaker_time, breakers_without_a_seed_differ)
{
    struct weir_policy *one = breaker_of(NULL), *two = breaker_of(NULL);
    trip(one, START);
    trip(two, START);
    CHECK(stats_at(one, START).until_ns != stats_at(two, START).until_ns);
    weir_policy_release(one);
    weir_policy_release(two);
}

TEST(breaker_time, one_seed_gives_one_schedule)
{
    struct weir_policy *breaker[2];
    uint64_t now_ns[2] = { START, START };
    for (int i = 0; i < 2; i++) {
        breaker[i] = breaker_of(WEIR_CONFIG(weir_breaker_config, .seed = 99));
        trip(breaker[i], START);
    }
    for (int i = 0; i < 20; i++)
        CHECK_EQ(fail_probe(breaker[0], &now_ns[0]), fail_probe(breaker[1], &now_ns[1]));
    for (int i = 0; i < 2; i++) weir_policy_release(breaker[i]);
}

TEST(breaker_time, a_lease_that_runs_out_reopens)
{
    struct weir_policy *breaker = BREAKER(.probes = 2, .probe_ns = 5 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit[2];
    for (int i = 0; i < 2; i++) CHECK(enter(breaker, &permit[i], now_ns));
    CHECK_EQ(refusal(breaker, now_ns + 5 * WEIR_S - WEIR_MS), WEIR_REASON_BREAKER_PROBES);
    now_ns += 5 * WEIR_S + LOOSE;
    CHECK_EQ(refusal(breaker, now_ns), WEIR_REASON_BREAKER_OPEN);
    struct weir_breaker_stats stats = stats_at(breaker, now_ns);
    CHECK_EQ(stats.reopened, 1);
    check_about(stats.until_ns - now_ns, 2 * WEIR_S); /* longer than before */
    leave(breaker, &permit[0], WEIR_OK, now_ns);
    leave(breaker, &permit[1], WEIR_FAILED, now_ns);
    CHECK_EQ(stats_at(breaker, now_ns).stale, 2);
    CHECK_EQ(stats_at(breaker, now_ns).reopened, 1);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_probe_that_succeeds_after_its_lease_has_failed)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .probe_ns = 5 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, now_ns));
    leave(breaker, &permit, WEIR_OK, now_ns + 5 * WEIR_S + 1); /* nobody has asked meanwhile */
    CHECK_EQ(stats_at(breaker, now_ns + 5 * WEIR_S + 1).reopened, 1);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_lease_begins_anew_when_no_probe_is_out)
{
    struct weir_policy *breaker = BREAKER(.probes = 2, .probe_ns = 5 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit;
    for (int i = 0; i < 300; i++) { /* more often than a lease's number has values */
        CHECK(enter(breaker, &permit, now_ns));
        leave(breaker, &permit, WEIR_IGNORED, now_ns + 4 * WEIR_S);
        now_ns += 4 * WEIR_S;
    }
    struct weir_permit second;
    CHECK(enter(breaker, &permit, now_ns));
    CHECK(enter(breaker, &second, now_ns + 4 * WEIR_S));
    CHECK_EQ(refusal(breaker, now_ns + 4 * WEIR_S), WEIR_REASON_BREAKER_PROBES);
    CHECK_EQ(refusal(breaker, now_ns + 5 * WEIR_S + LOOSE), WEIR_REASON_BREAKER_OPEN);
    CHECK_EQ(stats_at(breaker, now_ns).given_back, 300);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_half_open_breaker_without_probes_waits_for_ever)
{
    struct weir_policy *breaker = BREAKER(.probes = 1, .probe_ns = WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_CANCELED, now_ns);
    now_ns += 3600 * WEIR_S;
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_HALF_OPEN);
    call(breaker, WEIR_OK, now_ns);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_clock_that_lags_on_another_thread_is_harmless)
{
    struct weir_policy *breaker = BREAKER(.probes = 1);
    trip(breaker, START);
    CHECK_EQ(refusal(breaker, START - 10 * WEIR_S), WEIR_REASON_BREAKER_OPEN);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, now_ns));
    CHECK_EQ(refusal(breaker, START), WEIR_REASON_BREAKER_PROBES);
    leave(breaker, &permit, WEIR_OK, START); /* ended before it began */
    CHECK_EQ(state_at(breaker, START), WEIR_BREAKER_CLOSED);
    calls(breaker, 4, WEIR_FAILED, START - 10 * WEIR_S);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_CLOSED);
    call(breaker, WEIR_FAILED, START - 10 * WEIR_S);
    CHECK_EQ(state_at(breaker, START - 10 * WEIR_S), WEIR_BREAKER_OPEN);
    weir_policy_release(breaker);
}

/* ---- ramp ---- */

#define TRIES 20000

/* Of so many calls, each with a seed of its own, how many the ramp lets in, in percent. */
static double share_at(struct weir_pipeline *pipeline, uint64_t now_ns)
{
    int let_in = 0;
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        struct weir_call each;
        struct weir_call_options options = { .size = sizeof options, .seed = seed * 0x9e3779b97f4a7c15 };
        struct weir_step step = weir_call_begin(&each, pipeline, &options, now_ns);
        if (step.action == WEIR_DONE) {
            CHECK_EQ(weir_call_outcome(&each).reason, WEIR_REASON_BREAKER_RAMP);
            CHECK(weir_call_outcome(&each).retry_after_ns > 0);
            continue;
        }
        let_in++;
        CHECK_EQ(weir_call_settle(&each, step.attempt, outcome_of(WEIR_OK), now_ns).action, WEIR_DONE);
    }
    return 100.0 * let_in / TRIES;
}

TEST(breaker_time, the_ramp_lets_in_a_share_that_rises)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = 4 * WEIR_S);
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(NULL, &breaker, 1, &pipeline), WEIR_E_NONE);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    /* Four standard deviations of 20000 draws are at most 1.4 points. */
    static const double expected[] = { 10, 32.5, 55, 77.5 };
    for (unsigned i = 0; i < 4; i++) {
        double share = share_at(pipeline, now_ns + i * WEIR_S + LOOSE);
        CHECK(share > expected[i] - 1.4);
        CHECK(share < expected[i] + 1.4);
    }
    CHECK(stats_at(breaker, now_ns).refused_ramp > TRIES * 2);
    CHECK_EQ(state_at(breaker, now_ns + 3 * WEIR_S), WEIR_BREAKER_RAMP);
    CHECK(share_at(pipeline, now_ns + 4 * WEIR_S + LOOSE) == 100.0);
    CHECK_EQ(state_at(breaker, now_ns + 4 * WEIR_S + LOOSE), WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
    weir_pipeline_destroy(pipeline);
}

TEST(breaker_time, the_ramp_alone_draws_lots_too)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = 4 * WEIR_S);
    trip(breaker, START);
    uint64_t now_ns = stats_at(breaker, START).until_ns;
    call(breaker, WEIR_OK, now_ns);
    int let_in = 0;
    for (uint64_t i = 0; i < TRIES; i++) {
        struct weir_permit permit;
        if (!enter(breaker, &permit, now_ns + 2 * WEIR_S + i)) continue;
        leave(breaker, &permit, WEIR_OK, now_ns + 2 * WEIR_S + i);
        let_in++;
    }
    CHECK(let_in > TRIES * 53 / 100);
    CHECK(let_in < TRIES * 57 / 100);
    weir_policy_release(breaker);
}

TEST(breaker_time, a_relapse_on_the_ramp_remembers_the_open_time)
{
    struct weir_policy *breaker = RAMPED(.probes = 1, .ramp_ns = WEIR_S, .consecutive = 1);
    call(breaker, WEIR_FAILED, START);
    uint64_t now_ns = START;
    for (int i = 0; i < 3; i++) fail_probe(breaker, &now_ns);
    now_ns = stats_at(breaker, now_ns).until_ns;
    call(breaker, WEIR_OK, now_ns);
    struct weir_permit permit;
    while (!enter(breaker, &permit, ++now_ns)) continue;
    leave(breaker, &permit, WEIR_FAILED, now_ns);
    check_about(stats_at(breaker, now_ns).until_ns - now_ns, 8 * WEIR_S);
    /* The ramp once over, it is forgotten. */
    now_ns = stats_at(breaker, now_ns).until_ns;
    call(breaker, WEIR_OK, now_ns);
    now_ns += 2 * WEIR_S;
    call(breaker, WEIR_FAILED, now_ns);
    check_about(stats_at(breaker, now_ns).until_ns - now_ns, WEIR_S);
    weir_policy_release(breaker);
}
