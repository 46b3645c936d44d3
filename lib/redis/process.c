#include "redis/process.h"

#include "base/atomic.h"

#include <pthread.h>

static uint32_t number;

static void forked(void)
{
    atomic_add_relaxed(&number, 1);
}

static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, forked) == 0) forked();
}

uint32_t redis_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return atomic_load_relaxed(&number);
}
