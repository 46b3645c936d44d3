/* The interleaving explorer: a stateless model checker for the words of lib/.
 *
 * libweir is compiled once more with WEIR_EXPLORE: before each atomic access it calls weir_explore_point(word),
 * and there the scheduler decides who goes on. The threads of a scenario are fibers of one real thread; a
 * *step* is one atomic access and what follows it up to the next. Each schedule is run from the start; the
 * search goes depth first through the choices.
 *
 *     reduced   (standard) every order of dependent steps, each once: dynamic partial order reduction (Flanagan
 *               and Godefroid, POPL 2005) with sleep sets. Two steps depend on each other if they are of one
 *               thread, or access the same word and at least one of them changes it
 *     bounded   (.bound) every schedule with at most so many preemptions, not reduced
 *     full      (--full) every schedule; to check the reduction against
 *
 * Memory is sequentially consistent here: what weaker orders may do is ThreadSanitizer's part. A thread that comes
 * by the same places again and again while no word that it saw has changed is spinning: it is not scheduled until
 * one of them changes. If nobody can go on, that is a deadlock, and a lost wake-up looks exactly so.
 *
 * What a scenario keeps of its own beside the words (ghosts) must be announced by weir_explore_point() too where its
 * order against the other threads matters; else the reduction may leave that order out. */
#ifndef WEIR_EXPLORER_H
#define WEIR_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLORE_THREADS_MAX = 4 };

struct scenario {
    const char *name;
    uint32_t threads;
    void (*create)(void);         /* once: builds what the threads share and names it by explore_region() */
    void (*run)(uint32_t thread); /* the body of each thread */
    void (*step)(void);           /* after each step: what must always hold; may be NULL */
    void (*end)(void);            /* all threads have ended; may be NULL */
    uint32_t bound;               /* preemptions; 0: reduced, without a bound */
    bool never_waits;             /* no thread may spin: whoever else is stopped, it goes on */
    bool shared_line;             /* the threads have no shards of their own */
    uintptr_t argument;           /* create's, for tables */
};

/* What differs from schedule to schedule and is put back before each. The first word that lies in it is shown in
 * traces as name+offset. */
void explore_region(void *start, size_t size, const char *name);

/* The running scenario's. */
const struct scenario *explore_scenario(void);

/* The hook; also for ghosts. */
void weir_explore_point(const volatile void *word);

/* Sleeps until *flag is not 0, then makes it 0. */
void explore_await(uint32_t *flag);
/* Sets it. */
void explore_post(uint32_t *flag);

/* Between two operations of a thread: that it comes by the same places again is no spinning. */
void explore_progress(void);

/* At the end: what this schedule came to. Reduced and full search must see the same set of these. */
void explore_outcome(uint64_t digest);

#define EXPLORE_CHECK(condition)                                                     \
    do {                                                                             \
        if (!(condition)) explore_fail("%s:%d: %s", __FILE__, __LINE__, #condition); \
    } while (0)

/* Ends this schedule and the search. Does not return to a thread's body. */
__attribute__((format(printf, 1, 2))) void explore_fail(const char *format, ...);

struct explore_options {
    const char *schedule; /* replays that one only */
    uint64_t schedules_max;
    bool full, trace, quiet;
};
struct explore_result {
    uint64_t schedules, redundant, steps, outcomes, digest; /* digest: of the set of outcomes */
    bool failed, exhausted;
    char failure[256];
    char schedule[1024];
};
struct explore_result explore(const struct scenario *scenario, const struct explore_options *options);

int explore_main(int argc, char **argv, const struct scenario *scenarios, size_t count);

#endif
