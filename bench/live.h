/* Rows on real libraries and real sockets: what stands against the bare library, and how late a call ends that must end.
 * Built with weir-curl only (live_none.c else). They run once, whatever --rounds says, each group in a process of
 * its own: libcurl, liars and namespaces stay out of the other rows'. */
#ifndef BENCH_LIVE_H
#define BENCH_LIVE_H

#include "bench.h"

#include <stdio.h>

/* Whether a row's name starts so. */
bool live_selects(const char *prefix);

/* Runs those rows and prints their tables. */
void live_run(const char *prefix);

/* Writes them as further members of an object: ", "deadline": [...]". */
void live_json(FILE *file);

/* ---- for the groups ---- */

/* Runs body(results) in a child, on memory that both share; ends the program if the child fails. */
void live_child(void (*body)(const char *prefix, void *results), const char *prefix, void *results);
/* Zeroed memory that a child shares. */
void *live_shared(size_t size);

bool live_row(const char *name, const char *prefix);
uint64_t live_now(void);
uint64_t live_draw(uint64_t *random);

#endif
