/* What drives a link to Redis: sockets, one epoll descriptor, a thread if asked for.
 *
 *     any thread                     who drives: the link's thread, the user's loop, a thread that waits
 *     ring() ---> doorbell ----.     step(): what arrived --> lanes --> answers --> link
 *     sockets -----------------+--> epoll     link --> questions --> lanes --> what is to be sent
 *     timer (CLOCK_BOOTTIME) --'              when to come again --> timer
 *
 * Invariants:
 *   1. the link, the lanes and the sockets are driven under `driving`, by one thread at a time, and nobody sleeps with it;
 *   2. whoever sleeps on the epoll descriptor is woken by a byte, a ring, or the time: the timer stands no later than the
 *      earliest instant that the link or a lane has named, so who waits needs no timeout of its own;
 *   3. `rung` is 1 from a ring to the next step: further rings make no system call;
 *   4. the sockets end with the close; epoll, timer and doorbell live as long as the link: whoever has a reference may ring
 *      or wait after it, and finds the doorbell rung;
 *   5. a descriptor stands in its field only while it is open: a child that forks in between closes none but its own;
 *   6. a child does nothing with what it inherited but to close its copies of it;
 *   7. nothing of the user's runs under `telling`. */
#ifndef WEIR_LIB_REDIS_HANDLE_H
#define WEIR_LIB_REDIS_HANDLE_H

#include "redis/lane.h"
#include "redis/settings.h"

#include <pthread.h>

struct connection {
    struct lane *lane;
    bool wanted;                  /* it is to be connected, from now on */
    int socket;                   /* -1: none */
    bool connecting;              /* it is neither connected nor refused yet */
    bool blocked;                 /* more is to be sent than the socket took */
    uint32_t events;              /* that epoll told of it, not looked at yet */
    struct weir_redis_stats told; /* under `telling`: as the last step left them */
};

struct redis {
    struct weir_link *link; /* not counted */
    struct settings settings;
    uint32_t process;
    int epoll, timer, doorbell;
    uint32_t rung;     /* atomic */
    uint64_t next_ns;  /* atomic: what the last step answered */
    uint32_t stopping; /* atomic: the thread is to end */
    uint64_t armed_ns; /* atomic: where the timer stands; WEIR_NEVER: nowhere */
    bool closed;
    struct lane_settings lane_settings;
    const struct redis *outside; /* that the driving thread is in a step of, too */
    bool has_thread;             /* it runs */
    pthread_t thread;
    pthread_mutex_t driving, telling;
    uint32_t lanes;
    struct connection connection[WEIR_NODES_MAX * WEIR_LANES]; /* of node i's lane j: i * WEIR_LANES + j */
};

/* drive.c */
bool redis_open(struct redis *redis); /* its descriptors; false: errno says why */
void redis_shut(struct redis *redis); /* those that are open */
void redis_begin(struct redis *redis, const char *function);
void redis_end(struct redis *redis);
/* Whether this thread drives it at present: an event's function runs. */
bool redis_is_inside(const struct redis *redis);
/* Answers whether a question was answered. */
bool redis_step(struct redis *redis, const char *function);
/* Blocks until there is something to do, or until_ns has come. */
void redis_sleep(struct redis *redis, uint64_t until_ns);
void redis_ring(void *argument);
struct weir_instants redis_now(void);
/* Epoll is to tell of these events of lane `tag`. */
bool redis_listen(struct redis *redis, int descriptor, uint32_t events, uint32_t tag, int operation);
/* No more questions, no more sockets: all is answered, the link closed. */
void redis_hang_up(struct redis *redis);

/* thread.c */
bool redis_thread_start(struct redis *redis);
void redis_thread_stop(struct redis *redis);

#endif
