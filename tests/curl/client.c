#include "curl/client.h"

void client_open(struct client *client, struct weir_pipeline *pipeline, origin_script *script, void *argument)
{
    *client = (struct client) { .multi = curl_multi_init(), .pipeline = pipeline };
    client->origin = origin_start(script, argument);
    CHECK_EQ(weir_curl_multi_create(client->multi, NULL, &client->guarded), WEIR_E_NONE);
    for (int i = 0; i < MANY; i++) client->easy[i] = handle_for(client->origin, "/");
}

void client_close(struct client *client)
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

void client_done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct client *client = argument;
    client->told++;
    client->by_status[outcome.status]++;
    client->last = outcome;
    if (client->then != NULL) client->then(client, easy);
}

void client_start(struct client *client, int index, const struct weir_call_options *call)
{
    client->begun++;
    CHECK_EQ(weir_curl_multi_start(client->guarded, client->pipeline,
                 WEIR_CONFIG(weir_curl_options, .body = &client->body[index], .call = call),
                 client->easy[index], client_done, client),
        WEIR_E_NONE);
}

void client_turn(struct client *client)
{
    int running;
    CHECK_EQ(curl_multi_perform(client->multi, &running), CURLM_OK);
    weir_curl_multi_turn(client->guarded);
}

void client_drive(struct client *client, uint32_t requests)
{
    for (;;) {
        client_turn(client);
        if (requests == 0 ? client->told == client->begun : origin_requests(client->origin) >= requests)
            return;
        int timeout_ms = weir_curl_multi_timeout_ms(client->guarded);
        if (requests != 0) timeout_ms = timeout_ms < 1 ? timeout_ms : 1; /* nothing tells it of requests */
        CHECK_EQ(curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL), CURLM_OK);
    }
}

/* ---- pipelines ---- */
/* retry, bulkhead, timeout */
struct weir_pipeline *client_pipeline(struct parts parts)
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

const struct parts crowded = { 0, 0, PERMITS, MANY, 60 * WEIR_S };

void check_bulkhead_empty(const struct weir_pipeline *pipeline, size_t position)
{
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(weir_pipeline_policy(pipeline, position));
    CHECK_EQ(stats.in_use, 0);
    CHECK_EQ(stats.waiting, 0);
}

/* ---- small parts ---- */

struct origin_answer answer_ok(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(200);
}

struct origin_answer answer_busy(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(503);
}

size_t swallow(char *data, size_t size, size_t count, void *argument)
{
    (void)data;
    (void)argument;
    return size * count;
}
