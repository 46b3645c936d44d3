/* Which transfer an easy handle is of: a hash table (uthash). */
#ifndef WEIR_LIB_CURL_HANDLES_H
#define WEIR_LIB_CURL_HANDLES_H

#include <stdbool.h>

#include <curl/curl.h>
#include <uthash.h>

/* A member of what is found. */
struct handle {
    CURL *easy;
    UT_hash_handle hh;
};

struct handles {
    struct handle *first; /* NULL: none */
};

/* Of an easy handle that is not there yet; false: no memory, and it is not there. */
bool handles_add(struct handles *handles, struct handle *handle, CURL *easy);
/* NULL: it is not there. */
struct handle *handles_find(const struct handles *handles, CURL *easy);
void handles_remove(struct handles *handles, struct handle *handle);

#endif
