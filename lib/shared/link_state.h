/* The link's own words: link.c, objects.c. */
#ifndef WEIR_LIB_LINK_STATE_H
#define WEIR_LIB_LINK_STATE_H

#include "shared/link.h"

#define LINK_EVENTS 128
#define LINK_OBJECTS_MAX 100000

struct link_lane {
    struct shared_ask *first, *last; /* queued */
    uint64_t server,
        changed_ns; /* changed: by CLOCK_BOOTTIME, when it became another than before; 0: never */
    uint8_t state;  /* enum weir_lane_state */
};

struct weir_link {
    uint32_t references, lock, process;
    bool closed, stepped;
    bool forked;     /* this is a child of the process that made it */
    uint64_t gap_ns; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
    uint64_t random;
    struct shared *rung; /* a stack */
    struct shared *objects, *posts, *posts_last;
    const void *teller;   /* atomic: the thread on which events and posts go out, now */
    struct shared **heap; /* by wake_ns; place i's children are 2i + 1 and 2i + 2 */
    uint32_t heap_count, object_count, heap_room;
    uint32_t lane_objects[WEIR_LANES]; /* that ask there */
    struct link_lane lane[WEIR_NODES_MAX][WEIR_LANES];
    struct weir_carrier carrier;
    struct weir_share_sink sink;
    uint64_t instance[2];
    uint64_t enrolled; /* objects, ever */
    uint64_t events_written, events_read, events_dropped;
    struct weir_share_event events[LINK_EVENTS];
    char space[WEIR_NAME_MAX + 1];
};

void link_tell(struct weir_link *link, const struct weir_share_event *event);
/* Frees the object if it has left and is done; with the lock taken. */
void link_reap(struct shared *object);
/* share.c: has policies' configs find weir_policy_share(). */
void share_install(void);

#endif
