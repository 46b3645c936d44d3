/* The avalanche: one dependency of two hangs, and takes all threads of the service along. In the original a
 * breaker without a failure-rate condition never opened: 387 threads waited, and payments, which had nothing
 * to do with it, went down too. */
#include "incident.h"

#define ORIGINAL_WAITING 387
#define PERMITS 64                 /* the preset's */
#define DEADLINE_NS WEIR_S         /* the preset's */
#define RESERVE_NS (150 * WEIR_MS) /* of it, for the fallback */

/* What the service says instead; here only the mark that it is not fresh counts. */
static struct weir_outcome stand_in(void *argument, const struct weir_attempt *attempt)
{
    (void)argument, (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* The preset, and a fallback just inside of its deadline. */
static enum weir_error open_with_fallback(const char *name, struct weir_pipeline **pipeline)
{
    struct weir_policy *fallback;
    enum weir_error error = weir_fallback_create(
        WEIR_CONFIG(weir_fallback_config, .function = stand_in, .reserve_ns = RESERVE_NS), &fallback);
    if (error) return error;
    error = weir_pipeline_standard(
        WEIR_CONFIG(weir_standard_config, .name = name, .fallback = fallback), pipeline);
    weir_policy_release(fallback);
    return error;
}

static enum weir_error open_pipelines(struct weir_pipeline *pipelines[KINDS])
{
    enum weir_error error = open_with_fallback("ill", &pipelines[ILL]);
    if (!error)
        error = weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "well"), &pipelines[WELL]);
    return error;
}

static void print_side(const char *name, const struct incident_figures *figures, enum incident_side side)
{
    const struct call_figures *ill = &figures->of[side][ILL], *well = &figures->of[side][WELL];
    printf("%-9s %9u %12.2f %12.2f %12.2f %12.2f\n", name, figures->waiting[side],
        percent(ill->fresh + well->fresh, ill->calls + well->calls), percent(ill->answered, ill->calls),
        percent(well->fresh, well->calls), well->p99_ms);
}

static void print(const struct incident_figures *figures)
{
    printf("\nWhile one dependency of two hangs:\n\n");
    printf("%-9s %9s %12s %12s %12s %12s\n", "", "threads", "all calls", "hanging one", "healthy one", "p99");
    printf("%-9s %9s %12s %12s %12s %12s\n", "", "waiting", "fresh, %", "answered, %", "fresh, %", "ms");
    print_side("bare", figures, INCIDENT_BARE);
    print_side("guarded", figures, INCIDENT_GUARDED);
    printf(
        "%-9s %9d %12s %12s %12s %12s\n", "original", ORIGINAL_WAITING, "99.99 to 23", "-", "dragged", "-");
    printf(
        "\nbare:     curl_easy_perform with a timeout of %ld s, as many clients come with.\n"
        "guarded:  weir_curl_perform, weir_pipeline_standard() for each dependency, nothing configured;\n"
        "          around the hanging one a fallback, for which the last %d ms of the deadline are kept.\n"
        "original: a breaker without a failure-rate condition never opened; payments was dragged down too.\n"
        "Both: a pool of %u threads for all, %u calls a second to the hanging one, %u to the healthy one\n"
        "(Poisson, the same schedule), an answer is wanted %.0f s after arrival. Counted are the calls that\n"
        "arrived while it hung. answered: by then, fresh (200) or marked as a stand-in; fresh: 200 by then.\n"
        "threads waiting: for an answer of the hanging one, most at once; its pipeline has %d permits.\n",
        INCIDENT_TIMEOUT_MS / 1000, (int)(RESERVE_NS / WEIR_MS), avalanche.threads, avalanche.per_s[ILL],
        avalanche.per_s[WELL], (double)DEADLINE_NS / 1e9, PERMITS);
}

static bool judge(const struct incident_figures *figures, FILE *file)
{
    const struct call_figures *ill = &figures->of[INCIDENT_GUARDED][ILL];
    const struct call_figures *well = &figures->of[INCIDENT_GUARDED][WELL];
    unsigned bare = figures->waiting[INCIDENT_BARE], guarded = figures->waiting[INCIDENT_GUARDED];
    double answered = percent(ill->answered, ill->calls), fresh = percent(well->fresh, well->calls);
    bool good = goal(file, "bare: threads waiting", bare, bare >= ORIGINAL_WAITING, "387: no avalanche came");
    good = goal(file, "guarded: threads waiting", guarded, guarded <= PERMITS, "at most 64") && good;
    good = goal(file, "guarded: % answered by the deadline", answered, answered >= 99.9, ">= 99.9") && good;
    good = goal(file, "guarded: % fresh of the healthy one", fresh, fresh >= 99.99, ">= 99.99") && good;
    return good;
}

const struct incident avalanche = {
    .name = "avalanche",
    .illness = "silent",
    .per_s = { [ILL] = 150, [WELL] = 300 },
    .threads = 400,
    .deadline_ns = DEADLINE_NS,
    .open = open_pipelines,
    .print = print,
    .judge = judge,
};
