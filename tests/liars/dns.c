/* Silent DNS, in a network of its own.
 *
 * glibc asks port 53 of the servers in /etc/resolv.conf and nothing else. So the process under test gets a network
 * namespace, where port 53 of 127.0.0.1 is free, and a mount namespace, where that file is ours; a user who is not
 * root gets them within a user namespace, where the kernel allows it. */
#include "liars/liar.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a network of its own ---- */

static bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        return false;
    }
    bool written = fputs(text, file) >= 0;
    return fclose(file) == 0 && written;
}

/* What a new user namespace needs to be told before its root can do anything. */
static bool map_user(uid_t user, gid_t group)
{
    char users[32], groups[32];
    snprintf(users, sizeof users, "0 %u 1", user);
    snprintf(groups, sizeof groups, "0 %u 1", group);
    return write_text("/proc/self/uid_map", users) && write_text("/proc/self/setgroups", "deny") &&
        write_text("/proc/self/gid_map", groups);
}

static bool unshare_all(void)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    if (user == 0) {
        return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0;
    }
    return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0 && map_user(user, group);
}

static bool loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = any >= 0 && ioctl(any, SIOCSIFFLAGS, &request) == 0;
    if (any >= 0) {
        close(any);
    }
    return up;
}

/* Puts a file with that text in the place of the one at path, for this namespace only. */
static bool replace(const char *path, const char *text)
{
    char ours[] = "/tmp/liar.XXXXXX";
    int descriptor = mkstemp(ours);
    if (descriptor < 0) {
        return false;
    }
    bool done = fchmod(descriptor, 0644) == 0 &&
        write(descriptor, text, strlen(text)) == (ssize_t)strlen(text) &&
        mount(ours, path, NULL, MS_BIND, NULL) == 0;
    close(descriptor);
    unlink(ours); /* the mount keeps it */
    return done;
}

const char *liar_private_network(const char *resolver_options)
{
    static char why[128];
    char resolver[128];
    const char *step = NULL;
    snprintf(resolver, sizeof resolver, "nameserver 127.0.0.1\n%s%s\n", *resolver_options ? "options " : "",
        resolver_options);
    if (!unshare_all()) {
        step = "unshare";
    } else if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        step = "making mounts private";
    } else if (!loopback_up()) {
        step = "loopback";
    } else if (!replace("/etc/resolv.conf", resolver)) {
        step = "/etc/resolv.conf";
    } else if (!replace("/etc/nsswitch.conf", "hosts: files dns\n")) {
        step = "/etc/nsswitch.conf";
    }
    if (!step) {
        return NULL;
    }
    snprintf(why, sizeof why,
        "no private network (%s: %s): root can, others where user namespaces are allowed", step,
        strerror(errno));
    return why;
}

/* ---- the name server ---- */

enum { QUERIES_MAX = 1024, QUERY_BYTES = 512 };

struct query {
    struct sockaddr_in from;
    ssize_t size;
    uint8_t bytes[QUERY_BYTES];
};

static struct query queries[QUERIES_MAX];

static void answer(int server, struct query *query)
{
    enum { HEADER_BYTES = 12, IS_ANSWER = 0x80, NO_SUCH_NAME = 3 };
    if (query->size < HEADER_BYTES) {
        return;
    }
    query->bytes[2] |= IS_ANSWER;
    query->bytes[3] = (uint8_t)((query->bytes[3] & 0xf0) | NO_SUCH_NAME);
    sendto(server, query->bytes, (size_t)query->size, 0, (struct sockaddr *)&query->from, sizeof query->from);
}

static volatile sig_atomic_t relented;

static void on_relent(int signal)
{
    (void)signal;
    relented = 1;
}

/* Reads one query into its slot; the latest QUERIES_MAX are remembered. */
static void serve_dns(int server, const struct liar_script *script, struct liar_seen *seen)
{
    struct sigaction relent = { .sa_handler = on_relent }; /* without SA_RESTART: recvfrom() must see it */
    (void)script;
    sigaction(SIGUSR1, &relent, NULL);
    for (uint64_t count = 0, answered = 0;;) {
        struct query *query = &queries[count % QUERIES_MAX];
        socklen_t size = sizeof query->from;
        query->size =
            recvfrom(server, query->bytes, sizeof query->bytes, 0, (struct sockaddr *)&query->from, &size);
        if (query->size > 0) {
            count++;
            __atomic_fetch_add(&seen->requests, 1, __ATOMIC_RELEASE);
            sem_post(&seen->asked);
        }
        for (; relented && answered < count; answered++) {
            answer(server, &queries[answered % QUERIES_MAX]);
        }
    }
}

void liar_start_dns(struct liar *liar)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    struct timeval turn = { .tv_usec = 50000 }; /* a signal may come just before it waits */
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (server < 0 || setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &turn, sizeof turn) != 0 ||
        bind(server, (struct sockaddr *)&address, sizeof address) != 0) {
        liar_die("no port 53");
    }
    liar->port = 53;
    liar_fork(liar, server, &(struct liar_script) { 0 }, serve_dns);
}

void liar_relent_dns(struct liar *liar)
{
    kill(liar->process, SIGUSR1);
}
