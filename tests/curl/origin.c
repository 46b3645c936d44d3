#include "curl/origin.h"

#include "support/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, INPUT_MAX = 1 << 17 };

struct connection {
    uint32_t serial;
    size_t length;
    char *input; /* INPUT_MAX and a zero byte */
};

struct origin {
    origin_script *script;
    void *argument;
    int port, stop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t requests, connections, open; /* under lock */
    struct pollfd poll[CONNECTIONS_MAX];  /* 0: stop, 1: the listener */
    struct connection connection[CONNECTIONS_MAX];
    nfds_t count;
};

static void count(struct origin *origin, uint32_t *counter, uint32_t by)
{
    pthread_mutex_lock(&origin->lock);
    *counter += by;
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
}

static uint32_t look(struct origin *origin, const uint32_t *counter)
{
    pthread_mutex_lock(&origin->lock);
    uint32_t value = *counter;
    pthread_mutex_unlock(&origin->lock);
    return value;
}

/* ---- connections ---- */

static void accept_one(struct origin *origin)
{
    int fd = accept(origin->poll[1].fd, NULL, NULL);
    CHECK(fd >= 0 && origin->count < CONNECTIONS_MAX);
    count(origin, &origin->connections, 1);
    count(origin, &origin->open, 1);
    origin->poll[origin->count] = (struct pollfd) { .fd = fd, .events = POLLIN };
    origin->connection[origin->count++] =
        (struct connection) { .serial = look(origin, &origin->connections), .input = malloc(INPUT_MAX + 1) };
}

static void drop(struct origin *origin, nfds_t at)
{
    close(origin->poll[at].fd);
    free(origin->connection[at].input);
    origin->count--;
    origin->poll[at] = origin->poll[origin->count];
    origin->connection[at] = origin->connection[origin->count];
    count(origin, &origin->open, (uint32_t)-1);
}

/* False: it is closed. */
static bool answer(struct origin *origin, nfds_t at, const struct origin_request *request)
{
    struct origin_answer said = origin->script(origin->argument, request);
    int fd = origin->poll[at].fd;
    count(origin, &origin->requests, 1);
    if (said.bytes != NULL) send(fd, said.bytes, strlen(said.bytes), MSG_NOSIGNAL);
    if (said.then == ORIGIN_KEEP) return true;
    struct linger linger = { .l_onoff = said.then == ORIGIN_RESET };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    drop(origin, at);
    return false;
}

/* The length of the request at the front of the input; 0: not all of it has come. */
static size_t whole(const struct connection *connection, size_t *head)
{
    const char *end = strstr(connection->input, "\r\n\r\n");
    if (end == NULL) return 0;
    *head = (size_t)(end - connection->input) + 4;
    const char *length = origin_header(connection->input, "Content-Length");
    size_t size = *head + (length == NULL ? 0 : strtoul(length, NULL, 10));
    return connection->length >= size ? size : 0;
}

static void hear(struct origin *origin, nfds_t at)
{
    struct connection *connection = &origin->connection[at];
    size_t room = INPUT_MAX - connection->length, head = 0, size;
    ssize_t got = recv(origin->poll[at].fd, connection->input + connection->length, room, 0);
    if (got <= 0) {
        drop(origin, at);
        return;
    }
    connection->length += (size_t)got;
    connection->input[connection->length] = 0;
    while ((size = whole(connection, &head)) != 0) {
        connection->input[head - 1] = 0;
        struct origin_request request = { look(origin, &origin->requests) + 1, connection->serial,
            connection->input, connection->input + head, size - head };
        if (!answer(origin, at, &request)) return;
        connection->length -= size;
        memmove(connection->input, connection->input + size, connection->length + 1);
    }
}

static void *serve(void *argument)
{
    struct origin *origin = argument;
    while (poll(origin->poll, origin->count, -1) > 0 && origin->poll[0].revents == 0) {
        for (nfds_t at = origin->count; at-- > 2;) {
            if (origin->poll[at].revents != 0) hear(origin, at);
        }
        if (origin->poll[1].revents != 0) accept_one(origin);
    }
    while (origin->count > 2) drop(origin, origin->count - 1);
    return NULL;
}

/* ---- for the test ---- */

struct origin *origin_start(origin_script *script, void *argument)
{
    struct origin *origin = calloc(1, sizeof *origin);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    CHECK(origin != NULL);
    origin->script = script;
    origin->argument = argument;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 512) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    origin->port = ntohs(address.sin_port);
    origin->stop = eventfd(0, EFD_CLOEXEC);
    origin->poll[0] = (struct pollfd) { .fd = origin->stop, .events = POLLIN };
    origin->poll[1] = (struct pollfd) { .fd = listener, .events = POLLIN };
    origin->count = 2;
    pthread_mutex_init(&origin->lock, NULL);
    pthread_cond_init(&origin->changed, NULL);
    CHECK_EQ(pthread_create(&origin->thread, NULL, serve, origin), 0);
    return origin;
}

void origin_stop(struct origin *origin)
{
    eventfd_write(origin->stop, 1);
    pthread_join(origin->thread, NULL);
    close(origin->poll[1].fd);
    close(origin->stop);
    free(origin);
}

const char *origin_url(const struct origin *origin, const char *path)
{
    static _Thread_local char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", origin->port, path);
    return url;
}

uint32_t origin_requests(struct origin *origin)
{
    return look(origin, &origin->requests);
}

uint32_t origin_connections(struct origin *origin)
{
    return look(origin, &origin->connections);
}

void origin_await(struct origin *origin, uint32_t requests)
{
    pthread_mutex_lock(&origin->lock);
    while (origin->requests < requests) pthread_cond_wait(&origin->changed, &origin->lock);
    pthread_mutex_unlock(&origin->lock);
}

void origin_await_open(struct origin *origin, uint32_t connections)
{
    pthread_mutex_lock(&origin->lock);
    while (origin->open != connections) pthread_cond_wait(&origin->changed, &origin->lock);
    pthread_mutex_unlock(&origin->lock);
}

const char *origin_header(const char *head, const char *name)
{
    static _Thread_local char value[256];
    size_t length = strlen(name);
    for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':') continue;
        line += length + 1 + strspn(line + length + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r\n"), line);
        return value;
    }
    return NULL;
}

struct origin_answer origin_hello(int status)
{
    static _Thread_local char bytes[96];
    snprintf(bytes, sizeof bytes, "HTTP/1.1 %d Said\r\nContent-Length: 5\r\n\r\nhello", status);
    return (struct origin_answer) { bytes, ORIGIN_KEEP };
}
