/* A forked child may go on using pipelines and policies; what the parent's calls took stays the parent's. */
#include "expect.h"

#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

static struct weir_outcome answer(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void child(struct weir_pipeline *pipeline, struct weir_policy *bulkhead, struct weir_call *call)
{
    EXPECT(weir_run(pipeline, NULL, answer, NULL).status == WEIR_OK); /* its own permits are all free */
    EXPECT(weir_bulkhead_stats(bulkhead).in_use == 0);

    /* The parent's call is not ours: to settle it here is ignored and counted. */
    struct weir_outcome ok = { .status = WEIR_OK };
    struct weir_step step = weir_call_settle(call, 1, ok, weir_now(WEIR_TIMING_PRECISE));
    EXPECT(step.action == WEIR_DONE && weir_call_outcome(call).reason == WEIR_REASON_FORKED);
    EXPECT(weir_pipeline_stats(pipeline).foreign == 1);
}

int main(void)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline;
    EXPECT(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1), &bulkhead) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &bulkhead, 1, &pipeline) == WEIR_E_NONE);

    struct weir_call call; /* holds the only permit when the fork comes */
    struct weir_step step = weir_call_begin(&call, pipeline, NULL, weir_now(WEIR_TIMING_PRECISE));
    EXPECT(step.action == WEIR_RUN);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        child(pipeline, bulkhead, &call);
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);

    EXPECT(weir_bulkhead_stats(bulkhead).in_use == 1);
    struct weir_outcome ok = { .status = WEIR_OK };
    step = weir_call_settle(&call, step.attempt, ok, weir_now(WEIR_TIMING_PRECISE));
    EXPECT(step.action == WEIR_DONE && weir_bulkhead_stats(bulkhead).in_use == 0);
    weir_policy_release(bulkhead);
    weir_pipeline_destroy(pipeline);
    return 0;
}
