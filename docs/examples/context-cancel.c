/* One deadline and one cancel for a whole request, whatever layers and waits lie in between. */
#include "expect.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <weir/weir.h>

enum { CLIENT_GONE = 7 }; /* our own reason for a cancel: any number but 0 */

static struct weir_outcome always_fails(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return weir_from_errno(EIO);
}

/* A layer that knows nothing of who called it: its calls find the request's context on the thread. */
static struct weir_outcome lower_layer(struct weir_pipeline *pipeline)
{
    return weir_run(pipeline, WEIR_CONFIG(weir_call_options, .idempotent = true), always_fails, NULL);
}

static void *hang_up(void *source)
{
    nanosleep(&(struct timespec) { .tv_nsec = 30000000 }, NULL);
    weir_source_cancel(source, CLIENT_GONE);
    return NULL;
}

/* Backs off for 30 s after each failure: without a cancel this would take long. */
static struct weir_pipeline *create_pipeline(void)
{
    struct weir_policy *retry;
    struct weir_pipeline *pipeline;
    EXPECT(weir_retry_create(
               WEIR_CONFIG(weir_retry_config, .backoff = WEIR_BACKOFF_CONSTANT, .base_ns = 30 * WEIR_S),
               &retry) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &retry, 1, &pipeline) == WEIR_E_NONE);
    weir_policy_release(retry);
    return pipeline;
}

static void serve_request(struct weir_pipeline *pipeline, struct weir_source *source)
{
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_context request;
    weir_context_child(&request, NULL, now_ns + 60 * WEIR_S, source);
    weir_context_enter(&request);
    struct weir_outcome outcome = lower_layer(pipeline); /* asleep when the client hangs up */
    EXPECT(weir_context_check(&request, now_ns) == WEIR_CANCELED);
    EXPECT(weir_context_reason(&request) == CLIENT_GONE);
    weir_context_leave(&request);

    EXPECT(outcome.status == WEIR_CANCELED);
    EXPECT(outcome.code == EIO); /* the last real error is kept */
    EXPECT(weir_now(WEIR_TIMING_PRECISE) - now_ns < 20 * WEIR_S);
    puts(weir_outcome_text((char[160]) { 0 }, 160, pipeline, outcome));
}

static void show_that_children_only_shrink(void)
{
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_context request, step, journal;
    weir_context_child(&request, NULL, now_ns + 100 * WEIR_MS, NULL);
    weir_context_child(&step, &request, now_ns + 40 * WEIR_MS, NULL);
    EXPECT(weir_context_check(&step, now_ns + 39 * WEIR_MS) == WEIR_OK);
    EXPECT(weir_context_check(&step, now_ns + 40 * WEIR_MS) == WEIR_EXPIRED);

    struct weir_context greedy; /* wants more than there is: is cut, and counted */
    weir_context_child(&greedy, &request, now_ns + WEIR_S, NULL);
    EXPECT(weir_context_check(&greedy, now_ns + 100 * WEIR_MS) == WEIR_EXPIRED);

    /* What must outlive the request says so, and is counted too. */
    weir_context_detached(&journal, now_ns + 10 * WEIR_S, NULL);
    EXPECT(weir_context_check(&journal, now_ns + WEIR_S) == WEIR_OK);
    struct weir_context_stats stats = weir_context_stats();
    EXPECT(stats.clipped == 1 && stats.detached == 1);
}

int main(void)
{
    struct weir_pipeline *pipeline = create_pipeline();
    struct weir_source *source;
    pthread_t client;
    EXPECT(weir_source_create(&source) == WEIR_E_NONE);
    EXPECT(pthread_create(&client, NULL, hang_up, source) == 0);
    serve_request(pipeline, source);
    pthread_join(client, NULL);
    weir_source_release(source);
    weir_pipeline_destroy(pipeline);
    show_that_children_only_shrink();
    return 0;
}
