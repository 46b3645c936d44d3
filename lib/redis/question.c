#include "redis/question.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum script script;
    enum weir_lane lane;
    const char *suffix[QUESTION_KEYS_MAX]; /* of its keys; NULL: none */
    uint8_t least, most; /* numbers of an answer; to an old sequence, -1 alone will do, too */
} kinds[WEIR_ASKS] = {
    [WEIR_ASK_RATE] = { SCRIPT_RATE, WEIR_LANE_BULK, { "r", "rm" }, 6, 6 },
    [WEIR_ASK_BREAKER] = { SCRIPT_BREAKER, WEIR_LANE_BULK, { "b", "bm" }, 9, 9 },
    [WEIR_ASK_BULKHEAD] = { SCRIPT_BULKHEAD, WEIR_LANE_BULK, { "s", "sm" }, 5, 5 },
    [WEIR_ASK_LOCK] = { SCRIPT_LOCK, WEIR_LANE_LOCK, { "k", "kf" }, 2, 3 },
    [WEIR_ASK_RENEW] = { SCRIPT_RENEW, WEIR_LANE_LOCK, { "k" }, 1, 1 },
    [WEIR_ASK_UNLOCK] = { SCRIPT_UNLOCK, WEIR_LANE_LOCK, { "k" }, 1, 1 },
    [WEIR_ASK_FENCE] = { SCRIPT_FENCE, WEIR_LANE_LOCK, { "kf" }, 1, 1 },
};

enum script question_script(enum weir_ask_kind kind)
{
    return kinds[kind].script;
}

bool question_is_of_lane(enum script script, enum weir_lane lane)
{
    if (script == SCRIPT_PROBE) return true;
    for (int kind = 0; kind < WEIR_ASKS; kind++) {
        if (kinds[kind].script == script) return kinds[kind].lane == lane;
    }
    return false;
}

/* What is no letter, digit, '_', '.' or '-' becomes %XX: names stay apart, and nothing in them means anything. */
static char *escape_name(char *at, const char *name)
{
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (plain || c == '_' || c == '.' || c == '-') *at++ = (char)c;
        else at += sprintf(at, "%%%02X", c);
    }
    return at;
}

/* All keys of an object bear one hash tag: in a cluster they lie on one server. */
static size_t make_key(char *key, const char *space, const char *name, const char *suffix)
{
    char *at = key + sprintf(key, "weir:{");
    at = escape_name(at, space);
    *at++ = ':';
    at = escape_name(at, name);
    at += sprintf(at, "}:%s", suffix);
    return (size_t)(at - key);
}

static void add(struct question *question, const char *word, size_t length)
{
    question->word[question->count] = word;
    question->length[question->count++] = length;
}

void question_make(struct question *question, const struct weir_ask *ask, const char *space, const char *sha)
{
    static const char *const counts[] = { "0", "1", "2" };
    const char *const *suffix = kinds[ask->kind].suffix;
    int keys = 0;
    while (keys < QUESTION_KEYS_MAX && suffix[keys] != NULL) keys++;
    question->count = 0;
    add(question, "EVALSHA", 7);
    add(question, sha, SCRIPT_SHA);
    add(question, counts[keys], 1);
    for (int i = 0; i < keys; i++) {
        add(question, question->key[i], make_key(question->key[i], space, ask->name, suffix[i]));
    }
    int length = sprintf(question->id, "%016" PRIx64 "%016" PRIx64, ask->id[0], ask->id[1]);
    add(question, question->id, (size_t)length);
    for (int i = 0; i < ask->count; i++) {
        length = sprintf(question->number[i], "%" PRId64, ask->number[i]);
        add(question, question->number[i], (size_t)length);
    }
}

#define NUMBER_END (INT64_C(1) << 53)

bool question_answer(enum weir_ask_kind kind, const struct reply *reply, struct weir_answer *answer)
{
    if (reply->self.type != REDIS_REPLY_ARRAY || reply->elements > kinds[kind].most) return false;
    *answer = (struct weir_answer) { .kind = WEIR_ANSWER_DONE, .count = (uint8_t)reply->elements };
    for (size_t i = 0; i < reply->elements; i++) {
        int64_t number = reply->element[i].integer;
        if (reply->element[i].type != REDIS_REPLY_INTEGER) return false;
        if (number <= -NUMBER_END || number >= NUMBER_END) answer->kind = WEIR_ANSWER_ERROR;
        answer->number[i] = number;
    }
    bool old = kinds[kind].lane == WEIR_LANE_BULK && answer->count == 1 && answer->number[0] == -1;
    return old || reply->elements >= kinds[kind].least;
}
