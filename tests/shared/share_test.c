/* What can be shared, and what sharing refuses, whatever the kind. */
#include "policy/hooks.h"
#include "shared/rate_words.h"

#include <weir/retry.h>

static struct carried c;

static void ring_nobody(void *argument)
{
    (void)argument;
}

static struct weir_policy *rate_of_ten(void)
{
    struct weir_policy *rate = NULL;
    CHECK_EQ(weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = 10), &rate), WEIR_E_NONE);
    return rate;
}

#define SHARE(...) WEIR_CONFIG(weir_share_config, __VA_ARGS__)

TEST(share, needs_a_link)
{
    struct weir_policy *rate = rate_of_ten();
    CHECK_REFUSED(weir_policy_share(rate, SHARE(.away = WEIR_AWAY_OPEN)), "weir_share_config.link is NULL",
        "weir_redis_create()");
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DETACHED);
    weir_policy_release(rate);
}

/* The first error is the one that is told, though everything after it is wrong, too. */
TEST(share, a_config_of_no_size_is_refused_before_all_else)
{
    const struct weir_share_config none = { 0 };
    struct weir_policy *retry = NULL;
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = 2), &retry), WEIR_E_NONE);
    CHECK_EQ(weir_policy_share(retry, &none), WEIR_E_SIZE);
    CHECK(strstr(weir_error_text(), "weir_share_config") != NULL);
    weir_policy_release(retry);
}

TEST(share, a_retry_cannot_be_shared)
{
    struct weir_policy *retry = NULL;
    carried_create(&c, 7);
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = 2), &retry), WEIR_E_NONE);
    CHECK_REFUSED(weir_policy_share(retry, SHARE(.link = c.link, .away = WEIR_AWAY_OPEN)),
        "a policy of the kind retry cannot be shared", "a rate, a breaker or a bulkhead can");
    CHECK_EQ(weir_share_state(retry), WEIR_SHARE_DETACHED);
    weir_policy_release(retry);
    carried_close(&c);
}

TEST(share, what_is_to_hold_away_is_said)
{
    struct weir_policy *rate = rate_of_ten();
    carried_create(&c, 7);
    for (unsigned away = 0; away <= WEIR_AWAY_CLOSED + 1u; away++) {
        const struct weir_share_config *share = SHARE(.link = c.link, .away = (enum weir_away)away);
        if (away >= WEIR_AWAY_SHARE && away <= WEIR_AWAY_CLOSED) {
            CHECK_EQ(weir_policy_share(rate, share), WEIR_E_NONE);
            weir_policy_unshare(rate);
        } else {
            CHECK_REFUSED(weir_policy_share(rate, share), "weir_share_config.away is", "WEIR_AWAY_CLOSED");
        }
    }
    weir_policy_release(rate);
    carried_close(&c);
}

TEST(share, several_masters_are_for_locks)
{
    struct weir_link *link = NULL;
    struct weir_policy *rate = rate_of_ten();
    CHECK_EQ(weir_link_create(WEIR_CONFIG(weir_link_config, .instance = { 1, 2 },
                                  .carrier = WEIR_CONFIG(weir_carrier, .nodes = 3, .ring = ring_nobody)),
                 &link),
        WEIR_E_NONE);
    CHECK_REFUSED(
        weir_policy_share(rate, SHARE(.link = link, .away = WEIR_AWAY_OPEN)), "has 3 servers", "locks only");
    weir_policy_release(rate);
    weir_link_close(link, (struct weir_instants) { START, START });
    weir_link_release(link);
}

/* It is shared once, and stays as it was. */
TEST(share, twice_is_refused)
{
    struct weir_policy *rate = rate_of_ten();
    carried_create(&c, 7);
    const struct weir_share_config *share = SHARE(.link = c.link, .away = WEIR_AWAY_OPEN);
    CHECK_EQ(weir_policy_share(rate, share), WEIR_E_NONE);
    CHECK_REFUSED(weir_policy_share(rate, share), "shared already", "weir_policy_unshare()");
    carried_step(&c);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DEGRADED);
    weir_policy_unshare(rate);
    CHECK_EQ(weir_share_state(rate), WEIR_SHARE_DETACHED);
    CHECK_EQ(weir_policy_share(rate, share), WEIR_E_NONE);
    weir_policy_release(rate);
    carried_close(&c);
}
