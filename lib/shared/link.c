/* The link at work: link.h has the diagram and the invariants. */
#include "shared/link_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- create, references ---- */

static const char type[] = "weir_link_config";

static enum weir_error validate_carrier(const struct weir_carrier *given, struct weir_carrier *carrier)
{
    if (given == NULL) return error_set(WEIR_E_INVALID, "%s.carrier is NULL, expected a weir_carrier", type);
    enum weir_error error = error_config("weir_carrier", given, carrier, sizeof *carrier);
    if (error != WEIR_E_NONE) return error;
    if (carrier->ring == NULL) return error_set(WEIR_E_INVALID, "weir_carrier.ring is NULL");
    if (carrier->nodes == 0 || carrier->nodes > WEIR_NODES_MAX || carrier->nodes % 2 == 0) {
        return error_set(WEIR_E_INVALID, "weir_carrier.nodes is %u, expected an odd number up to %d",
            carrier->nodes, WEIR_NODES_MAX);
    }
    return WEIR_E_NONE;
}

enum weir_error weir_link_create(const struct weir_link_config *given, struct weir_link **link)
{
    WEIR_REQUIRE(link != NULL, "weir_link_create", "link is NULL");
    struct weir_link_config c;
    struct weir_carrier carrier;
    char space[WEIR_NAME_MAX + 1];
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = error_name_in(type, "space", c.space, "default", space);
    if (error == WEIR_E_NONE) error = validate_carrier(c.carrier, &carrier);
    if (error == WEIR_E_NONE && (c.instance[0] | c.instance[1]) == 0) {
        error = error_set(WEIR_E_INVALID, "%s.instance is 0, expected what no other process has", type);
    }
    if (error == WEIR_E_NONE && c.sink != NULL && c.sink->event == NULL) {
        error = error_set(WEIR_E_INVALID, "%s.sink->event is NULL", type);
    }
    if (error != WEIR_E_NONE) return error;
    struct weir_link *new = calloc(1, sizeof *new);
    if (new == NULL) return error_set(WEIR_E_NOMEM, "no memory for a link");
    new->references = 1;
    new->process = process_generation();
    new->carrier = carrier;
    new->random = c.instance[0] ^ mix64(c.instance[1]);
    memcpy(new->instance, c.instance, sizeof new->instance);
    memcpy(new->space, space, sizeof space);
    if (c.sink != NULL) new->sink = *c.sink;
    share_install();
    *link = new;
    return WEIR_E_NONE;
}

struct weir_link *weir_link_acquire(struct weir_link *link)
{
    WEIR_REQUIRE(link != NULL, "weir_link_acquire", "link is NULL");
    uint32_t before = atomic_add_relaxed(&link->references, 1);
    WEIR_REQUIRE(before != 0, "weir_link_acquire", "the link has been released");
    return link;
}

void weir_link_release(struct weir_link *link)
{
    if (link == NULL) return;
    uint32_t before = atomic_sub_seq_cst(&link->references, 1);
    WEIR_REQUIRE(before != 0, "weir_link_release", "the link has been released before");
    if (before != 1) return;
    WEIR_ASSERT(link->objects == NULL);
    if (link->carrier.released != NULL) link->carrier.released(link->carrier.argument);
    free(link->heap);
    free(link);
}

/* ---- the lock, and what goes out after it ---- */

void shared_lock(struct weir_link *link)
{
    lock_take(&link->lock);
    if (unlikely(link->process != process_generation())) link->closed = link->forked = true;
}

void shared_unlock(struct weir_link *link)
{
    lock_drop(&link->lock);
}

static bool next_event(struct weir_link *link, struct weir_share_event *event)
{
    shared_lock(link);
    bool there = !link->forked && link->events_read != link->events_written;
    if (there) *event = link->events[link->events_read++ % LINK_EVENTS];
    shared_unlock(link);
    return there;
}

