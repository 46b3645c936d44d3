/* Broken rules of use abort, with a message that names the function that was called and what was wrong. */
#include "pipeline/machine_words.h"

/* WEIR_MUST_USE answers that nobody lives to see. */
#define IGNORE(call) ((void)(call).action)
#define DROP(call) ((void)(call).status)

static struct weir_outcome plain(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

static struct weir_outcome answers_nonsense(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_STATUSES };
}

/* ---- calls ---- */

/* Everything a call may be in; each brings a fresh one there. */
static void running(struct weir_call *call)
{
    CHECK_EQ(weir_call_begin(call, PIPELINE(nobody()), NULL, START).action, WEIR_RUN);
}

static void running_on_the_slow_path(struct weir_call *call)
{
    struct weir_policy *policy = nobody();
    weir_policy_set_mode(policy, WEIR_MODE_SHADOW);
    CHECK_EQ(weir_call_begin(call, PIPELINE(policy), NULL, START).action, WEIR_RUN);
}

static void over(struct weir_call *call)
{
    running(call);
    CHECK_EQ(weir_call_settle(call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
}

static void over_and_failed(struct weir_call *call)
{
    running(call);
    CHECK_EQ(weir_call_settle(call, 1, outcome_of(WEIR_FAILED), START).action, WEIR_DONE);
}

static void queued(struct weir_call *call)
{
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1, .queue = 1);
    struct weir_permit taken;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &taken).status, WEIR_OK);
    CHECK_EQ(weir_call_begin(call, PIPELINE(bulkhead), NULL, START).action, WEIR_WAIT);
}

static void backing_off(struct weir_call *call)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(retry, .base_ns = WEIR_MS));
    CHECK_EQ(
        weir_call_begin(call, pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), START).action,
        WEIR_RUN);
    CHECK_EQ(weir_call_settle(call, 1, outcome_of(WEIR_FAILED), START).action, WEIR_WAIT);
}

static void abandoned(struct weir_call *call)
{
    running(call);
    struct weir_step step = weir_call_cancel(call, START);
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(step.pending, 1);
}

