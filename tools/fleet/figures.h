/* From what the members wrote down to figures, and what they must stay within.
 *
 * The rate: of all windows of any length that lie in a phase (thawed and back: or begin in the phase before), how far the
 * calls let in exceed RATE_PER_S times the window's length. That is at most (docs/sharing.md has the reasons):
 *     strict    the burst
 *     relaxed   the burst and what all members may hold unspent when the window begins
 *     Redis is away, back, or has lost its memory: the burst once more, as the bucket in Redis grows, or is full again,
 *     while members live on their shares; and what the shares of those that have not found it again add while others have.
 *     The same each time that all were without it as their links say: on a busy machine it may be silent for long enough
 * Permits: the limit. Redis is away or back: twice that, as those in use come beside the shares. A member that is stopped, or
 * comes new: what it has in use, or its share, besides. */
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
    double
        stall_s; /* the longest time between two looks of the parent, which sleeps 2 ms: the machine's own part */
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
