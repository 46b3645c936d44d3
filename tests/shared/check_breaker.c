#include "shared/checks.h"

#define TURNS_NS (INT64_C(30) * 1000000000) /* by then turns from before a loss are over */

struct fleet_view {
    int64_t epoch[SEEN_PROCESSES];
    int64_t probing[SEEN_PROCESSES], out[SEEN_PROCESSES]; /* the epoch, and how many */
    int64_t began_ns[SEEN_PROCESSES];                     /* the last of them */
    int64_t unsure_ns;
};

static int64_t out_in(const struct fleet_view *view, int64_t epoch, int64_t since_ns)
{
    int64_t out = 0;
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        if (view->probing[i] == epoch && view->began_ns[i] > since_ns) out += view->out[i];
    }
    return out;
}

static const char *look(
    struct fleet_view *view, const struct history_event *event, const struct breaker_terms *terms)
{
    uint16_t process = event->process;
    switch (event->kind) {
    case SEEN_EPOCH:
        if (event->a < view->epoch[process]) return "breaker: an epoch before the last one";
        view->epoch[process] = event->a;
        break;
    case SEEN_OPENED:
        if (terms->one_is_ill && event->at_ns >= view->unsure_ns) return "breaker: one process opened all";
        break;
    case SEEN_PROBE:
        if (view->probing[process] != event->a) view->out[process] = 0;
        view->probing[process] = event->a;
        view->out[process]++;
        view->began_ns[process] = event->at_ns;
        if (event->at_ns >= view->unsure_ns &&
            out_in(view, event->a, event->at_ns - terms->probe_ns) > terms->probes)
            return "breaker: more probes than the fleet may have";
        break;
    case SEEN_PROBED:
        if (view->probing[process] == event->a && view->out[process] > 0) view->out[process]--;
        break;
    case SEEN_GONE: view->epoch[process] = view->out[process] = 0; break;
    case SEEN_LOSS:
    case SEEN_JUMP: view->unsure_ns = event->at_ns + TURNS_NS; break;
    default: break;
    }
    return NULL;
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
