#include "policy/gate.h"

#include "base/arithmetic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Uniform in 0 .. GATE_ALL - 1 if the bits are. */
static ALWAYS_INLINE uint32_t place_of(uint64_t bits)
{
    return (uint32_t)((bits >> 32) * GATE_ALL >> 32);
}

static COLD struct weir_verdict refuse(void *state, const struct weir_call *call, uint32_t which)
{
    policy_count(state, call, which);
    return verdict_refuse(WEIR_REASON_GATE, 0);
}

/* Who all may pass is not drawn: a gate that is wide open costs a look. */
static struct weir_verdict first_by_call(
    const void *config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)slot;
    (void)now_ns;
    const struct gate_state *state = opaque;
    uint32_t share = atomic_load_relaxed(&state->share);
    if (share == GATE_ALL) return verdict(WEIR_PASS);
    if (place_of(random_next(call_random(call))) < share) return verdict(WEIR_PASS);
    return refuse(opaque, call, GATE_REFUSED);
}

static struct weir_verdict first_by_key(
    const void *opaque_config, void *opaque, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)slot;
    (void)now_ns;
    const struct gate_config *config = opaque_config;
    const struct gate_state *state = opaque;
    uint32_t share = atomic_load_relaxed(&state->share);
    if (share == GATE_ALL) return verdict(WEIR_PASS);
    uint64_t key = call_key(call);
    if (unlikely(key == 0)) return refuse(opaque, call, GATE_REFUSED_KEYLESS);
    if (place_of(mix64(key ^ config->spread)) < share) return verdict(WEIR_PASS);
    return refuse(opaque, call, GATE_REFUSED);
}

static struct weir_verdict gate_admit(
    const void *opaque, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    const struct gate_config *config = opaque;
    if (config->by == WEIR_GATE_BY_KEY) return first_by_key(config, state, slot, call, now_ns);
    return first_by_call(config, state, slot, call, now_ns);
}

static void describe(
    const void *opaque_config, const void *opaque, uint64_t now_ns, char *buffer, size_t size)
{
    (void)now_ns;
    const struct gate_config *config = opaque_config;
    const struct gate_state *state = opaque;
    uint32_t share = atomic_load_relaxed(&state->share);
    const char *what = config->by == WEIR_GATE_BY_KEY ? "keys" : "calls";
    char part[8] = "";
    int digits = snprintf(part, sizeof part, ".%04" PRIu32, share % WEIR_PERCENT);
    while (digits > 1 && part[digits - 1] == '0') part[--digits] = '\0';
    snprintf(
        buffer, size, "%" PRIu32 "%s %% of the %s pass", share / WEIR_PERCENT, digits == 1 ? "" : part, what);
}

static const struct weir_policy_ops gate_ops = {
    .size = sizeof gate_ops,
    .kind = "gate",
    .admit = gate_admit,
    .describe = describe,
};

/* ---- create, share, statistics ---- */

static const char type[] = "weir_gate_config", standard_name[] = "gate";

enum weir_error weir_gate_create(const struct weir_gate_config *given, struct weir_policy **gate)
{
    WEIR_REQUIRE(gate != NULL, "weir_gate_create", "gate is NULL");
    struct weir_gate_config c;
    enum weir_error error = error_config(type, given, &c, sizeof c);
    bool none = c.share == WEIR_OFF32;
    if (error == WEIR_E_NONE && !none) error = error_range32(type, "share", &c.share, GATE_ALL, 1, GATE_ALL);
    if (error == WEIR_E_NONE && (unsigned)c.by > WEIR_GATE_BY_KEY) {
        error = error_set(WEIR_E_INVALID, "%s.by is %u, expected a weir_gate_by", type, (unsigned)c.by);
    }
    if (error != WEIR_E_NONE) return error;
    if (c.name == NULL) c.name = standard_name;
    if (c.salt == 0) c.salt = weir_key(c.name, strlen(c.name));
    struct gate_config record = { .salt = c.salt, .spread = mix64(c.salt), .by = c.by };
    error = policy_new(&(struct policy_spec) { .kind = POLICY_GATE,
                           .ops = &gate_ops,
                           .type = type,
                           .name = c.name,
                           .standard_name = standard_name,
                           .config = &record,
                           .config_size = sizeof record,
                           .state_size = sizeof(struct gate_state),
                           .first = c.by == WEIR_GATE_BY_KEY ? first_by_key : first_by_call },
        gate);
    if (error != WEIR_E_NONE) return error;
    ((struct gate_state *)(*gate)->state)->share = none ? 0 : c.share;
    return WEIR_E_NONE;
}

enum weir_error weir_gate_set_share(struct weir_policy *gate, uint32_t share)
{
    policy_require(gate, POLICY_GATE, "weir_gate_set_share");
    if (share == WEIR_OFF32) share = 0;
    if (share > GATE_ALL) {
        return error_set(WEIR_E_INVALID, "share is %" PRIu32 ", expected 0..%u", share, GATE_ALL);
    }
    struct gate_state *state = gate->state;
    atomic_store_relaxed(&state->share, share);
    return WEIR_E_NONE;
}

struct weir_gate_stats weir_gate_stats(const struct weir_policy *gate)
{
    policy_require(gate, POLICY_GATE, "weir_gate_stats");
    const struct gate_config *config = gate->config;
    const struct gate_state *state = gate->state;
    return (struct weir_gate_stats) {
        .share = atomic_load_relaxed(&state->share),
        .by = (enum weir_gate_by)config->by,
        .salt = config->salt,
        .refused = counters_sum(gate->counters, GATE_REFUSED),
        .refused_keyless = counters_sum(gate->counters, GATE_REFUSED_KEYLESS),
        .refused_forced = counters_sum(gate->counters, POLICY_REFUSED_FORCED),
        .would_refuse = counters_sum(gate->counters, POLICY_WOULD_REFUSE),
    };
}
