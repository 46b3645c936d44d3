/* Which transfer an easy handle is of: a hash table with linear probing.
 *
 * Invariant: from the slot where a handle's search begins to the one where it is, no slot is empty. Removing moves what
 * comes behind it forward, so there are no graves and a search is as long as the table is full: at most half. */
#ifndef WEIR_LIB_CURL_HANDLES_H
#define WEIR_LIB_CURL_HANDLES_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

struct transfer;

struct handle {
    CURL *easy; /* NULL: empty */
    struct transfer *transfer;
};

struct handles {
    struct handle *slot;
    size_t count;
    unsigned bits; /* there are 2^bits slots; 0: none */
};

/* Room for one more; false: no memory. Only this allocates. */
bool handles_reserve(struct handles *handles);
void handles_free(struct handles *handles);

/* It must not be there yet, and there must be room. */
void handles_add(struct handles *handles, CURL *easy, struct transfer *transfer);
/* NULL: it is not there. */
struct transfer *handles_find(const struct handles *handles, CURL *easy);
/* It must be there. */
void handles_remove(struct handles *handles, CURL *easy);

#endif
