/* hiredis writes the commands and reads the answers; the socket is ours (its own raises SIGPIPE). */
#include "redis/support/client.h"

#include "redis/support/await.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORDS_MAX = 256 };

void redis_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("redis harness: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    _exit(1);
}

/* ---- the socket ---- */

static bool await_ready(int descriptor, short events, int64_t end_ms)
{
    int64_t left = end_ms - await_now_ms();
    struct pollfd one = { .fd = descriptor, .events = events };
    return poll(&one, 1, left > 0 ? (int)left : 0) == 1;
}

static int connect_to(const struct redis_address *address)
{
    struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_port = htons(address->port) };
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    int descriptor = socket(address->path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) redis_die("no socket: %s", strerror(errno));
    int result;
    if (address->path) {
        if (strlen(address->path) >= sizeof local.sun_path) redis_die("too long: %s", address->path);
        memcpy(local.sun_path, address->path, strlen(address->path) + 1);
        result = connect(descriptor, (struct sockaddr *)&local, sizeof local);
    } else {
        tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        result = connect(descriptor, (struct sockaddr *)&tcp, sizeof tcp);
    }
    if (result == 0 || errno == EINPROGRESS) return descriptor;
    close(descriptor);
    return -1;
}

bool redis_client_open(struct redis_client *client, const struct redis_address *address, int limit_ms)
{
    *client = (struct redis_client) { .descriptor = connect_to(address), .limit_ms = limit_ms };
    if (client->descriptor < 0) return false;
    int error = 0;
    socklen_t size = sizeof error;
    if (!await_ready(client->descriptor, POLLOUT, await_now_ms() + limit_ms) ||
        getsockopt(client->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        close(client->descriptor);
        client->descriptor = -1;
        return false;
    }
    client->reader = redisReaderCreate();
    if (!client->reader) redis_die("no memory");
    return true;
}

void redis_client_close(struct redis_client *client)
{
    if (client->descriptor < 0) return;
    close(client->descriptor);
    redisReaderFree(client->reader);
    client->descriptor = -1;
}

/* ---- commands ---- */

bool redis_client_send_bytes(struct redis_client *client, const void *bytes, size_t length)
{
    const int64_t end_ms = await_now_ms() + client->limit_ms;
    for (size_t sent = 0; sent < length;) {
        ssize_t now =
            send(client->descriptor, (const char *)bytes + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now >= 0) {
            sent += (size_t)now;
        } else if (errno != EINTR && (errno != EAGAIN || !await_ready(client->descriptor, POLLOUT, end_ms))) {
            return false;
        }
    }
    return true;
}

bool redis_client_send_words(struct redis_client *client, const char *const *words)
{
    const char *vector[WORDS_MAX];
    int count = 0;
    for (; words[count]; count++) {
        if (count == WORDS_MAX) redis_die("a command of more than %d words", WORDS_MAX);
        vector[count] = words[count];
    }
    char *bytes = NULL;
    int length = redisFormatCommandArgv(&bytes, count, vector, NULL);
    if (length < 0) redis_die("no memory");
    bool sent = redis_client_send_bytes(client, bytes, (size_t)length);
    redisFreeCommand(bytes);
    return sent;
}

/* ---- answers ---- */

static void put(struct redis_answer *answer, const char *text, size_t length)
{
    if (answer->length < REDIS_TEXT_MAX - 1) {
        size_t room = REDIS_TEXT_MAX - 1 - answer->length;
        size_t taken = length < room ? length : room;
        memcpy(answer->text + answer->length, text, taken);
        answer->text[answer->length + taken] = '\0';
    }
    answer->length += length;
}

static void put_leaf(struct redis_answer *answer, const redisReply *reply)
{
    char decimal[24];
    int64_t integer = 0;
    if (answer->count > 0) put(answer, "\n", 1);
    if (reply->type == REDIS_REPLY_INTEGER) {
        integer = reply->integer;
        put(answer, decimal, (size_t)snprintf(decimal, sizeof decimal, "%lld", reply->integer));
    } else if (reply->type != REDIS_REPLY_NIL) {
        integer = strtoll(reply->str, NULL, 10);
        put(answer, reply->str, reply->len);
    }
    if (answer->count == 0) answer->integer = integer;
    if (answer->count < REDIS_COUNT_MAX) answer->integers[answer->count] = integer;
    answer->count++;
}

static void put_reply(struct redis_answer *answer, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY) {
        put_leaf(answer, reply);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) put_reply(answer, reply->element[i]);
}

static void translate(struct redis_answer *answer, const redisReply *reply)
{
    static const enum redis_kind kinds[] = {
        [REDIS_REPLY_STRING] = REDIS_STRING,
        [REDIS_REPLY_ARRAY] = REDIS_ARRAY,
        [REDIS_REPLY_INTEGER] = REDIS_INTEGER,
        [REDIS_REPLY_NIL] = REDIS_NIL,
        [REDIS_REPLY_STATUS] = REDIS_STATUS,
        [REDIS_REPLY_ERROR] = REDIS_ERROR,
    };
    answer->kind = kinds[reply->type];
    put_reply(answer, reply);
}

static void clear(struct redis_answer *answer)
{
    answer->kind = REDIS_NOTHING;
    answer->integer = 0;
    answer->count = answer->length = 0;
    answer->text[0] = '\0';
}

static void nothing(struct redis_answer *answer, const char *why)
{
    clear(answer);
    put(answer, why, strlen(why));
}

/* One read of what there is. False: the answer says why there will be none. */
static bool feed(struct redis_client *client, struct redis_answer *answer, int64_t end_ms)
{
    char bytes[16384];
    ssize_t got = recv(client->descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) {
        redisReaderFeed(client->reader, bytes, (size_t)got);
        return true;
    }
    if (got == 0) {
        nothing(answer, "closed");
        return false;
    }
    if (errno == EINTR || (errno == EAGAIN && await_ready(client->descriptor, POLLIN, end_ms))) return true;
    nothing(answer, errno == EAGAIN ? "no answer in time" : strerror(errno));
    return false;
}

void redis_client_await(struct redis_client *client, struct redis_answer *answer)
{
    const int64_t end_ms = await_now_ms() + client->limit_ms;
    clear(answer);
    void *reply = NULL;
    for (;;) {
        if (redisReaderGetReply(client->reader, &reply) != REDIS_OK) {
            nothing(answer, ((redisReader *)client->reader)->errstr);
            return;
        }
        if (reply) break;
        if (!feed(client, answer, end_ms)) return;
    }
    translate(answer, reply);
    freeReplyObject(reply);
}

void redis_client_ask_words(
    struct redis_client *client, struct redis_answer *answer, const char *const *words)
{
    if (redis_client_send_words(client, words)) {
        redis_client_await(client, answer);
    } else {
        nothing(answer, "not sent");
    }
}
