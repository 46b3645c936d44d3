/* The histogram: the promised resolution, its ends, quantiles against sorted values, merging. */
#include "support/test.h"

#include "base/arithmetic.h"
#include "base/histogram.h"

#include <pthread.h>
#include <stdlib.h>

#define LONGEST ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

static struct weir_histogram *fresh(void)
{
    struct weir_histogram *histogram;
    CHECK_EQ(weir_histogram_create(&histogram), WEIR_E_NONE);
    return histogram;
}

static uint64_t only(uint64_t value)
{
    struct weir_histogram *histogram = fresh();
    weir_histogram_record(histogram, value);
    uint64_t answer = weir_histogram_quantile(histogram, 500000);
    weir_histogram_destroy(histogram);
    return answer;
}

/* At most 1.6 % from the middle of its step. */
static void check_near(uint64_t answer, uint64_t value)
{
    uint64_t off = answer > value ? answer - value : value - answer;
    if (off * 1000 > value * 16) {
        check_failed(
            __FILE__, __LINE__, "%llu counts as %llu", (unsigned long long)value, (unsigned long long)answer);
    }
}

TEST(histogram, an_empty_one_is_0)
{
    struct weir_histogram *histogram = fresh();
    CHECK_EQ(weir_histogram_count(histogram), 0);
    CHECK_EQ(weir_histogram_quantile(histogram, 0), 0);
    CHECK_EQ(weir_histogram_quantile(histogram, 1000000), 0);
    weir_histogram_destroy(histogram);
    weir_histogram_destroy(NULL);
}

TEST(histogram, small_values_are_exact)
{
    for (uint64_t value = 0; value < 64; value++) CHECK_EQ(only(value), value);
}

TEST(histogram, each_value_is_near_its_steps_middle)
{
    for (uint64_t value = 64; value < LONGEST; value += value / 37 + 1) check_near(only(value), value);
    for (uint32_t bit = 6; bit < HISTOGRAM_VALUE_BITS; bit++) {
        uint64_t power = UINT64_C(1) << bit;
        check_near(only(power - 1), power - 1);
        check_near(only(power), power);
        check_near(only(power + 1), power + 1);
    }
    check_near(only(LONGEST), LONGEST);
}

/* 2^40 ns are 18.3 minutes. */
TEST(histogram, what_is_longer_counts_as_the_longest)
{
    CHECK(LONGEST > 18 * 60 * WEIR_S);
    CHECK_EQ(only(LONGEST + 1), only(LONGEST));
    CHECK_EQ(only(UINT64_MAX), only(LONGEST));
}

TEST(histogram, cells_grow_with_the_values_and_fit)
{
    uint32_t last = 0;
    for (uint64_t value = 0; value < 4096; value++) {
        uint32_t cell = histogram_cell(value);
        CHECK(cell == last || cell == last + 1);
        last = cell;
    }
    CHECK_EQ(histogram_cell(LONGEST), HISTOGRAM_CELLS - 1);
    CHECK_EQ(histogram_cell(UINT64_MAX), HISTOGRAM_CELLS - 1);
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

#define VALUES 5000

TEST(histogram, quantiles_are_those_of_the_sorted_values)
{
    static uint64_t values[VALUES];
    static const uint32_t shares[] = { 0, 1, 200, 100000, 500000, 900000, 990000, 999000, 999900, 1000000 };
    struct weir_histogram *histogram = fresh();
    uint64_t state = 7;
    for (int i = 0; i < VALUES; i++) {
        values[i] = random_up_to(&state, UINT64_C(1) << random_up_to(&state, 39));
        weir_histogram_record(histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    CHECK_EQ(weir_histogram_count(histogram), VALUES);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t rank = ((uint64_t)shares[i] * VALUES + 999999) / 1000000;
        check_near(weir_histogram_quantile(histogram, shares[i]), values[rank == 0 ? 0 : rank - 1]);
    }
    CHECK_EQ(weir_histogram_quantile(histogram, 2000000), weir_histogram_quantile(histogram, 1000000));
    weir_histogram_destroy(histogram);
}

TEST(histogram, a_quantile_ends_where_the_share_does)
{
    struct weir_histogram *histogram = fresh();
    for (uint64_t value = 1; value <= 10; value++) weir_histogram_record(histogram, value);
    CHECK_EQ(weir_histogram_quantile(histogram, 500000), 5);
    CHECK_EQ(weir_histogram_quantile(histogram, 500001), 6);
    CHECK_EQ(weir_histogram_quantile(histogram, 100000), 1);
    CHECK_EQ(weir_histogram_quantile(histogram, 0), 1);
    CHECK_EQ(weir_histogram_quantile(histogram, 900001), 10);
    weir_histogram_destroy(histogram);
}

TEST(histogram, merging_adds)
{
    struct weir_histogram *one = fresh(), *other = fresh();
    for (uint64_t value = 1; value <= 20; value++) weir_histogram_record(value % 2 ? one : other, value);
    weir_histogram_merge(one, other);
    CHECK_EQ(weir_histogram_count(one), 20);
    CHECK_EQ(weir_histogram_count(other), 10);
    for (uint32_t i = 1; i <= 20; i++) CHECK_EQ(weir_histogram_quantile(one, i * 50000), i);
    weir_histogram_merge(one, other);
    CHECK_EQ(weir_histogram_count(one), 30);
    weir_histogram_destroy(one);
    weir_histogram_destroy(other);
}

/* ---- more threads than there are lines ---- */

#define THREADS (SHARDS + 8)
#define EACH 2000

static pthread_barrier_t all;

static void *records(void *histogram)
{
    weir_histogram_record(histogram, 1); /* it has its shard */
    pthread_barrier_wait(&all);          /* so many at once: some share */
    for (uint64_t i = 1; i < EACH; i++) weir_histogram_record(histogram, i % 32);
    return NULL;
}

TEST(histogram, no_record_of_many_threads_is_lost)
{
    struct weir_histogram *histogram = fresh();
    pthread_t thread[THREADS];
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, records, histogram), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&all);
    CHECK_EQ(weir_histogram_count(histogram), THREADS * EACH);
    weir_histogram_destroy(histogram);
}

TEST(histogram, misuse_aborts_by_name)
{
    CHECK_ABORTS(CHECK_EQ(weir_histogram_create(NULL), 0), "weir: weir_histogram_create: histogram is NULL");
}
