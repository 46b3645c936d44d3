#include "shared/checks.h"

struct stand {
    int64_t state[SEEN_OBJECTS]; /* + 1; 0: there is none */
    int64_t parted_ns;           /* 0: it is not */
};

static const char *const undeclared[SEEN_OBJECTS] = { "rate: parted, but not degraded",
    "breaker: parted, but not degraded", "bulkhead: parted, but not degraded", NULL };
static const char *const unrecovered[SEEN_OBJECTS] = { "rate: not shared again", "breaker: not shared again",
    "bulkhead: not shared again", NULL };

static bool is_shared(int64_t state)
{
    return state == 0 || state - 1 == WEIR_SHARE_SHARED || state - 1 == WEIR_SHARE_SLOW;
}

static const char *look_at_one(
    const struct stand *stand, int object, const struct state_terms *terms, int64_t now_ns)
{
    int64_t state = stand->state[object];
    bool long_parted = stand->parted_ns != 0 && now_ns > stand->parted_ns + terms->declared_ns;
    if (long_parted && state != 0 && state - 1 != WEIR_SHARE_DEGRADED) return undeclared[object];
    bool long_joined = terms->joined_at_ns != 0 && now_ns > terms->joined_at_ns + terms->recovered_ns;
    return long_joined && !is_shared(state) ? unrecovered[object] : NULL;
}

static const char *look_at_all(const struct stand *stands, const struct state_terms *terms, int64_t now_ns)
{
    for (int i = 0; i < SEEN_PROCESSES * SEEN_LOCK; i++) {
        const char *wrong = look_at_one(&stands[i / SEEN_LOCK], i % SEEN_LOCK, terms, now_ns);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}

static const char *change(struct stand *stand, const struct history_event *event)
{
    int64_t *state = &stand->state[event->object];
    if (event->a == WEIR_SHARE_DETACHED && *state > 1) return "detached while it is shared";
    *state = event->a + 1;
    return NULL;
}

const char *check_states(
    const struct history_event *events, size_t count, const struct state_terms *terms, size_t *at)
{
    struct stand stands[SEEN_PROCESSES] = { 0 };
    for (*at = 0; *at < count; ++*at) {
        const struct history_event *event = &events[*at];
        struct stand *stand = &stands[event->process];
        const char *wrong = NULL;
        if (event->kind == SEEN_STATE) wrong = change(stand, event);
        if (event->kind == SEEN_GONE) *stand = (struct stand) { 0 };
        if (event->kind == SEEN_PARTED) stand->parted_ns = event->at_ns;
        if (event->kind == SEEN_JOINED) stand->parted_ns = 0;
        if (wrong == NULL) wrong = look_at_all(stands, terms, event->at_ns);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}
