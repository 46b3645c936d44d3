/* One link whose carrier is the test, and one rate limit that is shared through it. */
#ifndef WEIR_TESTS_RATE_ONE_H
#define WEIR_TESTS_RATE_ONE_H

#include "shared/rate_words.h"

static struct carried c;

static inline struct weir_policy *create(
    const struct weir_rate_config *config, struct weir_share_config share, uint64_t instance)
{
    struct weir_policy *rate = NULL;
    struct weir_rate_config shared = *config;
    if (c.link == NULL) carried_create(&c, instance);
    share.size = sizeof share;
    share.link = c.link;
    shared.share = &share;
    CHECK_EQ(weir_rate_create(&shared, &rate), WEIR_E_NONE);
    return rate;
}

#define RATE(away_, ...) \
    create(WEIR_CONFIG(weir_rate_config, __VA_ARGS__), (struct weir_share_config) { .away = (away_) }, 7)

/* Up, asked for the first time, and lent that much. */
static inline void begin(int64_t granted)
{
    carried_step(&c);
    carried_report(&c, WEIR_LANE_UP, 11);
    carried_pull(&c);
    c.now_ns += WEIR_MS;
    carried_grant(&c, granted, 2, 0);
}

static inline uint64_t take_all(struct weir_policy *rate)
{
    uint64_t taken = 0;
    while (weir_rate_acquire_at(rate, 1, c.now_ns).status == WEIR_OK) taken++;
    return taken;
}

static inline void drop(struct weir_policy *rate)
{
    weir_policy_release(rate);
    carried_close(&c);
    c.link = NULL;
}

/* Wants ever more until it has so many in hand. */
static inline void lend(struct weir_policy *rate, uint64_t tokens)
{
    for (int i = 0; i < 100 && weir_share_stats(rate).held < tokens; i++) {
        if (weir_rate_acquire_at(rate, (uint32_t)tokens, c.now_ns).status == WEIR_OK) CHECK(false);
        carried_pull(&c);
        int64_t want = c.ask.number[ASK_WANT], missing = (int64_t)(tokens - weir_share_stats(rate).held);
        carried_grant(&c, want < missing ? want : missing, 2, 0);
    }
    CHECK_EQ(weir_share_stats(rate).held, tokens);
}

#endif
