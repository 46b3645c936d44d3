/* Invariant, from body_empty() on: data has room_for(size) bytes at least, and data[size] is 0. */
#include "body.h"

#include "misuse.h"

#include <string.h>

#define LIMIT ((size_t)16 << 20)
#define ROOM_MIN 4096

/* The room of a body of that size. */
static size_t room_for(size_t size)
{
    size_t room = ROOM_MIN;
    while (room <= size) room *= 2;
    return room;
}

bool body_empty(struct weir_curl_body *body)
{
    body->emptied++;
    /* A body that stays small stays where it is; a large one is not kept for the next. */
    if (body->data == NULL || room_for(body->size) > ROOM_MIN) {
        char *data = realloc(body->data, ROOM_MIN);
        if (data != NULL) body->data = data;
    }
    if (body->data == NULL) return false;
    body->size = 0;
    body->data[0] = 0;
    return true;
}

size_t body_write(char *data, size_t size, size_t count, void *argument)
{
    struct weir_curl_body *body = argument;
    size_t limit = body->limit != 0 ? body->limit : LIMIT, length = size * count; /* size is 1 */
    if (length > limit - body->size) return 0; /* libcurl makes it CURLE_WRITE_ERROR */
    size_t room = room_for(body->size + length);
    if (room > room_for(body->size)) {
        char *larger = realloc(body->data, room);
        if (larger == NULL) return 0;
        body->data = larger;
    }
    memcpy(body->data + body->size, data, length);
    body->size += length;
    body->data[body->size] = 0;
    return length;
}

void weir_curl_body_free(struct weir_curl_body *body)
{
    CURL_REQUIRE(body != NULL, "weir_curl_body_free", "body is NULL");
    free(body->data);
    body->data = NULL;
    body->size = 0;
}
