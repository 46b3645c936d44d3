/* A name server that reads and never answers. A program of its own: it needs a private network, and says SKIP, which
 * ctest shows, where there is none to be had. */
#include "lies.h"

#include "support/test.h"

#include <pthread.h>
#include <stdio.h>

/* glibc would wait for twice 30 s. */
static bool enter(void)
{
    static bool entered;
    const char *why = entered ? NULL : liar_private_network("timeout:30 attempts:2");
    if (why) {
        printf("SKIP: %s\n", why);
        fflush(stdout);
        return false;
    }
    entered = true;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return true;
}

static CURL *handle(void)
{
    CURL *easy = curl_easy_init();
    CHECK(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_URL, "http://nobody.example/");
    return easy;
}

static struct weir_outcome ask(struct weir_pipeline *pipeline, const struct weir_context *context)
{
    CURL *easy = handle();
    struct weir_outcome outcome = weir_curl_perform(pipeline,
        WEIR_CONFIG(weir_curl_options,
            .call = WEIR_CONFIG(weir_call_options, .idempotent = true, .context = context)),
        easy);
    curl_easy_cleanup(easy);
    return outcome;
}

/* One thread of libcurl's for each resolver that is said to be left, no descriptor; and they end by themselves. */
static void left_only_resolvers(struct liar *dns, struct left before, uint64_t resolvers_before)
{
    uint64_t resolvers = weir_curl_stats().resolvers_left - resolvers_before;
    CHECK(resolvers > 0);
    CHECK_EQ(left_now().threads - before.threads, resolvers);
    liar_relent_dns(dns);
    left_check("the resolvers have ended", before);
}

TEST(curl_liars_dns, a_silent_name_server_ends_by_the_deadline)
{
    if (!enter()) {
        return;
    }
    struct liar dns;
    struct left before = left_now();
    uint64_t resolvers = weir_curl_stats().resolvers_left;
    struct weir_pipeline *pipeline = lie_pipeline(BRIEFLY);
    liar_start_dns(&dns);
    uint64_t began = now_ns();
    struct weir_outcome outcome = ask(pipeline, NULL);
    CHECK(now_ns() - began < BOUND);
    CHECK_EQ(outcome.status, WEIR_EXPIRED);
    CHECK(outcome.flags & WEIR_NOT_SENT);
    lie_pipeline_destroy(pipeline);
    weir_curl_thread_cleanup();
    left_only_resolvers(&dns, before, resolvers);
    liar_stop(&dns);
}

struct canceler {
    struct liar *dns;
    struct weir_source *source;
};

static void *cancel_when_asked(void *argument)
{
    struct canceler *canceler = argument;
    CHECK(liar_await(canceler->dns));
    weir_source_cancel(canceler->source, 7);
    return NULL;
}

TEST(curl_liars_dns, a_cancel_ends_it_at_once)
{
    if (!enter()) {
        return;
    }
    struct liar dns;
    struct left before = left_now();
    uint64_t resolvers = weir_curl_stats().resolvers_left;
    struct weir_pipeline *pipeline = lie_pipeline(LONG);
    struct canceler canceler = { .dns = &dns };
    struct weir_context context;
    pthread_t thread;
    liar_start_dns(&dns);
    CHECK_EQ(weir_source_create(&canceler.source), WEIR_E_NONE);
    weir_context_child(&context, NULL, WEIR_NEVER, canceler.source);
    CHECK_EQ(pthread_create(&thread, NULL, cancel_when_asked, &canceler), 0);
    uint64_t began = now_ns();
    struct weir_outcome outcome = ask(pipeline, &context);
    CHECK(now_ns() - began < BOUND);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    pthread_join(thread, NULL);
    weir_source_release(canceler.source);
    lie_pipeline_destroy(pipeline);
    weir_curl_thread_cleanup();
    left_only_resolvers(&dns, before, resolvers);
    liar_stop(&dns);
}

/* Ending the thread that asked must not wait for the look-up either. */
static void *ask_and_end(void *pipeline)
{
    CHECK_EQ(ask(pipeline, NULL).status, WEIR_EXPIRED);
    return NULL;
}

TEST(curl_liars_dns, the_end_of_a_thread_does_not_wait_for_it)
{
    if (!enter()) {
        return;
    }
    struct liar dns;
    struct left before = left_now();
    uint64_t resolvers = weir_curl_stats().resolvers_left;
    struct weir_pipeline *pipeline = lie_pipeline(BRIEFLY);
    pthread_t thread;
    liar_start_dns(&dns);
    uint64_t began = now_ns();
    CHECK_EQ(pthread_create(&thread, NULL, ask_and_end, pipeline), 0);
    pthread_join(thread, NULL);
    CHECK(now_ns() - began < BOUND);
    lie_pipeline_destroy(pipeline);
    left_only_resolvers(&dns, before, resolvers);
    liar_stop(&dns);
}
