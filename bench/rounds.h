/* Rounds: each measures every row once, in a process of its own, because a process is laid out anew
 * each time and that alone moves a row by up to a tenth. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include "measure.h"

enum { ROUNDS_MAX = 100 };

/* A row's cells over the rounds, next to U of the same rounds. */
struct series {
    struct cell cell[ROUNDS_MAX];
    double unit_ns[ROUNDS_MAX];
};

/* Runs the rounds one after the other; fills series[i] for the i-th of the rows that prefix selects,
 * and *quiet. */
void rounds_run(
    unsigned rounds, const char *prefix, size_t rows_count, struct series series[], struct quiet *quiet);

/* What the process of a round does: measures and writes to stdout. known: the quiet of earlier ones. */
void round_main(const struct row *const rows[], size_t rows_count, const char *known);

/* How main() knows that it is one: --round KNOWN. */
#define ROUND_OPTION "--round"

#endif
