/* What the search keeps of the schedule that it runs, for explorer.c and for the report of a failure. */
#ifndef WEIR_EXPLORER_SEARCH_H
#define WEIR_EXPLORER_SEARCH_H

#include "explorer/explorer.h"

enum { STEPS_MAX = 4000, WORLDS_MAX = 512 };

struct access {
    const volatile void *word;
    const void *place; /* in the code */
    uint64_t before, after;
    bool changed;
};

/* One step, and the state it started from. Masks have a bit for each thread. */
struct node {
    struct access access;
    uint32_t
        clock[EXPLORE_THREADS_MAX]; /* by thread: 1 + index of its latest step that happened before this */
    uint8_t thread, enabled, wanted, explored, asleep, preemptions;
    struct {
        const volatile void *word;
        bool changed;
    } known[EXPLORE_THREADS_MAX]; /* what the next step of those explored or asleep does here */
};

extern struct node explore_path[STEPS_MAX];
extern void *explore_worlds[WORLDS_MAX]; /* of past scenarios too: LeakSanitizer is to find them */

void trace_schedule(char *buffer, size_t size, uint32_t steps);
void trace_print(uint32_t steps);
void trace_region(const void *start, size_t size, const char *name);
void trace_forget_regions(void);

#endif
