/* The multi handles of this thread, whose connections outlive a call.
 *
 *     thread --> lane --> lane --> lane     a perform takes the first that is not busy: one for each level of
 *                busy     busy     free     nesting, as deep as it ever was
 *
 * Invariants: a lane is used by its own thread only, but for waking it; what a process did not make it does not touch,
 * nor close: a goodbye that a forked child sends on its parent's TLS connection would end it for the parent. */
#ifndef WEIR_LIB_CURL_THREAD_H
#define WEIR_LIB_CURL_THREAD_H

#include <stdbool.h>

#include <curl/curl.h>

struct lane {
    CURLM *multi;
    struct lane *next;
    bool busy;
};

/* NULL: no memory, or no descriptor is left. */
struct lane *lane_take(void);
void lane_give_back(struct lane *lane);

#endif
