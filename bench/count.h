/* Allocations and system calls of a row, counted while it runs. */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include "bench.h"

struct count {
    uint64_t operations, allocations, syscalls;
};

/* Fills counts[i] for rows[i], in a traced child process. Ends the program if the counters miss what
 * was planted for them. */
void count_rows(const struct row *const rows[], size_t rows_count, struct count counts[]);

#endif
