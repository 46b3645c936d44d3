/* A call that goes by the fast lists and one that goes by the full list leave the same trace: random calls
 * through random pipelines, each in two worlds. In the second an innocuous policy is in a mode of its own, so
 * that no call of it may take the fast lists. Every step, every outcome, every word that a policy is shown and
 * every counter must be the same. */
#include "pipeline/machine_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CALLS 3
#define SEEDS 4000
#define EVENTS 60

struct world {
    struct weir_pipeline *pipeline;
    struct weir_policy *policy[8];
    size_t count;
    struct spy_log log;
    struct weir_call call[CALLS];
    struct weir_step step[CALLS];
    struct weir_context context[CALLS];
    uint32_t posts[CALLS];
    bool active[CALLS];
};

static uint64_t draws; /* the script's own sequence; both worlds begin a step with the same */

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % bound;
}

static struct weir_verdict script_admit(
    uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)call;
    if (spy == 7) return (struct weir_verdict) { .kind = WEIR_PASS }; /* a quiet one may not */
    bool again = call->held != 0;
    if (again && now_ns < slot->word[0])
        return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = slot->word[0] };
    uint64_t lot = draw(&draws, 20);
    if (lot == 0) {
        return (
            struct weir_verdict) { .kind = WEIR_REFUSE, .reason = WEIR_REASON_CUSTOM, .at_ns = now_ns + 5 };
    }
    if (lot > 2 || again) return (struct weir_verdict) { .kind = WEIR_PASS };
    *slot = (struct weir_slot) { { now_ns + 3 * WEIR_MS, 77 } };
    return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = slot->word[0] };
}

static struct weir_verdict script_settle(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)slot;
    if (spy == 7 && outcome->status == WEIR_OK)
        return (struct weir_verdict) { .kind = WEIR_PASS }; /* quiet */
    uint64_t lot = draw(&draws, outcome->status == WEIR_OK ? 20 : 10);
    if (lot == 0) {
        outcome->code = 4711;
        if (outcome->status == WEIR_OK) outcome->status = WEIR_FAILED;
        return (struct weir_verdict) { .kind = WEIR_ANSWER };
    }
    if (lot == 1 && call->attempt.number < 4) {
        return (struct weir_verdict) { .kind = WEIR_AGAIN, .at_ns = now_ns + draw(&draws, 3) * WEIR_MS };
    }
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

static const struct spy_script script = { .admit = script_admit, .settle = script_settle };

static struct weir_policy *random_policy(
    struct world *world, uint64_t *seed, uint8_t position, uint32_t *used)
{
    uint64_t lot = draw(seed, 8), some = draw(seed, 4);
    if ((*used & (1u << lot)) != 0 && lot != 0) lot = 0;
    *used |= 1u << lot;
    switch (lot) {
    case 1: return spy_of(&spy_quiet_ops, 7, &world->log, &script);
    case 2: return POLICY(timeout, .timeout_ns = (2 + 4 * some) * WEIR_MS);
    case 3: return POLICY(retry, .attempts = 3, .base_ns = WEIR_MS, .max_ns = 4 * WEIR_MS);
    case 4:
        return POLICY(breaker, .seed = 5, .open_ns = 2 * WEIR_MS, .ramp_ns = 2 * WEIR_MS, .consecutive = 2,
            .probe_ns = 4 * WEIR_MS, .probes = 1 + (uint32_t)some);
    case 5:
        return POLICY(bulkhead, .limit = 1 + (uint32_t)some, .queue = 2, .wait_max_ns = 6 * WEIR_MS,
            .form = some % 2 ? WEIR_FORM_SINGLE : WEIR_FORM_SHARDED);
    case 6: return POLICY(rate, .permits = 300, .burst = 2, .wait_max_ns = 5 * WEIR_MS * (some % 2));
    case 7: return POLICY(fallback, .on = some % 2 ? WEIR_ON(WEIR_FAILED) : 0);
    default: return spy_of(some == 3 ? &spy_lasting_ops : &spy_ops, position, &world->log, &script);
    }
}

static void make(struct world *world, uint64_t seed, bool full)
{
    memset(world, 0, sizeof *world);
    uint32_t used = 0;
    world->count = 2 + draw(&seed, 5);
    for (uint8_t i = 0; i + 1u < world->count; i++) world->policy[i] = random_policy(world, &seed, i, &used);
    world->policy[world->count - 1] = nobody();
    world->pipeline = pipeline_of(world->policy, world->count);
    if (full) weir_policy_set_mode(world->policy[world->count - 1], WEIR_MODE_FORCED_CLOSED);
    /* A typical call takes no time, so that retries do not depend on which calls were timed (both_are_timed). */
    struct weir_histogram *latency = (struct weir_histogram *)weir_pipeline_latency(world->pipeline);
    for (int i = 0; i < 2 * EVENTS; i++) weir_histogram_record(latency, 0);
}

