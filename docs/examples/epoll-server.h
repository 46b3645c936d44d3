/* The server of epoll-loop: a process of its own that answers, on each connection, one question at a time,
 * after the time and in the way that the question asks for. */
#ifndef EPOLL_SERVER_H
#define EPOLL_SERVER_H

#include <stdint.h>
#include <sys/types.h>

enum { STOP = -1, SILENT = -2 }; /* in question.error: end the question of that serial; never answer it */

struct question {
    uint32_t serial;
    uint32_t wait_ms;
    int32_t error; /* the answer: 0 or an errno */
};

struct answer {
    uint32_t serial;
    int32_t error; /* ECANCELED if it was stopped */
};

/* Starts the server; connections[] are the client's ends, non-blocking. It ends when they are closed. */
pid_t server_start(int *connections, int count);

#endif
