/* A fork in use: the child owns nothing that it did not take itself, whatever it does first; the parent does not
 * notice. Each test forks by itself: what is checked in the child is its exit status. */
#include "support/test.h"

#include "os/os.h"
#include "pipeline/pipeline.h"

#include <weir/weir.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs work(argument) in a child; true if it answered true and ended well. */
static bool in_child(bool (*work)(void *argument), void *argument)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(work(argument) ? 0 : 1);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct weir_policy *bulkhead_of(uint32_t limit, uint32_t queue)
{
    struct weir_policy *bulkhead = NULL;
    CHECK_EQ(
        weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = limit, .queue = queue), &bulkhead),
        WEIR_E_NONE);
    return bulkhead;
}

static struct weir_pipeline *pipeline_of(struct weir_policy *policy)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(NULL, &policy, policy != NULL, &pipeline), WEIR_E_NONE);
    weir_policy_release(policy);
    return pipeline;
}

/* ---- permits taken alone ---- */

static struct weir_permit parents;

static bool take_all_and_give_back(void *bulkhead)
{
    struct weir_permit mine[2], more;
    for (int i = 0; i < 2; i++) {
        if (weir_bulkhead_acquire(bulkhead, 1, &mine[i]).status != WEIR_OK) return false;
    }
    if (weir_bulkhead_acquire(bulkhead, 1, &more).status == WEIR_OK) return false;
    if (weir_bulkhead_stats(bulkhead).in_use != 2) return false;
    for (int i = 0; i < 2; i++) weir_bulkhead_release(bulkhead, &mine[i]);
    return weir_bulkhead_stats(bulkhead).in_use == 0;
}

TEST(fork, a_child_that_acquires_first_has_the_whole_bulkhead)
{
    struct weir_policy *bulkhead = bulkhead_of(2, 0);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &parents).status, WEIR_OK);
    CHECK(in_child(take_all_and_give_back, bulkhead));
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 1);
    struct weir_permit other;
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &other).status, WEIR_OK);
    CHECK(in_child(take_all_and_give_back, bulkhead)); /* full in the parent */
    weir_bulkhead_release(bulkhead, &parents);
    weir_bulkhead_release(bulkhead, &other);
    weir_policy_release(bulkhead);
}

static bool give_back_the_parents(void *bulkhead)
{
    weir_bulkhead_release(bulkhead, &parents);
    return take_all_and_give_back(bulkhead);
}

TEST(fork, a_permit_of_the_parent_is_not_given_back_in_the_child)
{
    struct weir_policy *bulkhead = bulkhead_of(2, 0);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &parents).status, WEIR_OK);
    CHECK(in_child(give_back_the_parents, bulkhead));
    weir_bulkhead_release(bulkhead, &parents);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    weir_policy_release(bulkhead);
}

static bool read_first(void *bulkhead)
{
    return weir_bulkhead_stats(bulkhead).in_use == 0;
}

static bool release_first(void *bulkhead)
{
    weir_policy_release(bulkhead);
    return true;
}

TEST(fork, a_child_that_reads_or_releases_first_sees_nothing_taken)
{
    struct weir_policy *bulkhead = bulkhead_of(2, 0);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &parents).status, WEIR_OK);
    CHECK(in_child(read_first, bulkhead));
    CHECK(in_child(release_first, bulkhead));
    weir_bulkhead_release(bulkhead, &parents);
    weir_policy_release(bulkhead);
}

#define OPENED (1000 * WEIR_S)

static bool probe_in_child(void *breaker)
{
    struct weir_permit probe;
    uint64_t now_ns = OPENED + 100 * WEIR_S;
    if (weir_breaker_acquire_at(breaker, &probe, now_ns).status != WEIR_OK) return false;
    if (weir_breaker_stats(breaker, now_ns).probes_out != 1) return false;
    weir_breaker_release_at(breaker, &probe, (struct weir_outcome) { .status = WEIR_IGNORED }, now_ns);
    return weir_breaker_stats(breaker, now_ns).probes_out == 0;
}

