/* The machine's two verdicts that end or keep an attempt without it: SKIP (admit) and HOLD (settle). */
#include "pipeline/machine_words.h"

#include <stdlib.h>

/* What spy 1 answers; the others pass. */
static struct weir_verdict admit_answer, settle_answer;
static uint32_t settles_that_hold;
static bool outer_is_stale;

static struct weir_verdict admit(uint8_t spy, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)slot;
    (void)call;
    (void)now_ns;
    if (spy == 0 && outer_is_stale) {
        return (struct weir_verdict) { .kind = WEIR_REFUSE, .reason = WEIR_REASON_CUSTOM };
    }
    return spy == 1 ? admit_answer : (struct weir_verdict) { 0 };
}

/* The outcome that spy 1 answers is OK, code 42. */
static struct weir_verdict settle(uint8_t spy, struct weir_slot *slot, struct weir_call *call,
    struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)slot;
    (void)now_ns;
    if (spy != 1) return (struct weir_verdict) { 0 };
    if (settles_that_hold > 0) {
        if (!weir_call_is_ending(call)) settles_that_hold--;
        return (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = now_ns + 10 };
    }
    if (settle_answer.kind == WEIR_ANSWER) *outcome = (struct weir_outcome) { .status = WEIR_OK, .code = 42 };
    return settle_answer;
}

static bool stale(uint8_t spy, const struct weir_slot *slot)
{
    (void)slot;
    return spy == 0 && outer_is_stale;
}

static const struct spy_script script = { admit, settle, stale };
static struct spy_log record;

static void forget(void)
{
    memset(&record, 0, sizeof record);
    admit_answer = settle_answer = (struct weir_verdict) { 0 };
    settles_that_hold = 0;
    outer_is_stale = false;
}

static struct weir_pipeline *spies(void)
{
    forget();
    return PIPELINE(spy_of(&spy_ops, 0, &record, &script), spy_of(&spy_ops, 1, &record, &script),
        spy_of(&spy_ops, 2, &record, &script));
}

static const struct spy_note *last_note(char what, uint8_t spy)
{
    for (uint32_t i = record.count; i-- > 0;) {
        if (record.note[i].what == what && record.note[i].spy == spy) return &record.note[i];
    }
    return NULL;
}

static void leave(struct weir_pipeline *pipeline)
{
    check_paid(&record);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- skip ---- */

TEST(machine_keep, a_skip_asks_nobody_inside_and_is_settled_at_once)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    admit_answer.kind = WEIR_SKIP;
    settle_answer.kind = WEIR_ANSWER;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
    CHECK_EQ(weir_call_outcome(&call).code, 42);
    CHECK(last_note('A', 2) == NULL && last_note('S', 2) == NULL);
    CHECK_EQ(last_note('S', 1)->status, WEIR_IGNORED);
    CHECK_EQ(last_note('S', 1)->by, 2);
    CHECK_EQ(last_note('S', 0)->status, WEIR_OK);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 1);
    leave(pipeline);
}

TEST(machine_keep, a_skip_whose_settle_makes_nothing_is_ignored)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    admit_answer.kind = WEIR_SKIP;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_IGNORED);
    CHECK_EQ(weir_call_outcome(&call).by, 2);
    leave(pipeline);
}

TEST(machine_keep, who_holds_may_skip_then)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    admit_answer = (struct weir_verdict) { .kind = WEIR_HOLD, .at_ns = START + 10 };
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
    admit_answer.kind = WEIR_SKIP;
    settle_answer.kind = WEIR_ANSWER;
    CHECK_EQ(weir_call_wake(&call, START + 10).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).code, 42);
    leave(pipeline);
}

TEST(machine_keep, in_shadow_a_skip_is_a_would_have)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    weir_policy_set_mode(weir_pipeline_policy(pipeline, 1), WEIR_MODE_SHADOW);
    admit_answer.kind = WEIR_SKIP;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).flags, WEIR_SHADOW);
    leave(pipeline);
}

