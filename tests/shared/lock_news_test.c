/* Whom a lock tells of its loss, and what becomes of it without its link, in a child, and with a bad config. */
#include "shared/lock.h"
#include "shared/lock_case.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
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
    CHECK_EQ(weir_lock_release(lock, WEIR_NEVER), WEIR_E_TIMEOUT); /* it does not wait for itself */
    CHECK_ABORTS(weir_lock_acquire(lock, NULL, 0, NULL), "weir_lock_acquire: called from an event");
    CHECK_ABORTS(weir_lock_try(lock, NULL, 0, NULL), "weir_lock_try: called from an event");
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

TEST(lock, a_begin_on_a_closed_link_ends_as_any_other_by_its_waker)
{
    int changes = 0;
    carrier_open(&carrier, 1, 1);
    struct weir_link *link = weir_link_acquire(carrier.link);
    struct weir_lock_config config = weir_lock_config_init();
    config.waker = (struct weir_waker) { on_change, &changes };
    struct weir_lock *lock = lock_of(&carrier, &config);
    carrier_close(&carrier);
    CHECK_EQ(changes, 0);
    weir_lock_begin(lock, WEIR_NEVER);
    CHECK_EQ(changes, 1);
    CHECK_EQ(state_of(lock), WEIR_LOCK_FREE);
    CHECK_EQ(weir_lock_outcome(lock).reason, WEIR_REASON_LINK_DOWN);
    weir_lock_destroy(lock);
    weir_link_release(link);
}

static bool in_loss, is_released;

/* Runs in the midst of telling a loss; for as long as a release may take that does not wait for it. */
static void dawdle(void *argument)
{
    (void)argument;
    uint64_t end_ns = weir_now(WEIR_TIMING_PRECISE) + 50 * WEIR_MS;
    __atomic_store_n(&in_loss, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&is_released, __ATOMIC_SEQ_CST) && weir_now(WEIR_TIMING_PRECISE) < end_ns) {
        sched_yield();
    }
}

static void *drive_once(void *argument)
{
    (void)argument;
    carrier_pump(&carrier);
    return NULL;
}

/* Held until now, with a source and a descriptor. */
static struct weir_lock *about_to_be_lost(struct weir_source *source)
{
    carrier_open(&carrier, 1, 1);
    memset(stores, 0, sizeof stores);
    struct weir_lock_config config = weir_lock_config_init();
    config.source = source;
    config.fd = true;
    struct weir_lock *lock = lock_of(&carrier, &config);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_serve(&carrier, stores);
    pass(VALID_NS);
    return lock;
}

TEST(lock, a_loss_that_is_being_told_is_told_when_the_release_returns)
{
    uint64_t count;
    struct weir_source *source;
    struct weir_context context;
    struct weir_watch watch;
    pthread_t driver;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    weir_context_watch(&watch, &context, (struct weir_waker) { dawdle, NULL });
    struct weir_lock *lock = about_to_be_lost(source);
    CHECK_EQ(pthread_create(&driver, NULL, drive_once, NULL), 0);
    while (!__atomic_load_n(&in_loss, __ATOMIC_SEQ_CST)) sched_yield();
    (void)weir_lock_release(lock, 0);
    weir_source_reset(source);
    weir_context_unwatch(&watch);
    weir_context_child(&context, NULL, WEIR_NEVER, source); /* for the next acquire */
    __atomic_store_n(&is_released, true, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_join(driver, NULL), 0);
    CHECK_EQ(weir_context_check(&context, 0), WEIR_OK);
    CHECK_EQ(read(weir_lock_fd(lock), &count, sizeof count), -1);
    done(lock);
    weir_source_release(source);
}

/* The link's step, as far as under its lock. */
static void lose_untold(struct weir_lock *lock)
{
    shared_lock(lock->shared.link);
    lock->shared.ops->step(&lock->shared, world_now());
    shared_unlock(lock->shared.link);
}

