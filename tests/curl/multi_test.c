/* Guarded transfers of a multi handle: queues, deadlines, cancels, callbacks that start and cancel others. */
#include "curl/guard.h"

#include "adapters/curl/multi.h"

#include <pthread.h>
#include <stdlib.h>

enum { MANY = 200, PERMITS = 8 };

/* ---- origins ---- */

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

/* Every other request meets a 503. */
static struct origin_answer moody(void *argument, const struct origin_request *request)
{
    (void)argument;
    return origin_hello(request->number % 2 == 1 ? 503 : 200);
}

/* ---- a client with its loop ---- */

struct client {
    CURLM *multi;
    struct weir_curl_multi *guarded;
    struct weir_pipeline *pipeline;
    struct origin *origin;
    uint32_t begun, told, by_status[WEIR_STATUSES];
    struct weir_outcome last;
    void (*then)(struct client *client, CURL *easy); /* called by done */
    CURL *easy[MANY];
    struct weir_curl_body body[MANY];
};

static void open_client(struct client *client, struct weir_pipeline *pipeline, origin_script *script)
{
    *client = (struct client) { .multi = curl_multi_init(), .pipeline = pipeline };
    client->origin = origin_start(script, NULL);
    CHECK_EQ(weir_curl_multi_create(client->multi, NULL, &client->guarded), WEIR_E_NONE);
    for (int i = 0; i < MANY; i++) client->easy[i] = handle_for(client->origin, "/");
}

static void close_client(struct client *client)
{
    struct weir_curl_multi_stats stats = weir_curl_multi_stats(client->guarded);
    CHECK_EQ(stats.transfers, 0);
    CHECK_EQ(stats.waiting, 0);
    CHECK_EQ(client->told, client->begun);
    struct weir_pipeline_stats pipeline = weir_pipeline_stats(client->pipeline);
    CHECK_EQ(pipeline.begun, client->begun);
    CHECK_EQ(pipeline.in_flight, 0);
    CHECK_EQ(pipeline.zombies, 0);
    for (int i = 0; i < WEIR_STATUSES; i++) CHECK_EQ(pipeline.ended[i], client->by_status[i]);
    weir_curl_multi_destroy(client->guarded);
    for (int i = 0; i < MANY; i++) {
        curl_easy_cleanup(client->easy[i]);
        weir_curl_body_free(&client->body[i]);
    }
    curl_multi_cleanup(client->multi);
    weir_pipeline_destroy(client->pipeline);
    origin_stop(client->origin);
}

static void done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct client *client = argument;
    client->told++;
    client->by_status[outcome.status]++;
    client->last = outcome;
    if (client->then != NULL) client->then(client, easy);
}

static void start(struct client *client, int index, const struct weir_call_options *call)
{
    client->begun++;
    CHECK_EQ(weir_curl_multi_start(client->guarded, client->pipeline,
                 WEIR_CONFIG(weir_curl_options, .body = &client->body[index], .call = call),
                 client->easy[index], done, client),
        WEIR_E_NONE);
}

static void turn(struct client *client)
{
    int running;
    CHECK_EQ(curl_multi_perform(client->multi, &running), CURLM_OK);
    weir_curl_multi_turn(client->guarded);
}

/* Until all that was begun is told, or, with `requests`, until so many have reached the origin. */
static void drive(struct client *client, uint32_t requests)
{
    for (;;) {
        turn(client);
        if (requests == 0 ? client->told == client->begun : origin_requests(client->origin) >= requests)
            return;
        int timeout_ms = weir_curl_multi_timeout_ms(client->guarded);
        if (requests != 0) timeout_ms = timeout_ms < 1 ? timeout_ms : 1; /* nothing tells it of requests */
        CHECK_EQ(curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL), CURLM_OK);
    }
}

/* ---- pipelines ---- */

struct parts {
    uint32_t attempts; /* 0: no retry */
    uint64_t backoff_ns;
    uint32_t permits, queue; /* 0 permits: no bulkhead */
    uint64_t timeout_ns;
};

