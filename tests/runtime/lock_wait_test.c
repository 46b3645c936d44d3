/* Locks against the real clocks: who waits sleeps or drives and is woken; a loss is told in time. */
#include "shared/store_lock.h"
#include "support/test.h"

#include <weir/lock.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * WEIR_S + (uint64_t)time.tv_nsec;
}

static struct weir_instants now(void)
{
    return (struct weir_instants) { clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_BOOTTIME) };
}

#define STORES 3

/* A carrier and the store beside it; a question is answered as soon as it is pulled, unless it is deaf. */
struct driver {
    struct weir_link *link;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool rung, ends, deaf, threaded;
    struct store_lock store[STORES]; /* by the number that the name is */
};

static void ring(void *argument)
{
    struct driver *driver = argument;
    pthread_mutex_lock(&driver->mutex);
    driver->rung = true;
    pthread_cond_signal(&driver->wake);
    pthread_mutex_unlock(&driver->mutex);
}

/* Whether something was answered; *wake_ns: when to come again. */
static bool drive(struct driver *driver, uint64_t *wake_ns)
{
    struct weir_ask ask;
    bool answered = false;
    *wake_ns = weir_link_step(driver->link, now());
    while (weir_link_pull(driver->link, 0, WEIR_LANE_LOCK, now(), &ask)) {
        struct weir_answer answer = { .kind = WEIR_ANSWER_UNKNOWN };
        uint32_t number = 0;
        sscanf(ask.name, "%u", &number);
        if (!__atomic_load_n(&driver->deaf, __ATOMIC_SEQ_CST)) {
            store_lock_ask(&driver->store[number], &ask, (int64_t)(clock_ns(CLOCK_REALTIME) / 1000), &answer);
        }
        weir_link_answer(driver->link, ask.ticket, &answer, now());
        answered = true;
    }
    if (answered) *wake_ns = weir_link_step(driver->link, now());
    return answered;
}

static void *run(void *argument)
{
    struct driver *driver = argument;
    uint64_t wake_ns = 0;
    pthread_mutex_lock(&driver->mutex);
    while (!driver->ends) {
        while (!driver->rung && !driver->ends && clock_ns(CLOCK_MONOTONIC) < wake_ns) {
            uint64_t until_ns = wake_ns == WEIR_NEVER ? clock_ns(CLOCK_MONOTONIC) + WEIR_S : wake_ns;
            struct timespec until = { (time_t)(until_ns / WEIR_S), (long)(until_ns % WEIR_S) };
            pthread_cond_timedwait(&driver->wake, &driver->mutex, &until);
        }
        driver->rung = false;
        pthread_mutex_unlock(&driver->mutex);
        drive(driver, &wake_ns);
        pthread_mutex_lock(&driver->mutex);
    }
    pthread_mutex_unlock(&driver->mutex);
    return NULL;
}

/* Of a link without a thread: who waits drives. */
static void wait_until(void *argument, uint64_t until_ns)
{
    uint64_t wake_ns;
    while (!drive(argument, &wake_ns)) {
        uint64_t next_ns = wake_ns < until_ns ? wake_ns : until_ns;
        struct timespec next = { (time_t)(next_ns / WEIR_S), (long)(next_ns % WEIR_S) };
        if (next_ns != WEIR_NEVER) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        if (clock_ns(CLOCK_MONOTONIC) >= until_ns) return;
    }
}

static void up(struct driver *driver, bool threaded)
{
    static uint64_t instance;
    struct weir_carrier carrier = weir_carrier_init();
    struct weir_link_config config = weir_link_config_init();
    pthread_condattr_t attributes;
    memset(driver, 0, sizeof *driver);
    pthread_mutex_init(&driver->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&driver->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    carrier.nodes = 1;
    carrier.ring = ring;
    carrier.wait = threaded ? NULL : wait_until;
    carrier.argument = driver;
    config.instance[1] = ++instance;
    config.carrier = &carrier;
    CHECK_EQ(weir_link_create(&config, &driver->link), WEIR_E_NONE);
    weir_link_report(driver->link, 0, WEIR_LANE_LOCK, WEIR_LANE_UP, 1, now());
    driver->threaded = threaded;
    if (threaded) CHECK_EQ(pthread_create(&driver->thread, NULL, run, driver), 0);
}

static void down(struct driver *driver)
{
    pthread_mutex_lock(&driver->mutex);
    driver->ends = true;
    pthread_cond_signal(&driver->wake);
    pthread_mutex_unlock(&driver->mutex);
    if (driver->threaded) CHECK_EQ(pthread_join(driver->thread, NULL), 0);
    weir_link_close(driver->link, now());
    weir_link_release(driver->link);
    pthread_cond_destroy(&driver->wake);
    pthread_mutex_destroy(&driver->mutex);
}

static struct driver driver;

static struct weir_lock *create(const char *name, uint64_t lease_ns)
{
    struct weir_lock *lock;
    struct weir_lock_config config = weir_lock_config_init();
    config.link = driver.link;
    config.name = name;
    config.lease_ns = lease_ns;
    config.poll_min_ns = WEIR_MS;
    config.poll_max_ns = 5 * WEIR_MS;
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_NONE);
    return lock;
}

