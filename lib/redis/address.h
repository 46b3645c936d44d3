/* Where a server is: "tcp://127.0.0.1:6379", "tcp://[::1]:6379", "unix:/path". Nothing is looked up. */
#ifndef WEIR_LIB_REDIS_ADDRESS_H
#define WEIR_LIB_REDIS_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } at;
    socklen_t size;
};

/* NULL, or what is wrong with it: static text to follow "expected ". */
const char *address_parse(const char *text, struct address *address);
bool address_equal(const struct address *a, const struct address *b);

#endif
