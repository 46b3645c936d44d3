/* To be preloaded: the wall clock of a process, shifted or stopped from outside. No other clock is touched, as a
 * step of the system's time touches none. (libfaketime cannot start redis-server: it calls malloc too early.) */
#include "clockshim.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const struct clockshim *shim;

__attribute__((constructor)) static void join(void)
{
    const char *path = getenv("WEIR_CLOCKSHIM");
    int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *words = mmap(NULL, sizeof *shim, PROT_READ, MAP_SHARED, descriptor, 0);
    if (words != MAP_FAILED) shim = words;
    close(descriptor);
}

/* Microseconds are enough: Redis has no finer clock. */
static void change(struct timespec *time)
{
    int64_t us = __atomic_load_n(&shim->frozen_us, __ATOMIC_ACQUIRE);
    int64_t rest_ns = 0;
    if (us == 0) {
        us = time->tv_sec * INT64_C(1000000) + time->tv_nsec / 1000;
        us += __atomic_load_n(&shim->offset_us, __ATOMIC_ACQUIRE);
        rest_ns = time->tv_nsec % 1000;
    }
    time->tv_sec = us / 1000000;
    time->tv_nsec = us % 1000000 * 1000 + rest_ns;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && shim && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) change(time);
    return result;
}

int gettimeofday(struct timeval *restrict value, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *value = (struct timeval) { now.tv_sec, now.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}
