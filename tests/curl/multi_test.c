/* Guarded transfers of a multi handle: queues, retries, deadlines, cancels, posts from elsewhere. */
#include "adapters/curl/multi.h"

#include "curl/client.h"

#include <pthread.h>
#include <string.h>

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

/* ---- all goes well ---- */

TEST(curl_multi, many_through_few_permits)
{
    struct client client;
    client_open(&client, client_pipeline(crowded), answer_ok, NULL);
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    struct weir_curl_multi_stats stats = weir_curl_multi_stats(client.guarded);
    CHECK_EQ(stats.transfers, MANY);
    CHECK_EQ(stats.waiting, MANY - PERMITS);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    CHECK_EQ(origin_requests(client.origin), MANY);
    CHECK_EQ(origin_connections(client.origin), PERMITS);
    for (int i = 0; i < MANY; i++) CHECK_STR(client.body[i].data, "hello");
    check_bulkhead_empty(client.pipeline, 0);
    client_close(&client);
}

TEST(curl_multi, retries_and_backs_off)
{
    struct client client;
    client_open(
        &client, client_pipeline((struct parts) { 100, WEIR_MS, PERMITS, MANY, 60 * WEIR_S }), moody, NULL);
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    CHECK(origin_requests(client.origin) > MANY);
    for (int i = 0; i < MANY; i++) CHECK_STR(client.body[i].data, "hello");
    check_bulkhead_empty(client.pipeline, 1);
    client_close(&client);
}

TEST(curl_multi, a_refusal_is_told_at_once)
{
    struct client client;
    struct parts parts = crowded;
    parts.queue = 10;
    client_open(&client, client_pipeline(parts), answer_ok, NULL);
    for (int i = 0; i < MANY; i++) {
        client_start(&client, i, NULL);
        CHECK_EQ(client.told, i < PERMITS + 10 ? 0 : i + 1 - PERMITS - 10);
    }
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], PERMITS + 10);
    CHECK_EQ(client.by_status[WEIR_REJECTED], MANY - PERMITS - 10);
    client_close(&client);
}

/* ---- ends from outside ---- */

static struct weir_outcome make_up(void *easy, const struct weir_attempt *attempt)
{
    (void)easy;
    memset(attempt->value, 'x', 8);
    return weir_from_int(0);
}

/* A transfer has none of its own: 0, and not what an earlier call left behind. */
TEST(curl_multi, results_are_of_their_own_call)
{
    struct client client;
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    CHECK_EQ(
        weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = make_up), &fallback), WEIR_E_NONE);
    CHECK_EQ(
        weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = 8), &fallback, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(fallback);
    client_open(&client, pipeline, moody, NULL);
    static const char expected[2][9] = { "xxxxxxxx", "\0\0\0\0\0\0\0\0" };
    for (int i = 0; i < 2; i++) {
        char value[8] = "before";
        client_start(&client, i, WEIR_CONFIG(weir_call_options, .value = value));
        client_drive(&client, 0);
        CHECK_EQ(client.last.status, WEIR_OK);
        CHECK_EQ(memcmp(value, expected[i], sizeof value), 0);
    }
    client_close(&client);
}

TEST(curl_multi, a_deadline_stops_what_runs)
{
    struct client client;
    struct parts parts = { 1, WEIR_MS, PERMITS, MANY, 20 * WEIR_MS };
    client_open(&client, client_pipeline(parts), silent, NULL);
    for (int i = 0; i < 24; i++) client_start(&client, i, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_EXPIRED], 24);
    CHECK_EQ(client.last.code, CURLE_OPERATION_TIMEDOUT);
    CHECK_EQ(client.last.by, 3);
    CHECK_EQ(weir_pipeline_stats(client.pipeline).abandoned, 0);
    origin_await_open(client.origin, 0); /* none is kept on the other side either */
    check_bulkhead_empty(client.pipeline, 1);
    client_close(&client);
}

static struct origin_answer half(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return (struct origin_answer) { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_KEEP };
}

