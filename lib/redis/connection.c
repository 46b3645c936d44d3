#include "redis/connection.h"

#include "base/arithmetic.h"
#include "redis/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PIECE 16384  /* bytes taken from a socket at once */
#define PIECES_MAX 8 /* of one step: other lanes come first */

/* ---- the socket ---- */

static void hang_up(struct connection *connection)
{
    int closing = connection->socket;
    if (closing < 0) return;
    connection->socket = -1; /* before it is closed: handle.h, invariant 5 */
    connection->connecting = connection->blocked = false;
    connection->events = 0;
    close(closing);
}

static void lost(struct connection *connection, int error)
{
    char room[64] = "the other side has closed it";
    const char *why = error == 0 ? room : strerror_r(error, room, sizeof room);
    hang_up(connection);
    lane_lost(connection->lane, why, redis_now());
}

static void call(struct redis *redis, uint32_t at)
{
    struct connection *connection = &redis->connection[at];
    const struct settings *settings = &redis->settings;
    int error = 0;
    int new = socket_connect(
        &settings->address[at / WEIR_LANES], (unsigned)(settings->command_ns / WEIR_MS), &error);
    if (new >= 0 && !redis_listen(redis, new, EPOLLIN | EPOLLOUT, at, EPOLL_CTL_ADD)) {
        error = errno;
        close(new);
        new = -1;
    }
    connection->socket = new;
    connection->connecting = connection->blocked = new >= 0;
    if (new < 0) lost(connection, error);
}

/* Being told that a socket takes bytes is only asked for while one did not: it nearly always does. */
static void listen_for_room(struct redis *redis, uint32_t at, bool blocked)
{
    struct connection *connection = &redis->connection[at];
    if (connection->blocked == blocked) return;
    connection->blocked = blocked;
    uint32_t events = EPOLLIN | (blocked ? EPOLLOUT : 0);
    if (!redis_listen(redis, connection->socket, events, at, EPOLL_CTL_MOD)) lost(connection, errno);
}

/* ---- bytes ---- */

static void receive(struct connection *connection)
{
    char bytes[PIECE];
    int error = 0;
    for (int i = 0; i < PIECES_MAX && connection->socket >= 0; i++) {
        ssize_t count = socket_receive(connection->socket, bytes, sizeof bytes, &error);
        if (count < 0) lost(connection, error);
        if (count <= 0) return;
        lane_receive(connection->lane, bytes, (size_t)count, redis_now());
        if (count < PIECE) return;
    }
}

static void send_all(struct redis *redis, uint32_t at)
{
    struct connection *connection = &redis->connection[at];
    const void *bytes;
    int error = 0;
    size_t left;
    while (connection->socket >= 0 && (left = lane_output(connection->lane, &bytes)) != 0) {
        ssize_t count = socket_send(connection->socket, bytes, left, &error);
        if (count < 0) {
            lost(connection, error);
            return;
        }
        lane_sent(connection->lane, (size_t)count);
        if ((size_t)count < left) {
            listen_for_room(redis, at, true);
            return;
        }
    }
    if (connection->socket >= 0) listen_for_room(redis, at, false);
}

/* ---- driven ---- */

/* What epoll told of it. */
static void hear(struct connection *connection)
{
    uint32_t events = connection->events;
    connection->events = 0;
    if (events == 0 || connection->socket < 0) return;
    if (connection->connecting) {
        int error = socket_connected(connection->socket);
        connection->connecting = false;
        if (error == 0) lane_connected(connection->lane, redis_now());
        else lost(connection, error);
    } else if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        receive(connection);
    }
}

/* The bulk lane of a single server is kept ready from the start; another one is connected when somebody asks there. */
static bool is_wanted(struct redis *redis, uint32_t at)
{
    struct connection *connection = &redis->connection[at];
    enum weir_lane lane = (enum weir_lane)(at % WEIR_LANES);
    if (!connection->wanted) {
        connection->wanted =
            lane == WEIR_LANE_BULK ? redis->settings.nodes == 1 : weir_link_wants(redis->link, lane);
    }
    return connection->wanted;
}

uint64_t connection_drive(struct redis *redis, uint32_t at, bool *news)
{
    struct connection *connection = &redis->connection[at];
    if (!is_wanted(redis, at)) return WEIR_NEVER;
    struct lane *lane = connection->lane;
    uint64_t before = lane_turns(lane);
    hear(connection);
    if (!lane_wants_socket(lane)) hang_up(connection); /* before it may want another */
    uint64_t next_ns = lane_step(lane, redis_now());
    if (!lane_wants_socket(lane)) hang_up(connection);
    else if (connection->socket < 0) call(redis, at);
    if (!connection->connecting) send_all(redis, at);
    if (lane_turns(lane) != before) *news = true;
    return next_ns;
}

void connection_end(struct connection *connection)
{
    hang_up(connection);
    lane_end(connection->lane, redis_now());
}
