/* weir-demo: the same load of real HTTP calls, bare and through weir, while their origin falls ill.
 *
 *     weir-demo [--seconds N] [--json FILE] [--seed N]
 *
 * Two origin processes on loopback, one a side, go through the six phases at the same instants,
 * each for a sixth of the time. Exit status: 0; 1 if the guarded load did worse where the phase
 * hurts; 2 if the demo could not run; 130 if it was interrupted. It leaves nothing behind. */
#include "control.h"
#include "measure.h"
#include "report.h"
#include "sides.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MIN 12
#define SECONDS_MAX 3600

enum exit_status { EXIT_GOOD = 0, EXIT_WORSE = 1, EXIT_BROKEN = 2, EXIT_INTERRUPTED = 130 };
enum side { BARE, GUARDED, SIDES };

struct options {
    double seconds;
    const char *json; /* NULL: none */
    uint64_t seed;
};

struct demo {
    struct options options;
    struct schedule schedule;
    struct guard guard;
    struct origin origins[SIDES];
    struct load loads[SIDES];
    uint64_t start_ns;
};

/* What can only be read at the end of a phase, since the run began. */
struct reading {
    uint64_t requests[SIDES], connects[SIDES];
    struct breaker_times times;
};

static bool parse_number(const char *text, unsigned long long *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse_option(const char *name, const char *value, struct options *options)
{
    if (strcmp(name, "--json") == 0) {
        options->json = value;
        return *value;
    }
    unsigned long long number = 0;
    if (!parse_number(value, &number)) return false;
    if (strcmp(name, "--seed") == 0) {
        options->seed = number;
        return true;
    }
    options->seconds = (double)number;
    return strcmp(name, "--seconds") == 0 && number >= SECONDS_MIN && number <= SECONDS_MAX;
}

static bool parse(int count, char **arguments, struct options *options)
{
    *options = (struct options) { .seconds = 30, .seed = 1 };
    for (int i = 1; i < count; i += 2)
        if (!parse_option(arguments[i], i + 1 < count ? arguments[i + 1] : "", options)) return false;
    return true;
}

/* Blocked in every thread, asked for by sleep_until(): an interrupt ends a phase, not a write. */
static sigset_t interrupts(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

/* false: interrupted. */
static bool sleep_until(uint64_t at_ns)
{
    sigset_t set = interrupts();
    for (uint64_t now_ns; (now_ns = monotonic_ns()) < at_ns;) {
        struct timespec left = { .tv_sec = (time_t)((at_ns - now_ns) / 1000000000U),
            .tv_nsec = (long)((at_ns - now_ns) % 1000000000U) };
        if (sigtimedwait(&set, NULL, &left) > 0) return false;
    }
    return true;
}

static double phase_seconds(const struct demo *demo)
{
    return demo->options.seconds / PHASES;
}

static struct reading read_all(struct demo *demo)
{
    struct reading reading = { .times = guard_times(&demo->guard) };
    for (int side = 0; side < SIDES; side++) {
        reading.requests[side] = origin_requests(&demo->origins[side]);
        reading.connects[side] = atomic_load(&demo->loads[side].connects);
    }
    return reading;
}

static bool enter_phase(struct demo *demo, enum phase phase)
{
    for (int side = 0; side < SIDES; side++) {
        struct origin *origin = &demo->origins[side];
        bool done = true;
        if (phase == GONE) origin_stop(origin);
        else if (phase == BACK) done = origin_start(origin);
        else done = origin_become(origin, phase_names[phase]);
        if (!done) {
            fprintf(stderr, "weir-demo: the origin could not be made %s\n", phase_names[phase]);
            return false;
        }
    }
    return true;
}

/* Takes the origins through the phases; readings[n] is made before phase n, the last at the end. */
static enum exit_status drive(struct demo *demo, struct reading readings[PHASES + 1])
{
    bool waited = sleep_until(demo->start_ns);
    readings[HEALTHY] = (struct reading) { .times = guard_times(&demo->guard) }; /* no call yet */
    for (enum phase phase = HEALTHY; phase < PHASES && waited; phase++) {
        if (!enter_phase(demo, phase)) return EXIT_BROKEN;
        fprintf(stderr, "%d/%d %s ...\n", (int)phase + 1, PHASES, phase_names[phase]);
        waited = sleep_until(demo->start_ns + (uint64_t)(((int)phase + 1) * phase_seconds(demo) * 1e9));
        readings[phase + 1] = read_all(demo);
    }
    if (!waited) fprintf(stderr, "weir-demo: interrupted\n");
    return waited ? EXIT_GOOD : EXIT_INTERRUPTED;
}

static bool measure(
    const struct demo *demo, const struct reading *readings, struct phase_figures figures[PHASES])
{
    for (enum phase phase = HEALTHY; phase < PHASES; phase++) {
        struct phase_figures *figure = &figures[phase];
        const struct reading *before = &readings[phase], *after = &readings[phase + 1];
        double from_s = (int)phase * phase_seconds(demo), to_s = from_s + phase_seconds(demo);
        *figure = (struct phase_figures) { .seconds = to_s - from_s, .recover_s = NAN };
        struct side_figures *sides[SIDES] = { &figure->bare, &figure->guarded };
        for (int side = 0; side < SIDES; side++) {
            if (!measure_side(&demo->loads[side], from_s, to_s, sides[side])) return false;
            sides[side]->origin_calls = phase == GONE ? after->connects[side] - before->connects[side]
                                                      : after->requests[side] - before->requests[side];
        }
        for (int state = 0; state < 4; state++)
            figure->states.seconds[state] = after->times.seconds[state] - before->times.seconds[state];
        if (phase != HEALTHY)
            figure->recover_s =
                measure_recovery(&demo->loads[GUARDED], from_s, to_s, figures[HEALTHY].guarded.goodput);
    }
    return true;
}

static enum exit_status report(const struct demo *demo, const struct reading *readings)
{
    struct phase_figures figures[PHASES];
    if (!measure(demo, readings, figures)) {
        fprintf(stderr, "weir-demo: out of memory\n");
        return EXIT_BROKEN;
    }
    report_table(figures);
    if (demo->options.json && !report_json(figures, demo->options.json)) return EXIT_BROKEN;
    return report_verdict(figures) ? EXIT_GOOD : EXIT_WORSE;
}

static bool start_loads(struct demo *demo)
{
    static call_function *const calls[SIDES] = { bare_call, guarded_call };
    demo->start_ns = monotonic_ns() + 100000000; /* when all the threads are there */
    for (int side = 0; side < SIDES; side++)
        if (!load_start(&demo->loads[side], &demo->schedule, demo->origins[side].port, demo->start_ns,
                calls[side], &demo->guard)) {
            fprintf(stderr, "weir-demo: cannot start the load\n");
            for (int started = 0; started < side; started++) {
                load_stop(&demo->loads[started]);
                load_join(&demo->loads[started]);
                load_destroy(&demo->loads[started]);
            }
            return false;
        }
    return true;
}

static enum exit_status run_loads(struct demo *demo)
{
    struct reading readings[PHASES + 1];
    if (!start_loads(demo)) return EXIT_BROKEN;
    enum exit_status status = drive(demo, readings);
    for (int side = 0; side < SIDES && status != EXIT_GOOD; side++) {
        load_stop(&demo->loads[side]);
        origin_stop(&demo->origins[side]); /* a call that hangs on a silent origin ends with it */
    }
    for (int side = 0; side < SIDES; side++) load_join(&demo->loads[side]);
    if (status == EXIT_GOOD) status = report(demo, readings);
    for (int side = 0; side < SIDES; side++) load_destroy(&demo->loads[side]);
    return status;
}

static enum exit_status run_origins(struct demo *demo)
{
    enum exit_status status = EXIT_BROKEN;
    int opened = 0;
    while (opened < SIDES && origin_open(&demo->origins[opened], demo->options.seed)) opened++;
    if (opened == SIDES) status = run_loads(demo);
    while (opened-- > 0) origin_close(&demo->origins[opened]);
    return status;
}

static enum exit_status run(struct demo *demo)
{
    enum exit_status status = EXIT_BROKEN;
    if (!schedule_create(&demo->schedule, demo->options.seconds, demo->options.seed)) {
        fprintf(stderr, "weir-demo: out of memory\n");
        return status;
    }
    if (guard_open(&demo->guard)) {
        status = run_origins(demo);
        guard_close(&demo->guard);
    }
    schedule_destroy(&demo->schedule);
    return status;
}

int main(int count, char **arguments)
{
    static struct demo demo; /* too much for a frame */
    if (!parse(count, arguments, &demo.options)) {
        fprintf(stderr, "usage: weir-demo [--seconds %d..%d] [--json FILE] [--seed N]\n", SECONDS_MIN,
            SECONDS_MAX);
        return EXIT_BROKEN;
    }
    sigset_t set = interrupts();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        fprintf(stderr, "weir-demo: cannot start libcurl\n");
        return EXIT_BROKEN;
    }
    enum exit_status status = run(&demo);
    curl_global_cleanup();
    return (int)status;
}
