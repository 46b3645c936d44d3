/* The policy that forces an outcome. Its config is the outcome; it has no state. */
#include <weir/testing.h>

#include "misuse.h"

static struct weir_verdict admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)state, (void)slot, (void)call;
    const struct weir_outcome *forced = config;
    struct weir_verdict verdict = { .kind = WEIR_PASS };
    if (forced->status != WEIR_REJECTED) return verdict;
    verdict.kind = WEIR_REFUSE;
    verdict.reason = forced->reason == WEIR_REASON_NONE ? WEIR_REASON_CUSTOM : forced->reason;
    if (forced->retry_after_ns != 0) verdict.at_ns = now_ns + forced->retry_after_ns;
    return verdict;
}

static struct weir_verdict settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)state, (void)slot, (void)call, (void)now_ns;
    const struct weir_outcome *forced = config;
    bool context_ended =
        outcome->status == WEIR_CANCELED || (outcome->status == WEIR_EXPIRED && outcome->by == 0);
    if (context_ended || forced->status == WEIR_REJECTED) return (struct weir_verdict) { .kind = WEIR_PASS };
    *outcome = *forced;
    return (struct weir_verdict) { .kind = WEIR_ANSWER };
}

static void describe(const void *config, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    (void)state, (void)now_ns;
    const struct weir_outcome *forced = config;
    snprintf(buffer, size, "answers %s to every call", weir_status_text((enum weir_status)forced->status));
}

static const struct weir_policy_ops ops = {
    .size = sizeof ops,
    .kind = "force",
    .admit = admit,
    .settle = settle,
    .describe = describe,
};

enum weir_error weir_test_force_create(
    const char *name, struct weir_outcome outcome, struct weir_policy **policy)
{
    TEST_REQUIRE(outcome.status < WEIR_STATUSES, "weir_test_force_create", "outcome.status is none");
    TEST_REQUIRE(outcome.reason < WEIR_REASONS, "weir_test_force_create", "outcome.reason is none");
    return weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .name = name, .config = &outcome,
                                  .config_size = sizeof outcome),
        policy);
}
