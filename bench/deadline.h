/* How late a call ends that must end: rows deadline/<library>/<fault>.
 *
 * asked   how long after its begin a call was to end: by its deadline, or by a cancel from another thread
 * took    how long it took (median)
 * over    how much later than asked it ended (99th percentile); idle, and with a busy thread on each core
 * bare    how long the library alone took, told to end after asked by its own means; measured once
 *
 * deadline/sleep and deadline/wake are the controls: a thread that only sleeps, and one that sleeps until another
 * writes to its eventfd. What they are late by, the machine was. */
#ifndef BENCH_DEADLINE_H
#define BENCH_DEADLINE_H

#include "bench.h"

#include <stdio.h>

enum { DEADLINE_ROWS = 10 };

struct deadline_figures {
    double asked_ms, took_ms, over_ms;
    unsigned samples;   /* 0: not measured */
    unsigned disturbed; /* of these: other work had the CPU */
};

struct deadline_result {
    struct deadline_figures idle, busy;
    double bare_ms; /* 0: not measured */
};

bool deadline_selects(const char *prefix);
void deadline_measure(const char *prefix, void *results);
void deadline_table(const struct deadline_result results[DEADLINE_ROWS]);
void deadline_json(FILE *file, const struct deadline_result results[DEADLINE_ROWS]);

#endif
