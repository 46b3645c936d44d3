/* Gate: whom it lets in, and that it stays with that. */
#include "policy/hooks.h"

#include <weir/weir.h>

#include <pthread.h>
#include <stdio.h>

#define START (1000 * WEIR_S)
#define ALL (100 * WEIR_PERCENT)

static struct weir_policy *create(const struct weir_gate_config *config)
{
    struct weir_policy *gate = NULL;
    CHECK_EQ(weir_gate_create(config, &gate), WEIR_E_NONE);
    return gate;
}
#define GATE(...) create(WEIR_CONFIG(weir_gate_config, __VA_ARGS__))
#define KEYS(...) GATE(.by = WEIR_GATE_BY_KEY, __VA_ARGS__)

static bool passes(const struct weir_policy *gate, struct weir_call *call)
{
    struct weir_verdict fast = { .kind = WEIR_PASS }, full;
    struct weir_call copy = *call;
    fast = gate->first(gate->config, gate->state, &copy.slot[0], &copy, START);
    full = hooks_admit(gate, call, START);
    CHECK(memcmp(&fast, &full, sizeof fast) == 0); /* both ways the same */
    CHECK(full.kind == WEIR_PASS || full.kind == WEIR_REFUSE);
    if (full.kind == WEIR_REFUSE) CHECK_EQ(full.reason, WEIR_REASON_GATE);
    return full.kind == WEIR_PASS;
}

static bool key_passes(const struct weir_policy *gate, uint64_t key)
{
    struct weir_call call = hooks_call(0);
    call.key = key;
    call.keyed = 1;
    return passes(gate, &call);
}

static bool seed_passes(const struct weir_policy *gate, uint64_t seed)
{
    struct weir_call call = hooks_call(0);
    call.random = seed;
    return passes(gate, &call);
}

/* n draws of share p lie within six standard deviations of n * p, but for one in five hundred million. */
static void check_share(uint32_t passed, uint32_t n, uint32_t share)
{
    double p = (double)share / ALL, middle = n * p, variance = middle * (1 - p);
    double off = passed - middle;
    if (off * off > 36 * variance + 1)
        check_failed(__FILE__, __LINE__, "%u of %u passed, the share is %u", passed, n, share);
}

static const uint32_t shares[] = { 0, 1, 1000, WEIR_PERCENT, 5 * WEIR_PERCENT, 50 * WEIR_PERCENT,
    99 * WEIR_PERCENT, ALL - 1, ALL };
#define SHARES (sizeof shares / sizeof shares[0])

TEST(gate, lets_in_its_share_of_calls)
{
    struct weir_policy *gate = GATE(.name = "calls");
    for (size_t i = 0; i < SHARES; i++) {
        uint32_t passed = 0;
        CHECK_EQ(weir_gate_set_share(gate, shares[i]), WEIR_E_NONE);
        for (uint64_t seed = 1; seed <= 10000; seed++) passed += seed_passes(gate, seed);
        check_share(passed, 10000, shares[i]);
        if (shares[i] == 0) CHECK_EQ(passed, 0);
        if (shares[i] == ALL) CHECK_EQ(passed, 10000);
    }
    weir_policy_release(gate);
}

TEST(gate, a_seed_repeats_the_draw)
{
    struct weir_policy *gate = GATE(.share = 50 * WEIR_PERCENT);
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        CHECK_EQ(seed_passes(gate, seed), seed_passes(gate, seed));
    }
    /* The next draw of the same call is another: so is that of a second gate. */
    uint32_t differ = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct weir_call call = hooks_call(0);
        call.random = seed;
        bool first = passes(gate, &call);
        differ += first != passes(gate, &call);
    }
    check_share(differ, 1000, 50 * WEIR_PERCENT);
    weir_policy_release(gate);
}

TEST(gate, lets_in_its_share_of_keys)
{
    struct weir_policy *gate = KEYS(.name = "keys");
    for (size_t i = 0; i < SHARES; i++) {
        uint32_t numbers = 0, names = 0;
        char name[32];
        CHECK_EQ(weir_gate_set_share(gate, shares[i]), WEIR_E_NONE);
        for (uint32_t key = 1; key <= 10000; key++) {
            numbers += key_passes(gate, key); /* numbers in a row, as a table gives them out */
            names += key_passes(gate, weir_key(name, (size_t)snprintf(name, sizeof name, "user-%u", key)));
        }
        check_share(numbers, 10000, shares[i]);
        check_share(names, 10000, shares[i]);
    }
    weir_policy_release(gate);
}

