/* The rates of a fleet: what it may let in as time goes on (pieces), and once more for what happened (allowances);
 * then all windows at once, by their ends. Tokens are counted in billionths. */
#include "redis/fleet_check.h"
#include "redis/fleet_window.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define TOKEN 1e9
#define PER_NS (RATE * TOKEN / 1e9)
#define LEASE_NS (LEASE_MS * LOG_NS_PER_MS)
#define LOOSE (TOKEN / 1000) /* of the doubles */

struct edge {
    int64_t at_ns;
    double shares;   /* of the rate, of members that may be on their own */
    double kept;     /* the same; and for a lease after that, as what they did not spend is good so long */
    int live, alone; /* members; those that are on their own for certain */
    int away[FAULTS];
};

struct piece {
    int64_t at_ns;
    double grown, slope, kept;
};

struct allowance {
    int64_t until_ns, from_ns; /* for windows that begin by until_ns and end from from_ns on */
    double tokens;
};

struct rate {
    enum fleet_object object;
    const struct history_event *events;
    size_t count;
    struct edge *edge;
    struct piece *piece;
    struct allowance *allowance;
    size_t edges, pieces, allowances;
    double share[PROCESSES + 1]; /* 0: not on its own */
    double loose;
};

/* ---- who was on its own, and when ---- */

static void edge(struct rate *rate, struct edge edge)
{
    rate->edge[rate->edges++] = edge;
}

static double share_of(const struct rate *rate, const struct history_event *state)
{
    if ((state->b & 1) == 0 || rate->object == CLOSED) return 0;
    int64_t instances = state->b >> 1;
    return rate->object == OPEN || instances < 1 ? 1 : 1 / (double)instances;
}

/* More since .a, less since .at_ns; alone for certain since .at_ns, and until .a. */
static void change(struct rate *rate, const struct history_event *state)
{
    double *share = &rate->share[state->process], now = share_of(rate, state);
    edge(rate, (struct edge) { .at_ns = now > *share ? state->a : state->at_ns, .shares = now - *share });
    edge(rate,
        (struct edge) { .at_ns = now > *share ? state->a : state->at_ns + LEASE_NS, .kept = now - *share });
    if (*share == 0 && now != 0) edge(rate, (struct edge) { .at_ns = state->at_ns, .alone = 1 });
    if (*share != 0 && now == 0) edge(rate, (struct edge) { .at_ns = state->a, .alone = -1 });
    *share = now;
}

static void leave(struct rate *rate, const struct history_event *gone)
{
    double *share = &rate->share[gone->object];
    edge(rate, (struct edge) { .at_ns = gone->at_ns, .shares = -*share, .kept = -*share });
    edge(rate, (struct edge) { .at_ns = gone->a, .live = -1, .alone = *share != 0 ? -1 : 0 });
    *share = 0;
}

static void note_away(struct rate *rate, const struct history_event *away)
{
    struct edge begin = { .at_ns = away->a }, end = { .at_ns = away->at_ns };
    begin.away[away->object] = 1;
    end.away[away->object] = -1;
    edge(rate, begin);
    edge(rate, end);
}

static void allow(struct rate *rate, int64_t until_ns, int64_t from_ns, double tokens)
{
    rate->allowance[rate->allowances++] = (struct allowance) { until_ns, from_ns, tokens };
}

/* Whoever has not asked since holds what the server does not know of. */
static void forget(struct rate *rate, const struct history_event *fault)
{
    allow(rate, fault->at_ns, fault->a, (BURST - HELD) * TOKEN);
    allow(rate, fault->at_ns + LEASE_NS, fault->a, HELD * TOKEN);
}

static int by_time(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int by_end(const void *left, const void *right)
{
    const struct allowance *a = left, *b = right;
    return (a->from_ns > b->from_ns) - (a->from_ns < b->from_ns);
}

static void read_log(struct rate *rate)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t i = 0; i < rate->count; i++) {
        const struct history_event *event = &rate->events[i];
        if (event->kind == LOG_BORN) edge(rate, (struct edge) { .at_ns = event->at_ns, .live = 1 });
        if (event->kind == LOG_GONE) leave(rate, event);
        if (event->kind == LOG_STATE && event->object == rate->object) change(rate, event);
        if (event->kind == LOG_AWAY) note_away(rate, event);
        if (event->kind == LOG_FAULT && (event->object == FLUSH || event->object == RESTART))
            forget(rate, event);
        if (event->kind != LOG_DRIFT) continue;
        if (event->b < least) least = event->b;
        if (event->b > most) most = event->b;
    }
    rate->loose = LOOSE + (most > least ? (double)(most - least) * PER_NS : 0);
    qsort(rate->edge, rate->edges, sizeof *rate->edge, by_time);
}

