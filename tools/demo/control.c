#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 64, STOP_TRIES = 200 };

bool beside_program(const char *name, char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size);
    if (length <= 0 || (size_t)length >= size) return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash || strlen(name) + 1 >= size - (size_t)(slash - path)) return false;
    strcpy(slash + 1, name);
    return true;
}

/* A port of the kernel's choice, held by a socket that is bound and never listens: connections to
 * it are refused, the origin may still bind it (both set SO_REUSEADDR), and no outgoing connection
 * can be given it as its source, which on loopback could end up connected to itself. */
static int reserve_port(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int keeper = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (keeper < 0) return -1;
    if (setsockopt(keeper, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)) ||
        bind(keeper, (struct sockaddr *)&address, size) ||
        getsockname(keeper, (struct sockaddr *)&address, &size)) {
        close(keeper);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return keeper;
}

static pid_t spawn(const struct origin *origin, int input, int output)
{
    char port[8], seed[24];
    snprintf(port, sizeof port, "%u", origin->port);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)origin->seed);
    /* posix_spawn() takes char * and changes nothing */
    char *arguments[] = { (char *)origin->program, (char *)"--port", port, (char *)"--seed", seed, NULL };

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none); /* the demo blocks what it waits for, its child must not inherit that */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    pid_t pid = 0;
    int error = posix_spawn(&pid, origin->program, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        fprintf(stderr, "weir-demo: cannot start %s: %s\n", origin->program, strerror(error));
        return 0;
    }
    return pid;
}

static bool read_answer(struct origin *origin, char line[LINE_BYTES])
{
    if (fgets(line, LINE_BYTES, origin->answers)) return true;
    fprintf(stderr, "weir-demo: the origin does not answer\n");
    return false;
}

static bool ask(struct origin *origin, const char *command, char line[LINE_BYTES])
{
    return origin->pid && fprintf(origin->commands, "%s\n", command) > 0 && fflush(origin->commands) == 0 &&
        read_answer(origin, line);
}

void origin_launch(struct origin *origin)
{
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC)) return;
    if (pipe2(output, O_CLOEXEC)) {
        close(input[0]);
        close(input[1]);
        return;
    }
    origin->pid = spawn(origin, input[0], output[1]);
    close(input[0]);
    close(output[1]);
    origin->commands = fdopen(input[1], "w");
    origin->answers = fdopen(output[0], "r");
}

bool origin_started(struct origin *origin)
{
    char line[LINE_BYTES], ready[LINE_BYTES];
    snprintf(ready, sizeof ready, "port %u\n", origin->port);
    if (origin->pid && origin->commands && origin->answers && read_answer(origin, line) &&
        strcmp(line, ready) == 0)
        return true;
    origin_stop(origin);
    return false;
}

static uint64_t requests_of_this_life(struct origin *origin)
{
    char line[LINE_BYTES];
    return ask(origin, "count", line) ? strtoull(line, NULL, 10) : 0;
}

/* Its input has ended; one that does not end for all that is killed. */
static void reap(pid_t pid)
{
    for (int tries = 0; tries < STOP_TRIES; tries++) {
        pid_t reaped = waitpid(pid, NULL, WNOHANG);
        if (reaped == pid || (reaped < 0 && errno == ECHILD)) return;
        nanosleep(&(struct timespec) { .tv_nsec = 5000000 }, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

void origin_dismiss(struct origin *origin)
{
    if (origin->pid && origin->commands && origin->answers) origin->before += requests_of_this_life(origin);
    if (origin->commands) fclose(origin->commands);
    origin->commands = NULL;
}

void origin_stop(struct origin *origin)
{
    origin_dismiss(origin);
    if (origin->pid) reap(origin->pid);
    if (origin->answers) fclose(origin->answers);
    origin->pid = 0;
    origin->answers = NULL;
}

bool origin_open(struct origin *origin, const char *program, uint64_t seed)
{
    *origin = (struct origin) { .program = program, .seed = seed };
    origin->keeper = reserve_port(&origin->port);
    if (origin->keeper < 0) {
        perror("weir-demo: cannot reserve a port");
        return false;
    }
    origin_launch(origin);
    if (origin_started(origin)) return true;
    close(origin->keeper);
    return false;
}

void origin_close(struct origin *origin)
{
    origin_stop(origin);
    close(origin->keeper);
}

bool origin_become(struct origin *origin, const char *mode)
{
    char line[LINE_BYTES];
    return ask(origin, mode, line) && strcmp(line, "ok\n") == 0;
}

uint64_t origin_requests(struct origin *origin)
{
    return origin->before + (origin->pid ? requests_of_this_life(origin) : 0);
}
