#include "redis/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#define STANDARD_PORT 6379

static const char form[] = "tcp://NUMBER:PORT, tcp://[NUMBER]:PORT or unix:/PATH";
static const char host_form[] = "a host that is a number or localhost: looking up a name would block";
static const char port_form[] = "a port of 1..65535 behind the host";

static const char *parse_local(const char *path, struct address *address)
{
    size_t length = strlen(path);
    if (path[0] != '/') return "an absolute path behind unix:";
    if (length >= sizeof address->at.local.sun_path) return "a path of at most 107 bytes";
    address->at.local.sun_family = AF_UNIX;
    memcpy(address->at.local.sun_path, path, length + 1);
    address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return NULL;
}

/* ":6379", or nothing. 0: neither. */
static unsigned parse_port(const char *text)
{
    unsigned port = 0;
    if (text[0] == '\0') return STANDARD_PORT;
    if (text[0] != ':' || text[1] == '\0') return 0;
    for (text++; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return 0;
        port = 10 * port + (unsigned)(*text - '0');
        if (port > 65535) return 0;
    }
    return port;
}

static bool parse_host(const char *host, bool bracketed, in_port_t port, struct address *address)
{
    if (bracketed) {
        address->at.ipv6.sin6_family = AF_INET6;
        address->at.ipv6.sin6_port = port;
        address->size = sizeof address->at.ipv6;
        return inet_pton(AF_INET6, host, &address->at.ipv6.sin6_addr) == 1;
    }
    address->at.ipv4.sin_family = AF_INET;
    address->at.ipv4.sin_port = port;
    address->size = sizeof address->at.ipv4;
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    return inet_pton(AF_INET, host, &address->at.ipv4.sin_addr) == 1;
}

static const char *parse_internet(const char *text, struct address *address)
{
    char host[INET6_ADDRSTRLEN];
    bool bracketed = text[0] == '[';
    if (bracketed) text++;
    size_t length = strcspn(text, bracketed ? "]" : ":");
    if (bracketed && text[length] == '\0') return form;
    if (length == 0 || length >= sizeof host) return host_form;
    memcpy(host, text, length);
    host[length] = '\0';
    unsigned port = parse_port(text + length + (bracketed ? 1 : 0));
    if (port == 0) return port_form;
    return parse_host(host, bracketed, htons((in_port_t)port), address) ? NULL : host_form;
}

const char *address_parse(const char *text, struct address *address)
{
    memset(address, 0, sizeof *address);
    if (strncmp(text, "unix:", 5) == 0) return parse_local(text + 5, address);
    if (strncmp(text, "tcp://", 6) == 0) return parse_internet(text + 6, address);
    return form;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->size == b->size && memcmp(&a->at, &b->at, a->size) == 0;
}
