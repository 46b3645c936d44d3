/* Classifiers: judged before any policy learns of it, by weir_run() and by drivers of their own. */
#include "pipeline/machine_words.h"

#include <errno.h>

/* ---- a callee that only has a number ---- */

struct callee {
    struct weir_outcome says;
    uint32_t ran;
};

static struct weir_outcome answer(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct callee *callee = argument;
    callee->ran++;
    return callee->says;
}

/* ---- judges ---- */

struct judge {
    uint32_t asked;
    int32_t seen;
    struct weir_outcome says;
};

static struct weir_outcome note_and_say(void *argument, struct weir_outcome outcome)
{
    struct judge *judge = argument;
    judge->asked++;
    judge->seen = outcome.code;
    return judge->says;
}

/* For this callee a 404 is its failure: it has lost what we stored there. */
static struct weir_outcome lost_is_failed(void *argument, struct weir_outcome outcome)
{
    struct weir_outcome judged = weir_classify_http(argument, outcome);
    if (judged.code == 404) judged.status = WEIR_FAILED;
    return judged;
}

static struct weir_pipeline *judged_by(
    struct weir_outcome (*classify)(void *, struct weir_outcome), void *argument, struct weir_policy *policy)
{
    struct weir_pipeline *pipeline = NULL;
    const struct weir_classifier classifier = { classify, argument };
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .classifier = &classifier), &policy, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(policy);
    return pipeline;
}

static struct weir_outcome run_code(
    const struct weir_pipeline *pipeline, const struct weir_call_options *options, int code)
{
    struct callee callee = { .says = weir_from_code(code) };
    return weir_run_at(pipeline, options, answer, &callee, START);
}

/* ---- the ready ones ---- */

struct expected {
    int code;
    enum weir_status status;
    uint8_t flags;
};

static void check_ready(struct weir_outcome (*classify)(void *, struct weir_outcome),
    const struct expected *expected, size_t count)
{
    struct weir_pipeline *pipeline = judged_by(classify, NULL, nobody());
    for (size_t i = 0; i < count; i++) {
        struct weir_outcome outcome = run_code(pipeline, NULL, expected[i].code);
        CHECK_EQ(outcome.status, expected[i].status);
        CHECK_EQ(outcome.code, expected[i].code);
        CHECK_EQ(outcome.flags, expected[i].flags);
        CHECK_EQ(outcome.by, 0);
    }
    weir_pipeline_destroy(pipeline);
}

TEST(classifier, errno_values)
{
    static const struct expected expected[] = {
        { 0, WEIR_OK, 0 },
        { EIO, WEIR_FAILED, 0 },
        { ECANCELED, WEIR_CANCELED, 0 },
        { EBUSY, WEIR_OVERLOADED, 0 },
        { ECONNREFUSED, WEIR_FAILED, WEIR_NOT_SENT },
    };
    check_ready(weir_classify_errno, expected, sizeof expected / sizeof expected[0]);
}

TEST(classifier, numbers)
{
    static const struct expected expected[] = { { 0, WEIR_OK, 0 }, { 1, WEIR_FAILED, 0 },
        { -1, WEIR_FAILED, 0 } };
    check_ready(weir_classify_int, expected, sizeof expected / sizeof expected[0]);
}

TEST(classifier, http_statuses)
{
    static const struct expected expected[] = { { 200, WEIR_OK, 0 }, { 404, WEIR_OK, 0 },
        { 500, WEIR_FAILED, 0 }, { 503, WEIR_OVERLOADED, 0 }, { 429, WEIR_OVERLOADED, 0 },
        { 0, WEIR_FAILED, 0 } };
    check_ready(weir_classify_http, expected, sizeof expected / sizeof expected[0]);
}

