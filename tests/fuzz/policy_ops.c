/* Streams of policy operations: what any mix of begins, wakes, settles, cancels, modes, limits and clock jumps
 * does to any pipelines, on any thread, must keep every invariant of world_check.c; when the faults stop, every
 * call ends, everything taken comes back and every breaker closes. */
#include "fuzz/world.h"

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/chaos.h>
#include <weir/rate.h>

static struct caller *any_caller(struct world *world)
{
    return &world->caller[pick(&world->in, CALLERS)];
}

static struct weir_outcome any_outcome(struct world *world)
{
    static const uint64_t delays[] = { 0, WEIR_MS, WEIR_S, UINT64_MAX };
    uint32_t choice = take(&world->in);
    struct weir_outcome outcome = { .status = (uint8_t)(choice % WEIR_STATUSES) };
    if (choice < 128) return outcome;
    outcome.flags = (uint8_t)take(&world->in);
    outcome.code = (int32_t)take(&world->in) - 128;
    outcome.by = (uint8_t)(choice & 7);
    outcome.reason = (uint8_t)pick(&world->in, WEIR_REASONS);
    outcome.retry_after_ns = delays[choice >> 5 & 3];
    return outcome;
}

static struct work *owed(struct caller *caller, bool function_first)
{
    struct work *operation = &caller->operation, *function = &caller->function;
    bool one = operation->running != 0 || operation->pending != 0;
    bool other = function->running != 0 || function->pending != 0;
    if (one && other) return function_first ? function : operation;
    return one ? operation : other ? function : NULL;
}

/* ---- operations ---- */

static void tick(struct world *world)
{
    uint32_t choice = take(&world->in);
    if (choice < 128) world->clock_ns += (uint64_t)choice * 100 * WEIR_US;
    else if (choice < 192) world->clock_ns += UINT64_C(1) << (choice - 128) % 45;
    else world->clock_ns += (uint64_t)(choice - 192) * WEIR_S;
}

static void settle(struct world *world)
{
    struct caller *caller = any_caller(world);
    uint32_t choice = take(&world->in);
    if (caller->call == NULL) return;
    struct work *work = owed(caller, (choice & 1) != 0);
    if (work != NULL) caller_settle(world, caller, work, any_outcome(world));
}

/* As a driver would: to the instant that the step named. */
static void pass_time(struct world *world)
{
    struct caller *caller = any_caller(world);
    if (caller->call == NULL || caller->over) return;
    if (caller->wake_ns != WEIR_NEVER && caller->wake_ns > world->clock_ns) world->clock_ns = caller->wake_ns;
    world->now_ns = world->clock_ns;
    if (world->most_ns < world->now_ns) world->most_ns = world->now_ns;
    caller_wake(world, caller);
}

static void take_permit(struct world *world)
{
    struct permit *permit = &world->permit[pick(&world->in, PERMITS)];
    uint32_t which = pick(&world->in, world->subjects);
    struct subject *subject = &world->subject[which];
    if (permit->out) return;
    struct weir_outcome outcome = { .status = WEIR_REJECTED };
    uint64_t at_ns = 0;
    if (subject->kind == POLICY_BREAKER) {
        outcome = weir_breaker_acquire_at(subject->policy, &permit->permit, world->now_ns);
    } else if (subject->kind == POLICY_BULKHEAD) {
        outcome = weir_bulkhead_acquire(subject->policy, 1 + pick(&world->in, 5), &permit->permit);
    } else if (subject->kind == POLICY_RATE) {
        uint64_t wait_ns = take(&world->in) * WEIR_MS;
        outcome = weir_rate_reserve_at(
            subject->policy, 1 + pick(&world->in, 5), wait_ns, world->now_ns, &permit->permit, &at_ns);
        MUST(outcome.status != WEIR_OK || (at_ns >= world->now_ns && at_ns <= world->now_ns + wait_ns));
    }
    permit->out = outcome.status == WEIR_OK;
    permit->subject = which;
}

