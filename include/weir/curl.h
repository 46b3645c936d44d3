/* HTTP through libcurl: a transfer that keeps its deadline, ends at once when it is canceled, and is retried only
 * where nothing can go wrong by it. Library weir-curl (weir::curl, weir-curl.pc).
 *
 *     CURL *easy = curl_easy_init();
 *     curl_easy_setopt(easy, CURLOPT_URL, "https://bank.example/balance");
 *     struct weir_curl_body body = { 0 };
 *     struct weir_outcome outcome = weir_curl_perform(bank,
 *         WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = true), .body = &body), easy);
 *
 * The easy handle stays yours: url, method, TLS, proxy, cookies are set as ever. While a call is under way the
 * adapter owns these of its options, and leaves them changed: NOSIGNAL, QUICK_EXIT, TIMEOUT_MS, CONNECTTIMEOUT_MS;
 * WRITEFUNCTION, WRITEDATA, HEADERFUNCTION and HEADERDATA with .body (read headers by curl_easy_header());
 * HTTPHEADER with .headers, .wire or .idempotency_key. Nothing in it points to the adapter's memory when the call
 * has ended.
 *
 * Outcomes: .code is the HTTP status (100 and more) or, if there is none, the CURLcode (less than 100; 0: OK without a
 * status, a file). OK means that the whole response arrived.
 *     a status                          as weir_from_http() says, with Retry-After (cut to a day) as retry_after_ns;
 *                                       behind a redirect FAILED in place of OVERLOADED: it was not declined
 *     the callee or the way to it       FAILED; NOT_SENT if not a byte of the request had left
 *     your own callbacks or options     IGNORED: a bad URL, out of memory, a write function that said stop
 *     deadline, cancel                  EXPIRED, CANCELED
 * A pipeline's classifier may judge otherwise. An attempt is NOT_REPEATABLE when the upload has been used and cannot be
 * rewound, or a part of the response has been handed to a sink that cannot be reset (see below). A fallback function
 * of the pipeline is given the easy handle as its argument. */
#ifndef WEIR_CURL_H
#define WEIR_CURL_H

#include <weir/run.h>
#include <weir/wire.h>

#include <curl/curl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A response body in memory: emptied when the call begins and before each attempt, always with a zero byte behind the
 * last. It is that of the last attempt, also of one that failed; empty if none was made (a refusal), and if a fallback
 * answers, unless its function has filled it by a transfer of its own. Zero it before its first use,
 * weir_curl_body_free() after its last. A body beyond limit ends the transfer: IGNORED. */
struct weir_curl_body {
    char *data; /* NULL until there was an attempt; not when the outcome is OK, but for want of memory */
    size_t size;
    size_t limit;   /* 0: 16 MiB */
    size_t emptied; /* private: how often */
};
WEIR_API void weir_curl_body_free(struct weir_curl_body *body);

/* Every field may be left 0. Copied, with .call and .wire; what body, headers and argument point to is borrowed until
 * the call has ended, and so is the call's context, the thread's current one too. */
struct weir_curl_options {
    uint32_t size;
    /* What the handle uploads can be sent again as it is: POSTFIELDS, mime parts of memory or files. Default: a request
     * of a method that uploads is not repeated once a byte of it has left, unless .rewind; without .body that holds
     * for what was redirected, too. */
    bool repeatable;
    /* Adds "Idempotency-Key: " and 32 hexadecimal digits, the same for every attempt of the call. */
    bool idempotency_key;
    const struct weir_call_options *call; /* of weir_run(); default: none */
    struct weir_curl_body *body;          /* where the response body goes; default: what the handle says */
    /* For sinks and uploads that the handle's own functions serve. Both are called on the thread that drives the call,
     * between attempts; anything but 0 says that it cannot be done, which ends the call (IGNORED). reset empties the
     * response sink; default: an attempt that has handed on body bytes is not repeated. rewind starts the upload anew. */
    int (*reset)(void *argument);
    int (*rewind)(void *argument);
    void *argument;
    uint64_t connect_ns;        /* a duration: longest for connecting; default: all that the attempt has */
    struct curl_slist *headers; /* for the request, instead of the handle's HTTPHEADER */
    const struct weir_wire_out *wire; /* adds headers: what is left of each attempt's deadline, its trace */
};
WEIR_CONFIG_INIT(weir_curl_options)

