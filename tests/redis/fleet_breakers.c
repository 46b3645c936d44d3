/* The breakers of a fleet: who was open when, and how many calls went through those that were. */
#include "redis/fleet_check.h"

#include <inttypes.h>
#include <stdlib.h>

#define OPEN_NS ((SYNC_MS + 25) * LOG_NS_PER_MS) /* one sync and a round trip */

/* ---- epochs, and who may be open ---- */

static bool check_looks(const struct history_event *events, size_t count, FILE *stream)
{
    int64_t epoch[PROCESSES + 1] = { 0 }, bad = 0;
    uint32_t stage = UP;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_STAGE) {
            stage = event->object;
            bad = event->b;
        }
        if (event->kind != LOG_LOOK) continue;
        if (event->b < epoch[event->process]) {
            fprintf(stream, "breaker of process %u: epoch %" PRId64 " after %" PRId64 "\n", event->process,
                event->b, epoch[event->process]);
            return false;
        }
        epoch[event->process] = event->b;
        bool may_be = (stage >= MOST_BAD && stage <= WELL) || event->process == bad;
        if (event->object == 0 || may_be) continue;
        fprintf(stream, "breaker of process %u: open in stage %u, where only that of %" PRId64 " may be\n",
            event->process, stage, bad);
        return false;
    }
    return true;
}

/* ---- most are bad: open everywhere, also where nothing was bad ---- */

static int64_t first_opened(const struct history_event *events, size_t count)
{
    uint32_t stage = UP;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_STAGE) stage = event->object;
        if (event->kind == LOG_TURN && event->object != 0 && stage == MOST_BAD) return event->at_ns;
    }
    return 0;
}

static int count_open(const bool open[PROCESSES + 1])
{
    int sum = 0;
    for (int i = 0; i <= PROCESSES; i++) sum += open[i];
    return sum;
}

/* Before .a of a look that found it open it was not, for certain. */
static bool check_open(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    int64_t stall_ns = fleet_stall_ns(events, count, MOST_BAD), first_ns = first_opened(events, count);
    int64_t last_ns = first_ns;
    bool open[PROCESSES + 1] = { false };
    uint32_t stage = UP;
    bool were_bad = false;
    int most = 0;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_STAGE) stage = event->object;
        were_bad |= stage == MOST_BAD;
        if (event->kind != LOG_LOOK) continue;
        bool opens = event->object != 0 && !open[event->process];
        open[event->process] = event->object != 0;
        if (stage != MOST_BAD) continue;
        if (opens && last_ns < event->a) last_ns = event->a;
        if (most < count_open(open)) most = count_open(open);
    }
    figures->open_s = (double)(last_ns - first_ns) / 1e9;
    bool all = first_ns != 0 && most == FLEET && last_ns - first_ns <= OPEN_NS + stall_ns;
    if (!were_bad || all) return true;
    fprintf(stream, "breakers: %d of %d opened, the last at least %.3f s after the fleet, stall %.3f s\n",
        most, FLEET, figures->open_s, (double)stall_ns / 1e9);
    return false;
}

/* ---- probes ---- */

struct edge {
    int64_t at_ns;
    int out;
};

static int by_time(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns ? -1 : 1;
    return a->out - b->out;
}

struct reign {
    int64_t since_ns,
        until_ns; /* the process's breaker was the fleet's, for certain; 0: it was not. Who is cut off probes by itself. */
};

static void read_reigns(const struct history_event *events, size_t count, struct reign *reign)
{
    uint32_t stage = UP;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        struct reign *its = &reign[event->process];
        if (event->kind == LOG_STAGE) stage = event->object;
        bool cut_off = event->kind == LOG_STATE && event->object == BREAKER && (event->b & 1) != 0;
        bool opened = event->kind == LOG_TURN && event->object != 0,
             closed = event->kind == LOG_TURN && !opened;
        if (opened && (stage == MOST_BAD || stage == ALL_BAD))
            *its = (struct reign) { event->at_ns, INT64_MAX };
        if ((closed || cut_off) && its->until_ns == INT64_MAX) its->until_ns = event->a;
    }
}

/* Calls that began while the process's breaker was the fleet's are probes. */
static bool check_probes(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    struct reign reign[PROCESSES + 1] = { 0 };
    struct edge *edge = calloc(2 * count + 1, sizeof *edge);
    size_t edges = 0;
    int64_t out = 0;
    read_reigns(events, count, reign);
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        const struct reign *its = &reign[event->process];
        if (event->kind != LOG_CALL || event->object != BREAKER || event->a >= event->at_ns) continue;
        if (its->since_ns == 0 || event->a <= its->since_ns || event->a >= its->until_ns) continue;
        edge[edges++] = (struct edge) { event->a, 1 };
        edge[edges++] = (struct edge) { event->at_ns, -1 };
    }
    qsort(edge, edges, sizeof *edge, by_time);
    for (size_t i = 0; i < edges; i++) {
        out += edge[i].out;
        if (figures->probes < out) figures->probes = out;
    }
    figures->probed = (int64_t)edges / 2;
    free(edge);
    if (figures->probes <= PROBES) return true;
    fprintf(stream, "breakers: %" PRId64 " probes at once, %d may be\n", figures->probes, PROBES);
    return false;
}

bool fleet_check_breakers(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    bool good = check_looks(events, count, stream);
    good = check_open(events, count, figures, stream) && good;
    return check_probes(events, count, figures, stream) && good;
}
