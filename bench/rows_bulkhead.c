/* A bulkhead alone: acquire and release, or only a refusal. */
#include "bench.h"

#include <weir/bulkhead.h>

static void *make(uint32_t limit, enum weir_form form)
{
    struct weir_policy *bulkhead;
    const struct weir_bulkhead_config *config =
        WEIR_CONFIG(weir_bulkhead_config, .limit = limit, .form = form);
    created(weir_bulkhead_create(config, &bulkhead), "a bulkhead");
    return bulkhead;
}

static void *single(void)
{
    return make(64, WEIR_FORM_SINGLE);
}

static void *sharded(void)
{
    return make(64, WEIR_FORM_SHARDED);
}

static void drop(void *bulkhead)
{
    weir_policy_release(bulkhead);
}

/* Its only permit is out as long as it lives. */
struct full {
    struct weir_policy *bulkhead;
    struct weir_permit permit;
};

static void *full(void)
{
    static struct full full;
    full.bulkhead = make(1, WEIR_FORM_SINGLE);
    require(weir_bulkhead_acquire(full.bulkhead, 1, &full.permit).status == WEIR_OK, "no permit");
    return &full;
}

static void drop_full(void *subject)
{
    struct full *full = subject;
    weir_bulkhead_release(full->bulkhead, &full->permit);
    weir_policy_release(full->bulkhead);
}

static uint64_t pass(void *bulkhead, uint64_t n)
{
    struct weir_permit permit;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (weir_bulkhead_acquire(bulkhead, 1, &permit).status == WEIR_OK) {
            weir_bulkhead_release(bulkhead, &permit);
            fine++;
        }
    }
    return fine;
}

static uint64_t reject(void *subject, uint64_t n)
{
    struct full *full = subject;
    struct weir_permit permit;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        fine += weir_bulkhead_acquire(full->bulkhead, 1, &permit).status == WEIR_REJECTED;
    }
    return fine;
}

const struct row bulkhead_rows[] = {
    { "bulkhead/pass", 1, { pass, single, drop }, .reach_unit = 0.22 },
    { "bulkhead/reject", 1, { reject, full, drop_full }, .reach_unit = 0.15 },
    { "bulkhead/sharded", 1, { pass, sharded, drop } },
    { "bulkhead/sharded", 2, { pass, sharded, drop }, .reach_control = 1.2 },
    { .name = NULL },
};
