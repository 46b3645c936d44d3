#include "redis/support/proxy_log.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COMMANDS_MAX = 4 << 20 };

void proxy_log_keep(void *log, struct message *message)
{
    struct proxy_log *proxy_log = log;
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    message->due_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    if (proxy_log->count == COMMANDS_MAX) redis_die("proxy: more than %d commands to log", COMMANDS_MAX);
    if (proxy_log->count == proxy_log->size) {
        proxy_log->size = 2 * proxy_log->size + 64;
        proxy_log->messages = realloc(proxy_log->messages, proxy_log->size * sizeof(struct message *));
        if (!proxy_log->messages) redis_die("proxy: no memory");
    }
    proxy_log->messages[proxy_log->count++] = message;
}

void proxy_log_close(struct proxy_log *log)
{
    for (size_t i = 0; i < log->count; i++) free(log->messages[i]);
    free(log->messages);
}

/* ---- words ---- */

static size_t put(char *text, size_t used, const char *word, size_t length)
{
    size_t room = PROXY_TEXT_MAX - 1 - used;
    size_t taken = length < room ? length : room;
    memcpy(text + used, word, taken);
    return used + taken;
}

void proxy_log_text(const struct message *message, char text[static PROXY_TEXT_MAX])
{
    void *any = NULL;
    size_t used = 0;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, message->bytes, message->length);
    redisReaderGetReply(reader, &any); /* it could when it came */
    const redisReply *command = any;
    for (size_t i = 0; i < command->elements; i++) {
        if (i > 0) used = put(text, used, " ", 1);
        if (command->element[i]->str) {
            used = put(text, used, command->element[i]->str, command->element[i]->len);
        }
    }
    text[used] = '\0';
    freeReplyObject(any);
    redisReaderFree(reader);
}

static bool begins(const struct message *message, const char *beginning)
{
    char text[PROXY_TEXT_MAX];
    proxy_log_text(message, text);
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

size_t proxy_log_count(const struct proxy_log *log, const char *beginning)
{
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++) count += begins(log->messages[i], beginning);
    return count;
}

static int by_bytes(const void *left, const void *right)
{
    const struct message *a = *(struct message *const *)left, *b = *(struct message *const *)right;
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    return memcmp(a->bytes, b->bytes, a->length);
}

size_t proxy_log_repeated(const struct proxy_log *log, const char *beginning)
{
    size_t count = 0, repeated = 0;
    const struct message **some = malloc((log->count + 1) * sizeof(struct message *));
    if (!some) redis_die("proxy: no memory");
    for (size_t i = 0; i < log->count; i++) {
        if (begins(log->messages[i], beginning)) some[count++] = log->messages[i];
    }
    qsort(some, count, sizeof(struct message *), by_bytes);
    for (size_t i = 1; i < count; i++) repeated += by_bytes(&some[i - 1], &some[i]) == 0;
    free(some);
    return repeated;
}
