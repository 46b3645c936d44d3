/* Every allocation of the adapter's fails in its turn, once and from then on: the call ends IGNORED, start answers NOMEM,
 * nothing is lost, and what comes next goes well. The adapter's allocations come here (--wrap), libcurl's do not. */
#include "curl/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

/* While armed; only one thread allocates then. */
static struct {
    bool armed, lasting;
    int asked, fail; /* the fail-th fails */
    int live;        /* got and not given back */
} faults;

static bool fails(bool more)
{
    if (!faults.armed) return false;
    faults.asked++;
    bool now = faults.lasting ? faults.asked >= faults.fail : faults.asked == faults.fail;
    if (now) errno = ENOMEM;
    else if (more) faults.live++;
    return now;
}

void *__wrap_malloc(size_t size)
{
    return fails(true) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(true) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails(memory == NULL) ? NULL : __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
    if (faults.armed && memory != NULL) faults.live--;
    __real_free(memory);
}

/* What is run while allocations fail; it has failed for lack of memory, or else gone well. */
struct scenario {
    void (*run)(struct scenario *scenario);
    struct weir_pipeline *pipeline;
    bool failed;
};

/* On a thread of its own, so that what the adapter keeps for it is given back too. */
static void *on_a_thread(void *argument)
{
    struct scenario *scenario = argument;
    scenario->run(scenario);
    return NULL;
}

static void run_with(struct scenario *scenario, int fail, bool lasting)
{
    pthread_t thread;
    faults.lasting = lasting;
    faults.fail = fail;
    faults.asked = faults.live = 0;
    faults.armed = true;
    CHECK_EQ(pthread_create(&thread, NULL, on_a_thread, scenario), 0);
    pthread_join(thread, NULL);
    faults.armed = false;
    CHECK_EQ(scenario->failed, faults.asked >= fail);
    CHECK_EQ(faults.live, 0);
}

static void each_fails(void (*run)(struct scenario *), int least)
{
    struct scenario scenario = { run, guard(1, 10 * WEIR_S), false };
    int fail = 0;
    do {
        fail++;
        run_with(&scenario, fail, true);
        run_with(&scenario, fail, false);
    } while (scenario.failed);
    CHECK(fail > least); /* so many allocations there are, and each has failed */
    CHECK_EQ(weir_pipeline_stats(scenario.pipeline).in_flight, 0);
    weir_pipeline_destroy(scenario.pipeline);
}

static CURL *file_handle(void)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, "file:///proc/self/status");
    return easy;
}

static void check_outcome(struct weir_outcome outcome, bool *failed)
{
    *failed = outcome.status != WEIR_OK;
    if (!*failed) return;
    CHECK_EQ(outcome.status, WEIR_IGNORED);
    CHECK(outcome.code == CURLE_OUT_OF_MEMORY || outcome.code == CURLE_WRITE_ERROR);
}

static void perform(struct scenario *scenario)
{
    CURL *easy = file_handle();
    struct weir_curl_body body = { 0 };
    struct weir_outcome outcome = weir_curl_perform(scenario->pipeline,
        WEIR_CONFIG(weir_curl_options, .body = &body, .idempotency_key = true,
            .wire = WEIR_CONFIG(weir_wire_out, .slack_ns = 0)),
        easy);
    check_outcome(outcome, &scenario->failed);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
}

TEST(curl_alloc, perform)
{
    each_fails(perform, 4); /* thread, lane, body, wire */
}

static void done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    (void)easy;
    check_outcome(outcome, argument);
}

static void with_multi(struct scenario *scenario)
{
    CURL *easy = file_handle();
    CURLM *multi = curl_multi_init();
    struct weir_curl_multi *guarded = NULL;
    struct weir_curl_body body = { 0 };
    enum weir_error error = weir_curl_multi_create(multi, NULL, &guarded);
    CHECK_EQ(error == WEIR_E_NONE, guarded != NULL);
    if (guarded != NULL)
        error = weir_curl_multi_start(guarded, scenario->pipeline,
            WEIR_CONFIG(weir_curl_options, .body = &body), easy, done, &scenario->failed);
    if (error != WEIR_E_NONE) {
        CHECK_EQ(error, WEIR_E_NOMEM);
        scenario->failed = true;
    }
    while (guarded != NULL && weir_curl_multi_stats(guarded).transfers != 0) {
        int running;
        curl_multi_perform(multi, &running);
        weir_curl_multi_turn(guarded);
    }
    weir_curl_multi_destroy(guarded);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
}

TEST(curl_alloc, multi)
{
    each_fails(with_multi, 7); /* object, transfer, call, timers, two of the handles, body */
}
