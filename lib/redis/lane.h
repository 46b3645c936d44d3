/* A lane: one connection's core, without a socket and without a clock.
 *
 *                time has come                 connected                    the last answer is right
 *      DOWN ----------------------> CONNECTING ----------> HANDSHAKE ---------------------------------> UP
 *       ^        lane_step()            |  lane_connected()   |           finish_handshake()            |
 *       |                               |                     |                                         |
 *       '------------- fall() ----------'---------------------'-----------------------------------------'
 *          lost, too late, a wrong answer, an error that says that this server is of no use
 *
 * Who owns the socket asks lane_wants_socket() after every call: opens one when it is wanted and there is none, closes the
 * one that is wanted no more. What it reads goes in by lane_receive(), what is to be written comes out by lane_output().
 *
 * The handshake is one write: AUTH, SELECT, CLIENT SETNAME, ROLE, INFO server, CONFIG GET maxmemory-policy and SCRIPT LOAD of
 * each script of the lane. Up to the last answer nothing is asked. Then whatever the link has goes out in one write;
 * what comes up while that is under way makes the next.
 *
 * Invariants:
 *   1. each question that was pulled is answered exactly once, all before the lane is reported DOWN: UNKNOWN if a byte of
 *      it may have left, else NOT_RUN;
 *   2. an answer belongs to the oldest command that has none. What no command waits for, what is not the kind of answer that
 *      it wants, what is too large or too deep ends the connection; so does the first command that waits for too long,
 *      as what would come later could not be told from others' answers;
 *   3. nothing is sent twice, but after NOSCRIPT, which says that it did not run, and then once: the script is loaded in
 *      front of it, once for all that were told so meanwhile;
 *   4. no error, event or count holds a credential;
 *   5. all memory is had at lane_create(), but what hiredis takes for one command or answer at a time, at most
 *      LANE_INPUT_MAX; where there is none, the connection is lost. */
#ifndef WEIR_LIB_REDIS_LANE_H
#define WEIR_LIB_REDIS_LANE_H

#include "redis/reply.h"
#include "redis/script.h"

#include <weir/redis.h>

#define LANE_COMMANDS_MAX 128  /* under way at once */
#define LANE_OUTPUT_MAX 524288 /* bytes that wait to be sent */
#define LANE_INPUT_MAX 65536   /* bytes of one answer */
#define LANE_IDLE_NS WEIR_S    /* silent for so long, it is asked whether it still answers */
#define LANE_PROVEN_NS WEIR_S  /* up for so long, a connection that is lost is sought again at once */

enum lane_state { LANE_DOWN, LANE_CONNECTING, LANE_HANDSHAKE, LANE_UP };

/* What a lane goes by; borrowed for its life. */
struct lane_settings {
    const char *user, *password; /* "" or NULL: none */
    uint32_t database;
    uint64_t command_ns, slow_ns, connect_ns, reconnect_max_ns;
};

struct lane;

/* lane.c. NULL: no memory. */
struct lane *lane_create(
    struct weir_link *link, uint32_t node, enum weir_lane which, const struct lane_settings *settings);
void lane_destroy(struct lane *lane);

bool lane_wants_socket(const struct lane *lane);
void lane_connected(struct lane *lane, struct weir_instants now);
/* The socket has failed or was closed by the other side; why: a short text, copied. */
void lane_lost(struct lane *lane, const char *why, struct weir_instants now);
/* Ends it without another attempt: before the link is closed. */
void lane_end(struct lane *lane, struct weir_instants now);
/* Sees to what time has brought, and takes what the link has to ask; the next instant at which to come (WEIR_NEVER:
 * none). After the link's own step. */
uint64_t lane_step(struct lane *lane, struct weir_instants now);

void lane_receive(struct lane *lane, const void *bytes, size_t count, struct weir_instants now);
size_t lane_output(const struct lane *lane, const void **bytes);
void lane_sent(struct lane *lane, size_t count);

struct weir_redis_stats lane_stats(const struct lane *lane);
/* A number that changes whenever the lane has told the link something. */
uint64_t lane_turns(const struct lane *lane);

#endif
