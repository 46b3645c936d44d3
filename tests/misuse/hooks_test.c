/* Mistakes in hooks of the user's own, and with calls that were not begun, abort by name. */
#include "pipeline/machine_words.h"

static struct weir_verdict admitted, settled; /* what the hooks answer */
static struct weir_outcome answered;

static struct weir_verdict admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)call;
    (void)now_ns;
    *slot = (struct weir_slot) { { 0, 0 } };
    return admitted;
}

static struct weir_verdict settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)call;
    (void)now_ns;
    if (settled.kind == WEIR_ANSWER) *outcome = answered;
    return settled;
}

static const struct weir_policy_ops ops = {
    .size = sizeof ops, .kind = "mistaken", .admit = admit, .settle = settle
};

static struct weir_policy *mistaken(void)
{
    struct weir_policy *policy = NULL;
    CHECK_EQ(
        weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .waiters = 2), &policy), WEIR_E_NONE);
    return policy;
}

static void post(void *argument)
{
    (void)argument;
}

/* From begin to settle; off the fast lists if the operation fails. */
static struct weir_outcome outcome_by_hooks(
    struct weir_verdict at_admit, struct weir_verdict at_settle, enum weir_status status)
{
    struct weir_call call;
    struct weir_call_options options = { .size = sizeof options, .waker = { post, NULL } };
    admitted = at_admit;
    settled = at_settle;
    struct weir_step step = weir_call_begin(&call, PIPELINE(mistaken()), &options, START);
    if (step.action == WEIR_RUN) step = weir_call_settle(&call, 1, outcome_of(status), START);
    if (step.action == WEIR_RUN) return weir_call_fallback(&call, NULL);
    return weir_call_outcome(&call);
}

#define VERDICT(...) ((struct weir_verdict) { __VA_ARGS__ })
#define RUN(at_admit, at_settle, status) ((void)outcome_by_hooks(at_admit, at_settle, status).code)

TEST(hooks, an_answer_is_an_outcome)
{
    for (int failed = 0; failed < 2; failed++) {
        enum weir_status status = failed ? WEIR_FAILED : WEIR_OK;
        struct weir_verdict answers = { .kind = WEIR_ANSWER };
        answered = (struct weir_outcome) { .status = WEIR_STATUSES };
        CHECK_ABORTS(RUN(VERDICT(.kind = WEIR_PASS), answers, status),
            "weir: weir_policy_ops.settle: the answer's status is none");
        answered = (struct weir_outcome) { .status = WEIR_REJECTED, .by = 2 };
        CHECK_ABORTS(RUN(VERDICT(.kind = WEIR_PASS), answers, status),
            "weir: weir_policy_ops.settle: the answer's by is no position + 1");
        answered = (struct weir_outcome) { .status = WEIR_REJECTED, .reason = 200, .by = 1 };
        struct weir_outcome outcome = outcome_by_hooks(VERDICT(.kind = WEIR_PASS), answers, status);
        CHECK_EQ(outcome.status, WEIR_REJECTED);
        CHECK_EQ(outcome.reason, WEIR_REASON_CUSTOM);
    }
}

TEST(hooks, what_a_verdict_asks_for_is_there)
{
    struct weir_verdict pass = { .kind = WEIR_PASS }, wake = { .flags = WEIR_VERDICT_WAKE };
    static const char no_next[] =
        "weir: weir_policy_ops: a verdict says WEIR_VERDICT_WAKE, but next_woken is NULL";
    CHECK_ABORTS(RUN(wake, pass, WEIR_OK), no_next);
    CHECK_ABORTS(RUN(pass, wake, WEIR_OK), no_next);
    CHECK_ABORTS(RUN(pass, wake, WEIR_FAILED), no_next);
    CHECK_ABORTS(RUN(VERDICT(.kind = WEIR_HOLD, .waiter = 3, .at_ns = START + 1), pass, WEIR_OK),
        "weir: weir_policy_ops.admit: the verdict's waiter is none that the policy was created with");
    CHECK_ABORTS(RUN(pass, VERDICT(.kind = WEIR_FALL_BACK), WEIR_FAILED),
        "weir: weir_call_fallback: a policy without a function answered FALL_BACK");
}

TEST(hooks, a_call_that_was_not_begun)
{
    static struct weir_call call;
    struct weir_outcome ok = outcome_of(WEIR_OK);
    CHECK_ABORTS((void)weir_call_wake(&call, START).action, "weir: weir_call_wake: the call was not begun");
    CHECK_ABORTS(
        (void)weir_call_cancel(&call, START).action, "weir: weir_call_cancel: the call was not begun");
    CHECK_ABORTS((void)weir_call_settle(&call, 1, ok, START).action, "weir: weir_call_settle: ");
    CHECK_ABORTS((void)weir_call_settle(&call, 0, ok, START).action, "weir: weir_call_settle: ");
    CHECK_ABORTS((void)weir_call_arm(&call, (struct weir_waker) { post, NULL }, START).action,
        "weir: weir_call_wake: the call was not begun");
    CHECK_ABORTS((void)weir_call_fallback(&call, NULL).code,
        "weir: weir_call_fallback: no step asked for a fallback function");
}

static void fall_back_while_running(void)
{
    struct weir_call call;
    memset(&call, 0xff, sizeof call);
    CHECK_EQ(weir_call_begin(&call, PIPELINE(nobody()), NULL, START).action, WEIR_RUN);
    (void)weir_call_fallback(&call, NULL).code;
}

TEST(hooks, a_fallback_that_no_step_asked_for)
{
    CHECK_ABORTS(
        fall_back_while_running(), "weir: weir_call_fallback: no step asked for a fallback function");
}

static void release_with_nonsense(void)
{
    struct weir_policy *breaker = POLICY(breaker, .name = "b");
    struct weir_permit permit;
    CHECK_EQ(weir_breaker_acquire(breaker, &permit).status, WEIR_OK);
    weir_breaker_release(breaker, &permit, (struct weir_outcome) { .status = WEIR_STATUSES });
}

TEST(hooks, a_release_with_no_outcome)
{
    CHECK_ABORTS(release_with_nonsense(), "weir: weir_breaker_release: the outcome's status is none");
}
