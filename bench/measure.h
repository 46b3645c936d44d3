/* The cost of a row, measured while the machine is quiet. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench.h"

/* How quiet: the least time that the ALU row took on so many threads, here or in an earlier process.
 * 0: not known yet. */
struct quiet {
    double alu_ns[THREADS_MAX + 1];
};

struct cell {
    double ns;          /* an operation; with row->without, what it costs more than that */
    double control_ns;  /* the same on a subject for each thread: nothing shared; 0 at one thread */
    double alu_ns;      /* the slower of the controls before and after it */
    unsigned preempted; /* samples during which other work had one of its CPUs */
};

/* Whether it was measured undisturbed: its control is near enough to the best. */
bool cell_clean(const struct row *row, const struct cell *cell, const struct quiet *quiet);

/* Measures it, again while the control is off, and lowers *quiet where it saw better. */
struct cell measure(const struct row *row, struct quiet *quiet);

/* The median, NAN of none; sorts the values. */
double median(double *values, size_t count);

#endif
