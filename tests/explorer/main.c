#include "explorer/explorer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Instrumented code is several times slower: what is not exhausted by then counts as bounded. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCHEDULES_MAX 40000
#else
#define SCHEDULES_MAX 2000000
#endif

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool show(const struct scenario *scenario, const struct explore_options *options)
{
    double began = seconds();
    struct explore_result result = explore(scenario, options);
    char extent[48] = "exhausted";
    if (options->schedule != NULL) snprintf(extent, sizeof extent, "replayed");
    else if (!result.exhausted) snprintf(extent, sizeof extent, "first schedules only");
    else if (scenario->bound != 0 && !options->full) {
        snprintf(extent, sizeof extent, "exhausted up to %u preemptions", scenario->bound);
    }
    printf("%-32s %8" PRIu64 " schedules (%" PRIu64 " redundant), %9" PRIu64 " steps, %4" PRIu64
           " outcomes, %5.2f s, %s\n",
        scenario->name, result.schedules, result.redundant, result.steps, result.outcomes, seconds() - began,
        result.failed ? "FAILED" : extent);
    if (!result.failed) return true;
    printf(
        "  %s\n  replay: --scenario %s --schedule '%s'\n", result.failure, scenario->name, result.schedule);
    return false;
}

static int usage(const char *program)
{
    fprintf(stderr,
        "usage: %s [--list] [--scenario NAME] [--schedule STRING] [--trace] [--full] [--limit SCHEDULES]\n",
        program);
    return 2;
}

int explore_main(int argc, char **argv, const struct scenario *scenarios, size_t count)
{
    struct explore_options options = { .schedules_max = SCHEDULES_MAX };
    const char *only = NULL;
    bool list = false;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0) list = true;
        else if (strcmp(argv[i], "--full") == 0) options.full = true;
        else if (strcmp(argv[i], "--trace") == 0) options.trace = true;
        else if (next == NULL) return usage(argv[0]);
        else if (strcmp(argv[i], "--scenario") == 0) only = argv[++i];
        else if (strcmp(argv[i], "--schedule") == 0) options.schedule = argv[++i];
        else if (strcmp(argv[i], "--limit") == 0) options.schedules_max = strtoull(argv[++i], NULL, 10);
        else return usage(argv[0]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t ran = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (only != NULL && strcmp(only, scenarios[i].name) != 0) continue;
        ran++;
        if (list) puts(scenarios[i].name);
        else if (!show(&scenarios[i], &options)) failed++;
    }
    if (ran == 0) return usage(argv[0]);
    return failed == 0 ? 0 : 1;
}
