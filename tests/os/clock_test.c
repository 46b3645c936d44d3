/* The fast clock against CLOCK_MONOTONIC. Where the machine has none it is that clock, and the bound is 0 anyway. */
#include "support/test.h"

#include "os/os.h"

#include <errno.h>
#include <pthread.h>

/* lib/os/clock.c: 3 us of drift between two anchors, 20 us until an anchor is doubted. */
#define BOUND_NS (20 * WEIR_US)
#define THREADS 4
#define LASTS_NS WEIR_S

struct look {
    pthread_t thread;
    uint64_t looks, backwards, backwards_ns, outside, outside_ns;
};

/* The fast reading lies between two of the precise clock, however long the thread was taken off in between. */
static void *looks(void *argument)
{
    struct look *look = argument;
    uint64_t last_ns = 0, end_ns = os_now_precise() + LASTS_NS, before_ns, after_ns;
    do {
        before_ns = os_now_precise();
        uint64_t fast_ns = os_now_fast();
        after_ns = os_now_precise();
        uint64_t off_ns = fast_ns < before_ns ? before_ns - fast_ns
            : fast_ns > after_ns              ? fast_ns - after_ns
                                              : 0;
        look->outside += off_ns > BOUND_NS;
        if (off_ns > look->outside_ns) look->outside_ns = off_ns;
        uint64_t back_ns = fast_ns < last_ns ? last_ns - fast_ns : 0;
        look->backwards += back_ns > BOUND_NS;
        if (back_ns > look->backwards_ns) look->backwards_ns = back_ns;
        last_ns = fast_ns;
        look->looks++;
    } while (after_ns < end_ns);
    return NULL;
}

TEST(clock, the_fast_one_keeps_within_its_bound_in_four_threads)
{
    struct look look[THREADS] = { { .looks = 0 } };
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&look[i].thread, NULL, looks, &look[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(look[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK(look[i].looks > 100);
        if (look[i].outside != 0 || look[i].backwards != 0) {
            check_failed(__FILE__, __LINE__,
                "%llu of %llu looks were outside, by up to %llu ns; %llu backwards, %llu ns",
                (unsigned long long)look[i].outside, (unsigned long long)look[i].looks,
                (unsigned long long)look[i].outside_ns, (unsigned long long)look[i].backwards,
                (unsigned long long)look[i].backwards_ns);
        }
    }
}

/* Seldom read: each look comes after its anchor has grown old. */
TEST(clock, after_a_rest_the_fast_one_is_right_at_once)
{
    for (int i = 0; i < 20; i++) {
        os_sleep_until(os_now_precise() + 12 * WEIR_MS);
        uint64_t before_ns = os_now_precise(), fast_ns = os_now_fast(), after_ns = os_now_precise();
        CHECK(fast_ns + BOUND_NS >= before_ns);
        CHECK(fast_ns <= after_ns + BOUND_NS);
    }
}

TEST(clock, the_others_are_the_systems)
{
    static const enum weir_timing precise[] = { WEIR_TIMING_PRECISE, WEIR_TIMING_MIXED };
    for (int i = 0; i < 2; i++) {
        uint64_t before_ns = os_now_precise(), now_ns = weir_now(precise[i]), after_ns = os_now_precise();
        CHECK(before_ns <= now_ns);
        CHECK(now_ns <= after_ns);
    }
    uint64_t before_ns = os_clock(CLOCK_MONOTONIC_COARSE), now_ns = weir_now(WEIR_TIMING_COARSE);
    CHECK(before_ns <= now_ns);
    CHECK(now_ns <= os_now_precise());
}

TEST(clock, auto_is_what_it_says)
{
    enum weir_timing timing = weir_timing_auto();
    CHECK(timing == WEIR_TIMING_FAST || timing == WEIR_TIMING_MIXED);
    CHECK_EQ(timing == WEIR_TIMING_FAST, os_has_fast_clock());
    CHECK_EQ(weir_timing_auto(), timing);
    uint64_t before_ns = os_now_precise(), now_ns = weir_now(WEIR_TIMING_AUTO), after_ns = os_now_precise();
    CHECK(now_ns + BOUND_NS >= before_ns);
    CHECK(now_ns <= after_ns + BOUND_NS);
}

/* ---- parking ---- */

TEST(clock, a_sleep_lasts_until_its_instant)
{
    uint64_t until_ns = os_now_precise() + 3 * WEIR_MS;
    os_sleep_until(until_ns);
    CHECK(os_now_precise() >= until_ns);
    os_sleep_until(0); /* long ago */
}

TEST(clock, parking_ends_at_its_instant_or_not_at_all_and_leaves_errno_alone)
{
    uint32_t word = 0;
    errno = 1234;
    os_park(&word, 1, WEIR_NEVER); /* the word isn't what was expected */
    CHECK_EQ(errno, 1234);
    uint64_t until_ns = os_now_precise() + 3 * WEIR_MS;
    while (os_now_precise() < until_ns) os_park(&word, 0, until_ns);
    os_park(&word, 0, 0); /* long ago */
    os_wake(&word);       /* nobody is there */
    CHECK_EQ(errno, 1234);
    (void)os_barrier_everywhere();
    CHECK_EQ(errno, 1234);
}
