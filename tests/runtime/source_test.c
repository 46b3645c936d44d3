/* Sources and watches: who is canceled, who is woken, and that nobody is missed. */
#include "support/test.h"

#include <weir/context.h>

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static void count(void *argument)
{
    __atomic_fetch_add((int *)argument, 1, __ATOMIC_SEQ_CST);
}

static struct weir_source *fresh(void)
{
    struct weir_source *source;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    return source;
}

TEST(source, the_first_reason_wins)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    CHECK_EQ(weir_context_check(&context, 0), WEIR_OK);
    CHECK(weir_source_cancel(source, 7));
    CHECK(!weir_source_cancel(source, 8));
    CHECK_EQ(weir_context_check(&context, 0), WEIR_CANCELED);
    CHECK_EQ(weir_context_reason(&context), 7);
    weir_source_release(source);
}

TEST(source, a_negative_reason_is_kept)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    CHECK(weir_source_cancel(source, INT32_MIN));
    CHECK_EQ(weir_context_reason(&context), INT32_MIN);
    weir_source_release(source);
}

TEST(source, reset_ends_the_old_and_spares_the_new)
{
    struct weir_source *source = fresh();
    struct weir_context canceled;
    weir_context_child(&canceled, NULL, WEIR_NEVER, source);
    CHECK(weir_source_cancel(source, 7));
    weir_source_reset(source);
    struct weir_context between;
    weir_context_child(&between, NULL, WEIR_NEVER, source);
    CHECK_EQ(weir_context_check(&canceled, 0), WEIR_CANCELED);
    CHECK_EQ(weir_context_check(&between, 0), WEIR_OK);
    weir_source_reset(source);
    struct weir_context last;
    weir_context_child(&last, NULL, WEIR_NEVER, source);
    CHECK_EQ(weir_context_reason(&between), -1);
    CHECK(weir_source_cancel(source, 9));
    CHECK_EQ(weir_context_reason(&between), -1);
    CHECK_EQ(weir_context_reason(&last), 9);
    weir_source_release(source);
}

TEST(source, cancel_posts_watches_until_they_are_unwatched)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct weir_watch first, middle, last;
    int posted[3] = { 0 };
    weir_context_watch(&first, &context, (struct weir_waker) { count, &posted[0] });
    weir_context_watch(&middle, &context, (struct weir_waker) { count, &posted[1] });
    weir_context_watch(&last, &context, (struct weir_waker) { count, &posted[2] });
    weir_context_unwatch(&middle);
    CHECK(weir_source_cancel(source, 1));
    CHECK_EQ(posted[0], 1);
    CHECK_EQ(posted[1], 0);
    CHECK_EQ(posted[2], 1);
    weir_context_unwatch(&last);
    weir_context_unwatch(&first);
    weir_source_release(source);
}

TEST(source, a_watch_that_comes_late_is_posted_at_once)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    CHECK(weir_source_cancel(source, 1));
    struct weir_watch watch;
    int posted = 0;
    weir_context_watch(&watch, &context, (struct weir_waker) { count, &posted });
    CHECK_EQ(posted, 1);
    weir_context_unwatch(&watch);
    weir_source_release(source);
}

TEST(source, reset_posts_only_what_it_ends)
{
    struct weir_source *source = fresh();
    struct weir_context old;
    weir_context_child(&old, NULL, WEIR_NEVER, source);
    struct weir_watch old_watch, new_watch;
    int old_posted = 0, new_posted = 0;
    weir_context_watch(&old_watch, &old, (struct weir_waker) { count, &old_posted });
    weir_source_reset(source);
    CHECK_EQ(old_posted, 1);
    struct weir_context new;
    weir_context_child(&new, NULL, WEIR_NEVER, source);
    weir_context_watch(&new_watch, &new, (struct weir_waker) { count, &new_posted });
    CHECK_EQ(new_posted, 0);
    CHECK(weir_source_cancel(source, 1));
    CHECK_EQ(new_posted, 1);
    weir_context_unwatch(&old_watch);
    weir_context_unwatch(&new_watch);
    weir_source_release(source);
}

TEST(source, every_source_of_a_chain_wakes)
{
    for (int which = 0; which < 3; which++) {
        struct weir_source *source[3] = { fresh(), fresh(), fresh() };
        struct weir_context chain[6];
        weir_context_child(&chain[0], NULL, WEIR_NEVER, source[0]);
        weir_context_child(&chain[1], &chain[0], WEIR_NEVER, NULL);
        weir_context_child(&chain[2], &chain[1], WEIR_NEVER, source[1]);
        weir_context_child(&chain[3], &chain[2], WEIR_NEVER, source[2]);
        weir_context_child(&chain[4], &chain[3], WEIR_NEVER, source[1]); /* once more */
        weir_context_child(&chain[5], &chain[4], WEIR_NEVER, NULL);
        struct weir_watch watch;
        int posted = 0;
        weir_context_watch(&watch, &chain[5], (struct weir_waker) { count, &posted });
        CHECK(weir_source_cancel(source[which], which + 1));
        CHECK_EQ(posted, 1);
        CHECK_EQ(weir_context_reason(&chain[5]), which + 1);
        weir_context_unwatch(&watch);
        for (int i = 0; i < 3; i++) weir_source_release(source[i]);
    }
}

