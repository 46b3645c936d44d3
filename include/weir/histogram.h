/* Latency histogram: log-linear, 32 steps an octave (at most 1.6 % from a step's middle), 1 ns to 18
 * minutes (longer counts as that), a part for each thread; recording is one add. Histograms merge. */
#ifndef WEIR_HISTOGRAM_H
#define WEIR_HISTOGRAM_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_histogram;

/* Yours to destroy. About 9 KB for each of 17 shards. NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_histogram_create(struct weir_histogram **histogram);
WEIR_API void weir_histogram_destroy(struct weir_histogram *histogram);

WEIR_API void weir_histogram_record(struct weir_histogram *histogram, uint64_t value_ns);

/* Adds what is in source to target. */
WEIR_API void weir_histogram_merge(struct weir_histogram *target, const struct weir_histogram *source);

WEIR_API uint64_t weir_histogram_count(const struct weir_histogram *histogram);
/* The middle of the step in which the given share, in millionths (500000: the median), of the values ends;
 * 0 if it is empty. */
WEIR_API uint64_t weir_histogram_quantile(const struct weir_histogram *histogram, uint32_t millionths);

#ifdef __cplusplus
}
#endif
#endif