static void give_permit(struct world *world, struct permit *permit, struct weir_outcome outcome)
{
    struct subject *subject = &world->subject[permit->subject];
    if (!permit->out) return;
    permit->out = false;
    if (subject->kind == POLICY_BREAKER)
        weir_breaker_release_at(subject->policy, &permit->permit, outcome, world->now_ns);
    else if (subject->kind == POLICY_BULKHEAD) weir_bulkhead_release(subject->policy, &permit->permit);
    else weir_rate_give_back_at(subject->policy, &permit->permit, world->now_ns);
}

static void change_limit(struct world *world)
{
    static const uint32_t limits[] = { 1, 2, 3, 8, 64, 1000 };
    struct subject *subject = &world->subject[pick(&world->in, world->subjects)];
    uint32_t limit = PICK(&world->in, limits);
    if (subject->kind == POLICY_CHAOS) weir_chaos_set_enabled(subject->policy, limit > 2);
    if (subject->kind != POLICY_BULKHEAD) return;
    TELL(world, "limit %u\n", limit);
    MUST(weir_bulkhead_set_limit(subject->policy, limit) == WEIR_E_NONE);
}

static void change_mode(struct world *world)
{
    struct subject *subject = &world->subject[pick(&world->in, world->subjects)];
    enum weir_mode mode = (enum weir_mode)pick(&world->in, 5);
    TELL(world, "mode of %s: %d\n", weir_policy_kind(subject->policy), (int)mode);
    weir_policy_set_mode(subject->policy, mode);
}

static void cancel_group(struct world *world)
{
    uint32_t choice = take(&world->in), which = choice & 1;
    bool used = false;
    for (uint32_t i = 0; i < CALLERS; i++) used |= world->caller[i].call != NULL;
    if (choice < 128) {
        weir_source_cancel(world->source[which], (int32_t)(1 + (choice >> 1)));
        MUST(weir_context_check(&world->group[GROUPS - 1], world->now_ns) == WEIR_CANCELED);
        for (struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
            if (!caller->watched) continue;
            MUST(weir_context_check(caller->given, world->now_ns) != WEIR_CANCELED || caller->posted);
        }
    } else if (!used) {
        for (uint32_t i = 0; i < GROUPS; i++) {
            weir_source_reset(world->source[i]);
            weir_context_child(
                &world->group[i], i == 0 ? NULL : &world->group[i - 1], WEIR_NEVER, world->source[i]);
        }
    }
}

static void look(struct world *world)
{
    char text[300];
    struct line *line = &world->line[pick(&world->in, PIPELINES)];
    struct weir_finding findings[4];
    weir_pipeline_deliver(line->pipeline);
    weir_pipeline_explain(line->pipeline, take(&world->in) * WEIR_MS, text, sizeof text);
    weir_pipeline_lint(line->pipeline, take(&world->in) * WEIR_MS, findings, 4);
    weir_pipeline_check(line->pipeline, world->now_ns, findings, 4);
    weir_outcome_text(text, sizeof text, line->pipeline, any_outcome(world));
    world_check_stats(world);
}

static void drain(struct world *world)
{
    struct line *line = &world->line[pick(&world->in, PIPELINES)];
    uint64_t in_flight = weir_pipeline_stats(line->pipeline).in_flight;
    enum weir_error error = weir_pipeline_drain(line->pipeline, 0);
    MUST(error == (in_flight == 0 ? WEIR_E_NONE : WEIR_E_TIMEOUT));
    line->drained = true;
}

static void choose_now(struct world *world, uint32_t skew)
{
    static const uint64_t behind[] = { 0, 0, 0, 1, WEIR_US, 50 * WEIR_US, WEIR_MS, 10 * WEIR_MS };
    world->now_ns = world->clock_ns - behind[skew & 7];
    if (world->most_ns < world->now_ns) world->most_ns = world->now_ns;
}

