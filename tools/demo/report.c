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
    printf("\n%s\n%s\n"
           "Both: %d calls a second (Poisson, the same schedule), %d threads, an answer is wanted "
           "%.0f ms after arrival.\n"
           "goodput: answers 200 within that; p50, p99: until the caller had any answer; "
           "stuck: none %.0f ms after that.\n"
           "origin calls: requests counted by the origin; while gone: connections attempted.\n"
           "recovered: from when on the guarded goodput stayed at 90 %% of healthy.\n",
        bare_footer, guarded_footer, CALLS_PER_S, WORKERS, DEADLINE_MS, GRACE_MS);
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

/* How far two counts out of `calls` may lie apart by chance: three standard deviations of their
 * difference, and 1 % of the calls, as a machine with other work may delay some of a side. */
static double tolerance(size_t calls, size_t left, size_t right)
{
    double rate = calls ? (double)(left + right) / (2 * (double)calls) : 0;
    return 3 * sqrt(2 * (double)calls * rate * (1 - rate)) + 0.01 * (double)calls;
}

/* The rules, for the phases that hurt:
 * goodput  not lower than bare's, beyond the tolerance. Once the origin is back, whoever hammers it
 *          all the time notices first; weir asks when its breaker's time is over. Those calls are
 *          the price of leaving a dead origin alone: allowed are as many as its times explain.
 * p99      not higher than bare's, unless within the deadline and its grace: in time is in time.
 * stuck    not more than bare's, beyond the tolerance.
 * recovery of the guarded load within the last phase. */
static bool judge(enum phase phase, const struct phase_figures *figures)
{
    const struct side_figures *bare = &figures->bare, *guarded = &figures->guarded;
    bool good = true;
    double allowed = tolerance(bare->of.calls, bare->of.fresh, guarded->of.fresh);
    if (phase == BACK) allowed += guard_return_s() * CALLS_PER_S;
    if ((double)guarded->of.fresh + allowed < (double)bare->of.fresh) {
        printf("FAILED %s: goodput: %zu fresh answers guarded, %zu bare, %.0f fewer are allowed\n",
            phase_names[phase], guarded->of.fresh, bare->of.fresh, allowed);
        good = false;
    }
    if (guarded->of.p99_ms > bare->of.p99_ms && guarded->of.p99_ms > DEADLINE_MS + GRACE_MS) {
        printf("FAILED %s: p99: %.1f ms guarded, %.1f ms bare\n", phase_names[phase], guarded->of.p99_ms,
            bare->of.p99_ms);
        good = false;
    }
    allowed = tolerance(bare->of.calls, bare->of.stuck, guarded->of.stuck);
    if ((double)guarded->of.stuck > (double)bare->of.stuck + allowed) {
        printf("FAILED %s: stuck: %zu calls guarded, %zu bare, %.0f more are allowed\n", phase_names[phase],
            guarded->of.stuck, bare->of.stuck, allowed);
        good = false;
    }
    if (phase == BACK && isnan(figures->recover_s)) {
        printf("FAILED %s: recovery: guarded goodput did not come back to 90 %% of healthy\n",
            phase_names[phase]);
        good = false;
    }
    return good;
}

bool report_verdict(const struct phase_figures figures[PHASES])
{
    bool good = true;
    for (enum phase phase = ERRORS; phase < PHASES; phase++) good = judge(phase, &figures[phase]) && good;
    if (good)
        printf("\nGuarded passed the rules of every phase that hurts (tools/demo/report.c), and recovered by "
               "itself.\n");
    return good;
}
