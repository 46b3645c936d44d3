/* weir_curl_perform(): connections, the body, keys and headers, deadlines and cancels, threads. */
#include "curl/guard.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE_NS \
    (200 * WEIR_MS) /* no limit of the adapter's (the bench has those): far below libcurl's own delays */

static struct origin_answer ok(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(200);
}

static struct origin_answer silent(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return (struct origin_answer) { NULL, ORIGIN_KEEP };
}

static size_t entries(const char *directory)
{
    size_t count = 0;
    DIR *open = opendir(directory);
    CHECK(open != NULL);
    while (readdir(open) != NULL) count++;
    closedir(open);
    return count;
}

TEST(curl_perform, connections_are_kept)
{
    struct origin *origin = origin_start(ok, NULL);
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    struct weir_curl_body body = { 0 };
    for (int i = 0; i < 10; i++) { /* a handle each: it is the thread that keeps them */
        CURL *easy = handle_for(origin, "/");
        struct weir_outcome outcome =
            weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
        CHECK_EQ(outcome.status, WEIR_OK);
        CHECK_EQ(outcome.code, 200);
        CHECK_STR(body.data, "hello");
        CHECK_EQ(body.size, 5);
        curl_easy_cleanup(easy);
    }
    CHECK_EQ(origin_requests(origin), 10);
    CHECK_EQ(origin_connections(origin), 1);
    weir_curl_thread_cleanup();
    origin_await_open(origin, 0);
    weir_curl_body_free(&body);
    CHECK(body.data == NULL);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* ---- the body ---- */

static struct origin_answer longer_then_shorter(void *argument, const struct origin_request *request)
{
    (void)argument;
    return (struct origin_answer) { request->number == 1
            ? "HTTP/1.1 503 X\r\nContent-Length: 12\r\n\r\nnot just now"
            : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ORIGIN_KEEP };
}

TEST(curl_perform, an_attempt_finds_the_body_empty)
{
    struct origin *origin = origin_start(longer_then_shorter, NULL);
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    struct weir_curl_body body = { 0 };
    CURL *easy = handle_for(origin, "/");
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(origin_requests(origin), 2);
    CHECK_STR(body.data, "ok");
    CHECK_EQ(body.size, 2);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

static struct origin_answer sized(void *argument, const struct origin_request *request)
{
    static char bytes[66000];
    size_t size = *(size_t *)argument;
    (void)request;
    int head = snprintf(bytes, sizeof bytes, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    memset(bytes + head, 'x', size);
    bytes[(size_t)head + size] = 0;
    return (struct origin_answer) { bytes, ORIGIN_KEEP };
}

TEST(curl_perform, a_body_has_a_limit)
{
    size_t size = 0;
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    for (size = 0; size <= 65000; size = size * 2 + 1) {
        for (size_t limit = size == 0 ? 1 : size; limit + 1 >= size && limit > 0; limit--) {
            struct origin *origin = origin_start(sized, &size);
            struct weir_curl_body body = { .limit = limit };
            CURL *easy = handle_for(origin, "/");
            struct weir_outcome outcome =
                weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
            CHECK_EQ(outcome.status, size <= limit ? WEIR_OK : WEIR_IGNORED);
            CHECK_EQ(outcome.code, size <= limit ? 200 : CURLE_WRITE_ERROR);
            if (size <= limit) CHECK_EQ(body.size, size);
            CHECK(body.size <= limit);
            CHECK_EQ(body.data[body.size], 0);
            CHECK_EQ(strlen(body.data), body.size);
            weir_curl_body_free(&body);
            curl_easy_cleanup(easy);
            origin_stop(origin);
        }
    }
    weir_pipeline_destroy(pipeline);
}

/* ---- what a request carries ---- */

struct heard {
    char key[4][64], mine[4][64];
};

static struct origin_answer hear_then_fail(void *argument, const struct origin_request *request)
{
    struct heard *heard = argument;
    const char *key = origin_header(request->head, "Idempotency-Key");
    snprintf(heard->key[request->number - 1], 64, "%s", key == NULL ? "none" : key);
    const char *mine = origin_header(request->head, "X-Mine");
    snprintf(heard->mine[request->number - 1], 64, "%s", mine == NULL ? "none" : mine);
    return origin_hello(request->number % 2 == 1 ? 500 : 200);
}

TEST(curl_perform, one_key_for_all_attempts_of_a_call)
{
    struct heard heard = { 0 };
    struct origin *origin = origin_start(hear_then_fail, &heard);
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    struct weir_curl_body body = { 0 };
    struct curl_slist *headers = curl_slist_append(NULL, "X-Mine: yes");
    CURL *easy = handle_for(origin, "/");
    for (int i = 0; i < 2; i++) {
        struct weir_outcome outcome = weir_curl_perform(pipeline,
            WEIR_CONFIG(weir_curl_options, .body = &body, .headers = headers, .idempotency_key = true,
                .call = WEIR_CONFIG(weir_call_options, .idempotent = true, .seed = 7)),
            easy);
        CHECK_EQ(outcome.status, WEIR_OK);
    }
    CHECK_EQ(origin_requests(origin), 4);
    CHECK_EQ(strlen(heard.key[0]), 32);
    CHECK_EQ(strspn(heard.key[0], "0123456789abcdef"), 32);
    CHECK_STR(heard.key[1], heard.key[0]);
    CHECK_STR(heard.key[3], heard.key[2]);
    CHECK(strcmp(heard.key[2], heard.key[0]) != 0); /* though the seed is the same */
    for (int i = 0; i < 4; i++) CHECK_STR(heard.mine[i], "yes");
    CHECK_STR(headers->data, "X-Mine: yes");
    CHECK(headers->next == NULL);
    curl_slist_free_all(headers);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

struct carried {
    char timeout[4][32], trace[4][64];
};

static struct origin_answer note_wire(void *argument, const struct origin_request *request)
{
    struct carried *carried = argument;
    const char *timeout = origin_header(request->head, "x-envoy-expected-rq-timeout-ms");
    snprintf(carried->timeout[request->number - 1], 32, "%s", timeout == NULL ? "none" : timeout);
    const char *trace = origin_header(request->head, "traceparent");
    snprintf(carried->trace[request->number - 1], 64, "%s", trace == NULL ? "none" : trace);
    CHECK(origin_header(request->head, "X-Mine") != NULL);
    return origin_hello(request->number == 1 ? 503 : 200);
}

TEST(curl_perform, each_attempt_carries_what_is_left)
{
    struct carried carried = { 0 };
    struct origin *origin = origin_start(note_wire, &carried);
    struct weir_pipeline *pipeline = guard(3, 10 * WEIR_S);
    struct weir_curl_body body = { 0 };
    struct curl_slist *headers = curl_slist_append(NULL, "X-Mine: yes");
    struct weir_trace trace = { .trace_id = { 1 }, .span_id = { 2 } };
    CURL *easy = handle_for(origin, "/");
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options, .body = &body, .headers = headers, .idempotency_key = true,
            .wire = WEIR_CONFIG(weir_wire_out, .slack_ns = 4 * WEIR_S, .trace = &trace)),
        easy);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(origin_requests(origin), 2);
    for (int i = 0; i < 2; i++) { /* of the attempt's 10 s, less 4 */
        int left_ms = atoi(carried.timeout[i]);
        CHECK(left_ms > 5000 && left_ms <= 6000);
        CHECK_EQ(strncmp(carried.trace[i], "00-01000000000000000000000000000000-", 36), 0);
    }
    CHECK(strcmp(carried.trace[0], carried.trace[1]) != 0); /* a span each */
    /* Nothing of it is left in the handle. */
    CHECK_EQ(
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy).status, WEIR_OK);
    CHECK_STR(carried.timeout[2], "none");
    curl_slist_free_all(headers);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* ---- deadlines and cancels ---- */

TEST(curl_perform, silence_ends_at_the_deadline)
{
    struct origin *origin = origin_start(silent, NULL);
    struct weir_pipeline *pipeline = guard(0, 50 * WEIR_MS);
    CURL *easy = handle_for(origin, "/");
    uint64_t before_ns = weir_now(WEIR_TIMING_PRECISE), left = weir_curl_stats().resolvers_left;
    struct weir_outcome outcome = weir_curl_perform(pipeline, NULL, easy);
    uint64_t took_ns = weir_now(WEIR_TIMING_PRECISE) - before_ns;
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.reason, WEIR_REASON_TIMEOUT);
    CHECK_EQ(outcome.by, 1);
    CHECK_EQ(outcome.code, CURLE_OPERATION_TIMEDOUT);
    CHECK_EQ(outcome.flags, 0); /* it was sent, and can be repeated */
    CHECK(took_ns >= 50 * WEIR_MS && took_ns < 50 * WEIR_MS + LATE_NS);
    CHECK_EQ(weir_curl_stats().resolvers_left, left);
    origin_await_open(origin, 0);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* libcurl, by its own clock, must not come first. */
TEST(curl_perform, a_coarse_clock_is_waited_for)
{
    struct origin *origin = origin_start(silent, NULL);
    CURL *easy = handle_for(origin, "/");
    for (uint64_t ms = 1; ms <= 30; ms++) {
        struct weir_policy *timeout;
        struct weir_pipeline *pipeline;
        CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = ms * WEIR_MS), &timeout),
            WEIR_E_NONE);
        CHECK_EQ(weir_pipeline_create(
                     WEIR_CONFIG(weir_pipeline_config, .timing = WEIR_TIMING_COARSE), &timeout, 1, &pipeline),
            WEIR_E_NONE);
        weir_policy_release(timeout);
        CHECK_EQ(weir_curl_perform(pipeline, NULL, easy).status, WEIR_EXPIRED);
        weir_pipeline_destroy(pipeline);
    }
    curl_easy_cleanup(easy);
    origin_stop(origin);
}

