/* Starting, stopping and ending transfers, as the machine says.
 *
 *                   RUN                  message, deadline, cancel
 *     start --> begin --> handle in the multi handle --> settle --.--> DONE --> out of the table, pooled, done()
 *                  \--WAIT--> look at it: its instant, its waker --'   (or RUN again, or WAIT)
 *
 * Invariants
 *   1. attempt != 0: the easy handle is in the multi handle, its transfer runs, and the call is owed a settle. Whoever
 *      ends it takes the handle out and settles at once: what a deadline stops is not abandoned, and its flags count;
 *      what cancel() abandons runs no longer when it returns.
 *   2. A transfer's handle is in the table from start until just before done(), which finds nothing of it left: it may start,
 *      cancel and use the handle as it likes.
 *   3. All memory is taken before begin; afterwards nothing can fail but libcurl.
 *   4. Instants are CLOCK_MONOTONIC, read for each event: a callback may have taken its time.
 *
 * Handles are found in a table and not by CURLOPT_PRIVATE, which is the user's: callbacks of his may read it while the
 * transfer runs. */
#include "multi.h"

#include "misuse.h"
#include "process.h"

#include <string.h>

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

/* ---- memory ---- */

static struct transfer *from_pool(struct weir_curl_multi *guarded)
{
    struct transfer *transfer = guarded->pool;
    if (transfer != NULL) {
        guarded->pool = transfer->pooled;
        return transfer;
    }
    transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL) return NULL;
    transfer->guarded = guarded;
    transfer->node.ready = &guarded->ready;
    return transfer;
}

static void to_pool(struct transfer *transfer)
{
    transfer->easy = NULL;
    transfer->pooled = transfer->guarded->pool;
    transfer->guarded->pool = transfer;
}

static bool has_call(struct transfer *transfer, size_t size)
{
    if (transfer->call_size >= size) return true;
    struct weir_call *call = realloc(transfer->call, size);
    if (call == NULL) return false;
    transfer->call = call;
    transfer->call_size = size;
    return true;
}

/* Everything that the transfer will need; NULL: no memory. */
static struct transfer *allocate(
    struct weir_curl_multi *guarded, const struct weir_pipeline *pipeline, CURL *easy)
{
    struct transfer *transfer = from_pool(guarded);
    if (transfer == NULL) return NULL;
    bool room = has_call(transfer, weir_pipeline_call_size(pipeline)) &&
        timers_reserve(&guarded->timers, guarded->transfers + 1) &&
        handles_add(&guarded->handles, &transfer->handle, easy);
    if (!room) {
        to_pool(transfer);
        return NULL;
    }
    transfer->easy = easy;
    return transfer;
}

struct transfer *multi_find(const struct weir_curl_multi *guarded, CURL *easy)
{
    struct handle *handle = handles_find(&guarded->handles, easy);
    return handle == NULL ? NULL : (struct transfer *)((char *)handle - offsetof(struct transfer, handle));
}

/* ---- steps ---- */

static void finish(struct transfer *transfer)
{
    struct weir_curl_multi *guarded = transfer->guarded;
    struct weir_outcome outcome = weir_call_outcome(transfer->call);
    CURL *easy = transfer->easy;
    weir_context_unwatch(&transfer->watch);
    exchange_close(&transfer->exchange, outcome);
    timers_set(&guarded->timers, &transfer->timer, WEIR_NEVER);
    handles_remove(&guarded->handles, &transfer->handle);
    guarded->transfers--;
    to_pool(transfer);
    transfer->done(transfer->argument, easy, outcome);
}

