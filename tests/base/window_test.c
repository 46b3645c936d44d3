/* The sliding window: turning, lateness, halving, idleness; and that nothing is ever lost from the totals. */
#include "support/test.h"

#include "base/window.h"

#include <string.h>

#define FIRST UINT64_C(100003) /* an epoch whose bucket is not the ring's first */

/* Line 3 has one writer, the shared one any number. Both must say the same. */
struct writer {
    uint32_t line;
    bool solo;
};
static const struct writer writers[] = { { 3, true }, { SHARDS, false } };
#define FOR_EACH_WRITER(writer) \
    for (const struct writer *writer = writers; writer < writers + 2; window_reset(), writer++)

static struct window window;

static void window_reset(void)
{
    memset(&window, 0, sizeof window);
}

static void add(const struct writer *writer, uint64_t epoch, uint64_t one, uint32_t times)
{
    atomic_or_acq_rel(&weir_shards_ever, UINT32_C(1) << 3);
    for (uint32_t i = 0; i < times; i++) window_add(&window, writer->line, writer->solo, epoch, one);
}

static void check_sum(uint64_t first, uint64_t now, uint64_t good, uint64_t bad)
{
    struct window_sum sum = window_sum(&window, first, now);
    CHECK_EQ(sum.good, good);
    CHECK_EQ(sum.bad, bad);
}

static void check_total(uint64_t good, uint64_t bad)
{
    struct window_sum sum = window_total(&window);
    CHECK_EQ(sum.good, good);
    CHECK_EQ(sum.bad, bad);
}

TEST(window, counts_by_epoch)
{
    FOR_EACH_WRITER(writer)
    {
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) {
            add(writer, FIRST + i, WINDOW_GOOD, i + 1);
            add(writer, FIRST + i, WINDOW_BAD, 2 * (i + 1));
        }
        uint64_t last = FIRST + WINDOW_BUCKETS - 1;
        check_sum(FIRST, last, 136, 272); /* 1 + ... + 16 */
        check_sum(FIRST + 1, last, 135, 270);
        check_sum(last, last, 16, 32);
        check_sum(last - 1, last, 31, 62);
        check_sum(0, last, 136, 272);      /* no more than the ring */
        check_sum(last + 5, last, 16, 32); /* a clock behind the one that set first */
        check_sum(0, last + 1, 135, 270);  /* time goes on: the oldest is out */
        check_sum(0, last + 15, 16, 32);
        check_sum(0, last + 16, 0, 0);
        check_total(136, 272);
    }
}

TEST(window, turning_empties_a_bucket_into_the_totals)
{
    FOR_EACH_WRITER(writer)
    {
        add(writer, FIRST, WINDOW_GOOD, 5);
        add(writer, FIRST, WINDOW_BAD, 2);
        add(writer, FIRST + WINDOW_BUCKETS, WINDOW_BAD, 1); /* in its place */
        check_sum(0, FIRST + WINDOW_BUCKETS, 0, 1);
        check_total(5, 3);
        CHECK_EQ(window.shard[writer->line].good, 5);
        CHECK_EQ(window.shard[writer->line].bad, 2);
    }
}

/* Buckets that time has skipped are old whatever their tags say. */
TEST(window, skipped_buckets_are_emptied)
{
    FOR_EACH_WRITER(writer)
    {
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) add(writer, FIRST + i, WINDOW_GOOD, 1);
        uint64_t later = FIRST + WINDOW_BUCKETS + 9; /* nine were skipped */
        add(writer, later, WINDOW_GOOD, 1);
        check_sum(0, later, 7, 0);
        CHECK_EQ(window.shard[writer->line].good, 10);
        check_total(17, 0);
        uint64_t lap =
            later + (UINT64_C(1) << 20) + WINDOW_BUCKETS; /* where 20 bits of tag are nearly as before */
        add(writer, lap, WINDOW_GOOD, 1);
        check_sum(0, lap, 1, 0);
        check_total(18, 0);
    }
}

TEST(window, an_idle_line_is_not_summed_a_lap_later)
{
    FOR_EACH_WRITER(writer)
    {
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) add(writer, FIRST + i, WINDOW_BAD, 3);
        check_sum(0, FIRST + WINDOW_BUCKETS - 1, 0, 48);
        check_sum(0, FIRST + WINDOW_BUCKETS - 1 + (UINT64_C(1) << 20), 0, 0);
        check_sum(0, FIRST + WINDOW_BUCKETS - 1 + (UINT64_C(3) << 20), 0, 0);
        check_total(0, 48);
    }
}

