/* The bulkhead's queue: first in, first out; who waits, who leaves, who is handed a permit. */
#include "policy/bulkhead_words.h"

static struct weir_pipeline *full(enum weir_form form, uint32_t limit, uint32_t queue, struct guest *inside)
{
    struct weir_pipeline *pipeline =
        around(BULKHEAD(.limit = limit, .queue = queue, .wait_max_ns = 10 * WEIR_S, .form = form));
    CHECK_EQ(come(inside, pipeline, limit, NULL, START), WEIR_RUN);
    return pipeline;
}

TEST(bulkhead_queue, first_in_first_out)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest[20];
        struct weir_pipeline *pipeline = full(form, 1, 20, &inside);
        for (int i = 0; i < 20; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(stats_of(pipeline).waiting, 20);
        CHECK_EQ(stats_of(pipeline).queued, 20);
        go(&inside, START);
        for (int i = 0; i < 20; i++) {
            for (int j = i; j < 20; j++) CHECK_EQ(guest[j].posts, j == i);
            CHECK_EQ(look(&guest[i], START), WEIR_RUN);
            if (i < 19) CHECK_EQ(look(&guest[i + 1], START), WEIR_WAIT);
            go(&guest[i], START);
        }
        CHECK_EQ(stats_of(pipeline).handed_over, 20);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, order_survives_who_leaves_and_who_comes)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest[6];
        struct weir_pipeline *pipeline = full(form, 1, 4, &inside);
        for (int i = 0; i < 4; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_call_cancel(&guest[0].call, START).action, WEIR_DONE);
        CHECK_EQ(weir_call_cancel(&guest[2].call, START).action, WEIR_DONE);
        for (int i = 4; i < 6; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        go(&inside, START);
        static const int order[] = { 1, 3, 4, 5 }; /* whoever took the places of 0 and 2 */
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(guest[order[i]].posts, 1);
            CHECK_EQ(look(&guest[order[i]], START), WEIR_RUN);
            go(&guest[order[i]], START);
        }
        CHECK_EQ(guest[0].posts + guest[2].posts, 0);
        CHECK_EQ(stats_of(pipeline).left, 2);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, nobody_overtakes)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, heavy, light;
        struct weir_pipeline *pipeline =
            around(BULKHEAD(.limit = 4, .queue = 4, .wait_max_ns = WEIR_S, .form = form));
        CHECK_EQ(come(&inside, pipeline, 2, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&heavy, pipeline, 4, NULL, START), WEIR_WAIT);
        CHECK_EQ(come(&light, pipeline, 1, NULL, START), WEIR_WAIT); /* two are free, but not for him */
        struct weir_permit permit;
        struct weir_policy *bulkhead = weir_pipeline_policy(pipeline, 0);
        CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &permit).status, WEIR_REJECTED);
        go(&inside, START);
        CHECK_EQ(look(&light, START), WEIR_WAIT);
        CHECK_EQ(look(&heavy, START), WEIR_RUN);
        go(&heavy, START);
        CHECK_EQ(look(&light, START), WEIR_RUN);
        go(&light, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, one_release_serves_all_that_fit)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest[4];
        struct weir_pipeline *pipeline = full(form, 6, 4, &inside);
        static const uint32_t weight[] = { 3, 2, 2, 1 };
        for (int i = 0; i < 4; i++) CHECK_EQ(come(&guest[i], pipeline, weight[i], NULL, START), WEIR_WAIT);
        go(&inside, START); /* 3 + 2 fit, then 2 does not, and 1 may not overtake it */
        CHECK_EQ(guest[0].posts, 1);
        CHECK_EQ(guest[1].posts, 1);
        CHECK_EQ(guest[2].posts + guest[3].posts, 0);
        CHECK_EQ(stats_of(pipeline).in_use, 5);
        CHECK_EQ(look(&guest[0], START), WEIR_RUN);
        CHECK_EQ(look(&guest[1], START), WEIR_RUN);
        go(&guest[1], START);
        CHECK_EQ(look(&guest[2], START), WEIR_RUN);
        CHECK_EQ(look(&guest[3], START), WEIR_RUN);
        go(&guest[0], START);
        go(&guest[2], START);
        go(&guest[3], START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, is_bounded)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest[3];
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        for (int i = 0; i < 2; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        come(&guest[2], pipeline, 1, NULL, START);
        check_refused(&guest[2], WEIR_REASON_QUEUE_FULL);
        CHECK_EQ(stats_of(pipeline).refused_queue_full, 1);
        for (int i = 0; i < 2; i++) CHECK_EQ(weir_call_cancel(&guest[i].call, START).action, WEIR_DONE);
        go(&inside, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

/* Nobody waits any more: the first was handed its permit, but has not come for it yet. */
TEST(bulkhead_queue, who_is_on_the_way_takes_no_newcomers_place)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, first, second, third;
        struct weir_pipeline *pipeline = full(form, 1, 1, &inside);
        CHECK_EQ(come(&first, pipeline, 1, NULL, START), WEIR_WAIT);
        go(&inside, START);
        CHECK_EQ(come(&second, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(stats_of(pipeline).waiting, 2);
        come(&third, pipeline, 1, NULL, START);
        check_refused(&third, WEIR_REASON_QUEUE_FULL);
        CHECK_EQ(look(&first, START), WEIR_RUN);
        go(&first, START);
        CHECK_EQ(look(&second, START), WEIR_RUN);
        go(&second, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

/* As many may be on their way as the limit was at first, at most as the queue is long. */
TEST(bulkhead_queue, those_on_the_way_are_bounded)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, first, second, third, late;
        struct weir_pipeline *pipeline = full(form, 1, 1, &inside);
        CHECK_EQ(come(&first, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_bulkhead_set_limit(weir_pipeline_policy(pipeline, 0), 3), WEIR_E_NONE);
        CHECK_EQ(come(&second, pipeline, 1, NULL, START), WEIR_RUN); /* one is free, and nobody waits */
        CHECK_EQ(come(&third, pipeline, 1, NULL, START), WEIR_WAIT);
        go(&second, START);
        CHECK_EQ(first.posts + third.posts, 2);
        come(&late, pipeline, 1, NULL, START);
        check_refused(&late, WEIR_REASON_QUEUE_FULL);
        CHECK_EQ(look(&first, START), WEIR_RUN);
        CHECK_EQ(come(&late, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(look(&third, START), WEIR_RUN);
        go(&inside, START);
        CHECK_EQ(look(&late, START), WEIR_RUN);
        go(&first, START);
        go(&third, START);
        go(&late, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, what_can_never_fit_does_not_wait)
{
    IN_BOTH_FORMS(form)
    {
        struct guest guest;
        struct weir_pipeline *pipeline = around(BULKHEAD(.limit = 4, .queue = 4, .form = form));
        come(&guest, pipeline, 5, NULL, START);
        check_refused(&guest, WEIR_REASON_BULKHEAD_FULL);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, waiting_ends_after_wait_max)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest;
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(come(&guest, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(guest.step.at_ns, START + 10 * WEIR_S);
        CHECK_EQ(look(&guest, START + 10 * WEIR_S - 1), WEIR_WAIT);
        CHECK_EQ(guest.step.at_ns, START + 10 * WEIR_S); /* looking early does not prolong it */
        look(&guest, START + 10 * WEIR_S);
        check_refused(&guest, WEIR_REASON_QUEUE_WAIT);
        CHECK_EQ(stats_of(pipeline).refused_wait, 1);
        CHECK_EQ(stats_of(pipeline).waiting, 0);
        go(&inside, START);
        CHECK_EQ(guest.posts, 0);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, waiting_ends_at_the_deadline)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest;
        struct weir_context context;
        weir_context_child(&context, NULL, START + 2 * WEIR_S, NULL);
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(come(&guest, pipeline, 1, &context, START), WEIR_WAIT);
        CHECK_EQ(guest.step.at_ns, START + 2 * WEIR_S);
        CHECK_EQ(look(&guest, START + 2 * WEIR_S), WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&guest.call).status, WEIR_EXPIRED);
        CHECK_EQ(weir_call_outcome(&guest.call).reason, WEIR_REASON_DEADLINE);
        CHECK_EQ(weir_call_outcome(&guest.call).by, 0);
        CHECK_EQ(stats_of(pipeline).left, 1);
        go(&inside, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, who_leaves_while_granted_hands_it_on)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, first, second;
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(come(&first, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(come(&second, pipeline, 1, NULL, START), WEIR_WAIT);
        go(&inside, START);
        CHECK_EQ(first.posts, 1);
        CHECK_EQ(weir_call_cancel(&first.call, START).action, WEIR_DONE);
        CHECK_EQ(second.posts, 1);
        CHECK_EQ(stats_of(pipeline).in_use, 1);
        CHECK_EQ(look(&second, START), WEIR_RUN);
        go(&second, START);
        CHECK_EQ(stats_of(pipeline).left, 1);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, granted_at_the_last_moment_is_granted)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest;
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(come(&guest, pipeline, 1, NULL, START), WEIR_WAIT);
        go(&inside, START + 10 * WEIR_S);
        CHECK_EQ(look(&guest, START + 11 * WEIR_S), WEIR_RUN); /* looked too late, but it was his in time */
        go(&guest, START + 11 * WEIR_S);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, a_heavy_first_that_leaves_lets_the_next_in)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, heavy, light;
        struct weir_pipeline *pipeline =
            around(BULKHEAD(.limit = 4, .queue = 4, .wait_max_ns = WEIR_S, .form = form));
        CHECK_EQ(come(&inside, pipeline, 2, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&heavy, pipeline, 4, NULL, START), WEIR_WAIT);
        CHECK_EQ(come(&light, pipeline, 2, NULL, START + 1), WEIR_WAIT);
        look(&heavy, START + WEIR_S);
        check_refused(&heavy, WEIR_REASON_QUEUE_WAIT);
        CHECK_EQ(light.posts, 1);
        CHECK_EQ(look(&light, START + WEIR_S), WEIR_RUN);
        go(&light, START + WEIR_S);
        go(&inside, START + WEIR_S);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, a_raised_limit_wakes_at_once)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, guest[3];
        struct weir_pipeline *pipeline = full(form, 1, 3, &inside);
        for (int i = 0; i < 3; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_bulkhead_set_limit(weir_pipeline_policy(pipeline, 0), 3), WEIR_E_NONE);
        CHECK_EQ(guest[0].posts, 1);
        CHECK_EQ(guest[1].posts, 1);
        CHECK_EQ(guest[2].posts, 0);
        for (int i = 0; i < 2; i++) CHECK_EQ(look(&guest[i], START), WEIR_RUN);
        CHECK_EQ(look(&guest[2], START), WEIR_WAIT);
        go(&inside, START);
        CHECK_EQ(look(&guest[2], START), WEIR_RUN);
        for (int i = 0; i < 3; i++) go(&guest[i], START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, a_lowered_limit_is_paid_before_anybody_is_let_in)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside[4], guest[2];
        struct weir_pipeline *pipeline =
            around(BULKHEAD(.limit = 4, .queue = 2, .wait_max_ns = WEIR_S, .form = form));
        for (int i = 0; i < 4; i++) CHECK_EQ(come(&inside[i], pipeline, 1, NULL, START), WEIR_RUN);
        for (int i = 0; i < 2; i++) CHECK_EQ(come(&guest[i], pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_bulkhead_set_limit(weir_pipeline_policy(pipeline, 0), 2), WEIR_E_NONE);
        go(&inside[0], START);
        go(&inside[1], START);
        CHECK_EQ(guest[0].posts, 0);
        CHECK_EQ(stats_of(pipeline).in_use, 2);
        go(&inside[2], START);
        CHECK_EQ(guest[0].posts, 1);
        CHECK_EQ(look(&guest[0], START), WEIR_RUN);
        CHECK_EQ(look(&guest[1], START), WEIR_WAIT);
        go(&inside[3], START);
        CHECK_EQ(look(&guest[1], START), WEIR_RUN);
        go(&guest[0], START);
        go(&guest[1], START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

/* It is refused when its turn comes, as if it came now, and those behind it go on. */
TEST(bulkhead_queue, too_heavy_for_a_lowered_limit_is_refused_and_blocks_nobody)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, heavy, light, gone;
        struct weir_pipeline *pipeline =
            around(BULKHEAD(.limit = 4, .queue = 3, .wait_max_ns = WEIR_S, .form = form));
        CHECK_EQ(come(&inside, pipeline, 4, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&heavy, pipeline, 3, NULL, START), WEIR_WAIT);
        CHECK_EQ(come(&light, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(come(&gone, pipeline, 3, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_bulkhead_set_limit(weir_pipeline_policy(pipeline, 0), 2), WEIR_E_NONE);
        CHECK_EQ(heavy.posts, 1);
        CHECK_EQ(light.posts, 0); /* nothing is free yet */
        look(&heavy, START);
        check_refused(&heavy, WEIR_REASON_BULKHEAD_FULL);
        go(&inside, START);
        CHECK_EQ(light.posts, 1);
        CHECK_EQ(gone.posts, 1);
        CHECK_EQ(look(&light, START), WEIR_RUN);
        CHECK_EQ(stats_of(pipeline).in_use, 1);
        CHECK_EQ(weir_call_cancel(&gone.call, START).action, WEIR_DONE); /* it has nothing to give back */
        CHECK_EQ(stats_of(pipeline).in_use, 1);
        go(&light, START);
        check_empty(pipeline);
        CHECK_EQ(stats_of(pipeline).refused_full, 1);
        CHECK_EQ(stats_of(pipeline).left, 2);
        weir_pipeline_destroy(pipeline);
    }
}

/* Nothing is in use, yet somebody waits: it has not come yet to hear that it is too heavy for the limit now. */
static struct weir_pipeline *dismissed(struct guest *heavy, enum weir_form form)
{
    struct guest inside;
    struct weir_pipeline *pipeline =
        around(BULKHEAD(.limit = 3, .queue = 1, .wait_max_ns = WEIR_S, .form = form));
    CHECK_EQ(come(&inside, pipeline, 1, NULL, START), WEIR_RUN);
    CHECK_EQ(come(heavy, pipeline, 3, NULL, START), WEIR_WAIT);
    CHECK_EQ(weir_bulkhead_set_limit(weir_pipeline_policy(pipeline, 0), 2), WEIR_E_NONE);
    go(&inside, START);
    CHECK_EQ(stats_of(pipeline).in_use, 0);
    CHECK_EQ(stats_of(pipeline).waiting, 1);
    return pipeline;
}

static void drop_the_last_reference(enum weir_form form)
{
    struct guest heavy;
    weir_policy_release(weir_pipeline_policy(dismissed(&heavy, form), 0));
}

TEST(bulkhead_queue, is_not_freed_while_somebody_waits_in_it)
{
    IN_BOTH_FORMS(form)
    {
        struct guest heavy;
        CHECK_ABORTS(drop_the_last_reference(form),
            "weir: weir_policy_release: the last reference is dropped while a permit is out or a call waits");
        struct weir_pipeline *pipeline = dismissed(&heavy, form);
        CHECK_EQ(look(&heavy, START), WEIR_DONE);
        check_refused(&heavy, WEIR_REASON_BULKHEAD_FULL);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, a_waiter_without_a_waker_finds_its_permit_by_looking)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside;
        struct weir_call call;
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
        CHECK_EQ(weir_call_wake(&call, START).action, WEIR_WAIT);
        go(&inside, START);
        struct weir_step step = weir_call_wake(&call, START);
        CHECK_EQ(step.action, WEIR_RUN);
        CHECK_EQ(weir_call_settle(&call, 1, (struct weir_outcome) { 0 }, START).action, WEIR_DONE);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, a_waker_is_armed_later_and_changed)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, one = { .posts = 0 }, two = { .posts = 0 };
        struct weir_call call;
        struct weir_pipeline *pipeline = full(form, 1, 2, &inside);
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
        CHECK_EQ(weir_call_arm(&call, (struct weir_waker) { guest_post, &one }, START).action, WEIR_WAIT);
        CHECK_EQ(weir_call_arm(&call, (struct weir_waker) { guest_post, &two }, START).action, WEIR_WAIT);
        go(&inside, START);
        CHECK_EQ(one.posts, 0);
        CHECK_EQ(two.posts, 1);
        CHECK_EQ(weir_call_cancel(&call, START).action, WEIR_DONE);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(bulkhead_queue, after_it_has_left_nobody_posts)
{
    IN_BOTH_FORMS(form)
    {
        struct guest inside, gone, next;
        struct weir_pipeline *pipeline = full(form, 1, 1, &inside);
        CHECK_EQ(come(&gone, pipeline, 1, NULL, START), WEIR_WAIT);
        CHECK_EQ(weir_call_cancel(&gone.call, START).action, WEIR_DONE);
        CHECK_EQ(come(&next, pipeline, 1, NULL, START), WEIR_WAIT); /* in the same place */
        go(&inside, START);
        CHECK_EQ(gone.posts, 0);
        CHECK_EQ(next.posts, 1);
        CHECK_EQ(look(&next, START), WEIR_RUN);
        go(&next, START);
        check_empty(pipeline);
        weir_pipeline_destroy(pipeline);
    }
}
