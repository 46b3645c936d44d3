/* The search: explorer.h says what it promises. */
#include "explorer/explorer.h"

#include "base/thread.h"
#include "explorer/fiber.h"
#include "explorer/search.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REGIONS_MAX = 16,
    SEEN_MAX = 48,
    SPINS = 5, /* the pump may come by each of two cells twice, and is not waiting */
    OUTCOMES_MAX = 4096,
    TOUCHED_MAX = 4096,
    PATH_END = STEPS_MAX
};

struct node explore_path[STEPS_MAX];
void *explore_worlds[WORLDS_MAX];

static struct virtual_thread {
    struct weir_thread local;
    const volatile void *word; /* of the access it is about to make */
    const void *place;
    const uint32_t *awaits;
    bool over, spinning;
    uint32_t seen; /* places it came by since a word that it saw there has changed */
    struct {
        const volatile void *word;
        const void *place;
        uint32_t times;
    } at[SEEN_MAX];
    uint32_t clock[EXPLORE_THREADS_MAX];
} threads[EXPLORE_THREADS_MAX];

static struct {
    char *start, *image;
    size_t size;
} regions[REGIONS_MAX];
static uint32_t region_count;

static const struct scenario *scenario;
static const struct explore_options *options;
static struct explore_result result;
static uint64_t outcomes[OUTCOMES_MAX];
static struct virtual_thread *current; /* NULL: the scheduler, setting up or checking */
static uint32_t depth, prefix, kept;   /* steps done, to be repeated, and worth keeping */

/* Who ever touched a word, over all schedules. */
static struct {
    const volatile void *word;
    uint32_t by;
} touched[TOUCHED_MAX];
static bool shared_late;

static uint32_t bit(uint32_t thread)
{
    return 1u << thread;
}

/* ---- what a scenario calls ---- */

void explore_region(void *start, size_t size, const char *name)
{
    static uint32_t count;
    if (region_count == REGIONS_MAX || count == WORLDS_MAX) abort();
    explore_worlds[count++] = start;
    regions[region_count].start = start;
    regions[region_count].size = size;
    regions[region_count++].image = malloc(size);
    trace_region(start, size, name);
}

const struct scenario *explore_scenario(void)
{
    return scenario;
}

static void leave(const volatile void *word, const void *place, const uint32_t *awaits)
{
    current->word = word;
    current->place = place;
    current->awaits = awaits;
    fiber_leave();
}

__attribute__((noinline)) void weir_explore_point(const volatile void *word)
{
    if (current != NULL) leave(word, __builtin_return_address(0), NULL);
}

__attribute__((noinline)) void explore_await(uint32_t *flag)
{
    leave(flag, __builtin_return_address(0), flag);
    *flag = 0;
}

__attribute__((noinline)) void explore_post(uint32_t *flag)
{
    if (current != NULL) leave(flag, __builtin_return_address(0), NULL);
    *flag = 1;
}

void explore_progress(void)
{
    if (current != NULL) current->seen = 0;
}