static void operate(struct world *world)
{
    static const uint32_t lines[] = { 0, 1, 5, SHARDS - 1, SHARDS };
    uint32_t code = take(&world->in);
    struct caller *caller;
    choose_now(world, code >> 5);
    switch (code & 31) {
    default:
        caller = any_caller(world);
        if (caller->call == NULL) caller_begin(world, caller, code & 1);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13: settle(world); break;
    case 14:
    case 15: tick(world); break;
    case 16:
    case 17:
        caller = any_caller(world);
        if (caller->call != NULL) caller_wake(world, caller);
        break;
    case 18:
    case 19: pass_time(world); break;
    case 20:
        caller = any_caller(world);
        if (caller->call != NULL) caller_cancel(world, caller);
        break;
    case 21:
        caller = any_caller(world);
        if (caller->call != NULL && !caller->over) caller_arm(world, caller);
        break;
    case 22: take_permit(world); break;
    case 23: give_permit(world, &world->permit[pick(&world->in, PERMITS)], any_outcome(world)); break;
    case 24: change_limit(world); break;
    case 25: change_mode(world); break;
    case 26: cancel_group(world); break;
    case 27: be_thread(PICK(&world->in, lines)); break;
    case 28: look(world); break;
    case 29:
        if (take(&world->in) == 77) drain(world);
        break;
    }
}

/* ---- the end ---- */

static void fork_here(struct world *world)
{
    world_check_stats(world);
    world->forked = true;
    atomic_store_release(weir_process_word, 0);
    process_generation(); /* as the child's first call would */
    for (uint32_t i = 0; i < CALLERS; i++) {
        if (world->caller[i].call != NULL) caller_wake(world, &world->caller[i]);
        world_check_stats(world);
    }
}

static void finish(struct world *world)
{
    world->now_ns = world->clock_ns;
    if (world->most_ns < world->now_ns) world->most_ns = world->now_ns;
    for (uint32_t i = 0; i < PERMITS; i++) {
        give_permit(world, &world->permit[i], (struct weir_outcome) { .status = WEIR_OK });
        world_check(world);
    }
    bool busy = true;
    for (uint32_t rounds = 0; busy; rounds++) {
        MUST(rounds < 20000); /* every call ends */
        busy = false;
        for (struct caller *caller = world->caller; caller < world->caller + CALLERS; caller++) {
            if (caller->call == NULL) continue;
            busy = true;
            struct work *work = owed(caller, false);
            if (work != NULL) caller_settle(world, caller, work, (struct weir_outcome) { .status = WEIR_OK });
            else caller_wake(world, caller);
            world_check(world);
        }
        world->clock_ns += (1 + rounds) * WEIR_MS;
        choose_now(world, 0);
    }
}

static bool all_closed(const struct world *world)
{
    for (uint32_t i = 0; i < world->subjects; i++) {
        const struct subject *subject = &world->subject[i];
        if (subject->kind != POLICY_BREAKER) continue;
        if (weir_breaker_stats(subject->policy, world->now_ns).state != WEIR_BREAKER_CLOSED) return false;
    }
    return true;
}

/* A healthy callee and time: every breaker that a pipeline asks closes. */
static void heal(struct world *world)
{
    static const struct weir_outcome ok = { .status = WEIR_OK };
    for (uint32_t i = 0; i < world->subjects; i++)
        weir_policy_set_mode(world->subject[i].policy, WEIR_MODE_ON);
    for (uint32_t i = 0; i < 600 && !all_closed(world); i++) {
        world->clock_ns += 86400 * WEIR_S * (i % 2);
        choose_now(world, 0);
        for (uint32_t s = 0; s < world->subjects; s++) {
            struct subject *subject = &world->subject[s];
            struct weir_permit permit;
            if (subject->kind != POLICY_BREAKER) continue;
            struct weir_outcome outcome = weir_breaker_acquire_at(subject->policy, &permit, world->now_ns);
            if (outcome.status == WEIR_OK)
                weir_breaker_release_at(subject->policy, &permit, ok, world->now_ns);
        }
        world_check(world);
    }
    MUST(all_closed(world));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t own = thread_shard();
    struct world *world = calloc(1, sizeof *world);
    MUST(world != NULL);
    world->in = (struct bytes) { data, data + size };
    world->trace = getenv("WEIR_FUZZ_TRACE") != NULL;
    bool fork = take(&world->in) == 255;
    world->forks = fork;
    world_make(world);
    while (bytes_left(&world->in)) {
        operate(world);
        world_check(world);
    }
    if (fork) fork_here(world);
    finish(world);
    world_check_stats(world);
    if (!fork) MUST(world->debts == 0);
    heal(world);
    world_unmake(world);
    free(world);
    be_thread(own);
    return 0;
}