/* A fallback's reserve has left no time: nothing starts, nothing is skipped. */
TEST(machine_keep, no_skip_after_the_deadline)
{
    forget();
    admit_answer.kind = WEIR_SKIP;
    struct weir_policy *reserve = NULL;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .reserve_ns = WEIR_S,
                                      .on = WEIR_ON(WEIR_REJECTED), .function = (weir_operation *)abort),
                 &reserve),
        WEIR_E_NONE);
    struct weir_pipeline *pipeline = PIPELINE(reserve, nobody(), spy_of(&spy_ops, 1, &record, &script));
    weir_policy_set_mode(weir_pipeline_policy(pipeline, 1), WEIR_MODE_SHADOW); /* by the full list */
    struct weir_context context;
    weir_context_child(&context, NULL, START + 10, NULL);
    struct weir_call call;
    CHECK_EQ(
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .context = &context), START).action,
        WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_EXPIRED);
    CHECK_EQ(weir_pipeline_stats(pipeline).attempts, 0);
    leave(pipeline);
}

/* ---- keep ---- */

TEST(machine_keep, what_is_kept_comes_out_as_it_was)
{
    for (int slow = 0; slow < 2; slow++) {
        struct weir_pipeline *pipeline = spies();
        struct weir_call call;
        if (slow) weir_policy_set_mode(weir_pipeline_policy(pipeline, 0), WEIR_MODE_SHADOW);
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
        settles_that_hold = 2;
        struct weir_outcome answer = { .status = WEIR_OK, .code = 7 };
        struct weir_step step = weir_call_settle(&call, 1, answer, START + 5);
        CHECK_EQ(step.action, WEIR_WAIT);
        CHECK_EQ(step.at_ns, START + 15);
        CHECK_EQ(step.pending, 0);
        CHECK(last_note('S', 0) == NULL);
        step = weir_call_wake(&call, START + 15);
        CHECK_EQ(step.action, WEIR_WAIT);
        CHECK_EQ(step.at_ns, START + 25);
        CHECK_EQ(weir_call_wake(&call, START + 25).action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
        CHECK_EQ(weir_call_outcome(&call).code, 7);
        CHECK_EQ(last_note('S', 1)->code, 7);
        CHECK_EQ(call.ran_ns, 25); /* from outside it ran until then */
        leave(pipeline);
    }
}

TEST(machine_keep, its_deadline_ends_what_is_kept)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_context context;
    struct weir_call call;
    weir_context_child(&context, NULL, START + 12, NULL);
    CHECK_EQ(
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .context = &context), START).action,
        WEIR_RUN);
    settles_that_hold = 9;
    struct weir_outcome answer = { .status = WEIR_FAILED, .flags = WEIR_NOT_REPEATABLE, .code = 7 };
    CHECK_EQ(weir_call_settle(&call, 1, answer, START + 5).at_ns, START + 12);
    CHECK_EQ(weir_call_wake(&call, START + 12).action, WEIR_DONE); /* it would hold on; that counts as PASS */
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_EXPIRED);
    CHECK_EQ(weir_call_outcome(&call).code, 0); /* what was kept never came out */
    CHECK_EQ(weir_call_outcome(&call).flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(last_note('S', 1)->status, WEIR_EXPIRED);
    leave(pipeline);
}

/* Of an answer that went well it matters only to who turns it into a failure; by the fast lists, too. */
TEST(machine_keep, that_it_cannot_be_repeated_is_forgotten_when_it_ends_well)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    struct weir_outcome answer = { .status = WEIR_OK, .flags = WEIR_NOT_REPEATABLE, .code = 7 };
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, answer, START + 5).action, WEIR_DONE);
    CHECK_EQ(last_note('S', 1)->flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(weir_call_outcome(&call).flags, 0);
    CHECK_EQ(weir_call_outcome(&call).code, 7);
    leave(pipeline);
}

TEST(machine_keep, a_timeout_further_out_ends_what_is_kept)
{
    forget();
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(timeout, .timeout_ns = WEIR_MS), spy_of(&spy_ops, 1, &record, &script));
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    settles_that_hold = 9;
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + 5).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_EXPIRED);
    CHECK_EQ(weir_call_outcome(&call).by, 1);
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).flags,
        WEIR_LATE); /* an answer all the same: it is not kept until it is none */
    leave(pipeline);
}

