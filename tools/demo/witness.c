#include "witness.h"

#include "pace.h"

#include <stdlib.h>
#include <time.h>

#define PAUSE_NS 10000000
#define TIMEOUT_MS 5000L
#define P99_MS 30
#define WORST_MS 100

static void *call(void *argument)
{
    struct witness *witness = argument;
    while (!atomic_load(&witness->over)) {
        uint64_t before_ns = monotonic_ns();
        nanosleep(&(struct timespec) { .tv_nsec = PAUSE_NS }, NULL);
        (void)client_get(&witness->client, TIMEOUT_MS);
        witness->latency_ns[witness->calls++ % WITNESS_CALLS] = monotonic_ns() - before_ns - PAUSE_NS;
    }
    return NULL;
}

bool witness_begin(struct witness *witness, const char *program)
{
    *witness = (struct witness) { .calls = 0 };
    if (!origin_open(&witness->origin, program, 0)) return false;
    if (client_open(&witness->client, &witness->connects)) {
        client_aim(&witness->client, witness->origin.port);
        if (pthread_create(&witness->thread, NULL, call, witness) == 0) return true;
        client_close(&witness->client);
    }
    fprintf(stderr, "weir-demo: cannot start a thread\n");
    origin_close(&witness->origin);
    return false;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

struct testimony witness_end(struct witness *witness)
{
    atomic_store(&witness->over, true);
    pthread_join(witness->thread, NULL);
    client_close(&witness->client);
    origin_close(&witness->origin);
    size_t count = witness->calls < WITNESS_CALLS ? witness->calls : WITNESS_CALLS;
    if (count == 0) return (struct testimony) { 0 };
    qsort(witness->latency_ns, count, sizeof *witness->latency_ns, compare);
    return (struct testimony) { .p99_ms = (double)witness->latency_ns[(count - 1) * 99 / 100] / 1e6,
        .worst_ms = (double)witness->latency_ns[count - 1] / 1e6 };
}

bool testimony_excuses(FILE *file, struct testimony testimony)
{
    if (testimony.p99_ms <= P99_MS && testimony.worst_ms <= WORST_MS) return false;
    fprintf(file,
        "Others were at work on this machine: a caller with a healthy origin of his own, which takes 5 ms, "
        "waited\n"
        "up to %.0f ms, p99 %.0f ms.\n",
        testimony.worst_ms, testimony.p99_ms);
    return true;
}
