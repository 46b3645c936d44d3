/* The bulkhead's permits: limit, weights, forms, changes of the limit. The queue has a file of its own. */
#include "policy/bulkhead_words.h"
#include "policy/hooks.h"

static bool take(struct weir_policy *bulkhead, uint32_t weight, struct weir_permit *permit)
{
    struct weir_outcome outcome = weir_bulkhead_acquire(bulkhead, weight, permit);
    if (outcome.status == WEIR_OK) return true;
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_BULKHEAD_FULL);
    CHECK_EQ(outcome.by, 1);
    return false;
}

static uint32_t in_use(const struct weir_policy *bulkhead)
{
    return weir_bulkhead_stats(bulkhead).in_use;
}

TEST(bulkhead, lets_in_up_to_its_limit)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 9, .form = form);
        struct weir_permit permit[9], more;
        for (uint32_t i = 0; i < 9; i++) {
            CHECK_EQ(in_use(bulkhead), i);
            CHECK(take(bulkhead, 1, &permit[i]));
        }
        CHECK(!take(bulkhead, 1, &more));
        CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_full, 1);
        weir_bulkhead_release(bulkhead, &permit[4]);
        CHECK_EQ(in_use(bulkhead), 8);
        CHECK(take(bulkhead, 1, &permit[4]));
        CHECK(!take(bulkhead, 1, &more));
        for (uint32_t i = 0; i < 9; i++) weir_bulkhead_release(bulkhead, &permit[i]);
        CHECK_EQ(in_use(bulkhead), 0);
        weir_policy_release(bulkhead);
    }
}

TEST(bulkhead, a_refusal_says_so_in_a_pipeline)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_pipeline *pipeline = around(BULKHEAD(.limit = 2, .form = form));
        struct guest guest[3];
        CHECK_EQ(come(&guest[0], pipeline, 1, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&guest[1], pipeline, 1, NULL, START), WEIR_RUN);
        come(&guest[2], pipeline, 1, NULL, START);
        check_refused(&guest[2], WEIR_REASON_BULKHEAD_FULL);
        CHECK_EQ(weir_call_outcome(&guest[2].call).by, 1);
        go(&guest[0], START);
        go(&guest[1], START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead, weights_add_up)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 10, .form = form);
        struct weir_permit seven, three, more;
        CHECK(!take(bulkhead, 11, &more)); /* never fits */
        CHECK(take(bulkhead, 7, &seven));
        CHECK(!take(bulkhead, 4, &more));
        CHECK(take(bulkhead, 3, &three));
        CHECK_EQ(in_use(bulkhead), 10);
        weir_bulkhead_release(bulkhead, &seven);
        CHECK_EQ(in_use(bulkhead), 3);
        CHECK(take(bulkhead, 7, &seven));
        weir_bulkhead_release(bulkhead, &seven);
        weir_bulkhead_release(bulkhead, &three);
        CHECK(take(bulkhead, 10, &more));
        weir_bulkhead_release(bulkhead, &more);
        CHECK_EQ(in_use(bulkhead), 0);
        weir_policy_release(bulkhead);
    }
}

TEST(bulkhead, the_largest_weights_do_not_wrap)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 1000000, .form = form);
        struct weir_permit permit, more;
        CHECK(!take(bulkhead, UINT32_MAX, &more));
        CHECK(take(bulkhead, 999999, &permit));
        CHECK(!take(bulkhead, UINT32_MAX, &more));
        CHECK(!take(bulkhead, UINT32_MAX - 999998, &more));
        CHECK(!take(bulkhead, 2, &more));
        CHECK(take(bulkhead, 1, &more));
        weir_bulkhead_release(bulkhead, &permit);
        weir_bulkhead_release(bulkhead, &more);
        CHECK_EQ(in_use(bulkhead), 0);
        weir_policy_release(bulkhead);
    }
}

TEST(bulkhead, every_weight_of_every_limit_is_exact)
{
    struct weir_permit permit[40], more;
    for (uint32_t limit = 1; limit <= 40; limit++) {
        for (uint32_t weight = 1; weight <= limit; weight++) {
            IN_BOTH_FORMS(form)
            {
                struct weir_policy *bulkhead = BULKHEAD(.limit = limit, .form = form);
                uint32_t fit = limit / weight;
                for (uint32_t i = 0; i < fit; i++) CHECK(take(bulkhead, weight, &permit[i]));
                CHECK(!take(bulkhead, weight, &more));
                CHECK_EQ(in_use(bulkhead), fit * weight);
                for (uint32_t i = 0; i < fit; i++) weir_bulkhead_release(bulkhead, &permit[i]);
                CHECK_EQ(in_use(bulkhead), 0);
                weir_policy_release(bulkhead);
            }
        }
    }
}