TEST(machine_keep, a_cancel_ends_what_is_kept)
{
    for (int by_context = 0; by_context < 2; by_context++) {
        struct weir_pipeline *pipeline = spies();
        struct weir_source *source;
        struct weir_context context;
        struct weir_call call;
        CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        CHECK_EQ(weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .context = &context), START)
                     .action,
            WEIR_RUN);
        settles_that_hold = 9;
        CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_WAIT);
        struct weir_step step;
        if (by_context) {
            weir_source_cancel(source, 1);
            step = weir_call_wake(&call, START + 1);
        } else {
            step = weir_call_cancel(&call, START + 1);
        }
        CHECK_EQ(step.action, WEIR_DONE);
        CHECK_EQ(weir_call_outcome(&call).status, WEIR_CANCELED);
        weir_source_release(source);
        leave(pipeline);
    }
}

TEST(machine_keep, nothing_is_kept_by_a_policy_under_a_hand)
{
    struct weir_pipeline *pipeline = spies();
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    settles_that_hold = 9;
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START).action, WEIR_WAIT);
    weir_policy_set_mode(weir_pipeline_policy(pipeline, 1), WEIR_MODE_SHADOW);
    CHECK_EQ(weir_call_wake(&call, START + 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
    leave(pipeline);
}

/* The call waits for its turn inside both spies, and the outer one will be asked anew. */
static struct weir_pipeline *waits_while_the_outer_ages(struct weir_call *call)
{
    forget();
    struct weir_policy *rate =
        POLICY(rate, .permits = 1, .period_ns = WEIR_MS, .burst = 1, .wait_max_ns = WEIR_S);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).status, WEIR_OK);
    struct weir_pipeline *waiting =
        PIPELINE(spy_of(&spy_ops, 0, &record, &script), spy_of(&spy_ops, 1, &record, &script), rate);
    CHECK_EQ(weir_call_begin(call, waiting, NULL, START).action, WEIR_WAIT);
    outer_is_stale = true;
    return waiting;
}

/* A call that was refused further out after a wait is not kept further in. */
TEST(machine_keep, a_refusal_from_further_out_is_not_kept)
{
    struct weir_call call;
    struct weir_pipeline *waiting = waits_while_the_outer_ages(&call);
    settles_that_hold = 1;
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_REJECTED);
    CHECK_EQ(settles_that_hold, 1);
    leave(waiting);
}

/* Nor is it tried again: that would be refused for ever. */
TEST(machine_keep, after_a_refusal_from_further_out_nothing_is_tried_again)
{
    struct weir_call call;
    struct weir_pipeline *waiting = waits_while_the_outer_ages(&call);
    settle_answer.kind = WEIR_AGAIN;
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_REJECTED);
    leave(waiting);
}

/* And nothing is once the time is over. */
TEST(machine_keep, without_time_nothing_is_tried_again)
{
    forget();
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(timeout, .timeout_ns = WEIR_MS), spy_of(&spy_ops, 1, &record, &script));
    struct weir_call call;
    settle_answer.kind = WEIR_AGAIN;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START + WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_EXPIRED);
    leave(pipeline);
}

/* One that is asked anew after each wait: it lets in at first, then holds; what expires it wants once more. */
static int anew_asked, anew_owed;

static struct weir_verdict anew_admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)now_ns;
    if (call->held != call->cursor + 1) anew_owed++;
    bool holds = anew_asked++ == 1;
    return (struct weir_verdict) { .kind = holds ? WEIR_HOLD : WEIR_PASS, .at_ns = WEIR_NEVER };
}

static struct weir_verdict anew_settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns)
{
    (void)config;
    (void)state;
    (void)slot;
    (void)call;
    if (outcome->status == WEIR_EXPIRED) {
        return (struct weir_verdict) { .kind = WEIR_AGAIN, .at_ns = now_ns };
    }
    anew_owed--;
    return (struct weir_verdict) { .kind = WEIR_PASS };
}

static bool anew_stale(const void *config, const void *state, const struct weir_slot *slot)
{
    (void)config;
    (void)state;
    (void)slot;
    return anew_asked == 1;
}

