/* What may be sent again: sinks that were written to, uploads that were read. */
#include "curl/guard.h"

#include <stdio.h>
#include <string.h>

/* ---- the origin: the first request of a call meets what the test wants ---- */

static struct origin_answer first; /* bytes NULL with RESET: cut off without a byte of a response */
static char received[4][64];

static struct origin_answer fail_first(void *argument, const struct origin_request *request)
{
    (void)argument;
    snprintf(received[request->number - 1], 64, "%.*s", (int)request->length, request->body);
    return request->number == 1 ? first : origin_hello(200);
}

static const struct origin_answer busy_with_body = { "HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nbusy",
    ORIGIN_KEEP };
static const struct origin_answer busy = { "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", ORIGIN_KEEP };
static const struct origin_answer cut_off = { NULL, ORIGIN_RESET };

/* ---- a sink and an upload of the user's own ---- */

struct side {
    char sink[64];
    size_t filled, read, resets, rewinds;
    int refuses; /* what reset and rewind answer */
};

static size_t fill(char *data, size_t size, size_t count, void *argument)
{
    struct side *side = argument;
    memcpy(side->sink + side->filled, data, size * count);
    side->filled += size * count;
    return size * count;
}

static size_t drain(char *data, size_t size, size_t count, void *argument)
{
    static const char upload[] = "upload";
    struct side *side = argument;
    size_t left = strlen(upload) - side->read;
    if (left > size * count) left = size * count;
    memcpy(data, upload + side->read, left);
    side->read += left;
    return left;
}

static int reset(void *argument)
{
    struct side *side = argument;
    side->resets++;
    side->filled = 0;
    return side->refuses;
}

static int rewind_upload(void *argument)
{
    struct side *side = argument;
    side->rewinds++;
    side->read = 0;
    return side->refuses;
}

static CURL *handle(const struct origin *origin, struct side *side)
{
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, fill);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, side);
    return easy;
}

static void to_upload(CURL *easy, struct side *side)
{
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 6L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, drain);
    curl_easy_setopt(easy, CURLOPT_READDATA, side);
}

struct told {
    struct weir_outcome outcome;
    uint32_t requests;
    uint64_t not_repeatable; /* as the retry counts it */
    struct side side;
};

enum upload { GET, POST_READ, POST_FIELDS, POST_NOTHING, GET_WITH_FIELDS };

/* One idempotent call whose first request meets that answer. */
static struct told call_with(
    struct origin_answer answer, enum upload upload, struct weir_curl_options options, int refuses)
{
    struct told told = { .side = { .refuses = refuses } };
    first = answer;
    memset(received, 0, sizeof received);
    struct origin *origin = origin_start(fail_first, NULL);
    struct weir_pipeline *pipeline = guard(3, 10 * WEIR_S);
    CURL *easy = handle(origin, &told.side);
    if (upload == POST_READ) to_upload(easy, &told.side);
    if (upload == POST_FIELDS || upload == GET_WITH_FIELDS)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "fields");
    if (upload == GET_WITH_FIELDS) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "GET");
    if (upload == POST_NOTHING) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    options.argument = &told.side;
    options.call = WEIR_CONFIG(weir_call_options, .idempotent = true);
    told.outcome = weir_curl_perform(pipeline, &options, easy);
    told.requests = origin_requests(origin);
    told.not_repeatable = weir_retry_stats(weir_pipeline_policy(pipeline, 0)).not_repeatable;
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
    return told;
}

