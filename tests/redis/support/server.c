/* The process of a server. redis-check-rdb of Debian's redis-tools is the server's binary: it goes by the name it
 * is called by. */
#include "redis/support/server.h"

#include "redis/support/await.h"
#include "redis/support/clockshim.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 20000, TRIES = 5 };

/* ---- its directory ---- */

static FILE *create_file(const struct redis_server *server, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", server->directory, name);
    FILE *file = fopen(path, "we");
    if (!file) redis_die("cannot create %s: %s", path, strerror(errno));
    return file;
}

static void write_config(const struct redis_server *server)
{
    const struct redis_options *options = &server->options;
    FILE *file = create_file(server, "redis.conf");
    fprintf(file,
        "bind 127.0.0.1\nport %u\nunixsocket %s\ndir %s\nlogfile redis.log\nsave \"\"\n"
        "repl-diskless-sync-delay 0\nenable-debug-command local\n",
        server->port, server->path, server->directory);
    if (options->password) {
        fprintf(file, "requirepass \"%s\"\nmasterauth \"%s\"\n", options->password, options->password);
    }
    if (options->master) fprintf(file, "replicaof 127.0.0.1 %u\n", options->master);
    if (options->config) fputs(options->config, file);
    if (fclose(file) != 0) redis_die("cannot write redis.conf: %s", strerror(errno));
}

static void create_clock(struct redis_server *server)
{
    FILE *file = create_file(server, "clock");
    const int flags = PROT_READ | PROT_WRITE;
    struct clockshim zero = { 0 };
    if (fwrite(&zero, sizeof zero, 1, file) != 1 || fclose(file) != 0) redis_die("cannot write the clock");
    char path[128];
    snprintf(path, sizeof path, "%s/clock", server->directory);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    server->clock = mmap(NULL, sizeof zero, flags, MAP_SHARED, descriptor, 0);
    if (server->clock == MAP_FAILED) redis_die("cannot map the clock: %s", strerror(errno));
    close(descriptor);
}

/* Removes the directory at a line on its standard input, which stop writes, or at its end, which comes with that of
 * this program, however it ends. A shell, since threads of this program may hold any lock when it forks. */
static void become_keeper(int input, char *directory)
{
    static char script[] = "trap '' HUP INT TERM; read -r end; rm -rf -- \"$0\"";
    dup2(input, STDIN_FILENO);
    close_range(3, ~0U, 0);
    execve("/bin/sh", (char *const[]) { (char *)"sh", (char *)"-c", script, directory, NULL },
        (char *const[]) { (char *)"PATH=/usr/bin:/bin", NULL });
    _exit(1);
}

static void create_directory(struct redis_server *server)
{
    int ends[2];
    snprintf(server->directory, sizeof server->directory, "/tmp/weir-redis-XXXXXX");
    if (!mkdtemp(server->directory)) redis_die("no directory in /tmp: %s", strerror(errno));
    snprintf(server->path, sizeof server->path, "%s/socket", server->directory);
    if (pipe2(ends, O_CLOEXEC) != 0) redis_die("no pipe: %s", strerror(errno));
    const pid_t keeper = fork();
    if (keeper < 0) redis_die("no process: %s", strerror(errno));
    if (keeper == 0) become_keeper(ends[0], server->directory);
    close(ends[0]);
    server->keeper = keeper;
    server->keeper_input = ends[1];
}

static void reap(pid_t process)
{
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Why the server did not come, as far as it says so itself. */
__attribute__((noreturn)) static void die_with_log(const struct redis_server *server, const char *what)
{
    char path[128], line[512];
    snprintf(path, sizeof path, "%s/redis.log", server->directory);
    FILE *log = fopen(path, "re");
    while (log && fgets(line, sizeof line, log)) fputs(line, stderr);
    redis_die("%s (%s)", what, server->directory);
}

/* ---- its process ---- */

static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&address, size) != 0 ||
        getsockname(descriptor, (struct sockaddr *)&address, &size) != 0) {
        redis_die("no free port: %s", strerror(errno));
    }
    close(descriptor);
    return ntohs(address.sin_port);
}

/* Between fork and exec: other threads of the parent may have held any lock. */
__attribute__((noreturn)) static void become_server(
    pid_t parent, const char *config, char *const *environment)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    close_range(3, ~0U, 0);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO); /* the log has all; but why a config is refused goes to standard error */
    execve(WEIR_REDIS_BINARY, (char *const[]) { (char *)"redis-server", (char *)config, NULL }, environment);
    _exit(1);
}

