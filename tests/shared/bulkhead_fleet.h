/* Several instances that share one bulkhead through a model of the store, on a virtual clock. */
#ifndef WEIR_TEST_BULKHEAD_FLEET_H
#define WEIR_TEST_BULKHEAD_FLEET_H

#include "policy/bulkhead_words.h"
#include "shared/store_bulkhead.h"

#include <weir/share.h>

#define FLEET_MAX 12
#define GUESTS_MAX 160

struct visit {
    struct guest guest;
    uint64_t until_ns; /* how long its work runs */
    bool there, runs;
};

struct instance {
    struct weir_link *link;
    struct weir_pipeline *pipeline;
    struct weir_policy *bulkhead; /* the pipeline's */
    uint64_t next_ns;             /* step() wants to be called */
    bool rung, flies, ran, dead;
    struct weir_ask ask;
    struct weir_answer answer;
    uint64_t runs_ns, answered_ns; /* when the question under way is executed, and answered */
    struct visit visit[GUESTS_MAX];
    uint32_t refused, entered;
    struct weir_share_event last; /* told */
    uint32_t told;
};

struct fleet {
    uint64_t now_ns, random;
    int64_t skew_us; /* of the store's wall clock */
    struct store_bulkhead store;
    struct instance instance[FLEET_MAX];
    uint32_t count, limit;
    uint64_t lag_ns; /* one way, at most */
    bool lossy;      /* now and then a question or its answer is lost */
    bool down;       /* the store answers nothing */
};

/* share: its link is put in. */
void fleet_create(struct fleet *fleet, uint32_t count, const struct weir_bulkhead_config *bulkhead,
    const struct weir_share_config *share, uint64_t seed);
void fleet_destroy(struct fleet *fleet);
void fleet_up(struct fleet *fleet, bool up); /* all lanes */
/* One ms: steps, questions, answers, and calls whose work is over. */
void fleet_tick(struct fleet *fleet);
void fleet_run(struct fleet *fleet, uint64_t ms);
void fleet_kill(struct fleet *fleet, uint32_t which); /* it asks nothing any more; its calls are gone */
/* A call that works for so long; false: it was refused. It may wait. */
bool fleet_call(struct fleet *fleet, uint32_t which, uint32_t weight, uint64_t work_ms);

uint32_t fleet_limit(const struct fleet *fleet, uint32_t which);
uint32_t fleet_in_use(const struct fleet *fleet, uint32_t which);
uint64_t fleet_random(struct fleet *fleet, uint64_t below);

#endif
