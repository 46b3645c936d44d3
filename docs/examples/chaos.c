/* A service's own fallback, tried in a test under 20 % errors: before an outage does it. */
#include "expect.h"

#include <weir/weir.h>

#include <string.h>

struct price {
    long cents;
    bool old;
};

static struct weir_outcome ask_shop(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    ((struct price *)argument)->cents = 500; /* the shop itself is well */
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome look_up_yesterdays(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    *(struct price *)argument = (struct price) { .cents = 480, .old = true };
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* What the service is built with; in production its chaos is off, and calls go by without a look at it. */
static struct weir_pipeline *make_pipeline(struct weir_policy **chaos)
{
    struct weir_policy *order[3];
    struct weir_pipeline *pipeline;
    EXPECT(weir_fallback_create(
               WEIR_CONFIG(weir_fallback_config, .function = look_up_yesterdays), &order[0]) == WEIR_E_NONE);
    EXPECT(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = 50 * WEIR_MS), &order[1]) ==
        WEIR_E_NONE);
    EXPECT(weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .seed = 42, .off = true, .error_ppm = 200000,
                                 .lost_ppm = 10000, .duration_ns = 60 * WEIR_S),
               &order[2]) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, order, 3, &pipeline) == WEIR_E_NONE);
    *chaos = order[2];
    weir_policy_release(order[0]);
    weir_policy_release(order[1]);
    return pipeline;
}

/* A letter for each call: its own answer, yesterday's after an error, yesterday's after a timeout. */
static void ask_often(struct weir_pipeline *pipeline, char *letters, int calls)
{
    for (int i = 0; i < calls; i++) {
        struct price price = { 0 };
        struct weir_outcome outcome = weir_run(pipeline, NULL, ask_shop, &price);
        EXPECT(outcome.status == WEIR_OK && price.cents >= 480); /* whatever happens, there is a price */
        EXPECT(price.old == ((outcome.flags & WEIR_DEGRADED) != 0));
        letters[i] = !price.old ? '.' : outcome.reason == WEIR_REASON_CHAOS ? 'e' : 't';
    }
    letters[calls] = '\0';
}

static void try_the_fallback(struct weir_pipeline *pipeline, struct weir_policy *chaos)
{
    char first[201], second[201];
    weir_chaos_set_enabled(chaos, true);
    ask_often(pipeline, first, 200);
    struct weir_chaos_stats stats = weir_chaos_stats(chaos);
    EXPECT(stats.injected[WEIR_CHAOS_ERROR] > 20 && stats.injected[WEIR_CHAOS_LOST] > 0);
    EXPECT(strchr(first, 'e') != NULL && strchr(first, 't') != NULL);

    weir_chaos_set_enabled(chaos, true); /* anew: the same calls are hit */
    ask_often(pipeline, second, 200);
    EXPECT(strcmp(first, second) == 0);
    printf("%s\n", first);
}

int main(void)
{
    struct weir_policy *chaos;
    struct weir_pipeline *pipeline = make_pipeline(&chaos);
    char letters[101];
    ask_often(pipeline, letters, 100);
    EXPECT(strspn(letters, ".") == 100); /* off */
    try_the_fallback(pipeline, chaos);

    weir_chaos_set_enabled(chaos, false);
    ask_often(pipeline, letters, 100);
    EXPECT(strspn(letters, ".") == 100);
    weir_policy_release(chaos);
    weir_pipeline_destroy(pipeline);
    return 0;
}
