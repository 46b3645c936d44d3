/* What weir_redis_create() refuses, and how it says so; and how its functions may not be used. No server. */
#include "redis/carrier.h"

#include "redis/socket.h"

#include <weir/rate.h>

#include <netinet/in.h>

#define CANARY "c4n4ry-s3cr3t"

/* Refused with a text that names the field; the result is untouched. */
static void check_refused(const struct weir_redis_config *config, enum weir_error error, const char *text)
{
    struct weir_link *link = (struct weir_link *)config;
    CHECK_EQ(weir_redis_create(config, &link), error);
    CHECK(link == (const struct weir_link *)config);
    if (strstr(weir_error_text(), text) == NULL) CHECK_STR(weir_error_text(), text);
    CHECK(strstr(weir_error_text(), CANARY) == NULL);
}
#define REFUSED(text, ...) check_refused(WEIR_CONFIG(weir_redis_config, __VA_ARGS__), WEIR_E_INVALID, text)

TEST(redis_config, addresses_are_numbers_or_paths)
{
    static const char *const good[] = { "tcp://127.0.0.1:6379", "tcp://127.0.0.1", "tcp://[::1]:6379",
        "tcp://[::1]", "tcp://localhost:1", "tcp://10.0.0.255:65535", "unix:/run/redis.sock", "unix:/" };
    static const char *const bad[][2] = {
        { "", "expected tcp://NUMBER:PORT" },
        { "127.0.0.1:6379", "expected tcp://NUMBER:PORT" },
        { "redis://user:" CANARY "@host:6379", "expected tcp://NUMBER:PORT" },
        { "tcp://redis.example:6379", "looking up a name would block" },
        { "tcp://user:" CANARY "@127.0.0.1:6379", "expected a" },
        { "tcp://:6379", "expected a host" },
        { "tcp://256.0.0.1:6379", "expected a host" },
        { "tcp://::1:6379", "expected a host" },
        { "tcp://[::1", "expected tcp://NUMBER:PORT" },
        { "tcp://[127.0.0.1]:1", "expected a host" },
        { "tcp://[::1]6379", "expected a port" },
        { "tcp://127.0.0.1:", "expected a port" },
        { "tcp://127.0.0.1:0", "expected a port" },
        { "tcp://127.0.0.1:65536", "expected a port" },
        { "tcp://127.0.0.1:99999999999999999999", "expected a port" },
        { "tcp://127.0.0.1:6379/", "expected a port" },
        { "tcp://127.0.0.1:+1", "expected a port" },
        { "unix:run/redis.sock", "expected an absolute path" },
        { "unix:", "expected an absolute path" },
        { "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
          "0123456789012345678901234567890123456",
            "expected a path of at most 107 bytes" },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct address address;
        if (address_parse(good[i], &address) != NULL)
            check_failed(__FILE__, __LINE__, "refused: %s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        REFUSED("weir_redis_config.address is malformed", .address = bad[i][0]);
        REFUSED(bad[i][1], .address = bad[i][0]);
    }
}

TEST(redis_config, masters_are_an_odd_number_of_different_ones)
{
    static const char *const three[] = { "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3" };
    static const char *const twice[] = { "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://localhost:1" };
    static const char *const hole[] = { "tcp://127.0.0.1:1", NULL, "tcp://127.0.0.1:3" };
    static const char *const bad[] = { "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "x" };
    REFUSED("no .address", .address = three[0], .addresses = three, .masters = 3);
    REFUSED("expected .addresses", .masters = 3);
    REFUSED("masters is 0", .addresses = three);
    REFUSED("expected 3, 5 or 7", .addresses = three, .masters = 1);
    REFUSED("expected 3, 5 or 7", .addresses = three, .masters = 2);
    REFUSED("expected 3, 5 or 7", .addresses = three, .masters = 9);
    REFUSED("addresses[2] is that of addresses[0]", .addresses = twice, .masters = 3);
    REFUSED("addresses[1] is NULL", .addresses = hole, .masters = 3);
    REFUSED("addresses[2] is malformed", .addresses = bad, .masters = 3);
}

TEST(redis_config, fields_have_ranges)
{
    char long_text[300];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    REFUSED("command_ns is 1, expected 10000000..10000000000", .command_ns = 1);
    REFUSED("command_ns", .command_ns = WEIR_OFF);
    REFUSED("slow_ns is 999999", .slow_ns = 999999);
    REFUSED("slow_ns is 30000000, expected 1000000..20000000", .command_ns = 20 * WEIR_MS,
        .slow_ns = 30 * WEIR_MS);
    REFUSED("connect_ns", .connect_ns = 61 * WEIR_S);
    REFUSED("reconnect_max_ns", .reconnect_max_ns = 1);
    REFUSED("database is 65536", .database = 65536);
    REFUSED("space", .space = "");
    REFUSED("space", .space = long_text);
    REFUSED("user is too long", .user = long_text, .password = "p");
    REFUSED("password is too long", .password = long_text);
    REFUSED("password is empty", .password = "");
    REFUSED("password is NULL", .user = "somebody");
    struct weir_link *link = NULL;
    CHECK_EQ(
        weir_redis_create(WEIR_CONFIG(weir_redis_config, .command_ns = 10 * WEIR_MS), &link), WEIR_E_NONE);
    weir_redis_close(link, 0);
}

TEST(redis_config, sizes_of_other_versions)
{
    struct {
        struct weir_redis_config config;
        uint64_t later;
    } grown = { .config = weir_redis_config_init() };
    struct weir_link *link = NULL;
    grown.config.size = sizeof grown;
    CHECK_EQ(weir_redis_create(&grown.config, &link), WEIR_E_NONE);
    weir_redis_close(link, 0);
    grown.later = 1;
    check_refused(&grown.config, WEIR_E_SIZE, "beyond them is not 0");
    grown.config.size = 8;
    check_refused(&grown.config, WEIR_E_SIZE, "weir_redis_config.size is 8");
    CHECK_EQ(weir_redis_create(NULL, &link), WEIR_E_NONE); /* all defaults */
    weir_redis_close(link, 0);
    weir_redis_close(NULL, 0);
}

/* ---- what is shared ---- */

static enum weir_error share(struct weir_policy *policy, struct weir_link *link)
{
    return weir_policy_share(policy, WEIR_CONFIG(weir_share_config, .link = link, .away = WEIR_AWAY_OPEN));
}

/* Nobody would renew a lease. */
TEST(redis_config, a_link_that_nobody_drives_is_none_to_share_by)
{
    struct weir_link *link = NULL;
    struct asker asker = { 0 };
    CHECK_EQ(weir_redis_create(NULL, &link), WEIR_E_NONE);
    CHECK_EQ(asker_start(&asker, link, "lock", WEIR_LANE_LOCK, 0), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "neither a thread nor a loop that steps it") != NULL);
    CHECK(strstr(weir_error_text(), ".thread = true") != NULL);
    weir_redis_step(link);
    CHECK_EQ(asker_start(&asker, link, "lock", WEIR_LANE_LOCK, 0), WEIR_E_NONE);
    asker_stop(&asker);
    weir_redis_close(link, 0);
    CHECK_EQ(weir_redis_create(WEIR_CONFIG(weir_redis_config, .thread = true), &link), WEIR_E_NONE);
    CHECK_EQ(asker_start(&asker, link, "lock", WEIR_LANE_LOCK, 0), WEIR_E_NONE);
    asker_stop(&asker);
    weir_redis_close(link, 0);
}

TEST(redis_config, masters_are_for_locks_only)
{
    static const char *const three[] = { "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3" };
    struct weir_policy *rate = NULL;
    struct weir_link *link =
        link_with((struct weir_redis_config) { .addresses = three, .masters = 3, .thread = true }, NULL);
    CHECK_EQ(weir_rate_create(NULL, &rate), WEIR_E_NONE);
    CHECK_EQ(share(rate, link), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "for locks only") != NULL);
    weir_policy_release(rate);
    weir_redis_close(link, 0);
}