/* CURLE_OK: the attempt runs. */
static CURLcode begin_attempt(struct transfer *transfer, const struct weir_attempt *attempt)
{
    CURLcode code = exchange_prepare(&transfer->exchange, attempt);
    if (code != CURLE_OK) return code;
    CURLMcode added = curl_multi_add_handle(transfer->guarded->multi, transfer->easy);
    CURL_REQUIRE(
        added != CURLM_ADDED_ALREADY, "weir_curl_multi_start", "the easy handle is in use elsewhere");
    CURL_REQUIRE(added != CURLM_BAD_EASY_HANDLE, "weir_curl_multi_start", "easy is no easy handle");
    CURL_REQUIRE(added != CURLM_RECURSIVE_API_CALL, "weir_curl_multi_start",
        "called from within a callback of libcurl");
    if (added != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    transfer->attempt = attempt->number;
    transfer->guarded->running++;
    return CURLE_OK;
}

/* The attempt ended so. */
static struct weir_step settle(struct transfer *transfer, uint32_t attempt, struct weir_outcome outcome)
{
    outcome = weir_call_classify(transfer->call, outcome);
    return weir_call_settle(transfer->call, attempt, outcome, now());
}

static struct weir_step run_operation(struct transfer *transfer, struct weir_step step)
{
    const struct weir_attempt *attempt = weir_call_attempt(transfer->call);
    CURLcode code = exchange_over(attempt, now());
    if (code != CURLE_OK) return settle(transfer, step.attempt, exchange_too_late(code));
    code = begin_attempt(transfer, attempt);
    if (code != CURLE_OK) return settle(transfer, step.attempt, exchange_refusal(code));
    step.action = WEIR_WAIT; /* until it ends */
    return step;
}

static struct weir_step run_fallback(struct transfer *transfer)
{
    struct weir_outcome outcome = weir_call_fallback(transfer->call, transfer->easy);
    return weir_call_settle(transfer->call, 0, outcome, now());
}

static struct weir_step run(struct transfer *transfer, struct weir_step step)
{
    transfer->stepping = true;
    transfer->guarded->stepping++;
    if (step.what == WEIR_OPERATION) step = run_operation(transfer, step);
    else step = run_fallback(transfer);
    transfer->guarded->stepping--;
    transfer->stepping = false;
    return step;
}

static void take(struct transfer *transfer, struct weir_step step)
{
    struct weir_waker waker = { ready_post, &transfer->node };
    while (step.action != WEIR_DONE) {
        if (step.action == WEIR_RUN) step = run(transfer, step);
        else if (transfer->attempt == 0 && !transfer->armed) {
            transfer->armed = true;
            step = weir_call_arm(transfer->call, waker, now());
        } else {
            timers_set(&transfer->guarded->timers, &transfer->timer, step.at_ns);
            return;
        }
    }
    finish(transfer);
}

/* The attempt's transfer is over: the handle goes out of the multi handle. */
static uint32_t leave(struct transfer *transfer)
{
    uint32_t attempt = transfer->attempt;
    CURLMcode removed = curl_multi_remove_handle(transfer->guarded->multi, transfer->easy);
    CURL_REQUIRE(
        removed != CURLM_RECURSIVE_API_CALL, "weir_curl_multi", "called from within a callback of libcurl");
    transfer->attempt = 0;
    transfer->guarded->running--;
    return attempt;
}

void multi_ended(struct transfer *transfer, CURLcode code)
{
    struct weir_outcome outcome = exchange_end(&transfer->exchange, code);
    take(transfer, settle(transfer, leave(transfer), outcome));
}

void multi_look(struct transfer *transfer)
{
    if (transfer->easy == NULL) return; /* posted late */
    if (transfer->attempt == 0) {
        take(transfer, weir_call_wake(transfer->call, now()));
        return;
    }
    const struct weir_attempt *attempt = weir_call_attempt(transfer->call);
    CURLcode code = exchange_over(attempt, now());
    if (code == CURLE_OK) {
        timers_set(&transfer->guarded->timers, &transfer->timer, attempt->deadline_ns);
        return;
    }
    struct weir_outcome outcome = exchange_stop(&transfer->exchange, code);
    take(transfer, settle(transfer, leave(transfer), outcome));
}

/* ---- the public functions ---- */

static void enter(struct weir_curl_multi *guarded, const char *function)
{
    CURL_REQUIRE(guarded != NULL, function, "guarded is NULL");
    CURL_REQUIRE(
        guarded->process == process_number(), function, "it was made by another process, before a fork");
    guarded->inside++;
}

static void begin(struct transfer *transfer, const struct weir_pipeline *pipeline)
{
    struct weir_waker waker = { ready_post, &transfer->node };
    transfer->attempt = 0;
    transfer->armed = false;
    transfer->guarded->transfers++;
    /* No transfer writes a result: what the last call left there is not this one's. */
    memset(transfer->call + 1, 0, weir_pipeline_call_size(pipeline) - sizeof(struct weir_call));
    struct weir_step step = weir_call_begin(transfer->call, pipeline, transfer->exchange.options.call, now());
    weir_context_watch(&transfer->watch, weir_call_attempt(transfer->call)->context, waker);
    take(transfer, step);
}

enum weir_error weir_curl_multi_start(struct weir_curl_multi *guarded, const struct weir_pipeline *pipeline,
    const struct weir_curl_options *options, CURL *easy, weir_curl_done *done, void *argument)
{
    static const char function[] = "weir_curl_multi_start";
    enter(guarded, function);
    CURL_REQUIRE(pipeline != NULL, function, "pipeline is NULL");
    CURL_REQUIRE(done != NULL, function, "done is NULL");
    CURL_REQUIRE(easy != NULL, function, "easy is NULL");
    CURL_REQUIRE(multi_find(guarded, easy) == NULL, function, "the easy handle is in use");
    struct transfer *transfer = allocate(guarded, pipeline, easy);
    if (transfer != NULL) {
        exchange_open(&transfer->exchange, easy, options, function);
        transfer->done = done;
        transfer->argument = argument;
        begin(transfer, pipeline);
    }
    guarded->inside--;
    return transfer != NULL ? WEIR_E_NONE : WEIR_E_NOMEM;
}

bool weir_curl_multi_cancel(struct weir_curl_multi *guarded, CURL *easy)
{
    enter(guarded, "weir_curl_multi_cancel");
    struct transfer *transfer = multi_find(guarded, easy);
    if (transfer != NULL) {
        CURL_REQUIRE(!transfer->stepping, "weir_curl_multi_cancel",
            "called from within its own reset, rewind or fallback function");
        bool runs = transfer->attempt != 0;
        struct weir_outcome outcome = { .status = WEIR_CANCELED };
        if (runs) outcome = exchange_stop(&transfer->exchange, CURLE_ABORTED_BY_CALLBACK);
        struct weir_step step = weir_call_cancel(transfer->call, now());
        if (runs) step = settle(transfer, leave(transfer), outcome);
        take(transfer, step);
    }
    guarded->inside--;
    return transfer != NULL;
}
