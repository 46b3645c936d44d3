/* One caller: begins, drives and ends calls the way an event loop may, and holds the machine to its word. */
#include "fuzz/world.h"

#include <weir/bulkhead.h>

static void post(void *argument)
{
    ((struct caller *)argument)->posted = true;
}

static uint64_t longest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- steps ---- */

/* The answer of a call that is over. */
static void count_end(struct world *world, struct caller *caller)
{
    struct line *line = &world->line[caller->pipeline];
    struct weir_outcome outcome = weir_call_outcome(caller->call);
    MUST(outcome.status < WEIR_STATUSES && outcome.reason < WEIR_REASONS && outcome.by <= line->count);
    if (world->forked) {
        MUST(outcome.status == WEIR_IGNORED && outcome.reason == WEIR_REASON_FORKED);
        return;
    }
    line->want.ended[outcome.status]++;
    if (outcome.status == WEIR_REJECTED) {
        line->want.refused[outcome.reason]++;
        if (outcome.by != 0) line->want.refused_by[outcome.by - 1]++;
    }
    if (outcome.status == WEIR_EXPIRED && outcome.reason == WEIR_REASON_TIMEOUT) MUST(outcome.by != 0);
    if (outcome.status == WEIR_CANCELED && outcome.reason == WEIR_REASON_CANCELED) MUST(outcome.by == 0);
    if ((outcome.flags & WEIR_LATE) != 0) line->want.late++;
    if ((outcome.flags & WEIR_SHADOW) != 0) line->want.shadowed++;
    bool bare = false;
    if ((outcome.flags & WEIR_DEGRADED) != 0) {
        line->want.degraded++;
        MUST(outcome.status == WEIR_OK && outcome.by != 0);
        MUST(line->order[outcome.by - 1]->kind == POLICY_FALLBACK);
        bare = line->order[outcome.by - 1]->bare;
    }
    if (outcome.status != WEIR_OK || world->result_size == 0 || bare) return;
    MUST(caller->result >> 56 == RESULT_MAGIC >> 56);
    /* What a custom policy's FALL_BACK answered is not marked as DEGRADED. */
    if ((outcome.flags & WEIR_DEGRADED) == 0 && !line->custom) MUST(caller->result == caller->tag);
}

static void run_operation(struct world *world, struct caller *caller, struct weir_step step)
{
    const struct weir_attempt *attempt = weir_call_attempt(caller->call);
    const struct line *line = &world->line[caller->pipeline];
    if (line->chaos && step.attempt > caller->attempts) caller->attempts = step.attempt - 1u;
    MUST(step.attempt == caller->attempts + 1 && step.attempt <= WEIR_ATTEMPTS_MAX);
    MUST(caller->operation.running == 0 && caller->operation.pending == 0 && caller->function.running == 0);
    MUST(attempt->number == step.attempt && attempt->deadline_ns == step.at_ns);
    MUST((attempt->value != NULL) == (world->result_size != 0));
    caller->attempts++;
    caller->operation.running = step.attempt;
    caller->operation.place = attempt->value;
    if (caller->function.pending != 0 && attempt->value != NULL)
        MUST(attempt->value != caller->function.place);
    world->line[caller->pipeline].want.attempts++;
    world_check_run(world, caller);
}

static void run_function(struct caller *caller, struct weir_step step)
{
    MUST(step.attempt == 0 && caller->operation.running == 0);
    MUST(caller->function.running == 0 && caller->function.pending == 0);
    caller->function.running = ++caller->functions;
    caller->function.place = weir_call_attempt(caller->call)->value;
    if (caller->operation.pending != 0 && caller->function.place != NULL)
        MUST(caller->function.place != caller->operation.place);
}

/* What the step says was abandoned must have been running. */
static void note_abandoned(struct world *world, struct caller *caller, uint32_t mask)
{
    struct work *work[] = { &caller->operation, &caller->function };
    for (uint32_t i = 0; i < 2; i++) {
        bool pending = (mask >> i & 1) != 0;
        if (pending == (work[i]->pending != 0)) continue;
        MUST(pending && work[i]->running != 0);
        work[i]->pending = work[i]->running;
        work[i]->running = 0;
        world->line[caller->pipeline].want.abandoned++;
    }
}

static void take_step(struct world *world, struct caller *caller, struct weir_step step)
{
    TELL(world, "  call %u at %+" PRId64 ": %s%s attempt %u until %+" PRId64 " abandoned %u\n",
        caller->serial, (int64_t)(world->now_ns - WORLD_BEGIN),
        step.action == WEIR_RUN        ? "run"
            : step.action == WEIR_WAIT ? "wait"
                                       : "done",
        step.what == WEIR_FALLBACK ? " fallback" : "", step.attempt,
        step.at_ns == WEIR_NEVER ? -1 : (int64_t)(step.at_ns - WORLD_BEGIN), step.abandon_mask);
    if (world->forked) {
        MUST(step.action == WEIR_DONE && step.abandon_mask == 0 && step.pending == 0);
        caller->operation.running = caller->operation.pending = 0;
        caller->function.running = caller->function.pending = 0;
    } else {
        note_abandoned(world, caller, step.abandon_mask);
        MUST(step.pending == (caller->operation.pending != 0) + (caller->function.pending != 0));
    }
    caller->waits = step.action == WEIR_WAIT;
    caller->wake_ns = step.at_ns;
    switch ((enum weir_action)step.action) {
    case WEIR_RUN:
        if (step.what == WEIR_FALLBACK) run_function(caller, step);
        else run_operation(world, caller, step);
        return;
    case WEIR_WAIT: return;
    case WEIR_DONE:
        MUST(caller->operation.running == 0 && caller->function.running == 0);
        if (!caller->over) count_end(world, caller);
        caller->over = true;
        if (caller->watched) weir_context_unwatch(&caller->watch);
        caller->watched = false;
        if (step.pending != 0) return;
        free(caller->call);
        caller->call = NULL;
        return;
    }
    MUST(step.action == WEIR_DONE);
}

