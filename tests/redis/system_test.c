/* Every system call of weir-redis fails in its turn, once and for a while: create refuses and leaves nothing, or the lane
 * stays down until it comes up again, and every question is answered. The library's calls come here (--wrap). */
#include "redis/carrier.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum call {
    SOCKET,
    CONNECT,
    SEND,
    RECV,
    CREATE,
    CONTROL,
    WAIT,
    EVENT,
    WRITE,
    TIMER,
    SET,
    POLL,
    THREAD,
    RANDOM
};

/* The calls first..last of that kind fail so, counted from when it was armed. */
static struct {
    uint32_t armed;
    enum call call;
    int error;
    uint32_t first, last, count;
} fault;

static void arm(enum call call, int error, uint32_t first, uint32_t last)
{
    fault.call = call;
    fault.error = error;
    fault.first = first;
    fault.last = last;
    atomic_store_release(&fault.count, 0u);
    atomic_store_release(&fault.armed, 1u);
}

static void disarm(void)
{
    atomic_store_release(&fault.armed, 0u);
}

static bool fails(enum call call)
{
    if (atomic_load_acquire(&fault.armed) == 0 || fault.call != call) return false;
    uint32_t at = atomic_add_seq_cst(&fault.count, 1) + 1;
    if (at < fault.first || at > fault.last) return false;
    errno = fault.error;
    return true;
}

#define WRAP(type, name, call, parameters, ...)                     \
    type __real_##name parameters;                                  \
    type __wrap_##name parameters;                                  \
    type __wrap_##name parameters                                   \
    {                                                               \
        return fails(call) ? (type)-1 : __real_##name(__VA_ARGS__); \
    }

WRAP(int, socket, SOCKET, (int a, int b, int c), a, b, c)
WRAP(int, connect, CONNECT, (int a, const struct sockaddr *b, socklen_t c), a, b, c)
WRAP(ssize_t, send, SEND, (int a, const void *b, size_t c, int d), a, b, c, d)
WRAP(ssize_t, recv, RECV, (int a, void *b, size_t c, int d), a, b, c, d)
WRAP(int, epoll_create1, CREATE, (int a), a)
WRAP(int, epoll_ctl, CONTROL, (int a, int b, int c, struct epoll_event *d), a, b, c, d)
WRAP(int, epoll_wait, WAIT, (int a, struct epoll_event *b, int c, int d), a, b, c, d)
WRAP(int, eventfd, EVENT, (unsigned a, int b), a, b)
WRAP(int, eventfd_write, WRITE, (int a, eventfd_t b), a, b)
WRAP(int, timerfd_create, TIMER, (int a, int b), a, b)
WRAP(int, timerfd_settime, SET, (int a, int b, const struct itimerspec *c, struct itimerspec *d), a, b, c, d)
WRAP(int, ppoll, POLL, (struct pollfd * a, nfds_t b, const struct timespec *c, const sigset_t *d), a, b, c, d)
WRAP(ssize_t, getrandom, RANDOM, (void *a, size_t b, unsigned c), a, b, c)

int __real_pthread_create(pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d);
int __wrap_pthread_create(pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d);
int __wrap_pthread_create(pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d)
{
    return fails(THREAD) ? fault.error : __real_pthread_create(a, b, c, d);
}

/* ---- create ---- */

static void check_create_fails(enum call call, uint32_t at, int error, const char *text)
{
    static const char untouched;
    struct weir_link *link = (struct weir_link *)&untouched;
    int descriptors_before = descriptors();
    errno = 4711;
    arm(call, error, at, at);
    enum weir_error refused = weir_redis_create(
        WEIR_CONFIG(weir_redis_config, .address = "unix:/nonexistent/redis", .thread = true), &link);
    disarm();
    CHECK_EQ(errno, 4711);
    CHECK_EQ(refused, WEIR_E_SYSTEM);
    CHECK((const char *)link == &untouched);
    if (strstr(weir_error_text(), text) == NULL) CHECK_STR(weir_error_text(), text);
    if (strstr(weir_error_text(), strerror(error)) == NULL) CHECK_STR(weir_error_text(), strerror(error));
    CHECK_EQ(descriptors(), descriptors_before);
    CHECK(AWAIT(threads() == 0, 5000));
}

