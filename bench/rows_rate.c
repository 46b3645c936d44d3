/* A rate limit alone, far from its limit: a token a nanosecond and room for a second's worth. */
#include "bench.h"

#include <weir/clock.h>
#include <weir/rate.h>

static void *make(enum weir_form form)
{
    struct weir_policy *rate;
    const struct weir_rate_config *config = WEIR_CONFIG(weir_rate_config, .permits = 1000000000,
        .burst = 1000000000, .form = form, .timing = WEIR_TIMING_PRECISE);
    created(weir_rate_create(config, &rate), "a rate limit");
    return rate;
}

static void *single(void)
{
    return make(WEIR_FORM_SINGLE);
}

static void *leased(void)
{
    return make(WEIR_FORM_SHARDED);
}

static void drop(void *rate)
{
    weir_policy_release(rate);
}

static uint64_t take(void *rate, uint64_t n)
{
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        fine += weir_rate_acquire(rate, 1).status == WEIR_OK;
    }
    return fine;
}

/* The clock that is given moves by a nanosecond a call: what is taken grows back. */
static uint64_t take_given(void *rate, uint64_t n)
{
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        fine += weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK;
    }
    return fine;
}

#define ROW(row, count, run, create, ...)                                                 \
    {                                                                                     \
        .name = "rate/" row, .threads = count, .work = { run, create, drop }, __VA_ARGS__ \
    }

const struct row rate_rows[] = {
    ROW("ok/precise", 1, take, single, .reach_unit = 1.15),
    ROW("ok/given", 1, take_given, single, .reach_unit = 0.15),
    ROW("leased", 1, take, leased, .reach_unit = 0.15),
    ROW("leased", 2, take, leased, .reach_control = 1.2),
    { .name = NULL },
};