/* Seen by its holder before the link, which was not driven; or seen by the link, which had no time to tell. */
TEST(lock, a_loss_that_was_not_told_is_when_the_release_returns)
{
    for (int seen_by_link = 0; seen_by_link < 2; seen_by_link++) {
        struct weir_source *source;
        struct weir_context context;
        uint64_t count;
        CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        struct weir_lock *lock = about_to_be_lost(source);
        if (seen_by_link != 0) lose_untold(lock);
        CHECK_EQ(state_of(lock), WEIR_LOCK_LOST);
        CHECK_EQ(weir_context_check(&context, 0), WEIR_OK);
        (void)weir_lock_release(lock, 0);
        CHECK_EQ(weir_context_check(&context, 0), WEIR_CANCELED);
        weir_source_reset(source);
        carrier_pump(&carrier);
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        CHECK_EQ(weir_context_check(&context, 0), WEIR_OK); /* and once */
        CHECK_EQ(read(weir_lock_fd(lock), &count, sizeof count), -1);
        CHECK_EQ(weir_lock_stats(lock).lost, 1);
        done(lock);
        weir_source_release(source);
    }
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

struct patient { /* releases, and waits until the store says that it is free */
    struct weir_lock *lock;
    pthread_t thread;
    pid_t id;
};

static void *release_patiently(void *argument)
{
    struct patient *patient = argument;
    __atomic_store_n(&patient->id, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    CHECK_EQ(weir_lock_release(patient->lock, weir_now(WEIR_TIMING_PRECISE) + 20 * WEIR_S), WEIR_E_NONE);
    return NULL;
}

TEST(lock, each_of_several_that_wait_in_a_release_is_told)
{
    struct patient patient[3] = { 0 };
    struct weir_lock *lock = held(1);
    for (int i = 0; i < 3; i++) {
        patient[i].lock = lock;
        CHECK_EQ(pthread_create(&patient[i].thread, NULL, release_patiently, &patient[i]), 0);
        while (__atomic_load_n(&patient[i].id, __ATOMIC_SEQ_CST) == 0) sched_yield();
        while (state_of(lock) != WEIR_LOCK_FREE) sched_yield();
        (void)weir_link_step(carrier.link, world_now()); /* what the release itself posts is out */
        while (!sleeps(patient[i].id)) sched_yield();
    }
    uint64_t began_ns = weir_now(WEIR_TIMING_PRECISE);
    carrier_serve(&carrier, stores);
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(patient[i].thread, NULL), 0);
    CHECK(weir_now(WEIR_TIMING_PRECISE) < began_ns + 10 * WEIR_S);
    done(lock);
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
    config.name = "";
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_lock_config.name is empty, expected 1..63 bytes");
    carrier_close(&carrier);
}

/* What is refused names the field and what would do; the nearest good number is taken. */
static void check_bounds(size_t field, const char *name, uint64_t low, uint64_t high)
{
    const uint64_t bad[] = { low - 1, high + 1, WEIR_NEVER - 1 };
    struct weir_lock_config config = weir_lock_config_init();
    struct weir_lock *lock;
    char text[128];
    config.link = carrier.link;
    config.name = "x";
    config.lease_ns = field == offsetof(struct weir_lock_config, lease_ns) ? 0 : 10 * WEIR_S;
    config.poll_min_ns = field == offsetof(struct weir_lock_config, poll_max_ns) ? 7 * WEIR_MS : 0;
    snprintf(text, sizeof text, "weir_lock_config.%s is ", name);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (bad[i] == 0 || (high == WEIR_NEVER && i != 0)) continue;
        memcpy((char *)&config + field, &bad[i], sizeof bad[i]);
        CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
        if (strstr(weir_error_text(), text) == NULL) CHECK_STR(weir_error_text(), text);
        CHECK(strstr(weir_error_text(), ", expected ") != NULL);
    }
    for (int i = 0; i < 2; i++) {
        memcpy((char *)&config + field, i == 0 ? &low : &high, sizeof low);
        CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_NONE);
        weir_lock_destroy(lock);
    }
}
#define BOUNDS(field, low, high) check_bounds(offsetof(struct weir_lock_config, field), #field, (low), (high))

TEST(lock, each_time_of_a_config_has_its_bounds)
{
    carrier_open(&carrier, 1, 1);
    BOUNDS(lease_ns, 50 * WEIR_MS, 3600 * WEIR_S);
    BOUNDS(grace_ns, 1, 3600 * WEIR_S);
    BOUNDS(settle_ns, WEIR_MS, 24 * 3600 * WEIR_S);
    BOUNDS(min_validity_ns, 1, 5 * WEIR_S);
    BOUNDS(hold_max_ns, 10 * WEIR_S, WEIR_NEVER);
    BOUNDS(poll_min_ns, WEIR_MS, 60 * WEIR_S);
    BOUNDS(poll_max_ns, 7 * WEIR_MS, 60 * WEIR_S);
    carrier_close(&carrier);
}

/* No number that is allowed overflows: at the greatest of all it is asked, held, renewed and given back. */
TEST(lock, with_the_longest_times_works)
{
    carrier_open(&carrier, 1, 1);
    memset(stores, 0, sizeof stores);
    world_ns = START_NS;
    struct weir_lock_config config = weir_lock_config_init();
    config.lease_ns = config.grace_ns = 3600 * WEIR_S;
    config.settle_ns = 24 * 3600 * WEIR_S;
    config.hold_max_ns = WEIR_NEVER - 1;
    config.poll_min_ns = config.poll_max_ns = 60 * WEIR_S;
    struct weir_lock *lock = lock_of(&carrier, &config);
    carrier_lane(&carrier, 0, false, 0);
    carrier_lane(&carrier, 0, true, 200); /* another server */
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    CHECK_EQ(carrier.wake_ns, START_NS + config.settle_ns);
    world_ns = carrier.wake_ns;
    CHECK_EQ(asked(WEIR_ASK_LOCK)->ask.number[0], 7200000);
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    for (int i = 0; i < 100; i++) {
        world_ns = carrier.wake_ns;
        carrier_serve(&carrier, stores);
    }
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(weir_lock_stats(lock).overdue, 0);
    (void)weir_lock_release(lock, 0);
    carrier_serve(&carrier, stores);
    CHECK(!stores[0].taken);
    done(lock);
}