static void check_ended(struct told told, enum weir_status status, int code)
{
    CHECK_EQ(told.outcome.status, status);
    CHECK_EQ(told.outcome.code, code);
    CHECK_EQ(told.outcome.flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(told.requests, 1);
}

static void check_repeated(struct told told)
{
    CHECK_EQ(told.outcome.status, WEIR_OK);
    CHECK_EQ(told.outcome.code, 200);
    CHECK_EQ(told.requests, 2);
    CHECK_EQ(told.not_repeatable, 0);
    CHECK_EQ(told.side.filled, 5);
}

TEST(curl_repeat, a_sink_that_was_written_to_needs_a_reset)
{
    struct weir_curl_options options = weir_curl_options_init();
    uint64_t counted = weir_curl_stats().not_repeatable;
    struct told told = call_with(busy_with_body, GET, options, 0);
    check_ended(told, WEIR_OVERLOADED, 503);
    CHECK_EQ(told.not_repeatable, 1);
    CHECK_EQ(told.side.filled, 4);
    CHECK_EQ(weir_curl_stats().not_repeatable, counted + 1);
    options.reset = reset;
    told = call_with(busy_with_body, GET, options, 0);
    check_repeated(told);
    CHECK_EQ(told.side.resets, 1);
}

TEST(curl_repeat, a_sink_that_got_nothing_needs_none)
{
    check_repeated(call_with(busy, GET, weir_curl_options_init(), 0));
    check_repeated(call_with(cut_off, GET, weir_curl_options_init(), 0));
}

TEST(curl_repeat, an_upload_that_left_needs_a_rewind)
{
    struct weir_curl_options options = weir_curl_options_init();
    check_ended(call_with(busy, POST_READ, options, 0), WEIR_OVERLOADED, 503);
    check_ended(call_with(cut_off, POST_READ, options, 0), WEIR_FAILED, CURLE_RECV_ERROR);
    options.rewind = rewind_upload;
    struct told told = call_with(busy, POST_READ, options, 0);
    check_repeated(told);
    CHECK_EQ(told.side.rewinds, 1);
    CHECK_STR(received[0], "upload");
    CHECK_STR(received[1], "upload");
    check_repeated(call_with(cut_off, POST_READ, options, 0));
    CHECK_STR(received[1], "upload");
}

TEST(curl_repeat, or_to_be_repeatable_as_it_is)
{
    struct weir_curl_options options = weir_curl_options_init();
    check_ended(call_with(busy, POST_FIELDS, options, 0), WEIR_OVERLOADED, 503);
    options.repeatable = true;
    check_repeated(call_with(busy, POST_FIELDS, options, 0));
    CHECK_STR(received[1], "fields");
}

TEST(curl_repeat, what_cannot_be_reset_or_rewound_ends_the_call)
{
    struct weir_curl_options options = weir_curl_options_init();
    options.reset = reset;
    struct told told = call_with(busy_with_body, GET, options, 1);
    check_ended(told, WEIR_IGNORED, CURLE_WRITE_ERROR);
    CHECK_EQ(told.side.resets, 1);
    options.reset = NULL;
    options.rewind = rewind_upload;
    told = call_with(busy, POST_READ, options, 1);
    check_ended(told, WEIR_IGNORED, CURLE_SEND_FAIL_REWIND);
    CHECK_EQ(told.side.rewinds, 1);
}

/* What was read of an upload and not sent is counted nowhere: with a method that uploads, the request alone will do; with
 * another, the bytes. */
TEST(curl_repeat, what_counts_as_an_upload_that_left)
{
    struct weir_curl_options options = weir_curl_options_init();
    check_ended(call_with(busy, POST_NOTHING, options, 0), WEIR_OVERLOADED, 503);
    check_ended(call_with(busy, GET_WITH_FIELDS, options, 0), WEIR_OVERLOADED, 503);
}

/* Led on to a GET that fails the first time. */
static struct origin_answer lead_on(void *argument, const struct origin_request *request)
{
    (void)argument;
    if (strstr(request->head, " /there ") == NULL)
        return (struct origin_answer) { "HTTP/1.1 303 X\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
            ORIGIN_KEEP };
    return origin_hello(request->number == 2 ? 500 : 200);
}

static struct told led_on(enum upload upload, struct weir_curl_body *body)
{
    struct told told = { .side = { .refuses = 0 } };
    struct origin *origin = origin_start(lead_on, NULL);
    struct weir_pipeline *pipeline = guard(3, 10 * WEIR_S);
    CURL *easy = handle(origin, &told.side);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    if (upload == POST_READ) to_upload(easy, &told.side);
    if (upload == GET_WITH_FIELDS) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "fields");
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "GET");
    }
    told.outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options, .body = body, .reset = reset, .argument = &told.side,
            .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
        easy);
    told.requests = origin_requests(origin);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
    return told;
}

TEST(curl_repeat, a_redirect_hides_no_upload)
{
    struct weir_curl_body body = { 0 };
    static const enum upload uploads[] = { POST_READ, GET_WITH_FIELDS };
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(led_on(uploads[i], &body).outcome.flags, WEIR_NOT_REPEATABLE);
        struct told told = led_on(uploads[i], NULL);
        CHECK_EQ(told.outcome.flags, WEIR_NOT_REPEATABLE);
        CHECK_EQ(told.requests, 2);
    }
    struct told told = led_on(GET, &body); /* each head was heard: there was none */
    CHECK_EQ(told.outcome.status, WEIR_OK);
    CHECK_EQ(told.requests, 4);
    weir_curl_body_free(&body);
}

/* Nothing has left: no byte of the upload either. */
TEST(curl_repeat, an_upload_that_did_not_leave_is_repeated)
{
    struct side side = { 0 };
    struct origin *origin = origin_start(fail_first, NULL);
    struct weir_pipeline *pipeline = guard(3, 10 * WEIR_S);
    CURL *easy = handle(origin, &side);
    origin_stop(origin); /* now the port refuses */
    to_upload(easy, &side);
    struct weir_outcome outcome = weir_curl_perform(pipeline, NULL, easy);
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.flags, WEIR_NOT_SENT);
    CHECK_EQ(outcome.code, CURLE_COULDNT_CONNECT);
    CHECK_EQ(weir_retry_stats(weir_pipeline_policy(pipeline, 0)).retried, 2);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
}

/* A deadline that comes when the sink has been written to counts as well. */
static struct origin_answer half(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return (struct origin_answer) { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_KEEP };
}

TEST(curl_repeat, half_a_body_until_the_deadline)
{
    struct side side = { 0 };
    struct origin *origin = origin_start(half, NULL);
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    CURL *easy = handle(origin, &side);
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)), easy);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK_EQ(outcome.flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(origin_requests(origin), 1);
    CHECK_EQ(side.filled, 5);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}
