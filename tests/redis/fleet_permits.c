/* Permits of a fleet: how many are in use for certain, at each instant, and how many may be. */
#include "redis/fleet_check.h"

#include <inttypes.h>
#include <stdlib.h>

#define LEASE_NS (LEASE_MS * LOG_NS_PER_MS)
#define LOOK_NS (100 * LOG_NS_PER_MS) /* between two questions of who wants more */
/* They are free after one lease. Until they are all in use again it mostly takes 0.3 s more, and seldom up to 2 s: why is
 * not known, so that this is what is demanded. */
#define LEASES 4
#define ROUNDS 2                      /* in the first each has its fair share, in the second what is left */
#define TRIP_NS (150 * LOG_NS_PER_MS) /* questions, and calls that begin */

/* In use again: each of those that live but one may keep one to spare. */
#define BACK (PERMITS - (FLEET - KILLED - 1))

struct edge {
    int64_t at_ns;
    int in_use, harm, stopped;
};

struct permits {
    enum fleet_object object;
    struct edge *edge;
    size_t edges;
    bool own[PROCESSES + 1];
};

static void span(struct permits *permits, int64_t from_ns, int64_t to_ns, struct edge edge)
{
    if (from_ns >= to_ns) return;
    edge.at_ns = from_ns;
    permits->edge[permits->edges++] = edge;
    permits->edge[permits->edges++] = (struct edge) {
        .at_ns = to_ns, .in_use = -edge.in_use, .harm = -edge.harm, .stopped = -edge.stopped
    };
}

static void note_fault(struct permits *permits, const struct history_event *fault)
{
    bool forgot = fault->object == FLUSH || fault->object == RESTART;
    bool ends = fault->object == KILL || fault->object == LEAVE;
    if (permits->object == EXACT ? !forgot : ends) return;
    span(permits, fault->a, fault->at_ns + LEASE_NS,
        (struct edge) { .harm = 1, .stopped = fault->object == STOP });
}

/* What was let in on its own has ended, or is counted, a lease after that. */
static void note_state(struct permits *permits, const struct history_event *state)
{
    bool *own = &permits->own[state->process], now = (state->b & 1) != 0;
    if (permits->object == EXACT || now == *own) return;
    *own = now;
    permits->edge[permits->edges++] =
        (struct edge) { .at_ns = now ? state->a : state->at_ns + LEASE_NS, .harm = now ? 1 : -1 };
}

static void note_gone(struct permits *permits, const struct history_event *gone)
{
    if (!permits->own[gone->object]) return;
    permits->own[gone->object] = false;
    permits->edge[permits->edges++] = (struct edge) { .at_ns = gone->at_ns, .harm = -1 };
}

/* At one instant: harm first, then calls that end. */
static int by_time(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns ? -1 : 1;
    if (a->harm != b->harm) return a->harm > b->harm ? -1 : 1;
    return (a->in_use > b->in_use) - (a->in_use < b->in_use);
}

static void read_log(struct permits *permits, const struct history_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        bool its_own = event->object == permits->object;
        if (event->kind == LOG_FAULT) note_fault(permits, event);
        if (event->kind == LOG_GONE) note_gone(permits, event);
        if (event->kind == LOG_STATE && its_own) note_state(permits, event);
        if (event->kind != LOG_CALL || !its_own) continue;
        int64_t end_ns = permits->object == EXACT && event->b < event->at_ns ? event->b : event->at_ns;
        span(permits, event->a, end_ns, (struct edge) { .in_use = 1 });
    }
    qsort(permits->edge, permits->edges, sizeof *permits->edge, by_time);
}

static bool sweep(const struct permits *permits, struct fleet_figures *figures, FILE *stream)
{
    struct edge sum = { 0 };
    int place = (int)permits->object - PLAIN;
    for (size_t i = 0; i < permits->edges; i++) {
        const struct edge *edge = &permits->edge[i];
        sum.in_use += edge->in_use;
        sum.harm += edge->harm;
        sum.stopped += edge->stopped;
        int most = sum.harm > 0 ? 2 * PERMITS + WORKERS * sum.stopped : PERMITS;
        int64_t *figure = sum.harm > 0 ? &figures->permits_harmed[place] : &figures->permits[place];
        if (*figure < sum.in_use) *figure = sum.in_use;
        if (sum.in_use <= most) continue;
        fprintf(stream, "%s permits: at %" PRId64 " ns %d are in use, %d may be\n",
            permits->object == EXACT ? "exact" : "plain", edge->at_ns, sum.in_use, most);
        return false;
    }
    return true;
}

/* ---- those of the killed ---- */

static bool check_murder(const struct permits *permits, const struct history_event *events, size_t count,
    struct fleet_figures *figures, FILE *stream)
{
    int64_t stall_ns = fleet_stall_ns(events, count, MURDER);
    int64_t killed_ns = 0, buried_ns = 0, back_ns = 0;
    bool murder = false;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_STAGE) murder = event->object == MURDER;
        if (!murder || event->kind != LOG_GONE) continue;
        killed_ns = event->a;
        buried_ns = event->at_ns;
    }
    if (killed_ns == 0) return true;
    int in_use = 0;
    for (size_t i = 0; i < permits->edges && back_ns == 0; i++) {
        in_use += permits->edge[i].in_use;
        if (permits->edge[i].at_ns > buried_ns && in_use >= BACK) back_ns = permits->edge[i].at_ns;
    }
    figures->permits_back_s = back_ns == 0 ? -1 : (double)(back_ns - killed_ns) / 1e9;
    if (back_ns != 0 && back_ns - killed_ns <= LEASES * LEASE_NS + ROUNDS * LOOK_NS + TRIP_NS + stall_ns)
        return true;
    fprintf(stream, "plain permits: those of the killed are in use again after %.3f s, stall %.3f s\n",
        figures->permits_back_s, (double)stall_ns / 1e9);
    return false;
}

bool fleet_check_permits(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    bool good = true;
    for (int object = PLAIN; object <= EXACT; object++) {
        struct permits permits = { .object = (enum fleet_object)object,
            .edge = calloc(2 * count + 1, sizeof(struct edge)) };
        read_log(&permits, events, count);
        good = sweep(&permits, figures, stream) && good;
        if (object == PLAIN) good = check_murder(&permits, events, count, figures, stream) && good;
        free(permits.edge);
    }
    return good;
}
