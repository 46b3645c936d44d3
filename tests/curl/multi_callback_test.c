/* Guarded transfers of a multi handle: what callbacks may do, and who else is asked. */
#include "curl/client.h"

/* ---- callbacks that go on ---- */

static void once_more(struct client *client, CURL *easy)
{
    if (client->begun >= 3 * MANY) return;
    for (int i = 0; i < MANY; i++) {
        if (client->easy[i] == easy) client_start(client, i, NULL); /* the same handle, at once */
    }
}

TEST(curl_multi_callback, done_starts_others)
{
    struct client client;
    client_open(&client, client_pipeline(crowded), answer_ok, NULL);
    client.then = once_more;
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 3 * MANY);
    CHECK_EQ(origin_requests(client.origin), 3 * MANY);
    CHECK_EQ(origin_connections(client.origin), PERMITS);
    client_close(&client);
}

/* The first that is told takes all others with it, each from within the other's done. */
static void cancel_next(struct client *client, CURL *easy)
{
    (void)easy;
    for (int i = 0; i < MANY; i++) weir_curl_multi_cancel(client->guarded, client->easy[i]);
}

TEST(curl_multi_callback, done_cancels_others)
{
    struct client client;
    client_open(&client, client_pipeline(crowded), answer_ok, NULL);
    client.then = cancel_next;
    for (int i = 0; i < MANY; i++) client_start(&client, i, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.by_status[WEIR_OK], 1);
    CHECK_EQ(client.by_status[WEIR_CANCELED], MANY - 1);
    check_bulkhead_empty(client.pipeline, 0);
    client_close(&client);
}

static struct weir_outcome from_the_cache(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    return (struct weir_outcome) { .status = argument != NULL ? WEIR_OK : WEIR_FAILED };
}

TEST(curl_multi_callback, a_fallback_function_answers)
{
    struct client client;
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .function = from_the_cache), &fallback),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &fallback, 1, &pipeline), WEIR_E_NONE);
    weir_policy_release(fallback);
    client_open(&client, pipeline, answer_busy, NULL);
    client_start(&client, 0, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_OK);
    CHECK_EQ(client.last.flags, WEIR_DEGRADED);
    CHECK_EQ(client.last.code, 503);
    client_close(&client);
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

TEST(curl_multi_callback, a_classifier_judges)
{
    uint32_t judged = 0;
    struct client client;
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config,
                                      .classifier = &(struct weir_classifier) { judge, &judged }),
                 NULL, 0, &pipeline),
        WEIR_E_NONE);
    client_open(&client, pipeline, missing, NULL);
    client_start(&client, 0, NULL);
    client_drive(&client, 0);
    CHECK_EQ(client.last.status, WEIR_FAILED);
    CHECK_EQ(client.last.code, 404);
    CHECK_EQ(judged, 1);
    client_close(&client);
}

static void count_message(void *argument, CURLMsg *message)
{
    *(uint32_t *)argument += message->msg == CURLMSG_DONE && message->data.result == CURLE_OK;
}

TEST(curl_multi_callback, others_messages_are_passed_on)
{
    uint32_t messages = 0;
    struct origin *origin = origin_start(answer_ok, NULL);
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

TEST(curl_multi_callback, the_private_pointer_stays_the_users)
{
    struct client client;
    char *private = NULL;
    client_open(&client, client_pipeline(crowded), answer_ok, NULL);
    curl_easy_setopt(client.easy[0], CURLOPT_PRIVATE, "mine");
    client_start(&client, 0, NULL);
    curl_easy_getinfo(client.easy[0], CURLINFO_PRIVATE, &private);
    CHECK_STR(private, "mine");
    client_drive(&client, 0);
    curl_easy_getinfo(client.easy[0], CURLINFO_PRIVATE, &private);
    CHECK_STR(private, "mine");
    client_close(&client);
}
