/* Events: what changed, told after it was decided, outside every lock and transition.
 *
 * Policies put events into a bounded ring of their pipeline; weir_run() hands them to the sink before it returns,
 * unless another thread is just at it, which then hands over these, too; other drivers call
 * weir_pipeline_deliver(). A full ring drops and counts. */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <weir/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EVENT_MAP(X)                         \
    X(NONE, "none")                               \
    X(BREAKER_OPENED, "breaker.opened")           \
    X(BREAKER_REOPENED, "breaker.reopened")       \
    X(BREAKER_HALF_OPENED, "breaker.half_opened") \
    X(BREAKER_CLOSED, "breaker.closed")           \
    X(BREAKER_RAMP_OVER, "breaker.ramp_over")     \
    X(REFUSED, "call.refused")                    \
    X(RETRIED, "call.retried")                    \
    X(FELL_BACK, "call.fell_back")                \
    X(ABANDONED, "attempt.abandoned")             \
    X(CHAOS_HIT, "chaos.hit")                     \
    X(CHAOS_ENDED, "chaos.ended")                 \
    X(CUSTOM, "custom")

enum weir_event_kind {
#define X(name, text) WEIR_EVENT_##name,
    WEIR_EVENT_MAP(X)
#undef X
        WEIR_EVENTS
};

struct weir_event {
    uint8_t kind;   /* enum weir_event_kind */
    uint8_t policy; /* its position in the pipeline + 1; 0: none */
    uint8_t attempt;
    uint8_t reason; /* enum weir_reason */
    int32_t code;
    uint64_t now_ns; /* when it was decided */
};

/* Called on a thread that ran a call, one at a time for each pipeline; borrowed for the pipeline's life.
 * It may call weir, but not destroy the pipeline. */
struct weir_sink {
    void (*event)(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event);
    void *argument;
};

WEIR_API const char *weir_event_text(enum weir_event_kind kind);

/* A ready sink: one logfmt line an event to a descriptor (borrowed), at most per_s lines a second
 * (0: 100); what is more is counted and told in the next line. A descriptor that would block loses the
 * line, never delays a call. Yours to destroy, after the pipelines that use it. NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_log_sink_create(
    int descriptor, uint32_t per_s, struct weir_sink **sink);
WEIR_API void weir_log_sink_destroy(struct weir_sink *sink);

#ifdef __cplusplus
}
#endif
#endif