static void count_post(void *argument)
{
    ++*(uint32_t *)argument;
}

static void begin(struct world *world, int i, uint64_t lot, uint64_t now_ns)
{
    uint64_t deadline_ns = lot % 3 == 0 ? now_ns + lot % 13 * WEIR_MS : WEIR_NEVER;
    weir_context_child(&world->context[i], NULL, deadline_ns, NULL);
    struct weir_call_options options = { .size = sizeof options,
        .seed = lot + 1,
        .weight = lot % 7 == 6 ? 2 : 1,
        .idempotent = lot % 2 == 0,
        .context = &world->context[i],
        .waker = { count_post, &world->posts[i] } };
    world->active[i] = true;
    world->step[i] = weir_call_begin(&world->call[i], world->pipeline, &options, now_ns);
}

/* One event, drawn from lot; the same in both worlds as long as their steps are the same. */
static void act(struct world *world, int i, uint64_t lot, uint64_t now_ns)
{
    struct weir_call *call = &world->call[i];
    struct weir_step *step = &world->step[i];
    static const enum weir_status statuses[] = { WEIR_OK, WEIR_OK, WEIR_OK, WEIR_FAILED, WEIR_FAILED,
        WEIR_FAILED, WEIR_EXPIRED, WEIR_CANCELED, WEIR_OVERLOADED, WEIR_IGNORED, WEIR_REJECTED };
    struct weir_outcome outcome = outcome_of(statuses[lot / 16 % 11]);
    outcome.code = (int32_t)(lot % 100);
    if (outcome.status == WEIR_FAILED) outcome.flags = lot % 3 == 0 ? WEIR_NOT_SENT : 0;
    if (outcome.status == WEIR_OVERLOADED) outcome.retry_after_ns = lot % 3 * WEIR_MS;
    bool owed = step->action == WEIR_RUN || step->pending != 0;
    if (!world->active[i]) {
        begin(world, i, lot, now_ns);
    } else if (lot % 16 == 0) {
        uint8_t action = step->action;
        struct weir_step next = weir_call_cancel(call, now_ns);
        if (action != WEIR_RUN || next.action != WEIR_WAIT) *step = next;
    } else if (lot % 16 < 5 || !owed) {
        struct weir_step next = weir_call_wake(call, now_ns);
        bool runs_on = step->action == WEIR_RUN && next.action == WEIR_WAIT && next.pending == 0;
        if (!runs_on) *step = next;
    } else {
        *step = weir_call_settle(call, (uint32_t)call->attempt.number, outcome, now_ns);
    }
    if (world->step[i].action == WEIR_DONE && world->step[i].pending == 0) world->active[i] = false;
}

static void differ(uint64_t seed, int event, const char *what)
{
    fprintf(stderr, "seed %" PRIu64 ", event %d: %s differs\n", seed, event, what);
    CHECK(!"the fast lists and the full list leave the same trace");
}

static void compare(const struct world *fast, const struct world *full, int i, uint64_t seed, int event)
{
    const struct weir_step *one = &fast->step[i], *two = &full->step[i];
    if (one->action != two->action) differ(seed, event, "step.action");
    if (one->action == WEIR_RUN && one->attempt != two->attempt) differ(seed, event, "step.attempt");
    if (one->what != two->what || one->pending != two->pending) differ(seed, event, "step.what or .pending");
    if (one->abandon_mask != two->abandon_mask) differ(seed, event, "step.abandon_mask");
    if (one->action != WEIR_DONE && one->at_ns != two->at_ns) differ(seed, event, "step.at_ns");
    if (one->action == WEIR_DONE) {
        struct weir_outcome a = weir_call_outcome(&fast->call[i]), b = weir_call_outcome(&full->call[i]);
        if (memcmp(&a, &b, sizeof a) != 0) differ(seed, event, "the outcome");
    } else if (fast->call[i].attempt.deadline_ns != full->call[i].attempt.deadline_ns) {
        differ(seed, event, "the deadline");
    }
    if (fast->log.count != full->log.count) differ(seed, event, "how often policies were asked");
    if (memcmp(fast->log.note, full->log.note, fast->log.count * sizeof fast->log.note[0]) != 0) {
        differ(seed, event, "what policies were asked");
    }
    if (memcmp(fast->posts, full->posts, sizeof fast->posts) != 0) differ(seed, event, "wakers posted");
}

