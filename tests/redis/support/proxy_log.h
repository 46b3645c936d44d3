/* Private to the proxy: the commands that went through. */
#ifndef WEIR_TESTS_PROXY_LOG_H
#define WEIR_TESTS_PROXY_LOG_H

#include "redis/support/proxy_stream.h"

/* due_ns of a message here: when it left, of CLOCK_BOOTTIME. */
struct proxy_log {
    struct message **messages;
    size_t count, size;
};

void proxy_log_keep(void *log, struct message *message); /* a stream_log */
void proxy_log_close(struct proxy_log *log);

void proxy_log_text(const struct message *message, char text[static PROXY_TEXT_MAX]);
size_t proxy_log_count(const struct proxy_log *log, const char *beginning);
size_t proxy_log_repeated(const struct proxy_log *log, const char *beginning);

#endif
