/* Guarded transfers of a multi handle of the user's. multi.c starts and stops them as the machine says, turn.c brings
 * the machine what has happened: messages, posts, time. */
#ifndef WEIR_LIB_CURL_MULTI_H
#define WEIR_LIB_CURL_MULTI_H

#include "exchange.h"
#include "handles.h"
#include "ready.h"
#include "timers.h"

/* One transfer from start to done; then it waits for its next use, so that a late post still finds it. */
struct transfer {
    struct timer timer;     /* the first member */
    struct ready_node node; /* of its waker */
    struct handle handle;   /* of its easy handle */
    struct weir_curl_multi *guarded;
    CURL *easy; /* NULL: in the pool */
    struct exchange exchange;
    struct weir_call *call; /* allocated, call_size bytes */
    size_t call_size;
    struct weir_watch watch;
    uint32_t attempt; /* the number of the one that runs; 0: it waits */
    bool armed;       /* the machine has its waker */
    bool stepping;    /* a reset, rewind or fallback function of it runs */
    weir_curl_done *done;
    void *argument;
    struct transfer *pooled; /* the next one in the pool */
};

struct weir_curl_multi {
    CURLM *multi;
    struct weir_curl_multi_config config;
    unsigned process;       /* that made it */
    uint32_t inside;        /* calls of its functions on the stack that may call done */
    uint32_t stepping;      /* transfers of which a reset, rewind or fallback function runs */
    struct handles handles; /* of the transfers that are under way */
    struct transfer *pool;  /* those that are not */
    struct timers timers;
    struct ready ready;
    uint64_t transfers, running;
};

/* NULL: that handle is not of a transfer that is under way. */
struct transfer *multi_find(const struct weir_curl_multi *guarded, CURL *easy);
/* libcurl has ended it so; the machine may have something to say (it is early: no matter). */
void multi_ended(struct transfer *transfer, CURLcode code);
void multi_look(struct transfer *transfer);

#endif
