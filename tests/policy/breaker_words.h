/* Words for the breaker's tests: calls through a breaker alone, at instants that the test chooses. */
#ifndef WEIR_TEST_BREAKER_WORDS_H
#define WEIR_TEST_BREAKER_WORDS_H

#include "support/test.h"

#include <weir/breaker.h>

#define START (1000 * WEIR_S)
#define LOOSE (20 * WEIR_US) /* instants are kept in steps of 2^14 ns, rounded up */

static inline struct weir_policy *breaker_of(const struct weir_breaker_config *config)
{
    struct weir_policy *breaker = NULL;
    CHECK_EQ(weir_breaker_create(config, &breaker), WEIR_E_NONE);
    return breaker;
}

/* No jitter, so that instants can be told exactly; and no ramp unless it is the subject. */
#define RAMPED(...) breaker_of(WEIR_CONFIG(weir_breaker_config, .jitter_percent = WEIR_OFF32, __VA_ARGS__))
#define BREAKER(...) RAMPED(.ramp_ns = WEIR_OFF, __VA_ARGS__)

static inline struct weir_outcome outcome_of(enum weir_status status)
{
    return (struct weir_outcome) { .status = (uint8_t)status };
}

static inline bool enter(struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns)
{
    return weir_breaker_acquire_at(breaker, permit, now_ns).status == WEIR_OK;
}

static inline enum weir_reason refusal(struct weir_policy *breaker, uint64_t now_ns)
{
    struct weir_permit permit;
    struct weir_outcome outcome = weir_breaker_acquire_at(breaker, &permit, now_ns);
    CHECK_EQ(outcome.status, WEIR_REJECTED);
    CHECK_EQ(outcome.by, 1);
    return (enum weir_reason)outcome.reason;
}

static inline void leave(
    struct weir_policy *breaker, struct weir_permit *permit, enum weir_status status, uint64_t now_ns)
{
    weir_breaker_release_at(breaker, permit, outcome_of(status), now_ns);
}

/* A call that begins and ends at now_ns; it must be let in. */
static inline void call(struct weir_policy *breaker, enum weir_status status, uint64_t now_ns)
{
    struct weir_permit permit;
    CHECK(enter(breaker, &permit, now_ns));
    leave(breaker, &permit, status, now_ns);
}

static inline void calls(struct weir_policy *breaker, int count, enum weir_status status, uint64_t now_ns)
{
    for (int i = 0; i < count; i++) call(breaker, status, now_ns);
}

static inline struct weir_breaker_stats stats_at(const struct weir_policy *breaker, uint64_t now_ns)
{
    return weir_breaker_stats(breaker, now_ns);
}

static inline enum weir_breaker_state state_at(const struct weir_policy *breaker, uint64_t now_ns)
{
    return weir_breaker_stats(breaker, now_ns).state;
}

/* By its default of five failures in a row. */
static inline void trip(struct weir_policy *breaker, uint64_t now_ns)
{
    calls(breaker, 5, WEIR_FAILED, now_ns);
    CHECK_EQ(state_at(breaker, now_ns), WEIR_BREAKER_OPEN);
}

#endif
