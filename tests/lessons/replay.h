/* A row that replays one of the demo's incidents over real HTTP, in real time. */
#ifndef WEIR_TESTS_REPLAY_H
#define WEIR_TESTS_REPLAY_H

#include "incident.h"
#include "pace.h"

#include <signal.h>

enum { REPLAYS = 3, REPLAY_SEED = 1 };

/* A run through which the machine slept is made again: it shows nothing, neither good nor bad. */
static inline bool replays(const struct incident *incident, double seconds, struct incident_figures *figures)
{
    signal(SIGPIPE, SIG_IGN);
    for (int run = 0; run < REPLAYS; run++) {
        if (incident_measure(incident, WEIR_ORIGIN, seconds, REPLAY_SEED, figures) != INCIDENT_MEASURED)
            return false;
        if (!pace_was_late(stderr, figures->late_ms)) break;
    }
    return true;
}

#endif