TEST(source, canceling_one_wakes_only_its_own)
{
    struct weir_source *mine = fresh(), *other = fresh();
    struct weir_context my_context, other_context;
    weir_context_child(&my_context, NULL, WEIR_NEVER, mine);
    weir_context_child(&other_context, NULL, WEIR_NEVER, other);
    struct weir_watch my_watch, other_watch;
    int my_posted = 0, other_posted = 0;
    weir_context_watch(&my_watch, &my_context, (struct weir_waker) { count, &my_posted });
    weir_context_watch(&other_watch, &other_context, (struct weir_waker) { count, &other_posted });
    CHECK(weir_source_cancel(mine, 1));
    CHECK_EQ(my_posted, 1);
    CHECK_EQ(other_posted, 0);
    weir_context_unwatch(&my_watch);
    weir_context_unwatch(&other_watch);
    weir_source_release(mine);
    weir_source_release(other);
}

TEST(source, a_context_without_a_source_needs_no_watch)
{
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, NULL);
    struct weir_watch watch;
    int posted = 0;
    weir_context_watch(&watch, &context, (struct weir_waker) { count, &posted });
    weir_context_unwatch(&watch);
    weir_context_unwatch(&watch);
    weir_context_watch(&watch, NULL, (struct weir_waker) { count, &posted });
    weir_context_unwatch(&watch);
    CHECK_EQ(posted, 0);
}

TEST(source, references_keep_it)
{
    struct weir_source *source = fresh();
    CHECK(weir_source_acquire(source) == source);
    weir_source_release(source);
    CHECK(weir_source_cancel(source, 1));
    weir_source_release(source);
    weir_source_release(NULL);
}

static void release_watched(void)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct weir_watch watch;
    int posted = 0;
    weir_context_watch(&watch, &context, (struct weir_waker) { count, &posted });
    weir_source_release(source);
}

TEST(source, misuse_aborts_by_name)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct weir_watch watch;
    CHECK_ABORTS(release_watched(), "weir_source_release: the last reference was dropped while");
    CHECK_ABORTS(weir_source_cancel(source, 0), "weir_source_cancel: reason is 0");
    CHECK_ABORTS(weir_source_cancel(NULL, 1), "weir_source_cancel: source is NULL");
    CHECK_ABORTS(weir_source_reset(NULL), "weir_source_reset: source is NULL");
    CHECK_ABORTS(weir_source_acquire(NULL), "weir_source_acquire: source is NULL");
    CHECK_ABORTS(CHECK_EQ(weir_source_create(NULL), 0), "weir_source_create: source is NULL");
    CHECK_ABORTS(weir_context_watch(&watch, &context, (struct weir_waker) { NULL, NULL }),
        "weir_context_watch: waker.post is NULL");
    CHECK_ABORTS(weir_context_unwatch(NULL), "weir_context_unwatch: watch is NULL");
    weir_source_release(source);
}

/* A parent's watch isn't the child's: it is never posted there, and the source can be used and freed. */
TEST(source, a_child_owns_no_watch_of_its_parent)
{
    struct weir_source *source = fresh();
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    struct weir_watch watch;
    int posted = 0;
    weir_context_watch(&watch, &context, (struct weir_waker) { count, &posted });
    pid_t child = fork();
    if (child == 0) {
        struct weir_watch own;
        int own_posted = 0;
        weir_context_watch(&own, &context, (struct weir_waker) { count, &own_posted });
        weir_source_cancel(source, 1);
        weir_context_unwatch(&own);
        weir_context_unwatch(&watch);
        weir_source_release(source);
        _exit(posted == 0 && own_posted == 1 ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(weir_source_cancel(source, 1));
    CHECK_EQ(posted, 1);
    weir_context_unwatch(&watch);
    weir_source_release(source);
}

/* ---- threads: one cancels, others watch and wait to be posted ---- */

#define ROUNDS 3000
#define WATCHERS 2

struct race {
    struct weir_source *outer, *inner;
    pthread_barrier_t barrier;
};

static void *watcher(void *argument)
{
    struct race *race = argument;
    for (int round = 0; round < ROUNDS; round++) {
        struct weir_context outer, inner;
        weir_context_child(&outer, NULL, WEIR_NEVER, race->outer);
        weir_context_child(&inner, &outer, WEIR_NEVER, race->inner);
        pthread_barrier_wait(&race->barrier);
        struct weir_watch watch;
        int posted = 0;
        weir_context_watch(&watch, &inner, (struct weir_waker) { count, &posted });
        while (__atomic_load_n(&posted, __ATOMIC_SEQ_CST) == 0) sched_yield();
        CHECK_EQ(weir_context_check(&inner, 0), WEIR_CANCELED);
        weir_context_unwatch(&watch);
        posted = -1; /* plain: nobody may post any more */
        pthread_barrier_wait(&race->barrier);
    }
    return NULL;
}

TEST(source, no_wake_up_is_lost)
{
    struct race race = { .outer = fresh(), .inner = fresh() };
    pthread_barrier_init(&race.barrier, NULL, WATCHERS + 1);
    pthread_t thread[WATCHERS];
    for (int i = 0; i < WATCHERS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, watcher, &race), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&race.barrier);
        if (round % 3 == 0) weir_source_reset(race.outer);
        else CHECK(weir_source_cancel(round % 3 == 1 ? race.outer : race.inner, 1));
        pthread_barrier_wait(&race.barrier);
        weir_source_reset(race.outer);
        weir_source_reset(race.inner);
    }
    for (int i = 0; i < WATCHERS; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&race.barrier);
    weir_source_release(race.outer);
    weir_source_release(race.inner);
}
