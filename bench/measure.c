/* How a cell is measured.
 *
 * Two vCPUs may be the two hyperthreads of one core, and somebody else's work may sit on the other one:
 * then pure ALU work takes up to twice as long, for seconds. U does not show it, being a matter of
 * latency. So a control of ALU work runs before and after each cell, on as many threads, and the cell
 * is repeated while the control is off. Other work on the same CPU shows in that a sample took longer
 * than its thread ran: samples are short, so that some fall between, and such a one is taken again. Two
 * threads cost more than one even if they share nothing, so they are compared with two threads on a
 * subject each, sample by sample. */
#include "measure.h"

#include "team.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum {
    SAMPLES = 15,
    TRIES_MAX = 12,        /* of a cell */
    SAMPLE_TRIES_MAX = 10, /* of a sample */
    WARM_UP = 1000,
    ALU_OPERATIONS = 2000000,
};
static const double sample_ns = 2.5e6;
static const double off = 1.15;                       /* the control may be this much above the best */
static const uint64_t patience_ns = 1500000000;       /* after that a cell is not repeated */
static const struct timespec pause = { 0, 50000000 }; /* before it is */

struct run {
    work_fn *work;
    void *subject[THREADS_MAX];
    uint64_t n;
    uint64_t elapsed_ns[THREADS_MAX];
    uint64_t running_ns[THREADS_MAX];
    unsigned preempted; /* samples that had to be taken although other work ran meanwhile */
};

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run_thread(void *argument, unsigned thread, struct team *team)
{
    struct run *run = argument;
    run->work(run->subject[thread], WARM_UP);
    team_start(team);
    uint64_t ran_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t began_ns = read_ns(CLOCK_MONOTONIC);
    uint64_t fine = run->work(run->subject[thread], run->n);
    run->elapsed_ns[thread] = read_ns(CLOCK_MONOTONIC) - began_ns;
    run->running_ns[thread] = read_ns(CLOCK_THREAD_CPUTIME_ID) - ran_ns;
    require(fine == run->n, "only %llu of %llu operations went as they should", (unsigned long long)fine,
        (unsigned long long)run->n);
}

/* Nanoseconds an operation, of the slowest thread. */
static double sample(struct run *run, unsigned threads)
{
    uint64_t slowest_ns;
    bool preempted = true;
    for (int tries = 0; preempted && tries < SAMPLE_TRIES_MAX; tries++) {
        team_run(threads, run_thread, run);
        preempted = false;
        slowest_ns = 0;
        for (unsigned i = 0; i < threads; i++) {
            uint64_t elapsed_ns = run->elapsed_ns[i];
            slowest_ns = elapsed_ns > slowest_ns ? elapsed_ns : slowest_ns;
            preempted |= elapsed_ns > run->running_ns[i] + elapsed_ns / 50;
        }
    }
    run->preempted += preempted;
    return (double)slowest_ns / (double)run->n;
}

static double alu(unsigned threads, struct quiet *quiet)
{
    struct run run = { .work = floor_alu, .n = ALU_OPERATIONS };
    double ns = sample(&run, threads);
    double *best_ns = &quiet->alu_ns[threads];
    if (*best_ns == 0 || ns < *best_ns) {
        *best_ns = ns;
    }
    return ns;
}

/* Chooses n so that a sample takes about sample_ns. */
static void calibrate(struct run *run, unsigned threads)
{
    for (run->n = 1000;; run->n *= 4) {
        double ns = sample(run, threads);
        if (ns * (double)run->n > sample_ns / 8) {
            run->n = (uint64_t)(sample_ns / ns) + 1;
            return;
        }
    }
}

static struct run run_create(const struct work *work, unsigned threads, bool shared)
{
    struct run run = { .work = work->run };
    for (unsigned i = 0; i < threads && work->create; i++) {
        run.subject[i] = shared && i > 0 ? run.subject[0] : work->create();
    }
    if (work->run) {
        calibrate(&run, threads);
    }
    return run;
}

static void run_destroy(struct run *run, const struct work *work, unsigned threads)
{
    for (unsigned i = 0; i < threads && work->create; i++) {
        if (i == 0 || run->subject[i] != run->subject[0]) {
            work->destroy(run->subject[i]);
        }
    }
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

double median(double *values, size_t count)
{
    if (count == 0) {
        return NAN;
    }
    qsort(values, count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* One try: the samples of the row, of its control and of what it is compared with take turns. */
static struct cell try_cell(const struct row *row, struct run runs[3], struct quiet *quiet)
{
    double ns[SAMPLES], control_ns[SAMPLES];
    double before_ns = alu(row->threads, quiet);
    runs[0].preempted = runs[1].preempted = runs[2].preempted = 0;
    for (int i = 0; i < SAMPLES; i++) {
        ns[i] = sample(&runs[0], row->threads);
        control_ns[i] = row->threads > 1 ? sample(&runs[1], row->threads) : 0;
        ns[i] -= row->without.run ? sample(&runs[2], row->threads) : 0;
    }
    double after_ns = alu(row->threads, quiet);
    return (struct cell) {
        .ns = median(ns, SAMPLES),
        .control_ns = median(control_ns, SAMPLES),
        .alu_ns = before_ns > after_ns ? before_ns : after_ns,
        .preempted = runs[0].preempted + runs[1].preempted + runs[2].preempted,
    };
}

bool cell_clean(const struct row *row, const struct cell *cell, const struct quiet *quiet)
{
    return cell->preempted == 0 && cell->alu_ns <= off * quiet->alu_ns[row->threads];
}

static bool quieter(const struct cell *left, const struct cell *right)
{
    return left->preempted != right->preempted ? left->preempted < right->preempted
                                               : left->alu_ns < right->alu_ns;
}

struct cell measure(const struct row *row, struct quiet *quiet)
{
    struct run runs[3] = {
        run_create(&row->work, row->threads, true),
        row->threads > 1 ? run_create(&row->work, row->threads, false) : (struct run) { 0 },
        run_create(&row->without, row->threads, true),
    };
    uint64_t began_ns = read_ns(CLOCK_MONOTONIC);
    struct cell best = try_cell(row, runs, quiet);
    for (int tries = 1; tries < TRIES_MAX && !cell_clean(row, &best, quiet); tries++) {
        if (read_ns(CLOCK_MONOTONIC) - began_ns > patience_ns) {
            break;
        }
        nanosleep(&pause, NULL);
        struct cell cell = try_cell(row, runs, quiet);
        best = quieter(&cell, &best) ? cell : best;
    }
    run_destroy(&runs[0], &row->work, row->threads);
    run_destroy(&runs[1], &row->work, row->threads > 1 ? row->threads : 0);
    run_destroy(&runs[2], &row->without, row->threads);
    return best;
}