TEST(redis_config, instances_differ)
{
    uint64_t instance[2][2];
    for (int i = 0; i < 2; i++) {
        struct weir_link *link = link_with((struct weir_redis_config) { 0 }, NULL);
        weir_link_instance(link, instance[i]);
        CHECK((instance[i][0] | instance[i][1]) != 0);
        weir_redis_close(link, 0);
    }
    CHECK(memcmp(instance[0], instance[1], sizeof instance[0]) != 0);
    struct weir_link *link = link_with((struct weir_redis_config) { .instance = { 1, 2 } }, NULL);
    weir_link_instance(link, instance[0]);
    CHECK_EQ(instance[0][0], 1);
    CHECK_EQ(instance[0][1], 2);
    weir_redis_close(link, 0);
}

/* ---- misuse ---- */

static struct weir_link *stepped_in_event;
static void (*in_event)(struct weir_link *link);

static void event(void *argument, const struct weir_share_event *told)
{
    (void)argument;
    if (told->kind == WEIR_SHARE_CHANGED) in_event(stepped_in_event);
}

static void step_it(struct weir_link *link)
{
    weir_redis_step(link);
}

static void close_it(struct weir_link *link)
{
    weir_redis_close(link, 0);
}

/* Has its sink told of something, from within a step. */
static void run_in_event(void (*function)(struct weir_link *link))
{
    struct weir_share_sink sink = { event, NULL };
    struct asker asker = { 0 };
    in_event = function;
    stepped_in_event = link_with((struct weir_redis_config) { .sink = &sink }, "unix:/nonexistent/redis");
    CHECK_EQ(asker_start(&asker, stepped_in_event, "asker", WEIR_LANE_BULK, 0), WEIR_E_NONE);
    asker.degrades = true;
    weir_redis_step(stepped_in_event);
}

