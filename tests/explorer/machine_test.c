/* The machine, from threads of their own event loops: begin, park, wake, cancel at a bulkhead with a queue. */
#include "explorer/explorer.h"
#include "pipeline/machine.h"
#include "policy/bulkhead.h"

#include <weir/weir.h>

#include <stdlib.h>
#include <string.h>

enum { NOW = 1000000000 };

static struct {
    struct weir_call call[EXPLORE_THREADS_MAX];
    struct weir_context context[EXPLORE_THREADS_MAX];
    struct weir_watch watch[EXPLORE_THREADS_MAX];
    uint32_t flag[EXPLORE_THREADS_MAX];
    uint32_t statuses[WEIR_STATUSES], inside;
} w;
static struct weir_policy *bulkhead;
static struct weir_pipeline *pipeline;
static struct weir_source *source;

/* ---- a driver ---- */

static void post(void *flag)
{
    explore_post(flag);
}

static void run(uint32_t thread, struct weir_step step)
{
    EXPLORE_CHECK(step.action == WEIR_RUN);
    weir_explore_point(&w.inside);
    EXPLORE_CHECK(++w.inside == 1);
    weir_explore_point(&w.inside);
    w.inside--;
    step = weir_call_settle(&w.call[thread], step.attempt, (struct weir_outcome) { .status = WEIR_OK }, NOW);
    EXPLORE_CHECK(step.action == WEIR_DONE);
}

static void finish(uint32_t thread, struct weir_step step)
{
    if (step.action == WEIR_RUN) run(thread, step);
    w.statuses[weir_call_outcome(&w.call[thread]).status]++;
}

static struct weir_step wait(uint32_t thread, struct weir_step step)
{
    while (step.action == WEIR_WAIT) {
        explore_await(&w.flag[thread]);
        step = weir_call_wake(&w.call[thread], NOW);
    }
    return step;
}

static struct weir_step begin(uint32_t thread)
{
    struct weir_call_options options = {
        .size = sizeof options, .context = &w.context[thread], .waker = { post, &w.flag[thread] }
    };
    explore_progress();
    return weir_call_begin(&w.call[thread], pipeline, &options, NOW);
}

static void pass(uint32_t thread)
{
    finish(thread, wait(thread, begin(thread)));
}

/* Does not know its waker before it has to wait. */
static void pass_armed_late(uint32_t thread)
{
    explore_progress();
    struct weir_step step = weir_call_begin(&w.call[thread], pipeline, NULL, NOW);
    struct weir_waker waker = { post, &w.flag[thread] };
    if (step.action == WEIR_WAIT) step = weir_call_arm(&w.call[thread], waker, NOW);
    finish(thread, wait(thread, step));
}

/* The permit's holder from the start. */
static void leave(void)
{
    struct weir_step step = weir_call_settle(&w.call[0], 1, (struct weir_outcome) { .status = WEIR_OK }, NOW);
    EXPLORE_CHECK(step.action == WEIR_DONE);
}

/* As the blocking driver parks: with its context watched. */
static void park(uint32_t thread)
{
    struct weir_step step = begin(thread);
    if (step.action == WEIR_WAIT) {
        struct weir_waker waker = { post, &w.flag[thread] };
        weir_context_watch(&w.watch[thread], &w.context[thread], waker);
        step = wait(thread, weir_call_wake(&w.call[thread], NOW));
        weir_context_unwatch(&w.watch[thread]);
    }
    finish(thread, step);
}

/* ---- programs ---- */

static void pass_twice(uint32_t thread)
{
    pass(thread);
    pass(thread);
}

static void first_leaves(uint32_t thread)
{
    if (thread == 0) leave();
    else pass(thread);
}

static void first_leaves_armed_late(uint32_t thread)
{
    if (thread == 0) leave();
    else pass_armed_late(thread);
}

static void parked_and_canceled(uint32_t thread)
{
    if (thread == 0) leave();
    else if (thread == 1) park(1);
    else weir_source_cancel(source, 7);
}

