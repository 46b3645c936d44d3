#include "exchange.h"

#include "body.h"
#include "known.h"
#include "misuse.h"
#include "tally.h"

#include <string.h>

/* libcurl counts time in milliseconds; rounded up, so that it does not come before ours. */
static long to_ms(uint64_t duration_ns)
{
    uint64_t ms = duration_ns / WEIR_MS + (duration_ns % WEIR_MS != 0);
    return ms > INT32_MAX ? INT32_MAX : (long)ms;
}

/* ---- what libcurl says of a transfer ---- */

static curl_off_t count_of(CURL *easy, CURLINFO which)
{
    curl_off_t count = 0;
    curl_easy_getinfo(easy, which, &count);
    return count;
}

/* Methods without an upload, as a rule; if one of them has one, its bytes are counted. */
static bool is_plain(CURL *easy)
{
    const char *method = NULL;
    static const char *const plain[] = { "GET", "HEAD", "DELETE", "OPTIONS", "TRACE" };
    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_METHOD, &method);
    for (size_t i = 0; method != NULL && i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(method, plain[i]) == 0) return true;
    }
    return false;
}

static bool is_upload(CURL *easy)
{
    if (count_of(easy, CURLINFO_SIZE_UPLOAD_T) > 0) return true;
    return !is_plain(easy);
}

/* ---- open ---- */

static bool empty_body(struct exchange *exchange)
{
    struct weir_curl_body *body = exchange->options.body;
    if (body == NULL) return true;
    bool emptied = body_empty(body);
    exchange->emptied = body->emptied;
    return emptied;
}

/* A stand-in's answer is not what the attempt that failed has left; but its function may have filled the body anew. */
static void settle_body(struct exchange *exchange, struct weir_outcome outcome)
{
    const struct weir_curl_body *body = exchange->options.body;
    bool stands_in = (outcome.flags & WEIR_DEGRADED) != 0;
    if (stands_in && body != NULL && body->emptied == exchange->emptied) empty_body(exchange);
}

void exchange_open(
    struct exchange *exchange, CURL *easy, const struct weir_curl_options *options, const char *function)
{
    CURL_REQUIRE(easy != NULL, function, "easy is NULL");
    *exchange = (struct exchange) { .easy = easy };
    if (options == NULL) return;
    CURL_REQUIRE(is_known(options, options->size, sizeof *options), function,
        "options.size is unknown (use WEIR_CONFIG or weir_curl_options_init)");
    exchange->options = *options;
    /* A call that makes no attempt hands out nothing of an older one either. */
    if (options->body != NULL && options->body->data != NULL) empty_body(exchange);
    if (options->wire == NULL) return;
    CURL_REQUIRE(is_known(options->wire, options->wire->size, sizeof exchange->wire), function,
        "options.wire->size is unknown (use WEIR_CONFIG or weir_wire_out_init)");
    exchange->wire = *options->wire;
    exchange->wire.size = sizeof exchange->wire;
    exchange->options.wire = &exchange->wire;
}

void exchange_close(struct exchange *exchange, struct weir_outcome outcome)
{
    settle_body(exchange, outcome);
    if (exchange->begun == 0) return;
    if (headers_wanted(&exchange->options))
        curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->options.headers);
    headers_free(&exchange->headers);
    if (exchange->options.body != NULL) {
        curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, NULL);
        curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, stdout);
        curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, NULL);
        curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, NULL);
    }
}

/* ---- prepare ---- */

static CURLcode prepare_headers(struct exchange *exchange, const struct weir_attempt *attempt)
{
    struct curl_slist *list;
    if (!headers_wanted(&exchange->options)) return CURLE_OK;
    CURLcode code = headers_make(&exchange->headers, &exchange->options, attempt, &list);
    return code == CURLE_OK ? curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, list) : code;
}

/* A connection that is closed within the head of a response looks to libcurl like one with an empty body. */
static size_t head_line(char *line, size_t size, size_t count, void *argument)
{
    struct exchange *exchange = argument;
    size_t length = size * count;
    if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        exchange->head_open = true;
        exchange->uploads |= is_upload(exchange->easy);
    } else if (length > 0 && (line[0] == '\r' || line[0] == '\n')) exchange->head_open = false;
    return length;
}

static CURLcode prepare_body(struct exchange *exchange)
{
    struct weir_curl_body *body = exchange->options.body;
    if (body == NULL) return CURLE_OK;
    if (!empty_body(exchange)) return CURLE_OUT_OF_MEMORY;
    exchange->head_open = exchange->uploads = false;
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, head_line);
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, body_write);
    return curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, body);
}

/* libcurl's own limits are behind the driver's, which ends the transfer at the instant itself: so far that they never come
 * first, even where the pipeline's clock lags by a tick (WEIR_TIMING_COARSE). Its 0 would be no limit at all. */
#define BEHIND_MS 20

