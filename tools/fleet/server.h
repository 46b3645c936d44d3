/* A Redis of the demo's own: in a directory of its own, on a unix socket in it, without a port, without persistence. */
#ifndef FLEET_SERVER_H
#define FLEET_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct server {
    char directory[64], socket[96], address[104]; /* address: for weir_redis_config */
    pid_t process;                                /* 0: none */
};

/* false: said why on stderr. */
bool server_prepare(struct server *server);
bool server_start(struct server *server); /* and waits until it answers */
void server_kill(struct server *server);
void server_remove(struct server *server);
/* Sends a command that needs no arguments and waits for its answer. false: none within a second. */
bool server_command(const struct server *server, const char *command);

#endif
