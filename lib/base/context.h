/* Contexts: minimum of deadlines, poll of sources. Canceling and parking are lib/runtime/source.c.
 *
 * A source is one word that matters here: { generation:32 | reason:32 }. A context keeps the generation it was
 * made in; it is canceled if the word's is another (the source was reset) or if there is a reason. */
#ifndef WEIR_LIB_CONTEXT_H
#define WEIR_LIB_CONTEXT_H

#include "base/counters.h"

#include <weir/context.h>

struct weir_source {
    uint64_t word;
    uint32_t references;
    uint32_t lock;
    struct weir_watch *watches; /* under the lock */
    uint32_t process;           /* whose they are; under the lock */
};

enum { CONTEXT_DETACHED, CONTEXT_CLIPPED, CONTEXT_WITHOUT_DEADLINE };
extern struct counters weir_context_counters;
void context_count(uint32_t which);

static inline void context_count_at(uint32_t line, uint32_t which)
{
    counters_add(&weir_context_counters, line, line < SHARDS, which, 1);
}

/* The nearest canceled source's reason; 0: none is. A source that was reset gives -1. */
static inline int32_t context_canceled(const struct weir_context *context)
{
    for (context = context->sources; context != NULL;) {
        uint64_t word = atomic_load_acquire(&context->source->word);
        if (unlikely(word >> 32 != context->generation)) return -1;
        if (unlikely((uint32_t)word != 0)) return (int32_t)(uint32_t)word;
        context = context->parent == NULL ? NULL : context->parent->sources;
    }
    return 0;
}

#endif
