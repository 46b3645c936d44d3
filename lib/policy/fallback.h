/* The record of a fallback, which the pipeline's compiler folds into the head of its calls, and its words.
 *
 * The last good answer is a snapshot under a sequence: odd while somebody writes. A writer that finds it odd
 * goes on without writing; a reader that finds it odd or changed tries again, a few times. A word of the
 * snapshot is stored with release and loaded with acquire: who sees a word of a newer snapshot sees the odd
 * sequence before it too, when it looks again. No fence, so ThreadSanitizer can follow. */
#ifndef WEIR_LIB_FALLBACK_H
#define WEIR_LIB_FALLBACK_H

#include "policy/handle.h"

#include <weir/fallback.h>

struct fallback_config {
    uint64_t reserve_ns;
    uint64_t age_max_ns;
    uint32_t value_size;
    uint32_t on;
    bool has_function; /* the handle's auxiliary: a pointer means something in its own process only */
    bool has_value;
    bool last_good;
    bool not_when_forced;
    bool rest_after_failure;
    unsigned char value[]; /* value_size bytes if has_value */
};

struct fallback_state {
    uint64_t rest_until; /* the function rests until then */
    uint64_t sequence;   /* of the last good answer; 0: there is none yet */
    uint64_t stored_ns;
    uint64_t word[]; /* value_size bytes, rounded up */
};

#endif
