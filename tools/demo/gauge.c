#include "gauge.h"

#include <string.h>

void gauge_enter(struct gauge *gauge)
{
    unsigned now = atomic_fetch_add(&gauge->now, 1) + 1, most = atomic_load(&gauge->most);
    while (now > most && !atomic_compare_exchange_weak(&gauge->most, &most, now)) continue;
}

void gauge_leave(struct gauge *gauge)
{
    atomic_fetch_sub(&gauge->now, 1);
}

/* The policy's config is the address of its gauge. */
static struct gauge *gauge_of(const void *config)
{
    struct gauge *gauge;
    memcpy(&gauge, config, sizeof gauge);
    return gauge;
}

static struct weir_verdict admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)state, (void)slot, (void)call, (void)now_ns;
    gauge_enter(gauge_of(config));
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

static struct weir_verdict settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)state, (void)slot, (void)call, (void)outcome, (void)now_ns;
    gauge_leave(gauge_of(config));
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

enum weir_error gauge_policy(struct gauge *gauge, struct weir_policy **policy)
{
    static const struct weir_policy_ops ops = {
        .size = sizeof ops, .flags = WEIR_POLICY_LASTING, .kind = "gauge", .admit = admit, .settle = settle
    };
    return weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .name = "gauge", .config = &gauge,
                                  .config_size = sizeof gauge),
        policy);
}
