/* Contexts: deadlines only shrink, whatever is current is inherited, and a detached one inherits nothing. */
#include "support/test.h"

#include <weir/context.h>

#include <pthread.h>

TEST(context, a_root_has_what_it_was_given)
{
    struct weir_context context;
    weir_context_child(&context, NULL, 100, NULL);
    CHECK_EQ(context.deadline_ns, 100);
    CHECK_EQ(weir_context_check(&context, 99), WEIR_OK);
    CHECK_EQ(weir_context_check(&context, 100), WEIR_EXPIRED); /* from its deadline on */
    CHECK_EQ(weir_context_check(&context, 101), WEIR_EXPIRED);
    CHECK_EQ(weir_context_reason(&context), 0);
    CHECK_EQ(weir_context_check(NULL, 100), WEIR_OK);
    CHECK_EQ(weir_context_reason(NULL), 0);
}

TEST(context, a_child_has_at_most_its_parents_time)
{
    const struct {
        uint64_t parent, asked, got;
        uint32_t clipped;
    } cases[] = {
        { 100, 50, 50, 0 },
        { 100, 100, 100, 0 },
        { 100, 101, 100, 1 },
        { 100, WEIR_NEVER - 1, 100, 1 },
        { 100, WEIR_NEVER, 100, 0 }, /* "with its parent" is no wish for more */
        { WEIR_NEVER, 100, 100, 0 },
        { WEIR_NEVER, WEIR_NEVER, WEIR_NEVER, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t before = weir_context_stats().clipped;
        struct weir_context parent, child, grandchild;
        weir_context_child(&parent, NULL, cases[i].parent, NULL);
        weir_context_child(&child, &parent, cases[i].asked, NULL);
        weir_context_child(&grandchild, &child, WEIR_NEVER, NULL);
        CHECK_EQ(child.deadline_ns, cases[i].got);
        CHECK_EQ(grandchild.deadline_ns, cases[i].got);
        CHECK_EQ(weir_context_stats().clipped, before + cases[i].clipped);
    }
}

TEST(context, the_current_one_is_the_parent_unless_another_is_named)
{
    CHECK(weir_context_current() == NULL);
    struct weir_context current, child, named, detached;
    weir_context_child(&current, NULL, 100, NULL);
    weir_context_enter(&current);
    CHECK(weir_context_current() == &current);
    weir_context_child(&child, NULL, 200, NULL);
    CHECK_EQ(child.deadline_ns, 100);
    uint64_t before = weir_context_stats().detached;
    weir_context_detached(&detached, 200, NULL);
    CHECK_EQ(detached.deadline_ns, 200);
    CHECK_EQ(weir_context_stats().detached, before + 1);
    weir_context_child(&named, &detached, 150, NULL);
    CHECK_EQ(named.deadline_ns, 150);
    weir_context_leave(&current);
    CHECK(weir_context_current() == NULL);
}

TEST(context, entering_nests)
{
    struct weir_context outer, inner;
    weir_context_child(&outer, NULL, 100, NULL);
    for (int i = 0; i < 3; i++) {
        weir_context_enter(&outer);
        weir_context_child(&inner, NULL, 50, NULL);
        weir_context_enter(&inner);
        CHECK(weir_context_current() == &inner);
        weir_context_leave(&inner);
        CHECK(weir_context_current() == &outer);
        weir_context_leave(&outer);
        CHECK(weir_context_current() == NULL);
    }
}

static void *sees_none(void *argument)
{
    (void)argument;
    CHECK(weir_context_current() == NULL);
    struct weir_context own;
    weir_context_child(&own, NULL, 70, NULL);
    CHECK_EQ(own.deadline_ns, 70);
    weir_context_enter(&own);
    CHECK(weir_context_current() == &own);
    weir_context_leave(&own);
    return NULL;
}

TEST(context, another_thread_has_another_current_one)
{
    struct weir_context context;
    weir_context_child(&context, NULL, 50, NULL);
    weir_context_enter(&context);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sees_none, NULL), 0);
    pthread_join(thread, NULL);
    CHECK(weir_context_current() == &context);
    weir_context_leave(&context);
}

TEST(context, canceled_comes_before_expired_and_goes_down_only)
{
    struct weir_source *source;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    struct weir_context parent, middle, child, sibling, detached;
    weir_context_child(&parent, NULL, 100, NULL);
    weir_context_child(&middle, &parent, WEIR_NEVER, source);
    weir_context_child(&child, &middle, WEIR_NEVER, NULL);
    weir_context_child(&sibling, &parent, WEIR_NEVER, NULL);
    weir_context_enter(&middle);
    weir_context_detached(&detached, WEIR_NEVER, NULL);
    weir_context_leave(&middle);
    CHECK_EQ(weir_context_check(&child, 100), WEIR_EXPIRED);
    CHECK(weir_source_cancel(source, 9));
    CHECK_EQ(weir_context_check(&middle, 0), WEIR_CANCELED);
    CHECK_EQ(weir_context_check(&child, 0), WEIR_CANCELED);
    CHECK_EQ(weir_context_check(&child, 100), WEIR_CANCELED);
    CHECK_EQ(weir_context_reason(&child), 9);
    CHECK_EQ(weir_context_check(&parent, 0), WEIR_OK);
    CHECK_EQ(weir_context_check(&sibling, 0), WEIR_OK);
    CHECK_EQ(weir_context_check(&detached, 0), WEIR_OK);
    weir_source_release(source);
}

TEST(context, the_nearest_reason_is_told)
{
    struct weir_source *outer, *inner;
    CHECK_EQ(weir_source_create(&outer), WEIR_E_NONE);
    CHECK_EQ(weir_source_create(&inner), WEIR_E_NONE);
    struct weir_context parent, between, child;
    weir_context_child(&parent, NULL, WEIR_NEVER, outer);
    weir_context_child(&between, &parent, WEIR_NEVER, NULL);
    weir_context_child(&child, &between, WEIR_NEVER, inner);
    CHECK(weir_source_cancel(outer, 1));
    CHECK_EQ(weir_context_reason(&child), 1);
    CHECK(weir_source_cancel(inner, 2));
    CHECK_EQ(weir_context_reason(&child), 2);
    CHECK_EQ(weir_context_reason(&parent), 1);
    weir_source_release(outer);
    weir_source_release(inner);
}
