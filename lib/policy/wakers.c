#include "policy/wakers.h"

#include "base/check.h"
#include "base/lock.h"

enum { IDLE, ARMED, BUSY };

/* Makes the cell BUSY and answers what it was; IDLE cells only if they are wanted. */
static uint32_t take(struct waker_cell *cell, bool want_idle)
{
    for (uint32_t spins = 0;; spins++) {
        uint32_t seen = atomic_load_acquire(&cell->state);
        if (seen == IDLE && !want_idle) return IDLE;
        if (seen != BUSY && atomic_cas_acq_rel(&cell->state, &seen, BUSY)) return seen;
        lock_pause(spins);
    }
}

void wakers_arm(struct wakers *wakers, uint32_t index, const void *owner, struct weir_waker waker)
{
    WEIR_ASSERT(index < wakers->count);
    struct waker_cell *cell = &wakers->cell[index];
    take(cell, true);
    cell->owner = owner;
    cell->waker = waker;
    atomic_store_release(&cell->state, ARMED);
}

void wakers_disarm(struct wakers *wakers, uint32_t index, const void *owner)
{
    WEIR_ASSERT(index < wakers->count);
    struct waker_cell *cell = &wakers->cell[index];
    if (take(cell, false) == IDLE) return;
    atomic_store_release(&cell->state, cell->owner == owner ? IDLE : ARMED);
}

/* Waits for another post under way: ours must come after what we handed over. */
void wakers_post(struct wakers *wakers, uint32_t index)
{
    WEIR_ASSERT(index < wakers->count);
    struct waker_cell *cell = &wakers->cell[index];
    if (take(cell, false) == IDLE) return;
    cell->waker.post(cell->waker.argument);
    atomic_store_release(&cell->state, ARMED);
}
