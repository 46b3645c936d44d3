/* One HTTP client of one thread: what bare and guarded calls have in common. */
#ifndef DEMO_CLIENT_H
#define DEMO_CLIENT_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What bare and guarded callers promise their own callers, from the arrival of a call. */
#define DEADLINE_NS UINT64_C(300000000)

struct client {
    CURL *easy;
    atomic_ulong *connects; /* TCP connections attempted, over all clients of a side */
};

struct answer {
    CURLcode error; /* CURLE_OK: status holds */
    int status;     /* of HTTP */
};

bool client_open(struct client *client, uint16_t port, atomic_ulong *connects);
void client_close(struct client *client);

/* A plain blocking GET that takes at most timeout_ms. */
struct answer client_get(struct client *client, long timeout_ms);

uint64_t monotonic_ns(void);

#endif
