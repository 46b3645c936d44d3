/* From the merged log of a fleet to what is wrong with it. It reads nothing but the log, and shares no code with weir.
 *
 * Rates (I1, I3, I15). In every window, from the start stamp of an admission to the end stamp of one, at most
 *
 *     BURST                             RELAXED: and HELD
 *     + RATE * length                   but nothing while all members are on their own and the server is away
 *     + RATE * length * n / N^          of the n that are on their own (OPEN: without N^; CLOSED: none)
 *     + BURST * n / N^                  of those that are so when it begins, or were a lease before: what they had kept
 *     + BURST                           for each time in it that the server forgot (CLOSED too); HELD of that also if it
 *                                       begins within a lease of that: not all have told yet what they hold
 *     + what grew in the server meanwhile, BURST at most, for each time in it that all were on their own (not CLOSED)
 *
 * Permits (I10). EXACT: at most PERMITS in use, at any instant, whatever happens; twice that for a lease after the server
 * forgot. PLAIN: the same, but where a member was on its own or stopped: twice that, and what stopped ones have.
 * Those of killed members are in use again some leases later.
 *
 * Breaker (I11, I12). Epochs never go back. Most are bad: once the fleet has opened the first it has opened all, within
 * SYNC_MS and a round trip; no more than PROBES calls at once while it is open. At no other time is one open but that of who is bad. */
#ifndef WEIR_TESTS_FLEET_CHECK_H
#define WEIR_TESTS_FLEET_CHECK_H

#include "redis/fleet_log.h"

#include <stdbool.h>
#include <stdio.h>

struct fleet_figures {
    double excess[RATES];  /* calls of the worst window above what it may have but for the burst (and HELD) */
    double healthy[RATES]; /* the same, before any fault */
    size_t admits[RATES];
    int64_t permits[2]; /* PLAIN, EXACT: the most in use where PERMITS holds */
    int64_t permits_harmed[2];
    double permits_back_s;  /* after the murder; below 0: they were never all in use */
    double open_s;          /* from the first to the last */
    int64_t probes, probed; /* at once; in all */
};

/* A log of that many entries, in any order. What is wrong is written to the stream. */
bool fleet_check(struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream);

/* Its parts, of a log in the order of .at_ns. */
bool fleet_check_rates(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream);
bool fleet_check_permits(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream);
bool fleet_check_breakers(
    const struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream);
/* The longest stall in a stage. */
int64_t fleet_stall_ns(const struct history_event *events, size_t count, enum fleet_stage stage);

#endif
