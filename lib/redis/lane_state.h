/* A lane's own words: lane.c (its states), handshake.c, command.c (what is under way). lane.h has the invariants. */
#ifndef WEIR_LIB_REDIS_LANE_STATE_H
#define WEIR_LIB_REDIS_LANE_STATE_H

#include "base/arithmetic.h"
#include "redis/lane.h"
#include "redis/question.h"

/* What a command's answer is for. */
enum command_kind {
    COMMAND_AUTH,
    COMMAND_SELECT,
    COMMAND_NAME,
    COMMAND_ROLE,
    COMMAND_INFO,
    COMMAND_POLICY,
    COMMAND_LOAD,
    COMMAND_PROBE,
    COMMAND_QUESTION,
};

struct command {
    uint8_t kind;   /* enum command_kind */
    uint8_t script; /* LOAD, QUESTION */
    bool again;     /* it was sent once before: NOSCRIPT */
    uint64_t began; /* where it begins in all that was ever put out on this connection */
    uint64_t sent_ns, deadline_ns;
    struct weir_ask ask; /* QUESTION */
};

struct lane {
    struct weir_link *link;
    uint32_t node;
    enum weir_lane which;
    const struct lane_settings *settings;
    enum lane_state state;
    bool ended;
    bool slow;                /* as it was reported */
    uint32_t good;            /* answers in time in a row while slow */
    uint64_t at_ns;           /* DOWN: when to connect; CONNECTING, HANDSHAKE: when to give up */
    uint64_t pause_ns;        /* the last one between two attempts */
    uint64_t heard_ns;        /* when it last said something */
    uint64_t up_ns;           /* UP: since when */
    uint64_t give_up_ns;      /* no deadline of what is under way is before that */
    uint8_t loading[SCRIPTS]; /* SCRIPT LOADs under way */
    uint64_t random;
    uint64_t server;
    uint64_t turns; /* answers, falls, reports */
    struct reader reader;
    char sha[SCRIPTS][SCRIPT_SHA + 1];

    struct command command[LANE_COMMANDS_MAX]; /* a ring */
    uint32_t first, count;

    char output[LANE_OUTPUT_MAX];
    size_t output_begin, output_end; /* what is to be sent yet */
    uint64_t put, sent;              /* bytes of this connection */

    struct weir_redis_stats stats;
};

/* lane.c: down, for this class of error and that reason. */
void lane_fall(struct lane *lane, enum weir_redis_error error, const char *why, struct weir_instants now);
/* Notes an error that does not end the connection. text: what the server said; it is escaped. */
void lane_note(struct lane *lane, enum weir_redis_error error, const char *text);

/* handshake.c */
void handshake_begin(struct lane *lane, struct weir_instants now);
/* Answers to its commands. False: it fell. */
bool handshake_answer(
    struct lane *lane, const struct command *command, const struct reply *reply, struct weir_instants now);

/* command.c */
/* Puts a command out; false: there is no room, or no memory. */
bool command_put(struct lane *lane, const struct command *command, size_t count, const char *const *words,
    const size_t *lengths, uint64_t now_ns);
bool command_load(struct lane *lane, enum script script, uint64_t now_ns);
void command_pull(struct lane *lane, struct weir_instants now);
void command_probe(struct lane *lane, struct weir_instants now);
/* The oldest one; NULL: none. */
struct command *command_first(struct lane *lane);
void command_drop_first(struct lane *lane);
/* Whether one of those under way has been so for too long. */
bool command_is_late(struct lane *lane, struct weir_instants now);
/* Answers every question that is under way: the connection is lost. */
void command_drop_all(struct lane *lane, struct weir_instants now);
/* The answer to the oldest one has come. False: the lane fell. */
bool command_answer(struct lane *lane, const struct reply *reply, struct weir_instants now);

#endif
