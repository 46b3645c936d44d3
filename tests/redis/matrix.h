/* The fault table of a single server: what is done to it or to the way to it, how it is seen to be so, how it ends. */
#ifndef WEIR_TESTS_REDIS_MATRIX_H
#define WEIR_TESTS_REDIS_MATRIX_H

#include "redis/support/proxy.h"
#include "redis/support/server.h"

#include <stddef.h>

enum matrix_mode { GOES_ON, AWAY };

struct matrix_place {
    struct redis_server server;
    struct proxy *proxy;
    struct redis_client second; /* open before the fault */
};
extern struct matrix_place matrix;

/* The user that the link is, and the others are not: a row may take away what it may. */
#define MATRIX_USER "c4n4ry-u5er"
#define MATRIX_PASSWORD "c4n4ry-s3cr3t"
#define MATRIX_CONFIG      \
    "lua-time-limit 10\n"  \
    "dbfilename blocked\n" \
    "user " MATRIX_USER " on >" MATRIX_PASSWORD " ~weir:* &* +@all\n"

struct matrix_row {
    const char *name;
    void (*inject)(void);
    bool (*prove)(void);
    void (*heal)(void);
    enum matrix_mode mode;
    bool scripts_lost; /* the server has lost its scripts: what it has not run is asked once more */
};
extern const struct matrix_row matrix_rows[];
extern const size_t matrix_row_count;

#endif
