/* A lane at a desk: what a server says is typed in, what it is sent is read off, time is set by hand. Its questions are
 * those of an object of no use, on a real link. Broken promises abort; seed: for the message. */
#ifndef WEIR_TESTS_DESK_H
#define WEIR_TESTS_DESK_H

#include "redis/lane.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DESK_ASKS 300
#define DESK_SHA "0123456789abcdef0123456789abcdef01234567"

struct desk_ask {
    uint32_t pulled, answered;
    uint64_t in_ns;            /* its deadline; 0: WEIR_S */
    enum weir_ask_kind kind;   /* as it asks */
    struct weir_answer answer; /* the last one */
};

struct asker;

struct desk {
    struct weir_link *link;
    struct lane *lane; /* NULL: there was no memory */
    enum weir_lane which;
    struct weir_instants now;
    struct lane_settings settings;
    struct asker *asker;
    struct desk_ask ask[DESK_ASKS];
    uint32_t came_up, went_down, slowed; /* as the link's user is told */
    size_t sent_count;
    uint64_t seed;
    char sent[1 << 20]; /* since it was last forgotten */
};

/* A link and a lane that is down. name: the object's. */
void desk_open(struct desk *desk, enum weir_lane which, const char *name);
/* Ends the lane; each question that was pulled has been answered once. */
void desk_close(struct desk *desk);

void desk_queue(struct desk *desk, uint32_t ask);
/* Of the link, then of the lane; what it wants to send stays. */
uint64_t desk_step(struct desk *desk);
uint64_t desk_pass(struct desk *desk, uint64_t ns);
void desk_say(struct desk *desk, const void *bytes, size_t count);
void desk_type(struct desk *desk, const char *text);
/* Sends so many bytes of what waits; the rest stays. */
void desk_send(struct desk *desk, size_t most);
void desk_send_all(struct desk *desk);
void desk_forget(struct desk *desk);

/* Down to connected, all of the greeting sent. */
void desk_connect(struct desk *desk);
/* The answers to the greeting; the one at `other` is `text` instead. */
void desk_answer_greeting(struct desk *desk, int other, const char *text);
int desk_greeting_count(const struct desk *desk);
/* All of that. */
void desk_up(struct desk *desk);
/* The number of the server that the lane has reported. */
uint64_t desk_server(const struct desk *desk);

#endif
