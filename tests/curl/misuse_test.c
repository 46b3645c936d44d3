/* What a broken rule of use says before it aborts. */
#include "curl/guard.h"

static CURL *some_handle(void)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, "file:///dev/null");
    return easy;
}

static void ignore(void *argument, CURL *easy, struct weir_outcome outcome)
{
    (void)argument;
    (void)easy;
    (void)outcome;
}

struct set {
    struct weir_pipeline *pipeline;
    CURL *easy;
    CURLM *multi;
    struct weir_curl_multi *guarded;
};

static struct set make(void)
{
    struct set set = { guard(1, WEIR_S), some_handle(), curl_multi_init(), NULL };
    CHECK_EQ(weir_curl_multi_create(set.multi, NULL, &set.guarded), WEIR_E_NONE);
    return set;
}

static void destroy(struct set *set)
{
    weir_curl_multi_destroy(set->guarded);
    curl_multi_cleanup(set->multi);
    curl_easy_cleanup(set->easy);
    weir_pipeline_destroy(set->pipeline);
}

static void start(struct set *set)
{
    CHECK_EQ(weir_curl_multi_start(set->guarded, set->pipeline, NULL, set->easy, ignore, set), WEIR_E_NONE);
}

TEST(curl_misuse, perform)
{
    struct set set = make();
    CHECK_ABORTS(weir_curl_perform(NULL, NULL, set.easy), "weir_curl_perform: pipeline is NULL");
    CHECK_ABORTS(weir_curl_perform(set.pipeline, NULL, NULL), "weir_curl_perform: easy is NULL");
    CHECK_ABORTS(weir_curl_perform(set.pipeline, &(struct weir_curl_options) { .size = 3 }, set.easy),
        "weir_curl_perform: options.size is unknown");
    CHECK_ABORTS(weir_curl_body_free(NULL), "weir_curl_body_free: body is NULL");
    CHECK_ABORTS(weir_curl_outcome(NULL, CURLE_OK), "weir_curl_outcome: easy is NULL");
    curl_multi_add_handle(set.multi, set.easy);
    CHECK_ABORTS(weir_curl_perform(set.pipeline, NULL, set.easy),
        "weir_curl_perform: the easy handle is in use elsewhere");
    curl_multi_remove_handle(set.multi, set.easy);
    destroy(&set);
}

TEST(curl_misuse, options_of_a_newer_caller)
{
    struct set set = make();
    struct {
        struct weir_curl_options options;
        uint64_t unknown;
    } newer = { .options = { .size = sizeof newer } };
    curl_easy_setopt(set.easy, CURLOPT_WRITEFUNCTION, NULL);
    CHECK_EQ(weir_curl_perform(set.pipeline, &newer.options, set.easy).status, WEIR_OK);
    newer.unknown = 1;
    CHECK_ABORTS(weir_curl_perform(set.pipeline, &newer.options, set.easy), "options.size is unknown");
    struct {
        struct weir_curl_multi_config config;
        uint64_t unknown;
    } config = { .config = { .size = sizeof config } };
    struct weir_curl_multi *guarded = NULL;
    CHECK_EQ(weir_curl_multi_create(set.multi, &config.config, &guarded), WEIR_E_NONE);
    weir_curl_multi_destroy(guarded);
    config.unknown = 1;
    CHECK_EQ(weir_curl_multi_create(set.multi, &config.config, &guarded), WEIR_E_SIZE);
    destroy(&set);
}

static void turn_in_child(struct set *set)
{
    CHECK_ABORTS(weir_curl_multi_turn(set->guarded), "weir_curl_multi_turn: it was made by another process");
}

TEST(curl_misuse, multi)
{
    struct set set = make();
    struct weir_curl_multi *other;
    CHECK_ABORTS((void)!weir_curl_multi_create(NULL, NULL, &other), "weir_curl_multi_create: multi is NULL");
    CHECK_ABORTS(
        (void)!weir_curl_multi_create(set.multi, NULL, NULL), "weir_curl_multi_create: guarded is NULL");
    turn_in_child(&set); /* CHECK_ABORTS forks */
    destroy(&set);
}

/* These need an object that their own process has made. */
static void in_its_own_process(void (*what)(struct set *))
{
    struct set set = make();
    what(&set);
}

