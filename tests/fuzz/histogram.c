/* Histograms against a sorted list: counts exact, every quantile within 1/64 of the value of that rank, merging
 * is adding. */
#include "fuzz/fuzz.h"

#include <weir/histogram.h>

#define VALUES 1024
#define LARGEST ((UINT64_C(1) << 40) - 1)

static int by_value(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static void check_quantile(
    const struct weir_histogram *histogram, const uint64_t *values, uint64_t count, uint32_t millionths)
{
    uint64_t said = weir_histogram_quantile(histogram, millionths);
    if (count == 0) {
        MUST(said == 0);
        return;
    }
    uint64_t share = millionths > 1000000 ? 1000000 : millionths;
    uint64_t rank = (count * share + 999999) / 1000000;
    uint64_t value = values[rank == 0 ? 0 : rank - 1], off = said > value ? said - value : value - said;
    MUST(off <= value / 64 + (value < 64 ? 0 : 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = { data, data + size };
    struct weir_histogram *histogram[2];
    uint64_t values[VALUES];
    uint32_t count = 0, own = thread_shard(), of[2] = { 0, 0 };
    for (int i = 0; i < 2; i++) MUST(weir_histogram_create(&histogram[i]) == WEIR_E_NONE);
    while (bytes_left(&in) && count < VALUES) {
        uint32_t code = take(&in);
        if (code >= 250) {
            be_thread(pick(&in, LINES));
            continue;
        }
        uint64_t value = take_wide(&in, 1 + code % 8) >> (code / 8 % 8);
        weir_histogram_record(histogram[code & 1], value);
        of[code & 1]++;
        values[count++] = value > LARGEST ? LARGEST : value;
    }
    for (int i = 0; i < 2; i++) MUST(weir_histogram_count(histogram[i]) == of[i]);
    weir_histogram_merge(histogram[0], histogram[1]);
    MUST(weir_histogram_count(histogram[0]) == count);
    qsort(values, count, sizeof values[0], by_value);
    static const uint32_t shares[] = { 0, 1, 10000, 500000, 900000, 999999, 1000000, UINT32_MAX };
    check_quantile(histogram[0], values, count, shares[size % 8]);
    check_quantile(histogram[0], values, count, count * UINT32_C(977) % 1000000);
    for (int i = 0; i < 2; i++) weir_histogram_destroy(histogram[i]);
    be_thread(own);
    return 0;
}
