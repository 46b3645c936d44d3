/* A lane and its socket. The lane says what it wants of it, and is told what became of that. */
#ifndef WEIR_LIB_REDIS_CONNECTION_H
#define WEIR_LIB_REDIS_CONNECTION_H

#include "redis/handle.h"

/* Brings the lane what has arrived, does what it wants, sends what it has to say. Answers when it is to be driven again;
 * sets *news if it has told the link something, which may now have more to ask. */
uint64_t connection_drive(struct redis *redis, uint32_t at, bool *news);
/* Ends it for good: all that it was asked is answered. */
void connection_end(struct connection *connection);

#endif
