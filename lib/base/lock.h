/* A small lock for the few slow paths that keep lists: registering, watching, canceling. Never taken by a
 * call that neither waits nor is canceled. The holder's process generation is the word, so that a forked
 * child takes over what a thread of its parent held at the fork. */
#ifndef WEIR_LIB_LOCK_H
#define WEIR_LIB_LOCK_H

#include "base/thread.h"

#include <ck_backoff.h>
#include <sched.h>

#define LOCK_SPINS 16

/* For waits that are a few stores long, unless the other thread was preempted. */
static inline void lock_pause(uint32_t spins)
{
    if (spins < LOCK_SPINS) ck_pr_stall();
    else sched_yield();
}

static inline void lock_take(uint32_t *lock)
{
    uint32_t mine = process_generation(), spins = 0;
    ck_backoff_t backoff = CK_BACKOFF_INITIALIZER;
    for (;;) {
        uint32_t seen = 0;
        if (atomic_cas_acq_rel(lock, &seen, mine)) return;
        if (seen != mine && atomic_cas_acq_rel(lock, &seen, mine)) return;
        if (++spins < LOCK_SPINS) ck_backoff_eb(&backoff);
        else sched_yield();
    }
}

/* For who can come again: false if somebody holds it. */
static inline bool lock_try(uint32_t *lock)
{
    uint32_t seen = 0;
    return atomic_cas_acq_rel(lock, &seen, process_generation());
}

static inline void lock_drop(uint32_t *lock)
{
    atomic_store_release(lock, 0);
}

#endif
