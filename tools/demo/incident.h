/* Incidents replayed: one service, two dependencies (origins of their own), one of which falls ill for a while,
 * while a pool of threads works off calls to both. The same load at the same time, bare and through weir. */
#ifndef DEMO_INCIDENT_H
#define DEMO_INCIDENT_H

#include "measure.h"
#include "witness.h"

#include <stdio.h>
#include <weir/weir.h>

enum kind { ILL, WELL, KINDS }; /* a call's dependency */
enum incident_side { INCIDENT_BARE, INCIDENT_GUARDED, INCIDENT_SIDES };

struct incident_figures {
    struct call_figures of[INCIDENT_SIDES][KINDS]; /* those that arrived while it was ill */
    unsigned held[INCIDENT_SIDES];                 /* threads in calls to the ill dependency, most at once */
    unsigned waiting[INCIDENT_SIDES];              /* of these, waiting for its answer, most at once */
    uint64_t refused[WEIR_REASONS];                /* guarded calls to it, whole run */
    struct testimony testimony;                    /* of the machine */
};

struct incident {
    const char *name;
    const char *illness; /* what the origin is told */
    unsigned per_s[KINDS];
    unsigned threads;     /* of the pool */
    uint64_t deadline_ns; /* from a call's arrival, also for its pipeline; WEIR_NEVER: none */
    /* Makes the pipelines of the guarded side. They are destroyed for it. */
    enum weir_error (*open)(struct weir_pipeline *pipelines[KINDS]);
    void (*print)(const struct incident_figures *figures); /* the table */
    /* Prints each goal that was missed, a line each; whether there was none. */
    bool (*judge)(const struct incident_figures *figures, FILE *file);
};

extern const struct incident avalanche, isolation;

/* What the bare client allows a call: a default of many client libraries. */
#define INCIDENT_TIMEOUT_MS 10000L

enum incident_end { INCIDENT_MEASURED, INCIDENT_BROKEN, INCIDENT_INTERRUPTED };
/* Well for a fifth of the time, ill for half of it, then well again. origin: the program weir-origin. On
 * BROKEN it said why on stderr. */
enum incident_end incident_measure(const struct incident *incident, const char *origin, double seconds,
    uint64_t seed, struct incident_figures *figures);

double percent(size_t part, size_t whole);
/* Prints "FAILED what: value, goal" unless met. */
bool goal(FILE *file, const char *what, double value, bool met, const char *expected);

#endif
