/* A connection's socket: TCP or unix, never blocking, CLOEXEC, without SIGPIPE. */
#ifndef WEIR_LIB_REDIS_SOCKET_H
#define WEIR_LIB_REDIS_SOCKET_H

#include "redis/address.h"

#include <stdint.h>
#include <sys/types.h>

/* Begins to connect. give_up_ms: for how long sent bytes may stay unacknowledged. The descriptor; or -1 and *error is an
 * errno. It is writable when it has connected, or failed to. */
int socket_connect(const struct address *address, unsigned give_up_ms, int *error);
/* What became of that: 0, or an errno. */
int socket_connected(int socket);

/* How many bytes; 0: none now. -1: the connection is lost, *error is an errno (0: the other side has closed it). */
ssize_t socket_send(int socket, const void *bytes, size_t count, int *error);
ssize_t socket_receive(int socket, void *bytes, size_t room, int *error);

#endif
