/* A config checked and filled in, with copies of all that it points to. */
#ifndef WEIR_LIB_REDIS_SETTINGS_H
#define WEIR_LIB_REDIS_SETTINGS_H

#include "redis/address.h"

#include <weir/redis.h>

#define CREDENTIAL_MAX 255 /* bytes */

struct settings {
    uint32_t nodes;
    struct address address[WEIR_NODES_MAX];
    uint32_t database;
    bool thread;
    uint64_t command_ns, slow_ns, connect_ns, reconnect_max_ns;
    uint64_t instance[2]; /* both 0: to be drawn */
    char space[WEIR_NAME_MAX + 1];
    char user[CREDENTIAL_MAX + 1], password[CREDENTIAL_MAX + 1]; /* "": none */
    const struct weir_share_sink *sink;                          /* the user's, until create is over */
};

/* Sets the error's text. */
enum weir_error settings_read(const struct weir_redis_config *config, struct settings *settings);
/* Credentials leave nothing in memory. */
void settings_wipe(struct settings *settings);

#endif
