/* One event loop for all peers of a liar. A peer's way:
 *
 *     LISTENS -- a blank line was read --> SPEAKS -- all is said --> REPEATS (for ever), LISTENS, SILENT, or gone
 *        ^                                                            |
 *        '------------------------- LIAR_GOES_ON ---------------------'
 *
 * Invariants: peers[] is indexed by descriptor, so there is nothing to allocate; a peer is closed in one place
 * (leave()); with a pause nothing is said but by the timer, one byte a tick to each who SPEAKS. */
#include "liars/script.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PEERS_MAX = 4096, EVENTS = 64, FILLER = 65536 };

enum state { GONE, LISTENS, SPEAKS, REPEATS, SILENT };

struct peer {
    enum state state;
    unsigned newline; /* characters of the blank line just read: \r\n\r\n */
    size_t said;
    uint32_t events; /* that epoll watches */
};

static struct {
    const struct liar_script *script;
    struct liar_seen *seen;
    int epoll, timer;
    size_t filled; /* bytes of filler: whole repetitions of script->forever */
    char filler[FILLER];
    struct peer peers[PEERS_MAX];
} loop;

static void watch(int descriptor, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.fd = descriptor };
    if (loop.peers[descriptor].events != events) {
        loop.peers[descriptor].events = events;
        epoll_ctl(loop.epoll, EPOLL_CTL_MOD, descriptor, &event);
    }
}

static void leave(int descriptor, bool reset)
{
    if (reset) {
        struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    loop.peers[descriptor].state = GONE;
    close(descriptor);
}

/* All is said: what the script does then. */
static void end(int descriptor)
{
    struct peer *peer = &loop.peers[descriptor];
    peer->state = SILENT;
    if (loop.script->forever) {
        peer->state = REPEATS;
        peer->said = 0;
        watch(descriptor, EPOLLOUT);
        return;
    }
    switch (loop.script->end) {
    case LIAR_GOES_ON:
        peer->state = LISTENS;
        peer->said = 0;
        watch(descriptor, EPOLLIN);
        break;
    case LIAR_CLOSES: leave(descriptor, false); break;
    case LIAR_RESETS: leave(descriptor, true); break;
    case LIAR_HALF_CLOSES:
        shutdown(descriptor, SHUT_WR);
        watch(descriptor, 0); /* EPOLLHUP comes all the same */
        break;
    case LIAR_HOLDS: watch(descriptor, EPOLLIN); break;
    }
}

/* Says at most so many bytes; false: the peer takes no more now, or has gone. */
static bool say(int descriptor, const char *bytes, size_t size)
{
    struct peer *peer = &loop.peers[descriptor];
    ssize_t sent = send(descriptor, bytes + peer->said, size, MSG_NOSIGNAL);
    if (sent >= 0) {
        peer->said += (size_t)sent;
        return (size_t)sent == size;
    }
    if (errno != EAGAIN) {
        leave(descriptor, false);
        return false;
    }
    watch(descriptor, EPOLLIN | EPOLLOUT);
    return false;
}

static void speak(int descriptor)
{
    struct peer *peer = &loop.peers[descriptor];
    size_t cut = __atomic_load_n(&loop.seen->cut, __ATOMIC_ACQUIRE);
    size_t left = cut - peer->said;
    if (loop.script->pause_ms > 0) {
        left = left > 0; /* the timer's tick */
    }
    if (left > 0 && !say(descriptor, loop.script->says, left)) {
        return;
    }
    if (peer->said == cut) {
        end(descriptor);
    }
}

static void repeat(int descriptor)
{
    struct peer *peer = &loop.peers[descriptor];
    while (say(descriptor, loop.filler, loop.filled - peer->said)) {
        peer->said = 0;
    }
}

/* A whole request was read. */
static void asked(int descriptor)
{
    struct peer *peer = &loop.peers[descriptor];
    peer->newline = 0;
    peer->said = 0;
    peer->state = SPEAKS;
    __atomic_fetch_add(&loop.seen->requests, 1, __ATOMIC_RELEASE);
    sem_post(&loop.seen->asked);
    if (loop.script->pause_ms == 0) {
        speak(descriptor);
    }
}

static void hear(int descriptor)
{
    static const char blank[] = "\r\n\r\n";
    struct peer *peer = &loop.peers[descriptor];
    char bytes[16384];
    ssize_t size = recv(descriptor, bytes, sizeof bytes, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN)) {
        leave(descriptor, false);
        return;
    }
    for (ssize_t i = 0; i < size && peer->state == LISTENS; i++) {
        peer->newline = bytes[i] == blank[peer->newline] ? peer->newline + 1 : bytes[i] == '\r';
        if (peer->newline == 4) {
            __atomic_fetch_add(&loop.seen->bytes, (uint64_t)size, __ATOMIC_RELEASE);
            asked(descriptor);
            return; /* what follows is the request's body */
        }
    }
    __atomic_fetch_add(&loop.seen->bytes, size > 0 ? (uint64_t)size : 0, __ATOMIC_RELEASE);
}

