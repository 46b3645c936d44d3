/* What weir_curl_stats() answers: counts of the process, one atomic addition an attempt. */
#ifndef WEIR_LIB_CURL_TALLY_H
#define WEIR_LIB_CURL_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

struct tally {
    _Atomic uint64_t attempts, resolvers_left, not_repeatable, retry_after_cut;
};
extern struct tally tally __attribute__((visibility("hidden")));

static inline void tally_add(_Atomic uint64_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

#endif
