/* One policy without a pipeline: acquire and release, under every mode, with weights, from other threads. */
#include "pipeline/machine_words.h"

#include <pthread.h>

/* ---- the three kinds by the same words ---- */

struct kind {
    const char *name;
    enum weir_reason reason; /* when there is nothing left */
    bool says_when;          /* it knows when to ask again */
    struct weir_policy *(*make)(void);
    struct weir_outcome (*take)(struct weir_policy *policy, struct weir_permit *permit);
    void (*give)(struct weir_policy *policy, struct weir_permit *permit);
    void (*exhaust)(struct weir_policy *policy, struct weir_permit *permit); /* permit: to give, after */
    uint64_t (*forced)(const struct weir_policy *policy);
    uint64_t (*would_refuse)(const struct weir_policy *policy);
};

static struct weir_policy *breaker_make(void)
{
    return POLICY(breaker, .consecutive = 2, .calls_min = 1000, .jitter_percent = WEIR_OFF32);
}

static struct weir_outcome breaker_take(struct weir_policy *policy, struct weir_permit *permit)
{
    return weir_breaker_acquire_at(policy, permit, START);
}

static void breaker_give(struct weir_policy *policy, struct weir_permit *permit)
{
    weir_breaker_release_at(policy, permit, outcome_of(WEIR_OK), START);
}

static void breaker_exhaust(struct weir_policy *policy, struct weir_permit *permit)
{
    CHECK_EQ(breaker_take(policy, permit).status, WEIR_OK); /* of before: says nothing when it is released */
    for (int i = 0; i < 2; i++) {
        struct weir_permit failing;
        CHECK_EQ(breaker_take(policy, &failing).status, WEIR_OK);
        weir_breaker_release_at(policy, &failing, outcome_of(WEIR_FAILED), START);
    }
    CHECK_EQ(weir_breaker_stats(policy, START).state, WEIR_BREAKER_OPEN);
}

static uint64_t breaker_forced(const struct weir_policy *policy)
{
    return weir_breaker_stats(policy, START).refused_forced;
}

static uint64_t breaker_would_refuse(const struct weir_policy *policy)
{
    return weir_breaker_stats(policy, START).would_refuse;
}

static struct weir_policy *bulkhead_make(void)
{
    return POLICY(bulkhead, .limit = 1);
}

static struct weir_policy *sharded_make(void)
{
    return POLICY(bulkhead, .limit = 8);
}

static struct weir_outcome bulkhead_take(struct weir_policy *policy, struct weir_permit *permit)
{
    return weir_bulkhead_acquire(policy, 1, permit);
}

static void bulkhead_give(struct weir_policy *policy, struct weir_permit *permit)
{
    weir_bulkhead_release(policy, permit);
}

static void bulkhead_exhaust(struct weir_policy *policy, struct weir_permit *permit)
{
    uint32_t limit = weir_bulkhead_stats(policy).limit;
    CHECK_EQ(weir_bulkhead_acquire(policy, limit, permit).status, WEIR_OK);
}

static uint64_t bulkhead_forced(const struct weir_policy *policy)
{
    return weir_bulkhead_stats(policy).refused_forced;
}

static uint64_t bulkhead_would_refuse(const struct weir_policy *policy)
{
    return weir_bulkhead_stats(policy).would_refuse;
}

static struct weir_policy *rate_make(void)
{
    return POLICY(rate, .permits = 10, .burst = 2);
}

static struct weir_outcome rate_take(struct weir_policy *policy, struct weir_permit *permit)
{
    uint64_t at_ns;
    return weir_rate_reserve_at(policy, 1, 0, START, permit, &at_ns);
}

static void rate_give(struct weir_policy *policy, struct weir_permit *permit)
{
    weir_rate_give_back_at(policy, permit, START);
}

static void rate_exhaust(struct weir_policy *policy, struct weir_permit *permit)
{
    uint64_t at_ns;
    CHECK_EQ(weir_rate_reserve_at(policy, 2, 0, START, permit, &at_ns).status, WEIR_OK);
}