void explore_outcome(uint64_t digest)
{
    for (uint64_t i = 0; i < result.outcomes; i++) {
        if (outcomes[i] == digest) return;
    }
    if (result.outcomes == OUTCOMES_MAX) abort();
    outcomes[result.outcomes++] = digest;
    uint64_t z = (digest ^ (digest >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    result.digest += (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
}

void explore_fail(const char *format, ...)
{
    if (!result.failed) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(result.failure, sizeof result.failure, format, arguments);
        va_end(arguments);
        result.failed = true;
    }
    while (current != NULL) fiber_leave();
}

/* ---- one step ---- */

/* The eight bytes in which a change would show; a word of four may have a neighbour or not. */
__attribute__((no_sanitize_address)) static uint64_t peek(const volatile void *word)
{
    if ((uintptr_t)word % 8 == 0) return *(const volatile uint64_t *)word;
    return *(const volatile uint32_t *)word;
}

void fiber_body(uint32_t index)
{
    scenario->run(index);
    threads[index].over = true;
}

static void run_thread(uint32_t index)
{
    struct weir_thread mine = weir_thread;
    current = &threads[index];
    weir_thread = current->local;
    fiber_go(index);
    current->local = weir_thread;
    current = NULL;
    weir_thread = mine;
}

static bool is_enabled(const struct virtual_thread *thread)
{
    if (thread->over || thread->spinning) return false;
    return thread->awaits == NULL || *thread->awaits != 0;
}

static uint32_t enabled_mask(uint32_t *alive)
{
    uint32_t mask = 0;
    *alive = 0;
    for (uint32_t i = 0; i < scenario->threads; i++) {
        if (!threads[i].over) *alive |= bit(i);
        if (is_enabled(&threads[i])) mask |= bit(i);
    }
    return mask;
}

/* The thread has come to its next access: has it been here before, and nothing has changed since? */
static void arrive(struct virtual_thread *thread)
{
    if (thread->over || thread->awaits != NULL) return;
    for (uint32_t i = 0; i < thread->seen; i++) {
        if (thread->at[i].word != thread->word || thread->at[i].place != thread->place) continue;
        thread->spinning = ++thread->at[i].times > SPINS;
        if (thread->spinning && scenario->never_waits) explore_fail("a thread waits for another");
        return;
    }
    if (thread->seen == SEEN_MAX) thread->seen = 0;
    thread->at[thread->seen].word = thread->word;
    thread->at[thread->seen].place = thread->place;
    thread->at[thread->seen++].times = 1;
}

static void note_change(uint32_t by, const volatile void *word)
{
    for (uint32_t i = 0; i < scenario->threads; i++) {
        struct virtual_thread *thread = &threads[i];
        bool saw = i == by;
        for (uint32_t j = 0; j < thread->seen; j++) saw |= thread->at[j].word == word;
        if (!saw) continue;
        thread->seen = 0;
        thread->spinning = false;
    }
}

/* Its mask of threads. */
static uint32_t *touchers(const volatile void *word)
{
    uint32_t at = (uint32_t)((uintptr_t)word / 4 * UINT64_C(2654435761) % TOUCHED_MAX);
    while (touched[at].word != word && touched[at].word != NULL) at = (at + 1) % TOUCHED_MAX;
    touched[at].word = word;
    return &touched[at].by;
}

static void touch(const volatile void *word, uint32_t thread)
{
    uint32_t *by = touchers(word);
    if ((*by & bit(thread)) != 0) return;
    if (*by != 0) shared_late = true;
    *by |= bit(thread);
}

static void take_step(struct node *node)
{
    struct virtual_thread *thread = &threads[node->thread];
    struct access *access = &node->access;
    access->word = thread->word;
    access->place = thread->place;
    access->before = peek(access->word);
    touch(access->word, node->thread);
    run_thread(node->thread);
    access->after = peek(access->word);
    access->changed = access->before != access->after;
    if (access->changed) note_change(node->thread, access->word);
    arrive(thread);
    node->known[node->thread].word = access->word;
    node->known[node->thread].changed = access->changed;
    result.steps++;
}

/* ---- the choices ---- */

static bool reduced(void)
{
    return !options->full && scenario->bound == 0;
}

static bool is_dependent(const struct access *a, const volatile void *word, bool changed)
{
    return a->word == word && (a->changed || changed);
}

static void want(struct node *node, uint32_t thread)
{
    if ((node->enabled & bit(thread)) != 0) node->wanted |= (uint8_t)bit(thread);
    else node->wanted |= node->enabled;
}

/* Whoever did something dependent without being known to come before: there the other order is wanted too. */
static void find_races(uint32_t index, bool want_them)
{
    struct node *new = &explore_path[index];
    uint32_t *clock = threads[new->thread].clock;
    memcpy(new->clock, clock, sizeof new->clock);
    for (uint32_t i = index; i-- > 0;) {
        struct node *old = &explore_path[i];
        if (old->thread == new->thread) continue;
        if (!is_dependent(&old->access, new->access.word, new->access.changed)) continue;
        if (want_them && i + 1 > clock[old->thread]) want(old, new->thread);
        for (uint32_t t = 0; t < EXPLORE_THREADS_MAX; t++) {
            if (old->clock[t] > new->clock[t]) new->clock[t] = old->clock[t];
        }
    }
    new->clock[new->thread] = index + 1;
    memcpy(clock, new->clock, sizeof new->clock);
}

/* Who sleeps after the parent's step: what they would do was explored before it, and commutes with it. */
static uint8_t inherit_sleep(const struct node *parent, struct node *child)
{
    uint32_t candidates = (parent->asleep | parent->explored) & ~bit(parent->thread), asleep = 0;
    for (; candidates != 0; candidates &= candidates - 1) {
        uint32_t t = (uint32_t)__builtin_ctz(candidates);
        if (is_dependent(&parent->access, parent->known[t].word, parent->known[t].changed)) continue;
        child->known[t] = parent->known[t];
        asleep |= bit(t);
    }
    return (uint8_t)asleep;
}

static bool is_preemption(const struct node *node, uint32_t thread)
{
    if (node == explore_path) return false;
    uint32_t last = (node - 1)->thread;
    return last != thread && (node->enabled & bit(last)) != 0;
}

/* Nobody else ever comes to the word it is at: to go on with that commutes with whatever the others do. If somebody
 * does later, the search begins anew. */
static bool is_private(uint32_t thread)
{
    return !options->full && (*touchers(threads[thread].word) & ~bit(thread)) == 0;
}

static void open_node(struct node *node, uint32_t enabled)
{
    const struct node *parent = node == explore_path ? NULL : node - 1;
    node->enabled = (uint8_t)enabled;
    node->explored = node->asleep = 0;
    node->preemptions = 0;
    if (parent != NULL) {
        node->preemptions = (uint8_t)(parent->preemptions + is_preemption(parent, parent->thread));
        if (reduced()) node->asleep = inherit_sleep(parent, node);
    }
    uint32_t choice = enabled & ~(uint32_t)node->asleep;
    if (choice == 0) { /* every way on from here is explored elsewhere: end it, for its threads' sake */
        choice = enabled;
        if (kept == PATH_END) kept = depth;
    }
    bool stay = parent != NULL && (choice & bit(parent->thread)) != 0;
    node->thread = stay ? parent->thread : (uint8_t)__builtin_ctz(choice);
    node->wanted =
        reduced() || (stay && is_private(node->thread)) ? (uint8_t)bit(node->thread) : node->enabled;
}

/* The deepest choice that is still open. */
static bool next_path(void)
{
    if (shared_late && !reduced()) {
        shared_late = false;
        prefix = 0;
        return true;
    }
    if (kept < depth) depth = kept;
    for (; depth > 0; depth--) {
        struct node *node = &explore_path[depth - 1];
        uint32_t left = node->wanted & ~(uint32_t)(node->explored | node->asleep);
        for (; left != 0; left &= left - 1) {
            uint32_t thread = (uint32_t)__builtin_ctz(left);
            bool free = scenario->bound == 0 || options->full || !is_preemption(node, thread);
            if (!free && node->preemptions >= scenario->bound) continue;
            node->thread = (uint8_t)thread;
            prefix = depth;
            return true;
        }
    }
    return false;
}

/* ---- one schedule ---- */

static void begin_schedule(void)
{
    for (uint32_t i = 0; i < region_count; i++) memcpy(regions[i].start, regions[i].image, regions[i].size);
    memset(threads, 0, sizeof threads);
    for (uint32_t i = 0; i < scenario->threads; i++) {
        threads[i].local.shard = scenario->shared_line ? SHARDS + 1 : i + 1;
        run_thread(i);
        arrive(&threads[i]);
    }
    depth = 0;
    kept = PATH_END;
}

static void say_stuck(uint32_t alive)
{
    char text[128] = "";
    for (uint32_t i = 0; i < scenario->threads; i++) {
        if ((alive & bit(i)) == 0) continue;
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, " %u %s", i, threads[i].spinning ? "spins" : "sleeps");
    }
    explore_fail("nobody can go on:%s", text);
}

static void run_schedule(void)
{
    uint32_t alive;
    begin_schedule();
    while (!result.failed) {
        uint32_t enabled = enabled_mask(&alive);
        if (alive == 0) break;
        if (enabled == 0) say_stuck(alive);
        if (depth == STEPS_MAX) explore_fail("more than %d steps: it does not end", STEPS_MAX);
        if (result.failed) break;
        struct node *node = &explore_path[depth];
        if (depth >= prefix) open_node(node, enabled);
        else if (node->enabled != enabled) explore_fail("not repeatable: another choice in step %u", depth);
        if (result.failed) break;
        take_step(node);
        node->explored |= (uint8_t)bit(node->thread);
        if (reduced()) find_races(depth, depth + 1 >= prefix && kept == PATH_END);
        depth++;
        if (scenario->step != NULL) scenario->step();
    }
    if (!result.failed && scenario->end != NULL) scenario->end();
    result.schedules++;
    if (kept != PATH_END) result.redundant++;
}

/* "0*3 1 0*7": who goes on, for how many steps. */
static void read_schedule(const char *text)
{
    for (prefix = 0; *text != '\0';) {
        char *rest;
        unsigned long thread = strtoul(text, &rest, 10), times = 1;
        if (*rest == '*') times = strtoul(rest + 1, &rest, 10);
        if (rest == text || thread >= scenario->threads) break;
        for (; times > 0 && prefix < STEPS_MAX; times--) explore_path[prefix++].thread = (uint8_t)thread;
        for (text = rest; *text == ' ' || *text == ',';) text++;
    }
}

static void replay(void)
{
    read_schedule(options->schedule);
    uint32_t alive, given = prefix;
    begin_schedule();
    for (uint32_t enabled; !result.failed && (enabled = enabled_mask(&alive), alive != 0); depth++) {
        struct node *node = &explore_path[depth];
        if (enabled == 0) say_stuck(alive);
        if (result.failed) break;
        bool told = depth < given && (enabled & bit(node->thread)) != 0;
        uint8_t choice = node->thread;
        open_node(node, enabled);
        if (told) node->thread = choice;
        take_step(node);
        if (scenario->step != NULL) scenario->step();
    }
    if (!result.failed && scenario->end != NULL) scenario->end();
    result.schedules++;
}

/* An assertion of the library's own: say which schedule it was. */
static void on_signal(int number)
{
    char schedule[sizeof result.schedule];
    signal(number, SIG_DFL);
    trace_schedule(schedule, sizeof schedule, depth + 1);
    trace_print(depth + 1);
    printf(
        "%s: signal %d\n  --scenario %s --schedule '%s'\n", scenario->name, number, scenario->name, schedule);
    fflush(stdout);
    raise(number);
}

struct explore_result explore(const struct scenario *what, const struct explore_options *how)
{
    scenario = what;
    options = how;
    result = (struct explore_result) { 0 };
    region_count = prefix = 0;
    trace_forget_regions();
    signal(SIGABRT, on_signal);
    memset(explore_path, 0, sizeof explore_path);
    memset(touched, 0, sizeof touched);
    shared_late = false;
    atomic_or_acq_rel(&weir_shards_ever, bit(EXPLORE_THREADS_MAX) - 1);
    scenario->create();
    for (uint32_t i = 0; i < region_count; i++) memcpy(regions[i].image, regions[i].start, regions[i].size);
    if (options->schedule != NULL) {
        replay();
    } else {
        do run_schedule();
        while (!result.failed && next_path() && result.schedules < options->schedules_max);
        result.exhausted = !result.failed && depth == 0;
    }
    trace_schedule(result.schedule, sizeof result.schedule, depth);
    if (options->trace || (result.failed && !options->quiet)) trace_print(depth);
    for (uint32_t i = 0; i < scenario->threads; i++) fiber_reset(i);
    for (uint32_t i = 0; i < region_count; i++) free(regions[i].image);
    signal(SIGABRT, SIG_DFL);
    return result;
}
