/* The greeting: who we are, and whether it is a server that will do. */
#include "redis/lane_state.h"

#include <stdio.h>
#include <string.h>

/* ---- asked ---- */

static bool say(
    struct lane *lane, enum command_kind kind, size_t count, const char *const *words, uint64_t now_ns)
{
    size_t lengths[4];
    for (size_t i = 0; i < count; i++) lengths[i] = strlen(words[i]);
    struct command command = { .kind = (uint8_t)kind };
    return command_put(lane, &command, count, words, lengths, now_ns);
}

static bool say_password(struct lane *lane, uint64_t now_ns)
{
    const char *user = lane->settings->user, *password = lane->settings->password;
    if (password == NULL || *password == '\0') return true;
    if (user == NULL || *user == '\0')
        return say(lane, COMMAND_AUTH, 2, (const char *[]) { "AUTH", password }, now_ns);
    return say(lane, COMMAND_AUTH, 3, (const char *[]) { "AUTH", user, password }, now_ns);
}

static bool say_all(struct lane *lane, uint64_t now_ns)
{
    char database[16];
    snprintf(database, sizeof database, "%u", lane->settings->database);
    bool said = say_password(lane, now_ns);
    if (said && lane->settings->database != 0) {
        said = say(lane, COMMAND_SELECT, 2, (const char *[]) { "SELECT", database }, now_ns);
    }
    said = said && say(lane, COMMAND_NAME, 3, (const char *[]) { "CLIENT", "SETNAME", "weir" }, now_ns) &&
        say(lane, COMMAND_ROLE, 1, (const char *[]) { "ROLE" }, now_ns) &&
        say(lane, COMMAND_INFO, 2, (const char *[]) { "INFO", "server" }, now_ns) &&
        say(lane, COMMAND_POLICY, 3, (const char *[]) { "CONFIG", "GET", "maxmemory-policy" }, now_ns);
    for (enum script script = 0; said && script < SCRIPTS; script++) {
        if (question_is_of_lane(script, lane->which)) said = command_load(lane, script, now_ns);
    }
    return said;
}

void handshake_begin(struct lane *lane, struct weir_instants now)
{
    /* Until INFO says better, each connection may be to another server. */
    lane->server = mix64(lane->random + lane->stats.connected + 1) | 1;
    if (!say_all(lane, now.monotonic_ns)) lane_fall(lane, WEIR_REDIS_OTHER, "no memory", now);
}

/* ---- answered ---- */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_master(const struct reply *reply)
{
    return reply->self.type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        strcmp(reply->element[0].text, "master") == 0;
}

/* Another life of the same server has another run_id. */
static bool read_run_id(struct lane *lane, const struct reply *reply)
{
    static const char field[] = "run_id:";
    if (reply->self.type != REDIS_REPLY_STRING) return false;
    const char *at = strstr(reply->self.text, field);
    if (at == NULL) return false;
    uint64_t hash = 0;
    for (at += sizeof field - 1; *at > ' '; at++) hash = mix64(hash ^ (unsigned char)*at);
    lane->server = hash | 1;
    return true;
}

static bool read_policy(struct lane *lane, const struct reply *reply)
{
    if (reply->self.type != REDIS_REPLY_ARRAY) return false;
    lane->stats.evicts = reply->elements == 2 && strcmp(reply->element[1].text, "noeviction") != 0;
    return true;
}

static bool read_sha(struct lane *lane, enum script script, const struct reply *reply)
{
    if (reply->self.type != REDIS_REPLY_STRING || reply->self.length != SCRIPT_SHA) return false;
    memcpy(lane->sha[script], reply->self.text, SCRIPT_SHA + 1);
    return true;
}

/* What an error ends the connection for; those whose absence can be borne do not. */
static bool refused(
    struct lane *lane, const struct command *command, const char *text, struct weir_instants now)
{
    if (starts(text, "NOPERM") && command->kind != COMMAND_LOAD) {
        if (command->kind != COMMAND_AUTH && command->kind != COMMAND_SELECT) return true;
    }
    enum weir_redis_error error = WEIR_REDIS_REFUSED;
    const char *why = text;
    if (starts(text, "LOADING") || starts(text, "BUSY") || starts(text, "ERR max number of clients")) {
        error = WEIR_REDIS_BUSY;
    } else if (starts(text, "MASTERDOWN") || starts(text, "READONLY")) {
        error = WEIR_REDIS_ROLE;
    } else if (command->kind == COMMAND_AUTH) {
        why = starts(text, "WRONGPASS") ? "AUTH was refused: WRONGPASS" : "AUTH was refused";
    }
    lane_fall(lane, error, why, now);
    return false;
}

bool handshake_answer(
    struct lane *lane, const struct command *command, const struct reply *reply, struct weir_instants now)
{
    bool good = false;
    if (reply->self.type == REDIS_REPLY_ERROR) return refused(lane, command, reply->self.text, now);
    switch ((enum command_kind)command->kind) {
    case COMMAND_AUTH:
    case COMMAND_SELECT:
    case COMMAND_NAME: good = reply->self.type == REDIS_REPLY_STATUS; break;
    case COMMAND_INFO: good = read_run_id(lane, reply); break;
    case COMMAND_POLICY: good = read_policy(lane, reply); break;
    case COMMAND_LOAD: good = read_sha(lane, (enum script)command->script, reply); break;
    case COMMAND_ROLE:
        if (reply->self.type == REDIS_REPLY_ARRAY && !is_master(reply)) {
            lane_fall(lane, WEIR_REDIS_ROLE, "it is not a master (ROLE)", now);
            return false;
        }
        good = is_master(reply);
        break;
    case COMMAND_PROBE:
    case COMMAND_QUESTION: break;
    }
    if (!good) lane_fall(lane, WEIR_REDIS_PROTOCOL, "what it said at the greeting is no answer to that", now);
    return good;
}
