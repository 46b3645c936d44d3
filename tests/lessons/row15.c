/* Row 15: 2,000 acquisitions of locks by three processes, under faults of servers, network, clocks and processes, by one
 * server with a replica and by a majority of three. No stale write is accepted; without the guard some would have been.
 * LOCK_ACQUISITIONS and LOCK_SEED change how many and which faults. */
#include "lessons/claim.h"
#include "redis/lock_trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT_MS 150000

static uint64_t number_of(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text == NULL ? standard : strtoull(text, NULL, 10);
}

static void add(struct trial_result *sum, struct trial_result part)
{
    sum->acquired += part.acquired;
    sum->holders += part.holders;
    sum->writes += part.writes;
    sum->refused += part.refused;
    sum->stale += part.stale;
    sum->unguarded += part.unguarded;
    for (int i = 0; i < TRIAL_HARMS; i++) sum->harms[i] += part.harms[i];
}

static bool stale(void)
{
    uint64_t wanted = number_of("LOCK_ACQUISITIONS", 2000), seed = number_of("LOCK_SEED", (uint64_t)getpid());
    struct trial_result sum = trial_run(false, wanted * 2 / 3, seed, LIMIT_MS);
    add(&sum, trial_run(true, wanted - sum.acquired % wanted, seed + 1, LIMIT_MS));
    printf("%" PRIu64 " acquisitions, %" PRIu64 " hand-overs, %" PRIu64 " writes, %" PRIu64
           " refused, %" PRIu64 " stale ones accepted (without the guard %" PRIu64 "); ",
        sum.acquired, sum.holders, sum.writes, sum.refused, sum.stale, sum.unguarded);
    for (int i = 0; i < TRIAL_HARMS; i++) printf("%" PRIu64 " %s, ", sum.harms[i], trial_harm_names[i]);
    printf("seed %" PRIu64, seed);
    bool all = true;
    for (int i = 0; i < TRIAL_HARMS; i++) all = all && sum.harms[i] != 0;
    return all && sum.acquired >= wanted && sum.stale == 0 && sum.refused != 0 && sum.unguarded != 0;
}

int main(int argc, char **argv)
{
    static const struct claim claim[] = { { "stale", stale } };
    return claims(claim, sizeof claim / sizeof *claim, argc, argv);
}
