/* Counters of exceptions, in lines: 16 words for each shard, summed when somebody asks. */
#ifndef WEIR_LIB_COUNTERS_H
#define WEIR_LIB_COUNTERS_H

#include "base/thread.h"

#define COUNTERS 16

struct counters {
    struct {
        uint64_t n[COUNTERS];
    } CACHE_ALIGNED line[LINES];
};

static inline void counters_add(
    struct counters *counters, uint32_t line, bool solo, uint32_t which, uint64_t n)
{
    line_add(&counters->line[line].n[which], n, solo);
}

static inline uint64_t counters_sum(const struct counters *counters, uint32_t which)
{
    uint64_t sum = 0;
    for_each_line(line) sum += atomic_load_relaxed(&counters->line[line].n[which]);
    return sum;
}

#endif
