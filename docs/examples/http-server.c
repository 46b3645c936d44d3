#include "http-server.h"
#include "expect.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads a request to its end; false: there is none. */
static bool hear(int socket)
{
    char text[4096];
    size_t length = 0;
    for (;;) {
        ssize_t got = read(socket, text + length, sizeof text - 1 - length);
        if (got <= 0) return false;
        length += (size_t)got;
        text[length] = 0;
        const char *end = strstr(text, "\r\n\r\n"), *size = strstr(text, "Content-Length: ");
        size_t body = size == NULL ? 0 : strtoul(size + strlen("Content-Length: "), NULL, 10);
        if (end != NULL && length >= (size_t)(end + 4 - text) + body) return true;
    }
}

static void serve(int listener, const int *statuses, int count, int requests)
{
    for (int i = 0; i < requests;) {
        int socket = accept(listener, NULL, NULL);
        if (hear(socket)) {
            int status = statuses[i < count ? i : count - 1];
            dprintf(socket, "HTTP/1.1 %d Answer\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n",
                status);
            i++;
        }
        close(socket);
    }
}

pid_t http_server_start(const int *statuses, int count, int requests, char url[static 64])
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 512) == 0);
    EXPECT(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(url, 64, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        serve(listener, statuses, count, requests);
        _exit(0);
    }
    close(listener);
    return pid;
}
