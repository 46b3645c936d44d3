/* The handle of a policy: references, names, modes, the block of words behind it. */
#include "policy/hooks.h"

#include <weir/breaker.h>

#include <pthread.h>
#include <stdint.h>

static uint32_t releases;

static struct weir_verdict passes(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)call;
    *slot = (struct weir_slot) { { now_ns, 0 } };
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

static bool idle(const void *config, const void *state)
{
    (void)config;
    releases++;
    return *(const uint64_t *)state == 0;
}

static const struct weir_policy_ops ops = {
    .size = sizeof ops, .kind = "mine", .admit = passes, .idle = idle
};

static struct weir_policy *create(const char *name)
{
    const uint64_t config[3] = { 1, 2, 3 };
    struct weir_policy *policy = NULL;
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .name = name, .config = config,
                                    .config_size = sizeof config, .state_size = 100),
                 &policy),
        WEIR_E_NONE);
    return policy;
}

TEST(handle, a_block_is_zeroed_aligned_and_apart)
{
    struct weir_policy *one = create("one"), *two = create("two");
    const uint64_t *config = one->config;
    uint64_t *state = weir_policy_state(one);
    CHECK_EQ((uintptr_t)state % CACHE_LINE, 0);
    CHECK_EQ((uintptr_t)config % CACHE_LINE, 0);
    for (int i = 0; i < 100 / 8; i++) CHECK_EQ(state[i], 0);
    CHECK_EQ(config[0] + config[1] + config[2], 6); /* copied: the caller's is gone */
    CHECK(one->head->id != two->head->id);
    CHECK_EQ(one->head->kind, POLICY_CUSTOM);
    CHECK((const char *)config + one->head->config_size <= (const char *)one->head + one->head->size);
    weir_policy_release(two);
    weir_policy_release(one);
}

TEST(handle, the_last_reference_frees)
{
    struct weir_policy *policy = create(NULL);
    releases = 0;
    CHECK(weir_policy_acquire(policy) == policy);
    weir_policy_release(policy);
    CHECK_EQ(releases, 0);
    CHECK_STR(weir_policy_name(policy), "mine"); /* without a name it has its kind's */
    weir_policy_release(policy);
    CHECK_EQ(releases, 1);
}

TEST(handle, what_is_not_idle_is_not_freed)
{
    struct weir_policy *policy = create("busy");
    *(uint64_t *)weir_policy_state(policy) = 1;
    CHECK_ABORTS(weir_policy_release(policy),
        "weir: weir_policy_release: the last reference is dropped while a permit is out or a call waits");
    *(uint64_t *)weir_policy_state(policy) = 0;
    weir_policy_release(policy);
}

TEST(handle, modes_are_kept_and_none_others_are)
{
    struct weir_policy *policy = create("moded");
    CHECK_EQ(weir_policy_mode(policy), WEIR_MODE_ON);
    for (int mode = WEIR_MODE_FORCED_CLOSED; mode >= WEIR_MODE_ON; mode--) {
        weir_policy_set_mode(policy, (enum weir_mode)mode);
        CHECK_EQ(weir_policy_mode(policy), mode);
    }
    CHECK_ABORTS(weir_policy_set_mode(policy, (enum weir_mode)(WEIR_MODE_FORCED_CLOSED + 1)),
        "weir: weir_policy_set_mode: no such mode");
    weir_policy_release(policy);
}

TEST(handle, a_function_of_another_kind_aborts)
{
    struct weir_policy *policy = create("mine");
    CHECK_ABORTS(weir_breaker_stats(policy, 0), "weir: weir_breaker_stats: the policy is of another kind");
    weir_policy_release(policy);
}

TEST(handle, hooks_of_the_fast_lists_are_those_of_the_operations_unless_given)
{
    struct weir_policy *policy = create("mine");
    CHECK(policy->first == passes);
    CHECK(policy->well == NULL);
    weir_policy_release(policy);
}

TEST(handle, a_call_draws_from_its_seed_or_from_where_it_is)
{
    struct weir_call one = hooks_call(0), two = hooks_call(0);
    CHECK_EQ(*call_random(&one), *call_random(&two)); /* both were given the same */
    one.flags = two.flags = 0;
    one.began_ns = two.began_ns = 77;
    CHECK(*call_random(&one) != *call_random(&two));
    uint64_t drawn = *call_random(&one);
    CHECK_EQ(*call_random(&one), drawn); /* drawn once */
}

/* Policies that come and go on several threads: the registry stays whole, every id is given once. */
#define TEAM 4
#define EACH 500

static void *come_and_go(void *ids)
{
    uint32_t *id = ids;
    for (int i = 0; i < EACH; i++) {
        struct weir_policy *policy;
        if (weir_breaker_create(NULL, &policy) != WEIR_E_NONE) return NULL;
        id[i] = policy->head->id;
        weir_policy_release(policy);
    }
    return ids;
}

TEST(handle, ids_are_given_once)
{
    static uint32_t id[TEAM][EACH], seen[4 * TEAM * EACH];
    pthread_t thread[TEAM];
    struct weir_policy *first = create("first"), *last;
    for (int i = 0; i < TEAM; i++) CHECK_EQ(pthread_create(&thread[i], NULL, come_and_go, id[i]), 0);
    for (int i = 0; i < TEAM; i++) {
        void *done = NULL;
        CHECK_EQ(pthread_join(thread[i], &done), 0);
        CHECK(done == id[i]);
    }
    last = create("last");
    for (int i = 0; i < TEAM; i++) {
        for (int j = 0; j < EACH; j++) {
            CHECK(id[i][j] > first->head->id && id[i][j] < last->head->id);
            CHECK_EQ(seen[id[i][j] - first->head->id]++, 0);
        }
    }
    CHECK_EQ(last->head->id - first->head->id, TEAM * EACH + 1);
    weir_policy_release(last);
    weir_policy_release(first);
}
