/* Policies of the user's own: what they are made from. */
#include "support/test.h"

#include <weir/policy.h>

#include <string.h>

static const struct weir_policy_ops own = { .size = sizeof own, .kind = "own" };

#define TRY(...) try(WEIR_CONFIG(weir_policy_spec, __VA_ARGS__))
static enum weir_error try(const struct weir_policy_spec *spec)
{
    struct weir_policy *policy = NULL;
    enum weir_error error = weir_policy_create(spec, &policy);
    if (error == WEIR_E_NONE) weir_policy_release(policy);
    else CHECK(policy == NULL);
    return error;
}

TEST(own_policy, a_policy_needs_ops_of_this_version_with_a_kind)
{
    static const struct weir_policy_ops smaller = { .size = sizeof smaller - 8, .kind = "own" },
                                        nameless = { .size = sizeof nameless };
    CHECK_EQ(TRY(.ops = &own), WEIR_E_NONE);
    CHECK_EQ(TRY(.ops = NULL), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.ops is NULL, expected the policy's hooks");
    CHECK_EQ(TRY(.ops = &smaller), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.ops->size is 64, expected 72");
    CHECK_EQ(TRY(.ops = &nameless), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.ops->kind is NULL, expected a name");
}

TEST(own_policy, sizes_are_bounded)
{
    static const unsigned char config[(1u << 20) + 1];
    CHECK_EQ(TRY(.ops = &own, .config = config, .config_size = 1u << 20), WEIR_E_NONE);
    CHECK_EQ(TRY(.ops = &own, .config = config, .config_size = (1u << 20) + 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.config_size is 1048577, expected 0..1048576");
    CHECK_EQ(TRY(.ops = &own, .state_size = (1u << 30) + 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.state_size is 1073741825, expected 0..1073741824");
    CHECK_EQ(TRY(.ops = &own, .waiters = 65536), WEIR_E_NONE);
    CHECK_EQ(TRY(.ops = &own, .waiters = 65537), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.waiters is 65537, expected 0..65536");
    CHECK_EQ(TRY(.ops = &own, .config_size = 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_policy_spec.config is NULL, expected config_size (1) bytes");
}

TEST(own_policy, a_spec_knows_its_size)
{
    struct weir_policy_spec spec = { .size = 1, .ops = &own };
    CHECK_EQ(try(&spec), WEIR_E_SIZE);
    CHECK(strstr(weir_error_text(), "weir_policy_spec.size is 1") != NULL);
}

TEST(own_policy, its_state_begins_as_zeroes)
{
    static const unsigned char zeroes[100];
    struct weir_policy *policy = NULL;
    CHECK_EQ(
        weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &own, .state_size = sizeof zeroes), &policy),
        WEIR_E_NONE);
    CHECK_STR(weir_policy_name(policy), "own");
    CHECK_EQ(memcmp(weir_policy_state(policy), zeroes, sizeof zeroes), 0);
    weir_policy_release(policy);
}
