/* What is shared, while it has what it was lent: beside the same that is not. The store is the row itself. */
#include "bench.h"

#include <stdlib.h>
#include <weir/clock.h>
#include <weir/rate.h>
#include <weir/transport.h>

struct shared {
    struct weir_link *link;
    struct weir_policy *rate;
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

/* Lends whatever is asked for. */
static void lend(struct shared *shared)
{
    struct weir_ask ask;
    weir_link_step(shared->link, now());
    while (weir_link_pull(shared->link, 0, WEIR_LANE_BULK, now(), &ask)) {
        struct weir_answer answer = {
            .kind = WEIR_ANSWER_DONE, .count = 6, .number = { ask.number[4], 1, 1, 1, 0, 1 }
        };
        weir_link_answer(shared->link, ask.ticket, &answer, now());
        weir_link_step(shared->link, now());
    }
}

static void *create(void)
{
    struct shared *shared = calloc(1, sizeof *shared);
    require(shared != NULL, "no memory");
    const struct weir_carrier *carrier = WEIR_CONFIG(weir_carrier, .nodes = 1, .ring = ring);
    created(weir_link_create(
                WEIR_CONFIG(weir_link_config, .carrier = carrier, .instance = { 1, 1 }), &shared->link),
        "a link");
    const struct weir_share_config *share = WEIR_CONFIG(weir_share_config, .link = shared->link,
        .away = WEIR_AWAY_CLOSED, .lease_ns = 60 * WEIR_S, .lease_max = BURST);
    created(weir_rate_create(limit(share), &shared->rate), "a shared rate limit");
    weir_link_step(shared->link, now());
    weir_link_report(shared->link, 0, WEIR_LANE_BULK, WEIR_LANE_UP, 1, now());
    lend(shared);
    /* What is refused for being too dear is lent next. */
    require(weir_rate_acquire(shared->rate, BURST).status != WEIR_OK, "nothing was refused");
    while (weir_share_stats(shared->rate).held < BURST / 2) lend(shared);
    return shared;
}

static void destroy(void *subject)
{
    struct shared *shared = subject;
    weir_policy_release(shared->rate);
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
    return take(((struct shared *)subject)->rate, n);
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

const struct row shared_rows[] = {
    { .name = "shared/rate/own", .threads = 1, .work = { take_own, create_own, destroy_own } },
    { .name = "shared/rate/credit", .threads = 1, .work = { take_shared, create, destroy } },
    { .name = NULL },
};
