/* From what the members wrote down to figures, and what they must stay within.
 *
 * The rate: of all windows of any length that end in a phase, how far the calls let in exceed RATE_PER_S times the window's
 * length. That is at most (docs/sharing.md has the reasons):
 *     strict    the burst
 *     relaxed   the burst and what all members held unspent when the window began
 *     from the moment Redis stops answering until a phase after it is back, and after it lost its memory: the burst once
 *     more, as the bucket in Redis grows, or is full again, while members live on their shares
 * Permits: the limit; while Redis is away and when it comes back, those in use beside the shares: twice the limit. */
#ifndef FLEET_FIGURES_H
#define FLEET_FIGURES_H

#include "arena.h"

struct phase_figures {
    double seconds;
    double rate[BUCKETS];   /* calls let in a second */
    double excess[BUCKETS]; /* the most of any window, in calls */
    double excess_bound[BUCKETS];
    double shared_us[2], local_us[2]; /* p50 and p99 of a decision */
    uint32_t in_use_max, in_use_bound;
    unsigned open_max; /* breakers that were open at once, by the parent's look every 2 ms */
    unsigned open_bound;
    double open_s,
        recover_s; /* until all were open; until all is shared, closed and locked again; NAN: did not happen */
    struct writes writes;
    uint32_t holder;
    uint64_t token;
    uint64_t votes_max;
};

extern const char *const phase_names[PHASES];

/* Fills in what the arena's logs say; the rest is the parent's own. */
void figures_measure(const struct arena *arena, struct phase_figures figures[PHASES]);
void report_table(const struct phase_figures figures[PHASES]);
bool report_json(const struct phase_figures figures[PHASES], const char *path);
/* Prints each bound that was broken; whether there was none. */
bool report_verdict(const struct phase_figures figures[PHASES]);

#endif