TEST(fork, a_probe_of_the_parent_is_not_out_in_the_child)
{
    struct weir_policy *breaker;
    CHECK_EQ(weir_breaker_create(
                 WEIR_CONFIG(weir_breaker_config, .probes = 1, .consecutive = 1, .probe_ns = 3600 * WEIR_S),
                 &breaker),
        WEIR_E_NONE);
    CHECK_EQ(weir_breaker_acquire_at(breaker, &parents, OPENED).status, WEIR_OK);
    weir_breaker_release_at(breaker, &parents, (struct weir_outcome) { .status = WEIR_FAILED }, OPENED);
    CHECK(in_child(probe_in_child, breaker)); /* the child's own is the first probe */
    CHECK_EQ(weir_breaker_acquire_at(breaker, &parents, OPENED + 90 * WEIR_S).status, WEIR_OK);
    CHECK(in_child(probe_in_child, breaker)); /* the parent's is out */
    CHECK_EQ(weir_breaker_stats(breaker, OPENED + 90 * WEIR_S).probes_out, 1);
    weir_breaker_release_at(
        breaker, &parents, (struct weir_outcome) { .status = WEIR_OK }, OPENED + 90 * WEIR_S);
    CHECK_EQ(weir_breaker_stats(breaker, OPENED + 90 * WEIR_S).closed, 1);
    weir_policy_release(breaker);
}

/* ---- calls ---- */

struct scene {
    struct weir_pipeline *pipeline;
    struct weir_call running, waiting;
};

static void set_up(struct scene *scene)
{
    scene->pipeline = pipeline_of(bulkhead_of(1, 4));
    CHECK_EQ(weir_call_begin(&scene->running, scene->pipeline, NULL, OPENED).action, WEIR_RUN);
    CHECK_EQ(weir_call_begin(&scene->waiting, scene->pipeline, NULL, OPENED).action, WEIR_WAIT);
}

static void tear_down(struct scene *scene)
{
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).in_flight, 2);
    CHECK_EQ(weir_pipeline_stats(scene->pipeline).foreign, 0);
    struct weir_outcome ok = { .status = WEIR_OK };
    CHECK_EQ(weir_call_settle(&scene->running, 1, ok, OPENED).action, WEIR_DONE);
    CHECK_EQ(weir_call_wake(&scene->waiting, OPENED).action, WEIR_RUN);
    CHECK_EQ(weir_call_settle(&scene->waiting, 1, ok, OPENED).action, WEIR_DONE);
    weir_pipeline_destroy(scene->pipeline);
}

static bool is_over(const struct weir_call *call)
{
    struct weir_outcome outcome = weir_call_outcome(call);
    return outcome.status == WEIR_IGNORED && outcome.reason == WEIR_REASON_FORKED;
}

static bool settle_both(void *argument)
{
    struct scene *scene = argument;
    struct weir_outcome ok = { .status = WEIR_OK };
    if (weir_call_settle(&scene->running, 1, ok, OPENED).action != WEIR_DONE) return false;
    if (weir_call_wake(&scene->waiting, OPENED).action != WEIR_DONE) return false;
    if (!is_over(&scene->running) || !is_over(&scene->waiting)) return false;
    struct weir_pipeline_stats stats = weir_pipeline_stats(scene->pipeline);
    if (stats.foreign != 2 || stats.in_flight != 0 || stats.ended[WEIR_OK] != 0) return false;
    struct weir_call own;
    if (weir_call_begin(&own, scene->pipeline, NULL, OPENED).action != WEIR_RUN) return false;
    if (weir_call_settle(&own, 1, ok, OPENED).action != WEIR_DONE) return false;
    weir_pipeline_destroy(scene->pipeline);
    return true;
}

TEST(fork, a_foreign_settle_is_ignored_and_counted)
{
    struct scene scene;
    set_up(&scene);
    CHECK(in_child(settle_both, &scene));
    tear_down(&scene);
}

static bool destroy_first(void *argument)
{
    weir_pipeline_destroy(((struct scene *)argument)->pipeline);
    return true;
}

static bool drain_first(void *argument)
{
    struct scene *scene = argument;
    return weir_pipeline_drain(scene->pipeline, weir_now(WEIR_TIMING_PRECISE) + WEIR_S) == WEIR_E_NONE;
}

static bool count_first(void *argument)
{
    return weir_pipeline_stats(((struct scene *)argument)->pipeline).in_flight == 0;
}

TEST(fork, a_child_may_destroy_its_copy_first)
{
    struct scene scene;
    set_up(&scene);
    CHECK(in_child(destroy_first, &scene));
    tear_down(&scene);
}

