/* The link's own thread: does what there is to do, and sleeps until there is more. */
#include "redis/handle.h"

#include "base/atomic.h"

#include <errno.h>
#include <signal.h>

/* It looks whether to stop after the step that has heard the ring, or it would sleep through it. */
static void *run(void *argument)
{
    struct redis *redis = argument;
    for (;;) {
        redis_step(redis, "weir_redis");
        if (atomic_load_acquire(&redis->stopping) != 0) return NULL;
        redis_sleep(redis, WEIR_NEVER);
    }
}

/* Signals are for the threads of the user. */
bool redis_thread_start(struct redis *redis)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&redis->thread, NULL, run, redis);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        errno = error;
        return false;
    }
    (void)pthread_setname_np(redis->thread, "weir-redis");
    redis->has_thread = true;
    return true;
}

void redis_thread_stop(struct redis *redis)
{
    if (!redis->has_thread) return;
    atomic_store_release(&redis->stopping, 1u);
    redis_ring(redis);
    pthread_join(redis->thread, NULL);
    redis->has_thread = false;
}
