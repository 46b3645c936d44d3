#include "shared/checks.h"

/* Who opened the fleet. An instance that was heard by the store counts there for a while, and none opens it alone: so
 * when a well one has been heard, and the fleet closed, no epoch after that one is open by the ill one's work. */
struct fleet_view {
    int64_t epoch[SEEN_PROCESSES];
    int64_t probing[SEEN_PROCESSES], out[SEEN_PROCESSES]; /* the epoch, and how many */
    int64_t began_ns[SEEN_PROCESSES];                     /* the last of them */
    int64_t heard_ns;    /* a well one; 0: not since the store forgot, or it is open */
    int64_t heard_epoch; /* what it was told then */
    int64_t unsure_ns;   /* until then there may be turns that the store forgot */
};

static int64_t out_in(const struct fleet_view *view, int64_t epoch, int64_t since_ns)
{
    int64_t out = 0;
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        if (view->probing[i] == epoch && view->began_ns[i] > since_ns) out += view->out[i];
    }
    return out;
}

static const char *probe(
    struct fleet_view *view, const struct history_event *event, const struct breaker_terms *terms)
{
    uint16_t process = event->process;
    if (view->probing[process] != event->a) view->out[process] = 0;
    view->probing[process] = event->a;
    view->out[process]++;
    view->began_ns[process] = event->at_ns;
    bool sure = event->at_ns >= view->unsure_ns;
    bool many = out_in(view, event->a, event->at_ns - terms->probe_ns) > terms->probes;
    return sure && many ? "breaker: more probes than the fleet may have" : NULL;
}

static const char *opened(
    const struct fleet_view *view, const struct history_event *event, const struct breaker_terms *terms)
{
    if (!terms->one_is_ill || view->heard_ns == 0) return NULL;
    if (event->at_ns - view->heard_ns >= terms->presence_ns) return NULL;
    return view->epoch[event->process] > view->heard_epoch ? "breaker: one process opened all" : NULL;
}

static void hear(struct fleet_view *view, const struct history_event *event)
{
    if (event->process == 0) return; /* the ill one */
    view->heard_ns = event->b != 0 ? 0 : event->at_ns;
    if (event->a > view->heard_epoch) view->heard_epoch = event->a;
}

static const char *look(
    struct fleet_view *view, const struct history_event *event, const struct breaker_terms *terms)
{
    uint16_t process = event->process;
    switch (event->kind) {
    case SEEN_EPOCH:
        if (event->a < view->epoch[process]) return "breaker: an epoch before the last one";
        view->epoch[process] = event->a;
        return NULL;
    case SEEN_OPENED: return opened(view, event, terms);
    case SEEN_HEARD: hear(view, event); return NULL;
    case SEEN_PROBE: return probe(view, event, terms);
    case SEEN_PROBED:
        if (view->probing[process] == event->a && view->out[process] > 0) view->out[process]--;
        return NULL;
    case SEEN_GONE: view->epoch[process] = view->out[process] = 0; return NULL;
    case SEEN_LOSS:
    case SEEN_JUMP:
        view->unsure_ns = event->at_ns + terms->turn_ns;
        view->heard_ns = 0;
        return NULL;
    default: return NULL;
    }
}

const char *check_breaker(
    const struct history_event *events, size_t count, const struct breaker_terms *terms, size_t *at)
{
    struct fleet_view view = { 0 };
    for (*at = 0; *at < count; ++*at) {
        const char *wrong = look(&view, &events[*at], terms);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}