TEST(fork, a_child_may_drain_its_copy_first)
{
    struct scene scene;
    set_up(&scene);
    CHECK(in_child(drain_first, &scene));
    tear_down(&scene);
}

TEST(fork, a_child_that_counts_first_counts_no_call)
{
    struct scene scene;
    set_up(&scene);
    CHECK(in_child(count_first, &scene));
    tear_down(&scene);
}

static bool destroy_after_a_call(void *pipeline)
{
    struct weir_call own;
    if (weir_call_begin(&own, pipeline, NULL, OPENED).action != WEIR_RUN) return false;
    if (weir_call_settle(&own, 1, (struct weir_outcome) { 0 }, OPENED).action != WEIR_DONE) return false;
    weir_pipeline_destroy(pipeline);
    return true;
}

TEST(fork, a_pipeline_without_policies_can_be_destroyed_too)
{
    struct weir_pipeline *pipeline = pipeline_of(NULL);
    struct weir_call call;
    CHECK_EQ(weir_call_begin(&call, pipeline, NULL, OPENED).action, WEIR_RUN);
    CHECK(in_child(destroy_after_a_call, pipeline));
    CHECK_EQ(weir_call_settle(&call, 1, (struct weir_outcome) { 0 }, OPENED).action, WEIR_DONE);
    weir_pipeline_destroy(pipeline);
}

/* ---- an operation that forks ---- */

static struct weir_outcome forks(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    *(pid_t *)argument = fork();
    return (struct weir_outcome) { .status = WEIR_OK };
}

TEST(fork, an_operation_that_forks_returns_twice)
{
    struct weir_policy *bulkhead = bulkhead_of(1, 4);
    struct weir_pipeline *pipeline = pipeline_of(bulkhead);
    pid_t child = -1;
    struct weir_outcome outcome = weir_run(pipeline, NULL, forks, &child);
    if (child == 0) {
        bool good = outcome.status == WEIR_IGNORED && outcome.reason == WEIR_REASON_FORKED;
        good = good && weir_bulkhead_stats(bulkhead).in_use == 0;
        weir_pipeline_destroy(pipeline);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(weir_bulkhead_stats(bulkhead).in_use, 0);
    CHECK_EQ(weir_pipeline_stats(pipeline).foreign, 0);
    weir_pipeline_destroy(pipeline);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Generations go on through generations of processes. */
static bool grandchild(void *bulkhead)
{
    struct weir_permit mine;
    if (!give_back_the_parents(bulkhead)) return false;
    if (weir_bulkhead_acquire(bulkhead, 1, &mine).status != WEIR_OK) return false;
    parents = mine;
    return in_child(give_back_the_parents, bulkhead) && weir_bulkhead_stats(bulkhead).in_use == 1;
}

TEST(fork, a_grandchild_is_a_stranger_to_both)
{
    struct weir_policy *bulkhead = bulkhead_of(2, 0);
    CHECK_EQ(weir_bulkhead_acquire(bulkhead, 1, &parents).status, WEIR_OK);
    CHECK(in_child(grandchild, bulkhead));
    weir_bulkhead_release(bulkhead, &parents);
    weir_policy_release(bulkhead);
}

/* ---- a fork inside an operation, with a sink ---- */

static pid_t born;

static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    (void)event;
}

static struct weir_outcome give_birth(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    born = fork();
    return (struct weir_outcome) { .status = WEIR_OK };
}

static bool is_level(const struct weir_pipeline *pipeline)
{
    uint64_t telling = 0, told = 0;
    for (uint32_t line = 0; line < LINES; line++) {
        telling += pipeline->cold[line].counter[PIPELINE_TELLING];
        told += pipeline->cold[line].counter[PIPELINE_TOLD];
    }
    return telling == told;
}

/* Whoever has said that he will deliver events says once that he has: drain waits for just these. */
TEST(fork, a_child_born_in_an_operation_delivers_once)
{
    struct weir_sink sink = { .event = hear };
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = &sink), NULL, 0, &pipeline),
        WEIR_E_NONE);
    (void)weir_run(pipeline, NULL, give_birth, NULL).status;
    bool level = is_level(pipeline);
    if (born == 0) _exit(level ? 0 : 1);
    int status = 0;
    CHECK_EQ(waitpid(born, &status, 0), born);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(level);
    weir_pipeline_destroy(pipeline);
}
