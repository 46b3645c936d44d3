/* A proxy between the code under test and a server, with faults that are switched while it runs.
 *
 *     struct proxy *proxy = proxy_start(&address, NULL);
 *     ... connect to proxy_address(proxy) ...
 *     proxy_set(proxy, &(struct proxy_faults) { .replies.drop = true });
 *     proxy_set(proxy, NULL);
 *     proxy_stop(proxy);
 *
 * It understands the protocol as far as it must: what it holds, drops, doubles, counts and logs are whole commands and
 * whole replies. What is no Redis protocol (the link of a replica, garbage) passes as it comes, uncounted.
 *
 * A thread of its own, which blocks all signals. Each function may be called by any thread, and returns when what
 * it says is so: no byte read later escapes a fault that was set. What cannot be had ends the program with a message. */
#ifndef WEIR_TESTS_PROXY_H
#define WEIR_TESTS_PROXY_H

#include "redis/support/client.h"

enum proxy_end {
    PROXY_GOES_ON,
    PROXY_CLOSES,     /* both sides see an end */
    PROXY_RESETS,     /* and here a reset; over a unix socket there is none, and they see an end */
    PROXY_HALF_CLOSES /* the receiver of this direction sees an end, the other direction goes on */
};

/* Of one direction. Zero: none. */
struct proxy_fault {
    unsigned delay_ms;   /* each message comes so much later, in order */
    unsigned trickle_ms; /* byte by byte, each so much after the other */
    bool hold;          /* nothing passes until this is off: a partition that heals before anybody gives up */
    bool drop;          /* messages are lost, and all that follows in their connection, off or not: a stream
                          * has no holes. Its receiver is not told when the sender closes. */
    bool twice;         /* each message comes twice */
    enum proxy_end end; /* what becomes of each connection ... */
    uint64_t after;     /* ... before the byte after so many more */
};

struct proxy_faults {
    struct proxy_fault requests, replies;
    bool refuse; /* who connects is reset at once */
};

/* All since the start; requests, replies and bytes: what was passed on, in whole. */
struct proxy_counts {
    uint64_t connections, refused, open; /* accepted and passed on; accepted and reset; open now */
    uint64_t requests, request_bytes, dropped_requests;
    uint64_t replies, reply_bytes, dropped_replies;
};

struct proxy;

/* Listens on that unix socket; NULL as path: on a free port of 127.0.0.1. */
struct proxy *proxy_start(const struct redis_address *server, const char *path);
void proxy_stop(struct proxy *proxy); /* closes all, frees all */

struct redis_address proxy_address(const struct proxy *proxy);

/* Faults of all connections, of later ones too, in place of those before; NULL: none. */
void proxy_set(struct proxy *proxy, const struct proxy_faults *faults);
/* Later connections go there: a fail-over. The path is copied. */
void proxy_point(struct proxy *proxy, const struct redis_address *server);
/* Ends the connections that are open; PROXY_HALF_CLOSES: towards the client. */
void proxy_break(struct proxy *proxy, enum proxy_end how);
/* Puts bytes between the replies of each connection that is open. */
void proxy_inject(struct proxy *proxy, const void *bytes, size_t length);

struct proxy_counts proxy_counts(struct proxy *proxy);

/* ---- the commands that went through, in order ---- */

enum { PROXY_TEXT_MAX = 1024 };

struct proxy_command {
    int64_t at_ns;             /* CLOCK_BOOTTIME, as in a history */
    uint64_t connection;       /* its number, from 1 */
    char text[PROXY_TEXT_MAX]; /* the words, with spaces between; cut there */
};

size_t proxy_commands(struct proxy *proxy);
/* False: there are not so many. The first is 0. */
bool proxy_command(struct proxy *proxy, size_t index, struct proxy_command *command);
/* How many begin with that text. */
size_t proxy_count(struct proxy *proxy, const char *beginning);
/* How many of them are, byte by byte, what went through before: nothing was sent twice if this is 0. */
size_t proxy_repeated(struct proxy *proxy, const char *beginning);

#endif