static uint64_t rate_forced(const struct weir_policy *policy)
{
    return weir_rate_stats(policy, START).refused_forced;
}

static uint64_t rate_would_refuse(const struct weir_policy *policy)
{
    return weir_rate_stats(policy, START).would_refuse;
}

static const struct kind kinds[] = {
    { "breaker", WEIR_REASON_BREAKER_OPEN, true, breaker_make, breaker_take, breaker_give, breaker_exhaust,
        breaker_forced, breaker_would_refuse },
    { "bulkhead", WEIR_REASON_BULKHEAD_FULL, false, bulkhead_make, bulkhead_take, bulkhead_give,
        bulkhead_exhaust, bulkhead_forced, bulkhead_would_refuse },
    { "sharded bulkhead", WEIR_REASON_BULKHEAD_FULL, false, sharded_make, bulkhead_take, bulkhead_give,
        bulkhead_exhaust, bulkhead_forced, bulkhead_would_refuse },
    { "rate", WEIR_REASON_RATE, true, rate_make, rate_take, rate_give, rate_exhaust, rate_forced,
        rate_would_refuse },
};
#define FOR_EACH_KIND(kind) \
    for (const struct kind *kind = kinds; kind < kinds + sizeof kinds / sizeof kinds[0]; kind++)

static void check_exhausted(const struct kind *kind, struct weir_policy *policy)
{
    struct weir_permit permit;
    struct weir_outcome outcome = kind->take(policy, &permit);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, kind->reason);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.retry_after_ns != 0, kind->says_when);
}

/* ---- all kinds ---- */

TEST(alone, takes_refuses_and_takes_again)
{
    FOR_EACH_KIND(kind)
    {
        struct weir_policy *policy = kind->make();
        struct weir_permit permit, held;
        for (int i = 0; i < 100; i++) { /* the same permit, again and again */
            CHECK_EQ(kind->take(policy, &permit).status, WEIR_OK);
            kind->give(policy, &permit);
        }
        kind->exhaust(policy, &held);
        check_exhausted(kind, policy);
        check_exhausted(kind, policy);
        kind->give(policy, &held);
        CHECK_EQ(kind->forced(policy), 0);
        CHECK_EQ(kind->would_refuse(policy), 0);
        weir_policy_release(policy);
    }
}

TEST(alone, forced_open_refuses_what_would_pass)
{
    FOR_EACH_KIND(kind)
    {
        struct weir_policy *policy = kind->make();
        struct weir_permit permit;
        weir_policy_set_mode(policy, WEIR_MODE_FORCED_OPEN);
        struct weir_outcome outcome = kind->take(policy, &permit);
        CHECK_EQ(outcome.status, WEIR_REJECTED);
        CHECK_EQ(outcome.reason, WEIR_REASON_FORCED);
        CHECK_EQ(outcome.by, 1);
        CHECK_EQ(kind->forced(policy), 1);
        weir_policy_set_mode(policy, WEIR_MODE_ON);
        CHECK_EQ(kind->take(policy, &permit).status, WEIR_OK);
        kind->give(policy, &permit);
        CHECK_EQ(kind->forced(policy), 1);
        weir_policy_release(policy);
    }
}

TEST(alone, the_other_modes_let_pass_and_take_nothing)
{
    static const enum weir_mode modes[] = { WEIR_MODE_SHADOW, WEIR_MODE_DISABLED, WEIR_MODE_FORCED_CLOSED };
    FOR_EACH_KIND(kind)
    {
        for (int i = 0; i < 3; i++) {
            struct weir_policy *policy = kind->make();
            struct weir_permit held, permit[3];
            kind->exhaust(policy, &held);
            weir_policy_set_mode(policy, modes[i]);
            for (int j = 0; j < 3; j++) {
                struct weir_outcome outcome = kind->take(policy, &permit[j]);
                CHECK_EQ(outcome.status, WEIR_OK);
                CHECK_EQ(outcome.flags, modes[i] == WEIR_MODE_SHADOW ? WEIR_SHADOW : 0);
            }
            CHECK_EQ(kind->would_refuse(policy), modes[i] == WEIR_MODE_SHADOW ? 3 : 0);
            CHECK_EQ(kind->forced(policy), 0);
            kind->give(policy, &permit[0]);
            weir_policy_set_mode(policy, WEIR_MODE_ON);
            check_exhausted(kind, policy);
            kind->give(policy, &permit[1]); /* nothing is given back that was not taken */
            kind->give(policy, &permit[2]);
            check_exhausted(kind, policy);
            kind->give(policy, &held);
            weir_policy_release(policy);
        }
    }
}