TEST(curl_perform, what_is_over_is_not_begun)
{
    struct origin *origin = origin_start(ok, NULL);
    struct weir_pipeline *pipeline = guard(0, WEIR_S);
    CURL *easy = handle_for(origin, "/");
    uint64_t attempts = weir_curl_stats().attempts;
    struct weir_context context;
    weir_context_child(&context, NULL, weir_now(WEIR_TIMING_PRECISE), NULL);
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .context = &context)), easy);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(weir_curl_stats().attempts, attempts);
    CHECK_EQ(origin_connections(origin), 0);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* A connect limit of its own that is shorter than the deadline: 192.0.2.1 is nobody (RFC 5737), so the connect hangs or is
 * refused by the machine itself. */
TEST(curl_perform, connecting_has_a_limit_of_its_own)
{
    struct weir_pipeline *pipeline = guard(0, 30 * WEIR_S);
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, "http://192.0.2.1/");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    uint64_t before_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .connect_ns = 20 * WEIR_MS), easy);
    CHECK(weir_now(WEIR_TIMING_PRECISE) - before_ns < 20 * WEIR_MS + LATE_NS);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.flags, WEIR_NOT_SENT);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
}

struct canceling {
    struct origin *origin;
    struct weir_source *source;
    uint64_t at_ns;
};

