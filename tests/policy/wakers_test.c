/* The wakers of held calls: an index belongs to whoever armed it last. */
#include "support/test.h"

#include "policy/wakers.h"

static void post(void *count)
{
    ++*(int *)count;
}

TEST(wakers, post_only_while_armed)
{
    struct waker_cell cell[2] = { { .state = 0 }, { .state = 0 } };
    struct wakers wakers = { cell, 2 };
    int posts = 0, others = 0;
    wakers_post(&wakers, 0);
    wakers_arm(&wakers, 0, &posts, (struct weir_waker) { post, &posts });
    wakers_arm(&wakers, 1, &others, (struct weir_waker) { post, &others });
    for (int i = 0; i < 3; i++) wakers_post(&wakers, 0);
    CHECK_EQ(posts, 3);
    CHECK_EQ(others, 0);
    wakers_disarm(&wakers, 0, &posts);
    wakers_post(&wakers, 0);
    CHECK_EQ(posts, 3);
    wakers_disarm(&wakers, 0, &posts); /* twice is nothing */
    wakers_post(&wakers, 1);
    CHECK_EQ(others, 1);
}

TEST(wakers, arming_takes_over_and_disarming_touches_nobody_elses)
{
    struct waker_cell cell[1] = { { .state = 0 } };
    struct wakers wakers = { cell, 1 };
    int older = 0, newer = 0;
    wakers_arm(&wakers, 0, &older, (struct weir_waker) { post, &older });
    wakers_arm(&wakers, 0, &newer, (struct weir_waker) { post, &newer });
    wakers_disarm(&wakers, 0, &older);
    wakers_post(&wakers, 0);
    CHECK_EQ(older, 0);
    CHECK_EQ(newer, 1);
    wakers_disarm(&wakers, 0, &newer);
    wakers_post(&wakers, 0);
    CHECK_EQ(newer, 1);
}
