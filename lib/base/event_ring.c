#include "base/event_ring.h"

#include "base/lock.h"

CK_RING_PROTOTYPE(event, weir_event)

enum { IDLE, BUSY, ASKED };
#define PUSH_TRIES 64

/* ThreadSanitizer does not see the order that ck's inline assembly makes. Told of it: what happened before a
 * push happened before its event is taken. The slots themselves, which ck copies before it says so, are kept
 * from its eyes. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_UNDER_TSAN
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(RING_UNDER_TSAN)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define RING_ACQUIRE(ring) __tsan_acquire(ring)
#define RING_RELEASE(ring) __tsan_release(ring)
#define RING_UNSEEN(statement)                         \
    do {                                               \
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);  \
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__); \
        statement;                                     \
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);   \
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);    \
    } while (0)
#else
#define RING_ACQUIRE(ring) ((void)(ring))
#define RING_RELEASE(ring) ((void)(ring))
#define RING_UNSEEN(statement) statement
#endif

static void empty(struct event_ring *ring, uint32_t process)
{
    ck_ring_init(&ring->ring, EVENT_RING_SIZE);
    ring->turn = IDLE;
    ring->pushing = 0;
    atomic_store_release(&ring->process, process);
}

void event_ring_init(struct event_ring *ring)
{
    ring->dropped = 0;
    ring->lock = 0;
    empty(ring, process_generation());
}

static COLD void take_over(struct event_ring *ring, uint32_t mine)
{
    lock_take(&ring->lock);
    if (ring->process != mine) empty(ring, mine);
    lock_drop(&ring->lock);
}

static void own(struct event_ring *ring)
{
    uint32_t mine = process_generation();
    if (unlikely(atomic_load_acquire(&ring->process) != mine)) take_over(ring, mine);
}

static bool enter(struct event_ring *ring)
{
    for (uint32_t tries = 0; tries < PUSH_TRIES; tries++) {
        uint32_t seen = atomic_load_relaxed(&ring->pushing);
        if (seen == 0 && atomic_cas_acq_rel(&ring->pushing, &seen, 1u)) return true;
        ck_pr_stall();
    }
    return false;
}

static bool put(struct event_ring *ring, struct weir_event *event)
{
    bool fits;
    RING_RELEASE(&ring->ring);
    RING_UNSEEN(fits = ck_ring_enqueue_spsc_event(&ring->ring, ring->slot, event));
    atomic_store_release(&ring->pushing, 0u);
    return fits;
}

bool event_ring_push(struct event_ring *ring, struct weir_event event)
{
    own(ring);
    if (enter(ring) && put(ring, &event)) return true;
    atomic_add_relaxed(&ring->dropped, UINT64_C(1));
    return false;
}

/* By whoever has the turn: what it saw of the ring's size is still there when it takes. */
static bool take(struct event_ring *ring, struct weir_event *event)
{
    if (ck_ring_size(&ring->ring) == 0) return false;
    RING_ACQUIRE(&ring->ring);
    RING_UNSEEN(ck_ring_dequeue_spsc_event(&ring->ring, ring->slot, event));
    return true;
}

size_t event_ring_deliver(
    struct event_ring *ring, const struct weir_sink *sink, const struct weir_pipeline *pipeline)
{
    own(ring);
    if (ck_ring_size(&ring->ring) == 0) return 0; /* what others push they deliver */
    if (atomic_swap_acq_rel(&ring->turn, (uint32_t)ASKED) != IDLE) return 0;
    uint32_t mine = process_generation(), seen;
    size_t delivered = 0;
    struct weir_event event;
    do {
        atomic_swap_acq_rel(&ring->turn, (uint32_t)BUSY);
        while (delivered < EVENT_RING_SIZE && take(ring, &event)) {
            sink->event(sink->argument, pipeline, &event);
            delivered++;
            if (unlikely(process_generation() != mine)) return delivered; /* the sink forked: the parent's */
        }
        seen = BUSY;
    } while (!atomic_cas_acq_rel(&ring->turn, &seen, (uint32_t)IDLE) && delivered < EVENT_RING_SIZE);
    if (seen != BUSY) atomic_swap_acq_rel(&ring->turn, (uint32_t)IDLE);
    return delivered;
}

uint64_t event_ring_dropped(const struct event_ring *ring)
{
    return atomic_load_relaxed(&ring->dropped);
}