static struct shared *next_post(struct weir_link *link)
{
    shared_lock(link);
    struct shared *object = link->forked ? NULL : link->posts;
    if (object != NULL) {
        link->posts = object->post_next;
        object->posting = false;
        object->flying++; /* it stays */
    }
    shared_unlock(link);
    return object;
}

static void deliver(struct weir_link *link)
{
    struct weir_share_event event;
    for (struct shared *object; (object = next_post(link)) != NULL;) {
        object->ops->post(object);
        shared_lock(link);
        object->flying--;
        link_reap(object);
        shared_unlock(link);
    }
    if (link->sink.event == NULL) return;
    while (next_event(link, &event)) link->sink.event(link->sink.argument, &event);
}

/* On the driving thread only, so that all go out in their order. */
static void finish(struct weir_link *link)
{
    bool more = link->events_read != link->events_written || link->posts != NULL;
    shared_unlock(link);
    if (!more) return;
    atomic_store_relaxed(&link->teller, (const void *)&weir_thread);
    deliver(link);
    atomic_store_relaxed(&link->teller, NULL);
}

bool shared_is_told_here(const struct weir_link *link)
{
    return atomic_load_relaxed(&link->teller) == &weir_thread;
}

/* ---- the carrier's calls ---- */

/* When the machine slept, CLOCK_BOOTTIME went on alone. */
#define SLEPT_NS (10 * WEIR_MS)

static uint64_t gap_of(struct weir_instants now)
{
    return time_since(now.boottime_ns, now.monotonic_ns);
}

static void look_for_sleep(struct weir_link *link, struct weir_instants now)
{
    uint64_t gap = gap_of(now);
    bool slept = link->stepped && gap > link->gap_ns + SLEPT_NS;
    link->gap_ns = gap;
    if (!slept) return;
    for (struct shared *object = link->objects; object != NULL; object = object->next) {
        if (object->ops->slept != NULL) object->ops->slept(object, now);
    }
}

static void step_one(struct shared *object, struct weir_instants now)
{
    shared_wake_at(object, WEIR_NEVER);
    object->ops->step(object, now);
    link_reap(object);
}

/* In the order in which they were rung: what one gives back another may be about to take. */
static struct shared *take_rung(struct weir_link *link)
{
    struct shared *object = atomic_swap_acq_rel(&link->rung, NULL), *first = NULL;
    while (object != NULL) {
        struct shared *next = object->rung_next;
        object->rung_next = first;
        first = object;
        object = next;
    }
    return first;
}

static void step_rung(struct weir_link *link, struct weir_instants now)
{
    struct shared *object = take_rung(link);
    while (object != NULL) {
        struct shared *next = object->rung_next;
        atomic_swap_acq_rel(&object->rung, 0u);
        step_one(object, now);
        object = next;
    }
}

uint64_t weir_link_step(struct weir_link *link, struct weir_instants now)
{
    WEIR_REQUIRE(link != NULL, "weir_link_step", "link is NULL");
    shared_lock(link);
    if (link->closed) {
        shared_unlock(link);
        return WEIR_NEVER;
    }
    look_for_sleep(link, now);
    link->stepped = true;
    step_rung(link, now);
    while (link->heap_count != 0 && link->heap[0]->wake_ns <= now.monotonic_ns) step_one(link->heap[0], now);
    uint64_t next = link->heap_count == 0 ? WEIR_NEVER : link->heap[0]->wake_ns;
    finish(link);
    return next;
}

/* Each object counts its questions itself: of two that have one name, or one after another, the store must not take
 * one's for the other's old ones, nor lend to both what it keeps for one. The first is the instance itself. */
static void write_id(const struct weir_link *link, const struct shared *object, uint64_t id[2])
{
    id[0] = link->instance[0] ^ object->number * UINT64_C(0x9e3779b97f4a7c15);
    id[1] = link->instance[1];
}

