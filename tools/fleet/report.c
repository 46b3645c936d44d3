#include "figures.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define RECOVER_S 2.0
#define LATENCY_US 1000.0
#define STALL_S 0.1 /* less says nothing */

static void print_seconds(double seconds)
{
    if (isnan(seconds)) printf("%9s", "-");
    else printf("%9.2f", seconds);
}

static void print_phase(const char *name, const struct phase_figures *figure)
{
    printf("%-8s %7.0f %5.0f/%-4.0f %7.0f %5.0f/%-4.0f %6.2f %6.2f %6.2f %6.2f  %3u/%-3u %2u/%-2u", name,
        figure->rate[RELAXED], figure->excess[RELAXED], figure->excess_bound[RELAXED], figure->rate[STRICT],
        figure->excess[STRICT], figure->excess_bound[STRICT], figure->local_us[0], figure->shared_us[0],
        figure->local_us[1], figure->shared_us[1], figure->in_use_max, figure->in_use_bound, figure->open_max,
        figure->open_bound);
    printf("  %u  %016llx %5llu %6llu %5llu %5llu", figure->holder, (unsigned long long)figure->token,
        (unsigned long long)figure->writes.hand_overs, (unsigned long long)figure->writes.accepted,
        (unsigned long long)figure->writes.refused, (unsigned long long)figure->writes.stale);
    print_seconds(figure->open_s);
    print_seconds(figure->recover_s);
    putchar('\n');
}

void report_table(const struct phase_figures figures[PHASES])
{
    printf("\n%-8s %-18s %-18s %-27s  %-7s %-5s  %-56s%9s%9s\n", "", "relaxed rate", "strict rate",
        "a decision, us", "permits", "open", "lock", "all open", "recover-");
    printf("%-8s %7s %10s %7s %10s %6s %6s %6s %6s  %7s %5s  %s  %-16s %5s %6s %5s %5s%9s%9s\n", "phase",
        "per s", "excess", "per s", "excess", "p50", "shared", "p99", "shared", "of", "of", "by", "fence",
        "hands", "writes", "barred", "stale", "after s", "ed by s");
    for (int i = 0; i < PHASES; i++) print_phase(phase_names[i], &figures[i]);
    printf("\n"
           "%d processes, one Redis. Each asks both rate limits (%d a second, burst %d, for all together) %d "
           "times a\n"
           "second, makes calls of 5 ms in %d threads through a breaker and a bulkhead of %d permits, and "
           "takes turns\n"
           "with a lock (lease %d ms, %d ms more in Redis) to write to a resource that looks at the fence.\n"
           "excess: of all windows in the phase, by how many calls the worst exceeds %d times its length / "
           "bound: the burst;\n"
           "relaxed: and %d, what all may hold unspent; Redis away, back or emptied: a burst more, and what "
           "those let in that\n"
           "still live on their share when others have found Redis again.\n"
           "a decision: of a rate limit of the process's own, and of the shared one. permits: most in use at "
           "once / bound.\n"
           "open: breakers open at once / bound. by: who wrote last; hands: changes of the writer's fence; "
           "barred: writes\n"
           "that the fence refused; stale: those it should have refused and did not.\n"
           "all open: seconds until every breaker was; recovered by: until everything is shared, closed, and "
           "written again.\n",
        MEMBERS, RATE_PER_S, RATE_BURST, ASKS_PER_S, WORKERS, PERMITS, LEASE_MS, GRACE_MS, RATE_PER_S,
        RATE_LEASES);
}

static void write_number(FILE *file, const char *name, double value)
{
    if (isnan(value)) fprintf(file, ", \"%s\": null", name);
    else fprintf(file, ", \"%s\": %.6g", name, value);
}

