/* The run as a picture: goodput and p99 of both loads over time, drawn by gnuplot. */
#ifndef DEMO_PLOT_H
#define DEMO_PLOT_H

#include "load.h"

/* Writes name.tsv, name.svg and name.png. false: said why on stderr. */
bool plot_write(const struct load *bare, const struct load *guarded, double seconds, const char *name);

#endif