/* What was taken goes back whatever the operator did meanwhile. */
TEST(alone, a_mode_set_while_a_permit_is_out_changes_nothing_for_it)
{
    for (enum weir_mode mode = WEIR_MODE_SHADOW; mode <= WEIR_MODE_FORCED_CLOSED; mode++) {
        for (int sharded = 0; sharded < 2; sharded++) {
            struct weir_policy *policy = sharded ? sharded_make() : bulkhead_make();
            struct weir_permit held;
            bulkhead_exhaust(policy, &held);
            weir_policy_set_mode(policy, mode);
            bulkhead_give(policy, &held);
            CHECK_EQ(weir_bulkhead_stats(policy).in_use, 0);
            weir_policy_release(policy);
        }
        struct weir_policy *rate = rate_make();
        struct weir_permit held;
        rate_exhaust(rate, &held);
        weir_policy_set_mode(rate, mode);
        rate_give(rate, &held);
        CHECK_EQ(weir_rate_stats(rate, START).tokens, 2);
        CHECK_EQ(weir_rate_stats(rate, START).given_back, 1);
        weir_policy_release(rate);
    }
}

/* ---- from another thread ---- */

struct errand {
    const struct kind *kind;
    struct weir_policy *policy;
    struct weir_permit *permit;
    struct weir_outcome outcome;
};

static void *gives(void *argument)
{
    struct errand *errand = argument;
    errand->kind->give(errand->policy, errand->permit);
    return NULL;
}

static void *takes(void *argument)
{
    struct errand *errand = argument;
    errand->outcome = errand->kind->take(errand->policy, errand->permit);
    return NULL;
}

static void elsewhere(void *(*run)(void *argument), struct errand *errand)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run, errand), 0);
    pthread_join(thread, NULL);
}

TEST(alone, a_permit_taken_here_is_given_there_and_the_other_way_round)
{
    FOR_EACH_KIND(kind)
    {
        struct weir_policy *policy = kind->make();
        struct weir_permit permit;
        struct errand errand = { .kind = kind, .policy = policy, .permit = &permit };
        for (int i = 0; i < 20; i++) { /* more than it holds: lost ones would be missed */
            CHECK_EQ(kind->take(policy, &permit).status, WEIR_OK);
            elsewhere(gives, &errand);
            elsewhere(takes, &errand);
            CHECK_EQ(errand.outcome.status, WEIR_OK);
            kind->give(policy, &permit);
        }
        if (kind->make == breaker_make) CHECK_EQ(weir_breaker_stats(policy, START).counted_ok, 40);
        if (kind->make == rate_make) CHECK_EQ(weir_rate_stats(policy, START).tokens, 2);
        weir_policy_release(policy);
    }
}

/* ---- what each kind has of its own ---- */

TEST(alone, weights_of_a_bulkhead)
{
    static const enum weir_form forms[] = { WEIR_FORM_SINGLE, WEIR_FORM_SHARDED };
    for (int i = 0; i < 2; i++) {
        struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 16, .form = forms[i]);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).shards != 0, i == 1);
        struct weir_permit ten, six, more;
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 17, &more).reason, WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, UINT32_MAX, &more).reason, WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 10, &ten).status, WEIR_OK);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 7, &more).reason, WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 6, &six).status, WEIR_OK);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 16);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &more).reason, WEIR_REASON_BULKHEAD_FULL);
        weir_bulkhead_release(bulkhead, &ten);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 6);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 11, &more).reason, WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 10, &ten).status, WEIR_OK);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_full, 5);
        weir_bulkhead_release(bulkhead, &ten);
        weir_bulkhead_release(bulkhead, &six);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 16, &more).status, WEIR_OK);
        weir_bulkhead_release(bulkhead, &more);
        weir_policy_release(bulkhead);
    }
}

