/* A link's objects: enrolled, woken by time or by a ring, asked about, told of, gone. */
#include "shared/link_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- the heap of wake times ---- */

static void put(struct weir_link *link, uint32_t at, struct shared *object)
{
    link->heap[at] = object;
    object->heap_at = at + 1;
}

static void rise(struct weir_link *link, uint32_t at, struct shared *object)
{
    while (at != 0 && link->heap[(at - 1) / 2]->wake_ns > object->wake_ns) {
        put(link, at, link->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(link, at, object);
}

static void sink(struct weir_link *link, uint32_t at, struct shared *object)
{
    for (uint32_t child; (child = 2 * at + 1) < link->heap_count; at = child) {
        if (child + 1 < link->heap_count && link->heap[child + 1]->wake_ns < link->heap[child]->wake_ns)
            child++;
        if (link->heap[child]->wake_ns >= object->wake_ns) break;
        put(link, at, link->heap[child]);
    }
    put(link, at, object);
}

static void settle_at(struct weir_link *link, uint32_t at, struct shared *object)
{
    if (at != 0 && link->heap[(at - 1) / 2]->wake_ns > object->wake_ns) rise(link, at, object);
    else sink(link, at, object);
}

static void remove_from_heap(struct weir_link *link, struct shared *object)
{
    uint32_t at = object->heap_at - 1;
    struct shared *last = link->heap[--link->heap_count];
    object->heap_at = 0;
    if (last != object) settle_at(link, at, last);
}

void shared_wake_at(struct shared *object, uint64_t monotonic_ns)
{
    struct weir_link *link = object->link;
    object->wake_ns = monotonic_ns;
    if (monotonic_ns == WEIR_NEVER || link->closed) {
        if (object->heap_at != 0) remove_from_heap(link, object);
    } else if (object->heap_at != 0) {
        settle_at(link, object->heap_at - 1, object);
    } else {
        rise(link, link->heap_count++, object);
    }
}

/* ---- enrolled, gone ---- */

static enum weir_lane lane_of(const struct shared *object)
{
    return object->ops->locks ? WEIR_LANE_LOCK : WEIR_LANE_BULK;
}

/* Room in the heap for one more; it grows here only, so that nothing is allocated when time passes. */
static bool make_room(struct weir_link *link)
{
    if (link->object_count < link->heap_room) return true;
    uint32_t room = link->heap_room == 0 ? 16 : 2 * link->heap_room;
    struct shared **heap = realloc(link->heap, room * sizeof(struct shared *));
    if (heap == NULL) return false;
    link->heap = heap;
    link->heap_room = room;
    return true;
}

enum weir_error shared_enrol(
    struct weir_link *link, struct shared *object, const struct shared_ops *ops, const char *name)
{
    object->ops = ops;
    object->link = link;
    object->wake_ns = WEIR_NEVER;
    memcpy(object->name, name, strlen(name) + 1);
    shared_lock(link);
    enum weir_error error = WEIR_E_NONE;
    if (link->closed) {
        error = error_set(WEIR_E_INVALID, "the link is closed");
    } else if (!link->stepped && link->carrier.wait != NULL) {
        error = error_set(WEIR_E_INVALID,
            "the link has neither a thread nor a loop that steps it: nobody would renew a lease. "
            "Create it with .thread = true, or step it first");
    } else if (link->object_count >= LINK_OBJECTS_MAX) {
        error = error_set(WEIR_E_LIMIT, "the link has %d objects, as many as it may", LINK_OBJECTS_MAX);
    } else if (!make_room(link)) {
        error = error_set(WEIR_E_NOMEM, "no memory for one more object of a link");
    }
    if (error == WEIR_E_NONE) {
        object->number = link->enrolled++;
        link->object_count++;
        link->lane_objects[lane_of(object)]++;
        object->next = link->objects;
        if (object->next != NULL) object->next->previous = object;
        link->objects = object;
        weir_link_acquire(link);
        shared_ring(object);
    }
    shared_unlock(link);
    return error;
}

static bool is_queued(const struct shared *object)
{
    const struct weir_link *link = object->link;
    for (uint32_t i = 0; i < link->carrier.nodes * WEIR_LANES; i++) {
        const struct shared_ask *ask = link->lane[i / WEIR_LANES][i % WEIR_LANES].first;
        for (; ask != NULL; ask = ask->next) {
            if (ask->object == object) return true;
        }
    }
    return false;
}

void link_reap(struct shared *object)
{
    struct weir_link *link = object->link;
    if (likely(!object->left) || !object->done || link->forked) return;
    if (object->flying != 0 || object->posting || is_queued(object)) return;
    if (!link->closed && atomic_load_acquire(&object->rung) != 0)
        return; /* nobody walks a closed one's stack */
    if (object->heap_at != 0) remove_from_heap(link, object);
    if (object->next != NULL) object->next->previous = object->previous;
    if (object->previous != NULL) object->previous->next = object->next;
    else link->objects = object->next;
    link->object_count--;
    link->lane_objects[lane_of(object)]--;
    object->ops->destroy(object);
    /* Not the last one: whoever drives it, and shared_leave(), has another. */
    uint32_t before = atomic_sub_seq_cst(&link->references, 1);
    WEIR_ASSERT(before > 1);
}

void shared_leave(struct shared *object)
{
    struct weir_link *link = weir_link_acquire(object->link);
    shared_lock(link);
    object->ops->leave(object);
    object->left = true;
    if (link->closed) object->done = true;
    else shared_ring(object);
    link_reap(object);
    shared_unlock(link);
    weir_link_release(link);
}

struct weir_share_stats shared_report(struct shared *object)
{
    shared_lock(object->link);
    struct weir_share_stats stats = object->stats;
    stats.state = object->link->closed ? WEIR_SHARE_DETACHED : (enum weir_share_state)object->state;
    stats.dropped = object->link->events_dropped;
    if (object->ops->report != NULL) object->ops->report(object, &stats);
    shared_unlock(object->link);
    return stats;
}

enum { NOT_RUNG, MARKED, RUNG };

static void push(struct weir_link *link, struct shared *object)
{
    struct shared *first = atomic_load_acquire(&link->rung);
    do {
        object->rung_next = first;
    } while (!atomic_cas_acq_rel(&link->rung, &first, object));
}

void shared_mark(struct shared *object)
{
    uint32_t seen = NOT_RUNG;
    if (atomic_cas_acq_rel(&object->rung, &seen, (uint32_t)MARKED)) push(object->link, object);
}

void shared_ring(struct shared *object)
{
    struct weir_link *link = object->link;
    if (link->process != process_generation())
        return; /* the parent's carrier has nothing to do for a child */
    uint32_t before = atomic_swap_acq_rel(&object->rung, (uint32_t)RUNG);
    if (before == NOT_RUNG) push(link, object);
    if (before != RUNG) link->carrier.ring(link->carrier.argument);
}

/* ---- questions ---- */

bool shared_ask_queue(struct shared_ask *ask)
{
    struct link_lane *lane = &ask->object->link->lane[ask->node][ask->lane];
    if (ask->object->link->closed || lane->state == WEIR_LANE_DOWN) return false;
    if (ask->state != ASK_IDLE) return true;
    ask->state = ASK_QUEUED;
    ask->next = NULL;
    if (lane->last != NULL) lane->last->next = ask;
    else lane->first = ask;
    lane->last = ask;
    return true;
}

enum weir_lane_state shared_lane_state(const struct weir_link *link, uint32_t node, enum weir_lane lane)
{
    return (enum weir_lane_state)link->lane[node][lane].state;
}

bool shared_lane_is_up(const struct weir_link *link, uint32_t node, enum weir_lane lane)
{
    return link->lane[node][lane].state != WEIR_LANE_DOWN;
}

uint64_t shared_lane_server(const struct weir_link *link, uint32_t node, enum weir_lane lane)
{
    return link->lane[node][lane].server;
}

uint64_t shared_lane_changed(const struct weir_link *link, uint32_t node, enum weir_lane lane)
{
    return link->lane[node][lane].changed_ns;
}

uint32_t shared_nodes(const struct weir_link *link)
{
    return link->carrier.nodes;
}

/* ---- told ---- */

void link_tell(struct weir_link *link, const struct weir_share_event *event)
{
    if (link->sink.event == NULL) return;
    if (link->events_written - link->events_read == LINK_EVENTS) {
        link->events_dropped++;
        return;
    }
    link->events[link->events_written++ % LINK_EVENTS] = *event;
}

void shared_tell(struct shared *object, enum weir_share_event_kind kind, uint64_t number, uint64_t now_ns)
{
    struct weir_share_event event = { .kind = (uint8_t)kind,
        .state = object->state,
        .before = object->state,
        .number = number,
        .now_ns = now_ns };
    memcpy(event.name, object->name, sizeof event.name);
    link_tell(object->link, &event);
}

void shared_become(struct shared *object, enum weir_share_state state, uint64_t now_ns)
{
    if (object->state == state) return;
    struct weir_share_event event = {
        .kind = WEIR_SHARE_CHANGED, .state = (uint8_t)state, .before = object->state, .now_ns = now_ns
    };
    memcpy(event.name, object->name, sizeof event.name);
    link_tell(object->link, &event);
    if (object->state == WEIR_SHARE_DEGRADED) {
        object->stats.degraded_ns += time_since(now_ns, object->state_since_ns);
    }
    object->state = (uint8_t)state;
    object->state_since_ns = now_ns;
    object->stats.changes[state]++;
}

void shared_post(struct shared *object)
{
    struct weir_link *link = object->link;
    if (object->posting) return;
    object->posting = true;
    object->post_next = NULL;
    if (link->posts != NULL) link->posts_last->post_next = object;
    else link->posts = object;
    link->posts_last = object;
}

/* ---- what hooks ask of the link ---- */

uint64_t *shared_random(struct weir_link *link)
{
    return &link->random;
}

bool shared_is_closed(const struct weir_link *link)
{
    return link->closed;
}

bool shared_is_threaded(const struct weir_link *link)
{
    return link->carrier.wait == NULL;
}

void shared_wait(struct weir_link *link, uint64_t until_ns)
{
    link->carrier.wait(link->carrier.argument, until_ns);
}