/* By memcmp: statistics have no padding, and must not. */
static void compare_stats(const struct world *fast, const struct world *full, uint64_t seed, uint64_t now_ns)
{
    for (size_t i = 0; i < fast->count; i++) {
        const struct weir_policy *one = fast->policy[i], *two = full->policy[i];
        const char *kind = weir_policy_kind(one);
#define SAME(name, ...)                                                                    \
    if (strcmp(kind, #name) == 0) {                                                        \
        struct weir_##name##_stats a = weir_##name##_stats(one, ##__VA_ARGS__);            \
        struct weir_##name##_stats b = weir_##name##_stats(two, ##__VA_ARGS__);            \
        if (memcmp(&a, &b, sizeof a) != 0) differ(seed, EVENTS, "statistics of a " #name); \
    }
        SAME(breaker, now_ns)
        SAME(bulkhead)
        SAME(rate, now_ns)
        SAME(timeout)
        SAME(retry)
        SAME(fallback)
    }
    struct weir_pipeline_stats a = weir_pipeline_stats(fast->pipeline),
                               b = weir_pipeline_stats(full->pipeline);
    a.timed = b.timed = 0;
    if (memcmp(&a, &b, sizeof a) != 0) differ(seed, EVENTS, "statistics of the pipeline");
}

static void finish(struct world *world, uint64_t now_ns)
{
    for (int i = 0; i < CALLS; i++) {
        if (!world->active[i]) continue;
        struct weir_step step = weir_call_cancel(&world->call[i], now_ns);
        if (step.pending != 0)
            step =
                weir_call_settle(&world->call[i], world->call[i].attempt.number, outcome_of(WEIR_OK), now_ns);
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(step.pending, 0);
    }
}

TEST(machine_trace, fast_and_full_lists_leave_the_same_trace)
{
    static struct world fast, full;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        make(&fast, seed, false);
        make(&full, seed, true);
        uint64_t sequence = seed * 7919, now_ns = START;
        for (int event = 0; event < EVENTS; event++) {
            int i = (int)draw(&sequence, CALLS);
            uint64_t lot = draw(&sequence, 1 << 20);
            now_ns += draw(&sequence, 4) * WEIR_MS / 2;
            draws = lot;
            act(&fast, i, lot, now_ns);
            draws = lot;
            act(&full, i, lot, now_ns);
            compare(&fast, &full, i, seed, event);
        }
        draws = 1;
        finish(&fast, now_ns);
        draws = 1;
        finish(&full, now_ns);
        compare_stats(&fast, &full, seed, now_ns);
        check_paid(&fast.log);
        check_paid(&full.log);
        CHECK_EQ(weir_pipeline_stats(fast.pipeline).in_flight, 0);
        weir_pipeline_destroy(fast.pipeline);
        weir_pipeline_destroy(full.pipeline);
    }
}

/* ---- single differences ---- */

static struct weir_verdict change_ok(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)call;
    (void)now_ns;
    if (outcome->status != WEIR_OK) return (struct weir_verdict) { .kind = WEIR_PASS };
    *outcome = (struct weir_outcome) { .status = WEIR_FAILED, .code = 9 };
    return (struct weir_verdict) { .kind = WEIR_ANSWER };
}

static struct weir_verdict once_more(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)outcome;
    bool first = call->attempt.number == 1;
    return (struct weir_verdict) { .kind = first ? WEIR_AGAIN : WEIR_PASS, .at_ns = now_ns };
}

/* Both worlds: one call through a spy with that script; the operation says `outcome` each time. */
static struct weir_outcome through(
    const struct spy_script *with, struct weir_outcome outcome, bool full, struct weir_pipeline_stats *stats)
{
    static struct spy_log log;
    memset(&log, 0, sizeof log);
    struct weir_policy *idle = nobody();
    struct weir_pipeline *pipeline = PIPELINE(spy_of(&spy_ops, 0, &log, with), idle);
    if (full) weir_policy_set_mode(idle, WEIR_MODE_FORCED_CLOSED);
    struct weir_call call;
    struct weir_step step = weir_call_begin(&call, pipeline, NULL, START);
    while (step.action == WEIR_RUN) step = weir_call_settle(&call, step.attempt, outcome, START + 1);
    CHECK_EQ(step.action, WEIR_DONE);
    *stats = weir_pipeline_stats(pipeline);
    weir_pipeline_destroy(pipeline);
    return weir_call_outcome(&call);
}

