/* From samples to figures. */
#ifndef DEMO_MEASURE_H
#define DEMO_MEASURE_H

#include "load.h"

#define GRACE_NS UINT64_C(50000000) /* unanswered so long after its deadline a call is stuck */

/* Which calls: those of a kind that arrived in [from_s, to_s) of the run. */
struct span {
    double from_s, to_s;
    unsigned kind;
    uint64_t deadline_ns; /* in time is by then, from the arrival; UINT64_MAX: whenever */
};

struct call_figures {
    size_t calls;
    size_t fresh;    /* answered 200 in time */
    size_t answered; /* the same, or marked as a stand-in */
    size_t in_vain;  /* an error or a refusal, whenever */
    size_t stuck;
    double p50_ms, p99_ms; /* until there was any answer; until now, where there is none yet */
};

/* Also while the load runs. false: out of memory. */
bool measure_calls(const struct load *load, struct span span, struct call_figures *figures);

/* Fresh answers a second. */
double measure_goodput(const struct load *load, struct span span);
/* Seconds after its begin from which on the share of calls that were answered fresh stayed at 90 % of healthy_share;
 * NAN if never. A share, as the number of arrivals differs from one half second to the next by more than that. */
double measure_recovery(const struct load *load, struct span span, double healthy_share);

#endif