TEST(gate, a_growing_share_only_adds_keys)
{
    struct weir_policy *gate = KEYS(.share = WEIR_OFF32);
    static bool in[5000];
    for (uint32_t share = 0; share <= ALL; share += ALL / 20) {
        CHECK_EQ(weir_gate_set_share(gate, share), WEIR_E_NONE);
        for (uint32_t i = 0; i < sizeof in; i++) {
            bool now = key_passes(gate, i + 1);
            CHECK(now || !in[i]);
            in[i] = now;
        }
    }
    for (uint32_t i = 0; i < sizeof in; i++) CHECK(in[i]);
    weir_policy_release(gate);
}

static uint32_t both(const struct weir_policy *one, const struct weir_policy *other)
{
    uint32_t count = 0;
    for (uint32_t key = 1; key <= 10000; key++) count += key_passes(one, key) && key_passes(other, key);
    return count;
}

/* Whom one new path falls upon is not always the same tenth; a salt in common makes it so. */
TEST(gate, names_and_salts_choose_different_keys)
{
    struct weir_policy *a = KEYS(.name = "a", .share = 10 * WEIR_PERCENT);
    struct weir_policy *b = KEYS(.name = "b", .share = 10 * WEIR_PERCENT);
    struct weir_policy *c = KEYS(.name = "c", .share = 10 * WEIR_PERCENT, .salt = 1);
    struct weir_policy *d = KEYS(.name = "d", .share = 10 * WEIR_PERCENT, .salt = 2);
    struct weir_policy *e = KEYS(.name = "e", .share = 10 * WEIR_PERCENT, .salt = 1);
    check_share(both(a, b), 10000, WEIR_PERCENT);
    check_share(both(c, d), 10000, WEIR_PERCENT); /* neighbours as well */
    check_share(both(c, e), 10000, 10 * WEIR_PERCENT);
    CHECK_EQ(weir_gate_stats(a).salt, weir_key("a", 1));
    CHECK_EQ(weir_gate_stats(c).salt, 1);
    weir_policy_release(a);
    weir_policy_release(b);
    weir_policy_release(c);
    weir_policy_release(d);
    weir_policy_release(e);
}

/* Two processes, or two versions, that disagree would each let in keys of their own. */
TEST(gate, whom_it_lets_in_is_the_same_for_ever)
{
    static const uint64_t in[] = { 1, 12, 17, 28, 30, 39, 47, 49, 50, 54, 59, 62, 84, 89, 90, 92, 95 };
    struct weir_policy *gate = KEYS(.name = "new parser", .share = 10 * WEIR_PERCENT);
    size_t found = 0;
    for (uint64_t key = 1; key <= 100; key++) {
        if (!key_passes(gate, key)) continue;
        CHECK(found < sizeof in / sizeof in[0]);
        CHECK_EQ(key, in[found++]);
    }
    CHECK_EQ(found, sizeof in / sizeof in[0]);
    weir_policy_release(gate);
}

/* From the formula, worked out apart: who stands at n passes from a share of n + 1 on. */
TEST(gate, who_stands_where_passes_from_the_next_share_on)
{
    static const struct {
        uint64_t key;
        uint32_t at;
    } keys[] = { { 1, 8347 }, { 2, 135257 }, { 3, 701409 }, { UINT64_MAX, 866685 } };
    static const uint32_t drawn[] = { 566561, 591189, 113450 };
    struct weir_policy *by_key = KEYS(.name = "new parser"), *by_call = GATE(.name = "any");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        CHECK_EQ(weir_gate_set_share(by_key, keys[i].at), WEIR_E_NONE);
        CHECK(!key_passes(by_key, keys[i].key));
        CHECK_EQ(weir_gate_set_share(by_key, keys[i].at + 1), WEIR_E_NONE);
        CHECK(key_passes(by_key, keys[i].key));
    }
    for (uint32_t i = 0; i < sizeof drawn / sizeof drawn[0]; i++) {
        CHECK_EQ(weir_gate_set_share(by_call, drawn[i]), WEIR_E_NONE);
        CHECK(!seed_passes(by_call, i + 1));
        CHECK_EQ(weir_gate_set_share(by_call, drawn[i] + 1), WEIR_E_NONE);
        CHECK(seed_passes(by_call, i + 1));
    }
    weir_policy_release(by_key);
    weir_policy_release(by_call);
}

