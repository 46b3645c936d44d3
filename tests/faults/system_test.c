/* System calls that fail: what is built on them degrades as its comment says. Those of the library come here. */
#include "support/test.h"

#include <weir/weir.h>

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/syscall.h>

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static bool no_membarrier, interrupted;
static int membarriers, waits;

long __wrap_syscall(long number, ...)
{
    long word[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) word[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_membarrier && no_membarrier) {
        membarriers++;
        errno = ENOSYS;
        return -1;
    }
    if (number == SYS_futex && interrupted && (word[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        waits++;
        errno = EINTR;
        return -1;
    }
    return __real_syscall(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}

static struct weir_outcome note_instant(void *argument, const struct weir_attempt *attempt)
{
    uint64_t *instant = argument;
    instant[attempt->number - 1] = weir_now(WEIR_TIMING_PRECISE);
    return (struct weir_outcome) { .status = attempt->number == 1 ? WEIR_FAILED : WEIR_OK };
}

TEST(faults, a_drain_without_membarrier_still_ends)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, NULL, 0, &pipeline), WEIR_E_NONE);
    no_membarrier = true;
    errno = 4711;
    CHECK_EQ(weir_pipeline_drain(pipeline, weir_now(WEIR_TIMING_PRECISE) + 10 * WEIR_S), WEIR_E_NONE);
    CHECK_EQ(errno, 4711);
    CHECK(membarriers > 0);
    weir_pipeline_destroy(pipeline);
}

TEST(faults, a_back_off_that_signals_interrupt_lasts_as_long)
{
    struct weir_policy *retry = NULL;
    struct weir_pipeline *pipeline = NULL;
    uint64_t instant[3] = { 0 };
    CHECK_EQ(
        weir_retry_create(
            WEIR_CONFIG(weir_retry_config, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 3 * WEIR_MS), &retry),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &retry, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(retry);
    interrupted = true;
    errno = 4711;
    CHECK_EQ(
        weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), note_instant, instant).status,
        WEIR_OK);
    CHECK_EQ(errno, 4711);
    CHECK(waits > 0);
    CHECK(instant[1] >= instant[0] + 3 * WEIR_MS);
    weir_pipeline_destroy(pipeline);
}
