/* The record of a retry, which explain() reads for the worst case of a pipeline. */
#ifndef WEIR_LIB_RETRY_H
#define WEIR_LIB_RETRY_H

#include <weir/retry.h>

struct retry_config {
    uint64_t base_ns, max_ns;
    uint32_t attempts, on;
    uint32_t backoff; /* enum weir_backoff */
};

#endif
