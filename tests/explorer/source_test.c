/* Canceling against parking: a watch, its waker, and whoever cancels or resets the source. */
#include "base/context.h"
#include "explorer/explorer.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct weir_context context[EXPLORE_THREADS_MAX];
    struct weir_watch watch[EXPLORE_THREADS_MAX];
    uint32_t flag[EXPLORE_THREADS_MAX];
    uint32_t watching[EXPLORE_THREADS_MAX];
    uint32_t won[EXPLORE_THREADS_MAX];
} w;
static struct weir_source *inner, *outer;

/* ---- what threads do ---- */

/* Runs only between watch and unwatch, and only for a context that is over. */
static void post(void *flag)
{
    uint32_t thread = (uint32_t)((uint32_t *)flag - w.flag);
    weir_explore_point(&w.watching[thread]);
    EXPLORE_CHECK(w.watching[thread] == 1);
    EXPLORE_CHECK(weir_context_reason(&w.context[thread]) != 0);
    explore_post(&w.flag[thread]);
    weir_explore_point(&w.watching[thread]);
    EXPLORE_CHECK(w.watching[thread] == 1);
}

static void watch(uint32_t thread)
{
    weir_explore_point(&w.watching[thread]);
    w.watching[thread] = 1;
    weir_context_watch(&w.watch[thread], &w.context[thread], (struct weir_waker) { post, &w.flag[thread] });
}

static void unwatch(uint32_t thread)
{
    weir_context_unwatch(&w.watch[thread]);
    weir_explore_point(&w.watching[thread]);
    w.watching[thread] = 0;
    memset(&w.watch[thread], 0xff, sizeof w.watch[thread]); /* it is the caller's again */
}

/* Sleeps until it is canceled. */
static void park(uint32_t thread)
{
    watch(thread);
    while (weir_context_check(&w.context[thread], 0) == WEIR_OK) explore_await(&w.flag[thread]);
    unwatch(thread);
}

static void cancel(uint32_t thread, struct weir_source *source)
{
    w.won[thread] = weir_source_cancel(source, (int32_t)thread + 1);
}

/* Looks only when it is woken. */
static void trust(uint32_t thread)
{
    watch(thread);
    explore_await(&w.flag[thread]);
    EXPLORE_CHECK(weir_context_check(&w.context[thread], 0) == WEIR_CANCELED);
    unwatch(thread);
}

static void one_trusts(uint32_t thread)
{
    if (thread == 0) trust(0);
    else cancel(thread, inner);
}

static void one_parks(uint32_t thread)
{
    if (thread == 0) park(0);
    else cancel(thread, inner);
}

static void two_park(uint32_t thread)
{
    if (thread < 2) park(thread);
    else cancel(thread, inner);
}

/* Thread 0 looks in and goes, whether it was canceled or not. */
static void one_leaves(uint32_t thread)
{
    if (thread == 0) {
        watch(0);
        unwatch(0);
    } else if (thread == 1) {
        park(1);
    } else {
        cancel(2, inner);
    }
}

static void in_a_chain(uint32_t thread)
{
    if (thread == 0) park(0);
    else cancel(thread, thread == 1 ? inner : outer);
}

static void reset_wakes(uint32_t thread)
{
    if (thread == 0) park(0);
    else if (thread == 1) weir_source_reset(inner);
    else cancel(2, inner);
}

/* ---- the world ---- */

static void create(void)
{
    memset(&w, 0, sizeof w);
    if (weir_source_create(&inner) != WEIR_E_NONE || weir_source_create(&outer) != WEIR_E_NONE) abort();
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        weir_context_detached(&w.context[i], WEIR_NEVER, inner);
    }
    explore_region(inner, sizeof *inner, "inner");
    explore_region(outer, sizeof *outer, "outer");
    explore_region(&w, sizeof w, "world");
}

static void create_chain(void)
{
    static struct weir_context above;
    create();
    weir_context_detached(&above, WEIR_NEVER, outer);
    weir_context_child(&w.context[0], &above, WEIR_NEVER, inner);
}

static void end(void)
{
    EXPLORE_CHECK(inner->watches == NULL && outer->watches == NULL);
    EXPLORE_CHECK(inner->lock == 0 && outer->lock == 0);
    explore_outcome((uint64_t)(uint32_t)weir_context_reason(&w.context[0]));
}

/* The first reason wins, and who gave it is told so. */
static void end_canceled(void)
{
    uint32_t winners = 0;
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) winners += w.won[i];
    EXPLORE_CHECK(winners == 1);
    EXPLORE_CHECK(w.won[weir_context_reason(&w.context[0]) - 1] == 1);
    end();
}

static const struct scenario scenarios[] = {
    { "source/park", 2, create, one_parks, NULL, end_canceled },
    { "source/trust", 2, create, one_trusts, NULL, end_canceled },
    { "source/two_cancel", 3, create, one_parks, NULL, end_canceled, .bound = 3 },
    { "source/two_park", 3, create, two_park, NULL, end_canceled, .bound = 3 },
    { "source/one_leaves", 3, create, one_leaves, NULL, end_canceled, .bound = 3 },
    { "source/chain_2", 2, create_chain, in_a_chain, NULL, end },
    { "source/chain", 3, create_chain, in_a_chain, NULL, end, .bound = 3 },
    { "source/reset", 2, create, reset_wakes, NULL, end },
    { "source/reset_and_cancel", 3, create, reset_wakes, NULL, end, .bound = 3 },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
