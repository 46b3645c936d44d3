/* Limits that a fleet has in common: one rate, one breaker, one bulkhead. shared ADDRESS, of a Redis. */
#include "expect.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <weir/redis.h>
#include <weir/weir.h>

/* A sink: what changed, as it changes. */
static void tell(void *argument, const struct weir_share_event *event)
{
    (void)argument;
    printf("%s %s %s\n", weir_share_event_text((enum weir_share_event_kind)event->kind), event->name,
        weir_share_state_text((enum weir_share_state)event->state));
}

static struct weir_outcome operation(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return weir_from_int(0);
}

/* SHARED says that the store answers, not that it has lent anything: calls need what is held. 5 s at most. */
static bool is_lent_some(const struct weir_policy *policy)
{
    for (int i = 0; i < 500; i++) {
        if (weir_share_stats(policy).held != 0) return true;
        nanosleep(&(struct timespec) { .tv_nsec = 10000000 }, NULL);
    }
    return false;
}

/* It begins with a token or so, and more is borrowed as it is wanted: who is refused asks again when it is told to. */
static struct weir_outcome run_patiently(struct weir_pipeline *pipeline)
{
    struct weir_outcome outcome = weir_run(pipeline, NULL, operation, NULL);
    for (int i = 0; i < 100 && outcome.status == WEIR_REJECTED; i++) {
        uint64_t wait_ns = outcome.retry_after_ns == 0 ? WEIR_MS : outcome.retry_after_ns;
        nanosleep(&(struct timespec) { (time_t)(wait_ns / WEIR_S), (long)(wait_ns % WEIR_S) }, NULL);
        outcome = weir_run(pipeline, NULL, operation, NULL);
    }
    return outcome;
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    struct weir_link *redis;
    struct weir_policy *rate, *breaker, *bulkhead;
    EXPECT(weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = argv[1], .space = "shop",
                                 .thread = true, .sink = &(struct weir_share_sink) { .event = tell }),
               &redis) == WEIR_E_NONE);

    /* 1000 calls a second of all instances together, not one more than burst + 1000 t in any window */
    enum weir_error error =
        weir_rate_create(WEIR_CONFIG(weir_rate_config, .name = "api", .permits = 1000, .burst = 200,
                             .share = WEIR_CONFIG(weir_share_config, .link = redis, .away = WEIR_AWAY_SHARE,
                                 .instances = 50, .strict = true)),
            &rate);
    EXPECT(error == WEIR_E_NONE);
    /* open for all when a third of the instances see it ill */
    error =
        weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = "bank",
                                .share = WEIR_CONFIG(weir_share_config, .link = redis, .quorum_percent = 33)),
            &breaker);
    EXPECT(error == WEIR_E_NONE);
    /* 100 connections for all of them */
    error = weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .name = "db", .limit = 100,
                                     .share = WEIR_CONFIG(weir_share_config, .link = redis,
                                         .away = WEIR_AWAY_CLOSED, .instances = 50)),
        &bulkhead);
    EXPECT(error == WEIR_E_NONE);

    EXPECT(is_lent_some(rate) && is_lent_some(bulkhead));
    struct weir_pipeline *pipeline;
    struct weir_policy *order[] = { rate, breaker, bulkhead };
    EXPECT(weir_pipeline_create(NULL, order, 3, &pipeline) == WEIR_E_NONE);
    for (int i = 0; i < 100; i++) EXPECT(run_patiently(pipeline).status == WEIR_OK);

    struct weir_share_stats stats = weir_share_stats(rate);
    printf("%s among %u, %llu tokens held, a question takes %llu us\n", weir_share_state_text(stats.state),
        stats.instances, (unsigned long long)stats.held, (unsigned long long)(stats.round_trip_ns / WEIR_US));
    weir_pipeline_destroy(pipeline);
    weir_policy_release(rate);
    weir_policy_release(breaker);
    weir_policy_release(bulkhead);
    weir_redis_close(redis, WEIR_S); /* gives back what is held, for a second at most */
}