/* ---- what they may have ---- */

/* While all are on their own for certain, and the server is away, nobody is lent anything: it grows, for when it is back. */
static double slope_of(const struct edge *sum, bool nobody)
{
    return PER_NS * (nobody ? 0 : 1) + PER_NS * sum->shares;
}

static void add(struct edge *sum, const struct edge *edge)
{
    sum->shares += edge->shares;
    sum->kept += edge->kept;
    sum->live += edge->live;
    sum->alone += edge->alone;
    for (int i = 0; i < FAULTS; i++) sum->away[i] += edge->away[i];
}

/* After a restart it has forgotten, which is allowed for already. */
static void come_back(struct rate *rate, int64_t since_ns, int64_t at_ns, bool forgot)
{
    double grown = (double)(at_ns - since_ns) * PER_NS;
    if (!forgot) allow(rate, since_ns, at_ns, fmin(BURST * TOKEN, grown));
}

static void lay_out(struct rate *rate)
{
    struct edge sum = { 0 };
    struct piece last = { .slope = PER_NS };
    int64_t since_ns = 0;
    bool before = false, forgot = false;
    rate->piece[rate->pieces++] = last;
    for (size_t i = 0; i < rate->edges; i++) {
        const struct edge *edge = &rate->edge[i];
        add(&sum, edge);
        bool away = sum.away[FREEZE] + sum.away[RESTART] > 0;
        bool nobody = away && sum.live > 0 && sum.alone == sum.live && rate->object != CLOSED;
        if (nobody && !before) since_ns = edge->at_ns;
        if (nobody) forgot = sum.away[RESTART] > 0;
        if (before && !nobody) come_back(rate, since_ns, edge->at_ns, forgot);
        before = nobody;
        last.grown += (double)(edge->at_ns - last.at_ns) * last.slope;
        last.at_ns = edge->at_ns;
        last.slope = slope_of(&sum, nobody);
        last.kept = BURST * TOKEN * fmax(sum.kept, 0);
        rate->piece[rate->pieces++] = last;
    }
    qsort(rate->allowance, rate->allowances, sizeof *rate->allowance, by_end);
}

static const struct piece *piece_at(const struct rate *rate, int64_t at_ns)
{
    size_t low = 0, high = rate->pieces;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (rate->piece[middle].at_ns <= at_ns) low = middle;
        else high = middle;
    }
    return &rate->piece[low];
}

static double grown_at(const struct rate *rate, int64_t at_ns)
{
    const struct piece *piece = piece_at(rate, at_ns);
    return piece->grown + (double)(at_ns - piece->at_ns) * piece->slope;
}

/* ---- all windows ---- */

/* How many have begun by then. */
static size_t rank(const int64_t *starts, size_t count, int64_t at_ns)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (starts[middle] <= at_ns) low = middle + 1;
        else high = middle;
    }
    return low;
}

struct sweep {
    struct windows *windows;
    int64_t *starts;
    size_t count, allowed;
    bool *begun;
};

/* The place of one that begins there: of several, one that is free. */
static size_t place_of(struct sweep *sweep, int64_t start_ns)
{
    size_t place = rank(sweep->starts, sweep->count, start_ns) - 1;
    while (sweep->begun[place]) place--;
    sweep->begun[place] = true;
    return place;
}

/* The most of any window that ends with this one, above what it may have but for the burst. */
static double step(struct rate *rate, struct sweep *sweep, const struct history_event *admit, size_t *worst)
{
    while (sweep->allowed < rate->allowances && rate->allowance[sweep->allowed].from_ns <= admit->at_ns) {
        const struct allowance *allowance = &rate->allowance[sweep->allowed++];
        size_t begun = rank(sweep->starts, sweep->count, allowance->until_ns);
        windows_add(sweep->windows, begun, -llround(allowance->tokens));
    }
    windows_add(sweep->windows, rank(sweep->starts, sweep->count, admit->a), (int64_t)TOKEN);
    double value = grown_at(rate, admit->a) - piece_at(rate, admit->a)->kept;
    windows_begin(sweep->windows, place_of(sweep, admit->a), llround(value));
    return (double)windows_worst(sweep->windows, worst) - grown_at(rate, admit->at_ns);
}

