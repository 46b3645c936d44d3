/* One HTTP client of one thread: what bare and guarded calls have in common. */
#ifndef DEMO_CLIENT_H
#define DEMO_CLIENT_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <weir/curl.h>

struct client {
    CURL *easy;
    struct weir_curl_body body; /* of the guarded calls */
    atomic_ulong *connects;     /* TCP connections attempted, over all clients of a side */
};

struct answer {
    CURLcode error; /* CURLE_OK: status holds */
    int status;     /* of HTTP */
};

/* false: nothing is left. */
bool client_open(struct client *client, atomic_ulong *connects);
/* A client that was not opened is nothing. */
void client_close(struct client *client);

/* Its next requests go to that port of loopback. */
void client_aim(struct client *client, uint16_t port);
/* A plain blocking GET, its body thrown away, that takes at most timeout_ms. */
struct answer client_get(struct client *client, long timeout_ms);

#endif
