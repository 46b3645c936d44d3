/* What the end of a transfer says of the callee: statuses, libcurl's codes, Retry-After. */
#include "curl/guard.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_NS (86400 * WEIR_S)

/* The origin says what the test has written here. */
static char saying[512];
static enum origin_then then;

static struct origin_answer say(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return (struct origin_answer) { saying, then };
}

/* A call, once, without a policy. */
static struct weir_outcome call(CURL *easy)
{
    struct weir_curl_body body = { 0 };
    struct weir_pipeline *pipeline = guard(0, 0);
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
    weir_curl_body_free(&body);
    weir_pipeline_destroy(pipeline);
    return outcome;
}

/* The same to an origin that says these bytes. */
static struct weir_outcome ask(const char *bytes, enum origin_then and_then)
{
    snprintf(saying, sizeof saying, "%s", bytes);
    then = and_then;
    struct origin *origin = origin_start(say, NULL);
    CURL *easy = handle_for(origin, "/");
    struct weir_outcome outcome = call(easy);
    curl_easy_cleanup(easy);
    origin_stop(origin);
    return outcome;
}

TEST(curl_classify, statuses)
{
    static const struct {
        int code;
        enum weir_status status;
    } row[] = { { 200, WEIR_OK }, { 204, WEIR_OK }, { 301, WEIR_OK }, { 404, WEIR_OK }, { 408, WEIR_FAILED },
        { 425, WEIR_FAILED }, { 429, WEIR_OVERLOADED }, { 500, WEIR_FAILED }, { 503, WEIR_OVERLOADED },
        { 599, WEIR_FAILED } };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char bytes[64];
        snprintf(bytes, sizeof bytes, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", row[i].code);
        struct weir_outcome outcome = ask(bytes, ORIGIN_KEEP);
        CHECK_EQ(outcome.status, row[i].status);
        CHECK_EQ(outcome.code, row[i].code);
        CHECK_EQ(outcome.flags, 0);
        CHECK_EQ(outcome.retry_after_ns, 0);
    }
}

static struct weir_outcome asked_to_wait(int status, const char *retry_after)
{
    char bytes[256];
    snprintf(bytes, sizeof bytes, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n", status,
        retry_after);
    return ask(bytes, ORIGIN_KEEP);
}

static const char *date_in(time_t seconds)
{
    static char text[64];
    time_t at = time(NULL) + seconds;
    struct tm broken;
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &broken));
    return text;
}

TEST(curl_classify, retry_after)
{
    CHECK_EQ(asked_to_wait(503, "7").retry_after_ns, 7 * WEIR_S);
    CHECK_EQ(asked_to_wait(500, "7").retry_after_ns, 7 * WEIR_S);
    CHECK_EQ(asked_to_wait(200, "7").retry_after_ns, 0); /* nothing is to be asked again */
    CHECK_EQ(asked_to_wait(503, "0").retry_after_ns, 0);
    CHECK_EQ(asked_to_wait(503, "-7").retry_after_ns, 0);
    CHECK_EQ(asked_to_wait(503, "soon").retry_after_ns, 0);
    CHECK_EQ(asked_to_wait(503, date_in(-3600)).retry_after_ns, 0);
    uint64_t hour_ns = asked_to_wait(503, date_in(3600)).retry_after_ns;
    CHECK(hour_ns > 3590 * WEIR_S && hour_ns <= 3600 * WEIR_S);
    uint64_t cut = weir_curl_stats().retry_after_cut;
    CHECK_EQ(asked_to_wait(503, "86400").retry_after_ns, DAY_NS);
    CHECK_EQ(weir_curl_stats().retry_after_cut, cut);
    CHECK_EQ(asked_to_wait(503, "86401").retry_after_ns, DAY_NS);
    CHECK_EQ(asked_to_wait(429, "31536000000").retry_after_ns, DAY_NS); /* a thousand years */
    CHECK_EQ(asked_to_wait(503, "Fri, 31 Dec 9999 23:59:59 GMT").retry_after_ns, DAY_NS);
    CHECK_EQ(weir_curl_stats().retry_after_cut, cut + 3);
    uint64_t longest_ns = asked_to_wait(429, "99999999999999999999999").retry_after_ns;
    CHECK(longest_ns == 0 || longest_ns == DAY_NS); /* libcurl 7.88 cannot read it, newer ones can */
}

static struct origin_answer first_with_retry_after(void *argument, const struct origin_request *request)
{
    (void)argument;
    return (struct origin_answer) { request->number == 1
            ? "HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n"
            : "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
        ORIGIN_KEEP };
}

