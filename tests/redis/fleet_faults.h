/* A fleet of real processes on a real server, and what is done to both. Each fault is written down: from before it began
 * to after it was over.
 *
 *     fleet_start(seed);          FLEET members, all of them sharing
 *     fleet_enter(CHAOS, 1);      a stage, in which one is bad
 *     fleet_harm();               one fault, to its end; each kind once before one comes again
 *     count = fleet_end(&events); all have left
 *
 * What cannot be had, and a process that ends badly, ends the program with a message. */
#ifndef WEIR_TESTS_FLEET_FAULTS_H
#define WEIR_TESTS_FLEET_FAULTS_H

#include "redis/fleet_member.h"

#include <stdbool.h>

extern const char *const fleet_fault_names[FAULTS];

struct fleet_counts {
    uint64_t faults[FAULTS];
    uint64_t decisions, late;     /* of all members */
    uint64_t keys, keys_for_ever; /* in the server, at the end; without an end of their own */
    uint64_t questions, repeated; /* that went by the proxy; the same one again */
    uint64_t missing;             /* entries of the log */
};

void fleet_start(uint64_t seed);
/* A stage begins; from now on the members in so many places are bad. */
void fleet_enter(enum fleet_stage stage, uint32_t bad);
void fleet_harm(void);
/* Two members at once; others take their places when fleet_refill() says so. */
void fleet_murder(void);
void fleet_refill(void);
bool fleet_shares(void);     /* every member, everything */
unsigned fleet_opened(void); /* breakers that are open */
size_t fleet_end(struct history_event **events, struct fleet_counts *counts);

#endif
