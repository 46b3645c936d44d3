/* weir-origin: a small HTTP server on loopback whose health is commanded through its input.
 *
 *     weir-origin [--port N] [--seed N]        port 0, the default: the kernel's choice
 *
 * It prints "port N" when it listens, then obeys one word a line and answers one line to each:
 *     healthy    200 after about 5 ms of work
 *     errors     40 % of the requests answer 500 at once, the others as healthy
 *     slow       200 after about 50 ms of work
 *     silent     accepts, reads, never answers
 *     stalled    as healthy after about 2.5 s of waiting for something else, however many wait
 *     count      the number of requests that have reached it
 * At the end of its input it stops; it dies with its parent.
 *
 * Work is done by WORKERS at a time and the rest queue: load beyond the capacity really waits.
 * A request whose client has gone is worked off all the same: a server rarely knows. */
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, CONNECTIONS_MAX = 512, ERROR_PERCENT = 40, STACK_BYTES = 256 * 1024 };
#define SERVICE_NS 5000000U
#define SLOW_FACTOR 10U
#define STALL_NS UINT64_C(2500000000)

enum mode { HEALTHY, ERRORS, SLOW, SILENT, STALLED, MODES };
static const char *const mode_names[MODES] = { "healthy", "errors", "slow", "silent", "stalled" };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t worker_free, changed;
    enum mode mode;
    unsigned busy;
    bool stopping;
    uint64_t requests, random;
} origin = { .lock = PTHREAD_MUTEX_INITIALIZER,
    .worker_free = PTHREAD_COND_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER };

/* splitmix64; under the lock. */
static uint64_t draw(void)
{
    uint64_t z = origin.random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void sleep_ns(uint64_t duration_ns)
{
    struct timespec left = { .tv_sec = (time_t)(duration_ns / 1000000000U),
        .tv_nsec = (long)(duration_ns % 1000000000U) };
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) continue;
}

/* Under the lock: until the time is over or the stall is. */
static void stall(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t until_ns = (uint64_t)until.tv_nsec + STALL_NS * 9 / 10 + draw() % (STALL_NS / 5);
    until.tv_sec += (time_t)(until_ns / 1000000000U);
    until.tv_nsec = (long)(until_ns % 1000000000U);
    int error = 0;
    while (origin.mode == STALLED && !origin.stopping && error != ETIMEDOUT)
        error = pthread_cond_clockwait(&origin.changed, &origin.lock, CLOCK_MONOTONIC, &until);
}

/* The status to answer with after the work is done; 0: close the connection without an answer. */
static unsigned serve(void)
{
    unsigned status = 0;
    pthread_mutex_lock(&origin.lock);
    origin.requests++;
    if (origin.mode == STALLED) stall();
    while (origin.mode == SILENT && !origin.stopping) pthread_cond_wait(&origin.changed, &origin.lock);
    if (origin.mode == ERRORS && draw() % 100 < ERROR_PERCENT) {
        pthread_mutex_unlock(&origin.lock);
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    while (origin.busy == WORKERS && !origin.stopping) pthread_cond_wait(&origin.worker_free, &origin.lock);
    if (!origin.stopping) {
        uint64_t work_ns = SERVICE_NS / 2 + draw() % SERVICE_NS;
        if (origin.mode == SLOW) work_ns *= SLOW_FACTOR;
        origin.busy++;
        pthread_mutex_unlock(&origin.lock);
        sleep_ns(work_ns);
        pthread_mutex_lock(&origin.lock);
        origin.busy--;
        pthread_cond_signal(&origin.worker_free);
        status = MHD_HTTP_OK;
    }
    pthread_mutex_unlock(&origin.lock);
    return status;
}

static enum MHD_Result answer(void *argument, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *body, size_t *body_size, void **request)
{
    (void)argument, (void)url, (void)method, (void)version, (void)body, (void)body_size;
    static char seen;
    if (!*request) { /* libmicrohttpd asks first with the headers only, then again */
        *request = &seen;
        return MHD_YES;
    }
    unsigned status = serve();
    if (!status) return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(3, (void *)"ok\n", MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void set_mode(enum mode mode)
{
    pthread_mutex_lock(&origin.lock);
    origin.mode = mode;
    pthread_cond_broadcast(&origin.changed);
    pthread_mutex_unlock(&origin.lock);
}

/* Lets every handler that waits return, which MHD_stop_daemon() waits for. */
static void stop_waiting(void)
{
    pthread_mutex_lock(&origin.lock);
    origin.stopping = true;
    pthread_cond_broadcast(&origin.changed);
    pthread_cond_broadcast(&origin.worker_free);
    pthread_mutex_unlock(&origin.lock);
}

static void obey(const char *command)
{
    if (strcmp(command, "count") == 0) {
        pthread_mutex_lock(&origin.lock);
        uint64_t requests = origin.requests;
        pthread_mutex_unlock(&origin.lock);
        printf("%llu\n", (unsigned long long)requests);
        return;
    }
    for (int mode = 0; mode < MODES; mode++)
        if (strcmp(command, mode_names[mode]) == 0) {
            set_mode((enum mode)mode);
            puts("ok");
            return;
        }
    puts("unknown command");
}

/* A listening socket on 127.0.0.1, its port in *port; -1 with errno set. */
static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Started again on its port it must not stumble over connections of its former life. */
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)) ||
        bind(listener, (struct sockaddr *)&address, size) || listen(listener, SOMAXCONN) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        return -1;
    *port = ntohs(address.sin_port);
    return listener;
}

static int parse(int count, char **arguments, uint16_t *port)
{
    for (int i = 1; i < count; i += 2) {
        char *end = NULL;
        unsigned long long value = i + 1 < count ? strtoull(arguments[i + 1], &end, 10) : 0;
        if (!end || *end || end == arguments[i + 1]) return -1;
        if (strcmp(arguments[i], "--port") == 0 && value <= UINT16_MAX) *port = (uint16_t)value;
        else if (strcmp(arguments[i], "--seed") == 0) origin.random = value;
        else return -1;
    }
    return 0;
}

int main(int count, char **arguments)
{
    uint16_t port = 0;
    if (parse(count, arguments, &port)) {
        fprintf(stderr, "usage: weir-origin [--port N] [--seed N]\n");
        return 2;
    }
    /* A parent that died before this line has closed our input, which ends us as well. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the parent stops us in its order */
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = listen_on(&port);
    if (listener < 0) {
        perror("weir-origin: cannot listen");
        return 1;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0,
            NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)CONNECTIONS_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "weir-origin: cannot start the server\n");
        return 1;
    }
    printf("port %u\n", port);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        obey(line);
    }
    stop_waiting();
    MHD_stop_daemon(daemon); /* closes the listening socket too */
    return 0;
}