/* The bulkhead grants what is free to whoever queues up, if he is the first that was not granted yet. */
TEST(machine_trace, a_call_granted_while_it_queues_up_runs_at_once)
{
    for (int full = 0; full < 2; full++) {
        struct weir_policy *idle = nobody(), *bulkhead = POLICY(bulkhead, .limit = 2, .queue = 4);
        struct weir_pipeline *pipeline = PIPELINE(bulkhead, idle);
        struct weir_call call[4];
        if (full) weir_policy_set_mode(idle, WEIR_MODE_FORCED_CLOSED);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(weir_call_begin(&call[i], pipeline, NULL, START).action, WEIR_RUN);
        CHECK_EQ(weir_call_begin(&call[2], pipeline, NULL, START).action, WEIR_WAIT);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(weir_call_settle(&call[i], 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
        }
        CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 1); /* granted to 2, who has not looked yet */
        CHECK_EQ(weir_call_begin(&call[3], pipeline, NULL, START).action, WEIR_RUN);
        for (int i = 2; i < 4; i++) {
            (void)!weir_call_wake(&call[i], START).action;
            CHECK_EQ(weir_call_settle(&call[i], 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
        }
        weir_pipeline_destroy(pipeline);
    }
}

static uint64_t seen_ns;

static struct weir_verdict look_at_deadline(
    uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)spy;
    (void)slot;
    (void)now_ns;
    seen_ns = weir_call_attempt(call)->deadline_ns;
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

TEST(machine_trace, a_policy_sees_the_deadline_of_its_own_place)
{
    static const struct spy_script with = { .admit = look_at_deadline };
    static struct spy_log log;
    for (int full = 0; full < 2; full++) {
        struct weir_policy *idle = nobody();
        struct weir_pipeline *pipeline = PIPELINE(POLICY(timeout, .timeout_ns = 5 * WEIR_S),
            spy_of(&spy_ops, 0, &log, &with), POLICY(timeout, .timeout_ns = WEIR_S), idle);
        if (full) weir_policy_set_mode(idle, WEIR_MODE_FORCED_CLOSED);
        struct weir_call call;
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
        CHECK_EQ(call.attempt.deadline_ns, START + WEIR_S);
        CHECK_EQ(seen_ns, START + 5 * WEIR_S);
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(machine_trace, a_policy_may_answer_for_an_ok_outcome)
{
    static const struct spy_script with = { .settle = change_ok };
    for (int full = 0; full < 2; full++) {
        struct weir_pipeline_stats stats;
        struct weir_outcome outcome = through(&with, outcome_of(WEIR_OK), full, &stats);
        CHECK_EQ(outcome.status, WEIR_FAILED);
        CHECK_EQ(outcome.code, 9);
        CHECK_EQ(stats.ended[WEIR_FAILED], 1);
        CHECK_EQ(stats.ended[WEIR_OK], 0);
    }
}

TEST(machine_trace, a_policy_may_run_an_ok_outcome_again)
{
    static const struct spy_script with = { .settle = once_more };
    for (int full = 0; full < 2; full++) {
        struct weir_pipeline_stats stats;
        CHECK_EQ(through(&with, outcome_of(WEIR_OK), full, &stats).status, WEIR_OK);
        CHECK_EQ(stats.attempts, 2);
        CHECK_EQ(stats.ended[WEIR_OK], 1);
    }
}

TEST(machine_trace, flags_of_an_ok_outcome_are_the_same)
{
    static const struct spy_script with = { .admit = NULL };
    struct weir_outcome said = { .status = WEIR_OK, .flags = 0xff, .by = 3, .reason = 5, .code = 7 }, one,
                        two;
    struct weir_pipeline_stats stats;
    one = through(&with, said, false, &stats);
    two = through(&with, said, true, &stats);
    CHECK_EQ(one.flags, two.flags);
    CHECK_EQ(one.flags, 0);
    CHECK_EQ(one.by, 0);
    CHECK_EQ(two.by, 0);
    CHECK_EQ(two.reason, WEIR_REASON_NONE);
    CHECK_EQ(two.code, 7);
}

TEST(machine_trace, both_are_timed)
{
    static const struct spy_script with = { .admit = NULL };
    struct weir_pipeline_stats fast, full;
    through(&with, outcome_of(WEIR_OK), false, &fast);
    through(&with, outcome_of(WEIR_OK), true, &full);
    CHECK_EQ(fast.timed, 1);
    CHECK_EQ(full.timed, 1);
}
