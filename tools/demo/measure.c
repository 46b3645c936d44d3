#include "measure.h"

#include "pace.h"

#include <math.h>
#include <stdlib.h>

#define RECOVERY_STEP_S 0.01
#define RECOVERY_WINDOW_S 0.5 /* long enough that its count is not noise */
#define RECOVERED 0.9

/* The first call that arrived at from_s or later. */
static size_t first_call(const struct schedule *schedule, double from_s)
{
    size_t low = 0, high = schedule->calls;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((double)schedule->arrivals[middle].at_ns < from_s * 1e9) low = middle + 1;
        else high = middle;
    }
    return low;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Nearest rank. */
static double percentile_ms(const uint64_t *sorted_ns, size_t count, double percent)
{
    if (count == 0) return 0;
    size_t rank = (size_t)ceil(percent / 100 * (double)count);
    return (double)sorted_ns[rank ? rank - 1 : 0] / 1e6;
}

static void add(struct call_figures *figures, struct sample sample, uint64_t deadline_ns)
{
    bool in_time = sample.latency_ns <= deadline_ns;
    figures->calls++;
    figures->fresh += in_time && sample.answered == FRESH;
    figures->answered += in_time && sample.answered >= MARKED;
    figures->in_vain += sample.answered == IN_VAIN;
    figures->stuck += !in_time && sample.latency_ns - deadline_ns > GRACE_NS;
}

bool measure_calls(const struct load *load, struct span span, struct call_figures *figures)
{
    size_t first = first_call(load->schedule, span.from_s), end = first_call(load->schedule, span.to_s);
    uint64_t now_ns = monotonic_ns();
    uint64_t *latency_ns = calloc(end - first + 1, sizeof *latency_ns);
    if (!latency_ns) return false;
    *figures = (struct call_figures) { 0 };
    for (size_t i = first; i < end; i++) {
        if (load->schedule->arrivals[i].kind != span.kind) continue;
        struct sample sample = load_sample(load, i, now_ns);
        latency_ns[figures->calls] = sample.latency_ns;
        add(figures, sample, span.deadline_ns);
    }
    qsort(latency_ns, figures->calls, sizeof *latency_ns, compare);
    figures->p50_ms = percentile_ms(latency_ns, figures->calls, 50);
    figures->p99_ms = percentile_ms(latency_ns, figures->calls, 99);
    free(latency_ns);
    return true;
}

static struct call_figures count(const struct load *load, struct span span)
{
    struct call_figures figures = { 0 };
    size_t end = first_call(load->schedule, span.to_s);
    for (size_t i = first_call(load->schedule, span.from_s); i < end; i++)
        if (load->schedule->arrivals[i].kind == span.kind)
            add(&figures, load_sample(load, i, 0), span.deadline_ns);
    return figures;
}

double measure_goodput(const struct load *load, struct span span)
{
    return (double)count(load, span).fresh / (span.to_s - span.from_s);
}

static bool is_well(struct call_figures figures, double healthy_share)
{
    return (double)figures.fresh >= RECOVERED * healthy_share * (double)figures.calls;
}

double measure_recovery(const struct load *load, struct span span, double healthy_share)
{
    for (int step = 0;; step++) {
        struct span rest = span, window = span;
        window.from_s = rest.from_s = span.from_s + step * RECOVERY_STEP_S;
        window.to_s = window.from_s + RECOVERY_WINDOW_S;
        if (window.to_s > span.to_s) return NAN;
        if (is_well(count(load, window), healthy_share) && is_well(count(load, rest), healthy_share))
            return rest.from_s - span.from_s;
    }
}
