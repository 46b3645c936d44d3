/* The demo's hold on an origin process: start, command, count, stop. All from one thread. */
#ifndef DEMO_CONTROL_H
#define DEMO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct origin {
    pid_t pid; /* 0 while it is gone */
    FILE *commands, *answers;
    int keeper;          /* a socket that holds the port while the origin is gone */
    uint16_t port;       /* the same for all its lives */
    const char *program; /* weir-origin; borrowed */
    uint64_t seed;
    uint64_t before; /* requests of its former lives */
};

/* The path of a file that lies beside this program. false: it cannot be told. */
bool beside_program(const char *name, char *path, size_t size);

/* Reserves a port and starts the origin on it, healthy. false: said why, nothing is left. */
bool origin_open(struct origin *origin, const char *program, uint64_t seed);
/* Stops it if it runs and gives the port back. */
void origin_close(struct origin *origin);

/* Started again on the same port, healthy. It is there when origin_started() is true; false: nothing is left. Two
 * steps, and two to stop it, so that several can be started or stopped at once. */
void origin_launch(struct origin *origin);
bool origin_started(struct origin *origin);
/* Told to end. */
void origin_dismiss(struct origin *origin);
/* Its socket closed, its process ended and reaped: connections are refused from now on. */
void origin_stop(struct origin *origin);
/* healthy, errors, slow, silent or stalled. */
bool origin_become(struct origin *origin, const char *mode);
/* Requests that reached it in all its lives. */
uint64_t origin_requests(struct origin *origin);

#endif
