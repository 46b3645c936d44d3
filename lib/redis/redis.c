/* Links to Redis as their users see them: created, driven, told of, closed. */
#include "redis/handle.h"

#include "base/arithmetic.h"
#include "base/atomic.h"
#include "redis/misuse.h"
#include "redis/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static struct redis *redis_of(const struct weir_link *link, const char *function)
{
    REDIS_REQUIRE(link != NULL, function, "link is NULL");
    struct redis *redis = weir_link_carrier(link, redis_ring);
    REDIS_REQUIRE(redis != NULL, function, "the link is not one to Redis");
    return redis;
}

static bool is_ours(const struct redis *redis)
{
    return redis->process == redis_process();
}

/* ---- create ---- */

static enum weir_error draw_instance(uint64_t instance[2])
{
    if ((instance[0] | instance[1]) != 0) return WEIR_E_NONE;
    ssize_t got = getrandom(instance, 2 * sizeof instance[0], GRND_NONBLOCK);
    if (got == 2 * sizeof instance[0] && (instance[0] | instance[1]) != 0) return WEIR_E_NONE;
    return weir_carrier_error(WEIR_E_SYSTEM,
        "no random number (%s): set weir_redis_config.instance to what no other process has",
        strerror(got < 0 ? errno : EAGAIN));
}

static void wait_for(void *argument, uint64_t until_ns)
{
    struct redis *redis = argument;
    if (!is_ours(redis)) return;
    while (!redis_step(redis, "weir_redis_wait") && redis_now().monotonic_ns < until_ns) {
        redis_sleep(redis, until_ns);
    }
}

/* A child leaves the lanes' memory, which a thread of the parent's may have been changing at the fork. */
static void released(void *argument)
{
    struct redis *redis = argument;
    bool ours = is_ours(redis);
    REDIS_REQUIRE(!ours || !redis->has_thread, "weir_link_release",
        "a link to Redis is to be closed by weir_redis_close()");
    redis_shut(redis);
    settings_wipe(&redis->settings);
    for (uint32_t i = 0; ours && i < redis->lanes; i++) lane_destroy(redis->connection[i].lane);
    free(redis);
}

static enum weir_error make_link(struct redis *redis)
{
    struct weir_carrier carrier = weir_carrier_init();
    carrier.nodes = redis->settings.nodes;
    carrier.ring = redis_ring;
    carrier.wait = redis->settings.thread ? NULL : wait_for;
    carrier.released = released;
    carrier.argument = redis;
    struct weir_link_config config = weir_link_config_init();
    config.space = redis->settings.space;
    memcpy(config.instance, redis->settings.instance, sizeof config.instance);
    config.carrier = &carrier;
    config.sink = redis->settings.sink;
    return weir_link_create(&config, &redis->link);
}

static enum weir_error refused(const char *what)
{
    return weir_carrier_error(WEIR_E_SYSTEM, "no %s for a link to Redis: %s", what, strerror(errno));
}

static enum weir_error start(struct redis *redis)
{
    const struct settings *s = &redis->settings;
    redis->lane_settings = (struct lane_settings) { .user = s->user,
        .password = s->password,
        .database = s->database,
        .command_ns = s->command_ns,
        .slow_ns = s->slow_ns,
        .connect_ns = s->connect_ns,
        .reconnect_max_ns = s->reconnect_max_ns };
    if (!redis_open(redis)) return refused("descriptor");
    for (; redis->lanes < s->nodes * WEIR_LANES; redis->lanes++) {
        enum weir_lane which = (enum weir_lane)(redis->lanes % WEIR_LANES);
        struct lane *lane = lane_create(redis->link, redis->lanes / WEIR_LANES, which, &redis->lane_settings);
        if (lane == NULL) return weir_carrier_error(WEIR_E_NOMEM, "no memory for a link to Redis");
        redis->connection[redis->lanes].lane = lane;
    }
    if (redis->settings.thread && !redis_thread_start(redis)) return refused("thread");
    return WEIR_E_NONE;
}

static struct redis *allocate(const struct settings *settings)
{
    struct redis *redis = calloc(1, sizeof *redis);
    pthread_mutexattr_t checked;
    if (redis == NULL) return NULL;
    redis->settings = *settings;
    redis->process = redis_process();
    redis->epoll = redis->timer = redis->doorbell = -1;
    redis->next_ns = redis->armed_ns = WEIR_NEVER;
    pthread_mutexattr_init(&checked);
    pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&redis->driving, &checked);
    pthread_mutexattr_destroy(&checked);
    pthread_mutex_init(&redis->telling, NULL);
    for (int i = 0; i < WEIR_NODES_MAX * WEIR_LANES; i++) redis->connection[i].socket = -1;
    return redis;
}