static CURLcode prepare_limits(struct exchange *exchange, const struct weir_attempt *attempt)
{
    CURL *easy = exchange->easy;
    long left_ms = weir_attempt_left_ms(attempt), connect_ms = to_ms(exchange->options.connect_ns);
    if (left_ms < INT32_MAX - BEHIND_MS) left_ms += BEHIND_MS;
    if (connect_ms == 0 || connect_ms > left_ms) connect_ms = left_ms;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else ending a name lookup waits for the resolver */
#endif
    CURLcode code = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left_ms);
    if (code == CURLE_OK) code = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    return code;
}

/* Where the last attempt may have left something behind. */
static CURLcode start_over(const struct weir_curl_options *options)
{
    if (options->reset != NULL && options->reset(options->argument) != 0) return CURLE_WRITE_ERROR;
    if (options->rewind != NULL && options->rewind(options->argument) != 0) return CURLE_SEND_FAIL_REWIND;
    return CURLE_OK;
}

CURLcode exchange_prepare(struct exchange *exchange, const struct weir_attempt *attempt)
{
    CURLcode code = exchange->begun == 0 ? CURLE_OK : start_over(&exchange->options);
    if (code == CURLE_OK) code = prepare_body(exchange);
    exchange->begun++;
    if (code == CURLE_OK) code = prepare_headers(exchange, attempt);
    if (code == CURLE_OK) code = prepare_limits(exchange, attempt);
    if (code == CURLE_OK) tally_add(&tally.attempts);
    return code;
}

struct weir_outcome exchange_refusal(CURLcode code)
{
    return (
        struct weir_outcome) { .status = WEIR_IGNORED, .flags = WEIR_NOT_REPEATABLE, .code = (int32_t)code };
}

/* ---- end ---- */

CURLcode exchange_over(const struct weir_attempt *attempt, uint64_t now_ns)
{
    if (weir_context_check(attempt->context, 0) == WEIR_CANCELED) return CURLE_ABORTED_BY_CALLBACK;
    return now_ns < attempt->deadline_ns ? CURLE_OK : CURLE_OPERATION_TIMEDOUT;
}

struct weir_outcome exchange_too_late(CURLcode code)
{
    return (struct weir_outcome) { .status = WEIR_FAILED, .flags = WEIR_NOT_SENT, .code = (int32_t)code };
}

/* Before a redirect, which may make a GET of it, and forgets the bytes: unless each head was heard, it counts as one. */
static bool was_upload(const struct exchange *exchange)
{
    long redirects = 0;
    if (exchange->options.body != NULL) return exchange->uploads;
    curl_easy_getinfo(exchange->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    return redirects > 0;
}

/* What has been read of an upload need not have left, and what was read and not sent is counted nowhere: of a request
 * that has begun to leave, the upload counts as used. */
static bool has_used_upload(const struct exchange *exchange, struct weir_outcome outcome)
{
    if ((outcome.flags & WEIR_NOT_SENT) != 0) return false;
    if (was_upload(exchange)) return true;
    return is_upload(exchange->easy);
}

/* Asked of every outcome: a pipeline's classifier may yet turn an OK into a failure. */
static bool is_repeatable(const struct exchange *exchange, struct weir_outcome outcome)
{
    const struct weir_curl_options *options = &exchange->options;
    bool sink = options->body != NULL || options->reset != NULL;
    if (!sink && count_of(exchange->easy, CURLINFO_SIZE_DOWNLOAD_T) > 0) return false;
    bool upload = options->repeatable || options->rewind != NULL;
    return upload || !has_used_upload(exchange, outcome);
}

static struct weir_outcome flagged(const struct exchange *exchange, struct weir_outcome outcome)
{
    if (is_repeatable(exchange, outcome)) return outcome;
    outcome.flags |= WEIR_NOT_REPEATABLE;
    if (outcome.status != WEIR_OK) tally_add(&tally.not_repeatable);
    return outcome;
}

/* Its name was still being looked up: a thread of libcurl's is left behind. */
static void note_resolver(const struct exchange *exchange)
{
    if (count_of(exchange->easy, CURLINFO_NAMELOOKUP_TIME_T) == 0) tally_add(&tally.resolvers_left);
}

struct weir_outcome exchange_end(struct exchange *exchange, CURLcode code)
{
    if (code == CURLE_OPERATION_TIMEDOUT) note_resolver(exchange);
    if (code == CURLE_OK && exchange->head_open) code = CURLE_PARTIAL_FILE;
    return flagged(exchange, weir_curl_outcome(exchange->easy, code));
}

struct weir_outcome exchange_stop(struct exchange *exchange, CURLcode code)
{
    note_resolver(exchange);
    struct weir_outcome outcome = weir_curl_outcome(exchange->easy, code);
    outcome.status = WEIR_FAILED;
    return flagged(exchange, outcome);
}
