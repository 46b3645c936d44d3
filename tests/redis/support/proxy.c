/* The proxy's thread. It holds the lock but while it polls; others change faults under the lock, ring, and wait until
 * a whole turn has gone over them. It alone opens and closes descriptors, so that none is closed under its poll. */
#include "redis/support/proxy.h"

#include "redis/support/proxy_log.h"
#include "redis/support/proxy_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, BELL = 0, LISTENER = 1, FIRST = 2 };

struct connection {
    int client, server;
    struct stream requests, replies; /* from the client to the server, and back */
};

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    uint64_t rung, heard; /* turns asked for; gone over */
    bool stopping;
    int bell, listener;
    struct redis_address address, server;
    char path[108], server_path[108]; /* what these point to */
    struct proxy_faults faults;
    enum proxy_end breaking;
    struct proxy_counts counts; /* of connections that are gone; open is counted on demand */
    struct proxy_log log;
    size_t open;
    struct connection *connections[CONNECTIONS_MAX];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- sockets ---- */

static socklen_t sockaddr_of(const struct redis_address *address, struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof *storage);
    if (address->path) {
        struct sockaddr_un *local = (struct sockaddr_un *)storage;
        local->sun_family = AF_UNIX;
        snprintf(local->sun_path, sizeof local->sun_path, "%s", address->path);
        return sizeof *local;
    }
    struct sockaddr_in *tcp = (struct sockaddr_in *)storage;
    tcp->sin_family = AF_INET;
    tcp->sin_port = htons(address->port);
    tcp->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *tcp;
}

static void copy_address(struct redis_address *to, char path[static 108], const struct redis_address *from)
{
    *to = *from;
    if (!from->path) return;
    if (strlen(from->path) >= 108) redis_die("too long: %s", from->path);
    snprintf(path, 108, "%s", from->path);
    to->path = path;
}

static int open_socket(const struct redis_address *address)
{
    const int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int descriptor = socket(address->path ? AF_UNIX : AF_INET, kind, 0);
    if (descriptor < 0) redis_die("proxy: no socket: %s", strerror(errno));
    return descriptor;
}

static void listen_on(struct proxy *proxy)
{
    struct sockaddr_storage storage;
    socklen_t size = sockaddr_of(&proxy->address, &storage);
    proxy->listener = open_socket(&proxy->address);
    if (proxy->address.path) unlink(proxy->address.path);
    if (bind(proxy->listener, (struct sockaddr *)&storage, size) != 0 ||
        listen(proxy->listener, SOMAXCONN) != 0 ||
        getsockname(proxy->listener, (struct sockaddr *)&storage, &size) != 0) {
        redis_die("proxy: cannot listen: %s", strerror(errno));
    }
    if (!proxy->address.path) proxy->address.port = ntohs(((struct sockaddr_in *)&storage)->sin_port);
}

static void no_delay(int descriptor) /* fails over a unix socket, which has none */
{
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
}

/* -1: nobody is there. Else connected, or on the way. */
static int connect_to(const struct redis_address *address)
{
    struct sockaddr_storage storage;
    socklen_t size = sockaddr_of(address, &storage);
    int descriptor = open_socket(address);
    no_delay(descriptor);
    if (connect(descriptor, (struct sockaddr *)&storage, size) == 0 || errno == EINPROGRESS)
        return descriptor;
    close(descriptor);
    return -1;
}

static void end_socket(int descriptor, bool reset)
{
    char rest[4096];
    if (reset) {
        struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    } else { /* what is not read would make it a reset */
        shutdown(descriptor, SHUT_WR);
        while (recv(descriptor, rest, sizeof rest, MSG_DONTWAIT) > 0) continue;
    }
    close(descriptor);
}

/* ---- connections ---- */

static void count(struct proxy_counts *counts, const struct connection *connection)
{
    counts->requests += connection->requests.messages;
    counts->request_bytes += connection->requests.written;
    counts->dropped_requests += connection->requests.dropped;
    counts->replies += connection->replies.messages;
    counts->reply_bytes += connection->replies.written;
    counts->dropped_replies += connection->replies.dropped;
}

static void end_connection(struct proxy *proxy, size_t index, bool reset)
{
    struct connection *connection = proxy->connections[index];
    count(&proxy->counts, connection);
    end_socket(connection->client, reset);
    end_socket(connection->server, reset);
    stream_close(&connection->requests);
    stream_close(&connection->replies);
    free(connection);
    proxy->connections[index] = proxy->connections[--proxy->open];
}