TEST(classifier, ready_ones_keep_what_more_was_said)
{
    struct weir_outcome busy = { .status = WEIR_OK, .code = 503, .retry_after_ns = 7 * WEIR_S };
    busy = weir_classify_http(NULL, busy);
    CHECK_EQ(busy.status, WEIR_OVERLOADED);
    CHECK_EQ(busy.retry_after_ns, 7 * WEIR_S);
    busy = weir_classify_errno(
        NULL, (struct weir_outcome) { .status = WEIR_OK, .code = EBUSY, .retry_after_ns = 5 });
    CHECK_EQ(busy.status, WEIR_OVERLOADED);
    CHECK_EQ(busy.retry_after_ns, 5);
    busy = weir_classify_int(
        NULL, (struct weir_outcome) { .status = WEIR_OK, .code = 1, .flags = WEIR_NOT_REPEATABLE });
    CHECK_EQ(busy.status, WEIR_FAILED);
    CHECK_EQ(busy.flags, WEIR_NOT_REPEATABLE);
    for (int status = WEIR_OK + 1; status < WEIR_STATUSES; status++) { /* a nested call that was refused */
        const struct weir_outcome known = { .status = (uint8_t)status, .flags = WEIR_NOT_SENT, .code = 0 };
        struct weir_outcome judged[] = { weir_classify_errno(NULL, known), weir_classify_int(NULL, known),
            weir_classify_http(NULL, known) };
        for (size_t i = 0; i < 3; i++) {
            CHECK_EQ(judged[i].status, status);
            CHECK_EQ(judged[i].flags, WEIR_NOT_SENT);
        }
    }
}

/* ---- one of one's own, and what the policies see ---- */

TEST(classifier, without_one_a_number_is_ok)
{
    struct weir_pipeline *pipeline = PIPELINE(nobody());
    CHECK_EQ(run_code(pipeline, NULL, 500).status, WEIR_OK);
    CHECK_EQ(run_code(pipeline, NULL, 500).code, 500);
    weir_pipeline_destroy(pipeline);
}

TEST(classifier, a_breaker_counts_what_it_says)
{
    struct weir_policy *breaker = POLICY(breaker, .consecutive = 3);
    struct weir_pipeline *pipeline = judged_by(lost_is_failed, NULL, breaker);
    for (int i = 0; i < 4; i++) CHECK_EQ(run_code(pipeline, NULL, 400).status, WEIR_OK);
    CHECK_EQ(weir_breaker_stats(breaker, START).opened, 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(run_code(pipeline, NULL, 404).status, WEIR_FAILED);
    CHECK_EQ(weir_breaker_stats(breaker, START).opened, 1);
    CHECK_EQ(run_code(pipeline, NULL, 200).reason, WEIR_REASON_BREAKER_OPEN);
    weir_pipeline_destroy(pipeline);
}

/* Judged OK though the operation said FAILED: by the fast lists too. */
TEST(classifier, it_may_forgive)
{
    struct judge judge = { .says = { .status = WEIR_OK, .code = 3 } };
    struct weir_policy *breaker = POLICY(breaker, .consecutive = 1);
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, breaker);
    struct callee callee = { .says = weir_from_errno(ENOENT) };
    struct weir_outcome outcome = weir_run(pipeline, NULL, answer, &callee);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.code, 3);
    CHECK_EQ(judge.seen, ENOENT);
    CHECK_EQ(judge.asked, 1);
    CHECK_EQ(weir_breaker_stats(breaker, START).opened, 0);
    weir_pipeline_destroy(pipeline);
}

/* The first attempt ends on the fast lists, those that follow in the driver's loop. */
TEST(classifier, a_retry_repeats_what_it_says_each_attempt_judged)
{
    struct judge judge = { .says = { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT, .code = 9 } };
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, POLICY(retry, .attempts = 3));
    struct callee callee = { .says = weir_from_code(0) };
    struct weir_outcome outcome = weir_run_at(pipeline, NULL, answer, &callee, START);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.code, 9);
    CHECK_EQ(callee.ran, 3);
    CHECK_EQ(judge.asked, 3);
    weir_pipeline_destroy(pipeline);
}

/* Only the operation knows whether its input is used up. */
TEST(classifier, what_cannot_be_repeated_stays_so)
{
    struct judge judge = { .says = { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT } };
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, POLICY(retry, .attempts = 3));
    struct callee callee = { .says = { .status = WEIR_OK, .flags = WEIR_NOT_REPEATABLE } };
    struct weir_outcome outcome = weir_run_at(pipeline, NULL, answer, &callee, START);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.flags, WEIR_NOT_SENT | WEIR_NOT_REPEATABLE);
    CHECK_EQ(callee.ran, 1);
    weir_pipeline_destroy(pipeline);
}

static struct weir_outcome fall_back(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return weir_from_code(500);
}