/* Runs the transfer through the pipeline, on this thread, like weir_run(). options may be NULL. Connections stay open for
 * the thread's next calls, until the thread ends or weir_curl_thread_cleanup(). Not from within a callback of the same
 * handle. A handle whose transfer runs elsewhere aborts; that it waits elsewhere for its turn is not noticed. A forked
 * child uses none of the parent's connections, and closes none: their descriptors stay open in it. */
WEIR_API struct weir_outcome weir_curl_perform(
    const struct weir_pipeline *pipeline, const struct weir_curl_options *options, CURL *easy);

/* Closes the connections that this thread keeps. */
WEIR_API void weir_curl_thread_cleanup(void);

/* What the adapter says of a transfer that has ended with that code: for programs that drive libcurl themselves. Of sinks
 * and uploads it knows nothing: never NOT_REPEATABLE. */
WEIR_API struct weir_outcome weir_curl_outcome(CURL *easy, CURLcode code);

/* ---- many transfers on one thread ---- */

/* Guards transfers of a multi handle that you own and drive, by curl_multi_perform() or curl_multi_socket_action(). One
 * thread at a time. Its functions may be called from within done and message, but not from within libcurl's callbacks
 * (libcurl refuses that, and they abort). From reset, rewind and fallback functions other transfers may be started and
 * canceled, no more, nor by a done that is told in there. The pipelines' clock must be the system's. Their events wait
 * for weir_pipeline_deliver(). */
struct weir_curl_multi;

struct weir_curl_multi_config {
    uint32_t size;
    void (*message)(void *argument, CURLMsg *message); /* of transfers not guarded; default: dropped */
    void *argument;
};
WEIR_CONFIG_INIT(weir_curl_multi_config)
/* multi is borrowed. config may be NULL. SIZE, NOMEM, SYSTEM (no descriptor is left). Yours to destroy, before multi and
 * when no transfer is left in it; a forked child may destroy its copy at any time, and do nothing else with it. */
WEIR_API WEIR_MUST_USE enum weir_error weir_curl_multi_create(
    CURLM *multi, const struct weir_curl_multi_config *config, struct weir_curl_multi **guarded);
WEIR_API void weir_curl_multi_destroy(struct weir_curl_multi *guarded);

/* Told once for each transfer begun, from within weir_curl_multi_start(), _turn() or _cancel(). The handle is yours again: it
 * may be used in another start, or cleaned up, at once. */
typedef void weir_curl_done(void *argument, CURL *easy, struct weir_outcome outcome);

/* Begins one. options may be NULL. A refusal is told through done as well. NOMEM:
 * nothing was begun, and done is not called. */
WEIR_API WEIR_MUST_USE enum weir_error weir_curl_multi_start(struct weir_curl_multi *guarded,
    const struct weir_pipeline *pipeline, const struct weir_curl_options *options, CURL *easy,
    weir_curl_done *done, void *argument);

/* Takes what is due: to be called after each curl_multi_perform() or curl_multi_socket_action(), when
 * weir_curl_multi_descriptor() is readable, and when the instant it answers has come (WEIR_NEVER: none). Reads the multi
 * handle's messages. */
WEIR_API uint64_t weir_curl_multi_turn(struct weir_curl_multi *guarded);
/* How long that is from now, for curl_multi_poll() and the like: milliseconds, rounded up, 0 to an hour. */
WEIR_API int weir_curl_multi_timeout_ms(const struct weir_curl_multi *guarded);
/* Becomes readable when a permit was handed over or a context canceled: for your poll set. curl_multi_poll() is woken too. */
WEIR_API int weir_curl_multi_descriptor(const struct weir_curl_multi *guarded);

/* Ends the transfer of that handle: CANCELED, told through done before it answers. false: there is none. */
WEIR_API bool weir_curl_multi_cancel(struct weir_curl_multi *guarded, CURL *easy);

struct weir_curl_multi_stats {
    uint64_t transfers; /* begun and not ended */
    uint64_t waiting;   /* of these, in a queue or backing off */
};
WEIR_API struct weir_curl_multi_stats weir_curl_multi_stats(const struct weir_curl_multi *guarded);

/* Of the process, since its start. */
struct weir_curl_stats {
    uint64_t attempts;        /* transfers run */
    uint64_t resolvers_left;  /* given up before the name was known: at most a thread of libcurl's each */
    uint64_t not_repeatable;  /* attempts flagged so */
    uint64_t retry_after_cut; /* Retry-After values beyond a day */
};
WEIR_API struct weir_curl_stats weir_curl_stats(void);

#ifdef __cplusplus
}
#endif
#endif