static void admit(struct proxy *proxy, int client)
{
    int server = -1;
    if (!proxy->faults.refuse && proxy->open < CONNECTIONS_MAX) server = connect_to(&proxy->server);
    if (server < 0) {
        proxy->counts.refused++;
        end_socket(client, true);
        return;
    }
    struct connection *connection = malloc(sizeof *connection);
    if (!connection) redis_die("proxy: no memory");
    no_delay(client);
    connection->client = client;
    connection->server = server;
    proxy->counts.connections++;
    stream_open(&connection->requests, proxy->counts.connections);
    stream_open(&connection->replies, proxy->counts.connections);
    proxy->connections[proxy->open++] = connection;
}

static void accept_all(struct proxy *proxy)
{
    int client;
    while ((client = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        admit(proxy, client);
    }
}

static void half_close(struct connection *connection, bool towards_client)
{
    struct stream *stream = towards_client ? &connection->replies : &connection->requests;
    stream_kill(stream);
    stream->told = true;
    shutdown(towards_client ? connection->client : connection->server, SHUT_WR);
}

/* Writes what may leave, both ways. False: the connection is no more. */
static bool pass_on(struct proxy *proxy, size_t index, int64_t time_ns)
{
    struct connection *connection = proxy->connections[index];
    struct stream *requests = &connection->requests, *replies = &connection->replies;
    enum proxy_end end = stream_write(requests, connection->server, &proxy->faults.requests, time_ns,
                       proxy_log_keep, &proxy->log),
                   back =
                       stream_write(replies, connection->client, &proxy->faults.replies, time_ns, NULL, NULL);
    if (end == PROXY_HALF_CLOSES) half_close(connection, false);
    if (back == PROXY_HALF_CLOSES) half_close(connection, true);
    if (end == PROXY_RESETS || back == PROXY_RESETS) {
        end_connection(proxy, index, true);
    } else if (end == PROXY_CLOSES || back == PROXY_CLOSES ||
        (stream_is_over(requests) && stream_is_over(replies))) {
        end_connection(proxy, index, false);
    } else {
        return true;
    }
    return false;
}

/* ---- a turn ---- */

static void break_all(struct proxy *proxy)
{
    for (size_t i = proxy->open; i-- > 0;) {
        if (proxy->breaking == PROXY_HALF_CLOSES) {
            half_close(proxy->connections[i], true);
        } else {
            end_connection(proxy, i, proxy->breaking == PROXY_RESETS);
        }
    }
    proxy->breaking = PROXY_GOES_ON;
}

/* What to wait for at one end of a connection: more of what comes from it, and room for what goes to it. */
static struct pollfd interest(int descriptor, const struct stream *from, bool writes)
{
    short events = (short)((from->ended ? 0 : POLLIN) | (writes ? POLLOUT : 0));
    return (struct pollfd) { .fd = events ? descriptor : -1, .events = events };
}

static void earlier(int64_t *least, int64_t wake_ns, int64_t time_ns)
{
    if (wake_ns > time_ns && wake_ns < *least) *least = wake_ns;
}

/* Milliseconds until something is due, rounded up; -1: nothing is. */
static int prepare(const struct proxy *proxy, struct pollfd *polled)
{
    const int64_t time_ns = now_ns();
    int64_t least = INT64_MAX;
    polled[BELL] = (struct pollfd) { .fd = proxy->bell, .events = POLLIN };
    polled[LISTENER] = (struct pollfd) { .fd = proxy->listener, .events = POLLIN };
    for (size_t i = 0; i < proxy->open; i++) {
        const struct connection *connection = proxy->connections[i];
        int64_t out_ns = stream_wake_ns(&connection->requests, &proxy->faults.requests);
        int64_t back_ns = stream_wake_ns(&connection->replies, &proxy->faults.replies);
        polled[FIRST + 2 * i] = interest(connection->client, &connection->requests, back_ns <= time_ns);
        polled[FIRST + 2 * i + 1] = interest(connection->server, &connection->replies, out_ns <= time_ns);
        earlier(&least, out_ns, time_ns);
        earlier(&least, back_ns, time_ns);
    }
    return least == INT64_MAX ? -1 : (int)((least - time_ns + 999999) / 1000000);
}

static void read_one(
    struct stream *stream, const struct pollfd *polled, const struct proxy_fault *fault, int64_t time_ns)
{
    const bool something = polled->revents & (POLLIN | POLLHUP | POLLERR);
    if (something && !stream->ended) stream_read(stream, polled->fd, fault, time_ns);
}

static void go_over(struct proxy *proxy, const struct pollfd *polled)
{
    const int64_t time_ns = now_ns();
    for (size_t i = 0; i < proxy->open; i++) {
        struct connection *connection = proxy->connections[i];
        read_one(&connection->requests, &polled[FIRST + 2 * i], &proxy->faults.requests, time_ns);
        read_one(&connection->replies, &polled[FIRST + 2 * i + 1], &proxy->faults.replies, time_ns);
    }
    for (size_t i = proxy->open; i-- > 0;) pass_on(proxy, i, time_ns);
    if (polled[LISTENER].revents) accept_all(proxy);
}

static void hear(struct proxy *proxy)
{
    eventfd_t rings;
    eventfd_read(proxy->bell, &rings);
    if (proxy->breaking) break_all(proxy);
    proxy->heard = proxy->rung;
    pthread_cond_broadcast(&proxy->turned);
}

static void *serve(void *argument)
{
    struct proxy *proxy = argument;
    struct pollfd *polled = calloc(FIRST + 2 * CONNECTIONS_MAX, sizeof *polled);
    if (!polled) redis_die("proxy: no memory");
    pthread_mutex_lock(&proxy->lock);
    while (!proxy->stopping) {
        int timeout_ms = prepare(proxy, polled);
        nfds_t number = FIRST + 2 * proxy->open;
        pthread_mutex_unlock(&proxy->lock);
        poll(polled, number, timeout_ms);
        pthread_mutex_lock(&proxy->lock);
        go_over(proxy, polled);
        hear(proxy);
    }
    while (proxy->open > 0) end_connection(proxy, 0, false);
    pthread_mutex_unlock(&proxy->lock);
    free(polled);
    return NULL;
}

/* ---- control ---- */

static void ring(struct proxy *proxy)
{
    uint64_t turn = ++proxy->rung;
    eventfd_write(proxy->bell, 1);
    while (proxy->heard < turn) pthread_cond_wait(&proxy->turned, &proxy->lock);
}

struct proxy *proxy_start(const struct redis_address *server, const char *path)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    sigset_t all, before;
    if (!proxy) redis_die("proxy: no memory");
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_cond_init(&proxy->turned, NULL);
    copy_address(&proxy->server, proxy->server_path, server);
    copy_address(&proxy->address, proxy->path, &(struct redis_address) { .path = path });
    listen_on(proxy);
    proxy->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (proxy->bell < 0) redis_die("proxy: no eventfd: %s", strerror(errno));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&proxy->thread, NULL, serve, proxy) != 0) redis_die("proxy: no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->stopping = true;
    ring(proxy);
    pthread_mutex_unlock(&proxy->lock);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->bell);
    if (proxy->address.path) unlink(proxy->address.path);
    proxy_log_close(&proxy->log);
    pthread_cond_destroy(&proxy->turned);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