/* The timeout further in, of the time before the wait, ends the hold. */
TEST(machine_keep, who_held_and_tries_again_is_still_owed_its_settle)
{
    static const struct weir_policy_ops ops = {
        .size = sizeof ops, .kind = "anew", .admit = anew_admit, .settle = anew_settle, .stale = anew_stale
    };
    struct weir_policy *anew = NULL,
                       *rate = POLICY(
                           rate, .permits = 1, .period_ns = WEIR_MS, .burst = 1, .wait_max_ns = WEIR_S);
    CHECK_EQ(weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops), &anew), WEIR_E_NONE);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).status, WEIR_OK);
    struct weir_pipeline *pipeline = PIPELINE(anew, POLICY(timeout, .timeout_ns = 9 * WEIR_MS), rate);
    struct weir_call call;
    anew_asked = anew_owed = 0;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_WAIT);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS).action, WEIR_WAIT);
    CHECK_EQ(call.held, 1);
    CHECK_EQ(weir_call_wake(&call, START + 9 * WEIR_MS).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + 9 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(anew_owed, 0);
    weir_pipeline_destroy(pipeline);
}

/* But a refusal further in is, by one that was held itself until then, too. */
TEST(machine_keep, a_refusal_from_further_in_is_kept)
{
    forget();
    struct weir_policy *rate = POLICY(rate, .permits = 1, .burst = 1);
    CHECK_EQ(weir_rate_acquire_at(rate, 1, START).status, WEIR_OK);
    struct weir_pipeline *pipeline = PIPELINE(spy_of(&spy_ops, 1, &record, &script), rate);
    struct weir_call call;
    settles_that_hold = 1;
    struct weir_step step = weir_call_begin(&call, pipeline, NULL, START);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.at_ns, START + 10);
    CHECK_EQ(weir_call_wake(&call, START + 10).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_RATE);
    CHECK_EQ(call.ran_ns, 0); /* nothing ran */
    leave(pipeline);
}

/* An attempt that an inner timeout abandoned may end while its outcome is kept: the wait goes on as it was. */
TEST(machine_keep, abandoned_work_ends_meanwhile)
{
    forget();
    struct weir_pipeline *pipeline =
        PIPELINE(spy_of(&spy_ops, 1, &record, &script), POLICY(timeout, .timeout_ns = WEIR_MS));
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
    settles_that_hold = 1;
    struct weir_step step = weir_call_wake(&call, START + WEIR_MS);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.pending, 1);
    CHECK_EQ(step.at_ns, START + WEIR_MS + 10);
    step = weir_call_settle(&call, 1, outcome_of(WEIR_OK), START + WEIR_MS + 1);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.pending, 0);
    CHECK_EQ(step.at_ns, START + WEIR_MS + 10);
    CHECK_EQ(weir_call_wake(&call, START + WEIR_MS + 10).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_EXPIRED);
    leave(pipeline);
}

TEST(machine_keep, a_retry_outside_goes_on_after_it)
{
    forget();
    struct weir_pipeline *pipeline =
        PIPELINE(POLICY(retry, .attempts = 2, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = WEIR_MS),
            spy_of(&spy_ops, 1, &record, &script));
    struct weir_call call;
    CHECK_EQ(
        weir_call_begin(&call, pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), START).action,
        WEIR_RUN);
    settles_that_hold = 1;
    CHECK_EQ(weir_call_settle(&call, 1, outcome_of(WEIR_FAILED), START).action, WEIR_WAIT);
    struct weir_step step = weir_call_wake(&call, START + 10);
    CHECK_EQ(step.action, WEIR_WAIT);
    CHECK_EQ(step.at_ns, START + 10 + WEIR_MS);
    step = weir_call_wake(&call, step.at_ns);
    CHECK_EQ(step.action, WEIR_RUN);
    CHECK_EQ(step.attempt, 2);
    CHECK_EQ(weir_call_settle(&call, 2, outcome_of(WEIR_OK), START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
    leave(pipeline);
}

static struct weir_outcome ok(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

TEST(machine_keep, weir_run_waits_for_what_is_kept)
{
    struct weir_pipeline *pipeline = spies();
    settles_that_hold = 3;
    CHECK_EQ(weir_run_at(pipeline, NULL, ok, NULL, START).status, WEIR_OK);
    settles_that_hold = 3;
    CHECK_EQ(weir_run(pipeline, NULL, ok, NULL).status, WEIR_OK);
    CHECK_EQ(settles_that_hold, 0);
    leave(pipeline);
}