static void abandoned_and_returned(struct weir_call *call)
{
    abandoned(call);
    CHECK_EQ(weir_call_settle(call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
}

static void falling(struct weir_call *call)
{
    struct weir_pipeline *pipeline = PIPELINE(POLICY(fallback, .function = plain));
    CHECK_EQ(weir_call_begin(call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(call, 1, outcome_of(WEIR_FAILED), START).what, WEIR_FALLBACK);
}

static void fell_back(struct weir_call *call)
{
    falling(call);
    CHECK_EQ(weir_call_settle(call, 0, outcome_of(WEIR_OK), START).action, WEIR_DONE);
}

static void refused(struct weir_call *call)
{
    struct weir_policy *policy = nobody();
    weir_policy_set_mode(policy, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(weir_call_begin(call, PIPELINE(policy), NULL, START).action, WEIR_DONE);
}

static void settle_in(void (*bring)(struct weir_call *call), uint32_t attempt)
{
    struct weir_call call;
    bring(&call);
    IGNORE(weir_call_settle(&call, attempt, outcome_of(WEIR_OK), START));
}

#define OWES_NO(bring, attempt) \
    CHECK_ABORTS(settle_in(bring, attempt), "weir: weir_call_settle: no such attempt is owed a settle")

TEST(rules, what_is_owed_no_settle_gets_none)
{
    OWES_NO(over, 1); /* settled twice */
    OWES_NO(over_and_failed, 1);
    OWES_NO(abandoned_and_returned, 1);
    OWES_NO(fell_back, 0);
    OWES_NO(fell_back, 1);
    OWES_NO(running, 0); /* no such attempt */
    OWES_NO(running, 2);
    OWES_NO(running, UINT32_MAX);
    OWES_NO(running, 257); /* nor one whose low byte is right */
    OWES_NO(running_on_the_slow_path, 0);
    OWES_NO(running_on_the_slow_path, 2);
    OWES_NO(abandoned, 0);
    OWES_NO(falling, 1);
    OWES_NO(queued, 0); /* not begun */
    OWES_NO(queued, 1);
    OWES_NO(backing_off, 1);
    OWES_NO(backing_off, 2);
    OWES_NO(refused, 1);
}

static void settle_with_nonsense(void (*bring)(struct weir_call *call), uint32_t attempt)
{
    struct weir_call call;
    bring(&call);
    IGNORE(weir_call_settle(&call, attempt, (struct weir_outcome) { .status = WEIR_STATUSES }, START));
}

TEST(rules, an_outcome_has_a_status)
{
    static const char message[] = "weir: weir_call_settle: the outcome's status is none";
    CHECK_ABORTS(settle_with_nonsense(running, 1), message);
    CHECK_ABORTS(settle_with_nonsense(running_on_the_slow_path, 1), message);
    CHECK_ABORTS(settle_with_nonsense(falling, 0), message);
    CHECK_ABORTS(DROP(weir_run(PIPELINE(nobody()), NULL, answers_nonsense, NULL)), message);
}

static void ask_outcome(void (*bring)(struct weir_call *call))
{
    struct weir_call call;
    bring(&call);
    DROP(weir_call_outcome(&call));
}

static void run_fallback(void (*bring)(struct weir_call *call))
{
    struct weir_call call;
    bring(&call);
    DROP(weir_call_fallback(&call, NULL));
}

TEST(rules, a_call_is_asked_what_it_can_answer)
{
    static const char message[] = "weir: weir_call_outcome: the call is not over";
    CHECK_ABORTS(ask_outcome(running), message);
    CHECK_ABORTS(ask_outcome(running_on_the_slow_path), message);
    CHECK_ABORTS(ask_outcome(queued), message);
    CHECK_ABORTS(ask_outcome(backing_off), message);
    CHECK_ABORTS(ask_outcome(falling), message);
    static const char no_function[] = "weir: weir_call_fallback: no step asked for a fallback function";
    CHECK_ABORTS(run_fallback(running_on_the_slow_path), no_function);
    CHECK_ABORTS(run_fallback(queued), no_function);
    CHECK_ABORTS(run_fallback(over_and_failed), no_function);
}

static void destroy_in(void (*bring)(struct weir_call *call))
{
    static struct weir_call call;
    bring(&call);
    weir_pipeline_destroy((struct weir_pipeline *)(uintptr_t)call.pipeline);
}

static struct weir_outcome destroys(void *pipeline, const struct weir_attempt *attempt)
{
    (void)attempt;
    weir_pipeline_destroy(pipeline);
    return outcome_of(WEIR_OK);
}

static void destroy_from_inside(void)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    DROP(weir_run(pipeline, NULL, destroys, pipeline));
}

TEST(rules, a_pipeline_is_not_destroyed_while_calls_are_in_it)
{
    static const char message[] = "weir: weir_pipeline_destroy: calls are in flight";
    CHECK_ABORTS(destroy_in(running), message);
    CHECK_ABORTS(destroy_in(running_on_the_slow_path), message);
    CHECK_ABORTS(destroy_in(queued), message);
    CHECK_ABORTS(destroy_in(backing_off), message);
    CHECK_ABORTS(destroy_in(abandoned), message);
    CHECK_ABORTS(destroy_in(falling), message);
    CHECK_ABORTS(destroy_from_inside(), message);
    destroy_in(over);
    destroy_in(over_and_failed);
    destroy_in(abandoned_and_returned);
    destroy_in(fell_back);
    destroy_in(refused);
}

static void begin_with_size(uint32_t size, bool run)
{
    struct weir_call_options options = { .size = size };
    struct weir_call call;
    if (run) DROP(weir_run(PIPELINE(nobody()), &options, plain, NULL));
    else IGNORE(weir_call_begin(&call, PIPELINE(nobody()), &options, START));
}

TEST(rules, options_know_their_size)
{
    static const char message[] = "weir: weir_call_begin: options.size is unknown";
    for (int run = 0; run < 2; run++) {
        CHECK_ABORTS(begin_with_size(0, run), message);
        CHECK_ABORTS(begin_with_size(sizeof(struct weir_call_options) - 1, run), message);
        CHECK_ABORTS(begin_with_size(UINT32_MAX, run), message);
    }
}

/* ---- permits ---- */

static struct weir_policy *a_breaker(void)
{
    return POLICY(breaker, .name = "mine");
}
static struct weir_policy *a_bulkhead(void)
{
    return POLICY(bulkhead, .limit = 4);
}
static struct weir_policy *a_wide_bulkhead(void)
{
    return POLICY(bulkhead, .limit = 64);
}
static struct weir_policy *a_rate(void)
{
    return POLICY(rate, .permits = 10);
}

static void take(struct weir_policy *policy, struct weir_permit *permit)
{
    uint64_t at_ns;
    switch (weir_policy_kind(policy)[1]) {
    case 'r': CHECK_EQ(weir_breaker_acquire_at(policy, permit, START).status, WEIR_OK); break;
    case 'u': CHECK_EQ(weir_bulkhead_acquire(policy, 1, permit).status, WEIR_OK); break;
    default: CHECK_EQ(weir_rate_reserve_at(policy, 1, 0, START, permit, &at_ns).status, WEIR_OK); break;
    }
}

static void give(struct weir_policy *policy, struct weir_permit *permit)
{
    switch (weir_policy_kind(policy)[1]) {
    case 'r': weir_breaker_release_at(policy, permit, outcome_of(WEIR_OK), START); break;
    case 'u': weir_bulkhead_release(policy, permit); break;
    default: weir_rate_give_back_at(policy, permit, START); break;
    }
}

static void give_twice(struct weir_policy *policy, enum weir_mode mode)
{
    struct weir_permit permit;
    weir_policy_set_mode(policy, mode);
    take(policy, &permit);
    give(policy, &permit);
    give(policy, &permit);
}

static void give_to(struct weir_policy *owner, struct weir_policy *other)
{
    struct weir_permit permit;
    take(owner, &permit);
    give(other, &permit);
}

static void give_what_was_never_taken(struct weir_policy *policy)
{
    struct weir_permit permit = { .owner = 0 };
    give(policy, &permit);
}

static void give_what_was_refused(struct weir_policy *policy)
{
    struct weir_permit permit = { .owner = 0 };
    uint64_t at_ns;
    weir_policy_set_mode(policy, WEIR_MODE_FORCED_OPEN);
    switch (weir_policy_kind(policy)[1]) {
    case 'r': DROP(weir_breaker_acquire_at(policy, &permit, START)); break;
    case 'u': DROP(weir_bulkhead_acquire(policy, 1, &permit)); break;
    default: DROP(weir_rate_reserve_at(policy, 1, 0, START, &permit, &at_ns)); break;
    }
    give(policy, &permit);
}

TEST(rules, a_permit_goes_back_once_to_whom_it_came_from)
{
    static const struct {
        struct weir_policy *(*make)(void);
        const char *message;
    } kinds[] = { { a_breaker, "weir: weir_breaker_release_at: the permit is of another policy" },
        { a_bulkhead, "weir: weir_bulkhead_release: the permit is of another policy" },
        { a_wide_bulkhead, "weir: weir_bulkhead_release: the permit is of another policy" },
        { a_rate, "weir: weir_rate_give_back_at: the permit is of another policy" } };
    for (int i = 0; i < 4; i++) {
        for (int other = 0; other < 4; other++) { /* of the same kind, too */
            CHECK_ABORTS(give_to(kinds[other].make(), kinds[i].make()), kinds[i].message);
        }
        CHECK_ABORTS(give_twice(kinds[i].make(), WEIR_MODE_ON), kinds[i].message);
        CHECK_ABORTS(give_twice(kinds[i].make(), WEIR_MODE_SHADOW), kinds[i].message);
        CHECK_ABORTS(give_twice(kinds[i].make(), WEIR_MODE_DISABLED), kinds[i].message);
        CHECK_ABORTS(give_what_was_never_taken(kinds[i].make()), kinds[i].message);
        CHECK_ABORTS(give_what_was_refused(kinds[i].make()), kinds[i].message);
    }
}

static void release_a_breakers_twice(void)
{
    struct weir_policy *breaker = a_breaker();
    struct weir_permit permit;
    take(breaker, &permit);
    weir_breaker_release(breaker, &permit, outcome_of(WEIR_OK));
    weir_breaker_release(breaker, &permit, outcome_of(WEIR_OK));
}

static void drop_while_taken(struct weir_policy *policy)
{
    struct weir_permit permit;
    take(policy, &permit);
    weir_policy_release(policy);
}

TEST(rules, the_last_reference_is_not_dropped_while_a_permit_is_out)
{
    static const char message[] = "weir: weir_policy_release: the last reference is dropped while a permit";
    CHECK_ABORTS(drop_while_taken(a_bulkhead()), message);
    CHECK_ABORTS(drop_while_taken(a_wide_bulkhead()), message);
    CHECK_ABORTS(release_a_breakers_twice(), "weir: weir_breaker_release: the permit is of another policy");
}

/* ---- nothing at all, and what there is not ---- */

TEST(rules, a_weight_is_not_0)
{
    struct weir_policy *bulkhead = a_bulkhead(), *rate = a_rate();
    struct weir_permit permit;
    uint64_t at_ns;
    CHECK_ABORTS(
        DROP(weir_bulkhead_acquire(bulkhead, 0, &permit)), "weir: weir_bulkhead_acquire: weight is 0");
    CHECK_ABORTS(DROP(weir_rate_acquire(rate, 0)), "weir: weir_rate_acquire: cost is 0");
    CHECK_ABORTS(DROP(weir_rate_acquire_at(rate, 0, START)), "weir: weir_rate_acquire_at: cost is 0");
    CHECK_ABORTS(DROP(weir_rate_reserve_at(rate, 0, 0, START, &permit, &at_ns)),
        "weir: weir_rate_reserve_at: cost is 0");
    weir_policy_release(bulkhead);
    weir_policy_release(rate);
}

TEST(rules, a_mode_is_one_of_the_modes)
{
    struct weir_policy *policy = nobody();
    CHECK_ABORTS(weir_policy_set_mode(policy, (enum weir_mode)(WEIR_MODE_FORCED_CLOSED + 1)),
        "weir: weir_policy_set_mode: no such mode");
    CHECK_ABORTS(
        weir_policy_set_mode(policy, (enum weir_mode) - 1), "weir: weir_policy_set_mode: no such mode");
    weir_policy_release(policy);
}

/* ---- a policy of another kind ---- */

#define OF_ANOTHER_KIND(function, ...)                  \
    CHECK_ABORTS(                                       \
        {                                               \
            __auto_type answer = function(__VA_ARGS__); \
            (void)answer;                               \
        },                                              \
        "weir: " #function ": the policy is of another kind")
#define GIVING_TO_ANOTHER_KIND(function, ...) \
    CHECK_ABORTS(function(__VA_ARGS__), "weir: " #function ": the policy is of another kind")

TEST(rules, statistics_are_of_their_own_kind)
{
    struct weir_policy *of[] = { a_breaker(), a_bulkhead(), a_rate(), POLICY(timeout, .name = "t"),
        POLICY(retry, .name = "r"), POLICY(fallback, .name = "f"), nobody() };
    for (int i = 0; i < 7; i++) {
        if (i != 0) OF_ANOTHER_KIND(weir_breaker_stats, of[i], START);
        if (i != 1) OF_ANOTHER_KIND(weir_bulkhead_stats, of[i]);
        if (i != 2) OF_ANOTHER_KIND(weir_rate_stats, of[i], START);
        if (i != 3) OF_ANOTHER_KIND(weir_timeout_stats, of[i]);
        if (i != 4) OF_ANOTHER_KIND(weir_retry_stats, of[i]);
        if (i != 5) OF_ANOTHER_KIND(weir_fallback_stats, of[i]);
        OF_ANOTHER_KIND(weir_gate_stats, of[i]);
        OF_ANOTHER_KIND(weir_chaos_stats, of[i]);
        weir_policy_release(of[i]);
    }
}

TEST(rules, what_acts_on_a_policy_acts_on_its_own_kind)
{
    struct weir_policy *timeout = POLICY(timeout, .name = "t");
    struct weir_permit permit = { .owner = 0 };
    uint64_t at_ns;
    OF_ANOTHER_KIND(weir_breaker_acquire, timeout, &permit);
    OF_ANOTHER_KIND(weir_breaker_acquire_at, timeout, &permit, START);
    GIVING_TO_ANOTHER_KIND(weir_breaker_release, timeout, &permit, outcome_of(WEIR_OK));
    GIVING_TO_ANOTHER_KIND(weir_chaos_set_enabled, timeout, true);
    GIVING_TO_ANOTHER_KIND(weir_breaker_release_at, timeout, &permit, outcome_of(WEIR_OK), START);
    OF_ANOTHER_KIND(weir_bulkhead_acquire, timeout, 1, &permit);
    GIVING_TO_ANOTHER_KIND(weir_bulkhead_release, timeout, &permit);
    OF_ANOTHER_KIND(weir_bulkhead_set_limit, timeout, 1);
    OF_ANOTHER_KIND(weir_gate_set_share, timeout, 1);
    OF_ANOTHER_KIND(weir_rate_acquire, timeout, 1);
    OF_ANOTHER_KIND(weir_rate_acquire_at, timeout, 1, START);
    OF_ANOTHER_KIND(weir_rate_reserve_at, timeout, 1, 0, START, &permit, &at_ns);
    GIVING_TO_ANOTHER_KIND(weir_rate_give_back_at, timeout, &permit, START);
    weir_policy_release(timeout);
}
