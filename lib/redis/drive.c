/* One step of a link to Redis, and the sleep between two: handle.h has the diagram and the invariants. */
#include "redis/handle.h"

#include "base/arithmetic.h"
#include "base/atomic.h"
#include "os/os.h"
#include "redis/connection.h"
#include "redis/misuse.h"
#include "redis/process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ROUNDS_MAX 16 /* of one step: what is not done by then is done by the next, which comes at once */

enum { TAG_DOORBELL = WEIR_NODES_MAX * WEIR_LANES, TAG_TIMER };

struct weir_instants redis_now(void)
{
    return (struct weir_instants) { os_clock(CLOCK_MONOTONIC), os_clock(CLOCK_BOOTTIME) };
}

/* ---- descriptors ---- */

bool redis_listen(struct redis *redis, int descriptor, uint32_t events, uint32_t tag, int operation)
{
    struct epoll_event event = { .events = events, .data.u32 = tag };
    return epoll_ctl(redis->epoll, operation, descriptor, &event) == 0;
}

bool redis_open(struct redis *redis)
{
    redis->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (redis->epoll < 0) return false;
    redis->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (redis->doorbell < 0) return false;
    redis->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (redis->timer < 0) return false;
    return redis_listen(redis, redis->doorbell, EPOLLIN | EPOLLET, TAG_DOORBELL, EPOLL_CTL_ADD) &&
        redis_listen(redis, redis->timer, EPOLLIN | EPOLLET, TAG_TIMER, EPOLL_CTL_ADD);
}

static void shut(int *descriptor)
{
    int closing = *descriptor;
    if (closing < 0) return;
    atomic_store_release(descriptor, -1);
    close(closing);
}

void redis_shut(struct redis *redis)
{
    for (uint32_t i = 0; i < redis->lanes; i++) shut(&redis->connection[i].socket);
    shut(&redis->timer);
    shut(&redis->doorbell);
    shut(&redis->epoll);
}

/* ---- who drives ---- */

static __thread const struct redis *inside; /* the link that this thread is in a step of */

bool redis_is_inside(const struct redis *redis)
{
    return inside == redis;
}

void redis_begin(struct redis *redis, const char *function)
{
    int error = pthread_mutex_lock(&redis->driving);
    REDIS_REQUIRE(error != EDEADLK, function, "called from within an event of the link");
    redis->outside = inside;
    inside = redis;
}

void redis_end(struct redis *redis)
{
    inside = redis->outside;
    pthread_mutex_unlock(&redis->driving);
}

/* ---- rung ---- */

void redis_ring(void *argument)
{
    struct redis *redis = argument;
    if (atomic_swap_acq_rel(&redis->rung, 1u) != 0) return;
    if (redis->process != redis_process()) return;
    int before = errno;
    if (eventfd_write(redis->doorbell, 1) != 0)
        atomic_store_release(&redis->rung, 0u); /* the next one tries again */
    errno = before;
}

/* Takes what epoll has. The doorbell and the timer tell of each ring and expiry once, and are never read. */
static void hear(struct redis *redis)
{
    struct epoll_event events[WEIR_NODES_MAX * WEIR_LANES + 2];
    int got = epoll_wait(redis->epoll, events, sizeof events / sizeof events[0], 0);
    for (int i = 0; i < got; i++) {
        uint32_t tag = events[i].data.u32;
        if (tag == TAG_TIMER) atomic_store_relaxed(&redis->armed_ns, WEIR_NEVER);
        else if (tag != TAG_DOORBELL) redis->connection[tag].events |= events[i].events;
    }
    atomic_swap_acq_rel(&redis->rung, 0u);
}

/* ---- the timer ---- */

/* By CLOCK_BOOTTIME, which a lease of a lock ends by: after a sleep of the machine it is due at once. One that stands at an
 * earlier instant is left there: that costs a step for nothing now and then, where every question moves the instant. */
static void arm(struct redis *redis, uint64_t next_ns)
{
    atomic_store_relaxed(&redis->next_ns, next_ns);
    if (next_ns >= redis->armed_ns) return;
    struct weir_instants now = redis_now();
    uint64_t at = time_add(now.boottime_ns, time_since(next_ns, now.monotonic_ns));
    struct itimerspec when = { 0 };
    when.it_value.tv_sec = (time_t)(at / WEIR_S);
    when.it_value.tv_nsec = (long)(at % WEIR_S);
    bool armed = timerfd_settime(redis->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0;
    atomic_store_relaxed(&redis->armed_ns, armed ? next_ns : WEIR_NEVER);
}

void redis_sleep(struct redis *redis, uint64_t until_ns)
{
    struct pollfd epoll = { .fd = redis->epoll, .events = POLLIN };
    struct timespec left = { 0 };
    uint64_t next_ns = atomic_load_relaxed(&redis->next_ns);
    if (next_ns < atomic_load_relaxed(&redis->armed_ns)) until_ns = time_min(until_ns, next_ns);
    if (until_ns != WEIR_NEVER) {
        uint64_t left_ns = time_since(until_ns, redis_now().monotonic_ns);
        left.tv_sec = (time_t)(left_ns / WEIR_S);
        left.tv_nsec = (long)(left_ns % WEIR_S);
    }
    (void)ppoll(&epoll, 1, until_ns == WEIR_NEVER ? NULL : &left, NULL);
}

/* ---- a step ---- */

/* The link says what is to be asked, the lanes ask it; what they have told the link may have it ask more. */
static uint64_t drive(struct redis *redis)
{
    uint64_t next_ns = 0;
    bool news = true;
    for (int round = 0; news && round < ROUNDS_MAX; round++) {
        news = false;
        next_ns = weir_link_step(redis->link, redis_now());
        for (uint32_t i = 0; i < redis->lanes; i++) {
            uint64_t lane_ns = connection_drive(redis, i, &news);
            next_ns = time_min(next_ns, lane_ns);
        }
    }
    return news ? 0 : next_ns;
}

static void tell(struct redis *redis)
{
    pthread_mutex_lock(&redis->telling);
    for (uint32_t i = 0; i < redis->lanes; i++) {
        redis->connection[i].told = lane_stats(redis->connection[i].lane);
    }
    pthread_mutex_unlock(&redis->telling);
}

static uint64_t turns(const struct redis *redis)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < redis->lanes; i++) sum += lane_turns(redis->connection[i].lane);
    return sum;
}

bool redis_step(struct redis *redis, const char *function)
{
    redis_begin(redis, function);
    bool answered = redis->closed;
    if (!redis->closed) {
        uint64_t before = turns(redis);
        hear(redis);
        arm(redis, drive(redis));
        tell(redis);
        answered = turns(redis) != before;
    }
    redis_end(redis);
    return answered;
}

void redis_hang_up(struct redis *redis)
{
    redis_begin(redis, "weir_redis_close");
    redis->closed = true;
    for (uint32_t i = 0; i < redis->lanes; i++) connection_end(&redis->connection[i]);
    tell(redis);
    weir_link_close(redis->link, redis_now());
    redis_end(redis);
    redis_ring(redis); /* who waits need not wait any longer */
}