struct redis_address proxy_address(const struct proxy *proxy)
{
    return proxy->address;
}

void proxy_set(struct proxy *proxy, const struct proxy_faults *faults)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->faults = faults ? *faults : (struct proxy_faults) { 0 };
    for (size_t i = 0; i < proxy->open; i++) {
        struct connection *connection = proxy->connections[i];
        connection->requests.begin = connection->requests.written;
        connection->replies.begin = connection->replies.written;
    }
    ring(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_point(struct proxy *proxy, const struct redis_address *server)
{
    pthread_mutex_lock(&proxy->lock);
    copy_address(&proxy->server, proxy->server_path, server);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_break(struct proxy *proxy, enum proxy_end how)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->breaking = how;
    ring(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_inject(struct proxy *proxy, const void *bytes, size_t length)
{
    pthread_mutex_lock(&proxy->lock);
    for (size_t i = 0; i < proxy->open; i++) {
        stream_put(&proxy->connections[i]->replies, bytes, length, false, now_ns());
    }
    ring(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

struct proxy_counts proxy_counts(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    struct proxy_counts counts = proxy->counts;
    counts.open = proxy->open;
    for (size_t i = 0; i < proxy->open; i++) count(&counts, proxy->connections[i]);
    pthread_mutex_unlock(&proxy->lock);
    return counts;
}

size_t proxy_commands(struct proxy *proxy)
{
    return proxy_count(proxy, "");
}

bool proxy_command(struct proxy *proxy, size_t index, struct proxy_command *command)
{
    pthread_mutex_lock(&proxy->lock);
    const bool there = index < proxy->log.count;
    if (there) {
        const struct message *message = proxy->log.messages[index];
        command->at_ns = message->due_ns;
        command->connection = message->connection;
        proxy_log_text(message, command->text);
    }
    pthread_mutex_unlock(&proxy->lock);
    return there;
}

size_t proxy_count(struct proxy *proxy, const char *beginning)
{
    pthread_mutex_lock(&proxy->lock);
    size_t number = proxy_log_count(&proxy->log, beginning);
    pthread_mutex_unlock(&proxy->lock);
    return number;
}

size_t proxy_repeated(struct proxy *proxy, const char *beginning)
{
    pthread_mutex_lock(&proxy->lock);
    size_t number = proxy_log_repeated(&proxy->log, beginning);
    pthread_mutex_unlock(&proxy->lock);
    return number;
}