/* ---- what it may do ---- */

static void choose_context(struct world *world, struct caller *caller)
{
    static const uint64_t deadlines[] = { 0, WEIR_US, WEIR_MS, 100 * WEIR_MS, 10 * WEIR_S };
    uint32_t choice = take(&world->in);
    caller->given = NULL;
    if ((choice & 1) == 0) return;
    uint64_t deadline_ns = world->now_ns + PICK(&world->in, deadlines);
    if ((choice & 2) != 0) deadline_ns = WEIR_NEVER;
    const struct weir_context *parent = (choice & 4) != 0 ? &world->group[choice >> 3 & 1] : NULL;
    weir_context_child(&caller->context, parent, deadline_ns, NULL);
    if (parent != NULL) MUST(caller->context.deadline_ns <= parent->deadline_ns);
    caller->given = &caller->context;
    if (parent == NULL || (choice & 16) == 0) return;
    weir_context_watch(&caller->watch, caller->given, (struct weir_waker) { post, caller });
    caller->watched = true;
}

void caller_begin(struct world *world, struct caller *caller, uint32_t pipeline)
{
    struct line *line = &world->line[pipeline];
    uint32_t choice = take(&world->in);
    *caller = (struct caller) { .pipeline = pipeline, .serial = ++world->serial };
    caller->call = calloc(1, weir_pipeline_call_size(line->pipeline));
    MUST(caller->call != NULL);
    choose_context(world, caller);
    caller->idempotent = (choice & 1) != 0;
    caller->armed = (choice & 2) != 0;
    caller->result = RESULT_MAGIC >> 1; /* not an answer */
    caller->latest_ns = world->now_ns;
    struct weir_call_options options = weir_call_options_init();
    options.idempotent = caller->idempotent;
    options.weight = (choice & 4) != 0 ? pick(&world->in, 6) : 0;
    options.context = caller->given;
    if (caller->armed) options.waker = (struct weir_waker) { post, caller };
    options.value = &caller->result;
    options.seed = 1 + (choice >> 3); /* what is drawn is the input's */
    options.key = choice >> 5;        /* one in eight bears none */
    line->want.begun++;
    TELL(world, "begin call %u through %u\n", caller->serial, pipeline);
    take_step(world, caller, weir_call_begin(caller->call, line->pipeline, &options, world->now_ns));
    if (line->drained) MUST(caller->over);
}

void caller_wake(struct world *world, struct caller *caller)
{
    caller->latest_ns = longest(caller->latest_ns, world->now_ns);
    uint32_t ran = caller->operation.running + caller->function.running;
    uint64_t deadline_ns = caller->call->attempt.deadline_ns;
    bool ended = weir_context_check(caller->given, world->now_ns) != WEIR_OK;
    TELL(world, "wake call %u\n", caller->serial);
    struct weir_step step = weir_call_wake(caller->call, world->now_ns);
    if (ran != 0 && !world->forked && !ended && world->now_ns < deadline_ns)
        MUST(step.action == WEIR_WAIT && step.at_ns == deadline_ns);
    bool custom = world->line[caller->pipeline].custom; /* its AGAIN may be for a time that has passed */
    if (step.action == WEIR_WAIT && !world->forked && !custom) MUST(step.at_ns > world->now_ns);
    take_step(world, caller, step);
}

void caller_settle(struct world *world, struct caller *caller, struct work *work, struct weir_outcome outcome)
{
    bool function = work == &caller->function;
    bool running = work->running != 0;
    uint32_t number = function ? 0 : running ? work->running : work->pending;
    caller->latest_ns = longest(caller->latest_ns, world->now_ns);
    if (outcome.status == WEIR_OK && work->place != NULL) {
        uint64_t tag = RESULT_MAGIC | (uint64_t)caller->serial << 16 | (uint64_t)function << 8 | number;
        *work->place = tag;
        if (running) caller->tag = tag;
    }
    work->running = work->pending = 0;
    TELL(world, "settle call %u%s attempt %u status %u\n", caller->serial, running ? "" : " abandoned",
        number, outcome.status);
    bool declined = outcome.status == WEIR_OVERLOADED || outcome.status == WEIR_REJECTED;
    if (declined || (outcome.flags & WEIR_NOT_SENT) != 0) caller->again = true;
    take_step(world, caller, weir_call_settle(caller->call, number, outcome, world->now_ns));
}

void caller_cancel(struct world *world, struct caller *caller)
{
    bool over = caller->over;
    caller->latest_ns = longest(caller->latest_ns, world->now_ns);
    TELL(world, "cancel call %u\n", caller->serial);
    struct weir_step step = weir_call_cancel(caller->call, world->now_ns);
    MUST(step.action == WEIR_DONE);
    if (!over && !world->forked) {
        struct weir_outcome outcome = weir_call_outcome(caller->call);
        MUST(outcome.status == WEIR_CANCELED || world->line[caller->pipeline].custom);
    }
    take_step(world, caller, step);
}

void caller_arm(struct world *world, struct caller *caller)
{
    caller->latest_ns = longest(caller->latest_ns, world->now_ns);
    caller->armed = true;
    caller->posted = false;
    TELL(world, "arm call %u\n", caller->serial);
    take_step(
        world, caller, weir_call_arm(caller->call, (struct weir_waker) { post, caller }, world->now_ns));
}
