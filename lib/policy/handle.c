#include "policy/handle.h"

#include "base/arithmetic.h"
#include "base/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t weir_registry_lock;
void (*weir_pipeline_notice)(struct weir_pipeline *pipeline);
void (*weir_pipelines_forked)(void);
enum weir_error (*weir_policy_sharer)(struct weir_policy *policy, const struct weir_share_config *share);
void (*weir_policy_unsharer)(struct weir_policy *policy);
void (*weir_policy_ringer)(struct weir_policy *policy);

static struct weir_policy *registry; /* under the lock; a fork finds it whole: links change by one store */
static uint32_t last_id;

static size_t lines(size_t bytes)
{
    return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static void forked(void)
{
    weir_registry_lock = 0;
    for (struct weir_policy *policy = registry; policy != NULL; policy = policy->next) {
        for (uint32_t i = 0; i < policy->wakers.count; i++) policy->wakers.cell[i].state = 0;
        if (policy->ops->forked != NULL) policy->ops->forked(policy->config, policy->state);
    }
    if (weir_pipelines_forked != NULL) weir_pipelines_forked();
}

void registry_watch_forks(void)
{
    weir_process_forked = forked;
}

static void enroll(struct weir_policy *policy)
{
    lock_take(&weir_registry_lock);
    registry_watch_forks();
    policy->head->id = ++last_id;
    policy->next = registry;
    atomic_store_release(&registry, policy);
    lock_drop(&weir_registry_lock);
}

static void strike(struct weir_policy *policy)
{
    lock_take(&weir_registry_lock);
    struct weir_policy **link = &registry;
    while (*link != policy) link = &(*link)->next;
    atomic_store_release(link, policy->next);
    lock_drop(&weir_registry_lock);
}

static void fill(struct weir_policy *policy, const struct policy_spec *spec, void *block, size_t size)
{
    struct policy_head *head = block;
    memset(block, 0, size);
    head->kind = spec->kind;
    head->layout = 1;
    head->size = size;
    head->config_size = (uint32_t)spec->config_size;
    head->counters_offset = lines(spec->state_size);
    head->config_offset = head->counters_offset + sizeof(struct counters);
    policy->ops = spec->ops;
    policy->head = head;
    policy->state = head + 1;
    policy->counters = (struct counters *)((char *)policy->state + head->counters_offset);
    policy->config = (char *)policy->state + head->config_offset;
    if (spec->config != NULL) {
        memcpy((char *)policy->state + head->config_offset, spec->config, spec->config_size);
    }
    policy->flags = spec->ops->flags | spec->flags;
    policy->first = spec->first != NULL ? spec->first : spec->ops->admit;
    policy->well = spec->well != NULL ? spec->well : spec->ops->settle;
    policy->references = 1;
}

enum weir_error policy_new(const struct policy_spec *spec, struct weir_policy **result)
{
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = error_name(spec->type, spec->name, spec->standard_name, name);
    if (error != WEIR_E_NONE) return error;
    size_t size = sizeof(struct policy_head) + lines(spec->state_size) + sizeof(struct counters) +
        2 * lines(spec->config_size);
    struct weir_policy *policy = aligned_alloc(CACHE_LINE, lines(sizeof *policy));
    void *block = aligned_alloc(CACHE_LINE, size);
    struct waker_cell *cells = spec->waiters == 0 ? NULL : calloc(spec->waiters, sizeof *cells);
    if (policy == NULL || block == NULL || (spec->waiters != 0 && cells == NULL)) {
        free(cells);
        free(block);
        free(policy);
        return error_set(WEIR_E_NOMEM, "%s: out of memory", spec->type);
    }
    memset(policy, 0, sizeof *policy);
    fill(policy, spec, block, size);
    policy->wakers = (struct wakers) { cells, spec->waiters };
    memcpy(policy->name, name, sizeof name);
    enroll(policy);
    *result = policy;
    return WEIR_E_NONE;
}

static enum weir_error check_spec(const struct weir_policy_spec *spec)
{
    static const char type[] = "weir_policy_spec";
    static const size_t config_max = 1u << 20, state_max = 1u << 30;
    static const uint32_t waiters_max = 65536;
    const struct weir_policy_ops *ops = spec->ops;
    if (ops == NULL) return error_set(WEIR_E_INVALID, "%s.ops is NULL, expected the policy's hooks", type);
    if (ops->size != sizeof *ops) {
        return error_set(WEIR_E_INVALID, "%s.ops->size is %u, expected %zu", type, ops->size, sizeof *ops);
    }
    if (ops->kind == NULL) return error_set(WEIR_E_INVALID, "%s.ops->kind is NULL, expected a name", type);
    if (spec->config_size > config_max) {
        return error_set(
            WEIR_E_INVALID, "%s.config_size is %zu, expected 0..%zu", type, spec->config_size, config_max);
    }
    if (spec->config == NULL && spec->config_size != 0) {
        return error_set(
            WEIR_E_INVALID, "%s.config is NULL, expected config_size (%zu) bytes", type, spec->config_size);
    }
    if (spec->state_size > state_max) {
        return error_set(
            WEIR_E_INVALID, "%s.state_size is %zu, expected 0..%zu", type, spec->state_size, state_max);
    }
    if (spec->waiters > waiters_max) {
        return error_set(
            WEIR_E_INVALID, "%s.waiters is %u, expected 0..%u", type, spec->waiters, waiters_max);
    }
    return WEIR_E_NONE;
}

enum weir_error weir_policy_create(const struct weir_policy_spec *given, struct weir_policy **policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_create", "policy is NULL");
    struct weir_policy_spec spec;
    enum weir_error error = error_config("weir_policy_spec", given, &spec, sizeof spec);
    if (error != WEIR_E_NONE) return error;
    error = check_spec(&spec);
    if (error != WEIR_E_NONE) return error;
    return policy_new(&(struct policy_spec) { .kind = POLICY_CUSTOM,
                          .ops = spec.ops,
                          .type = "weir_policy_spec",
                          .name = spec.name,
                          .standard_name = spec.ops->kind,
                          .config = spec.config,
                          .config_size = spec.config_size,
                          .state_size = spec.state_size,
                          .waiters = spec.waiters },
        policy);
}

void *weir_policy_state(struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_state", "policy is NULL");
    return policy->state;
}

struct weir_policy *weir_policy_acquire(struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_acquire", "policy is NULL");
    atomic_add_relaxed(&policy->references, 1);
    return policy;
}

bool policy_hold(struct weir_policy *policy)
{
    uint32_t seen = atomic_load_relaxed(&policy->references);
    do {
        if (seen == 0) return false;
    } while (!atomic_cas_relaxed(&policy->references, &seen, seen + 1));
    return true;
}

void weir_policy_release(struct weir_policy *policy)
{
    if (policy == NULL) return;
    (void)process_generation();
    uint32_t before = atomic_sub_seq_cst(&policy->references, 1);
    WEIR_REQUIRE(before != 0, "weir_policy_release", "the policy has no reference left");
    if (before != 1) return;
    bool idle = policy->ops->idle == NULL || policy->ops->idle(policy->config, policy->state);
    WEIR_REQUIRE(idle, "weir_policy_release",
        "the last reference is dropped while a permit is out or a call"
        " waits");
    if (policy->shared != NULL) weir_policy_unsharer(policy);
    strike(policy);
    if (policy->released != NULL) policy->released(policy);
    free(policy->wakers.cell);
    free(policy->head);
    free(policy);
}

enum weir_error policy_share(
    struct weir_policy **policy, const struct weir_share_config *share, enum weir_error error)
{
    if (error != WEIR_E_NONE || share == NULL) return error;
    error = weir_policy_sharer == NULL
        ? error_set(WEIR_E_INVALID, "weir_share_config.link is of no link: none was ever created")
        : weir_policy_sharer(*policy, share);
    if (error == WEIR_E_NONE) return error;
    weir_policy_release(*policy);
    *policy = NULL;
    return error;
}

void policy_ring(struct weir_policy *policy)
{
    if (weir_policy_ringer != NULL) weir_policy_ringer(policy);
}

const char *weir_policy_name(const struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_name", "policy is NULL");
    return policy->name;
}

const char *weir_policy_kind(const struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_kind", "policy is NULL");
    return policy->ops->kind;
}

/* What was stored before is seen by whoever takes the lock last, so the pipelines end up with the latest. */
void policy_notice(struct weir_policy *policy)
{
    lock_take(&weir_registry_lock);
    for (struct policy_link *link = policy->links; link != NULL; link = link->next) {
        weir_pipeline_notice(link->pipeline);
    }
    lock_drop(&weir_registry_lock);
}

void weir_policy_set_mode(struct weir_policy *policy, enum weir_mode mode)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_set_mode", "policy is NULL");
    WEIR_REQUIRE((unsigned)mode <= WEIR_MODE_FORCED_CLOSED, "weir_policy_set_mode", "no such mode");
    atomic_store_release(&policy->head->mode, (uint32_t)mode);
    policy_notice(policy);
}

