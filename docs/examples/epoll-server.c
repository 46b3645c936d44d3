#include "epoll-server.h"
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64 };

struct peer {
    bool busy;
    struct question question;
    int64_t due_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void reply(int socket, struct peer *peer, int32_t error)
{
    struct answer answer = { peer->question.serial, error };
    peer->busy = false;
    (void)!write(socket, &answer, sizeof answer); /* a client that has gone needs none */
}

/* False: the client has closed the connection. */
static bool hear(int socket, struct peer *peer)
{
    struct question question;
    if (read(socket, &question, sizeof question) != sizeof question) return false;
    if (question.error == STOP) { /* of one that was answered meanwhile: nothing is left to stop */
        if (peer->busy && peer->question.serial == question.serial) reply(socket, peer, ECANCELED);
        return true;
    }
    *peer = (struct peer) { true, question, now_ms() + question.wait_ms };
    return true;
}

static int next_due(const struct peer *peers, int count, int64_t now)
{
    int64_t left = -1;
    for (int i = 0; i < count; i++) {
        if (!peers[i].busy || peers[i].question.error == SILENT) continue;
        int64_t mine = peers[i].due_ms > now ? peers[i].due_ms - now : 0;
        if (left < 0 || mine < left) left = mine;
    }
    return (int)left;
}

static void serve(struct pollfd *sockets, int count)
{
    struct peer peers[CONNECTIONS_MAX] = { 0 };
    for (int open = count; open > 0;) {
        poll(sockets, (nfds_t)count, next_due(peers, count, now_ms()));
        int64_t now = now_ms();
        for (int i = 0; i < count; i++) {
            if (sockets[i].revents != 0 && !hear(sockets[i].fd, &peers[i])) {
                sockets[i].fd = -1; /* poll() passes it by from now on */
                peers[i].busy = false;
                open--;
            }
            bool due = peers[i].busy && peers[i].question.error != SILENT && peers[i].due_ms <= now;
            if (due) reply(sockets[i].fd, &peers[i], peers[i].question.error);
        }
    }
}

pid_t server_start(int *connections, int count)
{
    struct pollfd sockets[CONNECTIONS_MAX];
    EXPECT(count <= CONNECTIONS_MAX);
    for (int i = 0; i < count; i++) {
        int pair[2];
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        EXPECT(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
        connections[i] = pair[0];
        sockets[i] = (struct pollfd) { .fd = pair[1], .events = POLLIN };
    }
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < count; i++) close(connections[i]);
        serve(sockets, count);
        _exit(0);
    }
    for (int i = 0; i < count; i++) close(sockets[i].fd);
    return pid;
}
