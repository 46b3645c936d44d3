/* Row 8: one request in by HTTP, with a deadline and a trace in its headers; what it asks of another server goes out by
 * HTTP under its context. Three real parts: a client (plain libcurl), our service, and an origin behind it, both
 * on libmicrohttpd.
 *
 *     client --- grpc-timeout: 800m ---> service --- what is left, the same trace ---> origin
 */
#include "lessons/claim.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <weir/curl.h>
#include <weir/weir.h>
#include <weir/wire.h>

#define BUDGET_MS 800
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define BAGGAGE "tenant=blue"
#define SEEN_MAX 8

/* What the origin saw of each attempt. */
struct seen {
    long left_ms;
    char parent[64], baggage[64];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    bool silent, stopping;
    unsigned count;
    struct seen seen[SEEN_MAX];
} origin = { .lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER };

static uint16_t origin_port;
static struct weir_pipeline *pipeline;

static void must(bool holds, const char *what)
{
    if (holds) return;
    printf("%s", what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * WEIR_S + (uint64_t)now.tv_nsec;
}

/* ---- servers ---- */

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    return value == NULL ? "" : value;
}

/* Answers 500 to the first attempt and 200 to the next, or nothing at all. */
static enum MHD_Result serve_origin(void *argument, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *body, size_t *size, void **request)
{
    (void)argument, (void)url, (void)method, (void)version, (void)body, (void)size, (void)request;
    pthread_mutex_lock(&origin.lock);
    unsigned number = origin.count++;
    if (number < SEEN_MAX) {
        struct seen *seen = &origin.seen[number];
        seen->left_ms = strtol(header(connection, "x-envoy-expected-rq-timeout-ms"), NULL, 10);
        snprintf(seen->parent, sizeof seen->parent, "%s", header(connection, "traceparent"));
        snprintf(seen->baggage, sizeof seen->baggage, "%s", header(connection, "baggage"));
    }
    bool silent = origin.silent;
    while (origin.silent && !origin.stopping) pthread_cond_wait(&origin.released, &origin.lock);
    pthread_mutex_unlock(&origin.lock);
    if (silent) return MHD_NO;
    return reply(connection, number == 0 ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_OK);
}

static enum MHD_Result take_header(
    void *argument, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    weir_wire_header(argument, name, strlen(name), value, value == NULL ? 0 : strlen(value));
    return MHD_YES;
}

/* The call that the service makes for its request, under the request's context. */
static struct weir_outcome ask_origin(const struct weir_context *context)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", origin_port);
    CURL *easy = curl_easy_init();
    must(easy != NULL, "no easy handle");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    struct weir_curl_body body = { 0 };
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options,
            .call = WEIR_CONFIG(weir_call_options, .context = context, .idempotent = true), .body = &body,
            .wire = WEIR_CONFIG(weir_wire_out, .send = WEIR_WIRE_ALL)),
        easy);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    return outcome;
}

static enum MHD_Result serve_request(void *argument, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *body, size_t *size, void **request)
{
    (void)argument, (void)url, (void)method, (void)version, (void)body, (void)size, (void)request;
    uint64_t received_ns = now_ns();
    struct weir_wire wire;
    struct weir_context context;
    weir_wire_init(&wire, NULL);
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &wire);
    weir_wire_context(&context, NULL, &wire, received_ns, NULL);
    struct weir_outcome outcome = ask_origin(&context);
    return reply(connection,
        outcome.status == WEIR_OK            ? MHD_HTTP_OK
            : outcome.status == WEIR_EXPIRED ? MHD_HTTP_GATEWAY_TIMEOUT
                                             : MHD_HTTP_BAD_GATEWAY);
}

static struct MHD_Daemon *start(MHD_AccessHandlerCallback handler, uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
            handler, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    must(daemon != NULL, "no server");
    *port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return daemon;
}

/* ---- the client ---- */

/* Answers the status; took_ms: until then. */
static long ask_service(uint16_t port, double *took_ms)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    struct curl_slist *headers = curl_slist_append(NULL, "grpc-timeout: 800m");
    headers = curl_slist_append(headers, "traceparent: " PARENT);
    headers = curl_slist_append(headers, "baggage: " BAGGAGE);
    CURL *easy = curl_easy_init();
    must(easy != NULL, "no easy handle");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 30L);
    uint64_t from_ns = now_ns();
    CURLcode code = curl_easy_perform(easy);
    *took_ms = (double)(now_ns() - from_ns) / 1e6;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    return code == CURLE_OK ? status : -(long)code;
}

/* ---- the claim ---- */

static void create_pipeline(void)
{
    struct weir_policy *order[3] = { NULL };
    must(weir_retry_create(
             WEIR_CONFIG(weir_retry_config, .base_ns = 10 * WEIR_MS, .backoff = WEIR_BACKOFF_CONSTANT),
             &order[0]) == WEIR_E_NONE,
        "retry");
    must(weir_breaker_create(NULL, &order[1]) == WEIR_E_NONE, "breaker");
    must(weir_bulkhead_create(NULL, &order[2]) == WEIR_E_NONE, "bulkhead");
    must(weir_pipeline_create(NULL, order, 3, &pipeline) == WEIR_E_NONE, "pipeline");
    for (int i = 0; i < 3; i++) weir_policy_release(order[i]);
}

static bool same_trace(const struct seen *seen)
{
    bool trace = strncmp(seen->parent + 3, TRACE_ID, strlen(TRACE_ID)) == 0;
    return trace && strcmp(seen->parent, PARENT) != 0 && strcmp(seen->baggage, BAGGAGE) == 0;
}

/* The first attempt fails and is retried: both know the time left, the second less of it, and the trace. */
static bool show_answered(uint16_t port)
{
    double took_ms;
    long status = ask_service(port, &took_ms);
    const struct seen *first = &origin.seen[0], *second = &origin.seen[1];
    printf("%d ms in, %ld and %ld ms out in %u attempts of one trace", BUDGET_MS, first->left_ms,
        second->left_ms, origin.count);
    bool shrinks =
        first->left_ms <= BUDGET_MS && second->left_ms <= first->left_ms - 10 && second->left_ms > 0;
    bool spans = strcmp(first->parent, second->parent) != 0;
    return status == 200 && origin.count == 2 && shrinks && spans && same_trace(first) && same_trace(second);
}

/* The origin says nothing: the service answers when the time that its own caller gave it is over. */
static bool show_silent(uint16_t port)
{
    double took_ms;
    pthread_mutex_lock(&origin.lock);
    origin.silent = true;
    pthread_mutex_unlock(&origin.lock);
    long status = ask_service(port, &took_ms);
    printf("; silent: %ld after %.0f ms", status, took_ms);
    return status == 504 && took_ms >= BUDGET_MS - 1 && took_ms < 10 * BUDGET_MS;
}

static bool show_http(void)
{
    uint16_t port;
    create_pipeline();
    struct MHD_Daemon *behind = start(serve_origin, &origin_port), *service = start(serve_request, &port);
    bool holds = show_answered(port);
    holds &= show_silent(port);
    MHD_stop_daemon(service);
    pthread_mutex_lock(&origin.lock);
    origin.stopping = true;
    pthread_cond_broadcast(&origin.released);
    pthread_mutex_unlock(&origin.lock);
    MHD_stop_daemon(behind);
    weir_pipeline_destroy(pipeline);
    return holds;
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "http", show_http } };
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl");
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
