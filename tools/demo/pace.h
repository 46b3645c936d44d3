/* The time of a run, and the interrupts that may end it early. */
#ifndef DEMO_PACE_H
#define DEMO_PACE_H

#include <stdbool.h>
#include <stdint.h>

uint64_t monotonic_ns(void);

/* Before any thread is started: from now on an interrupt ends a pause, not a write. */
void pace_block_interrupts(void);
/* false: interrupted. */
bool pace_until(uint64_t at_ns);

#endif