TEST(bulkhead, auto_is_sharded_from_eight_permits_on)
{
    struct weir_policy *small = BULKHEAD(.limit = 7), *large = BULKHEAD(.limit = 8),
                       *standard = bulkhead_of(NULL);
    CHECK_EQ(weir_bulkhead_stats(small).shards, 0);
    CHECK(weir_bulkhead_stats(large).shards >= 2);
    CHECK_EQ(weir_bulkhead_stats(standard).limit, 64);
    CHECK(weir_bulkhead_stats(standard).shards >= 2);
    weir_policy_release(small);
    weir_policy_release(large);
    weir_policy_release(standard);
}

/* Lowered below what is in use: nobody is admitted until enough has come back. */
TEST(bulkhead, the_limit_is_lowered_below_what_is_in_use)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 10, .form = form);
        struct weir_permit permit[10], more;
        for (int i = 0; i < 8; i++) CHECK(take(bulkhead, 1, &permit[i]));
        CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 3), WEIR_E_NONE);
        CHECK_EQ(weir_bulkhead_stats(bulkhead).limit, 3);
        CHECK_EQ(in_use(bulkhead), 8);
        for (uint32_t i = 8; i > 3; i--) {
            CHECK(!take(bulkhead, 1, &more));
            weir_bulkhead_release(bulkhead, &permit[i - 1]);
            CHECK_EQ(in_use(bulkhead), i - 1);
        }
        CHECK(!take(bulkhead, 1, &more)); /* three are in use, and three is the limit */
        weir_bulkhead_release(bulkhead, &permit[2]);
        CHECK(take(bulkhead, 1, &permit[2]));
        CHECK(!take(bulkhead, 1, &more));
        for (int i = 0; i < 3; i++) weir_bulkhead_release(bulkhead, &permit[i]);
        CHECK_EQ(in_use(bulkhead), 0);
        weir_policy_release(bulkhead);
    }
}

TEST(bulkhead, the_limit_is_raised_live)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 2, .form = form);
        struct weir_permit permit[100], more;
        for (int i = 0; i < 2; i++) CHECK(take(bulkhead, 1, &permit[i]));
        CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 100), WEIR_E_NONE);
        for (int i = 2; i < 100; i++) CHECK(take(bulkhead, 1, &permit[i]));
        CHECK(!take(bulkhead, 1, &more));
        for (int i = 0; i < 100; i++) weir_bulkhead_release(bulkhead, &permit[i]);
        CHECK_EQ(in_use(bulkhead), 0);
        weir_policy_release(bulkhead);
    }
}

/* Any sequence of takes, releases and limits: exact at every step, in both forms. */
TEST(bulkhead, a_random_walk_is_exact)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_policy *bulkhead = BULKHEAD(.limit = 20, .form = form);
        struct weir_permit permit[200];
        uint32_t weight[200], held = 0, used = 0, limit = 20;
        uint64_t random = 12345;
        for (int step = 0; step < 100000; step++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint32_t draw = (uint32_t)(random >> 33);
            if (draw % 16 == 0) {
                limit = 1 + draw / 16 % 50;
                CHECK_EQ(weir_bulkhead_set_limit(bulkhead, limit), WEIR_E_NONE);
            } else if (draw % 2 == 0 && held > 0) {
                uint32_t which = draw / 16 % held;
                weir_bulkhead_release(bulkhead, &permit[which]);
                used -= weight[which];
                permit[which] = permit[--held];
                weight[which] = weight[held];
            } else if (held < 200) {
                weight[held] = 1 + draw / 16 % 4;
                bool fits = used + weight[held] <= limit;
                CHECK_EQ(take(bulkhead, weight[held], &permit[held]), fits);
                if (fits) used += weight[held++];
            }
            CHECK_EQ(in_use(bulkhead), used);
        }
        while (held > 0) weir_bulkhead_release(bulkhead, &permit[--held]);
        weir_policy_release(bulkhead);
    }
}

