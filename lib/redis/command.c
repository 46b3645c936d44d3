/* Commands under way: put out, answered, given up. lane.h has the invariants. */
#include "redis/lane_state.h"

#include <string.h>

#define OUTPUT_FULL 65536  /* bytes that wait: nothing more is pulled */
#define SCRIPTS_SIZE 65536 /* all of them together are less */
_Static_assert(OUTPUT_FULL + SCRIPTS_SIZE + LANE_COMMANDS_MAX * sizeof(struct question) <= LANE_OUTPUT_MAX,
    "a command is shorter than struct question: has_room() says what for");

/* ---- put out ---- */

static bool put_bytes(struct lane *lane, const char *bytes, size_t count)
{
    if (LANE_OUTPUT_MAX - lane->output_end < count && lane->output_begin != 0) {
        memmove(lane->output, lane->output + lane->output_begin, lane->output_end - lane->output_begin);
        lane->output_end -= lane->output_begin;
        lane->output_begin = 0;
    }
    if (LANE_OUTPUT_MAX - lane->output_end < count) return false;
    memcpy(lane->output + lane->output_end, bytes, count);
    lane->output_end += count;
    lane->put += count;
    return true;
}

bool command_put(struct lane *lane, const struct command *command, size_t count, const char *const *words,
    const size_t *lengths, uint64_t now_ns)
{
    if (lane->count == LANE_COMMANDS_MAX) return false;
    char *bytes = NULL;
    const char **plain = (const char **)words; /* hiredis changes none of them */
    long long length = redisFormatCommandArgv(&bytes, (int)count, plain, lengths);
    if (length < 0) return false;
    uint64_t began = lane->put;
    bool put = put_bytes(lane, bytes, (size_t)length);
    if (command->kind == COMMAND_AUTH) explicit_bzero(bytes, (size_t)length);
    redisFreeCommand(bytes);
    if (!put) return false;
    struct command *under_way = &lane->command[(lane->first + lane->count++) % LANE_COMMANDS_MAX];
    *under_way = *command;
    under_way->began = began;
    under_way->sent_ns = now_ns;
    if (under_way->deadline_ns == 0) under_way->deadline_ns = time_add(now_ns, lane->settings->command_ns);
    lane->stats.commands++;
    lane->give_up_ns =
        lane->count == 1 ? under_way->deadline_ns : time_min(lane->give_up_ns, under_way->deadline_ns);
    return true;
}

bool command_load(struct lane *lane, enum script script, uint64_t now_ns)
{
    const struct script_text *text = &script_texts[script];
    struct command command = { .kind = COMMAND_LOAD, .script = (uint8_t)script };
    bool put = command_put(lane, &command, 3, (const char *[]) { "SCRIPT", "LOAD", text->text },
        (size_t[]) { 6, 4, text->length }, now_ns);
    lane->loading[script] += put;
    return put;
}

/* For a question and, should the server have lost its scripts, for all that are under way once more with theirs. */
static bool has_room(const struct lane *lane)
{
    return lane->count + SCRIPTS < LANE_COMMANDS_MAX && lane->output_end - lane->output_begin < OUTPUT_FULL;
}

static bool put_question(struct lane *lane, const struct command *command, uint64_t now_ns)
{
    struct question question;
    question_make(&question, &command->ask, weir_link_space(lane->link), lane->sha[command->script]);
    return command_put(lane, command, question.count, question.word, question.length, now_ns);
}

static void answer_without(
    struct lane *lane, const struct weir_ask *ask, enum weir_answer_kind kind, struct weir_instants now)
{
    struct weir_answer answer = { .kind = (uint8_t)kind };
    weir_link_answer(lane->link, ask->ticket, &answer, now);
    lane->turns++;
}

void command_pull(struct lane *lane, struct weir_instants now)
{
    struct command command = { .kind = COMMAND_QUESTION };
    while (has_room(lane) && weir_link_pull(lane->link, lane->node, lane->which, now, &command.ask)) {
        command.script = (uint8_t)question_script((enum weir_ask_kind)command.ask.kind);
        uint64_t latest_ns = time_add(now.monotonic_ns, lane->settings->command_ns);
        command.deadline_ns =
            command.ask.deadline_ns == 0 ? latest_ns : time_min(latest_ns, command.ask.deadline_ns);
        if (put_question(lane, &command, now.monotonic_ns)) continue;
        answer_without(lane, &command.ask, WEIR_ANSWER_NOT_RUN, now);
        lane_fall(lane, WEIR_REDIS_OTHER, "no memory", now);
        return;
    }
}

