#include "load.h"

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

bool schedule_create(struct schedule *schedule, double seconds, uint64_t seed)
{
    size_t room = (size_t)(seconds * CALLS_PER_S * 2) + 100; /* twice the mean is never reached */
    *schedule = (struct schedule) { .arrival_ns = calloc(room, sizeof *schedule->arrival_ns) };
    if (!schedule->arrival_ns) return false;
    double at = 0;
    while (schedule->calls < room && (at -= log(draw(&seed)) / CALLS_PER_S) < seconds)
        schedule->arrival_ns[schedule->calls++] = (uint64_t)(at * 1e9);
    return true;
}

void schedule_destroy(struct schedule *schedule)
{
    free(schedule->arrival_ns);
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = { .tv_sec = (time_t)(at_ns / 1000000000U), .tv_nsec = (long)(at_ns % 1000000000U) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

/* Threads take the calls up in order and sleep until theirs arrives: a first-in-first-out queue in
 * front of WORKERS servers without a queue to keep. */
static void *work(void *argument)
{
    struct load_worker *worker = argument;
    struct load *load = worker->load;
    size_t i;
    while ((i = atomic_fetch_add(&load->next, 1)) < load->schedule->calls) {
        uint64_t arrival_ns = load->start_ns + load->schedule->arrival_ns[i];
        sleep_until(arrival_ns);
        if (atomic_load(&load->stopped)) break;
        load->samples[i].fresh = load->call(worker->client, arrival_ns, load->argument);
        load->samples[i].latency_ns = monotonic_ns() - arrival_ns;
    }
    return NULL;
}

static void close_clients(struct load *load)
{
    for (int i = 0; i < WORKERS; i++) client_close(&load->clients[i]);
}

static bool start_threads(struct load *load)
{
    for (int i = 0; i < WORKERS; i++) {
        struct load_worker *worker = &load->workers[i];
        *worker = (struct load_worker) { .load = load, .client = &load->clients[i] };
        if (pthread_create(&worker->thread, NULL, work, worker)) {
            load_stop(load);
            while (i-- > 0) pthread_join(load->workers[i].thread, NULL);
            return false;
        }
    }
    return true;
}

bool load_start(struct load *load, const struct schedule *schedule, uint16_t port, uint64_t start_ns,
    call_function *call, void *argument)
{
    *load = (struct load) { .call = call,
        .argument = argument,
        .schedule = schedule,
        .start_ns = start_ns,
        .samples = calloc(schedule->calls + 1, sizeof(struct sample)) };
    bool ready = load->samples;
    for (int i = 0; ready && i < WORKERS; i++) ready = client_open(&load->clients[i], port, &load->connects);
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
    for (int i = 0; i < WORKERS; i++) pthread_join(load->workers[i].thread, NULL);
}

void load_destroy(struct load *load)
{
    close_clients(load);
    free(load->samples);
    load->samples = NULL;
}
