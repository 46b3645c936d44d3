/* A gate: a new path that is walked by few at first, by call and by key; the others take the old one. */
#include "expect.h"

#include <string.h>
#include <weir/weir.h>

static struct weir_outcome new_path(void *walked, const struct weir_attempt *attempt)
{
    (void)attempt;
    strcpy(walked, "new");
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome old_path(void *walked, const struct weir_attempt *attempt)
{
    (void)attempt;
    strcpy(walked, "old");
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_pipeline *pipeline_of(struct weir_policy *gate)
{
    struct weir_policy *order[2];
    struct weir_pipeline *pipeline;
    EXPECT(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .name = "old", .function = old_path),
               &order[0]) == WEIR_E_NONE);
    order[1] = gate;
    EXPECT(weir_pipeline_create(NULL, order, 2, &pipeline) == WEIR_E_NONE);
    weir_policy_release(order[0]);
    weir_policy_release(order[1]);
    return pipeline;
}

static int count_new(const struct weir_pipeline *pipeline, uint64_t keys)
{
    int count = 0;
    char walked[4];
    for (uint64_t key = 1; key <= keys; key++) {
        struct weir_outcome outcome =
            weir_run(pipeline, WEIR_CONFIG(weir_call_options, .key = key), new_path, walked);
        EXPECT(outcome.status == WEIR_OK);
        EXPECT((strcmp(walked, "old") == 0) == (outcome.reason == WEIR_REASON_GATE));
        count += strcmp(walked, "new") == 0;
    }
    return count;
}

static void show_keys(void)
{
    struct weir_policy *gate;
    EXPECT(weir_gate_create(WEIR_CONFIG(weir_gate_config, .name = "new path", .by = WEIR_GATE_BY_KEY,
                                .share = 5 * WEIR_PERCENT),
               &gate) == WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(gate);

    const char *user = "ann@example.org";
    char walked[4], again[4];
    const struct weir_call_options *options =
        WEIR_CONFIG(weir_call_options, .key = weir_key(user, strlen(user)));
    EXPECT(weir_run(pipeline, options, new_path, walked).status == WEIR_OK);
    EXPECT(weir_run(pipeline, options, new_path, again).status == WEIR_OK);
    EXPECT(strcmp(walked, again) == 0); /* today, tomorrow, and on every machine */

    int few = count_new(pipeline, 2000);
    EXPECT(few > 50 && few < 150); /* 5 % are 100 */
    EXPECT(weir_gate_set_share(gate, 50 * WEIR_PERCENT) == WEIR_E_NONE);
    EXPECT(count_new(pipeline, 2000) > 5 * few); /* those few are still among them */

    /* A call without a key comes in last of all. */
    struct weir_outcome outcome = weir_run(pipeline, NULL, new_path, walked);
    EXPECT(outcome.reason == WEIR_REASON_GATE && weir_gate_stats(gate).refused_keyless == 1);
    EXPECT(weir_gate_set_share(gate, 100 * WEIR_PERCENT) == WEIR_E_NONE);
    outcome = weir_run(pipeline, NULL, new_path, walked);
    EXPECT(outcome.reason == WEIR_REASON_NONE && strcmp(walked, "new") == 0);

    /* Off at once, whatever the share is. */
    weir_policy_set_mode(gate, WEIR_MODE_FORCED_OPEN);
    outcome = weir_run(pipeline, options, new_path, walked);
    EXPECT(outcome.reason == WEIR_REASON_FORCED && strcmp(walked, "old") == 0);
    weir_pipeline_destroy(pipeline);
}

static void show_calls(void)
{
    struct weir_policy *gate;
    EXPECT(weir_gate_create(WEIR_CONFIG(weir_gate_config, .name = "sample", .share = 10 * WEIR_PERCENT),
               &gate) == WEIR_E_NONE);
    struct weir_pipeline *pipeline = pipeline_of(gate);
    int some = count_new(pipeline, 2000);
    EXPECT(some > 120 && some < 280); /* drawn anew for each call */
    weir_pipeline_destroy(pipeline);
}

int main(void)
{
    show_keys();
    show_calls();
    return 0;
}
