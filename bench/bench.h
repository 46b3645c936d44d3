/* What a row of the benchmark is.
 *
 * row      one line of the table: one kind of work, on so many threads
 * subject  what it works on: a policy, a pipeline, a cache line; made anew for every cell
 * cell     one row measured in one round; a round is one process
 * U        the unit: one CLOCK_MONOTONIC read and one uncontended lock xadd (row floor/unit)
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <weir/base.h>

enum { THREADS_MAX = 2, ROWS_MAX = 64 };

/* Does n operations and answers how many went as the row means them to. */
typedef uint64_t work_fn(void *subject, uint64_t n);

struct work {
    work_fn *run;
    void *(*create)(void); /* NULL: no subject */
    void (*destroy)(void *subject);
};

struct row {
    const char *name;
    unsigned threads;
    struct work work;
    struct work without;  /* if set, the row is the difference of the two */
    double reach_unit;    /* the goal in U; 0: none */
    double reach_control; /* the goal over the control; 0: none */
};

/* Each ends with a row without a name. */
extern const struct row floor_rows[], breaker_rows[], context_rows[], pipeline_rows[], rate_rows[],
    bulkhead_rows[], gate_rows[], histogram_rows[], shared_rows[];

/* The rows whose name starts with prefix, in the order of the table; answers how many. */
size_t rows_select(const char *prefix, const struct row *rows[ROWS_MAX]);

/* The row that defines U. */
const struct row *rows_unit(void);

/* The work of floor/alu: additions in registers, so nothing but the CPU itself can slow it down. */
uint64_t floor_alu(void *subject, uint64_t n);

/* Ends the program with a message if the condition is false. */
#define require(condition, ...)             \
    do {                                    \
        if (!(condition)) die(__VA_ARGS__); \
    } while (0)
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* Ends the program with the library's own text if create did not succeed. */
void created(enum weir_error error, const char *what);

#endif
