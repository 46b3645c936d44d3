/* What is shared, while it has what it was lent: beside the same that is not. The store is the row itself. */
#include "bench.h"

#include <stdlib.h>
#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/clock.h>
#include <weir/rate.h>
#include <weir/transport.h>

struct shared {
    struct weir_link *link;
    struct weir_policy *policy;
};

#define BURST 1000000000u

static const struct weir_rate_config *limit(const struct weir_share_config *share)
{
    static struct weir_rate_config config;
    config = *WEIR_CONFIG(weir_rate_config, .permits = 1000000000, .burst = BURST, .form = WEIR_FORM_SHARDED,
        .lease = 4096, .share = share);
    return &config;
}

static struct weir_instants now(void)
{
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    return (struct weir_instants) { now_ns, now_ns };
}

static void ring(void *argument)
{
    (void)argument;
}

/* Lends whatever is asked for; a fleet of one, and its breaker is closed. */
static struct weir_answer answer_to(const struct weir_ask *ask)
{
    struct weir_answer answer = { .kind = WEIR_ANSWER_DONE };
    switch (ask->kind) {
    case WEIR_ASK_RATE:
        return (struct weir_answer) { .count = 6, .number = { ask->number[4], 1, 1, 1, 0, 1 } };
    case WEIR_ASK_BREAKER: return (struct weir_answer) { .count = 9, .number = { 1, 0, 0, 0, 1 } };
    case WEIR_ASK_BULKHEAD:
        return (struct weir_answer) { .count = 5,
            .number = { ask->number[3], ask->number[1], 0, 1, ask->number[3] } };
    default: return answer;
    }
}

static void lend(struct shared *shared)
{
    struct weir_ask ask;
    weir_link_step(shared->link, now());
    while (weir_link_pull(shared->link, 0, WEIR_LANE_BULK, now(), &ask)) {
        struct weir_answer answer = answer_to(&ask);
        weir_link_answer(shared->link, ask.ticket, &answer, now());
        weir_link_step(shared->link, now());
    }
}

static struct shared *create_link(void)
{
    struct shared *shared = calloc(1, sizeof *shared);
    require(shared != NULL, "no memory");
    const struct weir_carrier *carrier = WEIR_CONFIG(weir_carrier, .nodes = 1, .ring = ring);
    created(weir_link_create(
                WEIR_CONFIG(weir_link_config, .carrier = carrier, .instance = { 1, 1 }), &shared->link),
        "a link");
    return shared;
}

/* The lane comes up, and what is asked then is lent, until it is shared. */
static void share(struct shared *shared)
{
    weir_link_step(shared->link, now());
    weir_link_report(shared->link, 0, WEIR_LANE_BULK, WEIR_LANE_UP, 1, now());
    for (int i = 0; i < 1000000 && weir_share_state(shared->policy) != WEIR_SHARE_SHARED; i++) lend(shared);
    require(weir_share_state(shared->policy) == WEIR_SHARE_SHARED, "it is not shared");
}

static void *create(void)
{
    struct shared *shared = create_link();
    created(weir_rate_create(limit(WEIR_CONFIG(weir_share_config, .link = shared->link,
                                 .away = WEIR_AWAY_CLOSED, .lease_ns = 60 * WEIR_S, .lease_max = BURST)),
                &shared->policy),
        "a shared rate limit");
    share(shared);
    /* What is refused for being too dear is lent next. */
    require(weir_rate_acquire(shared->policy, BURST).status != WEIR_OK, "nothing was refused");
    while (weir_share_stats(shared->policy).held < BURST / 2) lend(shared);
    return shared;
}

static void *create_breaker(void)
{
    struct shared *shared = create_link();
    created(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .seed = 1,
                                    .share = WEIR_CONFIG(weir_share_config, .link = shared->link)),
                &shared->policy),
        "a shared breaker");
    share(shared);
    return shared;
}

static void *create_bulkhead(void)
{
    struct shared *shared = create_link();
    created(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .form = WEIR_FORM_SINGLE,
                                     .share = WEIR_CONFIG(weir_share_config, .link = shared->link,
                                         .away = WEIR_AWAY_CLOSED, .lease_ns = 60 * WEIR_S)),
                &shared->policy),
        "a shared bulkhead");
    share(shared);
    return shared;
}

static void destroy(void *subject)
{
    struct shared *shared = subject;
    weir_policy_release(shared->policy);
    weir_link_close(shared->link, now());
    weir_link_release(shared->link);
    free(shared);
}

static uint64_t take(struct weir_policy *rate, uint64_t n)
{
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        fine += weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK;
    }
    return fine;
}

static uint64_t take_shared(void *subject, uint64_t n)
{
    return take(((struct shared *)subject)->policy, n);
}

static void *create_own(void)
{
    struct weir_policy *rate;
    created(weir_rate_create(limit(NULL), &rate), "a rate limit");
    return rate;
}

static void destroy_own(void *rate)
{
    weir_policy_release(rate);
}

static uint64_t take_own(void *rate, uint64_t n)
{
    return take(rate, n);
}

static uint64_t call(struct weir_policy *breaker, uint64_t n)
{
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_permit permit;
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        if (weir_breaker_acquire_at(breaker, &permit, now_ns).status != WEIR_OK) continue;
        weir_breaker_release_at(breaker, &permit, (struct weir_outcome) { .status = WEIR_OK }, now_ns);
        fine++;
    }
    return fine;
}

static uint64_t call_shared(void *subject, uint64_t n)
{
    return call(((struct shared *)subject)->policy, n);
}

static void *create_own_breaker(void)
{
    struct weir_policy *breaker;
    created(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .seed = 1), &breaker), "a breaker");
    return breaker;
}

static uint64_t call_own(void *breaker, uint64_t n)
{
    return call(breaker, n);
}

static uint64_t enter(struct weir_policy *bulkhead, uint64_t n)
{
    uint64_t fine = 0;
    struct weir_permit permit;
    for (uint64_t i = 0; i < n; i++) {
        if (weir_bulkhead_acquire(bulkhead, 1, &permit).status != WEIR_OK) continue;
        weir_bulkhead_release(bulkhead, &permit);
        fine++;
    }
    return fine;
}

static uint64_t enter_shared(void *subject, uint64_t n)
{
    return enter(((struct shared *)subject)->policy, n);
}

static void *create_own_bulkhead(void)
{
    struct weir_policy *bulkhead;
    created(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .form = WEIR_FORM_SINGLE), &bulkhead),
        "a bulkhead");
    return bulkhead;
}

static uint64_t enter_own(void *bulkhead, uint64_t n)
{
    return enter(bulkhead, n);
}

const struct row shared_rows[] = {
    { .name = "shared/rate/own", .threads = 1, .work = { take_own, create_own, destroy_own } },
    { .name = "shared/rate/credit", .threads = 1, .work = { take_shared, create, destroy } },
    { .name = "shared/breaker/own", .threads = 1, .work = { call_own, create_own_breaker, destroy_own } },
    { .name = "shared/breaker/closed", .threads = 1, .work = { call_shared, create_breaker, destroy } },
    { .name = "shared/bulkhead/own", .threads = 1, .work = { enter_own, create_own_bulkhead, destroy_own } },
    { .name = "shared/bulkhead/pass", .threads = 1, .work = { enter_shared, create_bulkhead, destroy } },
    { .name = NULL },
};
