/* Questions (weir/transport.h) as commands: which script, which keys, which words; and answers as numbers. */
#ifndef WEIR_LIB_REDIS_QUESTION_H
#define WEIR_LIB_REDIS_QUESTION_H

#include "redis/reply.h"
#include "redis/script.h"

#include <weir/transport.h>

#define QUESTION_KEYS_MAX 2
#define QUESTION_WORDS_MAX (3 + QUESTION_KEYS_MAX + 1 + WEIR_NUMBERS_MAX)

/* A question as EVALSHA: its words and the room that they lie in. */
struct question {
    size_t count;
    const char *word[QUESTION_WORDS_MAX];
    size_t length[QUESTION_WORDS_MAX];
    char key[QUESTION_KEYS_MAX][6 * WEIR_NAME_MAX + 24];
    char id[33];
    char number[WEIR_NUMBERS_MAX][24];
};

enum script question_script(enum weir_ask_kind kind);
/* Whether questions of that script are asked on that lane. */
bool question_is_of_lane(enum script script, enum weir_lane lane);
/* sha and space must outlive the question. */
void question_make(struct question *question, const struct weir_ask *ask, const char *space, const char *sha);
/* False: that is no answer to a question of that kind. A number that none can be, of a script whose key holds nonsense,
 * makes it an ERROR. */
bool question_answer(enum weir_ask_kind kind, const struct reply *reply, struct weir_answer *answer);

#endif