TEST(bulkhead, a_limit_out_of_range_is_refused)
{
    struct weir_policy *bulkhead = BULKHEAD(.limit = 5);
    CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 0), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "limit is 0, expected 1..1000000");
    CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 1000001), WEIR_E_INVALID);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).limit, 5);
    CHECK_EQ(weir_bulkhead_set_limit(bulkhead, 1000000), WEIR_E_NONE);
    weir_policy_release(bulkhead);
}

TEST(bulkhead, modes_alone)
{
    struct weir_policy *bulkhead = BULKHEAD(.limit = 1);
    struct weir_permit one, two, three;
    CHECK(take(bulkhead, 1, &one));
    weir_policy_set_mode(bulkhead, WEIR_MODE_SHADOW);
    CHECK(take(bulkhead, 1, &two));
    CHECK_EQ(weir_bulkhead_stats(bulkhead).would_refuse, 1);
    CHECK_EQ(in_use(bulkhead), 1); /* what shadow lets in takes nothing */
    weir_policy_set_mode(bulkhead, WEIR_MODE_DISABLED);
    CHECK(take(bulkhead, 1, &three));
    weir_bulkhead_release(bulkhead, &two);
    weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
    struct weir_permit four;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &four).reason, WEIR_REASON_FORCED);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).refused_forced, 1);
    weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_CLOSED);
    CHECK(take(bulkhead, 1, &four));
    weir_bulkhead_release(bulkhead, &four);
    weir_bulkhead_release(bulkhead, &three);
    CHECK_EQ(in_use(bulkhead), 1);
    weir_bulkhead_release(bulkhead, &one);
    CHECK_EQ(in_use(bulkhead), 0);
    weir_policy_release(bulkhead);
}

TEST(bulkhead, modes_in_a_pipeline)
{
    struct weir_pipeline *pipeline = around(BULKHEAD(.limit = 1, .queue = 4));
    struct weir_policy *bulkhead = weir_pipeline_policy(pipeline, 0);
    struct guest guest[4];
    CHECK_EQ(come(&guest[0], pipeline, 1, NULL, START), WEIR_RUN);
    weir_policy_set_mode(bulkhead, WEIR_MODE_SHADOW);
    CHECK_EQ(come(&guest[1], pipeline, 1, NULL, START), WEIR_RUN); /* would have waited */
    CHECK_EQ(stats_of(pipeline).would_refuse, 1);
    CHECK_EQ(stats_of(pipeline).waiting, 0);
    go(&guest[1], START);
    CHECK_EQ(weir_call_outcome(&guest[1].call).flags, WEIR_SHADOW);
    CHECK_EQ(stats_of(pipeline).in_use, 1);
    weir_policy_set_mode(bulkhead, WEIR_MODE_ON);
    CHECK_EQ(come(&guest[2], pipeline, 1, NULL, START), WEIR_WAIT);
    weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
    look(&guest[2], START); /* waiting under an operator's hand: it leaves the queue */
    check_refused(&guest[2], WEIR_REASON_FORCED);
    CHECK_EQ(stats_of(pipeline).waiting, 0);
    weir_policy_set_mode(bulkhead, WEIR_MODE_ON);
    CHECK_EQ(come(&guest[3], pipeline, 1, NULL, START), WEIR_WAIT);
    weir_policy_set_mode(bulkhead, WEIR_MODE_DISABLED);
    CHECK_EQ(look(&guest[3], START), WEIR_RUN);
    CHECK_EQ(stats_of(pipeline).waiting, 0);
    go(&guest[3], START);
    go(&guest[0], START);
    check_empty(pipeline);
    weir_pipeline_destroy(pipeline);
}

/* A hook is asked with the call's hold of another policy too; its own slot says nothing then. */
TEST(bulkhead, a_call_held_by_another_policy_is_asked_as_usual)
{
    struct weir_policy *bulkhead = BULKHEAD(.limit = 1);
    struct weir_call call = hooks_call(1);
    struct weir_outcome ok = { .status = WEIR_OK };
    call.held = 1;
    CHECK_EQ(hooks_admit(bulkhead, &call, START).kind, WEIR_PASS);
    CHECK_EQ(in_use(bulkhead), 1);
    CHECK_EQ(hooks_settle(bulkhead, &call, &ok, START).kind, WEIR_PASS);
    CHECK_EQ(in_use(bulkhead), 0);
    weir_policy_release(bulkhead);
}
