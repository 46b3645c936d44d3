/* weir_curl_perform() against servers that lie: it ends by the deadline or the cancel, says what is true, and leaves
 * nothing behind. */
#include "lies.h"

#include "support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- each lie ---- */

static void tell(const struct lie *lie, const struct liar *liar, bool idempotent)
{
    struct weir_pipeline *pipeline = lie_pipeline(BRIEFLY);
    struct weir_curl_body body = { 0 };
    CURL *easy = lie_handle(lie, liar);
    uint64_t began = now_ns();
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = idempotent),
            .body = &body, .repeatable = true),
        easy);
    CHECK(now_ns() - began < BOUND);
    lie_check(lie, liar, outcome, body.size);
    curl_easy_cleanup(easy);
    weir_curl_body_free(&body);
    lie_pipeline_destroy(pipeline);
}

TEST(curl_liars, each_ends_by_the_deadline)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < lies_count; i++) {
        struct left before = left_now();
        struct liar liar;
        liar_start(&liar, &lies[i].script);
        tell(&lies[i], &liar, false);
        tell(&lies[i], &liar, true); /* on what the first has left of the connection */
        weir_curl_thread_cleanup();
        left_check(lies[i].name, before);
        liar_stop(&liar);
    }
    CHECK_EQ(weir_curl_stats().resolvers_left, 0);
    curl_global_cleanup();
}

/* ---- a response cut at each of its bytes ---- */

static void cut_at_each(enum liar_end end)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Other: 1\r\n\r\n0123456789";
    struct lie lie = { "cut", { .says = response, .end = end }, .may = MAY_FAIL, .whole = 10 };
    struct left before = left_now();
    struct liar liar;
    liar_start(&liar, &lie.script);
    for (size_t cut = 0; cut < sizeof response; cut++) {
        liar_cut(&liar, cut);
        if (cut == sizeof response - 1) {
            lie.may = end == LIAR_RESETS ? MAY_FAIL | MAY_OK : MAY_OK;
        }
        char told[32];
        snprintf(told, sizeof told, "cut at %zu", cut);
        lie.name = told;
        tell(&lie, &liar, false);
        tell(&lie, &liar, true);
    }
    weir_curl_thread_cleanup();
    left_check("cut at each byte", before);
    liar_stop(&liar);
}

TEST(curl_liars, a_reset_at_each_byte)
{
    cut_at_each(LIAR_RESETS);
}

TEST(curl_liars, an_end_at_each_byte)
{
    cut_at_each(LIAR_CLOSES);
}

/* ---- cancel from another thread ---- */

struct canceler {
    struct liar *liar;
    struct weir_source *source;
};

static void *cancel_when_asked(void *argument)
{
    struct canceler *canceler = argument;
    CHECK(liar_await(canceler->liar));
    weir_source_cancel(canceler->source, 7);
    return NULL;
}

static struct weir_outcome perform_and_cancel(
    const struct lie *lie, struct liar *liar, struct weir_pipeline *pipeline, struct weir_source *source)
{
    struct canceler canceler = { liar, source };
    struct weir_context context;
    pthread_t thread;
    CURL *easy = lie_handle(lie, liar);
    weir_context_child(&context, NULL, WEIR_NEVER, source);
    CHECK_EQ(pthread_create(&thread, NULL, cancel_when_asked, &canceler), 0);
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options,
            .call = WEIR_CONFIG(weir_call_options, .idempotent = true, .context = &context),
            .repeatable = true),
        easy);
    pthread_join(thread, NULL);
    curl_easy_cleanup(easy);
    return outcome;
}

static void cancel(const struct lie *lie)
{
    struct weir_pipeline *pipeline = lie_pipeline(LONG);
    struct left before = left_now();
    struct weir_source *source;
    struct liar liar;
    liar_start(&liar, &lie->script);
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    uint64_t began = now_ns();
    struct weir_outcome outcome = perform_and_cancel(lie, &liar, pipeline, source);
    CHECK(now_ns() - began < BOUND);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK_EQ(outcome.flags & WEIR_NOT_SENT, 0);
    weir_source_release(source);
    weir_curl_thread_cleanup();
    left_check(lie->name, before);
    liar_stop(&liar);
    lie_pipeline_destroy(pipeline);
}

TEST(curl_liars, a_cancel_ends_each_silence)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    unsigned canceled = 0;
    for (size_t i = 0; i < lies_count; i++) {
        if (lies[i].may == MAY_EXPIRE && !lies[i].script.queue_full) {
            cancel(&lies[i]);
            canceled++;
        }
    }
    CHECK(canceled >= 5);
    cancel(&(struct lie) { "ends its half, reads no upload", { .end = LIAR_HALF_CLOSES }, .upload = true });
    curl_global_cleanup();
}

/* ---- a breaker that obeys Retry-After ---- */

static struct weir_pipeline *obedient(uint64_t open_max_ns, struct weir_policy **breaker)
{
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .overload_open_ns_max = open_max_ns,
                                     .jitter_percent = WEIR_OFF32),
                 breaker),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, breaker, 1, &pipeline), WEIR_E_NONE);
    return pipeline;
}

TEST(curl_liars, retry_after_opens_a_breaker_within_its_cap)
{
    const uint64_t cap = 2 * WEIR_S;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    unsigned told = 0;
    for (size_t i = 0; i < lies_count; i++) {
        if (lies[i].may != MAY_OVERLOAD) {
            continue;
        }
        struct weir_policy *breaker;
        struct weir_pipeline *pipeline = obedient(cap, &breaker);
        struct liar liar;
        liar_start(&liar, &lies[i].script);
        CURL *easy = lie_handle(&lies[i], &liar);
        struct weir_outcome outcome = weir_curl_perform(pipeline, NULL, easy);
        lie_check(&lies[i], &liar, outcome, 0);
        CHECK_EQ(outcome.code, 503);
        CHECK_EQ(outcome.retry_after_ns, lies[i].far ? 86400 * WEIR_S : 0);
        CHECK(weir_breaker_stats(breaker, now_ns()).until_ns <=
            now_ns() + cap + WEIR_MS); /* by another clock */
        curl_easy_cleanup(easy);
        weir_curl_thread_cleanup();
        weir_pipeline_destroy(pipeline);
        weir_policy_release(breaker);
        liar_stop(&liar);
        told++;
    }
    CHECK(told > 0);
    CHECK(weir_curl_stats().retry_after_cut >= 2);
    curl_global_cleanup();
}
