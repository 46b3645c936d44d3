/* What counts as a failure is for you to say, once for each callee: the operations only answer a number. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

/* A store of pictures: a 404 is its failure, for it is asked only for what it was given to keep. */
static struct weir_outcome judge_store(void *argument, struct weir_outcome outcome)
{
    struct weir_outcome judged = weir_classify_http(argument, outcome);
    if (judged.code == 404) judged.status = WEIR_FAILED;
    return judged;
}

/* Files: that one does not exist is an answer as good as any; the disk did its work. */
static struct weir_outcome judge_files(void *argument, struct weir_outcome outcome)
{
    if (outcome.code == ENOENT) return outcome;
    return weir_classify_errno(argument, outcome);
}

/* All that an operation has to say. */
static struct weir_outcome answer(void *number, const struct weir_attempt *attempt)
{
    (void)attempt;
    return weir_from_code(*(int *)number);
}

static struct weir_pipeline *guard(const char *name, const struct weir_classifier *classifier)
{
    struct weir_pipeline *pipeline;
    EXPECT(weir_pipeline_standard(
               WEIR_CONFIG(weir_standard_config, .name = name, .classifier = classifier), &pipeline) == 0);
    return pipeline;
}

static enum weir_status ask(struct weir_pipeline *pipeline, int number)
{
    return (enum weir_status)weir_run(pipeline, NULL, answer, &number).status;
}

/* Your own loop asks for it between the end of the operation and settle. */
static void show_own_driver(struct weir_pipeline *store)
{
    struct weir_call call;
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    struct weir_step step = weir_call_begin(&call, store, NULL, now_ns);
    EXPECT(step.action == WEIR_RUN);
    struct weir_outcome outcome = weir_call_classify(&call, weir_from_code(404));
    step = weir_call_settle(&call, step.attempt, outcome, now_ns);
    EXPECT(step.action == WEIR_DONE && weir_call_outcome(&call).status == WEIR_FAILED);
}

int main(void)
{
    struct weir_pipeline *store = guard("store", &(struct weir_classifier) { .classify = judge_store });
    struct weir_pipeline *files = guard("files", &(struct weir_classifier) { .classify = judge_files });
    struct weir_pipeline *shop = guard("shop", &(struct weir_classifier) { .classify = weir_classify_http });

    EXPECT(ask(shop, 200) == WEIR_OK && ask(shop, 404) == WEIR_OK);
    EXPECT(ask(shop, 500) == WEIR_FAILED && ask(shop, 503) == WEIR_OVERLOADED);
    EXPECT(ask(store, 404) == WEIR_FAILED);
    EXPECT(ask(files, 0) == WEIR_OK && ask(files, ENOENT) == WEIR_OK && ask(files, EIO) == WEIR_FAILED);
    show_own_driver(store);

    weir_pipeline_destroy(store);
    weir_pipeline_destroy(files);
    weir_pipeline_destroy(shop);
    puts("a 404 is an answer of the shop, and a failure of the store");
    return 0;
}
