/* The wakers of the calls that a policy holds: process-local, by the index of the waiter in its state.
 *
 *     IDLE ----arm----> BUSY ---> ARMED <----------.
 *       ^                           |  '--post--> BUSY
 *       '---disarm--- BUSY <--------'
 *
 * BUSY is held for some stores and one post, which does not block. The index of a waiter is free for the
 * next call before its waker is disarmed: so a waker has an owner, arming takes over what an older one left
 * behind, and disarming touches nobody else's. After disarm the owner's waker is not running any more. */
#ifndef WEIR_LIB_WAKERS_H
#define WEIR_LIB_WAKERS_H

#include "base/atomic.h"

#include <weir/context.h>

struct waker_cell {
    uint32_t state;
    const void *owner;
    struct weir_waker waker;
};

struct wakers {
    struct waker_cell *cell;
    uint32_t count;
};

/* Whoever arms looks again afterwards whether what it waits for has come. */
void wakers_arm(struct wakers *wakers, uint32_t index, const void *owner, struct weir_waker waker);
void wakers_disarm(struct wakers *wakers, uint32_t index, const void *owner);
/* Nothing if none is armed there. */
void wakers_post(struct wakers *wakers, uint32_t index);

#endif
