/* Sharing a policy: by its config, at run time, and no more. What it then does is a matter of its kind. */
#include "shared/share.h"

#include "shared/link_state.h"

#include <stdlib.h>

static const char type[] = "weir_share_config";
static uint32_t share_lock; /* over every policy's `shared`; taken before a link's lock */

static const struct share_kind *kind_of(const struct weir_policy *policy)
{
    switch (policy->head->kind) {
    case POLICY_RATE: return &share_rate;
    case POLICY_BREAKER: return &share_breaker;
    case POLICY_BULKHEAD: return &share_bulkhead;
    default: return NULL;
    }
}

enum weir_error share_check_away(const struct weir_share_config *config)
{
    if (config->away >= WEIR_AWAY_SHARE && config->away <= WEIR_AWAY_CLOSED) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID,
        "%s.away is %u, expected WEIR_AWAY_SHARE, WEIR_AWAY_OPEN or WEIR_AWAY_CLOSED: what is to hold while "
        "the store "
        "is away",
        type, (unsigned)config->away);
}

static enum weir_error validate(const struct weir_policy *policy, const struct share_kind *kind,
    const struct weir_share_config *given, struct weir_share_config *c, char name[WEIR_NAME_MAX + 1])
{
    enum weir_error error = error_config(type, given, c, sizeof *c);
    if (error == WEIR_E_NONE && c->link == NULL) {
        error = error_set(WEIR_E_INVALID, "%s.link is NULL, expected a link (weir_redis_create())", type);
    }
    if (error == WEIR_E_NONE && kind == NULL) {
        error = error_set(WEIR_E_INVALID,
            "a policy of the kind %s cannot be shared; a rate, a breaker or a bulkhead can",
            policy->ops->kind);
    }
    if (error == WEIR_E_NONE && shared_nodes(c->link) != 1) {
        error = error_set(WEIR_E_INVALID,
            "%s.link has %u servers, expected one: several independent masters are for locks only", type,
            shared_nodes(c->link));
    }
    if (error == WEIR_E_NONE) error = error_name(type, c->name, policy->name, name);
    if (error == WEIR_E_NONE) error = error_range32(type, "instances", &c->instances, 1, 1, 100000);
    if (error == WEIR_E_NONE) error = kind->validate(policy, c);
    return error;
}

static enum weir_error enrol(struct weir_policy *policy, const struct share_kind *kind,
    const struct weir_share_config *config, const char *name)
{
    if (policy->shared != NULL) {
        return error_set(WEIR_E_INVALID, "the policy is shared already; weir_policy_unshare() ends that");
    }
    struct share *share = calloc(1, kind->size);
    if (share == NULL) return error_set(WEIR_E_NOMEM, "no memory for sharing a policy");
    share->policy = policy;
    share->config = *config;
    if (kind->prepare != NULL) kind->prepare(share);
    enum weir_error error = shared_enrol(config->link, &share->shared, kind->ops, name);
    if (error == WEIR_E_NONE) {
        policy->shared = share;
        return WEIR_E_NONE;
    }
    if (kind->prepare != NULL) kind->ops->leave(&share->shared);
    free(share);
    return error;
}

enum weir_error weir_policy_share(struct weir_policy *policy, const struct weir_share_config *given)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_share", "policy is NULL");
    struct weir_share_config c;
    char name[WEIR_NAME_MAX + 1];
    const struct share_kind *kind = kind_of(policy);
    enum weir_error error = validate(policy, kind, given, &c, name);
    if (error != WEIR_E_NONE) return error;
    lock_take(&share_lock);
    error = enrol(policy, kind, &c, name);
    lock_drop(&share_lock);
    return error;
}

void weir_policy_unshare(struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_unshare", "policy is NULL");
    lock_take(&share_lock);
    struct share *share = policy->shared;
    struct weir_link *link = share == NULL ? NULL : weir_link_acquire(share->shared.link);
    policy->shared = NULL;
    if (share != NULL) shared_leave(&share->shared);
    lock_drop(&share_lock);
    if (policy->ops->next_woken != NULL) policy_post(policy); /* its own limit may let somebody in */
    weir_link_release(link); /* its carrier may be told that it was the last */
}

struct weir_share_stats weir_share_stats(const struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_share_stats", "policy is NULL");
    struct weir_share_stats stats = { .state = WEIR_SHARE_DETACHED };
    lock_take(&share_lock);
    struct share *share = policy->shared;
    if (share != NULL) stats = shared_report(&share->shared);
    lock_drop(&share_lock);
    return stats;
}

enum weir_share_state weir_share_state(const struct weir_policy *policy)
{
    return weir_share_stats(policy).state;
}

/* Calls ring: none waits for who shares or unshares at the same time, which has it looked at anyhow. */
static void ring(struct weir_policy *policy)
{
    if (!lock_try(&share_lock)) return;
    struct share *share = policy->shared;
    if (share != NULL) shared_ring(&share->shared);
    lock_drop(&share_lock);
}

void share_install(void)
{
    weir_policy_ringer = ring;
    weir_policy_sharer = weir_policy_share;
    weir_policy_unsharer = weir_policy_unshare;
}

const char *weir_share_state_text(enum weir_share_state state)
{
    static const char *const texts[] = { "detached", "shared", "slow", "degraded" };
    return (unsigned)state < WEIR_SHARE_STATES ? texts[state] : "?";
}

const char *weir_share_event_text(enum weir_share_event_kind kind)
{
    static const char *const texts[] = { "share.changed", "breaker.fleet_opened", "breaker.fleet_closed",
        "lock.held", "lock.suspect", "lock.lost", "lock.released", "link.up", "link.slow", "link.down" };
    return (unsigned)kind < WEIR_SHARE_EVENTS ? texts[kind] : "?";
}
