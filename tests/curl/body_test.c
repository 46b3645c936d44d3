/* Whose body it is when a call has ended: that of its own last attempt, or nobody's. */
#include "curl/guard.h"

#include <string.h>

static struct origin_answer first_well(void *argument, const struct origin_request *request)
{
    (void)argument;
    if (request->number == 1) return origin_hello(200);
    return (struct origin_answer) { "HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops", ORIGIN_KEEP };
}

static struct weir_outcome call(
    const struct weir_pipeline *pipeline, struct weir_curl_body *body, const struct origin *origin)
{
    CURL *easy = handle_for(origin, "/");
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = body), easy);
    curl_easy_cleanup(easy);
    return outcome;
}

static struct weir_pipeline *around(struct weir_policy *outer, struct weir_policy *inner)
{
    struct weir_policy *order[] = { outer, inner };
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, order, inner == NULL ? 1 : 2, &pipeline), WEIR_E_NONE);
    weir_policy_release(outer);
    weir_policy_release(inner);
    return pipeline;
}

static struct weir_policy *fallback_of(weir_operation *function)
{
    struct weir_policy *fallback = NULL;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = function), &fallback),
        WEIR_E_NONE);
    return fallback;
}

/* A refusal makes no attempt: what an older call got is not handed out again. */
TEST(curl_body, a_refused_call_has_none)
{
    struct origin *origin = origin_start(first_well, NULL);
    struct weir_policy *breaker = NULL;
    CHECK_EQ(weir_breaker_create(NULL, &breaker), WEIR_E_NONE);
    struct weir_pipeline *pipeline = around(breaker, NULL);
    struct weir_curl_body body = { 0 };
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_REJECTED); /* the first use of a body */
    CHECK_EQ(body.size, 0);
    weir_policy_set_mode(breaker, WEIR_MODE_ON);
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_OK);
    CHECK_STR(body.data, "hello");
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_REJECTED);
    CHECK_STR(body.data, "");
    CHECK_EQ(body.size, 0);
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

TEST(curl_body, a_failed_call_has_that_of_its_last_attempt)
{
    struct origin *origin = origin_start(first_well, NULL);
    struct weir_pipeline *pipeline = guard(0, WEIR_S);
    struct weir_curl_body body = { 0 };
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_OK);
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_FAILED);
    CHECK_STR(body.data, "oops");
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

TEST(curl_body, is_there_when_a_fallback_answers_at_once)
{
    struct origin *origin = origin_start(first_well, NULL);
    struct weir_policy *breaker = NULL;
    CHECK_EQ(weir_breaker_create(NULL, &breaker), WEIR_E_NONE);
    weir_policy_set_mode(breaker, WEIR_MODE_FORCED_OPEN);
    struct weir_pipeline *pipeline = around(fallback_of(NULL), breaker);
    struct weir_curl_body body = { 0 };
    CHECK_EQ(call(pipeline, &body, origin).status, WEIR_OK);
    CHECK_STR(body.data, "");
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

TEST(curl_body, what_failed_is_not_what_a_fallback_answers)
{
    struct origin *origin = origin_start(first_well, NULL);
    struct weir_pipeline *pipeline = around(fallback_of(NULL), NULL);
    struct weir_curl_body body = { 0 };
    CHECK_EQ(call(pipeline, &body, origin).flags & WEIR_DEGRADED, 0);
    struct weir_outcome outcome = call(pipeline, &body, origin);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK(outcome.flags & WEIR_DEGRADED);
    CHECK_STR(body.data, "");
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* ---- a fallback that asks elsewhere ---- */

static struct {
    const struct weir_pipeline *pipeline;
    const struct origin *origin;
    struct weir_curl_body *body;
} elsewhere;

static struct weir_outcome ask_elsewhere(void *easy, const struct weir_attempt *attempt)
{
    (void)easy;
    (void)attempt;
    return call(elsewhere.pipeline, elsewhere.body, elsewhere.origin);
}

TEST(curl_body, what_a_fallbacks_function_transferred_stays)
{
    struct origin *bad = origin_start(first_well, NULL), *good = origin_start(first_well, NULL);
    struct weir_pipeline *pipeline = around(fallback_of(ask_elsewhere), NULL), *plain = guard(0, WEIR_S);
    struct weir_curl_body body = { 0 };
    elsewhere.pipeline = plain;
    elsewhere.origin = good;
    elsewhere.body = &body;
    CHECK_EQ(call(plain, &body, bad).status, WEIR_OK);
    struct weir_outcome outcome = call(pipeline, &body, bad);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK(outcome.flags & WEIR_DEGRADED);
    CHECK_STR(body.data, "hello");
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    weir_pipeline_destroy(plain);
    origin_stop(bad);
    origin_stop(good);
}
