/* Servers that lie, on loopback, each in a process of its own: the process under test holds no descriptor
 * and no thread of theirs, and counts its own.
 *
 *     struct liar liar;
 *     liar_start(&liar, &(struct liar_script) { .says = "HTTP/1.1 200 OK\r\n", .end = LIAR_HOLDS });
 *     ... http://127.0.0.1:<liar.port>/ ...
 *     liar_stop(&liar);
 *
 * A liar dies with the thread that started it. What cannot be had (a port, a process) ends the program with a
 * message. With .end = LIAR_GOES_ON and a whole response it tells the truth: the origin of the benchmark. */
#ifndef LIARS_LIAR_H
#define LIARS_LIAR_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What it does when all is said. */
enum liar_end {
    LIAR_HOLDS,   /* nothing: it keeps the connection and its silence */
    LIAR_GOES_ON, /* waits for the next request and says the same */
    LIAR_CLOSES,
    LIAR_RESETS,     /* as close() does with SO_LINGER 0 */
    LIAR_HALF_CLOSES /* ends its direction, keeps the connection, and does not read any more */
};

struct liar_script {
    const char *says;    /* to each request; default: nothing */
    size_t length;       /* how much of it; default: all. liar_cut() changes it */
    const char *forever; /* then says this again and again, as fast as it is read; default: nothing */
    unsigned pause_ms;   /* before each byte of what it says; default: says it at once */
    bool queue_full;     /* accepts nobody, and its queue is full: a SYN is not answered */
    enum liar_end end;
};

/* In memory that both processes share. */
struct liar_seen {
    uint64_t connections, requests, bytes; /* accepted; whole headers read; read in all */
    uint64_t cut;
    sem_t asked; /* posted for each request or query */
};

struct liar {
    pid_t process;
    uint16_t port;
    struct liar_seen *seen;
};

void liar_start(struct liar *liar, const struct liar_script *script);
void liar_stop(struct liar *liar);

/* From its next answer on it says that much. 0 is nothing. */
void liar_cut(struct liar *liar, size_t length);

/* Waits for the next request or query that nobody has waited for; false: none came within 10 s. */
bool liar_await(struct liar *liar);

uint64_t liar_connections(const struct liar *liar);
uint64_t liar_requests(const struct liar *liar);
uint64_t liar_bytes(const struct liar *liar);

/* ---- names ---- */

/* Gives this process a network and an /etc/resolv.conf of its own, in which 127.0.0.1:53 is the only
 * name server, with these options of resolv.conf(5) ("": none). To be called by its only thread. NULL, or why it
 * cannot be had: then nothing has changed that matters. */
const char *liar_private_network(const char *resolver_options);

/* A name server on 127.0.0.1:53 that reads and never answers. */
void liar_start_dns(struct liar *liar);
/* It answers all that it was ever asked, and is asked from now on: there is no such name. */
void liar_relent_dns(struct liar *liar);

/* For liars only: forks the process that runs serve(descriptor, script, seen), which never returns. */
void liar_fork(struct liar *liar, int descriptor, const struct liar_script *script,
    void (*serve)(int descriptor, const struct liar_script *script, struct liar_seen *seen));
__attribute__((noreturn)) void liar_die(const char *what);

#endif
