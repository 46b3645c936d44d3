/* A fleet of five real processes on one real Redis, some of them by a proxy: rates, bulkheads and a breaker that they share,
 * each member stopped, killed, replaced, cut off, the server frozen, restarted, emptied. What they wrote down is merged and
 * checked (fleet_check.h) against the bounds of docs/sharing.md.
 *
 *     test-redis-fleet [--seconds N] [--seeds N] [--seed N] [--log FILE]
 *
 * N seconds of chaos, for each of N seeds. The log is left in the file, a line for each entry.
 *
 * Exit status: 0, 1 if a bound was broken, 2 if it could not run. */
#include "redis/fleet_check.h"
#include "redis/fleet_faults.h"
#include "redis/support/await.h"
#include "redis/support/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECOVER_MS 2000

static uint64_t seed;
static bool good;
static const char *log_name;

static void expect(bool condition, const char *what)
{
    if (condition) return;
    printf("seed %" PRIu64 ": %s\n", seed, what);
    good = false;
}

/* A load for so long. */
static void last(int ms)
{
    poll(NULL, 0, ms);
}

static void be_healthy(void)
{
    expect(AWAIT(fleet_shares(), 10000), "the fleet does not come up");
    fleet_enter(HEALTHY, 0);
    last(3000);
}

static void be_bad(void)
{
    fleet_enter(ONE_BAD, 1);
    expect(AWAIT(fleet_opened() == 1, 5000), "the one that is bad does not open");
    last(1500);
    fleet_enter(MOST_BAD, FLEET - 1);
    expect(AWAIT(fleet_opened() == FLEET, 5000), "most are bad, and not all open");
    fleet_enter(ALL_BAD, FLEET);
    last(1500);
    fleet_enter(WELL, 0);
    expect(AWAIT(fleet_opened() == 0, 10000), "all are well, and not all close");
}

static void be_murdered(void)
{
    fleet_enter(MURDER, 0);
    fleet_murder();
    last(LEASE_MS + 400);
    fleet_refill();
    expect(AWAIT(fleet_shares(), 5000), "who came new does not share");
}

static void be_harmed(int ms)
{
    fleet_enter(CHAOS, 1);
    for (int64_t end_ms = await_now_ms() + ms; await_now_ms() < end_ms;) fleet_harm();
    fleet_refill();
    int64_t healed_ms = await_now_ms();
    expect(AWAIT(fleet_shares(), 10000), "the fleet does not recover");
    printf("recovered after %" PRId64 " ms; ", await_now_ms() - healed_ms);
    expect(await_now_ms() - healed_ms <= RECOVER_MS, "the fleet recovers late");
    fleet_enter(QUIET, 1);
    last(1500);
}

static void print_rates(const struct fleet_figures *figures)
{
    static const char *const names[RATES] = { "relaxed", "strict", "closed", "open" };
    for (int i = 0; i < RATES; i++) {
        printf("%s %zu let in, excess %.1f (healthy %.1f) of %d; ", names[i], figures->admits[i],
            figures->excess[i], figures->healthy[i], i == RELAXED ? BURST + HELD : BURST);
    }
}

static void print(const struct fleet_figures *figures, const struct fleet_counts *counts)
{
    print_rates(figures);
    printf("permits of %d: plain %" PRId64 " (harmed %" PRId64 "), exact %" PRId64 " (harmed %" PRId64
           "), back after %.3f s; ",
        PERMITS, figures->permits[0], figures->permits_harmed[0], figures->permits[1],
        figures->permits_harmed[1], figures->permits_back_s);
    printf("all open after %.3f s; %" PRId64 " probes, %" PRId64 " of %d at once; ", figures->open_s,
        figures->probed, figures->probes, PROBES);
    for (int i = 0; i < FAULTS; i++) printf("%" PRIu64 " %s, ", counts->faults[i], fleet_fault_names[i]);
    printf("%" PRIu64 " of %" PRIu64 " decisions late; %" PRIu64 " keys; %" PRIu64 " questions; seed %" PRIu64
           "\n",
        counts->late, counts->decisions, counts->keys, counts->questions, seed);
}

static void keep_log(const struct history_event *events, size_t count)
{
    FILE *file = log_name == NULL ? NULL : fopen(log_name, "w");
    if (file == NULL) return;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        fprintf(file, "%" PRId64 " %" PRId64 " process %u kind %u object %u b %" PRId64 "\n", event->a,
            event->at_ns, event->process, event->kind, event->object, event->b);
    }
    fclose(file);
}

static bool run(int chaos_ms)
{
    struct fleet_counts counts;
    struct fleet_figures figures;
    struct history_event *events;
    good = true;
    fleet_start(seed);
    be_healthy();
    be_bad();
    be_murdered();
    be_harmed(chaos_ms);
    fleet_enter(LEAVING, 1);
    size_t count = fleet_end(&events, &counts);
    expect(fleet_check(events, count, &figures, stdout), "a bound is broken");
    expect(counts.missing == 0, "entries of the log are missing");
    expect(counts.late * 100 <= counts.decisions, "decisions take long");
    expect(counts.keys != 0 && counts.keys_for_ever == 0, "keys stay for ever");
    expect(counts.questions != 0 && counts.repeated == 0, "a question was sent twice");
    expect(figures.probed != 0, "nobody probed");
    print(&figures, &counts);
    keep_log(events, count);
    free(events);
    return good;
}

int main(int count, char **arguments)
{
    uint64_t seconds = 12, seeds = 1;
    seed = (uint64_t)getpid();
    for (int i = 1; i + 1 < count; i += 2) {
        uint64_t number = strtoull(arguments[i + 1], NULL, 10);
        if (strcmp(arguments[i], "--seconds") == 0) seconds = number;
        else if (strcmp(arguments[i], "--seeds") == 0) seeds = number;
        else if (strcmp(arguments[i], "--seed") == 0) seed = number;
        else if (strcmp(arguments[i], "--log") == 0) log_name = arguments[i + 1];
        else redis_die("usage: test-redis-fleet [--seconds N] [--seeds N] [--seed N] [--log FILE]");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < seeds; i++, seed++) {
        if (!run((int)seconds * 1000)) return 1;
    }
    return 0;
}
