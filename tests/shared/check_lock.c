#include "shared/checks.h"

struct holder {
    int64_t token, until_ns; /* token 0: it holds nothing */
    bool unsure;             /* the store may not know of it */
};

struct lock_view {
    struct holder holder[SEEN_PROCESSES];
    int64_t last_token, unsure_ns; /* until then answers from before the store forgot may come */
};

static bool is_alone(const struct lock_view *view, uint16_t process, int64_t now_ns)
{
    if (view->holder[process].unsure) return true;
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        const struct holder *other = &view->holder[i];
        if (i != process && other->token != 0 && !other->unsure && now_ns < other->until_ns) return false;
    }
    return true;
}

static const char *hold(struct lock_view *view, const struct history_event *event)
{
    struct holder *holder = &view->holder[event->process];
    *holder = (struct holder) { event->a, event->b, event->at_ns < view->unsure_ns };
    if (event->a == view->last_token) return "lock: a token twice";
    if (event->a < view->last_token && !holder->unsure) return "lock: a token below one before it";
    if (event->a > view->last_token) view->last_token = event->a;
    return is_alone(view, event->process, event->at_ns) ? NULL : "lock: two hold it";
}

static void doubt(struct lock_view *view, int64_t until_ns)
{
    for (int i = 0; i < SEEN_PROCESSES; i++) view->holder[i].unsure = true;
    view->unsure_ns = until_ns;
}

static const char *look(
    struct lock_view *view, const struct history_event *event, const struct lock_terms *terms)
{
    struct holder *holder = &view->holder[event->process];
    switch (event->kind) {
    case SEEN_HOLD: return hold(view, event);
    case SEEN_VALID:
        holder->until_ns = event->b;
        return is_alone(view, event->process, event->at_ns) ? NULL : "lock: renewed while another holds it";
    case SEEN_FREE:
    case SEEN_GONE: *holder = (struct holder) { 0 }; return NULL;
    case SEEN_LOSS: doubt(view, event->at_ns + terms->lease_ns); return NULL;
    case SEEN_JUMP:
        if (event->a * 1000 > terms->grace_ns) doubt(view, event->at_ns + terms->lease_ns);
        return NULL;
    default: return NULL;
    }
}

const char *check_lock(
    const struct history_event *events, size_t count, const struct lock_terms *terms, size_t *at)
{
    struct lock_view view = { 0 };
    for (*at = 0; *at < count; ++*at) {
        const char *wrong = look(&view, &events[*at], terms);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}
