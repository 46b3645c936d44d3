/* The record of a timeout, which the pipeline's compiler folds into the head of its calls. */
#ifndef WEIR_LIB_TIMEOUT_H
#define WEIR_LIB_TIMEOUT_H

#include <weir/timeout.h>

struct timeout_config {
    uint64_t timeout_ns;
};

#endif
