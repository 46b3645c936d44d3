#include "base/context.h"

struct counters weir_context_counters;

void context_count(uint32_t which)
{
    context_count_at(thread_shard(), which);
}

struct weir_context_stats weir_context_stats(void)
{
    return (struct weir_context_stats) {
        .detached = counters_sum(&weir_context_counters, CONTEXT_DETACHED),
        .clipped = counters_sum(&weir_context_counters, CONTEXT_CLIPPED),
        .without_deadline = counters_sum(&weir_context_counters, CONTEXT_WITHOUT_DEADLINE),
    };
}

static void attach(struct weir_context *context, struct weir_source *source)
{
    context->source = source;
    context->sources = context;
    context->generation = (uint32_t)(atomic_load_acquire(&source->word) >> 32);
    context->depth++;
    WEIR_REQUIRE(context->depth <= WEIR_SOURCES_MAX, "weir_context_child",
        "more than WEIR_SOURCES_MAX cancelable contexts above one another");
}

void weir_context_child(struct weir_context *child, const struct weir_context *parent, uint64_t deadline_ns,
    struct weir_source *source)
{
    WEIR_REQUIRE(child != NULL, "weir_context_child", "child is NULL");
    if (parent == NULL) parent = weir_thread.context;
    child->parent = parent;
    child->source = NULL;
    child->trace = weir_context_trace(parent);
    if (parent == NULL) {
        child->deadline_ns = deadline_ns;
        child->sources = NULL;
        child->depth = 0;
    } else {
        uint64_t end_ns = parent->deadline_ns;
        child->sources = parent->sources;
        child->depth = parent->depth;
        if (unlikely(deadline_ns > end_ns)) {
            if (deadline_ns != WEIR_NEVER) context_count(CONTEXT_CLIPPED);
            deadline_ns = end_ns;
        }
        child->deadline_ns = deadline_ns;
    }
    if (source != NULL) attach(child, source);
}

void weir_context_detached(struct weir_context *context, uint64_t deadline_ns, struct weir_source *source)
{
    WEIR_REQUIRE(context != NULL, "weir_context_detached", "context is NULL");
    *context = (struct weir_context) { .deadline_ns = deadline_ns };
    context_count(CONTEXT_DETACHED);
    if (source != NULL) attach(context, source);
}

const struct weir_trace *weir_context_trace(const struct weir_context *context)
{
    return context == NULL ? NULL : context->trace;
}

void weir_context_set_trace(struct weir_context *context, const struct weir_trace *trace)
{
    WEIR_REQUIRE(context != NULL, "weir_context_set_trace", "context is NULL");
    context->trace = trace;
}

void weir_context_enter(struct weir_context *context)
{
    WEIR_REQUIRE(context != NULL, "weir_context_enter", "context is NULL");
    for (const struct weir_context *outer = weir_thread.context; outer != NULL; outer = outer->outer) {
        WEIR_REQUIRE(context != outer, "weir_context_enter", "the context is entered already");
    }
    context->outer = weir_thread.context;
    weir_thread.context = context;
}

void weir_context_leave(struct weir_context *context)
{
    WEIR_REQUIRE(context != NULL, "weir_context_leave", "context is NULL");
    WEIR_REQUIRE(weir_thread.context == context, "weir_context_leave",
        "the context is not this thread's current one (leave in reverse order, on the same thread)");
    weir_thread.context = context->outer;
}

const struct weir_context *weir_context_current(void)
{
    return weir_thread.context;
}

enum weir_status weir_context_check(const struct weir_context *context, uint64_t now_ns)
{
    if (context == NULL) return WEIR_OK;
    if (unlikely(context_canceled(context) != 0)) return WEIR_CANCELED;
    return now_ns >= context->deadline_ns ? WEIR_EXPIRED : WEIR_OK;
}

int32_t weir_context_reason(const struct weir_context *context)
{
    return context == NULL ? 0 : context_canceled(context);
}
