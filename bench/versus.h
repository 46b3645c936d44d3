/* Guarded against bare, on a healthy origin and through an outage. Both sides take turns within one run, so that what
 * disturbs the machine disturbs both.
 *
 * curl/easy        microseconds a call: weir_curl_perform(), curl_easy_perform(); medians
 * curl/multi-1000  transfers a second, 1,000 at a time on one thread: weir_curl_multi_start(), curl_multi; medians of rounds
 * outage/retries   requests that reach an origin which answers 500 to all, for each call; the bare side tries four times */
#ifndef BENCH_VERSUS_H
#define BENCH_VERSUS_H

#include "bench.h"

#include <curl/curl.h>
#include <stdio.h>

struct liar;
struct weir_pipeline;

enum { VERSUS_EASY, VERSUS_MULTI, VERSUS_OUTAGE, VERSUS_ROWS };

struct versus_result {
    bool measured;
    double bare, guarded, ratio;
};

bool versus_selects(const char *prefix);
void versus_measure(const char *prefix, void *results);
void versus_table(const struct versus_result results[VERSUS_ROWS]);
void versus_json(FILE *file, const struct versus_result results[VERSUS_ROWS]);

/* ---- for its rows ---- */

/* A handle for that origin, whose answers it drops. */
CURL *versus_handle(const struct liar *origin);
struct versus_result versus_multi(const struct liar *origin);

#endif
