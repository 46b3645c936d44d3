/* Private to the proxy: one direction of one connection.
 *
 *     source --read--> bytes --hiredis' reader--> message --drop, twice, delay--> queue --hold, trickle, end--> target
 *
 * Invariants: bytes leave in the order they came; once a message is dropped the stream is dead and nothing more of it
 * leaves; a message is counted and logged when its last byte has left. */
#ifndef WEIR_TESTS_PROXY_STREAM_H
#define WEIR_TESTS_PROXY_STREAM_H

#include "redis/support/proxy.h"

struct message {
    struct message *next;
    int64_t due_ns;
    uint64_t connection;
    bool whole; /* a command or a reply */
    size_t length, sent;
    char bytes[];
};

struct stream {
    void *reader;
    bool lawless; /* no Redis protocol: no reader any more */
    char *bytes;  /* of the message that is not whole yet */
    size_t length, size;
    struct message *first, **last;
    int64_t next_byte_ns;    /* of a trickle */
    uint64_t written, begin; /* bytes; as many when the faults were set */
    uint64_t messages, dropped;
    uint64_t connection;
    bool ended;  /* the source will say no more ... */
    bool broken; /* ... because of an error */
    bool told;   /* and the target knows */
    bool dead;
};

/* The log takes a message that has left. */
typedef void stream_log(void *log, struct message *message);

void stream_open(struct stream *stream, uint64_t connection);
void stream_close(struct stream *stream);

/* Takes what the source has to say; not to be called when it has ended. */
void stream_read(struct stream *stream, int source, const struct proxy_fault *fault, int64_t now_ns);
void stream_put(struct stream *stream, const char *bytes, size_t length, bool whole, int64_t due_ns);

/* When there is something to write: INT64_MAX: never, as it stands. */
int64_t stream_wake_ns(const struct stream *stream, const struct proxy_fault *fault);
/* Writes what may leave. PROXY_GOES_ON, or what is to become of the connection. */
enum proxy_end stream_write(struct stream *stream, int target, const struct proxy_fault *fault,
    int64_t now_ns, stream_log *keep, void *log);
/* Nothing will leave any more. */
bool stream_is_over(const struct stream *stream);
void stream_kill(struct stream *stream);

#endif
