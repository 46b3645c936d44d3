/* From samples to the figures of a phase. */
#ifndef DEMO_MEASURE_H
#define DEMO_MEASURE_H

#include "load.h"
#include "sides.h"

enum phase { HEALTHY, ERRORS, SLOW, SILENT, GONE, BACK, PHASES };
extern const char *const phase_names[PHASES];

#define GRACE_NS UINT64_C(50000000) /* unanswered so long after its deadline a call is stuck */

struct side_figures {
    size_t calls, fresh; /* fresh: answered 200 within the deadline */
    double goodput, p50_ms, p99_ms;
    uint64_t origin_calls; /* requests that reached the origin; in GONE: connections attempted */
    size_t stuck;
};

struct phase_figures {
    double seconds;
    struct side_figures bare, guarded;
    struct breaker_times states;
    double recover_s; /* NAN: does not apply or did not happen */
};

/* The calls that arrived in [from_s, to_s) of the run. false: out of memory. */
bool measure_side(const struct load *load, double from_s, double to_s, struct side_figures *figures);

/* Seconds after from_s from which on goodput stayed at 90 % of healthy_goodput; NAN if never. */
double measure_recovery(const struct load *load, double from_s, double to_s, double healthy_goodput);

#endif
