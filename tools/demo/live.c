#include "live.h"

#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_NS UINT64_C(200000000)
#define RATE_S 1.0 /* goodput is that of the calls of so long a time */
#define P99_S 10.0 /* p99 that of the phase so far, at most so long */
enum { BAR = 24, LOADS_LINES = 3 };

static bool on_terminal(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

/* https://no-color.org: any value but the empty one. */
static const char *colour(const char *code)
{
    const char *none = getenv("NO_COLOR");
    return none && *none ? "" : code;
}

void live_begin(const struct live_view *view)
{
    if (!on_terminal())
        fprintf(stderr, "%d/%d %s ...\n", (int)view->phase + 1, PHASES, phase_names[view->phase]);
}

static void show_load(
    const char *name, const struct load *load, const char *code, double from_s, double now_s)
{
    double late_s = (double)DEADLINE_NS / 1e9; /* calls that are younger may still be answered in time */
    struct span rate = { now_s - late_s - RATE_S, now_s - late_s, 0, DEADLINE_NS };
    struct span recent = { from_s, now_s, 0, DEADLINE_NS };
    struct call_figures figures = { 0 };
    char bar[BAR + 1] = "";
    double goodput = measure_goodput(load, rate);
    (void)measure_calls(load, recent, &figures);
    int filled = (int)(goodput / CALLS_PER_S * BAR + 0.5);
    memset(bar, '#', (size_t)(filled < BAR ? filled : BAR));
    fprintf(stderr, "\033[K%-8s %s%-*s%s %5.0f/s in time   p99 %6.0f ms", name, colour(code), BAR, bar,
        colour("\033[0m"), goodput, figures.p99_ms);
}

/* What the pipeline refused, a line for each reason; answers how many lines. */
static int show_refusals(const struct weir_pipeline *pipeline)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(pipeline);
    int lines = 0;
    for (int reason = 0; reason < WEIR_REASONS; reason++) {
        if (!stats.refused[reason]) continue;
        fprintf(stderr, "\033[K%-8s %6llu %s\n", lines++ ? "" : "refused",
            (unsigned long long)stats.refused[reason], weir_reason_text((enum weir_reason)reason));
    }
    return lines;
}

uint64_t live_show(const struct live_view *view)
{
    static const char *const states[4] = { "closed", "open", "half open", "ramp" };
    uint64_t now_ns = monotonic_ns();
    if (!on_terminal()) return UINT64_MAX;
    double now_s = (double)(now_ns - view->bare->start_ns) / 1e9;
    double from_s = view->seconds / PHASES * (int)view->phase;
    if (now_s - from_s > P99_S) from_s = now_s - P99_S;
    fprintf(stderr, "\033[K%s%-8s%s phase %d of %d, %.1f of %.0f s\n", colour("\033[1m"),
        phase_names[view->phase], colour("\033[0m"), (int)view->phase + 1, PHASES, now_s, view->seconds);
    show_load("bare", view->bare, "\033[31m", from_s, now_s);
    fputc('\n', stderr);
    show_load("guarded", view->guarded, "\033[32m", from_s, now_s);
    fprintf(stderr, "   breaker %s\n", states[guard_times(view->guard).state]);
    fprintf(stderr, "\033[%dA", LOADS_LINES + show_refusals(view->guard->pipeline));
    return now_ns + TICK_NS;
}

void live_end(void)
{
    if (on_terminal()) fprintf(stderr, "\033[J");
}
