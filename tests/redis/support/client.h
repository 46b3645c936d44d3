/* One plain connection to a Redis, for what a test asks beside the code under test: to prove on a second
 * connection that a fault is on, to look at keys, to speak broken protocol.
 *
 *     struct redis_client client;
 *     struct redis_answer answer;
 *     if (!redis_client_open(&client, &address, 1000)) ...
 *     redis_client_ask(&client, &answer, "SET", "key", "value");
 *     CHECK_STR(answer.text, "OK");
 *     redis_client_close(&client);
 *
 * Nothing blocks longer than the limit, nothing raises SIGPIPE, no answer needs to be freed. One thread at a time. */
#ifndef WEIR_TESTS_REDIS_CLIENT_H
#define WEIR_TESTS_REDIS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_address {
    const char *path; /* of a unix socket; NULL: 127.0.0.1 */
    uint16_t port;
};

enum redis_kind {
    REDIS_NOTHING, /* no answer: text says why */
    REDIS_NIL,
    REDIS_INTEGER,
    REDIS_STRING,
    REDIS_STATUS,
    REDIS_ERROR,
    REDIS_ARRAY
};

enum { REDIS_TEXT_MAX = 16384, REDIS_COUNT_MAX = 128 };

struct redis_answer {
    enum redis_kind kind;
    int64_t integer; /* also of a text that begins with a number; an array: of its first */
    size_t count;    /* an array's leaves, those of arrays in it too; they may be more than fit */
    int64_t integers[REDIS_COUNT_MAX]; /* of each, as above; nil is 0 */
    size_t length;                     /* of the whole text, which may be more than fits */
    char text[REDIS_TEXT_MAX];         /* cut there; an array: a line for each leaf */
};

struct redis_client {
    int descriptor;
    int limit_ms; /* for each connect, send and answer */
    void *reader;
};

/* False: nobody accepts, or not within the limit. */
bool redis_client_open(struct redis_client *client, const struct redis_address *address, int limit_ms);
void redis_client_close(struct redis_client *client);

/* Sends words, then waits for the answer. */
#define redis_client_ask(client, answer, ...) \
    redis_client_ask_words((client), (answer), (const char *const[]) { __VA_ARGS__, NULL })
void redis_client_ask_words(
    struct redis_client *client, struct redis_answer *answer, const char *const *words);

/* The halves, for several commands in flight. False: it is not sent as a whole. */
#define redis_client_send(client, ...) \
    redis_client_send_words((client), (const char *const[]) { __VA_ARGS__, NULL })
bool redis_client_send_words(struct redis_client *client, const char *const *words);
bool redis_client_send_bytes(struct redis_client *client, const void *bytes, size_t length);
void redis_client_await(struct redis_client *client, struct redis_answer *answer);

/* Prints the message and ends the program: what the harness cannot have. */
__attribute__((noreturn, format(printf, 1, 2))) void redis_die(const char *format, ...);

#endif