bool weir_link_pull(struct weir_link *link, uint32_t node, enum weir_lane lane, struct weir_instants now,
    struct weir_ask *ask)
{
    WEIR_REQUIRE(link != NULL, "weir_link_pull", "link is NULL");
    WEIR_REQUIRE(node < link->carrier.nodes, "weir_link_pull", "there is no such node");
    WEIR_REQUIRE((unsigned)lane < WEIR_LANES, "weir_link_pull", "there is no such lane");
    WEIR_REQUIRE(ask != NULL, "weir_link_pull", "ask is NULL");
    struct link_lane *from = &link->lane[node][lane];
    bool pulled = false;
    shared_lock(link);
    while (!pulled && !link->closed && from->first != NULL) {
        struct shared_ask *slot = from->first;
        from->first = slot->next;
        if (from->first == NULL) from->last = NULL;
        slot->state = ASK_IDLE;
        *ask = (struct weir_ask) { .ticket = slot, .name = slot->object->name };
        write_id(link, slot->object, ask->id);
        pulled = slot->object->ops->fill(slot->object, slot, now, ask);
        if (!pulled) {
            link_reap(slot->object);
            continue;
        }
        slot->state = ASK_FLYING;
        slot->sent_ns = now.monotonic_ns;
        slot->sent_gap_ns = gap_of(now);
        slot->object->flying++;
        slot->object->stats.asked++;
    }
    finish(link);
    return pulled;
}

static void account(struct shared *object, const struct shared_ask *slot, const struct weir_answer *answer,
    struct weir_instants now)
{
    struct weir_share_stats *stats = &object->stats;
    switch (answer->kind) {
    case WEIR_ANSWER_DONE: stats->answered++; break;
    case WEIR_ANSWER_UNKNOWN: stats->unknown++; return;
    default: stats->refused++; return;
    }
    uint64_t took = time_since(now.monotonic_ns, slot->sent_ns);
    stats->round_trip_ns =
        stats->round_trip_ns == 0 ? took : stats->round_trip_ns - stats->round_trip_ns / 8 + took / 8;
}

void weir_link_answer(
    struct weir_link *link, void *ticket, const struct weir_answer *answer, struct weir_instants now)
{
    WEIR_REQUIRE(link != NULL, "weir_link_answer", "link is NULL");
    WEIR_REQUIRE(ticket != NULL, "weir_link_answer", "ticket is NULL");
    WEIR_REQUIRE(answer != NULL, "weir_link_answer", "answer is NULL");
    struct shared_ask *slot = ticket;
    shared_lock(link);
    if (link->forked) {
        shared_unlock(link);
        return;
    }
    WEIR_REQUIRE(slot->state == ASK_FLYING, "weir_link_answer", "the question is not under way");
    look_for_sleep(link, now);
    struct shared *object = slot->object;
    slot->state = ASK_IDLE;
    /* The store's time went on while the machine slept. */
    slot->sent_ns = time_since(slot->sent_ns, time_since(gap_of(now), slot->sent_gap_ns));
    account(object, slot, answer, now);
    object->ops->answer(object, slot, answer, now);
    object->flying--;
    link_reap(object);
    finish(link);
}

static void tell_lane(struct weir_link *link, uint32_t node, enum weir_lane lane, enum weir_lane_state state,
    struct weir_instants now)
{
    static const uint8_t kinds[] = { WEIR_SHARE_LINK_DOWN, WEIR_SHARE_LINK_SLOW, WEIR_SHARE_LINK_UP };
    struct weir_share_event event = {
        .kind = kinds[state], .node = (uint8_t)node, .number = lane, .now_ns = now.monotonic_ns
    };
    link_tell(link, &event);
}

/* Nothing that is queued there will be asked. */
static void empty_lane(struct link_lane *lane)
{
    for (; lane->first != NULL; lane->first = lane->first->next) lane->first->state = ASK_IDLE;
    lane->last = NULL;
}

