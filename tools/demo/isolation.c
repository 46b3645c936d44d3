/* Isolation: one pool of threads serves all paths, and one path becomes slow. In the original the others
 * waited for threads (p99 1.2 s) until each path got permits of its own (50, at most 3 s of waiting for one):
 * 86 ms. The permits are semaphores on the pool's own threads, so who waits for one holds a thread as well:
 * the line is bounded too. */
#include "incident.h"

#define ORIGINAL_BARE_MS 1200.0
#define ORIGINAL_GUARDED_MS 86.0
#define RATIO_WANTED 14
#define PERMITS 50
#define LINE 100 /* with the permits three quarters of the threads: the rest is the other paths' */
#define WAIT_NS (3 * WEIR_S)

static enum weir_error open_one(const char *name, struct weir_pipeline **pipeline)
{
    struct weir_policy *order[2] = { NULL };
    enum weir_error error = weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .name = name,
                                                     .limit = PERMITS, .queue = LINE, .wait_max_ns = WAIT_NS),
        &order[0]);
    if (!error)
        error = weir_timeout_create(
            WEIR_CONFIG(weir_timeout_config, .timeout_ns = INCIDENT_TIMEOUT_MS * WEIR_MS), &order[1]);
    if (!error)
        error = weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = name), order, 2, pipeline);
    for (int i = 0; i < 2; i++) weir_policy_release(order[i]);
    return error;
}

static enum weir_error open_pipelines(struct weir_pipeline *pipelines[KINDS])
{
    enum weir_error error = open_one("slow", &pipelines[ILL]);
    return error ? error : open_one("other", &pipelines[WELL]);
}

static size_t errors(const struct incident_figures *figures, enum incident_side side)
{
    return figures->of[side][WELL].calls - figures->of[side][WELL].fresh;
}

static void print_side(const char *name, const struct incident_figures *figures, enum incident_side side)
{
    const struct call_figures *slow = &figures->of[side][ILL], *other = &figures->of[side][WELL];
    printf("%-9s %9.1f %9.1f %9zu %9u %10zu %10zu", name, other->p50_ms, other->p99_ms, errors(figures, side),
        figures->held[side], slow->calls, slow->fresh);
}

static void print(const struct incident_figures *figures)
{
    const uint64_t *refused = figures->refused;
    printf("\nWhile one path of a service is slow:\n\n");
    printf("%-9s %29s %9s %43s\n", "", "the other paths  ", "threads", "the slow path            ");
    printf("%-9s %9s %9s %9s %9s %10s %10s %10s %10s\n", "", "p50 ms", "p99 ms", "errors", "held", "calls",
        "answered", "no permit", "no place");
    printf("%-9s %9s %9s %9s %9s %10s %10s %10s %10s\n", "", "", "", "", "", "", "", "after 3 s", "in line");
    print_side("bare", figures, INCIDENT_BARE);
    printf(" %10s %10s\n", "-", "-");
    print_side("guarded", figures, INCIDENT_GUARDED);
    printf(" %10llu %10llu\n", (unsigned long long)refused[WEIR_REASON_QUEUE_WAIT],
        (unsigned long long)refused[WEIR_REASON_QUEUE_FULL]);
    printf("%-9s %9s %9.0f %9s %9s\n", "original", "", ORIGINAL_BARE_MS, "", "");
    printf("%-9s %9s %9.0f %9s %9s\n", "isolated", "", ORIGINAL_GUARDED_MS, "", "");
    printf(
        "\nbare:     one pool of %u threads for all paths; curl_easy_perform with a timeout of %ld s.\n"
        "guarded:  the same pool and timeout, weir_curl_perform; for each path a bulkhead: %d permits, at\n"
        "          most %.0f s of waiting for one, at most %d in line.\n"
        "original: one pool for all; isolated by semaphores: 50 permits for a path, at most 3 s of waiting.\n"
        "Both: %u calls a second to the slow path, %u to the others (Poisson, the same schedule). Slow is\n"
        "an answer after about 2.5 s. Counted are calls that arrived meanwhile, time from their arrival;\n"
        "refusals, each of its own reason, of the whole run. errors: any answer but 200.\n",
        isolation.threads, INCIDENT_TIMEOUT_MS / 1000, PERMITS, (double)WAIT_NS / 1e9, LINE,
        isolation.per_s[ILL], isolation.per_s[WELL]);
}

static bool judge(const struct incident_figures *figures, FILE *file)
{
    double bare = figures->of[INCIDENT_BARE][WELL].p99_ms,
           guarded = figures->of[INCIDENT_GUARDED][WELL].p99_ms;
    size_t wrong = errors(figures, INCIDENT_GUARDED);
    uint64_t waited = figures->refused[WEIR_REASON_QUEUE_WAIT];
    bool good =
        goal(file, "guarded: p99 of the other paths, ms", guarded, guarded <= ORIGINAL_GUARDED_MS, "<= 86");
    good =
        goal(file, "bare p99 / guarded p99", bare / guarded, bare >= RATIO_WANTED * guarded, ">= 14") && good;
    good = goal(file, "guarded: errors on the other paths", (double)wrong, wrong == 0, "none") && good;
    good = goal(file, "guarded: refusals after the wait", (double)waited, waited > 0, "some") && good;
    return good;
}

const struct incident isolation = {
    .name = "isolation",
    .illness = "stalled",
    .per_s = { [ILL] = 100, [WELL] = 300 },
    .threads = 200,
    .deadline_ns = WEIR_NEVER,
    .open = open_pipelines,
    .print = print,
    .judge = judge,
};
