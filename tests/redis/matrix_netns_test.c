/* What befalls the network between a link and its Redis: two network namespaces and a wire between them. The rows are
 * those of matrix.h. As root only, with ip and nft; else it says SKIP, and is counted as skipped. */
#include "redis/carrier.h"
#include "redis/matrix.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define HERE "192.0.2.1" /* TEST-NET-1 */
#define THERE "192.0.2.2"

struct matrix_place matrix;

static pid_t keeper; /* of the server's namespace */

/* ---- two namespaces ---- */

static bool obeys(const char *command)
{
    int status = system(command); /* NOLINT(cert-env33-c): ip and nft have no other front door */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void here(const char *command)
{
    if (!obeys(command)) check_failed(__FILE__, __LINE__, "failed: %s", command);
}

static void there(const char *command)
{
    char line[256];
    snprintf(line, sizeof line, "nsenter -t %d -n %s", keeper, command);
    here(line);
}

static const char *missing(void)
{
    if (geteuid() != 0) return "root";
    if (!obeys("unshare -n true 2>/dev/null")) return "network namespaces (unshare -n)";
    if (!obeys("command -v ip >/dev/null")) return "ip (Debian package iproute2)";
    if (!obeys("unshare -n nft add table inet probe 2>/dev/null")) return "nft (Debian package nftables)";
    return NULL;
}

static void keep(int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET) != 0 || write(ready, "", 1) != 1) _exit(1);
    for (;;) pause();
}

static void enter(const char *path)
{
    int space = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(space >= 0);
    CHECK_EQ(setns(space, CLONE_NEWNET), 0);
    close(space);
}

static void start_server_there(void)
{
    char path[64], home[64];
    snprintf(path, sizeof path, "/proc/%d/ns/net", keeper);
    snprintf(home, sizeof home, "/proc/%d/ns/net", getpid());
    int back = open(home, O_RDONLY | O_CLOEXEC);
    CHECK(back >= 0);
    enter(path);
    redis_server_start(&matrix.server,
        &(struct redis_options) { .config = MATRIX_CONFIG "bind 127.0.0.1 " THERE "\nprotected-mode no\n" });
    CHECK_EQ(setns(back, CLONE_NEWNET), 0);
    close(back);
}

static void lay_the_wire(void)
{
    char line[128], byte;
    int ready[2];
    CHECK_EQ(unshare(CLONE_NEWNET), 0);
    CHECK_EQ(pipe(ready), 0);
    keeper = fork();
    if (keeper == 0) keep(ready[1]);
    close(ready[1]);
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    snprintf(line, sizeof line, "ip link add weir0 type veth peer name weir1 netns %d", keeper);
    here(line);
    here("ip addr add " HERE "/30 dev weir0");
    here("ip link set weir0 up");
    there("ip link set lo up");
    there("ip addr add " THERE "/30 dev weir1");
    there("ip link set weir1 up");
    there("nft add table inet way");
    there("nft add chain inet way in '{ type filter hook input priority 0; }'");
    there("nft add chain inet way out '{ type filter hook output priority 0; }'");
}

/* ---- faults, and that they are on ---- */

static bool connects(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(matrix.server.port) };
    address.sin_addr.s_addr = htonl(0xc0000202); /* THERE */
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t size = sizeof error;
    CHECK(descriptor >= 0);
    bool connected = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
    if (!connected && errno == EINPROGRESS) {
        struct pollfd wait = { .fd = descriptor, .events = POLLOUT };
        connected = poll(&wait, 1, 200) == 1 &&
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    }
    close(descriptor);
    return connected;
}

/* The server is well, as a path says, and is not to be had over the wire. */
static bool is_cut_off(void)
{
    return redis_server_answers(&matrix.server, 500) && !connects();
}
static bool is_joined(void)
{
    return redis_server_answers(&matrix.server, 500) && connects();
}
static void nothing(void)
{
}
static void link_down(void)
{
    here("ip link set weir0 down");
}
static void link_up(void)
{
    here("ip link set weir0 up");
}
static void far_link_down(void)
{
    there("ip link set weir1 down");
}
static void far_link_up(void)
{
    there("ip link set weir1 up");
}
static void rule(const char *chain, const char *what)
{
    char line[128];
    snprintf(line, sizeof line, "nft add rule inet way %s tcp %s %u %s", chain,
        strcmp(chain, "in") == 0 ? "dport" : "sport", matrix.server.port, what);
    there(line);
}
static void lose_requests(void)
{
    rule("in", "drop");
}
static void lose_replies(void)
{
    rule("out", "drop");
}
static void lose_both(void)
{
    lose_requests();
    lose_replies();
}
static void reset_all(void)
{
    rule("in", "reject with tcp reset");
}
static void reject_all(void)
{
    rule("in", "reject");
}
static void lose_some(void)
{
    rule("in", "numgen random mod 50 == 0 drop");
}
static void obey_no_rule(void)
{
    there("nft flush table inet way");
}
static void have_no_route(void)
{
    here("ip route add unreachable " THERE "/32");
}
static void have_a_route(void)
{
    here("ip route del unreachable " THERE "/32");
}

static const struct matrix_row rows[] = {
    { "nothing", nothing, is_joined, nothing, GOES_ON, false },
    { "link down", link_down, is_cut_off, link_up, AWAY, false },
    { "the server's link down", far_link_down, is_cut_off, far_link_up, AWAY, false },
    { "requests dropped", lose_requests, is_cut_off, obey_no_rule, AWAY, false },
    { "replies dropped", lose_replies, is_cut_off, obey_no_rule, AWAY, false },
    { "both dropped", lose_both, is_cut_off, obey_no_rule, AWAY, false },
    { "reset", reset_all, is_cut_off, obey_no_rule, AWAY, false },
    { "rejected", reject_all, is_cut_off, obey_no_rule, AWAY, false },
    { "no route", have_no_route, is_cut_off, have_a_route, AWAY, false },
    { "one packet in 50 lost", lose_some, is_joined, obey_no_rule, GOES_ON, false },
};

TEST(matrix_netns, each_fault_of_the_network_is_declared_borne_and_over_soon)
{
    char place[64];
    const char *lacks = missing();
    if (lacks != NULL) {
        fprintf(stderr, "SKIP: faults of the network need %s\n", lacks);
        return;
    }
    lay_the_wire();
    start_server_there();
    snprintf(place, sizeof place, "tcp://" THERE ":%u", matrix.server.port);
    matrix_begin(place);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) matrix_run(&rows[i]);
    matrix_end();
    redis_server_stop(&matrix.server);
    kill(keeper, SIGKILL);
    waitpid(keeper, NULL, 0);
}