void weir_link_report(struct weir_link *link, uint32_t node, enum weir_lane lane, enum weir_lane_state state,
    uint64_t server, struct weir_instants now)
{
    WEIR_REQUIRE(link != NULL, "weir_link_report", "link is NULL");
    WEIR_REQUIRE(node < link->carrier.nodes, "weir_link_report", "there is no such node");
    WEIR_REQUIRE((unsigned)lane < WEIR_LANES, "weir_link_report", "there is no such lane");
    WEIR_REQUIRE((unsigned)state <= WEIR_LANE_UP, "weir_link_report", "there is no such state");
    struct link_lane *at = &link->lane[node][lane];
    shared_lock(link);
    if (link->closed) {
        shared_unlock(link);
        return;
    }
    bool news = at->state != state || (state != WEIR_LANE_DOWN && at->server != server);
    if (at->state != state) tell_lane(link, node, lane, state, now);
    at->state = (uint8_t)state;
    if (state != WEIR_LANE_DOWN) {
        if (at->server != 0 && at->server != server) at->changed_ns = now.boottime_ns;
        at->server = server;
    }
    if (state == WEIR_LANE_DOWN) empty_lane(at);
    for (struct shared *object = news ? link->objects : NULL, *next; object != NULL; object = next) {
        next = object->next;
        object->ops->lane(object, node, lane, now);
        link_reap(object);
    }
    finish(link);
}

void weir_link_flush(struct weir_link *link, struct weir_instants now)
{
    WEIR_REQUIRE(link != NULL, "weir_link_flush", "link is NULL");
    shared_lock(link);
    for (struct shared *object = link->closed ? NULL : link->objects; object != NULL; object = object->next) {
        if (object->ops->flush != NULL) object->ops->flush(object, now);
    }
    finish(link);
}

bool weir_link_wants(struct weir_link *link, enum weir_lane lane)
{
    WEIR_REQUIRE(link != NULL, "weir_link_wants", "link is NULL");
    shared_lock(link);
    bool wants = !link->closed && link->lane_objects[lane] != 0;
    shared_unlock(link);
    return wants;
}

bool weir_link_is_flushed(struct weir_link *link)
{
    WEIR_REQUIRE(link != NULL, "weir_link_is_flushed", "link is NULL");
    bool flushed = true;
    shared_lock(link);
    for (struct shared *object = link->closed ? NULL : link->objects; object != NULL; object = object->next) {
        if (object->unflushed || object->flying != 0) flushed = false;
    }
    shared_unlock(link);
    return flushed;
}

void weir_link_close(struct weir_link *link, struct weir_instants now)
{
    WEIR_REQUIRE(link != NULL, "weir_link_close", "link is NULL");
    shared_lock(link);
    struct shared *object = link->closed ? NULL : link->objects;
    for (uint32_t i = 0; !link->closed && i < link->carrier.nodes * WEIR_LANES; i++) {
        empty_lane(&link->lane[i / WEIR_LANES][i % WEIR_LANES]);
    }
    link->closed = true;
    for (struct shared *next; object != NULL; object = next) {
        next = object->next;
        WEIR_REQUIRE(object->flying == 0, "weir_link_close", "a question is under way");
        object->ops->closed(object, now);
        shared_become(object, WEIR_SHARE_DETACHED, now.monotonic_ns);
        object->done = true;
        link_reap(object);
    }
    finish(link);
}

/* ---- what it is ---- */

const char *weir_link_space(const struct weir_link *link)
{
    WEIR_REQUIRE(link != NULL, "weir_link_space", "link is NULL");
    return link->space;
}

void weir_link_instance(const struct weir_link *link, uint64_t instance[2])
{
    WEIR_REQUIRE(link != NULL, "weir_link_instance", "link is NULL");
    WEIR_REQUIRE(instance != NULL, "weir_link_instance", "instance is NULL");
    memcpy(instance, link->instance, sizeof link->instance);
}

enum weir_error weir_carrier_error(enum weir_error error, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(error, "%s", text);
}

void *weir_link_carrier(const struct weir_link *link, void (*ring)(void *argument))
{
    WEIR_REQUIRE(link != NULL, "weir_link_carrier", "link is NULL");
    return link->carrier.ring == ring ? link->carrier.argument : NULL;
}