TEST(classifier, a_fallback_function_is_not_judged)
{
    struct weir_pipeline *pipeline =
        judged_by(weir_classify_http, NULL, POLICY(fallback, .function = fall_back));
    struct weir_outcome outcome = run_code(pipeline, NULL, 502);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK((outcome.flags & WEIR_DEGRADED) != 0);
    CHECK_EQ(outcome.code, 502); /* of what it hides */
    weir_pipeline_destroy(pipeline);
}

TEST(classifier, a_refused_call_is_not_judged)
{
    struct judge judge = { .says = { .status = WEIR_OK } };
    struct weir_policy *bulkhead = POLICY(bulkhead, .limit = 1);
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, bulkhead);
    weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(run_code(pipeline, NULL, 0).status, WEIR_REJECTED);
    CHECK_EQ(judge.asked, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(classifier, the_standard_pipeline_takes_one)
{
    struct weir_pipeline *pipeline = NULL;
    const struct weir_classifier http = { .classify = weir_classify_http };
    CHECK_EQ(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .classifier = &http), &pipeline),
        WEIR_E_NONE);
    CHECK_EQ(run_code(pipeline, NULL, 500).status, WEIR_FAILED);
    CHECK_EQ(run_code(pipeline, NULL, 200).status, WEIR_OK);
    weir_pipeline_destroy(pipeline);
}

/* ---- other drivers ---- */

TEST(classifier, a_driver_of_its_own_asks_for_it)
{
    struct weir_policy *breaker = POLICY(breaker, .consecutive = 1);
    struct weir_pipeline *judged = judged_by(weir_classify_http, NULL, breaker), *bare = PIPELINE(nobody());
    struct weir_call call;
    struct weir_step step = weir_call_begin(&call, judged, NULL, START);
    CHECK_EQ(step.action, WEIR_RUN);
    struct weir_outcome outcome = weir_call_classify(&call, weir_from_code(500));
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(weir_call_settle(&call, step.attempt, outcome, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).status, WEIR_FAILED);
    CHECK_EQ(weir_breaker_stats(breaker, START).opened, 1);

    step = weir_call_begin(&call, bare, NULL, START);
    CHECK_EQ(step.action, WEIR_RUN);
    outcome = weir_call_classify(&call, weir_from_code(500));
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.code, 500);
    CHECK_EQ(weir_call_settle(&call, step.attempt, outcome, START).action, WEIR_DONE);
    weir_pipeline_destroy(judged);
    weir_pipeline_destroy(bare);
}

/* ---- answers that are none ---- */

TEST(classifier, what_only_policies_say_is_taken_out_of_its_answer)
{
    struct judge judge = { .says = { .status = WEIR_FAILED,
                               .reason = WEIR_REASON_RATE,
                               .by = 9,
                               .flags = WEIR_LATE | WEIR_DEGRADED } };
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, nobody());
    struct weir_outcome outcome = run_code(pipeline, NULL, 0);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.reason, WEIR_REASON_NONE);
    CHECK_EQ(outcome.by, 0);
    CHECK_EQ(outcome.flags, 0);
    judge.says.status = WEIR_OK;
    outcome = run_code(pipeline, NULL, 0);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.reason, WEIR_REASON_NONE);
    CHECK_EQ(outcome.by, 0);
    CHECK_EQ(outcome.flags, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(classifier, misuse)
{
    struct judge judge = { .says = { .status = WEIR_STATUSES } };
    struct weir_pipeline *pipeline = judged_by(note_and_say, &judge, nobody());
    static const char none[] = "weir: weir_classifier.classify: the answer's status is none";
    CHECK_ABORTS((void)run_code(pipeline, NULL, 0), none);
    CHECK_ABORTS(
        (void)!weir_call_classify(NULL, weir_from_code(0)).code, "weir: weir_call_classify: call is NULL");
    weir_pipeline_destroy(pipeline);

    const struct weir_classifier empty = { 0 };
    pipeline = NULL;
    CHECK_EQ(
        weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .classifier = &empty), NULL, 0, &pipeline),
        WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_pipeline_config.classifier has classify NULL, expected a function");
    CHECK_EQ(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .classifier = &empty), &pipeline),
        WEIR_E_INVALID);
    CHECK(pipeline == NULL);
}
