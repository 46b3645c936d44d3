/* Every allocation of the process, the shared libraries' included, passes through this program. */
#ifndef BENCH_ALLOCATIONS_H
#define BENCH_ALLOCATIONS_H

#include <stdint.h>

/* Calls of malloc and its relatives on this thread so far. */
uint64_t allocations(void);

#endif
