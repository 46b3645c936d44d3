/* What happens now, redrawn in place on a terminal; elsewhere a line for each phase. On stderr. */
#ifndef DEMO_LIVE_H
#define DEMO_LIVE_H

#include "phases.h"

struct live_view {
    enum phase phase;
    double seconds; /* of the whole run */
    const struct load *bare, *guarded;
    const struct guard *guard;
};

void live_begin(const struct live_view *view);
/* The instant at which to show it again. */
uint64_t live_show(const struct live_view *view);
/* Leaves nothing of it on a terminal. */
void live_end(void);

#endif
