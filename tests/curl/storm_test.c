/* Random programs against the multi driver: handles that start, are canceled by hand and by context, meet an origin in
 * every mood, run out of time, and start and cancel each other from within done. Each start is told once, nothing stays
 * taken, and the pipeline agrees (client_close()). The same for blocking calls on several threads. */
#include "curl/client.h"

#include <pthread.h>
#include <stdio.h>

enum { STEPS = 2000, GROUPS = 4 };

struct storm {
    struct client client;        /* the first member */
    uint64_t seed, state, moods; /* the origin's thread has a state of its own */
    bool busy[MANY];
    struct weir_source *source[GROUPS];
    struct weir_context context[GROUPS];
};

static uint64_t random_from(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static uint64_t below(struct storm *storm, uint64_t limit)
{
    return random_from(&storm->state) % limit;
}

static struct origin_answer in_a_mood(void *argument, const struct origin_request *request)
{
    static const struct origin_answer moods[] = { { NULL, ORIGIN_KEEP }, { NULL, ORIGIN_RESET },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_CLOSE },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ORIGIN_KEEP } };
    uint64_t mood = random_from(argument) % 12;
    (void)request;
    if (mood < 4) return moods[mood];
    return origin_hello(mood < 6 ? 503 : 200);
}

static void start_one(struct storm *storm)
{
    int index = (int)below(storm, MANY);
    uint64_t group = below(storm, 2 * GROUPS);
    if (storm->busy[index]) return;
    storm->busy[index] = true;
    client_start(&storm->client, index,
        WEIR_CONFIG(weir_call_options, .idempotent = below(storm, 2) == 0,
            .weight = (uint32_t)below(storm, 4), .context = group < GROUPS ? &storm->context[group] : NULL));
}

/* A check whose message has the seed. */
static void require(const struct storm *storm, bool so)
{
    if (!so) fprintf(stderr, "seed %d\n", (int)storm->seed);
    CHECK(so);
}

static void cancel_one(struct storm *storm)
{
    int index = (int)below(storm, MANY);
    bool busy = storm->busy[index];
    require(storm, weir_curl_multi_cancel(storm->client.guarded, storm->client.easy[index]) == busy);
}

static void told(struct client *client, CURL *easy)
{
    struct storm *storm = (struct storm *)client;
    int index = 0;
    while (client->easy[index] != easy) index++;
    require(storm, storm->busy[index]); /* told once */
    storm->busy[index] = false;
    if (client->begun > STEPS) return;
    if (below(storm, 8) == 0) start_one(storm);
    if (below(storm, 8) == 0) cancel_one(storm);
}

/* Those under it end, and whatever is started under it from now on. */
static void cancel_group(struct storm *storm)
{
    weir_source_cancel(storm->source[below(storm, GROUPS)], 1);
}

static void run_storm(uint64_t seed)
{
    struct storm storm = { .seed = seed, .state = seed, .moods = ~seed };
    client_open(&storm.client, client_pipeline((struct parts) { 3, WEIR_MS, PERMITS, 64, 20 * WEIR_MS }),
        in_a_mood, &storm.moods);
    storm.client.then = told;
    for (int i = 0; i < GROUPS; i++) {
        CHECK_EQ(weir_source_create(&storm.source[i]), WEIR_E_NONE);
        weir_context_child(&storm.context[i], NULL, WEIR_NEVER, storm.source[i]);
    }
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = below(&storm, 100);
        if (what < 35) start_one(&storm);
        else if (what < 40) cancel_one(&storm);
        else {
            curl_multi_poll(storm.client.multi, NULL, 0, what % 2, NULL);
            client_turn(&storm.client);
        }
        if (step >= STEPS / 2 && below(&storm, 200) == 0) cancel_group(&storm);
    }
    client_drive(&storm.client, 0);
    for (int i = 0; i < MANY; i++) require(&storm, !storm.busy[i]);
    check_bulkhead_empty(storm.client.pipeline, 1);
    client_close(&storm.client);
    for (int i = 0; i < GROUPS; i++) weir_source_release(storm.source[i]);
}

TEST(curl_storm, everything_at_once)
{
    for (uint64_t seed = 1; seed <= 3; seed++) run_storm(seed);
}

/* ---- blocking calls ---- */

enum { THREADS = 4, CALLS = 100 };

struct crowd {
    struct weir_pipeline *pipeline;
    struct origin *origin;
    struct weir_source *source[THREADS];
};

struct member {
    struct crowd *crowd;
    uint32_t number;
    uint64_t ended[WEIR_STATUSES];
};

/* Now and then a thread cancels what another one waits for. */
static void *call_many(void *argument)
{
    struct member *member = argument;
    struct crowd *crowd = member->crowd;
    struct weir_curl_body body = { 0 };
    uint64_t state = member->number;
    CURL *easy = handle_for(crowd->origin, "/");
    for (int i = 0; i < CALLS; i++) {
        struct weir_context context;
        weir_context_child(&context, NULL, WEIR_NEVER, crowd->source[member->number]);
        struct weir_source *other = crowd->source[random_from(&state) % THREADS];
        if (random_from(&state) % 8 == 0) weir_source_reset(other);
        struct weir_outcome outcome = weir_curl_perform(crowd->pipeline,
            WEIR_CONFIG(weir_curl_options, .body = &body,
                .call = WEIR_CONFIG(weir_call_options, .context = &context, .idempotent = i % 2 == 0)),
            easy);
        member->ended[outcome.status]++;
    }
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    return NULL;
}

TEST(curl_storm, threads)
{
    uint64_t moods = 20261130;
    struct crowd crowd = { client_pipeline((struct parts) { 3, WEIR_MS, 2, THREADS, 20 * WEIR_MS }),
        origin_start(in_a_mood, &moods), { NULL } };
    struct member member[THREADS];
    pthread_t thread[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) CHECK_EQ(weir_source_create(&crowd.source[i]), WEIR_E_NONE);
    for (uint32_t i = 0; i < THREADS; i++) {
        member[i] = (struct member) { .crowd = &crowd, .number = i };
        CHECK_EQ(pthread_create(&thread[i], NULL, call_many, &member[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    struct weir_pipeline_stats stats = weir_pipeline_stats(crowd.pipeline);
    CHECK_EQ(stats.begun, THREADS * CALLS);
    CHECK_EQ(stats.in_flight, 0);
    for (int status = 0; status < WEIR_STATUSES; status++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < THREADS; i++) sum += member[i].ended[status];
        CHECK_EQ(stats.ended[status], sum);
    }
    CHECK(stats.ended[WEIR_OK] > 0 && stats.ended[WEIR_EXPIRED] > 0 && stats.ended[WEIR_CANCELED] > 0);
    check_bulkhead_empty(crowd.pipeline, 1);
    origin_await_open(crowd.origin, 0); /* the threads have closed what they kept */
    for (uint32_t i = 0; i < THREADS; i++) weir_source_release(crowd.source[i]);
    weir_pipeline_destroy(crowd.pipeline);
    origin_stop(crowd.origin);
}
