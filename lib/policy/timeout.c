/* Timeout: the deadline of what is inside it, lowered on the way in and restored on the way out.
 *
 * Invariants: the deadline only shrinks inwards; after settle it is what it was before admit. Slot: the
 * deadline outside, and which position set it. The machine reads the cap of a call that goes well from the
 * config (pipeline/compile.c) and asks admit only when it leaves the fast lists. */
#include "policy/timeout.h"

#include "base/arithmetic.h"
#include "policy/duration.h"
#include "policy/handle.h"

enum { EXPIRED = POLICY_COUNTERS, LATE };

static struct weir_verdict admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)state;
    slot->word[0] = call->attempt.deadline_ns;
    slot->word[1] = call->deadline_by;
    uint64_t end_ns = time_add(now_ns, ((const struct timeout_config *)config)->timeout_ns);
    if (end_ns < call->attempt.deadline_ns) {
        call->attempt.deadline_ns = end_ns;
        call->deadline_by = (uint8_t)(call->cursor + 1);
    }
    return verdict(WEIR_PASS);
}

static struct weir_verdict settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)now_ns;
    call->attempt.deadline_ns = slot->word[0];
    call->deadline_by = (uint8_t)slot->word[1];
    bool mine = outcome->by == call->cursor + 1;
    if (mine && outcome->status == WEIR_EXPIRED) policy_count(state, call, EXPIRED);
    if ((outcome->flags & WEIR_LATE) != 0 && call->late_by == call->cursor + 1) {
        policy_count(state, call, EXPIRED);
        policy_count(state, call, LATE);
    }
    return verdict(WEIR_PASS);
}

static void describe(const void *config, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    (void)state;
    (void)now_ns;
    snprintf(
        buffer, size, "after %s", duration_text(((const struct timeout_config *)config)->timeout_ns).text);
}

static const struct weir_policy_ops timeout_ops = {
    .size = sizeof timeout_ops,
    .flags = WEIR_POLICY_QUIET_ADMIT | WEIR_POLICY_QUIET_SETTLE,
    .kind = "timeout",
    .admit = admit,
    .settle = settle,
    .describe = describe,
};

enum weir_error weir_timeout_create(const struct weir_timeout_config *given, struct weir_policy **timeout)
{
    static const char type[] = "weir_timeout_config";
    WEIR_REQUIRE(timeout != NULL, "weir_timeout_create", "timeout is NULL");
    struct weir_timeout_config config;
    enum weir_error error = error_config(type, given, &config, sizeof config);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "timeout_ns", &config.timeout_ns, WEIR_S, WEIR_US, 86400 * WEIR_S);
    }
    if (error != WEIR_E_NONE) return error;
    struct timeout_config record = { .timeout_ns = config.timeout_ns };
    return policy_new(&(struct policy_spec) { .kind = POLICY_TIMEOUT,
                          .ops = &timeout_ops,
                          .type = type,
                          .name = config.name,
                          .standard_name = "timeout",
                          .config = &record,
                          .config_size = sizeof record },
        timeout);
}

struct weir_timeout_stats weir_timeout_stats(const struct weir_policy *timeout)
{
    policy_require(timeout, POLICY_TIMEOUT, "weir_timeout_stats");
    return (struct weir_timeout_stats) {
        .timeout_ns = ((const struct timeout_config *)timeout->config)->timeout_ns,
        .expired = counters_sum(timeout->counters, EXPIRED),
        .late = counters_sum(timeout->counters, LATE),
    };
}
