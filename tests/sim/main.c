/* test-sim [--seed N] [--steps N] [--total N]
 *
 * Without --seed: worlds of growing seeds until the total of steps is reached, every 16th of them twice, and
 * then the coverage must be whole, unless the total is less than the usual one. With --seed: that world alone, twice. */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOTAL UINT64_C(30000000)
#define STEPS UINT64_C(10000) /* of one world before its faults stop */

static uint64_t run(uint64_t seed, uint64_t steps, uint64_t *done, bool print)
{
    struct world *world = world_run(seed, steps);
    uint64_t hash = world->hash;
    *done += world->steps;
    if (print) {
        printf("seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu32 " callers, %" PRIu32
               " policies, hash %016" PRIx64 "\n",
            seed, world->steps, world->callers, world->watches, hash);
    }
    world_free(world);
    return hash;
}

static void twice(uint64_t seed, uint64_t steps, uint64_t *done, bool print)
{
    uint64_t first = run(seed, steps, done, print), second = run(seed, steps, done, false);
    if (first == second) return;
    fprintf(stderr, "sim: seed %" PRIu64 " is not deterministic: hash %016" PRIx64 ", then %016" PRIx64 "\n",
        seed, first, second);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool has(int count, char **arguments, const char *name, uint64_t *value)
{
    for (int i = 1; i + 1 < count; i++) {
        if (strcmp(arguments[i], name) != 0) continue;
        *value = strtoull(arguments[i + 1], NULL, 0);
        return true;
    }
    return false;
}

int main(int count, char **arguments)
{
    uint64_t seed = 1, steps = STEPS, total = TOTAL, done = 0;
    bool one = has(count, arguments, "--seed", &seed);
    has(count, arguments, "--steps", &steps);
    has(count, arguments, "--total", &total);
    double start = seconds();
    if (one) {
        twice(seed, steps, &done, true);
        return 0;
    }
    for (; done < total; seed++) {
        if (seed % 16 == 0) twice(seed, steps, &done, false);
        else run(seed, steps, &done, false);
    }
    double took = seconds() - start;
    bool whole = coverage_whole(true);
    const char *verdict = whole ? "whole" : total < TOTAL ? "in part" : "NOT WHOLE";
    printf("sim: %" PRIu64 " worlds, %" PRIu64 " steps in %.1f s (%.2f M/s), coverage %s\n", seed - 1, done,
        took, (double)done / took / 1e6, verdict);
    return whole || total < TOTAL ? 0 : 1;
}
