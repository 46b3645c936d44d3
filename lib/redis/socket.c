#include "redis/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static void set(int socket, int level, int option, int value)
{
    (void)setsockopt(socket, level, option, &value, sizeof value); /* as far as the system has it */
}

/* Questions leave at once; a peer that has vanished is noticed even while nothing is asked. */
static void tune(int socket, unsigned give_up_ms)
{
    set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)give_up_ms);
    set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(socket, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    set(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/* EAGAIN of a unix socket: the server's backlog is full, nothing is under way. */
int socket_connect(const struct address *address, unsigned give_up_ms, int *error)
{
    int family = address->at.any.sa_family;
    int new = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (new < 0) {
        *error = errno;
        return -1;
    }
    if (family != AF_UNIX) tune(new, give_up_ms);
    if (connect(new, &address->at.any, address->size) == 0 || errno == EINPROGRESS) return new;
    *error = errno;
    close(new);
    return -1;
}

/* A port of this machine that nobody listens on may be what the kernel has just given this very socket: connected to
 * itself, it would answer with our own questions, and keep the port from the server. */
static bool is_connected_to_itself(int socket)
{
    struct address here = { .size = sizeof here.at }, there = { .size = sizeof there.at };
    if (getsockname(socket, &here.at.any, &here.size) != 0) return false;
    if (getpeername(socket, &there.at.any, &there.size) != 0) return false;
    return here.at.any.sa_family != AF_UNIX && address_equal(&here, &there);
}

int socket_connected(int socket)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    if (error != 0) return error;
    return is_connected_to_itself(socket) ? ECONNREFUSED : 0;
}

static ssize_t moved(ssize_t count, int *error)
{
    if (count > 0) return count;
    *error = count == 0 ? 0 : errno;
    bool later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return later ? 0 : -1;
}

ssize_t socket_send(int socket, const void *bytes, size_t count, int *error)
{
    return moved(send(socket, bytes, count, MSG_NOSIGNAL), error);
}

ssize_t socket_receive(int socket, void *bytes, size_t room, int *error)
{
    return moved(recv(socket, bytes, room, 0), error);
}