/* The holder leaves only when the parked one is canceled: without the cancel's wake nobody could go on. */
static void canceled_only(uint32_t thread)
{
    if (thread == 0) park(0);
    else weir_source_cancel(source, 7);
}

/* Its time is over just as it is handed the permit. */
static void expires(uint32_t thread)
{
    if (thread == 0) {
        leave();
    } else if (thread == 1) {
        struct weir_step step = begin(1);
        if (step.action == WEIR_WAIT) step = weir_call_wake(&w.call[1], NOW + WEIR_S);
        EXPLORE_CHECK(step.action != WEIR_WAIT);
        finish(1, step);
    } else {
        pass(2);
    }
}

/* ---- the world ---- */

static void create_empty(void)
{
    memset(&w, 0, sizeof w);
    struct weir_bulkhead_config config = {
        .size = sizeof config, .limit = 1, .queue = 2, .wait_max_ns = WEIR_S, .form = WEIR_FORM_SINGLE
    };
    if (weir_bulkhead_create(&config, &bulkhead) != WEIR_E_NONE) abort();
    if (weir_pipeline_create(NULL, &bulkhead, 1, &pipeline) != WEIR_E_NONE) abort();
    if (weir_source_create(&source) != WEIR_E_NONE) abort();
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        weir_context_detached(&w.context[i], WEIR_NEVER, i == 1 ? source : NULL);
    }
    explore_region(
        bulkhead->state, sizeof(struct bulkhead_state) + config.queue * sizeof(uint64_t), "bulkhead");
    explore_region(bulkhead->wakers.cell, config.queue * sizeof *bulkhead->wakers.cell, "wakers");
    explore_region(bulkhead->counters, sizeof *bulkhead->counters, "counters");
    explore_region(pipeline->line, LINES * sizeof *pipeline->line, "line");
    explore_region(pipeline->cold, LINES * sizeof *pipeline->cold, "cold");
    explore_region(source, sizeof *source, "source");
    explore_region(&w, sizeof w, "world");
}

static void create_held(void)
{
    create_empty();
    if (begin(0).action != WEIR_RUN) abort();
}

static void create_held_by_nobody(void)
{
    create_empty();
    if (begin(3).action != WEIR_RUN) abort();
    weir_context_detached(&w.context[0], WEIR_NEVER, source);
}

static void end(void)
{
    const struct bulkhead_state *state = bulkhead->state;
    uint32_t held = explore_scenario()->create == create_held_by_nobody;
    EXPLORE_CHECK((state->word & ~LIMIT_MASK) == held);
    EXPLORE_CHECK(state->pumps == 0);
    EXPLORE_CHECK(source->watches == NULL);
    for (uint32_t i = 0; i < 2; i++) {
        EXPLORE_CHECK((state->waiter[i] & 15) == 0);
        EXPLORE_CHECK(bulkhead->wakers.cell[i].state == 0);
    }
    EXPLORE_CHECK(pipeline_in_flight(pipeline) == held);
    explore_outcome(w.statuses[WEIR_OK] * 100u + w.statuses[WEIR_CANCELED] * 10u + w.statuses[WEIR_REJECTED]);
}

static const struct scenario scenarios[] = {
    { "machine/hand_over", 2, create_held, first_leaves, NULL, end },
    { "machine/two_wait", 3, create_held, first_leaves, NULL, end, .bound = 2 },
    { "machine/2x2", 2, create_empty, pass_twice, NULL, end, .bound = 3 },
    { "machine/armed_late", 2, create_held, first_leaves_armed_late, NULL, end },
    { "machine/canceled", 2, create_held_by_nobody, canceled_only, NULL, end },
    { "machine/canceled_or_granted", 3, create_held, parked_and_canceled, NULL, end, .bound = 3 },
    { "machine/expires", 3, create_held, expires, NULL, end, .bound = 2 },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
