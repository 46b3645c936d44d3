#include "redis/support/proxy_stream.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_MAX = 65536 };

void stream_open(struct stream *stream, uint64_t connection)
{
    *stream = (struct stream) { .reader = redisReaderCreate(), .connection = connection };
    if (!stream->reader) redis_die("proxy: no memory");
    stream->last = &stream->first;
}

static void empty_queue(struct stream *stream)
{
    while (stream->first) {
        struct message *message = stream->first;
        stream->first = message->next;
        free(message);
    }
    stream->last = &stream->first;
}

void stream_close(struct stream *stream)
{
    empty_queue(stream);
    if (stream->reader) redisReaderFree(stream->reader);
    free(stream->bytes);
}

void stream_kill(struct stream *stream)
{
    stream->dead = true;
    empty_queue(stream);
}

/* ---- in ---- */

void stream_put(struct stream *stream, const char *bytes, size_t length, bool whole, int64_t due_ns)
{
    if (stream->dead) return;
    struct message *message = malloc(sizeof *message + length);
    if (!message) redis_die("proxy: no memory");
    *message = (struct message) { NULL, due_ns, stream->connection, whole, length, 0 };
    memcpy(message->bytes, bytes, length);
    *stream->last = message;
    stream->last = &message->next;
}

static void take_message(
    struct stream *stream, size_t length, bool whole, const struct proxy_fault *fault, int64_t now_ns)
{
    if (length == 0) return;
    const int64_t due_ns = now_ns + fault->delay_ms * INT64_C(1000000);
    if (fault->drop) stream->dead = true;
    if (stream->dead && whole) stream->dropped++;
    for (int i = 0; i <= fault->twice; i++) stream_put(stream, stream->bytes, length, whole, due_ns);
    stream->length -= length;
    memmove(stream->bytes, stream->bytes + length, stream->length);
}

/* The reader has gone through all but what it still holds. */
static size_t message_length(const struct stream *stream)
{
    const redisReader *reader = stream->reader;
    return stream->length - (reader->len - reader->pos);
}

static void split(struct stream *stream, const struct proxy_fault *fault, int64_t now_ns)
{
    void *reply = NULL;
    while (!stream->lawless) {
        if (redisReaderGetReply(stream->reader, &reply) != REDIS_OK) {
            stream->lawless = true;
        } else if (reply) {
            freeReplyObject(reply);
            take_message(stream, message_length(stream), true, fault, now_ns);
        } else {
            return;
        }
    }
    take_message(stream, stream->length, false, fault, now_ns);
}

static void append(struct stream *stream, const char *bytes, size_t length)
{
    if (stream->length + length > stream->size) {
        stream->size = 2 * (stream->length + length);
        stream->bytes = realloc(stream->bytes, stream->size);
        if (!stream->bytes) redis_die("proxy: no memory");
    }
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
    if (!stream->lawless) redisReaderFeed(stream->reader, bytes, length);
}

void stream_read(struct stream *stream, int source, const struct proxy_fault *fault, int64_t now_ns)
{
    char bytes[READ_MAX];
    ssize_t got = recv(source, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) {
        append(stream, bytes, (size_t)got);
        split(stream, fault, now_ns);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        stream->ended = true;
        stream->broken = got < 0;
        take_message(stream, stream->length, false, fault, now_ns); /* what it left unfinished */
    }
}

/* ---- out ---- */

int64_t stream_wake_ns(const struct stream *stream, const struct proxy_fault *fault)
{
    if (fault->hold || stream->dead) return INT64_MAX;
    if (!stream->first) return stream->ended && !stream->told ? 0 : INT64_MAX;
    int64_t due_ns = stream->first->due_ns;
    return fault->trickle_ms && stream->next_byte_ns > due_ns ? stream->next_byte_ns : due_ns;
}

bool stream_is_over(const struct stream *stream)
{
    return stream->told || (stream->ended && stream->dead);
}

static void leave(struct stream *stream, stream_log *keep, void *log)
{
    struct message *message = stream->first;
    stream->first = message->next;
    if (!stream->first) stream->last = &stream->first;
    stream->messages += message->whole;
    if (message->whole && keep) {
        keep(log, message);
    } else {
        free(message);
    }
}

/* How much may leave now; 0: here it ends. */
static size_t portion(const struct stream *stream, const struct proxy_fault *fault)
{
    size_t length = stream->first->length - stream->first->sent;
    if (fault->trickle_ms) length = 1;
    if (fault->end == PROXY_GOES_ON) return length;
    uint64_t left = stream->begin + fault->after - stream->written;
    return left < length ? (size_t)left : length;
}

/* The end of the source, as the target sees it. */
static enum proxy_end tell(struct stream *stream, int target, const struct proxy_fault *fault)
{
    if (fault->drop) {
        stream->dead = true;
        return PROXY_GOES_ON;
    }
    stream->told = true;
    if (stream->broken) return PROXY_RESETS;
    shutdown(target, SHUT_WR);
    return PROXY_GOES_ON;
}

enum proxy_end stream_write(struct stream *stream, int target, const struct proxy_fault *fault,
    int64_t now_ns, stream_log *keep, void *log)
{
    while (stream_wake_ns(stream, fault) <= now_ns) {
        struct message *message = stream->first;
        if (!message) return tell(stream, target, fault);
        size_t length = portion(stream, fault);
        if (length == 0) return fault->end;
        ssize_t sent = send(target, message->bytes + message->sent, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) return PROXY_GOES_ON;
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) { /* the target is gone: what it says by itself will tell */
            stream_kill(stream);
            return PROXY_GOES_ON;
        }
        stream->written += (uint64_t)sent;
        stream->next_byte_ns = now_ns + fault->trickle_ms * INT64_C(1000000);
        message->sent += (size_t)sent;
        if (message->sent == message->length) leave(stream, keep, log);
    }
    return PROXY_GOES_ON;
}
