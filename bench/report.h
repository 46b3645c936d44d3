/* What the rounds came to, as a table and as JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "count.h"
#include "rounds.h"

#include <stdio.h>

/* A row's result; NAN where a field does not apply. */
struct result {
    const struct row *row;
    double ns_op, ns_min, ns_max, x_unit, x_control, allocs_op, syscalls_op;
    unsigned clean; /* rounds with a quiet control: the others were left out, unless none was clean */
};

struct result result_of(const struct row *row, const struct series *series, unsigned rounds,
    const struct quiet *quiet, const struct count *count);

void report_table(const struct result results[], size_t count, unsigned rounds);

/* Whether no row allocates or calls the system; names on stderr those that do. */
bool report_promise(const struct result results[], size_t count);

/* As a member of an object. */
void report_json(FILE *file, const struct result results[], size_t count);

#endif
