/* Transfers that a waker has posted: pushed from any thread, taken by the one that drives them.
 *
 *     post: posted? no: push it --> head --> node --> node        take: head <- NULL, and the whole list is ours
 *           is the driver away? once: descriptor and curl_multi_wakeup()
 *
 * Invariants
 *   1. A node is in a list as long as `posted` is true; its link changes only when it is pushed. A node whose owner has
 *      ended, or has been given to another, may still be posted and taken: that is a look for no reason.
 *   2. No post is lost: the poster pushes, then looks whether the driver is away; the driver says that it goes away,
 *      then looks at the list. One of the two comes first (all four sequentially consistent). */
#ifndef WEIR_LIB_CURL_READY_H
#define WEIR_LIB_CURL_READY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

struct ready;

struct ready_node {
    struct ready *ready;
    struct ready_node *next;
    _Atomic bool posted;
};

struct ready {
    _Atomic(struct ready_node *) head;
    _Atomic bool away;     /* the driver will not look by itself: it must be told */
    _Atomic uint64_t told; /* so many times; an eventfd counts its writes as well */
    uint64_t heard;
    int descriptor;
    CURLM *multi;
};

/* False: no descriptor is left. */
bool ready_open(struct ready *ready, CURLM *multi);
void ready_close(struct ready *ready);

/* The post of a weir_waker; argument: the node. */
void ready_post(void *argument);

/* The driver is here: until it goes away, posts cost it no system call. */
void ready_come(struct ready *ready);
/* False: it has to take once more. */
bool ready_go(struct ready *ready);

/* The nodes posted since, linked; each must be given to ready_next() before it is looked at. */
struct ready_node *ready_take(struct ready *ready);
/* What comes after it; the node may be posted again from now on. */
struct ready_node *ready_next(struct ready_node *node);

#endif
