/* Log-linear histogram: see weir/histogram.h for the promise.
 *
 * A value v with its highest bit at e (e >= 5) counts in cell (e - 5) * 32 + (v >> (e - 5)): 32 equal steps in
 * each octave, values below 32 exactly. */
#ifndef WEIR_LIB_HISTOGRAM_H
#define WEIR_LIB_HISTOGRAM_H

#include "base/thread.h"

#include <weir/histogram.h>

#define HISTOGRAM_STEP_BITS 5
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_CELLS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct weir_histogram {
    struct {
        uint64_t cell[HISTOGRAM_CELLS];
    } CACHE_ALIGNED line[LINES];
};

static inline uint32_t histogram_cell(uint64_t value)
{
    if (unlikely(value >> HISTOGRAM_VALUE_BITS)) value = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
    uint32_t highest = 63u - (uint32_t)__builtin_clzll(value | (UINT64_C(1) << HISTOGRAM_STEP_BITS));
    uint32_t shift = highest - HISTOGRAM_STEP_BITS;
    return (shift << HISTOGRAM_STEP_BITS) + (uint32_t)(value >> shift);
}

static inline void histogram_record(
    struct weir_histogram *histogram, uint32_t line, bool solo, uint64_t value)
{
    uint64_t *cell = &histogram->line[line].cell[histogram_cell(value)];
    if (likely(solo)) atomic_store_relaxed(cell, atomic_load_relaxed(cell) + 1);
    else atomic_add_relaxed(cell, 1);
}

#endif