static void holds_and_hands_over(bool threaded)
{
    struct weir_fence first, second;
    up(&driver, threaded);
    if (!threaded) weir_link_step(driver.link, now());
    struct weir_lock *one = create("1", 0), *two = create("1", 0);
    CHECK_EQ(weir_lock_acquire(one, NULL, WEIR_NEVER, &first).status, WEIR_OK);
    CHECK_EQ(weir_lock_check(one), WEIR_LOCK_HELD);
    CHECK(weir_lock_deadline_ns(one) > now().monotonic_ns + 9 * WEIR_S);
    struct weir_outcome outcome = weir_lock_try(two, NULL, now().monotonic_ns + 10 * WEIR_S, &second);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_LOCK_HELD);
    CHECK(outcome.retry_after_ns > 14 * WEIR_S);
    uint64_t end_ns = now().monotonic_ns + 30 * WEIR_MS;
    outcome = weir_lock_acquire(two, NULL, end_ns, &second);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK(now().monotonic_ns >= end_ns);
    CHECK_EQ(second.token, 0);
    CHECK_EQ(weir_lock_release(one, now().monotonic_ns + 10 * WEIR_S), WEIR_E_NONE);
    CHECK(!driver.store[1].taken);
    CHECK_EQ(weir_lock_acquire(two, NULL, WEIR_NEVER, &second).status, WEIR_OK);
    CHECK(second.token > first.token);
    weir_lock_destroy(one);
    weir_lock_destroy(two);
    down(&driver);
}

TEST(lock_wait, on_a_link_with_a_thread_it_sleeps)
{
    holds_and_hands_over(true);
}

TEST(lock_wait, on_a_link_without_one_it_drives)
{
    holds_and_hands_over(false);
}

TEST(lock_wait, a_try_does_not_wait_for_the_link)
{
    up(&driver, true);
    struct weir_lock *lock = create("1", 0);
    weir_link_report(driver.link, 0, WEIR_LANE_LOCK, WEIR_LANE_DOWN, 0, now());
    struct weir_outcome outcome = weir_lock_try(lock, NULL, WEIR_NEVER, NULL);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.reason, WEIR_REASON_LINK_DOWN);
    outcome = weir_lock_acquire(lock, NULL, now().monotonic_ns + 5 * WEIR_MS, NULL);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.reason, WEIR_REASON_LINK_DOWN);
    weir_lock_destroy(lock);
    down(&driver);
}

TEST(lock_wait, a_link_that_nobody_steps_is_refused)
{
    struct weir_lock *lock;
    struct weir_lock_config config = weir_lock_config_init();
    up(&driver, false);
    config.link = driver.link;
    config.name = "1";
    CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "neither a thread nor a loop") != NULL);
    down(&driver);
}

static void *acquire_under(void *argument)
{
    static struct weir_outcome outcome;
    const struct weir_context *context = argument;
    struct weir_lock *lock = create("1", 0);
    outcome = weir_lock_acquire(lock, context, WEIR_NEVER, NULL);
    weir_lock_destroy(lock);
    return &outcome;
}

static void a_cancel_ends_the_wait(bool threaded)
{
    struct weir_source *source;
    struct weir_context context;
    pthread_t waiter;
    void *outcome;
    up(&driver, threaded);
    if (!threaded) weir_link_step(driver.link, now());
    driver.store[1] =
        (struct store_lock) { .taken = true, .until_ms = INT64_MAX / 2, .ttl_ms = INT64_MAX / 4 };
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    CHECK_EQ(pthread_create(&waiter, NULL, acquire_under, &context), 0);
    weir_source_cancel(source, 5);
    CHECK_EQ(pthread_join(waiter, &outcome), 0);
    CHECK_EQ(((struct weir_outcome *)outcome)->status, WEIR_CANCELED);
    weir_source_release(source);
    down(&driver);
}

TEST(lock_wait, a_cancel_ends_it_with_a_thread)
{
    a_cancel_ends_the_wait(true);
}

TEST(lock_wait, a_cancel_ends_it_without_one)
{
    a_cancel_ends_the_wait(false);
}

static uint64_t lost_ns;

static void on_loss(void *argument, struct weir_lock *lock)
{
    (void)argument, (void)lock;
    __atomic_store_n(&lost_ns, clock_ns(CLOCK_BOOTTIME), __ATOMIC_SEQ_CST);
}