TEST(redis_system, a_create_that_cannot_have_what_it_needs_leaves_nothing)
{
    check_create_fails(RANDOM, 1, EAGAIN, "weir_redis_config.instance");
    check_create_fails(CREATE, 1, EMFILE, "no descriptor for a link to Redis");
    check_create_fails(EVENT, 1, ENFILE, "no descriptor for a link to Redis");
    check_create_fails(TIMER, 1, EMFILE, "no descriptor for a link to Redis");
    check_create_fails(CONTROL, 1, ENOSPC, "no descriptor for a link to Redis");
    check_create_fails(CONTROL, 2, ENOMEM, "no descriptor for a link to Redis");
    check_create_fails(THREAD, 1, EAGAIN, "no thread for a link to Redis");
}

/* ---- afterwards ---- */

struct trial {
    const char *name;
    enum call call;
    int error;
    bool harmless; /* not even a connection is lost */
};

static const struct trial trials[] = {
    { "socket: no descriptor", SOCKET, EMFILE },
    { "connect: refused", CONNECT, ECONNREFUSED },
    { "connect: backlog is full", CONNECT, EAGAIN },
    { "connect: interrupted", CONNECT, EINTR },
    { "send: reset", SEND, ECONNRESET },
    { "send: broken pipe", SEND, EPIPE },
    { "send: no memory", SEND, ENOBUFS },
    { "send: interrupted", SEND, EINTR, true },
    { "send: full", SEND, EAGAIN, true },
    { "recv: reset", RECV, ECONNRESET },
    { "recv: timed out", RECV, ETIMEDOUT },
    { "recv: interrupted", RECV, EINTR, true },
    { "epoll_ctl: no memory", CONTROL, ENOMEM },
    { "epoll_wait: interrupted", WAIT, EINTR, true },
    { "eventfd_write: full", WRITE, EAGAIN, true },
    { "timerfd_settime: refused", SET, EINVAL, true },
    { "ppoll: interrupted", POLL, EINTR, true },
    { "ppoll: no memory", POLL, ENOMEM, true },
};

/* Rings, as some calls are only made for a ring. */
static bool ring_and_look(struct asker *asker)
{
    shared_ring(&asker->shared);
    return SEEN(asker->answered) >= 3;
}

/* Runs until it answers, fails, and answers again, within the time of this test. */
static void try_one(
    const struct redis_server *server, const struct trial *trial, bool thread, uint32_t first, uint32_t count)
{
    struct asker asker = { 0 };
    int descriptors_before = descriptors();
    arm(trial->call, trial->error, first, first + count - 1);
    if (trial->call == CONTROL) fault.first += 2, fault.last += 2; /* create's own */
    struct weir_link *link =
        link_with((struct weir_redis_config) { .thread = thread, .reconnect_max_ns = 20 * WEIR_MS },
            unix_of(server).text);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
    UNTIL(link, thread, ring_and_look(&asker) && atomic_load_acquire(&fault.count) >= first);
    disarm();
    uint32_t before = SEEN(asker.answered);
    UNTIL(link, thread, SEEN(asker.answered) >= before + 3);
    if (trial->harmless && weir_redis_stats(link, 0, WEIR_LANE_BULK).lost != 0)
        check_failed(__FILE__, __LINE__, "%s: the connection was lost", trial->name);
    asker_stop(&asker);
    weir_redis_close(link, 0);
    CHECK_EQ(asker.gone, 1); /* nothing of it is under way */
    CHECK_EQ(descriptors(), descriptors_before);
    CHECK(AWAIT(threads() == 0, 5000));
}

static void try_all(bool thread)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        /* A socket takes all in one: nothing asks for more of epoll_ctl than one for each connection. */
        uint32_t calls =
            trials[i].call == SOCKET || trials[i].call == CONNECT || trials[i].call == CONTROL ? 1 : 4;
        for (uint32_t first = 1; first <= calls; first++) {
            try_one(&server, &trials[i], thread, first, 1);
            try_one(&server, &trials[i], thread, first, 3);
        }
    }
    redis_server_stop(&server);
}

TEST(redis_system, a_call_that_fails_costs_a_connection_at_most)
{
    try_all(false);
}

TEST(redis_system, a_call_of_the_thread_that_fails_costs_a_connection_at_most)
{
    try_all(true);
}
