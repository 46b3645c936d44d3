/* The fault table of a single server and the way to it, and the engine that goes through it while a rate limit that has a
 * share, one that is closed, a breaker, a bulkhead and two locks go through one link with a thread. In each row:
 *   the fault is on, as a second connection says;
 *   every decision returns at once: the p99 of thousands, and all but one at most less the time that its thread waited for
 *   a processor, within MATRIX_LATE_NS; so does who waits for a lock, after his deadline;
 *   what is shared goes on (GOES_ON), or says that it is DEGRADED (AWAY) and lives on what was chosen for that;
 *   within 2 s of the healing all is shared again, the lock is to be had, and every key has its time to live;
 *   neither password nor user is in anything that is said of it.
 * A row that cannot be had here fails; none is left out. */
#ifndef WEIR_TESTS_REDIS_MATRIX_H
#define WEIR_TESTS_REDIS_MATRIX_H

#include "redis/support/proxy.h"
#include "redis/support/server.h"

#include <weir/redis.h>

#include <stddef.h>

#define MATRIX_LATE_NS UINT64_C(1000000)

enum matrix_mode { GOES_ON, AWAY };

struct matrix_place {
    struct redis_server server;
    struct proxy *proxy;
    struct redis_client second; /* open before the fault */
};
extern struct matrix_place matrix;

#define MATRIX_WITHIN_MS 3000 /* a fault is seen to be on */

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

/* On matrix.server, by that way to it. */
void matrix_begin(const char *place);
void matrix_run(const struct matrix_row *row);
void matrix_decide(void); /* once of each kind, then 1 ms */
struct weir_redis_stats matrix_stats(enum weir_lane lane);
void matrix_end(void);

#endif
