/* weir_curl_multi_*() against servers that lie: all of them at once, on one thread. */
#include "lies.h"

#include "support/test.h"

#include <stdlib.h>

struct told {
    const struct lie *lie;
    struct liar liar;
    CURL *easy;
    struct weir_pipeline *pipeline;
    struct weir_curl_body body;
    struct weir_outcome outcome;
    unsigned done;
};

struct circle {
    CURLM *multi;
    struct weir_curl_multi *guarded;
    struct told *told;
    size_t under_way;
};

static void ended(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct told *told = argument;
    CHECK(easy == told->easy);
    told->outcome = outcome;
    told->done++;
}

/* Liars first: their processes are to inherit nothing. */
static void circle_make(struct circle *circle)
{
    *circle = (struct circle) { .told = calloc(lies_count, sizeof *circle->told) };
    CHECK(circle->told != NULL);
    for (size_t i = 0; i < lies_count; i++) {
        circle->told[i].lie = &lies[i];
        liar_start(&circle->told[i].liar, &lies[i].script);
    }
}

static void circle_begin(struct circle *circle, uint64_t deadline_ns, bool idempotent)
{
    circle->multi = curl_multi_init();
    CHECK(circle->multi != NULL);
    CHECK_EQ(weir_curl_multi_create(circle->multi, NULL, &circle->guarded), WEIR_E_NONE);
    for (size_t i = 0; i < lies_count; i++) {
        struct told *told = &circle->told[i];
        told->done = 0;
        told->easy = lie_handle(told->lie, &told->liar);
        told->pipeline = lie_pipeline(deadline_ns);
        CHECK_EQ(weir_curl_multi_start(circle->guarded, told->pipeline,
                     WEIR_CONFIG(weir_curl_options,
                         .call = WEIR_CONFIG(weir_call_options, .idempotent = idempotent),
                         .body = &told->body, .repeatable = true),
                     told->easy, ended, told),
            WEIR_E_NONE);
    }
}

static void turn(struct circle *circle)
{
    int running;
    CHECK_EQ(curl_multi_perform(circle->multi, &running), CURLM_OK);
    weir_curl_multi_turn(circle->guarded);
    if (weir_curl_multi_stats(circle->guarded).transfers > 0) {
        int timeout_ms = weir_curl_multi_timeout_ms(circle->guarded);
        CHECK_EQ(curl_multi_poll(circle->multi, NULL, 0, timeout_ms, NULL), CURLM_OK);
    }
}

static void circle_end(struct circle *circle)
{
    CHECK_EQ(weir_curl_multi_stats(circle->guarded).transfers, 0);
    weir_curl_multi_destroy(circle->guarded);
    for (size_t i = 0; i < lies_count; i++) {
        struct told *told = &circle->told[i];
        CHECK_EQ(told->done, 1);
        curl_easy_cleanup(told->easy);
        weir_curl_body_free(&told->body);
        lie_pipeline_destroy(told->pipeline);
    }
    curl_multi_cleanup(circle->multi);
}

static void circle_free(struct circle *circle)
{
    for (size_t i = 0; i < lies_count; i++) {
        liar_stop(&circle->told[i].liar);
    }
    free(circle->told);
}

/* ---- each ends by its deadline ---- */

static void all_at_once(bool idempotent)
{
    struct circle circle;
    circle_make(&circle);
    struct left before = left_now();
    circle_begin(&circle, 3 * BRIEFLY, idempotent); /* forty on one thread */
    uint64_t began = now_ns();
    while (weir_curl_multi_stats(circle.guarded).transfers > 0) {
        turn(&circle);
        CHECK(now_ns() - began < BOUND);
    }
    for (size_t i = 0; i < lies_count; i++) {
        struct told *told = &circle.told[i];
        lie_check(told->lie, &told->liar, told->outcome, told->body.size);
    }
    circle_end(&circle);
    left_check("all at once", before);
    circle_free(&circle);
}

TEST(curl_liars_multi, all_at_once_end_by_their_deadlines)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    all_at_once(false);
    all_at_once(true);
    CHECK_EQ(weir_curl_stats().resolvers_left, 0);
    curl_global_cleanup();
}

/* ---- each is canceled while it waits ---- */

static bool all_asked(const struct circle *circle)
{
    bool asked = true;
    for (size_t i = 0; i < lies_count; i++) {
        const struct told *told = &circle->told[i];
        asked = asked && (told->lie->script.queue_full || liar_requests(&told->liar) > 0);
    }
    return asked;
}

TEST(curl_liars_multi, a_cancel_ends_each)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct circle circle;
    circle_make(&circle);
    struct left before = left_now();
    circle_begin(&circle, LONG, false);
    uint64_t began = now_ns();
    while (!all_asked(&circle)) {
        turn(&circle);
        CHECK(now_ns() - began < BOUND);
    }
    unsigned canceled = 0;
    for (size_t i = 0; i < lies_count; i++) {
        struct told *told = &circle.told[i];
        if (weir_curl_multi_cancel(circle.guarded, told->easy)) {
            CHECK_EQ(told->done, 1);
            CHECK_EQ(told->outcome.status, WEIR_CANCELED);
            canceled++;
        }
    }
    CHECK(canceled >= 5); /* those that would wait for ever */
    CHECK(now_ns() - began < BOUND);
    circle_end(&circle);
    left_check("a cancel of each", before);
    circle_free(&circle);
    curl_global_cleanup();
}