TEST(gate, nobodys_call_comes_last)
{
    struct weir_policy *gate = KEYS(.share = ALL - 1);
    struct weir_call call = hooks_call(0);
    CHECK(!passes(gate, &call));
    CHECK_EQ(weir_gate_stats(gate).refused_keyless, 2); /* asked by both its hooks */
    CHECK_EQ(weir_gate_stats(gate).refused, 0);
    CHECK_EQ(weir_gate_set_share(gate, ALL), WEIR_E_NONE);
    CHECK(passes(gate, &call));
    weir_policy_release(gate);
}

/* ---- in a pipeline ---- */

static struct weir_outcome count_runs(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    ++*(uint32_t *)argument;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome old_path(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_pipeline *pipeline_of(struct weir_policy **order, size_t count)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &pipeline), WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}

/* One frame, one instant: each call is drawn for itself all the same. */
TEST(gate, calls_of_one_instant_are_drawn_apart)
{
    struct weir_policy *gate = GATE(.share = 30 * WEIR_PERCENT);
    struct weir_pipeline *pipeline = pipeline_of(&gate, 1);
    uint32_t ran = 0, refused = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        struct weir_outcome outcome = weir_run_at(pipeline, NULL, count_runs, &ran, START);
        refused += outcome.status == WEIR_REJECTED;
    }
    CHECK_EQ(ran + refused, 20000);
    check_share(ran, 20000, 30 * WEIR_PERCENT);
    CHECK_EQ(weir_gate_stats(gate).refused, refused);
    weir_pipeline_destroy(pipeline);
}

TEST(gate, a_refusal_says_who_and_why_and_counts_in_no_breaker)
{
    struct weir_policy *order[2] = { NULL, GATE(.name = "new", .share = WEIR_OFF32) };
    CHECK_EQ(weir_breaker_create(NULL, &order[0]), WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(order, 2);
    uint32_t ran = 0;
    for (uint32_t i = 0; i < 100; i++) {
        struct weir_outcome outcome = weir_run_at(pipeline, NULL, count_runs, &ran, START);
        CHECK_EQ(outcome.status, WEIR_REJECTED);
        CHECK_EQ(outcome.reason, WEIR_REASON_GATE);
        CHECK_EQ(outcome.by, 2);
        CHECK_EQ(outcome.retry_after_ns, 0);
    }
    CHECK_EQ(ran, 0);
    struct weir_breaker_stats stats = weir_breaker_stats(order[0], START);
    CHECK_EQ(stats.counted_ok + stats.counted_failed, 0);
    CHECK_EQ(weir_pipeline_stats(pipeline).refused[WEIR_REASON_GATE], 100);
    weir_pipeline_destroy(pipeline);
}

TEST(gate, the_others_take_the_old_path)
{
    struct weir_policy *order[2] = { NULL, KEYS(.name = "new", .share = 50 * WEIR_PERCENT) };
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = old_path), &order[0]),
        WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(order, 2);
    uint32_t ran = 0, degraded = 0;
    for (uint64_t key = 1; key <= 1000; key++) {
        uint32_t before = ran;
        struct weir_outcome outcome =
            weir_run_at(pipeline, WEIR_CONFIG(weir_call_options, .key = key), count_runs, &ran, START);
        CHECK_EQ(outcome.status, WEIR_OK);
        bool old = (outcome.flags & WEIR_DEGRADED) != 0;
        CHECK_EQ(old, ran == before);
        CHECK_EQ(outcome.reason, old ? WEIR_REASON_GATE : WEIR_REASON_NONE);
        CHECK_EQ(old, !key_passes(order[1], key));
        degraded += old;
    }
    check_share(ran, 1000, 50 * WEIR_PERCENT);
    CHECK_EQ(weir_fallback_stats(order[0]).by_function, degraded);
    weir_pipeline_destroy(pipeline);
}

TEST(gate, an_operators_hand)
{
    struct weir_policy *gate = GATE(.share = WEIR_OFF32);
    struct weir_pipeline *pipeline = pipeline_of(&gate, 1);
    uint32_t ran = 0;
    weir_policy_set_mode(gate, WEIR_MODE_SHADOW);
    struct weir_outcome outcome = weir_run_at(pipeline, NULL, count_runs, &ran, START);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_SHADOW);
    CHECK_EQ(weir_gate_stats(gate).would_refuse, 1);
    weir_policy_set_mode(gate, WEIR_MODE_FORCED_CLOSED);
    CHECK_EQ(weir_run_at(pipeline, NULL, count_runs, &ran, START).status, WEIR_OK);
    weir_policy_set_mode(gate, WEIR_MODE_DISABLED);
    CHECK_EQ(weir_run_at(pipeline, NULL, count_runs, &ran, START).status, WEIR_OK);
    CHECK_EQ(ran, 3);
    weir_policy_set_mode(gate, WEIR_MODE_ON);
    CHECK_EQ(weir_run_at(pipeline, NULL, count_runs, &ran, START).reason, WEIR_REASON_GATE);
    CHECK_EQ(weir_gate_set_share(gate, ALL), WEIR_E_NONE);
    weir_policy_set_mode(gate, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_run_at(pipeline, NULL, count_runs, &ran, START).reason, WEIR_REASON_FORCED);
    CHECK_EQ(weir_gate_stats(gate).refused_forced, 1);
    CHECK_EQ(ran, 3);
    weir_pipeline_destroy(pipeline);
}

