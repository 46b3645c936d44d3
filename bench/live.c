#include "live.h"

#include "deadline.h"
#include "versus.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct deadline_result *deadlines;
static struct versus_result *versus;

bool live_selects(const char *prefix)
{
    return deadline_selects(prefix) || versus_selects(prefix);
}

void live_run(const char *prefix)
{
    if (versus_selects(prefix)) {
        versus = live_shared(VERSUS_ROWS * sizeof *versus);
        live_child(versus_measure, prefix, versus);
        versus_table(versus);
    }
    if (deadline_selects(prefix)) {
        deadlines = live_shared(DEADLINE_ROWS * sizeof *deadlines);
        live_child(deadline_measure, prefix, deadlines);
        deadline_table(deadlines);
    }
}

void live_json(FILE *file)
{
    if (versus) {
        versus_json(file, versus);
    }
    if (deadlines) {
        deadline_json(file, deadlines);
    }
}

/* ---- for the groups ---- */

void *live_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "out of memory");
    return memory;
}

/* A thousand transfers have a thousand sockets. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void live_child(void (*body)(const char *prefix, void *results), const char *prefix, void *results)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    require(child >= 0, "no process to measure in");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        allow_descriptors();
        require(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, "libcurl does not start");
        body(prefix, results);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the measuring process failed");
}

bool live_row(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

uint64_t live_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * WEIR_S + (uint64_t)now.tv_nsec;
}

/* splitmix64 */
uint64_t live_draw(uint64_t *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