static void greet(int listener)
{
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (descriptor >= PEERS_MAX) {
            close(descriptor);
            continue;
        }
        struct epoll_event event = { .events = EPOLLIN, .data.fd = descriptor };
        loop.peers[descriptor] = (struct peer) { .state = LISTENS, .events = EPOLLIN };
        __atomic_fetch_add(&loop.seen->connections, 1, __ATOMIC_RELEASE);
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) {
            leave(descriptor, false);
        }
    }
}

static void tick(void)
{
    uint64_t ticks;
    if (read(loop.timer, &ticks, sizeof ticks) < 0) {
        return;
    }
    for (int i = 0; i < PEERS_MAX; i++) {
        if (loop.peers[i].state == SPEAKS) {
            speak(i);
        }
    }
}

static void turn(int descriptor, uint32_t events)
{
    const struct peer *peer = &loop.peers[descriptor];
    if (events & (EPOLLHUP | EPOLLERR)) {
        leave(descriptor, false);
        return;
    }
    if (events & EPOLLIN) {
        hear(descriptor);
    }
    if (events & EPOLLOUT && peer->state == SPEAKS && loop.script->pause_ms == 0) {
        speak(descriptor);
    }
    if (events & EPOLLOUT && peer->state == REPEATS) {
        repeat(descriptor);
    }
}

/* The timer of the pauses; -1: there are none. */
static int pace(unsigned pause_ms)
{
    struct timespec each = { .tv_sec = pause_ms / 1000, .tv_nsec = (long)(pause_ms % 1000) * 1000000 };
    struct itimerspec times = { .it_interval = each, .it_value = each };
    struct epoll_event event = { .events = EPOLLIN };
    if (pause_ms == 0) {
        return -1;
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    event.data.fd = timer;
    if (timer < 0 || timerfd_settime(timer, 0, &times, NULL) != 0 ||
        epoll_ctl(loop.epoll, EPOLL_CTL_ADD, timer, &event) != 0) {
        liar_die("no timer");
    }
    return timer;
}

static void fill(const char *forever)
{
    size_t length = forever ? strlen(forever) : FILLER;
    for (loop.filled = 0; forever && loop.filled + length <= FILLER; loop.filled += length) {
        memcpy(loop.filler + loop.filled, forever, length);
    }
}

/* As many descriptors as this process may have. */
static void allow_peers(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void script_serve(int listener, const struct liar_script *script, struct liar_seen *seen)
{
    struct epoll_event events[EVENTS], event = { .events = EPOLLIN, .data.fd = listener };
    loop.script = script;
    loop.seen = seen;
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    allow_peers();
    fill(script->forever);
    loop.timer = pace(script->pause_ms);
    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        liar_die("epoll");
    }
    for (;;) {
        int count = epoll_wait(loop.epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listener) {
                greet(listener);
            } else if (descriptor == loop.timer) {
                tick();
            } else {
                turn(descriptor, events[i].events);
            }
        }
    }
}

void script_refuse(int listener, const struct liar_script *script, struct liar_seen *seen)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    (void)script;
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        liar_die("it does not know its port");
    }
    /* A queue of length 0 takes one; the next is answered no more. One to spare. */
    for (unsigned i = 0; i < 3; i++) {
        int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (descriptor < 0 ||
            (connect(descriptor, (struct sockaddr *)&address, size) != 0 && errno != EINPROGRESS)) {
            liar_die("cannot fill its queue");
        }
    }
    sem_post(&seen->asked);
    for (;;) {
        pause();
    }
}