/* The real clock is the subject: a store that says nothing any more. */
TEST(lock_wait, a_loss_is_told_within_5_ms_of_its_instant)
{
    uint64_t best_ns = WEIR_NEVER;
    up(&driver, true);
    for (int i = 0; i < 5 && best_ns > 5 * WEIR_MS; i++) { /* the machine may be busy: the best of five */
        struct weir_lock *lock;
        struct weir_lock_config config = weir_lock_config_init();
        config.link = driver.link;
        config.name = "2";
        config.lease_ns = 60 * WEIR_MS;
        config.lost = on_loss;
        __atomic_store_n(&lost_ns, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&driver.deaf, false, __ATOMIC_SEQ_CST);
        CHECK_EQ(weir_lock_create(&config, &lock), WEIR_E_NONE);
        CHECK_EQ(weir_lock_acquire(lock, NULL, WEIR_NEVER, NULL).status, WEIR_OK);
        __atomic_store_n(&driver.deaf, true, __ATOMIC_SEQ_CST);
        uint64_t valid_ns = weir_lock_valid_until(lock);
        while (__atomic_load_n(&lost_ns, __ATOMIC_SEQ_CST) == 0) {
            struct timespec pause = { 0, 200000 };
            if (weir_lock_valid_until(lock) != 0) valid_ns = weir_lock_valid_until(lock);
            nanosleep(&pause, NULL);
        }
        CHECK(lost_ns >= valid_ns);
        if (lost_ns - valid_ns < best_ns) best_ns = lost_ns - valid_ns;
        weir_lock_destroy(lock);
    }
    fprintf(stderr, "told %llu us after its instant\n", (unsigned long long)(best_ns / 1000));
    CHECK(best_ns <= 5 * WEIR_MS);
    down(&driver);
}

/* Between the end of the lease and whoever looks for it first: the one that drives the link is out of the way. */
static struct weir_lock *lapsed(void)
{
    up(&driver, false);
    weir_link_step(driver.link, now());
    struct weir_lock *lock = create("1", 50 * WEIR_MS);
    CHECK_EQ(weir_lock_acquire(lock, NULL, WEIR_NEVER, NULL).status, WEIR_OK);
    uint64_t end_ns = weir_lock_valid_until(lock);
    CHECK(end_ns != 0);
    CHECK(weir_lock_fence(lock).token != 0);
    while (clock_ns(CLOCK_BOOTTIME) < end_ns) sched_yield();
    return lock;
}

static void gone(struct weir_lock *lock)
{
    CHECK_EQ(weir_lock_check(lock), WEIR_LOCK_LOST);
    weir_lock_destroy(lock);
    down(&driver);
}

TEST(lock_wait, a_lease_that_has_ended_has_no_fence_though_nobody_has_noticed)
{
    struct weir_lock *lock = lapsed();
    struct weir_fence fence = weir_lock_fence(lock);
    CHECK_EQ(fence.token, 0);
    CHECK_EQ(fence.nonce, 0);
    gone(lock);
}

TEST(lock_wait, a_lease_that_has_ended_is_not_valid_though_nobody_has_noticed)
{
    struct weir_lock *lock = lapsed();
    CHECK_EQ(weir_lock_valid_until(lock), 0);
    gone(lock);
}

TEST(lock_wait, a_lease_that_has_ended_leaves_a_context_no_time_though_nobody_has_noticed)
{
    struct weir_context context;
    struct weir_lock *lock = lapsed();
    CHECK_EQ(weir_lock_deadline_ns(lock), 0);
    weir_context_child(&context, NULL, weir_lock_deadline_ns(lock), NULL);
    CHECK_EQ(weir_context_check(&context, 0), WEIR_EXPIRED);
    gone(lock);
}

TEST(lock_wait, a_release_that_nobody_answers_ends_when_the_store_has_forgotten)
{
    up(&driver, true);
    struct weir_lock *lock = create("1", 50 * WEIR_MS);
    CHECK_EQ(weir_lock_acquire(lock, NULL, WEIR_NEVER, NULL).status, WEIR_OK);
    weir_link_report(driver.link, 0, WEIR_LANE_LOCK, WEIR_LANE_DOWN, 0, now());
    uint64_t began_ns = now().monotonic_ns;
    CHECK_EQ(weir_lock_release(lock, began_ns + 10 * WEIR_S), WEIR_E_NONE);
    CHECK(now().monotonic_ns < began_ns + 5 * WEIR_S);
    weir_lock_destroy(lock);
    down(&driver);
}

TEST(lock_wait, a_release_after_the_end_of_the_lease_counts_the_loss_that_nobody_has_noticed)
{
    struct weir_lock *lock = lapsed();
    CHECK_EQ(weir_lock_release(lock, WEIR_NEVER), WEIR_E_NONE);
    CHECK_EQ(weir_lock_stats(lock).lost, 1);
    weir_lock_destroy(lock);
    down(&driver);
}
