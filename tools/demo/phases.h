/* The demo proper: the same load of real HTTP calls, bare and through weir, while their origin falls
 * ill in several ways, dies, and comes back. */
#ifndef DEMO_PHASES_H
#define DEMO_PHASES_H

#include "measure.h"
#include "options.h"
#include "sides.h"

enum { CALLS_PER_S = 300, WORKERS = 32 };
enum phase { HEALTHY, ERRORS, SLOW, SILENT, GONE, BACK, PHASES };
extern const char *const phase_names[PHASES];
enum side { BARE, GUARDED, SIDES };

struct side_figures {
    struct call_figures of;
    double goodput;        /* fresh answers a second */
    uint64_t origin_calls; /* requests that reached the origin; in GONE: connections attempted */
};

struct phase_figures {
    double seconds;
    struct side_figures bare, guarded;
    struct breaker_times states;
    double recover_s; /* NAN: does not apply or did not happen */
};

enum exit_status phases_run(const struct options *options);

#endif
