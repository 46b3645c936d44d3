#include "base/event_ring.h"

#include "base/atomic.h"

CK_RING_PROTOTYPE(event, weir_event)

void event_ring_init(struct event_ring *ring)
{
    ck_ring_init(&ring->ring, EVENT_RING_SIZE);
    ring->dropped = 0;
    ring->delivering = 0;
}

/* ThreadSanitizer does not see the order that ck's inline assembly makes; these tell it of the same order. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define RING_ACQUIRE(ring) __tsan_acquire(ring)
#define RING_RELEASE(ring) __tsan_release(ring)
#else
#define RING_ACQUIRE(ring) ((void)(ring))
#define RING_RELEASE(ring) ((void)(ring))
#endif

bool event_ring_push(struct event_ring *ring, struct weir_event event)
{
    RING_RELEASE(ring);
    if (CK_RING_ENQUEUE_MPSC(event, &ring->ring, ring->slot, &event)) return true;
    atomic_add_relaxed(&ring->dropped, UINT64_C(1));
    return false;
}

size_t event_ring_deliver(
    struct event_ring *ring, const struct weir_sink *sink, const struct weir_pipeline *pipeline)
{
    struct weir_event event;
    size_t delivered = 0;
    do {
        if (atomic_swap_acq_rel(&ring->delivering, 1u) != 0) return delivered;
        while (delivered < EVENT_RING_SIZE && CK_RING_DEQUEUE_MPSC(event, &ring->ring, ring->slot, &event)) {
            RING_ACQUIRE(ring);
            sink->event(sink->argument, pipeline, &event);
            delivered++;
        }
        atomic_store_release(&ring->delivering, 0u);
    } while (delivered < EVENT_RING_SIZE && ck_ring_size(&ring->ring) != 0);
    return delivered;
}

uint64_t event_ring_dropped(const struct event_ring *ring)
{
    return atomic_load_relaxed(&ring->dropped);
}
