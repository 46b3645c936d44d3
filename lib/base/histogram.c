#include "base/histogram.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum weir_error weir_histogram_create(struct weir_histogram **histogram)
{
    WEIR_REQUIRE(histogram != NULL, "weir_histogram_create", "histogram is NULL");
    *histogram = aligned_alloc(CACHE_LINE, sizeof **histogram);
    if (*histogram == NULL) return error_set(WEIR_E_NOMEM, "histogram: out of memory");
    memset(*histogram, 0, sizeof **histogram);
    return WEIR_E_NONE;
}

void weir_histogram_destroy(struct weir_histogram *histogram)
{
    free(histogram);
}

void weir_histogram_record(struct weir_histogram *histogram, uint64_t value_ns)
{
    WEIR_REQUIRE(histogram != NULL, "weir_histogram_record", "histogram is NULL");
    uint32_t line = thread_shard();
    histogram_record(histogram, line, line < SHARDS, value_ns);
}

static uint64_t cell_count(const struct weir_histogram *histogram, uint32_t cell)
{
    uint64_t count = 0;
    for_each_line(line) count += atomic_load_relaxed(&histogram->line[line].cell[cell]);
    return count;
}

/* Into the line that every thread may add to atomically. */
void weir_histogram_merge(struct weir_histogram *target, const struct weir_histogram *source)
{
    WEIR_REQUIRE(target != NULL, "weir_histogram_merge", "target is NULL");
    WEIR_REQUIRE(source != NULL, "weir_histogram_merge", "source is NULL");
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        uint64_t count = cell_count(source, cell);
        if (count != 0) atomic_add_relaxed(&target->line[SHARDS].cell[cell], count);
    }
}

uint64_t weir_histogram_count(const struct weir_histogram *histogram)
{
    WEIR_REQUIRE(histogram != NULL, "weir_histogram_count", "histogram is NULL");
    uint64_t count = 0;
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) count += cell_count(histogram, cell);
    return count;
}

/* The middle of a cell's values. */
static uint64_t middle_of(uint32_t cell)
{
    if (cell < UINT32_C(2) << HISTOGRAM_STEP_BITS) return cell;
    uint32_t shift = (cell >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t low = (uint64_t)(cell - (shift << HISTOGRAM_STEP_BITS)) << shift;
    return low + (UINT64_C(1) << shift) / 2;
}

uint64_t weir_histogram_quantile(const struct weir_histogram *histogram, uint32_t millionths)
{
    WEIR_REQUIRE(histogram != NULL, "weir_histogram_quantile", "histogram is NULL");
    uint64_t count = weir_histogram_count(histogram);
    if (count == 0) return 0;
    if (millionths > 1000000) millionths = 1000000;
    uint64_t rank = (uint64_t)(((unsigned __int128)count * millionths + 999999) / 1000000), seen = 0;
    if (rank == 0) rank = 1;
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        seen += cell_count(histogram, cell);
        if (seen >= rank) return middle_of(cell);
    }
    return middle_of(HISTOGRAM_CELLS - 1); /* counts grew while they were read */
}
