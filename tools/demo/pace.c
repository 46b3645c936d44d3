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