/* retry, bulkhead, timeout */
static struct weir_pipeline *pipeline_of(struct parts parts)
{
    struct weir_policy *order[3] = { NULL };
    struct weir_pipeline *pipeline = NULL;
    size_t count = 0;
    if (parts.attempts != 0) {
        struct weir_budget *budget = NULL;
        CHECK_EQ(weir_budget_create(WEIR_CONFIG(weir_budget_config, .floor_per_s = 1000000), &budget),
            WEIR_E_NONE);
        CHECK_EQ(weir_retry_create(
                     WEIR_CONFIG(weir_retry_config, .attempts = parts.attempts, .base_ns = parts.backoff_ns,
                         .backoff = WEIR_BACKOFF_CONSTANT, .budget = budget),
                     &order[count++]),
            WEIR_E_NONE);
        weir_budget_release(budget);
    }
    if (parts.permits != 0)
        CHECK_EQ(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = parts.permits,
                                          .queue = parts.queue, .wait_max_ns = 60 * WEIR_S),
                     &order[count++]),
            WEIR_E_NONE);
    CHECK_EQ(weir_timeout_create(
                 WEIR_CONFIG(weir_timeout_config, .timeout_ns = parts.timeout_ns), &order[count++]),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &pipeline), WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}

static const struct parts crowded = { 0, 0, PERMITS, MANY, 60 * WEIR_S };

static void check_bulkhead_empty(const struct weir_pipeline *pipeline, size_t position)
{
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(weir_pipeline_policy(pipeline, position));
    CHECK_EQ(stats.in_use, 0);
    CHECK_EQ(stats.waiting, 0);
}

/* ---- all goes well ---- */

TEST(curl_multi, many_through_few_permits)
{
    struct client client;
    open_client(&client, pipeline_of(crowded), ok);
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    struct weir_curl_multi_stats stats = weir_curl_multi_stats(client.guarded);
    CHECK_EQ(stats.transfers, MANY);
    CHECK_EQ(stats.waiting, MANY - PERMITS);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    CHECK_EQ(origin_requests(client.origin), MANY);
    CHECK_EQ(origin_connections(client.origin), PERMITS);
    for (int i = 0; i < MANY; i++) CHECK_STR(client.body[i].data, "hello");
    check_bulkhead_empty(client.pipeline, 0);
    close_client(&client);
}

TEST(curl_multi, retries_and_backs_off)
{
    struct client client;
    open_client(&client, pipeline_of((struct parts) { 100, WEIR_MS, PERMITS, MANY, 60 * WEIR_S }), moody);
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    CHECK(origin_requests(client.origin) > MANY);
    for (int i = 0; i < MANY; i++) CHECK_STR(client.body[i].data, "hello");
    check_bulkhead_empty(client.pipeline, 1);
    close_client(&client);
}

TEST(curl_multi, a_refusal_is_told_at_once)
{
    struct client client;
    struct parts parts = crowded;
    parts.queue = 10;
    open_client(&client, pipeline_of(parts), ok);
    for (int i = 0; i < MANY; i++) {
        start(&client, i, NULL);
        CHECK_EQ(client.told, i < PERMITS + 10 ? 0 : i + 1 - PERMITS - 10);
    }
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], PERMITS + 10);
    CHECK_EQ(client.by_status[WEIR_REJECTED], MANY - PERMITS - 10);
    close_client(&client);
}

/* ---- ends from outside ---- */

TEST(curl_multi, a_deadline_stops_what_runs)
{
    struct client client;
    struct parts parts = { 1, WEIR_MS, PERMITS, MANY, 20 * WEIR_MS };
    open_client(&client, pipeline_of(parts), silent);
    for (int i = 0; i < 24; i++) start(&client, i, NULL);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_EXPIRED], 24);
    CHECK_EQ(client.last.code, CURLE_OPERATION_TIMEDOUT);
    CHECK_EQ(client.last.by, 3);
    CHECK_EQ(weir_pipeline_stats(client.pipeline).abandoned, 0);
    origin_await_open(client.origin, 0); /* none is kept on the other side either */
    check_bulkhead_empty(client.pipeline, 1);
    close_client(&client);
}

static struct origin_answer half(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return (struct origin_answer) { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_KEEP };
}

static size_t swallow(char *data, size_t size, size_t count, void *argument)
{
    (void)data;
    (void)argument;
    return size * count;
}

/* As in the blocking driver: a deadline does not hide that the sink has been written to. */
TEST(curl_multi, a_deadline_leaves_the_flags)
{
    struct client client;
    open_client(&client, pipeline_of((struct parts) { 3, WEIR_MS, 0, 0, WEIR_S }), half);
    curl_easy_setopt(client.easy[0], CURLOPT_WRITEFUNCTION, swallow);
    client.begun++;
    CHECK_EQ(weir_curl_multi_start(client.guarded, client.pipeline,
                 WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
                 client.easy[0], done, &client),
        WEIR_E_NONE);
    drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_EXPIRED);
    CHECK_EQ(client.last.flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(origin_requests(client.origin), 1);
    CHECK_EQ(weir_retry_stats(weir_pipeline_policy(client.pipeline, 0)).not_repeatable, 1);
    close_client(&client);
}

