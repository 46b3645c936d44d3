/* Row 5, chaos: a run repeats exactly by its seed, and a path that does not come back whole is named. */
#include "lessons/claim.h"

#include <weir/weir.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

static void must(enum weir_error error)
{
    if (error == WEIR_E_NONE) return;
    printf("%s", weir_error_text());
    exit(1);
}

/* A path of a service: a bulkhead of its own, a retry, a chaos innermost; all by the real clock. */
struct path {
    const char *name;
    bool leaks; /* the planted bug: what it takes before the call is kept when that fails */
    struct weir_policy *bulkhead, *connections, *chaos;
    struct weir_pipeline *pipeline;
};

static void open_path(struct path *path, uint64_t seed)
{
    struct weir_policy *retry;
    must(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = 2, .base_ns = WEIR_US,
                               .max_ns = WEIR_US, .backoff = WEIR_BACKOFF_CONSTANT),
        &retry));
    must(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1000), &path->bulkhead));
    must(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1000000), &path->connections));
    must(weir_chaos_create(
        WEIR_CONFIG(weir_chaos_config, .seed = seed, .latency_ppm = 2000, .error_ppm = 50000,
            .result_ppm = 50000, .lost_ppm = 2000, .latency_min_ns = WEIR_US, .latency_max_ns = 50 * WEIR_US,
            .lost_max_ns = WEIR_MS),
        &path->chaos));
    struct weir_policy *order[] = { retry, path->bulkhead, path->chaos };
    must(weir_pipeline_create(
        WEIR_CONFIG(weir_pipeline_config, .name = path->name), order, 3, &path->pipeline));
    weir_policy_release(retry);
}

static void close_path(struct path *path)
{
    weir_pipeline_destroy(path->pipeline);
    weir_policy_release(path->bulkhead);
    weir_policy_release(path->chaos);
}

static struct weir_outcome work(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* One call of it: a connection is taken, used and given back. */
static struct weir_outcome use(struct path *path, bool idempotent)
{
    struct weir_permit permit;
    if (weir_bulkhead_acquire(path->connections, 1, &permit).status != WEIR_OK) exit(1);
    struct weir_outcome outcome =
        weir_run(path->pipeline, WEIR_CONFIG(weir_call_options, .idempotent = idempotent), work, NULL);
    if (outcome.status == WEIR_OK || !path->leaks) weir_bulkhead_release(path->connections, &permit);
    return outcome;
}

/* ---- the same seed ---- */

#define CALLS 20000

static uint64_t outcome_word(struct weir_outcome outcome)
{
    return outcome.status | (uint64_t)outcome.reason << 8 | (uint64_t)outcome.by << 16 |
        (uint64_t)outcome.flags << 24 | (uint64_t)(uint32_t)outcome.code << 32;
}

/* Every outcome of a run on one thread. */
static uint64_t *run_alone(uint64_t seed)
{
    struct path path = { .name = "alone" };
    uint64_t *words = malloc(CALLS * sizeof *words);
    open_path(&path, seed);
    for (int i = 0; i < CALLS; i++) words[i] = outcome_word(use(&path, false));
    close_path(&path);
    weir_policy_release(path.connections);
    return words;
}

static uint32_t differing(const uint64_t *left, const uint64_t *right)
{
    uint32_t count = 0;
    for (int i = 0; i < CALLS; i++) count += left[i] != right[i];
    return count;
}

static void *call_it(void *path)
{
    for (int i = 0; i < CALLS / 4; i++) (void)use(path, false);
    return NULL;
}

/* Four real threads on one pipeline: what was injected, by kind. */
static struct weir_chaos_stats run_together(uint64_t seed)
{
    struct path path = { .name = "together" };
    pthread_t thread[4];
    open_path(&path, seed);
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&thread[i], NULL, call_it, &path) != 0) exit(1);
    }
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    struct weir_chaos_stats stats = weir_chaos_stats(path.chaos);
    close_path(&path);
    weir_policy_release(path.connections);
    return stats;
}

static bool repeats(uint32_t *others)
{
    uint64_t *first = run_alone(5), *second = run_alone(5), *other = run_alone(6);
    uint32_t unlike = differing(first, second);
    *others = differing(first, other);
    free(first);
    free(second);
    free(other);
    bool same = unlike == 0 && *others > 0;
    for (int round = 0; round < 3; round++) {
        struct weir_chaos_stats one = run_together(5), two = run_together(5);
        same &= memcmp(one.injected, two.injected, sizeof one.injected) == 0 && one.calls == CALLS;
    }
    return same;
}

/* ---- who does not come back whole ---- */

/* After the chaos: all is given back, or the path is named. */
static const char *not_whole(const struct path *path)
{
    bool whole = weir_pipeline_stats(path->pipeline).in_flight == 0 &&
        weir_bulkhead_stats(path->bulkhead).in_use == 0 &&
        weir_bulkhead_stats(path->connections).in_use == 0 && weir_chaos_stats(path->chaos).held == 0;
    return whole ? NULL : path->name;
}

/* The path that was named, if it is one; the last reference to what has leaked is kept, so that nothing aborts. */
static const char *named(bool planted)
{
    struct path paths[] = { { .name = "search" }, { .name = "cart", .leaks = planted }, { .name = "pay" } };
    const char *name = NULL;
    uint32_t names = 0;
    for (int i = 0; i < 3; i++) open_path(&paths[i], 5);
    for (int i = 0; i < 3000; i++) (void)use(&paths[i % 3], i % 2 == 0);
    for (int i = 0; i < 3; i++) {
        weir_chaos_set_enabled(paths[i].chaos, false);
        const char *found = not_whole(&paths[i]);
        if (found != NULL) names++;
        if (found != NULL) name = found;
        close_path(&paths[i]);
        if (found == NULL) weir_policy_release(paths[i].connections);
    }
    return names > 1 ? "several" : name;
}

static bool chaos(void)
{
    uint32_t others;
    bool same = repeats(&others);
    const char *sound = named(false), *leaky = named(true);
    printf("%d calls of 2 runs %s, of another seed %" PRIu32
           " differ; totals of 4 threads the same 3 times of 3; "
           "named: %s of 3 sound paths, \"%s\" where \"cart\" leaks",
        CALLS, same ? "the same" : "DIFFER", others, sound == NULL ? "none" : sound,
        leaky == NULL ? "none" : leaky);
    return same && sound == NULL && leaky != NULL && strcmp(leaky, "cart") == 0;
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "chaos", chaos } };
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
