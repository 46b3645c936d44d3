/* Contexts: one absolute deadline and one way to cancel, handed down through every layer.
 *
 * A context is a value in the caller's frame that does not change under its children; a child can only have less time than its
 * parent. Only a *source* is canceled, from any thread: one for a request, or for a group of them.
 *
 *     struct weir_context request;
 *     weir_context_child(&request, NULL, now_ns + 800 * WEIR_MS, source);
 *     weir_context_enter(&request);        from here on calls of this thread know it
 *     ...
 *     weir_context_leave(&request);
 */
#ifndef WEIR_CONTEXT_H
#define WEIR_CONTEXT_H

#include <weir/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_source;
struct weir_trace;

/* Private fields; not copied; must outlive its children and the calls under it. */
struct weir_context {
    const struct weir_context *parent;
    uint64_t deadline_ns;
    struct weir_source *source;
    const struct weir_context *sources; /* the nearest context, itself included, with a source */
    uint32_t generation;                /* of the source when the context was made */
    uint32_t depth;                     /* sources in the chain */
    const struct weir_context *outer;   /* what was current before enter */
    const struct weir_trace *trace;     /* where its work stands in a trace */
};

/* Makes *child a child of parent (NULL: the thread's current context, else a root) that ends at the
 * instant deadline_ns (WEIR_NEVER: with its parent). A deadline later than the parent's is cut to it and
 * counted. source is borrowed and may be NULL; more than WEIR_SOURCES_MAX in a chain abort. */
WEIR_API void weir_context_child(struct weir_context *child, const struct weir_context *parent,
    uint64_t deadline_ns, struct weir_source *source);

/* A root that ignores the current context: work that must outlive its request. Counted. */
WEIR_API void weir_context_detached(
    struct weir_context *context, uint64_t deadline_ns, struct weir_source *source);

/* Makes it the current context of this thread, and of no other, until weir_context_leave(), which aborts unless called
 * on the same thread, last in first out. */
WEIR_API void weir_context_enter(struct weir_context *context);
WEIR_API void weir_context_leave(struct weir_context *context);
/* NULL if there is none. */
WEIR_API const struct weir_context *weir_context_current(void);

/* The trace (wire.h) that work under it is part of: its own, else its parent's; NULL if there is none. Borrowed. */
WEIR_API const struct weir_trace *weir_context_trace(const struct weir_context *context);
/* Gives it one of its own, before it has children or calls. trace is borrowed and must outlive it. For requests that
 * do not come with headers; for those weir_wire_context() does it. */
WEIR_API void weir_context_set_trace(struct weir_context *context, const struct weir_trace *trace);

/* WEIR_OK while it lasts, WEIR_CANCELED (before anything else), or WEIR_EXPIRED from its deadline on.
 * NULL is WEIR_OK. */
WEIR_API enum weir_status weir_context_check(const struct weir_context *context, uint64_t now_ns);
/* The reason its nearest canceled source was given; 0 while not canceled. */
WEIR_API int32_t weir_context_reason(const struct weir_context *context);

/* A source, yours to release; counted references. NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_source_create(struct weir_source **source);
WEIR_API struct weir_source *weir_source_acquire(struct weir_source *source);
WEIR_API void weir_source_release(struct weir_source *source);

/* Ends every context made from it and wakes what is parked under them, at once. reason: your own
 * number, not 0. The first reason wins; false: it was canceled before. Idempotent. */
WEIR_API bool weir_source_cancel(struct weir_source *source, int32_t reason);

/* Makes it as new for further contexts; those made before are canceled from now on, with reason -1. */
WEIR_API void weir_source_reset(struct weir_source *source);

/* A waker posts: it tells whoever drives a call that there is something to look at. It is called from
 * any thread, any number of times, also late; it must not block and must not call weir. Copied. */
struct weir_waker {
    void (*post)(void *argument);
    void *argument;
};

/* Calls waker when the context is canceled (at once if it is already), until weir_context_unwatch(),
 * after which it is not running any more. For drivers of their own event loop. The watch is private,
 * in your frame; a context without a source is never canceled and needs no watch. */
struct weir_watch {
    const struct weir_context *context;
    struct weir_waker waker;
    struct {
        struct weir_source *source;
        struct weir_watch *next, *previous; /* of the source's watches */
    } link[WEIR_SOURCES_MAX];
    uint32_t links;
    uint32_t process; /* whose watch it is */
};
WEIR_API void weir_context_watch(
    struct weir_watch *watch, const struct weir_context *context, struct weir_waker waker);
WEIR_API void weir_context_unwatch(struct weir_watch *watch);

/* Of the process, since its start. */
struct weir_context_stats {
    uint64_t detached;         /* contexts made by weir_context_detached() */
    uint64_t clipped;          /* contexts that asked for more than their parent had */
    uint64_t without_deadline; /* calls that began without any deadline */
};
WEIR_API struct weir_context_stats weir_context_stats(void);

#ifdef __cplusplus
}
#endif
#endif
