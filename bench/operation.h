/* The operation that is guarded: in an object of its own and behind a pointer that the compiler
 * cannot see through, as a user's function is. */
#ifndef BENCH_OPERATION_H
#define BENCH_OPERATION_H

#include <weir/run.h>

extern weir_operation *volatile operation_ok;

/* Fails every third time it is called on a thread. */
extern weir_operation *volatile operation_third;

#endif