static void start_without_pipeline(struct set *set)
{
    (void)!weir_curl_multi_start(set->guarded, NULL, NULL, set->easy, ignore, NULL);
}

static void start_without_handle(struct set *set)
{
    (void)!weir_curl_multi_start(set->guarded, set->pipeline, NULL, NULL, ignore, NULL);
}

static void start_without_done(struct set *set)
{
    (void)!weir_curl_multi_start(set->guarded, set->pipeline, NULL, set->easy, NULL, NULL);
}

static void start_twice(struct set *set)
{
    start(set);
    start(set);
}

static void start_what_runs_elsewhere(struct set *set)
{
    curl_multi_add_handle(curl_multi_init(), set->easy);
    start(set);
}

static void destroy_with_transfers(struct set *set)
{
    start(set);
    weir_curl_multi_destroy(set->guarded);
}

static void destroy_at_once(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct set *set = argument;
    (void)easy;
    (void)outcome;
    weir_curl_multi_destroy(set->guarded);
}

static void destroy_from_done(struct set *set)
{
    (void)!weir_curl_multi_start(set->guarded, set->pipeline, NULL, set->easy, destroy_at_once, set);
    weir_curl_multi_cancel(set->guarded, set->easy);
}

static struct set *current;

static size_t cancel_itself(char *data, size_t size, size_t count, void *argument)
{
    (void)data;
    (void)argument;
    weir_curl_multi_cancel(current->guarded, current->easy);
    return size * count;
}

static void cancel_within_libcurl(struct set *set)
{
    int running;
    current = set;
    curl_easy_setopt(set->easy, CURLOPT_URL, "file:///proc/self/status");
    curl_easy_setopt(set->easy, CURLOPT_WRITEFUNCTION, cancel_itself);
    start(set);
    curl_multi_perform(set->multi, &running);
}

static struct weir_outcome fail(void *argument, struct weir_outcome outcome)
{
    (void)argument;
    outcome.status = WEIR_FAILED;
    return outcome;
}

static struct weir_outcome step_within(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    if (current->pipeline == NULL) weir_curl_multi_turn(current->guarded);
    else weir_curl_multi_cancel(current->guarded, argument);
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void start_with_fallback(struct set *set)
{
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    current = set;
    CHECK_EQ(weir_fallback_create(
                 WEIR_CONFIG(weir_fallback_config, .function = step_within, .on = WEIR_ON(WEIR_FAILED)),
                 &fallback),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .classifier = &(struct weir_classifier) { fail, NULL }),
                 &fallback, 1, &pipeline),
        WEIR_E_NONE);
    (void)!weir_curl_multi_start(set->guarded, pipeline, NULL, set->easy, ignore, set);
    int running;
    curl_multi_perform(set->multi, &running);
    weir_curl_multi_turn(set->guarded);
}

static void turn_within_fallback(struct set *set)
{
    set->pipeline = NULL;
    start_with_fallback(set);
}

TEST(curl_misuse, multi_start_cancel_destroy)
{
    CHECK_ABORTS(in_its_own_process(start_with_fallback),
        "weir_curl_multi_cancel: called from within its own reset, rewind or fallback function");
    CHECK_ABORTS(in_its_own_process(turn_within_fallback),
        "weir_curl_multi_turn: called from within a reset, rewind or fallback function");
    CHECK_ABORTS(in_its_own_process(start_without_pipeline), "weir_curl_multi_start: pipeline is NULL");
    CHECK_ABORTS(in_its_own_process(start_without_handle), "weir_curl_multi_start: easy is NULL");
    CHECK_ABORTS(in_its_own_process(start_without_done), "weir_curl_multi_start: done is NULL");
    CHECK_ABORTS(in_its_own_process(start_twice), "weir_curl_multi_start: the easy handle is in use");
    CHECK_ABORTS(in_its_own_process(start_what_runs_elsewhere),
        "weir_curl_multi_start: the easy handle is in use elsewhere");
    CHECK_ABORTS(
        in_its_own_process(destroy_with_transfers), "weir_curl_multi_destroy: transfers are left in it");
    CHECK_ABORTS(in_its_own_process(destroy_from_done), "weir_curl_multi_destroy: called from within done");
    CHECK_ABORTS(in_its_own_process(cancel_within_libcurl), "called from within a callback of libcurl");
}
