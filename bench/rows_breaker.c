/* A breaker alone: acquire, the operation, release. */
#include "bench.h"
#include "operation.h"

#include <weir/breaker.h>
#include <weir/clock.h>

static void *make(struct weir_breaker_config config)
{
    struct weir_policy *breaker;
    config.size = sizeof config;
    created(weir_breaker_create(&config, &breaker), "a breaker");
    return breaker;
}

static void *coarse(void)
{
    return make((struct weir_breaker_config) { .timing = WEIR_TIMING_COARSE });
}

static void *precise(void)
{
    return make((struct weir_breaker_config) { .timing = WEIR_TIMING_PRECISE });
}

/* Times its calls, none of which is slow. */
static void *slow_timing(void)
{
    return make((struct weir_breaker_config) { .timing = WEIR_TIMING_COARSE, .slow_ns = WEIR_S });
}

/* Tripped by failures, as it would be in real life, for longer than the bench takes. */
static void *open(void)
{
    struct weir_policy *breaker = make((struct weir_breaker_config) {
        .timing = WEIR_TIMING_COARSE,
        .open_ns = 3600 * WEIR_S,
        .open_max_ns = 3600 * WEIR_S,
        .jitter_percent = WEIR_OFF32,
    });
    struct weir_outcome failed = { .status = WEIR_FAILED };
    struct weir_permit permit;
    while (weir_breaker_acquire(breaker, &permit).status == WEIR_OK) {
        weir_breaker_release(breaker, &permit, failed);
    }
    return breaker;
}

static void drop(void *breaker)
{
    weir_policy_release(breaker);
}

static uint64_t pass(void *breaker, uint64_t n)
{
    weir_operation *operation = operation_ok;
    struct weir_permit permit;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (weir_breaker_acquire(breaker, &permit).status == WEIR_OK) {
            weir_breaker_release(breaker, &permit, operation(breaker, NULL));
            fine++;
        }
    }
    return fine;
}

/* The clock that is given moves by a nanosecond a call. */
static uint64_t pass_given(void *breaker, uint64_t n)
{
    weir_operation *operation = operation_ok;
    struct weir_permit permit;
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        if (weir_breaker_acquire_at(breaker, &permit, now_ns).status == WEIR_OK) {
            weir_breaker_release_at(breaker, &permit, operation(breaker, NULL), now_ns);
            fine++;
        }
    }
    return fine;
}

static uint64_t failing(void *breaker, uint64_t n)
{
    weir_operation *operation = operation_third;
    struct weir_permit permit;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (weir_breaker_acquire(breaker, &permit).status == WEIR_OK) {
            weir_breaker_release(breaker, &permit, operation(breaker, NULL));
            fine++;
        }
    }
    return fine;
}

static uint64_t refuse(void *breaker, uint64_t n)
{
    struct weir_permit permit;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        fine += weir_breaker_acquire(breaker, &permit).status == WEIR_REJECTED;
    }
    return fine;
}

#define ROW(row, run, create, reach)                                                             \
    {                                                                                            \
        .name = "breaker/" row, .threads = 1, .work = { run, create, drop }, .reach_unit = reach \
    }

const struct row breaker_rows[] = {
    ROW("closed/coarse", pass, coarse, 0.48),
    ROW("closed/precise", pass, precise, 1.2),
    ROW("closed/given", pass_given, coarse, 0.30),
    ROW("open/coarse", refuse, open, 0.32),
    ROW("failing/coarse", failing, coarse, 0.80),
    ROW("slow-timing/coarse", pass, slow_timing, 0.70),
    { .name = NULL },
};
