/* A link (share.h) through Redis, over TCP or a unix socket. Library weir-redis (weir::redis, weir-redis.pc).
 *
 *     struct weir_link *redis;
 *     weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = "unix:/run/redis.sock", .thread = true), &redis);
 *     ... what is shared through it: share.h, lock.h ...
 *     weir_redis_close(redis, 100 * WEIR_MS);
 *
 * A link is driven by a thread of its own, or by your loop, which polls weir_redis_fd() for reading, calls
 * weir_redis_step() when it is readable, and once before anything is shared:
 *
 *     struct pollfd poll_set[] = { { .fd = weir_redis_fd(redis), .events = POLLIN }, ... };
 *     weir_redis_step(redis);
 *     while (poll(poll_set, count, -1) >= 0)
 *         if (poll_set[0].revents != 0) weir_redis_step(redis);
 *
 * It has up to two connections to each server, its lanes: what locks ask never waits behind the rest, and is connected when
 * there is a lock. A server that is away is no error but a state: the link tries again, at once, then after 10 ms to
 * reconnect_max_ns with jitter, and what is shared holds what its .away says. Nothing is queued meanwhile and no
 * question is sent twice.
 *
 * In a forked child the link is closed and all it shared DETACHED; the parent's goes on. The child may close its copy,
 * and create a link of its own. No function raises SIGPIPE. */
#ifndef WEIR_REDIS_H
#define WEIR_REDIS_H

#include <weir/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_redis_config {
    uint32_t size;
    /* "tcp://127.0.0.1:6379", "tcp://[::1]:6379" (without a port: 6379), "unix:/run/redis.sock". A host is a number or
     * "localhost" (127.0.0.1): looking up a name would block. Default: "tcp://127.0.0.1:6379". */
    const char *address;
    /* Instead of address, for locks by majority: 3, 5 or 7 masters that know nothing of one another. */
    const char *const *addresses;
    uint32_t masters;
    uint32_t database;    /* that is selected; 0..65535 */
    const char *user;     /* of an ACL; default: Redis' "default" */
    const char *password; /* default: none, and no AUTH */
    const char *space;    /* objects of one space and name are one object; default: "default" */
    bool thread;          /* drives the link; default: you do */
    uint64_t command_ns; /* no answer for so long: the connection is given up; 10 ms..10 s; default: 250 ms */
    uint64_t slow_ns; /* no answer for so long: the link is SLOW; 1 ms..command_ns; default: 20 ms, or that */
    uint64_t connect_ns;       /* for connecting and the handshake; 10 ms..60 s; default: 1 s */
    uint64_t reconnect_max_ns; /* longest wait between two attempts to connect; 10 ms..60 s; default: 1 s */
    const struct weir_share_sink *sink; /* what changed; default: nobody is told */
    uint64_t instance[2];               /* who this process is, unlike all others; default: drawn at random */
};
WEIR_CONFIG_INIT(weir_redis_config)

/* Everything of the config is copied, but the sink's argument; user and password are wiped when the link goes. Never
 * blocks: connections are made later, by who drives it. config may be NULL. INVALID, SIZE, NOMEM, SYSTEM (no descriptor,
 * no thread). Yours to close. */
WEIR_API WEIR_MUST_USE enum weir_error weir_redis_create(
    const struct weir_redis_config *config, struct weir_link **link);

/* Ends it: asks what is shared to give back what it holds (leases, permits; a lock is its holder's to release), for within_ns at most (0: not at
 * all; what is held then ends with its lease), stops the thread, closes the connections; all is DETACHED, your reference
 * is gone. Blocks for within_ns + command_ns at most. Not from within an event, nor while another thread steps it. NULL:
 * nothing. */
WEIR_API void weir_redis_close(struct weir_link *link, uint64_t within_ns);

/* ---- without a thread ---- */

/* A descriptor, the link's, to poll for reading: it becomes readable when something has arrived, when somebody wants
 * something asked, and when the instant of weir_redis_next_wake() has come; now and then for nothing. It stays the
 * same. -1: in a forked child, or the link has a thread. */
WEIR_API int weir_redis_fd(const struct weir_link *link);
/* Does what is to be done now; never blocks. Answers the instant at which it wants to be called again, for loops that
 * cannot wait for the descriptor. Not from within an event. A link with a thread aborts. */
WEIR_API uint64_t weir_redis_step(struct weir_link *link);
/* What the last step answered. */
WEIR_API uint64_t weir_redis_next_wake(const struct weir_link *link);
/* Steps it until something was answered, or until_ns has come. */
WEIR_API void weir_redis_wait(struct weir_link *link, uint64_t until_ns);

/* ---- what is known of it ---- */

/* Why questions or connections failed. */
enum weir_redis_error {
    WEIR_REDIS_CONNECTION, /* not to be had, or lost */
    WEIR_REDIS_TIMEOUT,    /* given up: connecting, handshake or answer took too long */
    WEIR_REDIS_PROTOCOL,   /* what it said is not what Redis says, or more than was asked */
    WEIR_REDIS_REFUSED,    /* wrong password, no permission (NOPERM), no such database */
    WEIR_REDIS_ROLE,       /* a replica (READONLY), or part of a cluster (MOVED) */
    WEIR_REDIS_BUSY,       /* LOADING, BUSY, TRYAGAIN, too many clients: later perhaps */
    WEIR_REDIS_MEMORY,     /* OOM, MISCONF: it takes no writes */
    WEIR_REDIS_OTHER,      /* any other error that it answered */
    WEIR_REDIS_ERRORS
};

struct weir_redis_stats {
    enum weir_lane_state state;
    uint64_t connected; /* times that the lane came up */
    uint64_t lost;      /* times that it went down again */
    uint64_t given_up;  /* questions whose answer did not come in time */
    uint64_t commands, sent_bytes, received_bytes;
    uint64_t scripts_loaded; /* again, after the server had lost them */
    uint64_t errors[WEIR_REDIS_ERRORS];
    bool evicts;     /* its maxmemory-policy may evict keys: limits would start anew, locks be lost */
    char error[160]; /* the last one, escaped, without credentials; it stays; "": none yet */
};
/* From any thread, as the last step left them; from within an event, as they are. All zero in a forked child. node: the
 * place in addresses, else 0. */
WEIR_API struct weir_redis_stats weir_redis_stats(
    const struct weir_link *link, uint32_t node, enum weir_lane lane);
WEIR_API const char *weir_redis_error_text(enum weir_redis_error error);

#ifdef __cplusplus
}
#endif
#endif
