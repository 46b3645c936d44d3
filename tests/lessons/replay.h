/* A row that replays one of the demo's incidents over real HTTP, in real time. */
#ifndef WEIR_TESTS_REPLAY_H
#define WEIR_TESTS_REPLAY_H

#include "incident.h"

#include <signal.h>

enum { REPLAYS = 5, REPLAY_SEED = 1 };

/* Whether it meets its goals. A run that does not, while others were at work on the machine, shows nothing and is
 * made again. */
static inline bool replay(const struct incident *incident, double seconds, struct incident_figures *figures)
{
    signal(SIGPIPE, SIG_IGN);
    for (int run = 1;; run++) {
        if (incident_measure(incident, WEIR_ORIGIN, seconds, REPLAY_SEED, figures) != INCIDENT_MEASURED)
            return false;
        if (incident->judge(figures, stderr)) return true;
        if (!testimony_excuses(stderr, figures->testimony) || run == REPLAYS) return false;
    }
}

#endif