void command_probe(struct lane *lane, struct weir_instants now)
{
    struct command command = { .kind = COMMAND_PROBE, .script = SCRIPT_PROBE };
    bool put = command_put(lane, &command, 3, (const char *[]) { "EVALSHA", lane->sha[SCRIPT_PROBE], "0" },
        (size_t[]) { 7, SCRIPT_SHA, 1 }, now.monotonic_ns);
    if (!put) lane_fall(lane, WEIR_REDIS_OTHER, "no memory", now);
}

/* ---- under way ---- */

struct command *command_first(struct lane *lane)
{
    return lane->count == 0 ? NULL : &lane->command[lane->first];
}

void command_drop_first(struct lane *lane)
{
    const struct command *command = &lane->command[lane->first];
    if (command->kind == COMMAND_LOAD) lane->loading[command->script]--;
    lane->first = (lane->first + 1) % LANE_COMMANDS_MAX;
    lane->count--;
}

/* They are in the order of their sending, and not of their deadlines. */
bool command_is_late(struct lane *lane, struct weir_instants now)
{
    if (lane->count == 0 || now.monotonic_ns < lane->give_up_ns) return false;
    lane->give_up_ns = WEIR_NEVER;
    for (uint32_t i = 0; i < lane->count; i++) {
        const struct command *command = &lane->command[(lane->first + i) % LANE_COMMANDS_MAX];
        lane->give_up_ns = time_min(lane->give_up_ns, command->deadline_ns);
    }
    return now.monotonic_ns >= lane->give_up_ns;
}

void command_drop_all(struct lane *lane, struct weir_instants now)
{
    while (lane->count != 0) {
        struct command command = lane->command[lane->first];
        command_drop_first(lane);
        if (command.kind != COMMAND_QUESTION) continue;
        bool left = command.began < lane->sent;
        lane->stats.given_up += left;
        answer_without(lane, &command.ask, left ? WEIR_ANSWER_UNKNOWN : WEIR_ANSWER_NOT_RUN, now);
    }
}

/* ---- answered ---- */

/* What an error says: whether the script has not run, and whether the connection is of use yet. */
static const struct verdict {
    const char *code;
    enum weir_redis_error error;
    bool not_run, close;
} verdicts[] = {
    { "READONLY", WEIR_REDIS_ROLE, true, true }, /* its first write was refused: nothing has been written */
    { "MASTERDOWN", WEIR_REDIS_ROLE, true, true },
    { "MOVED", WEIR_REDIS_ROLE, true, true },
    { "ASK", WEIR_REDIS_ROLE, true, true },
    { "CROSSSLOT", WEIR_REDIS_ROLE, true, true },
    { "CLUSTERDOWN", WEIR_REDIS_ROLE, true, true },
    { "TRYAGAIN", WEIR_REDIS_BUSY, true, false },
    { "LOADING", WEIR_REDIS_BUSY, true, true },
    { "BUSY", WEIR_REDIS_BUSY, true, false },
    { "NOAUTH", WEIR_REDIS_REFUSED, true, true },
    { "WRONGPASS", WEIR_REDIS_REFUSED, true, true },
    { "NOPERM", WEIR_REDIS_REFUSED, false, true }, /* perhaps of the script's second command */
    { "NOSCRIPT", WEIR_REDIS_OTHER, true, false }, /* again, after it was loaded */
    { "MISCONF", WEIR_REDIS_MEMORY, false, false },
    { "OOM", WEIR_REDIS_MEMORY, false, false },
    { "NOREPLICAS", WEIR_REDIS_MEMORY, false, false },
    { "", WEIR_REDIS_OTHER, false, false },
};

/* Redis up to 6 wraps what a command in a script was answered: "ERR Error running script (...): ...: -READONLY ...". */
static const char *unwrapped(const char *text)
{
    if (strncmp(text, "ERR Error running script", 24) != 0) return text;
    const char *inner = strstr(text, ": -");
    return inner == NULL ? text : inner + 3;
}