TEST(window, a_late_add_counts_in_its_own_bucket_or_in_what_took_its_place)
{
    FOR_EACH_WRITER(writer)
    {
        uint64_t now = FIRST + WINDOW_BUCKETS + 4;
        add(writer, FIRST + 10, WINDOW_GOOD, 1);
        add(writer, now, WINDOW_GOOD, 1);
        add(writer, FIRST + 10, WINDOW_BAD, 1); /* its own is there yet */
        check_sum(0, FIRST + 10, 2, 1);         /* now's is the newest there is, and counts too */
        check_sum(0, now, 2, 1);
        check_sum(FIRST + 11, now, 1, 0);
        add(writer, FIRST + 4, WINDOW_BAD, 1); /* now's has taken its place */
        check_sum(now, now, 1, 1);
        check_sum(0, now, 2, 2);
        add(writer, FIRST - 1000, WINDOW_BAD, 1); /* long ago */
        check_total(2, 3);
        check_sum(0, now, 2, 3);
    }
}

TEST(window, a_full_bucket_is_halved_and_nothing_is_lost)
{
    FOR_EACH_WRITER(writer)
    {
        const uint64_t half = UINT64_C(1) << (WINDOW_COUNT_BITS - 1), good = half + 3, bad = 5;
        add(writer, FIRST, WINDOW_BAD, (uint32_t)bad);
        add(writer, FIRST, WINDOW_GOOD, (uint32_t)good);
        check_total(good, bad);
        struct window_sum sum = window_sum(&window, 0, FIRST);
        CHECK_EQ(sum.good, half / 2 + 3); /* at the half it was halved, then three more */
        CHECK_EQ(sum.bad, 2);             /* in the same proportion, rounded down */
        add(writer, FIRST, WINDOW_BAD, (uint32_t)half);
        check_total(good, bad + half);
        sum = window_sum(&window, 0, FIRST);
        CHECK(sum.bad < half);
        CHECK(sum.good < half);
        CHECK(sum.bad >= half / 2);
    }
}

TEST(window, all_lines_are_summed)
{
    window_reset();
    add(&writers[0], FIRST, WINDOW_GOOD, 2);
    add(&writers[1], FIRST, WINDOW_GOOD, 3);
    add(&writers[1], FIRST + 1, WINDOW_BAD, 1);
    check_sum(0, FIRST + 1, 5, 1);
    check_sum(FIRST + 1, FIRST + 1, 0, 1);
    check_total(5, 1);
}

/* Adds at epochs that jitter and run: the totals are exact, the sum is what lies in the ring. */
TEST(window, any_order_of_epochs_keeps_the_totals)
{
    FOR_EACH_WRITER(writer)
    {
        window_reset();
        uint64_t state = 42, now = FIRST, good = 0, bad = 0;
        for (int i = 0; i < 20000; i++) {
            uint64_t kind = random_up_to(&state, 19);
            if (kind == 0) now += random_up_to(&state, 40);
            if (kind == 1) now += 1;
            uint64_t late = random_up_to(&state, 3) == 0 ? random_up_to(&state, 30) : 0;
            bool is_bad = random_up_to(&state, 2) == 0;
            add(writer, now - late, is_bad ? WINDOW_BAD : WINDOW_GOOD, 1);
            good += !is_bad;
            bad += is_bad;
            check_total(good, bad);
            struct window_sum sum = window_sum(&window, 0, now);
            CHECK(sum.good + sum.bad <= good + bad);
            /* An add that found neither its own bucket nor a newer one in its place made one of its own: it may
             * be too old to be summed. One of now is never. */
            if (late == 0) CHECK(sum.good + sum.bad > 0);
        }
    }
}

TEST(window, epochs_are_time_over_the_bucket)
{
    static const uint64_t lengths[] = { WEIR_MS, 3 * WEIR_MS + 7, 625 * WEIR_MS, WEIR_S, 225 * WEIR_S,
        UINT64_C(1) << 20, UINT64_C(1) << 30, UINT64_C(1) << 37, (UINT64_C(1) << 30) - 1,
        (UINT64_C(1) << 30) + 1 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct reciprocal bucket = reciprocal_of(lengths[i]);
        for (uint64_t now = 1; now < UINT64_C(1) << 60; now = now * 3 + 1) {
            uint64_t epoch = window_epoch(bucket, now), exact = now / lengths[i];
            CHECK(epoch == exact || epoch == exact + 1 || epoch + 1 == exact);
            CHECK(window_epoch(bucket, now + 2 * lengths[i]) > epoch);
        }
    }
}
