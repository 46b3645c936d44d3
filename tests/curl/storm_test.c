/* Random programs against the multi driver: handles that start, are canceled by hand and by context, meet an origin in
 * every mood, run out of time, and start and cancel each other from within done. Each start is told once, nothing stays
 * taken, and the pipeline agrees (client_close()). */
#include "curl/client.h"

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
