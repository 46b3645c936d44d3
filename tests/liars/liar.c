/* The process of a liar: its start and end, and what is seen of it. The lies are told in script.c and dns.c. */
#include "liars/liar.h"

#include "liars/script.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void liar_die(const char *what)
{
    fprintf(stderr, "liar: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static uint64_t look(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Nothing of what the parent has open stays open here: a connection that it closes must end. */
static void keep_only(int descriptor)
{
    if (descriptor > 3) {
        close_range(3, (unsigned)descriptor - 1, 0);
    }
    close_range((unsigned)descriptor + 1, ~0U, 0);
}

void liar_fork(struct liar *liar, int descriptor, const struct liar_script *script,
    void (*serve)(int descriptor, const struct liar_script *script, struct liar_seen *seen))
{
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    liar->seen = mmap(NULL, sizeof *liar->seen, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (liar->seen == MAP_FAILED || sem_init(&liar->seen->asked, 1, 0) != 0) {
        liar_die("no memory");
    }
    liar->seen->cut = script->length;
    liar->process = fork();
    if (liar->process < 0) {
        liar_die("no process");
    }
    if (liar->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        keep_only(descriptor);
        serve(descriptor, script, liar->seen);
        _exit(1);
    }
    close(descriptor);
}

static int listen_on_loopback(struct liar *liar, const struct liar_script *script)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (script->end == LIAR_HALF_CLOSES) { /* who does not read should not take megabytes either */
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &(int) { 4096 }, sizeof(int));
    }
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, script->queue_full ? 0 : SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        liar_die("cannot listen");
    }
    liar->port = ntohs(address.sin_port);
    return listener;
}

void liar_start(struct liar *liar, const struct liar_script *script)
{
    struct liar_script whole = *script;
    if (whole.says && whole.length == 0) {
        whole.length = strlen(whole.says);
    }
    int listener = listen_on_loopback(liar, script);
    liar_fork(liar, listener, &whole, script->queue_full ? script_refuse : script_serve);
    if (script->queue_full && !liar_await(liar)) {
        liar_die("its queue did not fill");
    }
}

void liar_stop(struct liar *liar)
{
    kill(liar->process, SIGKILL);
    while (waitpid(liar->process, NULL, 0) < 0 && errno == EINTR) continue;
    munmap(liar->seen, sizeof *liar->seen);
}

void liar_cut(struct liar *liar, size_t length)
{
    __atomic_store_n(&liar->seen->cut, length, __ATOMIC_RELEASE);
}

bool liar_await(struct liar *liar)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 10;
    int result;
    do {
        result = sem_timedwait(&liar->seen->asked, &end);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

uint64_t liar_connections(const struct liar *liar)
{
    return look(&liar->seen->connections);
}

uint64_t liar_requests(const struct liar *liar)
{
    return look(&liar->seen->requests);
}

uint64_t liar_bytes(const struct liar *liar)
{
    return look(&liar->seen->bytes);
}