TEST(curl_classify, retry_after_is_of_this_response)
{
    struct origin *origin = origin_start(first_with_retry_after, NULL);
    CURL *easy = handle_for(origin, "/");
    CHECK_EQ(call(easy).retry_after_ns, 9 * WEIR_S);
    CHECK_EQ(call(easy).retry_after_ns, 0);
    curl_easy_cleanup(easy);
    origin_stop(origin);
}

static void check_failed_by(struct weir_outcome outcome, int code)
{
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.code, code);
    CHECK_EQ(outcome.flags & WEIR_NOT_SENT, 0);
}

TEST(curl_classify, what_the_callee_did)
{
    check_failed_by(ask("", ORIGIN_CLOSE), CURLE_GOT_NOTHING);
    check_failed_by(ask("", ORIGIN_RESET), CURLE_RECV_ERROR);
    check_failed_by(
        ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_CLOSE), CURLE_PARTIAL_FILE);
    check_failed_by(ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ORIGIN_CLOSE),
        CURLE_PARTIAL_FILE);
    check_failed_by(
        ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ORIGIN_KEEP), CURLE_RECV_ERROR);
    check_failed_by(ask("220 mail.example ESMTP\r\n\r\n", ORIGIN_CLOSE), CURLE_UNSUPPORTED_PROTOCOL);
    check_failed_by(ask("HTTP/1.1 200 OK\r\nContent-Le", ORIGIN_CLOSE), CURLE_PARTIAL_FILE);
    check_failed_by(ask("HTTP/1.1 200 OK\r\n", ORIGIN_CLOSE), CURLE_PARTIAL_FILE);
}

TEST(curl_classify, redirects_in_a_circle)
{
    snprintf(saying, sizeof saying, "HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    struct origin *origin = origin_start(say, NULL);
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    check_failed_by(call(easy), CURLE_TOO_MANY_REDIRECTS);
    CHECK_EQ(origin_requests(origin), 6);
    curl_easy_cleanup(easy);
    origin_stop(origin);
}

/* Who led on to another server has taken the request: it was not declined, and is not made again unasked. */
static struct origin_answer led_on_to_503(void *argument, const struct origin_request *request)
{
    (void)argument;
    return (struct origin_answer) { strncmp(request->head, "POST", 4) == 0
            ? "HTTP/1.1 303 X\r\nLocation: /receipt\r\nContent-Length: 0\r\n\r\n"
            : "HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        ORIGIN_KEEP };
}

TEST(curl_classify, nothing_is_declined_behind_a_redirect)
{
    struct origin *origin = origin_start(led_on_to_503, NULL);
    struct weir_pipeline *pipeline = guard(3, 0);
    CURL *easy = handle_for(origin, "/pay");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "amount=100");
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .repeatable = true), easy);
    check_failed_by(outcome, 503);
    CHECK_EQ(outcome.retry_after_ns, WEIR_S);
    CHECK_EQ(origin_requests(origin), 2);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(pipeline);
    origin_stop(origin);
}

TEST(curl_classify, a_redirect_to_what_is_not_allowed)
{
    snprintf(
        saying, sizeof saying, "HTTP/1.1 302 X\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    struct origin *origin = origin_start(say, NULL);
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    check_failed_by(call(easy), CURLE_UNSUPPORTED_PROTOCOL);
    curl_easy_cleanup(easy);
    origin_stop(origin);
}

TEST(curl_classify, bad_content_encoding)
{
    snprintf(
        saying, sizeof saying, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
    struct origin *origin = origin_start(say, NULL);
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    check_failed_by(call(easy), CURLE_BAD_CONTENT_ENCODING);
    curl_easy_cleanup(easy);
    origin_stop(origin);
}

TEST(curl_classify, failonerror_goes_by_the_status)
{
    static const int status[] = { 404, 500, 503 };
    static const enum weir_status expected[] = { WEIR_OK, WEIR_FAILED, WEIR_OVERLOADED };
    for (int i = 0; i < 3; i++) {
        snprintf(saying, sizeof saying, "HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno", status[i]);
        struct origin *origin = origin_start(say, NULL);
        CURL *easy = handle_for(origin, "/");
        curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
        struct weir_outcome outcome = call(easy);
        CHECK_EQ(outcome.status, expected[i]);
        CHECK_EQ(outcome.code, status[i]);
        curl_easy_cleanup(easy);
        origin_stop(origin);
    }
}

/* A port where nobody listens: one that was just given back. */
static const char *refused_url(void)
{
    static char url[128];
    struct origin *origin = origin_start(say, NULL);
    snprintf(url, sizeof url, "%s", origin_url(origin, "/"));
    origin_stop(origin);
    return url;
}

TEST(curl_classify, not_a_byte_was_sent)
{
    struct {
        const char *url;
        enum weir_status status;
        CURLcode code;
    } row[] = { { refused_url(), WEIR_FAILED, CURLE_COULDNT_CONNECT },
        { "http://nobody.invalid/", WEIR_FAILED, CURLE_COULDNT_RESOLVE_HOST },
        { "http://[::1", WEIR_IGNORED, CURLE_URL_MALFORMAT },
        { "nonsense://127.0.0.1/", WEIR_IGNORED, CURLE_UNSUPPORTED_PROTOCOL },
        { "file:///nowhere/at/all", WEIR_IGNORED, CURLE_FILE_COULDNT_READ_FILE } };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, row[i].url);
        struct weir_outcome outcome = call(easy);
        CHECK_EQ(outcome.status, row[i].status);
        CHECK_EQ(outcome.code, row[i].code);
        CHECK_EQ(outcome.flags & WEIR_NOT_SENT, i < 4 ? WEIR_NOT_SENT : 0);
        CHECK_EQ(outcome.flags & WEIR_NOT_REPEATABLE, 0);
        curl_easy_cleanup(easy);
    }
}

