#include "load.h"

#include "pace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* splitmix64, as a number in (0, 1]. */
static double draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)(((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
}

static unsigned draw_kind(const unsigned *per_s, unsigned kinds, unsigned all_per_s, uint64_t *state)
{
    if (kinds == 1) return 0;
    double left = draw(state) * all_per_s;
    unsigned kind = 0;
    while (kind + 1 < kinds && (left -= per_s[kind]) > 0) kind++;
    return kind;
}

bool schedule_create(
    struct schedule *schedule, double seconds, const unsigned *per_s, unsigned kinds, uint64_t seed)
{
    unsigned all_per_s = 0;
    for (unsigned kind = 0; kind < kinds; kind++) all_per_s += per_s[kind];
    size_t room = (size_t)(seconds * all_per_s * 2) + 100; /* twice the mean is never reached */
    *schedule = (struct schedule) { .arrivals = calloc(room, sizeof *schedule->arrivals) };
    if (!schedule->arrivals) return false;
    double at = 0;
    while (schedule->calls < room && (at -= log(draw(&seed)) / all_per_s) < seconds)
        schedule->arrivals[schedule->calls++] = (struct arrival) { .at_ns = (uint64_t)(at * 1e9),
            .kind = draw_kind(per_s, kinds, all_per_s, &seed) };
    return true;
}

void schedule_destroy(struct schedule *schedule)
{
    free(schedule->arrivals);
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = { .tv_sec = (time_t)(at_ns / 1000000000U), .tv_nsec = (long)(at_ns % 1000000000U) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

/* A sample is one word, so that it can be looked at while the load runs: 4 * latency + answered. */
struct sample load_sample(const struct load *load, size_t i, uint64_t now_ns)
{
    uint64_t word = atomic_load_explicit(&load->samples[i], memory_order_relaxed);
    uint64_t arrival_ns = load->start_ns + load->schedule->arrivals[i].at_ns;
    if (word == UNANSWERED)
        return (struct sample) { now_ns > arrival_ns ? now_ns - arrival_ns : 0, UNANSWERED };
    return (struct sample) { word / 4, (enum answered)(word % 4) };
}

/* Threads take the calls up in order and sleep until theirs arrives: a first-in-first-out queue in
 * front of the workers without a queue to keep. */
static void *work(void *argument)
{
    struct load_worker *worker = argument;
    struct load *load = worker->load;
    size_t i;
    while ((i = atomic_fetch_add(&load->next, 1)) < load->schedule->calls) {
        struct arrival arrival = load->schedule->arrivals[i];
        arrival.at_ns += load->start_ns;
        sleep_until(arrival.at_ns);
        if (atomic_load(&load->stopped)) break;
        client_aim(&worker->client, load->ports[arrival.kind]);
        enum answered answered = load->call(&worker->client, arrival, load->argument);
        uint64_t latency_ns = monotonic_ns() - arrival.at_ns;
        atomic_store_explicit(&load->samples[i], latency_ns * 4 + answered, memory_order_relaxed);
    }
    return NULL;
}

static bool start_threads(struct load *load)
{
    for (unsigned i = 0; i < load->workers; i++) {
        load->team[i].load = load;
        if (pthread_create(&load->team[i].thread, NULL, work, &load->team[i])) {
            load_stop(load);
            while (i-- > 0) pthread_join(load->team[i].thread, NULL);
            return false;
        }
    }
    return true;
}

bool load_start(struct load *load)
{
    load->samples = calloc(load->schedule->calls + 1, sizeof *load->samples);
    load->team = calloc(load->workers, sizeof *load->team);
    bool ready = load->samples && load->team;
    for (unsigned i = 0; ready && i < load->workers; i++)
        ready = client_open(&load->team[i].client, &load->connects);
    if (ready && start_threads(load)) return true;
    load_destroy(load);
    return false;
}

void load_stop(struct load *load)
{
    atomic_store(&load->stopped, true);
}

void load_join(struct load *load)
{
    for (unsigned i = 0; i < load->workers; i++) pthread_join(load->team[i].thread, NULL);
}

void load_destroy(struct load *load)
{
    for (unsigned i = 0; load->team && i < load->workers; i++) client_close(&load->team[i].client);
    free(load->team);
    free(load->samples);
    load->team = NULL;
    load->samples = NULL;
}
