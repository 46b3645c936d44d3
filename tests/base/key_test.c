/* Keys: the same bytes give the same key everywhere and for ever; hooks see what the options said. */
#include "support/test.h"

#include <weir/weir.h>

#include <string.h>

/* From the reference library, once. If one of these changes, two versions of weir disagree about whose call it is. */
TEST(key, is_the_same_for_ever)
{
    char hundreds[300];
    memset(hundreds, 'a', sizeof hundreds);
    CHECK_EQ(weir_key(NULL, 0), UINT64_C(0x2d06800538d394c2));
    CHECK_EQ(weir_key("", 0), UINT64_C(0x2d06800538d394c2));
    CHECK_EQ(weir_key("4242", 4), UINT64_C(0x9dab6773a9fcea30));
    CHECK_EQ(weir_key("tenant-17", 9), UINT64_C(0x897fbd77decbd8f8));
    CHECK_EQ(weir_key(hundreds, sizeof hundreds), UINT64_C(0xc1d17581d8eb7e21));
}

/* Eight bytes whose XXH3 is 0: found by walking its steps backwards. */
TEST(key, is_never_nobodys)
{
    CHECK_EQ(weir_key("\x42\xd5\x68\xe1\x38\xd7\x27\xff", 8), 1);
}

TEST(key, of_nothing_is_refused)
{
    CHECK_ABORTS(weir_key(NULL, 1), "weir: weir_key: bytes is NULL");
}

static struct weir_verdict note(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)slot;
    (void)now_ns;
    *(uint64_t *)state = weir_call_key(call);
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

/* The call's frame is full of an older call's: what was not said must not be read. */
TEST(key, reaches_the_hooks)
{
    static const struct weir_policy_ops ops = { .size = sizeof ops, .kind = "note", .admit = note };
    const uint64_t now_ns = 1000 * WEIR_S;
    struct weir_policy *policy;
    struct weir_pipeline *pipeline;
    struct weir_call call;
    CHECK_EQ(weir_policy_create(
                 WEIR_CONFIG(weir_policy_spec, .ops = &ops, .state_size = sizeof(uint64_t)), &policy),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &policy, 1, &pipeline), WEIR_E_NONE);
    const uint64_t *seen = weir_policy_state(policy);
    static const uint64_t keys[] = { 42, 0, UINT64_MAX, 1, 0 };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        memset(&call, 0xff, sizeof call);
        struct weir_step step = weir_call_begin(
            &call, pipeline, WEIR_CONFIG(weir_call_options, .key = keys[i], .weight = 2), now_ns);
        CHECK_EQ(*seen, keys[i]);
        CHECK_EQ(weir_call_key(&call), keys[i]);
        step = weir_call_settle(&call, step.attempt, (struct weir_outcome) { .status = WEIR_OK }, now_ns);
        CHECK_EQ(step.action, WEIR_DONE);
        step = weir_call_begin(&call, pipeline, NULL, now_ns);
        CHECK_EQ(*seen, 0);
        step = weir_call_settle(&call, step.attempt, (struct weir_outcome) { .status = WEIR_OK }, now_ns);
        CHECK_EQ(step.action, WEIR_DONE);
    }
    weir_policy_release(policy);
    weir_pipeline_destroy(pipeline);
}