/* As in the blocking driver: a deadline does not hide that the sink has been written to. */
TEST(curl_multi, a_deadline_leaves_the_flags)
{
    struct client client;
    client_open(&client, client_pipeline((struct parts) { 3, WEIR_MS, 0, 0, WEIR_S }), half, NULL);
    curl_easy_setopt(client.easy[0], CURLOPT_WRITEFUNCTION, swallow);
    client.begun++;
    CHECK_EQ(weir_curl_multi_start(client.guarded, client.pipeline,
                 WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
                 client.easy[0], client_done, &client),
        WEIR_E_NONE);
    client_drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_EXPIRED);
    CHECK_EQ(client.last.flags, WEIR_NOT_REPEATABLE);
    CHECK_EQ(origin_requests(client.origin), 1);
    CHECK_EQ(weir_retry_stats(weir_pipeline_policy(client.pipeline, 0)).not_repeatable, 1);
    client_close(&client);
}

TEST(curl_multi, cancels_by_handle)
{
    struct client client;
    client_open(&client, client_pipeline(crowded), silent, NULL);
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    client_drive(&client, PERMITS);
    CHECK(weir_curl_multi_cancel(client.guarded, client.easy[MANY - 1])); /* one that waits */
    CHECK_EQ(client.told, 1);
    CHECK(!weir_curl_multi_cancel(client.guarded, client.easy[MANY - 1]));
    for (int i = 0; i < MANY - 1; i++) { /* and those that run, whose permits let others in */
        CHECK(weir_curl_multi_cancel(client.guarded, client.easy[i]));
        CHECK_EQ(client.told, i + 2);
    }
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY);
    check_bulkhead_empty(client.pipeline, 0);
    client_close(&client);
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
    client_open(&client, client_pipeline(parts), script, NULL);
    struct canceling canceling = { &client, NULL, requests };
    CHECK_EQ(weir_source_create(&canceling.source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, canceling.source);
    for (int i = 0; i < MANY; i++) {
        client_start(&client, i, i % 2 == 0 ? WEIR_CONFIG(weir_call_options, .context = &context) : NULL);
    }
    CHECK_EQ(pthread_create(&thread, NULL, cancel_when_asked, &canceling), 0);
    while (client.by_status[WEIR_CANCELED] < MANY / 2) {
        curl_multi_poll(client.multi, NULL, 0, weir_curl_multi_timeout_ms(client.guarded), NULL);
        client_turn(&client);
    }
    pthread_join(thread, NULL);
    for (int i = 1; i < MANY; i += 2) weir_curl_multi_cancel(client.guarded, client.easy[i]);
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY);
    client_close(&client);
    weir_source_release(canceling.source);
}

TEST(curl_multi, a_cancel_from_another_thread_of_what_runs_and_what_waits)
{
    cancel_half(crowded, silent, PERMITS);
}

TEST(curl_multi, a_cancel_from_another_thread_of_what_backs_off)
{
    cancel_half((struct parts) { 3, 3600 * WEIR_S, 0, 0, 86400 * WEIR_S }, answer_busy, MANY);
}

/* ---- posts ---- */

/* A waker may post when its transfer is long over, or another has its place. */
TEST(curl_multi, late_posts_are_harmless)
{
    struct client client;
    client_open(&client, client_pipeline(crowded), answer_ok, NULL);
    client_start(&client, 0, NULL);
    client_drive(&client, 0);
    struct transfer *transfer = client.guarded->pool;
    CHECK(transfer != NULL);
    ready_post(&transfer->node);
    ready_post(&transfer->node);
    CHECK(weir_curl_multi_turn(client.guarded) == WEIR_NEVER);
    ready_post(&transfer->node);
    client_start(&client, 0, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 2);
    client_close(&client);
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
    client_open(&client, client_pipeline(parts), answer_ok, NULL);
    holding.pipeline = client.pipeline;
    for (int i = 0; i < 2; i++) pthread_barrier_init(&holding.barrier[i], NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, hold, &holding), 0);
    pthread_barrier_wait(&holding.barrier[0]);
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    CHECK_EQ(weir_curl_multi_stats(client.guarded).waiting, MANY);
    pthread_barrier_wait(&holding.barrier[1]);
    client_drive(&client, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(client.by_status[WEIR_OK], MANY);
    client.begun++; /* the other thread's */
    client.told++;
    client.by_status[WEIR_OK]++;
    client_close(&client);
}
