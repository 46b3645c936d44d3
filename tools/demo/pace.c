#include "pace.h"

#include <signal.h>
#include <time.h>

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static sigset_t interrupts(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

void pace_block_interrupts(void)
{
    sigset_t set = interrupts();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

bool pace_until(uint64_t at_ns)
{
    sigset_t set = interrupts();
    for (uint64_t now_ns; (now_ns = monotonic_ns()) < at_ns;) {
        struct timespec left = { .tv_sec = (time_t)((at_ns - now_ns) / 1000000000U),
            .tv_nsec = (long)((at_ns - now_ns) % 1000000000U) };
        if (sigtimedwait(&set, NULL, &left) > 0) return false;
    }
    return true;
}

#define WATCH_NS 5000000
#define LATE_MS 100

static void *oversleep(void *argument)
{
    struct pace_watch *watch = argument;
    while (!atomic_load(&watch->over)) {
        uint64_t before_ns = monotonic_ns();
        nanosleep(&(struct timespec) { .tv_nsec = WATCH_NS }, NULL);
        uint64_t late_ns = monotonic_ns() - before_ns - WATCH_NS;
        if (late_ns > atomic_load(&watch->worst_ns)) atomic_store(&watch->worst_ns, late_ns);
    }
    return NULL;
}

bool pace_watch_begin(struct pace_watch *watch)
{
    atomic_store(&watch->over, false);
    atomic_store(&watch->worst_ns, 0);
    return pthread_create(&watch->thread, NULL, oversleep, watch) == 0;
}

double pace_watch_end(struct pace_watch *watch)
{
    atomic_store(&watch->over, true);
    pthread_join(watch->thread, NULL);
    return (double)atomic_load(&watch->worst_ns) / 1e6;
}

bool pace_was_late(FILE *file, double late_ms)
{
    if (late_ms <= LATE_MS) return false;
    fprintf(file, "This machine woke a thread that only slept %.0f ms too late: others were at work on it.\n",
        late_ms);
    return true;
}
