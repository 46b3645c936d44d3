#include "redis/reply.h"

#include <string.h>

/* ---- what hiredis has made ---- */

/* Where a new object belongs; NULL: nowhere. */
static struct reply_element *place(const redisReadTask *task)
{
    struct reader *reader = task->privdata;
    if (task->parent == NULL) {
        reader->text_used = 0;
        reader->reply.elements = 0;
        return &reader->reply.self;
    }
    if (task->parent->obj != &reader->reply.self) return &reader->sink;
    return &reader->reply.element[task->idx];
}

static void *made(const redisReadTask *task, int64_t integer)
{
    struct reply_element *element = place(task);
    *element = (struct reply_element) { .type = task->type, .integer = integer, .text = "" };
    return element;
}

static void *make_string(const redisReadTask *task, char *text, size_t length)
{
    struct reader *reader = task->privdata;
    struct reply_element *element = made(task, 0);
    if (element == &reader->sink) return element;
    size_t room = REPLY_TEXT_MAX - 1 - reader->text_used;
    if (length > room) length = room;
    char *copy = reader->text + reader->text_used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    reader->text_used += length + (length < room);
    element->text = copy;
    element->length = length;
    return element;
}

static int depth_of(const redisReadTask *task)
{
    int depth = 0;
    while ((task = task->parent) != NULL) depth++;
    return depth;
}

#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t elements)
#else
static void *make_array(const redisReadTask *task, int elements)
#endif
{
    struct reader *reader = task->privdata;
    if ((size_t)elements > REPLY_ELEMENTS_MAX || depth_of(task) > REPLY_DEPTH_MAX) {
        return NULL; /* hiredis says that there is no memory */
    }
    struct reply_element *element = made(task, (int64_t)elements);
    if (element != &reader->reply.self) return element;
    reader->reply.elements = (size_t)elements;
    memset(reader->reply.element, 0, (size_t)elements * sizeof reader->reply.element[0]);
    return element;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    return made(task, value);
}

static void *make_nil(const redisReadTask *task)
{
    return made(task, 0);
}

static void free_nothing(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_nothing,
};

/* ---- the reader ---- */

bool reader_open(struct reader *reader)
{
    reader_close(reader);
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (reader->hiredis == NULL) return false;
    reader->hiredis->privdata = reader;
    reader->hiredis->maxbuf = 0; /* else 0.14 makes its buffer anew at times, and asserts that it got one */
    return true;
}

void reader_close(struct reader *reader)
{
    if (reader->hiredis != NULL) redisReaderFree(reader->hiredis);
    reader->hiredis = NULL;
}

bool reader_feed(struct reader *reader, const void *bytes, size_t count, size_t most)
{
    if (reader->hiredis == NULL) return false;
    if (reader->hiredis->len - reader->hiredis->pos + count > most) return false;
    return redisReaderFeed(reader->hiredis, bytes, count) == REDIS_OK;
}

enum read_result reader_next(struct reader *reader)
{
    void *object = NULL;
    if (reader->hiredis == NULL || redisReaderGetReply(reader->hiredis, &object) != REDIS_OK)
        return READ_BROKEN;
    if (object == NULL) return READ_MORE;
    return object == &reader->reply.self ? READ_REPLY : READ_BROKEN; /* else a type of a later protocol */
}