static void ring(void *argument)
{
    (void)argument;
}

TEST(redis_misuse, aborts_with_the_function_s_name)
{
    struct weir_link *foreign = NULL, *link = link_with((struct weir_redis_config) { 0 }, NULL);
    struct weir_carrier carrier = { .size = sizeof carrier, .nodes = 1, .ring = ring };
    CHECK_EQ(
        weir_link_create(WEIR_CONFIG(weir_link_config, .instance = { 1, 1 }, .carrier = &carrier), &foreign),
        WEIR_E_NONE);
    CHECK_ABORTS((void)!weir_redis_create(NULL, NULL), "weir_redis_create: link is NULL");
    CHECK_ABORTS(weir_redis_step(NULL), "weir_redis_step: link is NULL");
    CHECK_ABORTS(weir_redis_fd(foreign), "weir_redis_fd: the link is not one to Redis");
    CHECK_ABORTS(weir_redis_close(foreign, 0), "weir_redis_close: the link is not one to Redis");
    CHECK_ABORTS(weir_redis_stats(link, 1, WEIR_LANE_LOCK), "weir_redis_stats: there is no such node");
    CHECK_ABORTS(weir_redis_stats(link, 0, WEIR_LANES), "weir_redis_stats: there is no such lane");
    CHECK_ABORTS(run_in_event(step_it), "weir_redis_step: called from within an event");
    CHECK_ABORTS(run_in_event(close_it), "weir_redis_close: called from within an event");
    weir_link_release(foreign);
    weir_redis_close(link, 0);
}

static void step_threaded(void)
{
    weir_redis_step(link_with((struct weir_redis_config) { .thread = true }, "unix:/nonexistent/redis"));
}

static void wait_threaded(void)
{
    weir_redis_wait(link_with((struct weir_redis_config) { .thread = true }, "unix:/nonexistent/redis"), 0);
}

static void release_threaded(void)
{
    weir_link_release(link_with((struct weir_redis_config) { .thread = true }, "unix:/nonexistent/redis"));
}

TEST(redis_misuse, a_thread_s_link_is_its_own)
{
    CHECK_ABORTS(step_threaded(), "weir_redis_step: the link has a thread of its own");
    CHECK_ABORTS(wait_threaded(), "weir_redis_wait: the link has a thread of its own");
    CHECK_ABORTS(release_threaded(), "is to be closed by weir_redis_close()");
}

/* ---- sockets ---- */

/* A free port of this machine may be given to the very socket that connects to it. */
TEST(redis_socket, one_that_is_connected_to_itself_has_failed)
{
    struct address address = { .size = sizeof(struct sockaddr_in) };
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.at.ipv4.sin_family = AF_INET;
    address.at.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(one, &address.at.any, address.size), 0);
    CHECK_EQ(getsockname(one, &address.at.any, &address.size), 0);
    CHECK_EQ(connect(one, &address.at.any, address.size), 0);
    CHECK(socket_connected(one) != 0);
    close(one);
}
