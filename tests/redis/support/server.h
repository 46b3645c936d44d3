/* A real redis-server of the test's own: a process, a directory, a unix socket and a port on 127.0.0.1 that nobody
 * else has. Nothing is persisted unless the config says so.
 *
 *     struct redis_server server;
 *     redis_server_start(&server, &(struct redis_options) { .config = "maxmemory 4mb\n" });
 *     redis_ask(&server, &answer, "SET", "key", "value");
 *     redis_server_freeze(&server);
 *     CHECK(!redis_server_answers(&server, 50));
 *     redis_server_thaw(&server);
 *     redis_server_stop(&server);
 *
 *                 freeze                 kill                   restart
 *     ANSWERS <-----------> FROZEN    any ----> AWAY (reaped) -----------> ANSWERS, at the same port and socket
 *                  thaw                                                    and without its data, unless persisted
 *
 * Each function returns when what it says is so: started answers PING, frozen is stopped, killed is reaped. What
 * cannot be had ends the program with a message and the server's log. The server dies with the thread that
 * started it; only that thread's process may call what changes it. The directory (/tmp/weir-redis-*) goes with
 * the program too, however that ends. */
#ifndef WEIR_TESTS_REDIS_SERVER_H
#define WEIR_TESTS_REDIS_SERVER_H

#include "redis/support/client.h"

#include <sys/types.h>

struct redis_options {
    const char *config;   /* further lines of redis.conf, each with its \n ("appendonly yes\n"); borrowed */
    const char *password; /* of the user default, and of the master; default: none; borrowed */
    uint16_t master; /* the port (a server's, or a proxy's) of its master; default: it is a master itself */
    bool clock;      /* under clockshim.so: the functions of the clock work */
};

struct redis_server {
    pid_t process; /* 0: away */
    bool frozen;
    uint16_t port;
    char directory[64];
    char path[80]; /* of the unix socket */
    pid_t keeper;  /* of the directory: removes it */
    int keeper_input;
    struct redis_options options;
    struct clockshim *clock;
};

void redis_server_start(
    struct redis_server *server, const struct redis_options *options); /* NULL: defaults */
void redis_server_stop(struct redis_server *server); /* from any state; removes the directory */

struct redis_address redis_server_unix(const struct redis_server *server);
struct redis_address redis_server_tcp(const struct redis_server *server);

/* ---- faults, and on a second connection that they are on ---- */

void redis_server_freeze(struct redis_server *server); /* SIGSTOP */
void redis_server_thaw(struct redis_server *server);
void redis_server_kill(struct redis_server *server); /* SIGKILL */
void redis_server_restart(struct redis_server *server);
void redis_server_promote(struct redis_server *server); /* a replica: forgets its master */
void redis_server_flush(struct redis_server *server);   /* all keys; not the scripts */

/* PING is answered by PONG within so many ms. Frozen and paused ones accept connections all the same. */
bool redis_server_answers(const struct redis_server *server, int within_ms);
/* Accepts nobody. */
bool redis_server_is_away(const struct redis_server *server);
bool redis_server_is_master(const struct redis_server *server);
/* A replica: its link to the master is up. */
bool redis_server_is_linked(const struct redis_server *server);
uint64_t redis_server_keys(const struct redis_server *server);

/* ---- its wall clock (options.clock) ---- */

/* So far from the system's, from now on; ends a freeze. */
void redis_server_set_clock_offset_us(struct redis_server *server, int64_t offset_us);
/* Stands at that time until it is set anew. */
void redis_server_freeze_clock_us(struct redis_server *server, int64_t at_us);
/* What TIME answers, in any server. */
int64_t redis_server_clock_us(const struct redis_server *server);

/* ---- questions, each on a connection of its own, for at most 5 s ---- */

/* As its user default, with the password. An answer of kind REDIS_NOTHING says why there is none. */
#define redis_ask(server, answer, ...) \
    redis_ask_words((server), (answer), (const char *const[]) { __VA_ARGS__, NULL })
void redis_ask_words(
    const struct redis_server *server, struct redis_answer *answer, const char *const *words);

/* The answer's integer; an error, or none, ends the program. */
#define redis_integer(server, ...) redis_integer_words((server), (const char *const[]) { __VA_ARGS__, NULL })
int64_t redis_integer_words(const struct redis_server *server, const char *const *words);

/* Whether the words are obeyed: no error, some answer. */
#define redis_obeys(server, ...) redis_obeys_words((server), (const char *const[]) { __VA_ARGS__, NULL })
bool redis_obeys_words(const struct redis_server *server, const char *const *words);

#endif
