/* Whom a lock tells of its loss, and what becomes of it without its link, in a child, and with a bad config. */
#include "shared/lock_case.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int told;
static struct weir_source *told_source;

static void on_loss(void *argument, struct weir_lock *lock)
{
    struct weir_context context;
    CHECK(argument == &told);
    told++;
    CHECK_EQ(weir_lock_check_at(lock, world_now().boottime_ns), WEIR_LOCK_LOST);
    weir_context_child(&context, NULL, WEIR_NEVER, told_source);
    CHECK_EQ(weir_context_reason(&context), 9);
    CHECK_EQ(weir_lock_release(lock, 0), WEIR_E_TIMEOUT);
    CHECK_ABORTS(weir_lock_destroy(lock), "called from the lock's own callback");
}

static void on_change(void *argument)
{
    ++*(int *)argument;
}

TEST(lock, a_loss_cancels_makes_readable_and_calls_back_in_this_order)
{
    int changes = 0;
    uint64_t count;
    CHECK_EQ(weir_source_create(&told_source), WEIR_E_NONE);
    carrier_open(&carrier, 1, 1);
    memset(stores, 0, sizeof stores);
    struct weir_lock_config config = weir_lock_config_init();
    config.source = told_source;
    config.source_reason = 9;
    config.fd = true;
    config.lost = on_loss;
    config.lost_argument = &told;
    config.waker = (struct weir_waker) { on_change, &changes };
    struct weir_lock *lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_serve(&carrier, stores);
    CHECK_EQ(changes, 1);
    CHECK_EQ(read(weir_lock_fd(lock), &count, sizeof count), -1);
    pass(VALID_NS);
    carrier_pump(&carrier);
    CHECK_EQ(told, 1);
    CHECK(changes >= 2);
    CHECK_EQ(state_of(lock), WEIR_LOCK_FREE); /* the callback released it */
    CHECK_EQ(read(weir_lock_fd(lock), &count, sizeof count), -1);
    done(lock);
    weir_source_release(told_source);
}

TEST(lock, a_descriptor_is_readable_from_the_loss_to_the_release)
{
    uint64_t count;
    carrier_open(&carrier, 1, 1);
    struct weir_lock_config config = weir_lock_config_init();
    config.fd = true;
    struct weir_lock *lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_serve(&carrier, stores);
    pass(VALID_NS);
    carrier_pump(&carrier);
    CHECK_EQ(read(weir_lock_fd(lock), &count, sizeof count), sizeof count);
    (void)weir_lock_release(lock, 0);
    done(lock);
}

TEST(lock, a_closed_link_loses_it_and_refuses_the_next)
{
    struct weir_lock *lock = held(1);
    struct weir_link *link = weir_link_acquire(carrier.link);
    carrier_close(&carrier);
    CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
    CHECK_EQ(weir_lock_release(lock, WEIR_NEVER), WEIR_E_TIMEOUT); /* nobody will say that it is free */
    CHECK_EQ(weir_lock_release(lock, WEIR_NEVER), WEIR_E_NONE);
    struct weir_outcome outcome = weir_lock_acquire(lock, NULL, WEIR_NEVER, NULL);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_LINK_DOWN);
    weir_lock_destroy(lock);
    weir_link_release(link);
}

static pid_t releaser;

static void *release_for_ever(void *lock)
{
    __atomic_store_n(&releaser, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    CHECK_EQ(weir_lock_release(lock, WEIR_NEVER), WEIR_E_TIMEOUT);
    return NULL;
}

static bool sleeps(pid_t thread)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *stat = fopen(path, "r");
    CHECK(stat != NULL);
    CHECK_EQ(fscanf(stat, "%*d (%*[^)]) %c", &state), 1);
    fclose(stat);
    return state == 'S';
}

TEST(lock, a_release_that_waits_ends_with_its_link_and_does_not_say_that_it_is_free)
{
    pthread_t thread;
    struct weir_lock *lock = held(1);
    struct weir_link *link = weir_link_acquire(carrier.link);
    carrier_lane(&carrier, 0, false, 0);
    CHECK_EQ(pthread_create(&thread, NULL, release_for_ever, lock), 0);
    while (state_of(lock) != WEIR_LOCK_FREE) sched_yield();
    carrier_pump(&carrier); /* what the release itself posts is out */
    while (!sleeps(releaser)) sched_yield();
    carrier_close(&carrier);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weir_lock_destroy(lock);
    weir_link_release(link);
}

TEST(lock, a_child_holds_nothing_and_leaves_the_parents_alone)
{
    struct weir_lock *lock = held(1);
    int status;
    pid_t child = fork();
    if (child == 0) {
        bool well = state_of(lock) == WEIR_LOCK_LOST && weir_lock_valid_until(lock) == 0 &&
            weir_lock_release(lock, 0) == WEIR_E_NONE &&
            weir_lock_acquire(lock, NULL, WEIR_NEVER, NULL).reason == WEIR_REASON_LINK_DOWN;
        weir_lock_destroy(lock);
        _exit(well ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    done(lock);
}

TEST(lock, a_config_that_cannot_be_is_refused)
{
    struct weir_lock *lock;
    carrier_open(&carrier, 1, 1);
    struct weir_lock_config config = weir_lock_config_init();
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_lock_config.link is NULL") != NULL);
    config.link = carrier.link;
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_lock_config.name is NULL") != NULL);
    config.name = "x";
    config.lease_ns = 49 * WEIR_MS;
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "lease_ns") != NULL);
    carrier_close(&carrier);
}
