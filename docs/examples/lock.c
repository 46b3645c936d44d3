/* A lock of a fleet: acquired, worked under for longer than a lease, lost, released. lock ADDRESS, of a Redis. */
#include "expect.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>
#include <weir/clock.h>
#include <weir/lock.h>
#include <weir/redis.h>

static uint64_t in(uint64_t ns)
{
    return weir_now(WEIR_TIMING_PRECISE) + ns;
}

static int chunks;

static void write_chunk(struct weir_fence fence) /* stands for a short part of the job */
{
    EXPECT(fence.token != 0);
    EXPECT(weir_context_check(weir_context_current(), weir_now(WEIR_TIMING_PRECISE)) == WEIR_OK);
    nanosleep(&(struct timespec) { .tv_nsec = 50000000 }, NULL);
    chunks++;
}

static void work(struct weir_lock *lock, struct weir_fence fence, struct weir_source *source)
{
    for (int i = 0; i < 10; i++) {
        if (weir_lock_check(lock) != WEIR_LOCK_HELD) break; /* suspect, or lost: begin nothing more */
        struct weir_context context; /* anew for each chunk, as each renewal moves the deadline */
        weir_context_child(&context, NULL, weir_lock_deadline_ns(lock), source);
        weir_context_enter(&context); /* calls made from here on end with the lease, and with the lock */
        write_chunk(fence);
        weir_context_leave(&context);
    }
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    struct weir_link *redis;
    struct weir_source *source;
    struct weir_lock *lock, *other;
    EXPECT(weir_source_create(&source) == WEIR_E_NONE);
    EXPECT(weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = argv[1], .thread = true), &redis) ==
        WEIR_E_NONE);
    EXPECT(weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = redis, .name = "nightly",
                                .lease_ns = 300 * WEIR_MS, .source = source, .fd = true),
               &lock) == WEIR_E_NONE);

    struct weir_fence fence;
    struct weir_outcome outcome = weir_lock_acquire(lock, NULL, in(2 * WEIR_S), &fence);
    EXPECT(outcome.status == WEIR_OK);
    work(lock, fence, source);
    EXPECT(chunks == 10); /* longer than one lease */
    struct weir_context context;
    weir_context_child(&context, NULL, WEIR_NEVER, source); /* for all of the job: only the loss ends it */

    EXPECT(weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = redis, .name = "nightly"), &other) ==
        WEIR_E_NONE);
    outcome = weir_lock_try(other, NULL, in(2 * WEIR_S), NULL);
    EXPECT(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_LOCK_HELD);

    weir_redis_close(redis, 0); /* as if the store were gone for good: the lock is lost, not merely late */
    struct pollfd lost = { .fd = weir_lock_fd(lock), .events = POLLIN };
    EXPECT(poll(&lost, 1, 1000) == 1);
    EXPECT(weir_lock_check(lock) == WEIR_LOCK_LOST);
    EXPECT(weir_context_check(&context, 0) == WEIR_CANCELED);

    (void)weir_lock_release(lock, 0);
    weir_lock_destroy(lock);
    weir_lock_destroy(other);
    weir_source_release(source);
}