TEST(curl_classify, what_is_no_http_is_ok_when_all_of_it_came)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, "file:///proc/self/status");
    struct weir_outcome outcome = call(easy);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.code, 0);
    curl_easy_cleanup(easy);
}

static size_t refuse(char *data, size_t size, size_t count, void *argument)
{
    (void)data;
    (void)size;
    (void)count;
    (void)argument;
    return 0;
}

static int stop(void *argument, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)argument;
    return a + b + c + d >= 0;
}

TEST(curl_classify, own_callbacks_that_say_stop)
{
    struct weir_pipeline *pipeline = guard(3, WEIR_S);
    snprintf(saying, sizeof saying, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    struct origin *origin = origin_start(say, NULL);
    CURL *easy = handle_for(origin, "/");
    struct weir_curl_options options = weir_curl_options_init();
    struct weir_call_options idempotent = weir_call_options_init();
    idempotent.idempotent = true;
    options.call = &idempotent;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, refuse);
    struct weir_outcome outcome = weir_curl_perform(pipeline, &options, easy);
    CHECK_EQ(outcome.status, WEIR_IGNORED);
    CHECK_EQ(outcome.code, CURLE_WRITE_ERROR);
    CHECK_EQ(origin_requests(origin), 1);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, stop);
    outcome = weir_curl_perform(pipeline, &options, easy);
    CHECK_EQ(outcome.status, WEIR_IGNORED);
    CHECK_EQ(outcome.code, CURLE_ABORTED_BY_CALLBACK);
    curl_easy_cleanup(easy);
    origin_stop(origin);
    weir_pipeline_destroy(pipeline);
}

/* Ours, of all codes there are, when nothing was sent. */
TEST(curl_classify, every_code)
{
    static const CURLcode ours[] = { CURLE_UNSUPPORTED_PROTOCOL, CURLE_FAILED_INIT, CURLE_URL_MALFORMAT,
        CURLE_NOT_BUILT_IN, CURLE_REMOTE_ACCESS_DENIED, CURLE_WRITE_ERROR, CURLE_READ_ERROR,
        CURLE_OUT_OF_MEMORY, CURLE_BAD_DOWNLOAD_RESUME, CURLE_FILE_COULDNT_READ_FILE,
        CURLE_FUNCTION_NOT_FOUND, CURLE_ABORTED_BY_CALLBACK, CURLE_BAD_FUNCTION_ARGUMENT,
        CURLE_INTERFACE_FAILED, CURLE_UNKNOWN_OPTION, (CURLcode)49, CURLE_SSL_ENGINE_NOTFOUND,
        CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_FILESIZE_EXCEEDED,
        CURLE_SEND_FAIL_REWIND, CURLE_SSL_ENGINE_INITFAILED, CURLE_LOGIN_DENIED, CURLE_SSL_CACERT_BADFILE,
        CURLE_REMOTE_FILE_NOT_FOUND, CURLE_SSL_CRL_BADFILE, CURLE_CHUNK_FAILED, CURLE_NO_CONNECTION_AVAILABLE,
        (CURLcode)93, (CURLcode)94, (CURLcode)98 };
    CURL *easy = curl_easy_init();
    for (int code = 1; code < 120; code++) {
        if (code == CURLE_HTTP_RETURNED_ERROR) continue; /* has a status */
        bool is_ours = false;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) is_ours |= ours[i] == (CURLcode)code;
        struct weir_outcome outcome = weir_curl_outcome(easy, (CURLcode)code);
        CHECK_EQ(outcome.status, is_ours ? WEIR_IGNORED : WEIR_FAILED);
        CHECK_EQ(outcome.code, code < 100 ? code : CURLE_RECV_ERROR); /* no status may it look like */
        CHECK_EQ(outcome.flags, WEIR_NOT_SENT);
    }
    curl_easy_cleanup(easy);
}