TEST(curl_multi, cancels_by_handle)
{
    struct client client;
    open_client(&client, pipeline_of(crowded), silent);
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    drive(&client, PERMITS);
    CHECK(weir_curl_multi_cancel(client.guarded, client.easy[MANY - 1])); /* one that waits */
    CHECK_EQ(client.told, 1);
    CHECK(!weir_curl_multi_cancel(client.guarded, client.easy[MANY - 1]));
    for (int i = 0; i < MANY - 1; i++) { /* and those that run, whose permits let others in */
        CHECK(weir_curl_multi_cancel(client.guarded, client.easy[i]));
        CHECK_EQ(client.told, i + 2);
    }
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY);
    check_bulkhead_empty(client.pipeline, 0);
    close_client(&client);
}

struct canceling {
    struct client *client;
    struct weir_source *source;
    uint32_t requests;
};

static void *cancel_when_asked(void *argument)
{
    struct canceling *canceling = argument;
    origin_await(canceling->client->origin, canceling->requests);
    weir_source_cancel(canceling->source, 1);
    return NULL;
}

/* Half of them under a context that another thread cancels; the rest goes on. */
static void cancel_half(struct parts parts, origin_script *script, uint32_t requests)
{
    struct client client;
    pthread_t thread;
    struct weir_context context;
    open_client(&client, pipeline_of(parts), script);
    struct canceling canceling = { &client, NULL, requests };
    CHECK_EQ(weir_source_create(&canceling.source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, canceling.source);
    for (int i = 0; i < MANY; i++) {
        start(&client, i, i % 2 == 0 ? WEIR_CONFIG(weir_call_options, .context = &context) : NULL);
    }
    CHECK_EQ(pthread_create(&thread, NULL, cancel_when_asked, &canceling), 0);
    while (client.by_status[WEIR_CANCELED] < MANY / 2) {
        curl_multi_poll(client.multi, NULL, 0, weir_curl_multi_timeout_ms(client.guarded), NULL);
        turn(&client);
    }
    pthread_join(thread, NULL);
    for (int i = 1; i < MANY; i += 2) weir_curl_multi_cancel(client.guarded, client.easy[i]);
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY);
    close_client(&client);
    weir_source_release(canceling.source);
}

TEST(curl_multi, a_cancel_from_another_thread_of_what_runs_and_what_waits)
{
    cancel_half(crowded, silent, PERMITS);
}

static struct origin_answer busy(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(503);
}

TEST(curl_multi, a_cancel_from_another_thread_of_what_backs_off)
{
    cancel_half((struct parts) { 3, 3600 * WEIR_S, 0, 0, 86400 * WEIR_S }, busy, MANY);
}

/* ---- callbacks that go on ---- */

static void once_more(struct client *client, CURL *easy)
{
    if (client->begun >= 3 * MANY) return;
    for (int i = 0; i < MANY; i++) {
        if (client->easy[i] == easy) start(client, i, NULL); /* the same handle, at once */
    }
}

TEST(curl_multi, done_starts_others)
{
    struct client client;
    open_client(&client, pipeline_of(crowded), ok);
    client.then = once_more;
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 3 * MANY);
    CHECK_EQ(origin_requests(client.origin), 3 * MANY);
    CHECK_EQ(origin_connections(client.origin), PERMITS);
    close_client(&client);
}

/* The first that is told takes all others with it, each from within the other's done. */
static void cancel_next(struct client *client, CURL *easy)
{
    (void)easy;
    for (int i = 0; i < MANY; i++) weir_curl_multi_cancel(client->guarded, client->easy[i]);
}

TEST(curl_multi, done_cancels_others)
{
    struct client client;
    open_client(&client, pipeline_of(crowded), ok);
    client.then = cancel_next;
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 1);
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY - 1);
    check_bulkhead_empty(client.pipeline, 0);
    close_client(&client);
}

static struct weir_outcome from_the_cache(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    return (struct weir_outcome) { .status = argument != NULL ? WEIR_OK : WEIR_FAILED };
}

TEST(curl_multi, a_fallback_function_answers)
{
    struct client client;
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = from_the_cache), &fallback),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &fallback, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(fallback);
    open_client(&client, pipeline, busy);
    start(&client, 0, NULL);
    drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_OK);
    CHECK_EQ(client.last.flags, WEIR_DEGRADED);
    CHECK_EQ(client.last.code, 503);
    close_client(&client);
}

/* 404 is the callee's fault here; flags and all else as the adapter said. */
static struct weir_outcome judge(void *argument, struct weir_outcome outcome)
{
    ++*(uint32_t *)argument;
    if (outcome.code == 404) outcome.status = WEIR_FAILED;
    return outcome;
}