static void write_phase(FILE *file, const char *name, const struct phase_figures *figure)
{
    static const char *const buckets[BUCKETS] = { "relaxed", "strict" };
    fprintf(file, "  {\"name\": \"%s\", \"seconds\": %.3f", name, figure->seconds);
    for (int i = 0; i < BUCKETS; i++) {
        fprintf(file, ",\n   \"%s\": {\"limit\": %d", buckets[i], RATE_PER_S);
        write_number(file, "per_s", figure->rate[i]);
        write_number(file, "excess", figure->excess[i]);
        write_number(file, "bound", figure->excess_bound[i]);
        fprintf(file, "}");
    }
    fprintf(file, ",\n   \"decision_us\": {\"limit\": %.0f", LATENCY_US);
    write_number(file, "local_p50", figure->local_us[0]);
    write_number(file, "shared_p50", figure->shared_us[0]);
    write_number(file, "local_p99", figure->local_us[1]);
    write_number(file, "shared_p99", figure->shared_us[1]);
    fprintf(file,
        "},\n   \"permits\": {\"in_use_max\": %u, \"bound\": %u}, \"breakers\": {\"open_max\": %u, "
        "\"bound\": %u, "
        "\"votes_max\": %llu",
        figure->in_use_max, figure->in_use_bound, figure->open_max, figure->open_bound,
        (unsigned long long)figure->votes_max);
    write_number(file, "all_open_s", figure->open_s);
    fprintf(file,
        "},\n   \"lock\": {\"holder\": %u, \"fence\": %llu, \"hand_overs\": %llu, \"accepted\": %llu, "
        "\"barred\": %llu, "
        "\"stale\": %llu}",
        figure->holder, (unsigned long long)figure->token, (unsigned long long)figure->writes.hand_overs,
        (unsigned long long)figure->writes.accepted, (unsigned long long)figure->writes.refused,
        (unsigned long long)figure->writes.stale);
    write_number(file, "recover_s", figure->recover_s);
    fprintf(file, "}");
}

bool report_json(const struct phase_figures figures[PHASES], const char *path)
{
    FILE *file = fopen(path, "w");
    bool written = file != NULL;
    if (written) {
        fprintf(file, "{\"phases\": [\n");
        for (int i = 0; i < PHASES; i++) {
            write_phase(file, phase_names[i], &figures[i]);
            fprintf(file, i + 1 < PHASES ? ",\n" : "\n");
        }
        fprintf(file, "]}\n");
        written = !ferror(file);
        written = fclose(file) == 0 && written;
    }
    if (!written) fprintf(stderr, "weir-fleet: cannot write %s: %s\n", path, strerror(errno));
    return written;
}

/* ---- the verdict ---- */

static bool within(enum phase phase, const char *what, double have, double bound)
{
    if (have <= bound) return true;
    printf("MISSED in %s: %s %.6g, at most %.6g\n", phase_names[phase], what, have, bound);
    return false;
}

static bool wants_recovery(enum phase phase)
{
    return phase == THAWED || phase == BACK || phase == FLUSHED || phase == WELL || phase == PAUSED ||
        phase == MURDER;
}

/* What this machine kept all of them from doing is no fault of theirs. */
static bool judge_times(enum phase phase, const struct phase_figures *figure)
{
    double stall_s = figure->stall_s > STALL_S ? figure->stall_s : 0;
    double later_us = figure->shared_us[1] - figure->local_us[1];
    bool good = within(phase, "p99 that a decision takes longer, us", later_us, LATENCY_US + stall_s * 1e6);
    if (phase == ALL_BAD) {
        double open_s = isnan(figure->open_s) ? INFINITY : figure->open_s;
        good &= within(phase, "seconds until all are open", open_s, RECOVER_S + stall_s);
    }
    if (wants_recovery(phase)) {
        double recover_s = isnan(figure->recover_s) ? INFINITY : figure->recover_s;
        good &= within(phase, "seconds to recover", recover_s, RECOVER_S + stall_s);
    }
    if (stall_s > 0) printf("In %s this machine stood still for %.2f s.\n", phase_names[phase], stall_s);
    return good;
}

static bool judge(enum phase phase, const struct phase_figures *figure)
{
    bool good = judge_times(phase, figure);
    good &=
        within(phase, "excess of the relaxed rate", figure->excess[RELAXED], figure->excess_bound[RELAXED]);
    good &= within(phase, "excess of the strict rate", figure->excess[STRICT], figure->excess_bound[STRICT]);
    good &= within(phase, "permits in use", figure->in_use_max, figure->in_use_bound);
    good &= within(phase, "open breakers", figure->open_max, figure->open_bound);
    good &= within(phase, "stale writes", (double)figure->writes.stale, 0);
    return good;
}

bool report_verdict(const struct phase_figures figures[PHASES])
{
    bool good = true;
    putchar('\n');
    for (int i = 0; i < PHASES; i++) good &= judge((enum phase)i, &figures[i]);
    uint64_t barred = 0;
    for (int i = 0; i < PHASES; i++) barred += figures[i].writes.refused;
    if (barred == 0) puts("MISSED: no stale write was tried, so nothing shows that the fence bars them");
    if (good && barred != 0) printf("Every bound was kept; recovered within %.0f s each time.\n", RECOVER_S);
    return good && barred != 0;
}
