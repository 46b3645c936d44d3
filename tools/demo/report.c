#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEADLINE_MS ((double)DEADLINE_NS / 1e6)
#define GRACE_MS ((double)GRACE_NS / 1e6)

static const char *const state_names[4] = { "closed", "open", "half_open", "ramp" };

static void print_side(const char *phase, const char *side, const struct side_figures *figures)
{
    printf("%-8s %-8s %9.1f %9.1f %9.1f %9llu %7zu", phase, side, figures->goodput, figures->of.p50_ms,
        figures->of.p99_ms, (unsigned long long)figures->origin_calls, figures->of.stuck);
}

void report_table(const struct phase_figures figures[PHASES])
{
    printf("\n%-8s %-8s %9s %9s %9s %9s %7s   %-27s %9s\n", "", "", "goodput", "p50", "p99", "origin", "",
        "breaker, seconds in", "recovered");
    printf("%-8s %-8s %9s %9s %9s %9s %7s   %6s %6s %6s %6s %9s\n", "phase", "load", "per s", "ms", "ms",
        "calls", "stuck", "closed", "open", "half", "ramp", "after s");
    for (int phase = 0; phase < PHASES; phase++) {
        const struct phase_figures *figure = &figures[phase];
        print_side(phase_names[phase], "bare", &figure->bare);
        putchar('\n');
        print_side("", "guarded", &figure->guarded);
        printf("  ");
        for (int state = 0; state < 4; state++) printf(" %6.2f", figure->states.seconds[state]);
        if (isnan(figure->recover_s)) printf(" %9s\n", "-");
        else printf(" %9.2f\n", figure->recover_s);
    }
    printf("\n%s\n", bare_footer);
    guarded_footer();
    printf(
        "Both: %d calls a second (Poisson, the same schedule), %d threads, an answer is wanted "
        "%.0f ms after arrival.\n"
        "goodput: answers 200 within that; p50, p99: until the caller had any answer; "
        "stuck: none %.0f ms after that.\n"
        "origin calls: requests counted by the origin; while gone: connections attempted.\n"
        "recovered: from when on the guarded calls were answered in time as in healthy, at 90 %% or more.\n",
        CALLS_PER_S, WORKERS, DEADLINE_MS, GRACE_MS);
}

static void write_side(FILE *file, const struct side_figures *figures)
{
    fprintf(file,
        "{\"goodput\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"origin_calls\": %llu, "
        "\"stuck\": %zu",
        figures->goodput, figures->of.p50_ms, figures->of.p99_ms, (unsigned long long)figures->origin_calls,
        figures->of.stuck);
}

static void write_phase(FILE *file, const char *name, const struct phase_figures *figures)
{
    fprintf(file, "  {\"name\": \"%s\", \"seconds\": %.3f,\n   \"bare\": ", name, figures->seconds);
    write_side(file, &figures->bare);
    fprintf(file, "},\n   \"guarded\": ");
    write_side(file, &figures->guarded);
    fprintf(file, ", \"states\": {");
    for (int state = 0; state < 4; state++)
        fprintf(
            file, "%s\"%s\": %.3f", state ? ", " : "", state_names[state], figures->states.seconds[state]);
    if (isnan(figures->recover_s)) fprintf(file, "}},\n   \"recover_s\": null}");
    else fprintf(file, "}},\n   \"recover_s\": %.2f}", figures->recover_s);
}

bool report_json(const struct phase_figures figures[PHASES], const char *path)
{
    FILE *file = fopen(path, "w");
    bool written = file;
    if (file) {
        fprintf(file, "{\"phases\": [\n");
        for (int phase = 0; phase < PHASES; phase++) {
            write_phase(file, phase_names[phase], &figures[phase]);
            fprintf(file, phase + 1 < PHASES ? ",\n" : "\n");
        }
        fprintf(file, "]}\n");
        written = !ferror(file);
        written = fclose(file) == 0 && written;
    }
    if (!written) fprintf(stderr, "weir-demo: cannot write %s: %s\n", path, strerror(errno));
    return written;
}

/* The goals, in every phase:
 * goodput  not lower than bare's. In healthy and back, where there is nothing to gain, at least 97 % of it: once
 *          the origin is back, whoever hammers it all the time notices first, and weir when it next asks.
 * p99      every caller has an answer by the deadline and its grace.
 * recovery within twice the time that the breaker refuses before it asks again, once the origin is there. */
#define EVEN 0.97

static bool judge(enum phase phase, const struct phase_figures *figures)
{
    const struct side_figures *bare = &figures->bare, *guarded = &figures->guarded;
    double share = phase == HEALTHY || phase == BACK ? EVEN : 1, open_s = guard_open_s();
    bool good = true;
    if ((double)guarded->of.fresh < share * (double)bare->of.fresh) {
        printf("FAILED %s: goodput: %.1f a second guarded, %.1f bare, expected at least %.0f %% of it\n",
            phase_names[phase], guarded->goodput, bare->goodput, share * 100);
        good = false;
    }
    if (guarded->of.p99_ms > DEADLINE_MS + GRACE_MS) {
        printf("FAILED %s: p99: %.1f ms guarded, expected at most %.0f ms\n", phase_names[phase],
            guarded->of.p99_ms, DEADLINE_MS + GRACE_MS);
        good = false;
    }
    if (phase == BACK && !(figures->recover_s <= 2 * open_s)) { /* NAN: it never did */
        printf("FAILED %s: recovery: after %.2f s, expected at most %.2f s\n", phase_names[phase],
            figures->recover_s, 2 * open_s);
        good = false;
    }
    return good;
}

bool report_verdict(const struct phase_figures figures[PHASES])
{
    bool good = true;
    for (enum phase phase = HEALTHY; phase < PHASES; phase++) good = judge(phase, &figures[phase]) && good;
    if (good)
        printf("\nIn every phase: goodput at least that of bare (97 %% in healthy and back), p99 at most "
               "%.0f ms;\n"
               "recovered within %.2f s.\n",
            DEADLINE_MS + GRACE_MS, 2 * guard_open_s());
    return good;
}
