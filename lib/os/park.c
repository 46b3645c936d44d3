#include "os/os.h"

#include "base/atomic.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct timespec timespec_of(uint64_t instant_ns)
{
    return (struct timespec) { (time_t)(instant_ns / WEIR_S), (long)(instant_ns % WEIR_S) };
}

/* FUTEX_WAIT_BITSET takes an absolute instant of CLOCK_MONOTONIC: nothing to recompute after a signal. */
void os_park(uint32_t *word, uint32_t value, uint64_t until_ns)
{
    int error = errno;
    struct timespec until = timespec_of(until_ns);
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
        until_ns == WEIR_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = error;
}

void os_wake(uint32_t *word)
{
    int error = errno;
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    errno = error;
}

void os_sleep_until(uint64_t until_ns)
{
    struct timespec until = timespec_of(until_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

bool os_barrier_everywhere(void)
{
    int error = errno;
    bool done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (!done) {
        done = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
            syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    }
    errno = error;
    return done;
}