static struct origin_answer missing(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(404);
}

TEST(curl_multi, a_classifier_judges)
{
    uint32_t judged = 0;
    struct client client;
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config,
                                      .classifier = &(struct weir_classifier) { judge, &judged }),
                 NULL, 0, &pipeline),
        WEIR_E_NONE);
    open_client(&client, pipeline, missing);
    start(&client, 0, NULL);
    drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_FAILED);
    CHECK_EQ(client.last.code, 404);
    CHECK_EQ(judged, 1);
    close_client(&client);
}

static void count_message(void *argument, CURLMsg *message)
{
    *(uint32_t *)argument += message->msg == CURLMSG_DONE && message->data.result == CURLE_OK;
}

TEST(curl_multi, others_messages_are_passed_on)
{
    uint32_t messages = 0;
    struct origin *origin = origin_start(ok, NULL);
    CURLM *multi = curl_multi_init();
    CURL *easy = handle_for(origin, "/");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    struct weir_curl_multi *guarded = NULL;
    CHECK_EQ(
        weir_curl_multi_create(multi,
            WEIR_CONFIG(weir_curl_multi_config, .message = count_message, .argument = &messages), &guarded),
        WEIR_E_NONE);
    curl_multi_add_handle(multi, easy);
    while (messages == 0) {
        int running;
        curl_multi_poll(multi, NULL, 0, weir_curl_multi_timeout_ms(guarded), NULL);
        curl_multi_perform(multi, &running);
        weir_curl_multi_turn(guarded);
    }
    CHECK_EQ(messages, 1);
    weir_curl_multi_destroy(guarded);
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    origin_stop(origin);
}

TEST(curl_multi, the_private_pointer_stays_the_users)
{
    struct client client;
    char *private = NULL;
    open_client(&client, pipeline_of(crowded), ok);
    curl_easy_setopt(client.easy[0], CURLOPT_PRIVATE, "mine");
    start(&client, 0, NULL);
    curl_easy_getinfo(client.easy[0], CURLINFO_PRIVATE, &private);
    CHECK_STR(private, "mine");
    drive(&client, 0);
    curl_easy_getinfo(client.easy[0], CURLINFO_PRIVATE, &private);
    CHECK_STR(private, "mine");
    close_client(&client);
}

/* ---- posts ---- */

/* A waker may post when its transfer is long over, or another has its place. */
TEST(curl_multi, late_posts_are_harmless)
{
    struct client client;
    open_client(&client, pipeline_of(crowded), ok);
    start(&client, 0, NULL);
    drive(&client, 0);
    struct transfer *transfer = client.guarded->pool;
    CHECK(transfer != NULL);
    ready_post(&transfer->node);
    ready_post(&transfer->node);
    CHECK(weir_curl_multi_turn(client.guarded) == WEIR_NEVER);
    ready_post(&transfer->node);
    start(&client, 0, NULL);
    drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 2);
    close_client(&client);
}

/* A permit that a call on another thread gives back wakes the loop: nothing else would, for an hour. */
static struct weir_outcome hold_until_told(void *argument, const struct weir_attempt *attempt)
{
    pthread_barrier_t *barrier = argument;
    (void)attempt;
    pthread_barrier_wait(&barrier[0]);
    pthread_barrier_wait(&barrier[1]);
    return (struct weir_outcome) { .status = WEIR_OK };
}

struct holding {
    struct weir_pipeline *pipeline;
    pthread_barrier_t barrier[2];
};

static void *hold(void *argument)
{
    struct holding *holding = argument;
    weir_run(holding->pipeline, NULL, hold_until_told, holding->barrier);
    return NULL;
}

TEST(curl_multi, a_permit_from_another_thread_wakes_the_loop)
{
    struct client client;
    struct parts parts = crowded;
    struct holding holding = { 0 };
    pthread_t thread;
    parts.permits = 1;
    open_client(&client, pipeline_of(parts), ok);
    holding.pipeline = client.pipeline;
    for (int i = 0; i < 2; i++) pthread_barrier_init(&holding.barrier[i], NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, hold, &holding), 0);
    pthread_barrier_wait(&holding.barrier[0]);
    for (int i = 0; i < MANY; i++) start(&client, i, NULL);
    CHECK_EQ(weir_curl_multi_stats(client.guarded).waiting, MANY);
    pthread_barrier_wait(&holding.barrier[1]);
    drive(&client, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    client.begun++; /* the other thread's */
    client.told++;
    client.by_status[WEIR_OK]++;
    close_client(&client);
}
