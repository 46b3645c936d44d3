/* Callers at one bulkhead, through its hooks, as the machine drives them. */
#ifndef WEIR_EXPLORER_BULKHEAD_WORLD_H
#define WEIR_EXPLORER_BULKHEAD_WORLD_H

#include "explorer/explorer.h"
#include "policy/bulkhead.h"

enum { WAIT_MAX_NS = 1000 };

struct setup {
    enum weir_form form;
    uint32_t limit, queue;
    uint32_t held[EXPLORE_THREADS_MAX];   /* permits that a thread's caller has from the start */
    uint32_t weight[EXPLORE_THREADS_MAX]; /* 0: one */
    bool ordered; /* the order of the ghosts matters: first in, first out is checked */
};

struct caller {
    struct weir_call call;
    struct weir_slot slot;
    uint32_t posted; /* by its waker */
    bool inside;
    uint64_t waiter; /* its word, when it was told to wait */
    uint32_t limit;  /* the one that was lowered to before it came */
    uint32_t before; /* mask of those that were told to wait before it came */
};

struct world {
    struct caller caller[EXPLORE_THREADS_MAX];
    uint64_t held;    /* the permits of callers inside: never above the limit */
    uint32_t queued;  /* mask of callers that were told to wait */
    uint32_t lowered; /* the limit, once set_limit() has returned */
    uint32_t calm;    /* since then no more than that was in use at some time */
    uint32_t flag[2];
    uint32_t entered, refused, left;
};
extern struct world world;
extern struct weir_policy *bulkhead;

void world_create(void);
bool world_enter(uint32_t thread);          /* waits as long as it takes */
bool world_enter_or_leave(uint32_t thread); /* waits for one post or until its time is over */
void world_begin_to_wait(uint32_t thread);
bool world_wait(uint32_t thread);   /* who has begun to */
void world_cancel(uint32_t thread); /* leaves the queue by a settle, or what it got meanwhile */
void world_leave(uint32_t thread);
void world_set_limit(uint32_t limit);
void world_lapse(void); /* shared, and its lease has ended: before any thread runs */
void world_lend(uint32_t limit);

void world_step(void); /* words and ghosts against the limit, as long as it is not changed */
void world_end(void);  /* everything is free, nobody is anywhere */

uint64_t world_free(void); /* in the cells */

#endif
