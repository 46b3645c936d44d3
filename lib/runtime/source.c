/* Sources: canceling from another thread, and waking what is parked under it.
 *
 *     source { word {generation:32 | reason:32} } --lock-- watches --> watch --> watch
 *                     |                                        ^          ^
 *     cancel: 1. reason 0 -> r  2. lock, post each, unlock     |          |
 *     watch:  1. lock, join the list, unlock  (each source of the chain)  2. look at the words
 *
 * Invariants:
 *   1. A word's generation only grows, and within one generation the reason changes once, from 0: the first
 *      reason wins. Hence a context, once canceled, stays so (of 2^32 resets in its life nobody speaks).
 *   2. The word changes before anybody is posted: whoever is woken finds his context canceled.
 *   3. A watch is in the list of each distinct source of its chain, or of none; the lists change and are
 *      walked under their source's lock only, and nobody holds two of these locks.
 *   4. A waker is posted under a lock that unwatch takes, or by watch itself: after unwatch it doesn't run.
 *   5. The list is of one process. What a forked child inherits lies in stacks of threads that it doesn't have,
 *      perhaps half linked: the first to take the lock there forgets it.
 *
 * No wake-up is lost: of the two turns under the lock, one comes first. If it is watch's, cancel's walk
 * finds the watch. If it is cancel's, the word had changed before it, and watch's look, which comes after
 * its own turn, sees that. */
#include "base/context.h"
#include "base/error.h"
#include "base/lock.h"

#include <stdlib.h>

static void take(struct weir_source *source)
{
    lock_take(&source->lock);
    uint32_t mine = process_generation();
    if (likely(source->process == mine)) return;
    source->process = mine;
    source->watches = NULL;
}

enum weir_error weir_source_create(struct weir_source **source)
{
    WEIR_REQUIRE(source != NULL, "weir_source_create", "source is NULL");
    struct weir_source *new = calloc(1, sizeof *new);
    if (new == NULL) return error_set(WEIR_E_NOMEM, "no memory for a source");
    new->references = 1;
    new->process = process_generation();
    *source = new;
    return WEIR_E_NONE;
}

struct weir_source *weir_source_acquire(struct weir_source *source)
{
    WEIR_REQUIRE(source != NULL, "weir_source_acquire", "source is NULL");
    uint32_t before = atomic_add_relaxed(&source->references, 1);
    WEIR_REQUIRE(before != 0, "weir_source_acquire", "the source has been released");
    return source;
}

void weir_source_release(struct weir_source *source)
{
    if (source == NULL) return;
    uint32_t before = atomic_sub_seq_cst(&source->references, 1);
    WEIR_REQUIRE(before != 0, "weir_source_release", "the source has been released before");
    if (before != 1) return;
    take(source);
    WEIR_REQUIRE(source->watches == NULL, "weir_source_release",
        "the last reference was dropped while a context of the source is being watched");
    free(source);
}

/* The watch's link in the list of this source; it is in it. */
static uint32_t link_of(const struct weir_watch *watch, const struct weir_source *source)
{
    uint32_t i = 0;
    while (watch->link[i].source != source) i++;
    return i;
}

/* Reasons of an outer source may have come meanwhile, and a reset leaves its younger contexts alone: each
 * watch is asked, so that a waker posts only for a context that is over. */
static void wake_watchers(struct weir_source *source)
{
    take(source);
    for (struct weir_watch *watch = source->watches; watch != NULL;
         watch = watch->link[link_of(watch, source)].next) {
        if (context_canceled(watch->context) != 0) watch->waker.post(watch->waker.argument);
    }
    lock_drop(&source->lock);
}

bool weir_source_cancel(struct weir_source *source, int32_t reason)
{
    WEIR_REQUIRE(source != NULL, "weir_source_cancel", "source is NULL");
    WEIR_REQUIRE(reason != 0, "weir_source_cancel", "reason is 0, which means not canceled");
    uint64_t word = atomic_load_acquire(&source->word);
    do {
        if ((uint32_t)word != 0) return false;
    } while (!atomic_cas_acq_rel(&source->word, &word, word | (uint32_t)reason));
    wake_watchers(source);
    return true;
}

void weir_source_reset(struct weir_source *source)
{
    WEIR_REQUIRE(source != NULL, "weir_source_reset", "source is NULL");
    uint64_t word = atomic_load_acquire(&source->word);
    while (!atomic_cas_acq_rel(&source->word, &word, ((word >> 32) + 1) << 32)) continue;
    if ((uint32_t)word == 0) wake_watchers(source); /* else cancel does it */
}

static bool joined(const struct weir_watch *watch, const struct weir_source *source)
{
    for (uint32_t i = 0; i < watch->links; i++) {
        if (watch->link[i].source == source) return true;
    }
    return false;
}

static void join(struct weir_watch *watch, struct weir_source *source)
{
    uint32_t mine = watch->links++;
    watch->link[mine].source = source;
    watch->link[mine].previous = NULL;
    take(source);
    struct weir_watch *next = source->watches;
    watch->link[mine].next = next;
    if (next != NULL) next->link[link_of(next, source)].previous = watch;
    source->watches = watch;
    lock_drop(&source->lock);
}

static void part(struct weir_watch *watch, uint32_t mine)
{
    struct weir_source *source = watch->link[mine].source;
    take(source);
    struct weir_watch *next = watch->link[mine].next, *previous = watch->link[mine].previous;
    if (next != NULL) next->link[link_of(next, source)].previous = previous;
    if (previous != NULL) previous->link[link_of(previous, source)].next = next;
    else source->watches = next;
    lock_drop(&source->lock);
}

void weir_context_watch(struct weir_watch *watch, const struct weir_context *context, struct weir_waker waker)
{
    WEIR_REQUIRE(watch != NULL, "weir_context_watch", "watch is NULL");
    WEIR_REQUIRE(waker.post != NULL, "weir_context_watch", "waker.post is NULL");
    watch->context = context;
    watch->waker = waker;
    watch->links = 0;
    watch->process = process_generation();
    if (context == NULL) return;
    const struct weir_context *at = context->sources;
    while (at != NULL) {
        if (!joined(watch, at->source)) join(watch, at->source);
        at = at->parent == NULL ? NULL : at->parent->sources;
    }
    if (context_canceled(context) != 0) waker.post(waker.argument);
}

void weir_context_unwatch(struct weir_watch *watch)
{
    WEIR_REQUIRE(watch != NULL, "weir_context_unwatch", "watch is NULL");
    if (watch->process == process_generation()) {
        for (uint32_t i = 0; i < watch->links; i++) part(watch, i);
    }
    watch->links = 0;
}
