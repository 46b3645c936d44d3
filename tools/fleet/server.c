#include "server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Debian's redis-tools has the server under the name of a tool: the program goes by what it is called. The package
 * redis-server would start a service. */
static const char *const binaries[] = { "/usr/bin/redis-server", "/usr/bin/redis-check-rdb" };

static bool broken(const char *what)
{
    fprintf(stderr, "weir-fleet: %s: %s\n", what, strerror(errno));
    return false;
}

bool server_prepare(struct server *server)
{
    snprintf(server->directory, sizeof server->directory, "/tmp/weir-fleet-XXXXXX");
    if (mkdtemp(server->directory) == NULL) return broken(server->directory);
    snprintf(server->socket, sizeof server->socket, "%s/socket", server->directory);
    snprintf(server->address, sizeof server->address, "unix:%s", server->socket);
    char link[96];
    snprintf(link, sizeof link, "%s/redis-server", server->directory);
    for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
        if (access(binaries[i], X_OK) == 0) return symlink(binaries[i], link) == 0 || broken(link);
    }
    fprintf(stderr, "weir-fleet: there is no redis-server; Debian's package redis-tools has one\n");
    return false;
}

static int dial(const struct server *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, server->socket, strlen(server->socket) + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    close(descriptor);
    return -1;
}

bool server_command(const struct server *server, const char *command)
{
    int descriptor = dial(server);
    if (descriptor < 0) return false;
    char line[64], answer[64];
    int length = snprintf(line, sizeof line, "%s\r\n", command);
    bool good = send(descriptor, line, (size_t)length, MSG_NOSIGNAL) == length;
    struct pollfd ready = { .fd = descriptor, .events = POLLIN };
    good =
        good && poll(&ready, 1, 1000) == 1 && read(descriptor, answer, sizeof answer) > 0 && answer[0] == '+';
    close(descriptor);
    return good;
}

static void exec_server(const struct server *server)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(server->directory) == 0) {
        execl("./redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket, "--save", "",
            "--appendonly", "no", "--logfile", "log", "--dir", ".", (char *)NULL);
    }
    _exit(127);
}

bool server_start(struct server *server)
{
    server->process = fork();
    if (server->process < 0) return broken("fork");
    if (server->process == 0) exec_server(server);
    for (int i = 0; i < 5000; i++) {
        if (server_command(server, "PING")) return true;
        if (waitpid(server->process, NULL, WNOHANG) == server->process) break;
        usleep(1000);
    }
    fprintf(stderr, "weir-fleet: redis-server does not answer; %s/log may say why\n", server->directory);
    return false;
}

void server_kill(struct server *server)
{
    if (server->process <= 0) return;
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    server->process = 0;
}

void server_remove(struct server *server)
{
    static const char *const files[] = { "socket", "redis-server", "log" };
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", server->directory, files[i]);
        unlink(path);
    }
    rmdir(server->directory);
}
