/* One answer of Redis, read from bytes as they come. hiredis' reader does the parsing; what it makes of it is kept here, in
 * fixed places: one level of elements. What lies deeper, as in the answer to ROLE, is parsed and forgotten. */
#ifndef WEIR_LIB_REDIS_REPLY_H
#define WEIR_LIB_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_ELEMENTS_MAX 64 /* of any array, at any depth */
#define REPLY_DEPTH_MAX 2     /* an array in the array in the answer */
#define REPLY_TEXT_MAX 8192   /* of all that is kept of one answer; longer texts are cut */

struct reply_element {
    int type; /* REDIS_REPLY_...; 0: of a kind that is not kept */
    int64_t integer;
    const char *text; /* terminated */
    size_t length;
};

struct reply {
    struct reply_element self;
    size_t elements; /* of an array */
    struct reply_element element[REPLY_ELEMENTS_MAX];
};

struct reader {
    redisReader *hiredis; /* NULL: none, for want of memory */
    struct reply reply;
    char text[REPLY_TEXT_MAX];
    size_t text_used;
    struct reply_element sink; /* what lies deeper */
};

enum read_result { READ_MORE, READ_REPLY, READ_BROKEN };

/* For a new connection: forgets what was there. False: no memory. */
bool reader_open(struct reader *reader);
void reader_close(struct reader *reader);
/* False: no memory, or more than `most` bytes wait to become an answer. */
bool reader_feed(struct reader *reader, const void *bytes, size_t count, size_t most);
/* The next answer is in reader->reply until the next call. BROKEN: what came is no answer, or is too large. */
enum read_result reader_next(struct reader *reader);

#endif