static enum weir_error make(const struct settings *settings, struct weir_link **link)
{
    struct redis *redis = redis_process() == 0 ? NULL : allocate(settings);
    if (redis == NULL) return weir_carrier_error(WEIR_E_NOMEM, "no memory for a link to Redis");
    enum weir_error error = make_link(redis);
    if (error != WEIR_E_NONE) {
        settings_wipe(&redis->settings);
        free(redis);
        return error;
    }
    error = start(redis);
    if (error == WEIR_E_NONE) *link = redis->link;
    else weir_link_release(redis->link);
    return error;
}

enum weir_error weir_redis_create(const struct weir_redis_config *config, struct weir_link **link)
{
    REDIS_REQUIRE(link != NULL, "weir_redis_create", "link is NULL");
    struct settings settings;
    int before = errno;
    enum weir_error error = settings_read(config, &settings);
    if (error == WEIR_E_NONE) error = draw_instance(settings.instance);
    if (error == WEIR_E_NONE) error = make(&settings, link);
    settings_wipe(&settings);
    if (error != WEIR_E_NOMEM) errno = before;
    return error;
}

/* ---- close ---- */

static void give_back(struct redis *redis, uint64_t within_ns)
{
    uint64_t until_ns = time_add(redis_now().monotonic_ns, within_ns);
    if (within_ns == 0) return;
    redis_begin(redis, "weir_redis_close");
    weir_link_flush(redis->link, redis_now());
    redis_end(redis);
    for (;;) {
        redis_step(redis, "weir_redis_close");
        if (weir_link_is_flushed(redis->link) || redis_now().monotonic_ns >= until_ns) return;
        redis_sleep(redis, until_ns);
    }
}

void weir_redis_close(struct weir_link *link, uint64_t within_ns)
{
    if (link == NULL) return;
    struct redis *redis = redis_of(link, "weir_redis_close");
    int before = errno;
    if (!is_ours(redis)) {
        redis_shut(redis);
    } else {
        REDIS_REQUIRE(!redis_is_inside(redis), "weir_redis_close", "called from within an event of the link");
        redis_thread_stop(redis);
        give_back(redis, within_ns);
        redis_hang_up(redis);
    }
    weir_link_release(link);
    errno = before;
}

/* ---- driven by the user ---- */

int weir_redis_fd(const struct weir_link *link)
{
    const struct redis *redis = redis_of(link, "weir_redis_fd");
    return is_ours(redis) && !redis->settings.thread ? redis->epoll : -1;
}

static struct redis *steppable(struct weir_link *link, const char *function)
{
    struct redis *redis = redis_of(link, function);
    REDIS_REQUIRE(!redis->settings.thread, function, "the link has a thread of its own");
    return redis;
}

uint64_t weir_redis_step(struct weir_link *link)
{
    struct redis *redis = steppable(link, "weir_redis_step");
    int before = errno;
    if (is_ours(redis)) redis_step(redis, "weir_redis_step");
    errno = before;
    return weir_redis_next_wake(link);
}

uint64_t weir_redis_next_wake(const struct weir_link *link)
{
    struct redis *redis = redis_of(link, "weir_redis_next_wake");
    return is_ours(redis) ? atomic_load_relaxed(&redis->next_ns) : WEIR_NEVER;
}

void weir_redis_wait(struct weir_link *link, uint64_t until_ns)
{
    struct redis *redis = steppable(link, "weir_redis_wait");
    int before = errno;
    wait_for(redis, until_ns);
    errno = before;
}

/* ---- told ---- */

struct weir_redis_stats weir_redis_stats(const struct weir_link *link, uint32_t node, enum weir_lane lane)
{
    struct redis *redis = redis_of(link, "weir_redis_stats");
    REDIS_REQUIRE(node < redis->settings.nodes, "weir_redis_stats", "there is no such node");
    REDIS_REQUIRE((unsigned)lane < WEIR_LANES, "weir_redis_stats", "there is no such lane");
    struct weir_redis_stats stats = { .state = WEIR_LANE_DOWN };
    if (!is_ours(redis)) return stats;
    struct connection *of = &redis->connection[node * WEIR_LANES + lane];
    if (redis_is_inside(redis)) return lane_stats(of->lane);
    pthread_mutex_lock(&redis->telling);
    stats = of->told;
    pthread_mutex_unlock(&redis->telling);
    return stats;
}

const char *weir_redis_error_text(enum weir_redis_error error)
{
    static const char *const texts[] = { "connection", "timeout", "protocol", "refused", "role", "busy",
        "memory", "other" };
    return (unsigned)error < WEIR_REDIS_ERRORS ? texts[error] : "?";
}