static void *cancel_when_asked(void *argument)
{
    struct canceling *canceling = argument;
    origin_await(canceling->origin, 1);
    canceling->at_ns = weir_now(WEIR_TIMING_PRECISE);
    weir_source_cancel(canceling->source, 1);
    return NULL;
}

TEST(curl_perform, a_cancel_from_another_thread_ends_it)
{
    struct canceling canceling = { .origin = origin_start(silent, NULL) };
    struct weir_pipeline *pipeline = guard(3, 60 * WEIR_S);
    struct weir_context context;
    pthread_t thread;
    CHECK_EQ(weir_source_create(&canceling.source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, canceling.source);
    CURL *easy = handle_for(canceling.origin, "/");
    CHECK_EQ(pthread_create(&thread, NULL, cancel_when_asked, &canceling), 0);
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options,
            .call = WEIR_CONFIG(weir_call_options, .context = &context, .idempotent = true)),
        easy);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    pthread_join(thread, NULL);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK_EQ(outcome.code, CURLE_ABORTED_BY_CALLBACK);
    CHECK(now_ns - canceling.at_ns < LATE_NS);
    CHECK_EQ(origin_requests(canceling.origin), 1);
    curl_easy_cleanup(easy);
    weir_source_release(canceling.source);
    weir_pipeline_destroy(pipeline);
    origin_stop(canceling.origin);
}

