/* A guarded block: the blocking driver with the operation left out.
 *
 *     begin --> driver_drive() --RUN--> owed: the block runs --end--> settle --> driver_drive() --> over
 *                    '--DONE--> over: the block is skipped
 *
 * Invariants: owed from the RUN to its settle, which is one; linked to the thread's calls from begin to over. */
#include <weir/guard.h>

#include "pipeline/machine_hot.h"
#include "pipeline/prose.h"
#include "runtime/driver.h"

static const char macro[] = "WEIR_GUARD";

static COLD void refuse_retry(const struct weir_pipeline *pipeline)
{
    char text[sizeof(struct policy_text) + 80];
    uint32_t retry = 0;
    while (pipeline->policy[retry]->head->kind != POLICY_RETRY) retry++;
    snprintf(text, sizeof text, "the pipeline has %s, but a block runs once: use weir_run()",
        policy_text(pipeline->policy[retry]).text);
    weir_misuse(macro, text);
}

static struct weir_step drive(struct weir_guard *guard, struct weir_step step)
{
    struct driver driver = { .call = &guard->call, .argument = guard->argument, .given_ns = WEIR_NEVER };
    return driver_drive(&driver, step);
}

static void over(struct weir_guard *guard)
{
    guard->outcome = guard->call.outcome;
    driver_unlink(&guard->call, guard->pipeline, guard->told, guard->generation);
}

struct weir_guard *weir_guard_begin(
    struct weir_guard *guard, const struct weir_pipeline *pipeline, const struct weir_call_options *options)
{
    WEIR_REQUIRE(guard != NULL, macro, "guard is NULL");
    WEIR_REQUIRE(pipeline != NULL, macro, "pipeline is NULL");
    WEIR_REQUIRE(pipeline->result_size == 0, macro,
        "the pipeline has a result, which a block has no place for: use weir_run()");
    if (unlikely(pipeline->budgeted)) refuse_retry(pipeline);
    guard->outcome = (struct weir_outcome) { .status = WEIR_OK };
    guard->attempt = &guard->call.attempt;
    guard->pipeline = pipeline;
    guard->generation = process_generation();
    uint64_t now_ns = weir_pipeline_now(pipeline);
    guard->told = driver_link(&guard->call, pipeline);
    struct weir_step step = weir_call_begin(&guard->call, pipeline, options, now_ns);
    bool runs = step.action == WEIR_RUN && step.what == WEIR_OPERATION;
    if (unlikely(!runs)) step = drive(guard, step);
    guard->owed = guard->runs = step.action == WEIR_RUN;
    if (unlikely(!guard->owed)) over(guard);
    return guard;
}

static COLD void settle_slow(
    struct weir_guard *guard, enum settled settled, struct weir_step step, bool timed, uint64_t now_ns)
{
    struct weir_call *call = &guard->call;
    if (!timed) call->flags |= CALL_UNTIMED;
    if (settled == SETTLED_NOT)
        step = machine_settle_slow(call, call->attempt.number, guard->outcome, now_ns);
    step = drive(guard, step);
    WEIR_REQUIRE(
        step.action == WEIR_DONE, macro, "a policy asked for another attempt, but a block runs once");
}

void weir_guard_end(struct weir_guard *const *which)
{
    WEIR_REQUIRE(which != NULL, "weir_guard_end", "guard is NULL");
    struct weir_guard *guard = *which;
    if (!guard->owed) return;
    guard->owed = guard->runs = false;
    guard->outcome = weir_call_classify(&guard->call, guard->outcome);
    struct weir_step step;
    bool timed;
    uint64_t now_ns = driver_clock_out(&guard->call, &timed);
    enum settled settled =
        machine_try_settle(&guard->call, guard->pipeline, 1, guard->outcome, now_ns, timed, &step);
    if (unlikely(settled != SETTLED_WELL)) settle_slow(guard, settled, step, timed, now_ns);
    over(guard);
}
