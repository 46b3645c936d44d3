#include "figures.h"

#include <stdlib.h>
#include <string.h>

const char *const phase_names[PHASES] = { "healthy", "stopped", "thawed", "killed", "back", "flushed",
    "one bad", "all bad", "well", "paused", "murder" };

static enum phase phase_at(const struct arena *arena, uint64_t at_ns)
{
    int phase = PHASES - 1;
    while (phase > 0 && at_ns < arena->begin_ns[phase]) phase--;
    return (enum phase)phase;
}

/* Which member's next entry is the earliest. */
static int earliest(const struct arena *arena, enum bucket bucket, const uint32_t next[MEMBERS])
{
    int first = -1;
    for (int i = 0; i < MEMBERS; i++) {
        const struct admits *admits = &arena->member[i].admits[bucket];
        if (next[i] == admits->count) continue;
        if (first >= 0) {
            const struct admits *best = &arena->member[first].admits[bucket];
            if (admits->at_ns[next[i]] >= best->at_ns[next[first]]) continue;
        }
        first = i;
    }
    return first;
}

/* A queue that is served at the limit's rate and never waits to be filled: when a call comes, what stands in it is the
 * largest excess of any window that ends with that call. */
static void measure_bucket(
    const struct arena *arena, enum bucket bucket, struct phase_figures figures[PHASES])
{
    uint32_t next[MEMBERS] = { 0 };
    uint64_t last_ns = 0;
    double queue = 0;
    for (int member; (member = earliest(arena, bucket, next)) >= 0; next[member]++) {
        uint64_t at_ns = arena->member[member].admits[bucket].at_ns[next[member]];
        if (at_ns < arena->begin_ns[HEALTHY]) continue; /* while it started */
        enum phase phase = phase_at(arena, at_ns);
        struct phase_figures *figure = &figures[phase];
        bool begins = at_ns >= arena->begin_ns[phase] && last_ns < arena->begin_ns[phase];
        if (begins && phase != THAWED && phase != BACK) queue = 0;
        queue -= (double)(at_ns - last_ns) * RATE_PER_S / 1e9;
        if (queue < 0) queue = 0;
        queue += 1;
        last_ns = at_ns;
        if (figure->excess[bucket] < queue) figure->excess[bucket] = queue;
        figure->rate[bucket] += 1 / figure->seconds;
    }
}

static bool was_without(const struct changes *changes, uint32_t *at, uint64_t from_ns, uint64_t to_ns)
{
    bool was = *at != 0 && changes->change[*at - 1].without;
    for (; *at < changes->count && changes->change[*at].at_ns < to_ns; ++*at) {
        was = was || (changes->change[*at].at_ns >= from_ns && changes->change[*at].without);
    }
    return was || (*at != 0 && changes->change[*at - 1].without);
}

/* What members without Redis may let in while others have it, millisecond by millisecond; what they are lent then is good for
 * a lease. And how often Redis was away for all, so that its bucket grew beside their shares. */
static double measure_shares(
    const struct arena *arena, enum bucket bucket, enum phase phase, unsigned *absences)
{
    uint32_t at[MEMBERS] = { 0 };
    double calls = 0;
    unsigned before = 0;
    *absences = 0;
    uint64_t from_ns = arena->begin_ns[phase] - RATE_LEASE_NS;
    for (; from_ns < arena->begin_ns[phase + 1]; from_ns += WEIR_MS) {
        unsigned without = 0;
        for (int i = 0; i < MEMBERS; i++) {
            without += was_without(&arena->member[i].changes[bucket], &at[i], from_ns, from_ns + WEIR_MS);
        }
        if (without != MEMBERS) calls += (double)without / MEMBERS * RATE_PER_S / 1e3;
        *absences += before != MEMBERS && without == MEMBERS;
        before = without;
    }
    return calls;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void measure_times(
    const struct arena *arena, enum phase phase, enum timed timed, uint32_t *room, double quantile_us[2])
{
    size_t count = 0;
    for (int i = 0; i < MEMBERS; i++) {
        const struct samples *samples = &arena->member[i].samples[phase][timed];
        memcpy(room + count, samples->took_ns, samples->count * sizeof *room);
        count += samples->count;
    }
    qsort(room, count, sizeof *room, compare);
    quantile_us[0] = count == 0 ? 0 : room[count / 2] / 1e3;
    quantile_us[1] = count == 0 ? 0 : room[count - 1 - count / 100] / 1e3;
}

static bool store_was_away(enum phase phase)
{
    return phase >= STOPPED && phase <= FLUSHED;
}

void figures_measure(const struct arena *arena, struct phase_figures figures[PHASES])
{
    static uint32_t room[MEMBERS * SAMPLES_MAX];
    for (int i = 0; i < PHASES; i++) {
        struct phase_figures *figure = &figures[i];
        unsigned absences = 0, most = store_was_away((enum phase)i) ? 1 : 0;
        figure->seconds = (double)(arena->begin_ns[i + 1] - arena->begin_ns[i]) / 1e9;
        for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) {
            double shares = measure_shares(arena, bucket, (enum phase)i, &absences);
            if (most < absences) most = absences;
            figure->excess_bound[bucket] = RATE_BURST * (1 + most) + shares;
        }
        figure->excess_bound[RELAXED] += RATE_LEASES;
        figure->in_use_max = arena->in_use_max[i];
        figure->in_use_bound = most != 0 ? 2 * PERMITS : PERMITS;
        if (i == PAUSED) figure->in_use_bound += WORKERS;
        if (i == MURDER) figure->in_use_bound += PERMITS / MEMBERS;
        figure->open_bound = i == ONE_BAD ? 1 : i == ALL_BAD || i == WELL ? MEMBERS : 0;
        figure->writes = arena->resource.writes[i];
        measure_times(arena, (enum phase)i, TIMED_SHARED, room, figure->shared_us);
        measure_times(arena, (enum phase)i, TIMED_LOCAL, room, figure->local_us);
    }
    for (enum bucket bucket = RELAXED; bucket < BUCKETS; bucket++) measure_bucket(arena, bucket, figures);
}
