#include "tally.h"

#include <weir/curl.h>

struct tally tally;

static uint64_t read_count(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

struct weir_curl_stats weir_curl_stats(void)
{
    return (struct weir_curl_stats) {
        .attempts = read_count(&tally.attempts),
        .resolvers_left = read_count(&tally.resolvers_left),
        .not_repeatable = read_count(&tally.not_repeatable),
        .retry_after_cut = read_count(&tally.retry_after_cut),
    };
}
