/* An HTTP origin on loopback that a test scripts: a thread of its own hears each request to its end and does what the
 * test's function answers. */
#ifndef WEIR_TESTS_ORIGIN_H
#define WEIR_TESTS_ORIGIN_H

#include <stddef.h>
#include <stdint.h>

struct origin;

struct origin_request {
    uint32_t number;     /* of all requests, from 1 */
    uint32_t connection; /* the serial number of its connection, from 1 */
    const char *head;    /* all of it, as a string */
    const char *body;
    size_t length;
};

enum origin_then {
    ORIGIN_KEEP, /* the connection open, for the next request */
    ORIGIN_CLOSE,
    ORIGIN_RESET,
};

struct origin_answer {
    const char *bytes; /* NULL: silence */
    enum origin_then then;
};

/* On the origin's thread. The bytes stay until the next request. */
typedef struct origin_answer origin_script(void *argument, const struct origin_request *request);

struct origin *origin_start(origin_script *script, void *argument);
void origin_stop(struct origin *origin);

/* The URL of that path; in a static buffer of the thread. */
const char *origin_url(const struct origin *origin, const char *path);

uint32_t origin_requests(struct origin *origin);
uint32_t origin_connections(struct origin *origin);
/* Waits until so many requests have come in all. */
void origin_await(struct origin *origin, uint32_t requests);
/* Waits until so many connections are left open. */
void origin_await_open(struct origin *origin, uint32_t connections);

/* The value of that header in a head, in a static buffer of the thread; NULL: it is not there. */
const char *origin_header(const char *head, const char *name);

/* Answers "HTTP/1.1 <status>" with a body of "hello". */
struct origin_answer origin_hello(int status);

#endif
