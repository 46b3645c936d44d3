#include "measure.h"

#include <math.h>
#include <stdlib.h>

#define RECOVERY_STEP_S 0.05
#define RECOVERY_WINDOW_S 0.5 /* long enough that its count is not noise */
#define RECOVERED 0.9

const char *const phase_names[PHASES] = { "healthy", "errors", "slow", "silent", "gone", "back" };

/* The first call that arrived at from_s or later. */
static size_t first_call(const struct schedule *schedule, double from_s)
{
    size_t i = 0;
    while (i < schedule->calls && (double)schedule->arrival_ns[i] < from_s * 1e9) i++;
    return i;
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

static bool is_good(const struct sample *sample)
{
    return sample->fresh && sample->latency_ns <= DEADLINE_NS;
}

bool measure_side(const struct load *load, double from_s, double to_s, struct side_figures *figures)
{
    size_t first = first_call(load->schedule, from_s);
    size_t calls = first_call(load->schedule, to_s) - first;
    uint64_t *latency_ns = calloc(calls + 1, sizeof *latency_ns);
    if (!latency_ns) return false;
    *figures = (struct side_figures) { .calls = calls };
    for (size_t i = 0; i < calls; i++) {
        const struct sample *sample = &load->samples[first + i];
        latency_ns[i] = sample->latency_ns;
        figures->fresh += is_good(sample);
        figures->stuck += sample->latency_ns > DEADLINE_NS + GRACE_NS;
    }
    qsort(latency_ns, calls, sizeof *latency_ns, compare);
    figures->goodput = (double)figures->fresh / (to_s - from_s);
    figures->p50_ms = percentile_ms(latency_ns, calls, 50);
    figures->p99_ms = percentile_ms(latency_ns, calls, 99);
    free(latency_ns);
    return true;
}

static double goodput(const struct load *load, double from_s, double to_s)
{
    size_t good = 0, end = first_call(load->schedule, to_s);
    for (size_t i = first_call(load->schedule, from_s); i < end; i++) good += is_good(&load->samples[i]);
    return (double)good / (to_s - from_s);
}

double measure_recovery(const struct load *load, double from_s, double to_s, double healthy_goodput)
{
    double enough = RECOVERED * healthy_goodput;
    for (int step = 0;; step++) {
        double at = from_s + step * RECOVERY_STEP_S;
        if (at + RECOVERY_WINDOW_S > to_s) return NAN;
        if (goodput(load, at, at + RECOVERY_WINDOW_S) >= enough && goodput(load, at, to_s) >= enough)
            return at - from_s;
    }
}