TEST(alone, a_rate_says_what_can_never_pass)
{
    struct weir_policy *rate = POLICY(rate, .permits = 10, .burst = 4);
    struct weir_outcome outcome = weir_rate_acquire_at(rate, 5, START);
    CHECK_EQ(outcome.reason, WEIR_REASON_RATE);
    CHECK_EQ(outcome.code, -1);
    CHECK_EQ(outcome.retry_after_ns, 0);
    CHECK_EQ(weir_rate_acquire_at(rate, 3, START).status, WEIR_OK);
    outcome = weir_rate_acquire_at(rate, 3, START);
    CHECK_EQ(outcome.code, 0);
    CHECK_EQ(outcome.retry_after_ns, 200 * WEIR_MS); /* 1 is left, 2 grow in 2 / 10 s */
    CHECK_EQ(weir_rate_acquire_at(rate, 3, START + outcome.retry_after_ns - 1).status, WEIR_REJECTED);
    CHECK_EQ(weir_rate_acquire_at(rate, 3, START + outcome.retry_after_ns).status, WEIR_OK);
    weir_policy_release(rate);
}

TEST(alone, a_probe_that_says_nothing_is_given_back)
{
    struct weir_policy *breaker = POLICY(breaker, .consecutive = 2, .jitter_percent = WEIR_OFF32, .probes = 1,
        .open_ns = WEIR_S, .ramp_ns = WEIR_OFF);
    struct weir_permit old, probe, more;
    breaker_exhaust(breaker, &old);
    uint64_t due_ns = weir_breaker_stats(breaker, START).until_ns;
    CHECK(due_ns >= START + WEIR_S);
    CHECK(due_ns < START + WEIR_S + WEIR_MS);
    CHECK_EQ(weir_breaker_acquire_at(breaker, &probe, due_ns - 1).retry_after_ns, 1);
    CHECK_EQ(weir_breaker_acquire_at(breaker, &probe, due_ns).status, WEIR_OK);
    CHECK_EQ(weir_breaker_acquire_at(breaker, &more, due_ns).reason, WEIR_REASON_BREAKER_PROBES);
    weir_breaker_release_at(breaker, &probe, outcome_of(WEIR_IGNORED), due_ns);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).given_back, 1);
    CHECK_EQ(weir_breaker_acquire_at(breaker, &probe, due_ns).status, WEIR_OK);
    breaker_give(breaker, &old); /* of before it opened: stale */
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).stale, 1);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).state, WEIR_BREAKER_HALF_OPEN);
    weir_breaker_release_at(breaker, &probe, outcome_of(WEIR_OK), due_ns);
    CHECK_EQ(weir_breaker_stats(breaker, due_ns).state, WEIR_BREAKER_CLOSED);
    weir_policy_release(breaker);
}

/* ---- the forms that read a clock ---- */

TEST(alone, a_breaker_reads_its_clock)
{
    struct weir_policy *breaker = POLICY(
        breaker, .consecutive = 2, .timing = WEIR_TIMING_PRECISE, .slow_ns = WEIR_US, .slow_percent = 100);
    struct weir_permit permit;
    CHECK_EQ(weir_breaker_acquire(breaker, &permit).status, WEIR_OK);
    uint64_t began_ns = weir_now(WEIR_TIMING_PRECISE);
    while (weir_now(WEIR_TIMING_PRECISE) < began_ns + WEIR_US) continue;
    weir_breaker_release(breaker, &permit, outcome_of(WEIR_OK));
    CHECK_EQ(weir_breaker_stats(breaker, weir_now(WEIR_TIMING_PRECISE)).counted_slow, 1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_breaker_acquire(breaker, &permit).status, WEIR_OK);
        weir_breaker_release(breaker, &permit, outcome_of(WEIR_FAILED));
    }
    struct weir_outcome outcome = weir_breaker_acquire(breaker, &permit);
    CHECK_EQ(outcome.reason, WEIR_REASON_BREAKER_OPEN);
    CHECK(outcome.retry_after_ns > 0);
    CHECK(outcome.retry_after_ns <= 1200 * WEIR_MS); /* 1 s and a jitter of 20 % */
    weir_policy_release(breaker);
}

