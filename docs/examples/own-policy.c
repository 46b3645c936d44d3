/* A policy of one's own. After an answer 401 a server may lock our account if we go on asking: this policy
 * keeps every call back for a while. */
#include "expect.h"

#include <string.h>
#include <weir/weir.h>

struct lockout_config {
    uint64_t rest_ns;
};

/* State is a flat block of words without a pointer, zeroed at first, changed by any thread. */
struct lockout_state {
    uint64_t until_ns;
    uint64_t refused;
};

/* May this call go in? PASS and HOLD are owed a settle, REFUSE is not. */
static struct weir_verdict admit(
    const void *config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    struct lockout_state *state = opaque;
    (void)config;
    (void)slot; /* two words of our own for each call */
    (void)call;
    uint64_t until_ns = __atomic_load_n(&state->until_ns, __ATOMIC_RELAXED);
    if (now_ns >= until_ns) return (struct weir_verdict) { .kind = WEIR_PASS };
    __atomic_fetch_add(&state->refused, 1, __ATOMIC_RELAXED);
    return (struct weir_verdict) { .kind = WEIR_REFUSE, .reason = WEIR_REASON_CUSTOM, .at_ns = until_ns };
}

/* It came out so; what now? */
static struct weir_verdict settle(const void *opaque_config, void *opaque, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    const struct lockout_config *config = opaque_config;
    struct lockout_state *state = opaque;
    (void)slot;
    (void)call;
    if (outcome->code == 401) {
        __atomic_store_n(&state->until_ns, now_ns + config->rest_ns, __ATOMIC_RELAXED);
    }
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

/* For explain and outcome texts. */
static void describe(const void *config, const void *opaque, uint64_t now_ns, char *buffer, size_t size)
{
    const struct lockout_state *state = opaque;
    (void)config;
    bool rests = now_ns < __atomic_load_n(&state->until_ns, __ATOMIC_RELAXED);
    snprintf(buffer, size, "%s", rests ? "resting after a 401" : "no 401 seen lately");
}

static const struct weir_policy_ops lockout_ops = {
    .size = sizeof lockout_ops,
    .kind = "lockout",
    .admit = admit,
    .settle = settle,
    .describe = describe,
};

static enum weir_error lockout_create(uint64_t rest_ns, struct weir_policy **policy)
{
    struct lockout_config config = { .rest_ns = rest_ns };
    return weir_policy_create(
        WEIR_CONFIG(weir_policy_spec, .ops = &lockout_ops, .name = "account", .config = &config,
            .config_size = sizeof config, .state_size = sizeof(struct lockout_state)),
        policy);
}

static struct weir_outcome get(void *status, const struct weir_attempt *attempt)
{
    (void)attempt;
    return weir_from_http(*(int *)status);
}

int main(void)
{
    struct weir_policy *lockout;
    struct weir_pipeline *pipeline;
    EXPECT(lockout_create(30 * WEIR_S, &lockout) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &lockout, 1, &pipeline) == WEIR_E_NONE);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);

    int ok = 200, unauthorized = 401;
    EXPECT(weir_run_at(pipeline, NULL, get, &ok, now_ns).status == WEIR_OK);
    EXPECT(weir_run_at(pipeline, NULL, get, &unauthorized, now_ns).code == 401);
    struct weir_outcome outcome = weir_run_at(pipeline, NULL, get, &ok, now_ns);
    EXPECT(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_CUSTOM);
    EXPECT(outcome.retry_after_ns == 30 * WEIR_S);
    char text[200];
    puts(weir_outcome_text(text, sizeof text, pipeline, outcome));
    EXPECT(strstr(text, "resting after a 401") != NULL);

    EXPECT(weir_run_at(pipeline, NULL, get, &ok, now_ns + 30 * WEIR_S).status == WEIR_OK);
    const struct lockout_state *state = weir_policy_state(lockout);
    EXPECT(state->refused == 1);
    weir_policy_release(lockout);
    weir_pipeline_destroy(pipeline);
    return 0;
}