/* ---- nesting ---- */

struct nested {
    struct origin *origin;
    struct weir_pipeline *pipeline;
    uint32_t depth, answered;
};

static size_t ask_again(char *data, size_t size, size_t count, void *argument)
{
    struct nested *nested = argument;
    (void)data;
    if (nested->depth == 0) return size * count;
    nested->depth--;
    CURL *easy = handle_for(nested->origin, "/");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ask_again);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, nested);
    nested->answered += weir_curl_perform(nested->pipeline, NULL, easy).status == WEIR_OK;
    curl_easy_cleanup(easy);
    return size * count;
}

TEST(curl_perform, performs_nest)
{
    struct origin *origin = origin_start(ok, NULL);
    struct nested nested = { origin, guard(3, 10 * WEIR_S), 0, 0 };
    for (int round = 0; round < 2; round++) {
        nested.depth = 3;
        char first = 0;
        ask_again(&first, 1, 1, &nested);
    }
    CHECK_EQ(nested.answered, 6);
    CHECK_EQ(origin_requests(origin), 6);
    CHECK_EQ(origin_connections(origin), 3); /* each level keeps its own */
    weir_pipeline_destroy(nested.pipeline);
    origin_stop(origin);
}

/* The fallback's function is given what a user knows of the call. */
static struct weir_outcome from_the_cache(void *argument, const struct weir_attempt *attempt)
{
    char *private = NULL;
    (void)attempt;
    curl_easy_getinfo(argument, CURLINFO_PRIVATE, &private);
    return (struct weir_outcome) { .status = private != NULL && strcmp(private, "mine") == 0 ? WEIR_OK
                                                                                             : WEIR_FAILED };
}

static struct origin_answer down(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(500);
}

TEST(curl_perform, a_fallback_function_gets_the_handle)
{
    struct origin *origin = origin_start(down, NULL);
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = from_the_cache), &fallback),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &fallback, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(fallback);
    struct weir_curl_body body = { 0 };
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_PRIVATE, "mine");
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(outcome.code, 500);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

/* ---- threads ---- */

static void *ask_once(void *argument)
{
    struct nested *nested = argument;
    CURL *easy = handle_for(nested->origin, "/");
    struct weir_curl_body body = { 0 };
    struct weir_outcome outcome =
        weir_curl_perform(nested->pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
    CHECK_EQ(outcome.status, WEIR_OK);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    return NULL;
}

TEST(curl_perform, a_thread_that_ends_leaves_nothing)
{
    struct origin *origin = origin_start(ok, NULL);
    struct nested nested = { origin, guard(3, 10 * WEIR_S), 0, 0 };
    ask_once(&nested); /* what libcurl and the tests open once is open */
    weir_curl_thread_cleanup();
    origin_await_open(origin, 0);
    size_t descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    for (int round = 0; round < 4; round++) {
        pthread_t thread[8];
        for (int i = 0; i < 8; i++) CHECK_EQ(pthread_create(&thread[i], NULL, ask_once, &nested), 0);
        for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL);
    }
    origin_await_open(origin, 0);
    CHECK_EQ(origin_connections(origin), 33);
    CHECK_EQ(entries("/proc/self/fd"), descriptors);
    CHECK_EQ(entries("/proc/self/task"), threads);
    weir_pipeline_destroy(nested.pipeline);
    origin_stop(origin);
}
