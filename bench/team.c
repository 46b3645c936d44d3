#include "team.h"

#include "bench.h"

#include <pthread.h>
#include <sched.h>

struct team {
    unsigned threads;
    unsigned ready;
};

struct member {
    pthread_t handle;
    team_fn *body;
    void *argument;
    unsigned thread;
    struct team *team;
};

/* The n-th of the CPUs that this process may use, so that taskset and cgroups are respected. */
static void bind_to_cpu(unsigned n)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return; /* more CPUs than the set holds: let the scheduler choose */
    }
    n %= (unsigned)CPU_COUNT(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

void team_start(struct team *team)
{
    __atomic_fetch_add(&team->ready, 1, __ATOMIC_ACQ_REL);
    for (unsigned spins = 1; __atomic_load_n(&team->ready, __ATOMIC_ACQUIRE) < team->threads; spins++) {
        if (spins % 65536 == 0) {
            sched_yield(); /* there may be fewer CPUs than threads */
        }
    }
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    bind_to_cpu(member->thread);
    member->body(member->argument, member->thread, member->team);
    return NULL;
}

void team_run(unsigned threads, team_fn *body, void *argument)
{
    struct member members[THREADS_MAX];
    struct team team = { .threads = threads };
    require(threads <= THREADS_MAX, "%u threads are too many", threads);
    for (unsigned i = 0; i < threads; i++) {
        members[i] = (struct member) { .body = body, .argument = argument, .thread = i, .team = &team };
        require(pthread_create(&members[i].handle, NULL, member_main, &members[i]) == 0, "no thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(members[i].handle, NULL);
    }
}