/* ---- the share, from other threads ---- */

static void *turn(void *gate)
{
    for (uint32_t i = 0; i < 20000; i++) CHECK_EQ(weir_gate_set_share(gate, i % 2 * ALL), WEIR_E_NONE);
    CHECK_EQ(weir_gate_set_share(gate, ALL), WEIR_E_NONE);
    return NULL;
}

TEST(gate, its_share_changes_under_running_calls)
{
    struct weir_policy *gate = KEYS(.share = 50 * WEIR_PERCENT);
    struct weir_pipeline *pipeline = pipeline_of(&gate, 1);
    pthread_t thread;
    uint32_t ran = 0;
    CHECK_EQ(pthread_create(&thread, NULL, turn, gate), 0);
    for (uint64_t key = 1; key <= 20000; key++) {
        struct weir_outcome outcome =
            weir_run_at(pipeline, WEIR_CONFIG(weir_call_options, .key = key), count_runs, &ran, START);
        CHECK(outcome.status == WEIR_OK || outcome.reason == WEIR_REASON_GATE);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weir_gate_stats(gate).share, ALL);
    CHECK_EQ(weir_gate_stats(gate).refused, 20000 - ran);
    CHECK_EQ(weir_run_at(pipeline, NULL, count_runs, &ran, START).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
}

TEST(gate, its_share_is_checked)
{
    struct weir_policy *gate = GATE(.share = 7);
    CHECK_REFUSED(weir_gate_set_share(gate, ALL + 1), "share is 1000001", "expected 0..1000000");
    CHECK_EQ(weir_gate_stats(gate).share, 7);
    CHECK_EQ(weir_gate_set_share(gate, WEIR_OFF32), WEIR_E_NONE);
    CHECK_EQ(weir_gate_stats(gate).share, 0);
    CHECK_EQ(weir_gate_set_share(gate, 0), WEIR_E_NONE);
    CHECK_EQ(weir_gate_stats(gate).share, 0);
    weir_policy_release(gate);
}

TEST(gate, its_defaults_and_what_it_says)
{
    static const struct {
        uint32_t share;
        const char *calls, *keys;
    } said[] = {
        { WEIR_OFF32, "0 % of the calls pass", "0 % of the keys pass" },
        { 1, "0.0001 % of the calls pass", "0.0001 % of the keys pass" },
        { 12500, "1.25 % of the calls pass", "1.25 % of the keys pass" },
        { 10 * WEIR_PERCENT, "10 % of the calls pass", "10 % of the keys pass" },
        { 0, "100 % of the calls pass", "100 % of the keys pass" },
    };
    char text[64];
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        struct weir_policy *calls = GATE(.share = said[i].share), *keys = KEYS(.share = said[i].share);
        CHECK_STR(hooks_describe(calls, text, sizeof text), said[i].calls);
        CHECK_STR(hooks_describe(keys, text, sizeof text), said[i].keys);
        weir_policy_release(calls);
        weir_policy_release(keys);
    }
    struct weir_policy *gate = create(NULL);
    CHECK_EQ(weir_gate_stats(gate).share, ALL);
    CHECK_EQ(weir_gate_stats(gate).by, WEIR_GATE_BY_CALL);
    CHECK_STR(weir_policy_name(gate), "gate");
    CHECK_STR(weir_policy_kind(gate), "gate");
    weir_policy_release(gate);
}

TEST(gate, bad_configs_are_refused)
{
    struct weir_policy *gate = NULL;
    CHECK_REFUSED(weir_gate_create(WEIR_CONFIG(weir_gate_config, .share = ALL + 1), &gate),
        "weir_gate_config.share is 1000001", "expected 1..1000000");
    CHECK_REFUSED(weir_gate_create(WEIR_CONFIG(weir_gate_config, .by = (enum weir_gate_by)2), &gate),
        "weir_gate_config.by is 2", "expected a weir_gate_by");
    CHECK(gate == NULL);
}