static const struct verdict *verdict_on(const char *text)
{
    const char *code = unwrapped(text);
    const struct verdict *verdict = verdicts;
    for (;; verdict++) {
        size_t length = strlen(verdict->code);
        if (length == 0) return verdict;
        if (strncmp(code, verdict->code, length) == 0 && (code[length] == ' ' || code[length] == '\0'))
            return verdict;
    }
}

/* The server has lost the script, and has therefore done nothing: once more, behind the script. */
static bool ask_again(struct lane *lane, const struct command *command, struct weir_instants now)
{
    struct command again = *command;
    enum script script = (enum script)command->script;
    again.again = true;
    bool loading = lane->loading[script] != 0;
    if (!loading) lane->stats.scripts_loaded++;
    if ((loading || command_load(lane, script, now.monotonic_ns)) &&
        put_question(lane, &again, now.monotonic_ns)) {
        return true;
    }
    answer_without(lane, &command->ask, WEIR_ANSWER_NOT_RUN, now);
    lane_fall(lane, WEIR_REDIS_OTHER, "no memory", now);
    return false;
}

static bool answer_error(
    struct lane *lane, const struct command *command, const char *text, struct weir_instants now)
{
    if (!command->again && strncmp(text, "NOSCRIPT", 8) == 0) return ask_again(lane, command, now);
    const struct verdict *verdict = verdict_on(text);
    answer_without(lane, &command->ask, verdict->not_run ? WEIR_ANSWER_NOT_RUN : WEIR_ANSWER_ERROR, now);
    if (verdict->close) lane_fall(lane, verdict->error, text, now);
    else lane_note(lane, verdict->error, text);
    return !verdict->close;
}

static bool answer_question(
    struct lane *lane, const struct command *command, const struct reply *reply, struct weir_instants now)
{
    struct weir_answer answer;
    if (reply->self.type == REDIS_REPLY_ERROR) return answer_error(lane, command, reply->self.text, now);
    if (question_answer((enum weir_ask_kind)command->ask.kind, reply, &answer)) {
        if (answer.kind == WEIR_ANSWER_ERROR) lane_note(lane, WEIR_REDIS_OTHER, "a number that none can be");
        weir_link_answer(lane->link, command->ask.ticket, &answer, now);
        lane->turns++;
        return true;
    }
    answer_without(lane, &command->ask, WEIR_ANSWER_UNKNOWN, now);
    lane_fall(lane, WEIR_REDIS_PROTOCOL, "what it said is no answer to a question", now);
    return false;
}

/* A script that was loaded once more: it has the name that it had. */
static bool answer_load(
    struct lane *lane, const struct command *command, const struct reply *reply, struct weir_instants now)
{
    bool good =
        reply->self.type == REDIS_REPLY_STRING && strcmp(reply->self.text, lane->sha[command->script]) == 0;
    if (!good) lane_fall(lane, WEIR_REDIS_PROTOCOL, "a script was not loaded", now);
    return good;
}

/* After SCRIPT FLUSH it is an error, too: it answers, and that is all that was asked. */
static bool answer_probe(struct lane *lane, const struct reply *reply, struct weir_instants now)
{
    if (reply->self.type == REDIS_REPLY_INTEGER) return true;
    if (reply->self.type != REDIS_REPLY_ERROR) {
        lane_fall(lane, WEIR_REDIS_PROTOCOL, "what it said is no answer to a probe", now);
        return false;
    }
    const struct verdict *verdict = verdict_on(reply->self.text);
    if (verdict->close) lane_fall(lane, verdict->error, reply->self.text, now);
    return !verdict->close;
}

bool command_answer(struct lane *lane, const struct reply *reply, struct weir_instants now)
{
    struct command command = *command_first(lane);
    command_drop_first(lane);
    switch ((enum command_kind)command.kind) {
    case COMMAND_QUESTION: return answer_question(lane, &command, reply, now);
    case COMMAND_LOAD: return answer_load(lane, &command, reply, now);
    default: return answer_probe(lane, reply, now);
    }
}
