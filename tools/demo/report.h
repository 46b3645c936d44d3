/* What the run has shown: a table for people, JSON for programs, and a verdict. */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "phases.h"

void report_table(const struct phase_figures figures[PHASES]);
/* false: said why on stderr. */
bool report_json(const struct phase_figures figures[PHASES], const char *path);
/* Prints each goal that was missed; whether there was none. */
bool report_verdict(const struct phase_figures figures[PHASES]);

#endif
