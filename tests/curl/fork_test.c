/* A forked child: nothing of the parent's connections is used or disturbed, and its transfers stay its own. */
#include "curl/guard.h"

#include <sys/wait.h>
#include <unistd.h>

static struct origin_answer ok(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(200);
}

static bool ask(const struct origin *origin, const struct weir_pipeline *pipeline)
{
    struct weir_curl_body body = { 0 };
    CURL *easy = handle_for(origin, "/");
    struct weir_outcome outcome =
        weir_curl_perform(pipeline, WEIR_CONFIG(weir_curl_options, .body = &body), easy);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    return outcome.status == WEIR_OK;
}

/* In a child; the parent gets what it answered. */
static bool in_child(bool (*run)(void *), void *argument)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(run(argument) ? 0 : 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status == 0;
}

struct family {
    struct origin *origin;
    struct weir_pipeline *pipeline;
    CURLM *multi;
    struct weir_curl_multi *guarded;
    CURL *easy;
    uint32_t told;
};

static bool child_asks(void *argument)
{
    struct family *family = argument;
    bool asked = ask(family->origin, family->pipeline) && ask(family->origin, family->pipeline);
    weir_curl_thread_cleanup();
    return asked;
}

TEST(curl_fork, a_child_has_connections_of_its_own)
{
    struct family family = { .origin = origin_start(ok, NULL), .pipeline = guard(3, 10 * WEIR_S) };
    CHECK(ask(family.origin, family.pipeline));
    CHECK_EQ(origin_connections(family.origin), 1);
    CHECK(in_child(child_asks, &family));
    CHECK_EQ(origin_connections(family.origin), 2);
    CHECK(ask(family.origin, family.pipeline)); /* the parent's is as it was */
    CHECK_EQ(origin_connections(family.origin), 2);
    CHECK_EQ(origin_requests(family.origin), 4);
    weir_curl_thread_cleanup();
    origin_await_open(family.origin, 0);
    weir_pipeline_destroy(family.pipeline);
    origin_stop(family.origin);
}

/* ---- the multi driver ---- */

static void done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct family *family = argument;
    (void)easy;
    if (outcome.status == WEIR_OK) family->told++;
}

static size_t swallow(char *data, size_t size, size_t count, void *argument)
{
    (void)data;
    (void)argument;
    return size * count;
}

/* It lets go of what it inherited, and makes its own. */
static bool child_destroys_and_goes_on(void *argument)
{
    struct family *family = argument;
    weir_curl_multi_destroy(family->guarded);
    return family->told == 0 && ask(family->origin, family->pipeline);
}

static void forking_done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    (void)easy;
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK(in_child(child_destroys_and_goes_on, argument));
}

TEST(curl_fork, a_child_born_in_done_may_destroy_its_copy)
{
    struct family family = {
        .origin = origin_start(ok, NULL), .pipeline = guard(3, 10 * WEIR_S), .multi = curl_multi_init()
    };
    CHECK_EQ(weir_curl_multi_create(family.multi, NULL, &family.guarded), WEIR_E_NONE);
    family.easy = handle_for(family.origin, "/");
    CHECK_EQ(weir_curl_multi_start(family.guarded, family.pipeline, NULL, family.easy, forking_done, &family),
        WEIR_E_NONE);
    CHECK(weir_curl_multi_cancel(family.guarded, family.easy));
    weir_curl_multi_destroy(family.guarded);
    curl_easy_cleanup(family.easy);
    curl_multi_cleanup(family.multi);
    weir_pipeline_destroy(family.pipeline);
    origin_stop(family.origin);
}

TEST(curl_fork, a_childs_copy_leaves_the_parents_transfers_alone)
{
    struct family family = {
        .origin = origin_start(ok, NULL), .pipeline = guard(3, 10 * WEIR_S), .multi = curl_multi_init()
    };
    CHECK_EQ(weir_curl_multi_create(family.multi, NULL, &family.guarded), WEIR_E_NONE);
    family.easy = handle_for(family.origin, "/");
    curl_easy_setopt(family.easy, CURLOPT_WRITEFUNCTION, swallow);
    CHECK_EQ(weir_curl_multi_start(family.guarded, family.pipeline, NULL, family.easy, done, &family),
        WEIR_E_NONE);
    CHECK(in_child(child_destroys_and_goes_on, &family));
    while (family.told == 0) {
        int running;
        curl_multi_poll(family.multi, NULL, 0, weir_curl_multi_timeout_ms(family.guarded), NULL);
        curl_multi_perform(family.multi, &running);
        weir_curl_multi_turn(family.guarded);
    }
    CHECK_EQ(weir_pipeline_stats(family.pipeline).in_flight, 0);
    weir_curl_multi_destroy(family.guarded);
    curl_easy_cleanup(family.easy);
    curl_multi_cleanup(family.multi);
    weir_pipeline_destroy(family.pipeline);
    origin_stop(family.origin);
}
