/* Broken rules of contexts: left in reverse on their own thread, entered once, stacked only so high. */
#include "pipeline/machine_words.h"

#include <pthread.h>

static void leave_out_of_order(void)
{
    struct weir_context outer, inner;
    weir_context_child(&outer, NULL, WEIR_NEVER, NULL);
    weir_context_enter(&outer);
    weir_context_child(&inner, NULL, WEIR_NEVER, NULL);
    weir_context_enter(&inner);
    weir_context_leave(&outer);
}

static void leave_twice(void)
{
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    weir_context_enter(&context);
    weir_context_leave(&context);
    weir_context_leave(&context);
}

static void enter_twice(void)
{
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    weir_context_enter(&context);
    weir_context_enter(&context);
}

static void enter_one_below(void)
{
    struct weir_context outer, inner;
    weir_context_child(&outer, NULL, WEIR_NEVER, NULL);
    weir_context_child(&inner, &outer, WEIR_NEVER, NULL);
    weir_context_enter(&outer);
    weir_context_enter(&inner);
    weir_context_enter(&outer);
}

static void *leaves(void *context)
{
    weir_context_leave(context);
    return NULL;
}

static void leave_on_another_thread(void)
{
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    weir_context_enter(&context);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, leaves, &context), 0);
    pthread_join(thread, NULL);
}

static void stack_sources(bool detached, int count)
{
    struct weir_context context[WEIR_SOURCES_MAX + 1];
    struct weir_source *source;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    if (detached) weir_context_detached(&context[0], WEIR_NEVER, source);
    else weir_context_child(&context[0], NULL, WEIR_NEVER, source);
    for (int i = 1; i < count; i++) weir_context_child(&context[i], &context[i - 1], WEIR_NEVER, source);
    weir_source_release(source);
}

TEST(contexts, contexts_are_left_in_reverse_on_their_own_thread)
{
    static const char message[] = "weir: weir_context_leave: the context is not this thread's current one";
    CHECK_ABORTS(leave_out_of_order(), message);
    CHECK_ABORTS(leave_twice(), message);
    CHECK_ABORTS(leave_on_another_thread(), message);
    CHECK_ABORTS(enter_one_below(), "weir: weir_context_enter: the context is entered already");
    CHECK_ABORTS(enter_twice(), "weir: weir_context_enter: the context is entered already");
}

TEST(contexts, sources_are_stacked_only_so_high)
{
    for (int detached = 0; detached < 2; detached++) {
        stack_sources(detached, WEIR_SOURCES_MAX);
        CHECK_ABORTS(stack_sources(detached, WEIR_SOURCES_MAX + 1),
            "weir: weir_context_child: more than WEIR_SOURCES");
    }
}