static void launch(struct redis_server *server)
{
    char config[128], clock[128];
    char preload[] = "LD_PRELOAD=" WEIR_CLOCKSHIM_FILE;
    snprintf(config, sizeof config, "%s/redis.conf", server->directory);
    snprintf(clock, sizeof clock, "WEIR_CLOCKSHIM=%s/clock", server->directory);
    char *const plain[] = { NULL }, *const shifted[] = { preload, clock, NULL };
    write_config(server);
    const pid_t parent = getpid();
    const pid_t process = fork();
    if (process < 0) redis_die("no process: %s", strerror(errno));
    if (process == 0) become_server(parent, config, server->options.clock ? shifted : plain);
    server->process = process;
}

static bool has_ended(struct redis_server *server)
{
    if (waitpid(server->process, NULL, WNOHANG) != server->process) return false;
    server->process = 0;
    return true;
}

/* False: it ended instead, as when somebody took the port meanwhile. */
static bool comes_up(struct redis_server *server)
{
    launch(server);
    bool ended = false;
    if (!AWAIT((ended = has_ended(server)) || redis_server_answers(server, 1000), START_MS)) {
        die_with_log(server, "the server does not answer");
    }
    return !ended;
}

void redis_server_start(struct redis_server *server, const struct redis_options *options)
{
    *server = (struct redis_server) { .options = options ? *options : (struct redis_options) { 0 } };
    create_directory(server);
    if (server->options.clock) create_clock(server);
    for (int i = 0; i < TRIES; i++) {
        server->port = free_port();
        if (comes_up(server)) return;
    }
    die_with_log(server, "the server does not start");
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->clock) munmap(server->clock, sizeof *server->clock);
    if (write(server->keeper_input, "\n", 1) != 1) redis_die("the keeper of the directory is gone");
    close(server->keeper_input); /* forked children may have it open too */
    reap(server->keeper);
}

struct redis_address redis_server_unix(const struct redis_server *server)
{
    return (struct redis_address) { .path = server->path };
}

struct redis_address redis_server_tcp(const struct redis_server *server)
{
    return (struct redis_address) { .port = server->port };
}

/* ---- faults ---- */

static void must_live(const struct redis_server *server, const char *verb)
{
    if (server->process == 0) redis_die("%s: the server is away", verb);
}

void redis_server_freeze(struct redis_server *server)
{
    int status = 0;
    must_live(server, "freeze");
    if (server->frozen) return; /* it would not stop once more */
    kill(server->process, SIGSTOP);
    while (waitpid(server->process, &status, WUNTRACED) < 0 && errno == EINTR) continue;
    if (!WIFSTOPPED(status)) die_with_log(server, "freeze: the server has ended");
    server->frozen = true;
}

void redis_server_thaw(struct redis_server *server)
{
    must_live(server, "thaw");
    kill(server->process, SIGCONT);
    server->frozen = false;
    if (!AWAIT(redis_server_answers(server, 1000), START_MS))
        die_with_log(server, "thaw: it does not answer");
}

void redis_server_kill(struct redis_server *server)
{
    if (server->process == 0) return;
    kill(server->process, SIGKILL);
    reap(server->process);
    server->process = 0;
    server->frozen = false;
}

void redis_server_restart(struct redis_server *server)
{
    redis_server_kill(server);
    if (!comes_up(server)) die_with_log(server, "restart: the server does not start");
}

void redis_server_promote(struct redis_server *server)
{
    server->options.master = 0;
    if (!redis_obeys(server, "REPLICAOF", "NO", "ONE")) die_with_log(server, "promote: not obeyed");
}

void redis_server_flush(struct redis_server *server)
{
    if (!redis_obeys(server, "FLUSHALL")) die_with_log(server, "flush: not obeyed");
}

/* ---- its clock ---- */

static struct clockshim *clock_of(const struct redis_server *server)
{
    if (!server->clock) redis_die("the server was started without .clock");
    return server->clock;
}

void redis_server_set_clock_offset_us(struct redis_server *server, int64_t offset_us)
{
    struct clockshim *clock = clock_of(server);
    __atomic_store_n(&clock->offset_us, offset_us, __ATOMIC_RELEASE);
    __atomic_store_n(&clock->frozen_us, 0, __ATOMIC_RELEASE);
}

void redis_server_freeze_clock_us(struct redis_server *server, int64_t at_us)
{
    __atomic_store_n(&clock_of(server)->frozen_us, at_us, __ATOMIC_RELEASE);
}