enum weir_mode weir_policy_mode(const struct weir_policy *policy)
{
    WEIR_REQUIRE(policy != NULL, "weir_policy_mode", "policy is NULL");
    return (enum weir_mode)atomic_load_acquire(&policy->head->mode);
}

void policy_post(struct weir_policy *policy)
{
    uint32_t waiter;
    WEIR_REQUIRE(policy->ops->next_woken != NULL, "weir_policy_ops",
        "a verdict says WEIR_VERDICT_WAKE, but next_woken is NULL");
    while ((waiter = policy->ops->next_woken(policy->config, policy->state)) != 0) {
        wakers_post(&policy->wakers, waiter - 1);
    }
}

bool weir_call_is_ending(const struct weir_call *call)
{
    WEIR_REQUIRE(call != NULL, "weir_call_is_ending", "call is NULL");
    return call->ending != 0;
}

uint32_t weir_call_weight(const struct weir_call *call)
{
    WEIR_REQUIRE(call != NULL, "weir_call_weight", "call is NULL");
    return call_weight(call);
}

uint64_t weir_call_key(const struct weir_call *call)
{
    WEIR_REQUIRE(call != NULL, "weir_call_key", "call is NULL");
    return call_key(call);
}

/* Unless the options gave a seed it is drawn from where and when the call is, and from how many this thread has
 * drawn before: calls that follow one another in one frame, by a clock that stands still, share none. */
uint64_t *call_random(struct weir_call *call)
{
    if ((call->flags & CALL_SEEDED) == 0) {
        uint64_t when = call->began_ns + random_next(&weir_thread.draws);
        call->random = mix64((uint64_t)(uintptr_t)call ^ mix64(when));
        call->flags |= CALL_SEEDED;
    }
    return &call->random;
}
