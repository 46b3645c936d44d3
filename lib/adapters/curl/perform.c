/* The blocking driver: weir_run() with an operation that drives a multi handle of this thread.
 *
 * curl_easy_perform() cannot be woken and looks at its own limits when it likes; a multi handle sleeps no longer than
 * it is told, and curl_multi_wakeup() ends its sleep from any thread. So an attempt ends at the instant of its deadline or of
 * its cancel, whatever the peer, the resolver or libcurl is at. */
#include "exchange.h"
#include "misuse.h"
#include "thread.h"

/* A fallback function of the pipeline gets the operation's argument: the easy handle, which is what a user knows. The
 * exchange is found here: of the performs that nest on this thread, the innermost is the one whose operation runs. */
struct passage {
    struct exchange exchange;
    struct passage *outer;
};
static _Thread_local struct passage *innermost __attribute__((tls_model("initial-exec")));

static void wake(void *multi)
{
    curl_multi_wakeup(multi);
}

/* By the pipeline's own clock, which is what settles the attempt; without a deadline none is read. */
static uint64_t now_of(const struct weir_attempt *attempt)
{
    return attempt->deadline_ns == WEIR_NEVER ? 0 : weir_pipeline_now(attempt->pipeline);
}

/* How long a sleep may be; rounded up, since one that ends too early is followed by another. */
static int left_ms(const struct weir_attempt *attempt, uint64_t now_ns)
{
    uint64_t ms = (attempt->deadline_ns - now_ns - 1) / WEIR_MS + 1;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* False: the transfer goes on. A lane has one. */
static bool has_ended(CURLM *multi, CURLcode *code)
{
    int left;
    CURLMsg *message = curl_multi_info_read(multi, &left);
    if (message == NULL) return false;
    *code = message->data.result;
    return true;
}

/* The clock is read once a turn, when it is known that there is something to wait for. */
static struct weir_outcome drive(struct exchange *exchange, CURLM *multi, const struct weir_attempt *attempt)
{
    for (;;) {
        int running;
        CURLcode code;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return exchange_end(exchange, CURLE_OUT_OF_MEMORY);
        if (has_ended(multi, &code)) return exchange_end(exchange, code);
        uint64_t now_ns = now_of(attempt);
        code = exchange_over(attempt, now_ns);
        if (code != CURLE_OK) return exchange_stop(exchange, code);
        if (curl_multi_poll(multi, NULL, 0, left_ms(attempt, now_ns), NULL) != CURLM_OK)
            return exchange_end(exchange, CURLE_OUT_OF_MEMORY);
    }
}

static struct weir_outcome drive_watched(
    struct exchange *exchange, CURLM *multi, const struct weir_attempt *attempt)
{
    struct weir_watch watch;
    if (attempt->context == NULL) return drive(exchange, multi, attempt);
    weir_context_watch(&watch, attempt->context, (struct weir_waker) { wake, multi });
    struct weir_outcome outcome = drive(exchange, multi, attempt);
    weir_context_unwatch(&watch);
    return outcome;
}

/* The handle is ready and in no multi handle. */
static struct weir_outcome run(
    struct exchange *exchange, struct lane *lane, const struct weir_attempt *attempt)
{
    CURLMcode added = curl_multi_add_handle(lane->multi, exchange->easy);
    CURL_REQUIRE(added != CURLM_ADDED_ALREADY, "weir_curl_perform", "the easy handle is in use elsewhere");
    CURL_REQUIRE(added != CURLM_BAD_EASY_HANDLE, "weir_curl_perform", "easy is no easy handle");
    if (added != CURLM_OK) return exchange_refusal(CURLE_OUT_OF_MEMORY);
    struct weir_outcome outcome = drive_watched(exchange, lane->multi, attempt);
    curl_multi_remove_handle(lane->multi, exchange->easy);
    return outcome;
}

static struct weir_outcome transfer(void *easy, const struct weir_attempt *attempt)
{
    (void)easy;
    struct exchange *exchange = &innermost->exchange;
    CURLcode code = exchange_over(attempt, now_of(attempt));
    if (code != CURLE_OK) return exchange_too_late(code);
    struct lane *lane = lane_take();
    if (lane == NULL) return exchange_refusal(CURLE_OUT_OF_MEMORY);
    code = exchange_prepare(exchange, attempt);
    struct weir_outcome outcome = code == CURLE_OK ? run(exchange, lane, attempt) : exchange_refusal(code);
    lane_give_back(lane);
    return outcome;
}

struct weir_outcome weir_curl_perform(
    const struct weir_pipeline *pipeline, const struct weir_curl_options *options, CURL *easy)
{
    struct passage passage;
    CURL_REQUIRE(pipeline != NULL, "weir_curl_perform", "pipeline is NULL");
    exchange_open(&passage.exchange, easy, options, "weir_curl_perform");
    passage.outer = innermost;
    innermost = &passage;
    struct weir_outcome outcome = weir_run(pipeline, passage.exchange.options.call, transfer, easy);
    innermost = passage.outer;
    exchange_close(&passage.exchange, outcome);
    return outcome;
}