TEST(alone, a_rate_reads_its_clock)
{
    struct weir_policy *rate = POLICY(rate, .permits = 1, .period_ns = 3600 * WEIR_S, .burst = 2);
    CHECK_EQ(weir_rate_acquire(rate, 1).status, WEIR_OK);
    CHECK_EQ(weir_rate_acquire(rate, 1).status, WEIR_OK);
    struct weir_outcome outcome = weir_rate_acquire(rate, 1);
    CHECK_EQ(outcome.reason, WEIR_REASON_RATE);
    CHECK(outcome.retry_after_ns > 3000 * WEIR_S);
    CHECK(outcome.retry_after_ns <= 3600 * WEIR_S);
    weir_policy_set_mode(rate, WEIR_MODE_DISABLED);
    CHECK_EQ(weir_rate_acquire(rate, 1).status, WEIR_OK);
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_rate_acquire(rate, 1).reason, WEIR_REASON_FORCED);
    weir_policy_release(rate);
}

/* Credit is spent without a look at any clock, and an operator's hand comes first all the same. */
TEST(alone, a_leased_rate_spends_its_credit)
{
    struct weir_policy *rate = POLICY(
        rate, .permits = 1, .period_ns = 3600 * WEIR_S, .burst = 20, .form = WEIR_FORM_SHARDED, .lease = 8);
    CHECK_EQ(weir_rate_acquire(rate, 1).status, WEIR_OK);
    CHECK_EQ(weir_rate_stats(rate, weir_now(WEIR_TIMING_PRECISE)).leased, 7);
    CHECK_EQ(weir_rate_acquire(rate, 5).status, WEIR_OK);
    CHECK_EQ(weir_rate_stats(rate, weir_now(WEIR_TIMING_PRECISE)).leased, 2);
    CHECK_EQ(weir_rate_acquire(rate, 12).status, WEIR_OK); /* more than a lease: exactly */
    struct weir_rate_stats stats = weir_rate_stats(rate, weir_now(WEIR_TIMING_PRECISE));
    CHECK_EQ(stats.leased, 2);
    CHECK_EQ(stats.tokens, 0);
    weir_policy_set_mode(rate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_rate_acquire(rate, 1).reason, WEIR_REASON_FORCED);
    weir_policy_set_mode(rate, WEIR_MODE_ON);
    CHECK_EQ(weir_rate_acquire(rate, 3).reason, WEIR_REASON_RATE); /* more than is left */
    CHECK_EQ(weir_rate_acquire(rate, 2).status, WEIR_OK);
    CHECK_EQ(weir_rate_acquire(rate, 1).reason, WEIR_REASON_RATE);
    weir_policy_release(rate);
}

/* Acquired without a clock it ran for nobody knows how long: a caller's own deadline is then no failure. */
TEST(alone, a_call_of_unknown_length_was_not_cut_off_late)
{
    struct weir_outcome expired = { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE };
    struct weir_policy *breaker = POLICY(breaker, .consecutive = 2);
    struct weir_permit permit;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weir_breaker_acquire(breaker, &permit).status, WEIR_OK);
        weir_breaker_release(breaker, &permit, expired);
    }
    CHECK_EQ(weir_breaker_stats(breaker, START).counted_failed, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_breaker_acquire_at(breaker, &permit, START).status, WEIR_OK);
        weir_breaker_release_at(breaker, &permit, expired, START + WEIR_S);
    }
    CHECK_EQ(weir_breaker_stats(breaker, START + WEIR_S).opened, 1);
    weir_policy_release(breaker);
}
