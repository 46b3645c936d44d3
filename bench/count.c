/* The counting pass: a forked child runs the rows while this process traces it.
 *
 * A thread of the child brackets its operations with two marker calls (getppid() with arguments, which
 * the kernel ignores and the tracer reads). A system call of a thread between its markers counts for
 * the row that the marker names. Allocations the thread counts itself (allocations.h). Both add to
 * memory that the two processes share. */
#include "count.h"

#include "allocations.h"
#include "team.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/histogram.h>

enum {
    OPERATIONS = 100000, /* enough to meet what happens only now and then */
    WARM_UP = 1000,      /* a thread's first call may set something up, once */
    PLANTED = 10,        /* operations of the self-check */
    MARK = 0x3e1f,
};

/* ---- in the child ---- */

struct window {
    work_fn *run;
    void *subject;
    uint64_t n, warm_up;
    struct count *count;
    size_t row;
};

static void mark(size_t row, bool begin)
{
    syscall(SYS_getppid, MARK, row, begin);
}

static void count_thread(void *argument, unsigned thread, struct team *team)
{
    const struct window *window = argument;
    (void)thread;
    window->run(window->subject, window->warm_up);
    team_start(team);
    mark(window->row, true);
    uint64_t before = allocations();
    uint64_t fine = window->run(window->subject, window->n);
    uint64_t after = allocations();
    mark(window->row, false);
    require(fine == window->n, "only %llu of %llu operations went as they should", (unsigned long long)fine,
        (unsigned long long)window->n);
    __atomic_fetch_add(&window->count->operations, window->n, __ATOMIC_RELAXED);
    __atomic_fetch_add(&window->count->allocations, after - before, __ATOMIC_RELAXED);
}

static void count_row(const struct row *row, size_t index, struct count *count)
{
    void *subject = row->work.create ? row->work.create() : NULL;
    struct window window = { row->work.run, subject, OPERATIONS, WARM_UP, count, index };
    team_run(row->threads, count_thread, &window);
    if (row->work.create) {
        row->work.destroy(subject);
    }
}

/* The self-check's work: five allocations, our own and one of libc's, and one system call. */
static uint64_t planted(void *subject, uint64_t n)
{
    (void)subject;
    for (uint64_t i = 0; i < n; i++) {
        void *memory = realloc(malloc(1), 2);
        void *zeroed = calloc(1, 1);
        void *aligned = aligned_alloc(64, 64);
        char *copied = strdup("libc's");
        require(memory && zeroed && aligned && copied, "out of memory");
        free(memory);
        free(zeroed);
        free(aligned);
        free(copied);
        syscall(SYS_getuid);
    }
    return n;
}

/* At least one allocation inside libweir. */
static uint64_t planted_in_library(void *subject, uint64_t n)
{
    (void)subject;
    for (uint64_t i = 0; i < n; i++) {
        struct weir_histogram *histogram;
        created(weir_histogram_create(&histogram), "a histogram");
        weir_histogram_destroy(histogram);
    }
    return n;
}

/* ---- in the tracer ---- */

/* The threads that are between their markers. */
struct inside {
    pid_t thread[THREADS_MAX];
    size_t row[THREADS_MAX];
};

static unsigned inside_find(const struct inside *inside, pid_t thread)
{
    unsigned i = 0;
    while (i < THREADS_MAX && inside->thread[i] != thread) {
        i++;
    }
    return i;
}

static void syscall_entered(pid_t thread, struct inside *inside, struct count *counts)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY) {
        return;
    }
    unsigned i = inside_find(inside, thread);
    if (info.entry.nr != SYS_getppid || info.entry.args[0] != MARK) {
        if (i < THREADS_MAX) {
            __atomic_fetch_add(&counts[inside->row[i]].syscalls, 1, __ATOMIC_RELAXED);
        }
    } else if (info.entry.args[2]) {
        unsigned unused = inside_find(inside, 0);
        require(unused < THREADS_MAX, "more threads to count than there should be");
        inside->thread[unused] = thread;
        inside->row[unused] = (size_t)info.entry.args[1];
    } else {
        require(i < THREADS_MAX, "a count ended that had not begun");
        inside->thread[i] = 0;
    }
}

/* Follows the child and its threads from one system call to the next; answers its wait status. */
static int trace(pid_t child, struct count *counts)
{
    struct inside inside = { { 0 }, { 0 } };
    int status;
    require(waitpid(child, &status, 0) == child && WIFSTOPPED(status),
        "ptrace is not permitted here: nothing can be counted");
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, child, NULL, 0);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            require(errno == EINTR, "the counted process was lost");
        } else if (!WIFSTOPPED(status)) {
            if (thread == child) {
                return status;
            }
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            syscall_entered(thread, &inside, counts);
            ptrace(PTRACE_SYSCALL, thread, NULL, 0);
        } else { /* a new thread stops by SIGSTOP, its parent by SIGTRAP: not theirs to see */
            int signal = WSTOPSIG(status);
            bool ours = signal == SIGSTOP || signal == SIGTRAP;
            ptrace(PTRACE_SYSCALL, thread, NULL, ours ? 0 : signal);
        }
    }
}

/* ---- both ---- */

static work_fn *const self_check[] = { floor_alu, planted, planted_in_library };
enum { SELF_CHECKS = sizeof self_check / sizeof *self_check };

static void check_counters(const struct count checks[SELF_CHECKS])
{
    const struct count *none = &checks[0], *exact = &checks[1], *library = &checks[2];
    require(none->allocations == 0 && none->syscalls == 0,
        "the counters count in work that allocates nothing and calls no system");
    require(exact->allocations == 5 * exact->operations && exact->syscalls == exact->operations,
        "%llu allocations and %llu system calls counted in %llu operations that have 5 and 1",
        (unsigned long long)exact->allocations, (unsigned long long)exact->syscalls,
        (unsigned long long)exact->operations);
    require(library->allocations >= library->operations, "allocations in libweir are not counted");
}

static void count_child(const struct row *const rows[], size_t rows_count, struct count *counts)
{
    for (size_t i = 0; i < SELF_CHECKS; i++) {
        size_t at = rows_count + i;
        struct window window = { self_check[i], NULL, PLANTED, PLANTED, &counts[at], at };
        team_run(THREADS_MAX, count_thread, &window);
    }
    for (size_t i = 0; i < rows_count; i++) {
        count_row(rows[i], i, &counts[i]);
    }
}

void count_rows(const struct row *const rows[], size_t rows_count, struct count counts[])
{
    size_t size = (rows_count + SELF_CHECKS) * sizeof *counts;
    struct count *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED, "out of memory");
    pid_t child = fork();
    require(child >= 0, "no process to count in");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(1);
        }
        raise(SIGSTOP);
        count_child(rows, rows_count, shared);
        _exit(0);
    }
    int status = trace(child, shared);
    require(!WIFSIGNALED(status), "the counted process died of signal %d", WTERMSIG(status));
    require(WEXITSTATUS(status) == 0, "the counted process failed");
    check_counters(&shared[rows_count]);
    memcpy(counts, shared, rows_count * sizeof *counts);
    munmap(shared, size);
}