static void say(const struct rate *rate, const struct sweep *sweep, const struct history_event *admit,
    size_t worst, double excess, FILE *stream)
{
    static const char *const names[RATES] = { "relaxed", "strict", "closed", "open" };
    int64_t begin_ns = sweep->starts[worst];
    size_t inside = 0;
    for (size_t i = 0; i < rate->count; i++) {
        const struct history_event *event = &rate->events[i];
        if (event->kind != LOG_ADMIT || event->object != rate->object) continue;
        inside += event->a >= begin_ns && event->at_ns <= admit->at_ns;
    }
    fprintf(stream,
        "rate %s: from %" PRId64
        " ns on for %.6f s %zu were let in: %.3f more than that may be, and %d are allowed\n",
        names[rate->object], begin_ns, (double)(admit->at_ns - begin_ns) / 1e9, inside, excess / TOKEN,
        rate->object == RELAXED ? BURST + HELD : BURST);
}

static bool sweep_all(struct rate *rate, struct fleet_figures *figures, FILE *stream)
{
    struct sweep sweep = { .starts = malloc(rate->count * sizeof(int64_t) + 1) };
    for (size_t i = 0; i < rate->count; i++) {
        const struct history_event *event = &rate->events[i];
        if (event->kind == LOG_ADMIT && event->object == rate->object) sweep.starts[sweep.count++] = event->a;
    }
    qsort(sweep.starts, sweep.count, sizeof *sweep.starts, by_time);
    sweep.begun = calloc(sweep.count + 1, sizeof *sweep.begun);
    sweep.windows = windows_create(sweep.count);
    double *most = &figures->excess[rate->object], bound = rate->object == RELAXED ? BURST + HELD : BURST;
    bool good = true, healthy = true;
    for (size_t i = 0; i < rate->count && good; i++) {
        const struct history_event *event = &rate->events[i];
        size_t worst;
        if (event->kind == LOG_STAGE && event->object > HEALTHY) healthy = false;
        if (event->kind != LOG_ADMIT || event->object != rate->object) continue;
        double excess = step(rate, &sweep, event, &worst);
        *most = fmax(*most, excess / TOKEN);
        if (healthy) figures->healthy[rate->object] = *most;
        good = excess <= bound * TOKEN + rate->loose;
        if (!good) say(rate, &sweep, event, worst, excess, stream);
    }
    figures->admits[rate->object] = sweep.count;
    windows_destroy(sweep.windows);
    free(sweep.begun);
    free(sweep.starts);
    return good;
}

static bool check_windows(struct rate *rate, struct fleet_figures *figures, FILE *stream)
{
    rate->edge = calloc(4 * rate->count + 1, sizeof *rate->edge);
    rate->piece = calloc(4 * rate->count + 2, sizeof *rate->piece);
    rate->allowance = calloc(2 * rate->count + 1, sizeof *rate->allowance);
    read_log(rate);
    lay_out(rate);
    bool good = sweep_all(rate, figures, stream);
    free(rate->edge);
    free(rate->piece);
    free(rate->allowance);
    return good;
}

/* ---- leases ---- */

static bool check_leases(const struct history_event *events, size_t count, FILE *stream)
{
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_ADMIT && event->b <= 0) {
            fprintf(stream, "rate %u, process %u: let in %" PRId64 " ns after the end of its lease\n",
                event->object, event->process, -event->b);
            return false;
        }
        if (event->kind == LOG_SUM && event->a > event->b) {
            fprintf(stream, "rate %u, process %u: let in %" PRId64 ", was lent %" PRId64 "\n", event->object,
                event->process, event->a, event->b);
            return false;
        }
    }
    return true;
}

bool fleet_check_rates(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    bool good = check_leases(events, count, stream);
    for (int object = 0; object < RATES; object++) {
        struct rate rate = { .object = (enum fleet_object)object, .events = events, .count = count };
        good = check_windows(&rate, figures, stream) && good;
    }
    return good;
}
