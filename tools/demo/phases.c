/* The outage: two origin processes on loopback, one a side, go through the six phases at the same
 * instants, each for a sixth of the time. */
#include "phases.h"

#include "control.h"
#include "live.h"
#include "pace.h"
#include "plot.h"
#include "report.h"
#include "witness.h"

#include <math.h>
#include <stdio.h>

const char *const phase_names[PHASES] = { "healthy", "errors", "slow", "silent", "gone", "back" };

struct demo {
    struct options options;
    struct schedule schedule;
    struct guard guard;
    struct origin origins[SIDES];
    struct load loads[SIDES];
    uint64_t start_ns;
    double entered_s[PHASES]; /* when the origins had really become so: a start takes its time */
};

/* What can only be read at the end of a phase, since the run began. */
struct reading {
    uint64_t requests[SIDES], connects[SIDES];
    struct breaker_times times;
};

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

/* Both sides at once: none has its origin longer than the other. */
static bool enter_phase(struct demo *demo, enum phase phase)
{
    bool done = true;
    for (int side = 0; side < SIDES; side++) {
        struct origin *origin = &demo->origins[side];
        if (phase == GONE) origin_dismiss(origin);
        else if (phase == BACK) origin_launch(origin);
        else done = origin_become(origin, phase_names[phase]) && done;
    }
    for (int side = 0; side < SIDES; side++) {
        struct origin *origin = &demo->origins[side];
        if (phase == GONE) origin_stop(origin);
        else if (phase == BACK) done = origin_started(origin) && done;
    }
    if (!done) fprintf(stderr, "weir-demo: the origin could not be made %s\n", phase_names[phase]);
    return done;
}

/* Until the phase is over. false: interrupted. */
static bool watch_phase(struct demo *demo, enum phase phase)
{
    struct live_view view = { .phase = phase,
        .seconds = demo->options.seconds,
        .bare = &demo->loads[BARE],
        .guarded = &demo->loads[GUARDED],
        .guard = &demo->guard };
    uint64_t end_ns = demo->start_ns + (uint64_t)(((int)phase + 1) * phase_seconds(demo) * 1e9);
    bool waited = true;
    live_begin(&view);
    while (waited && monotonic_ns() < end_ns) {
        uint64_t tick_ns = live_show(&view);
        waited = pace_until(tick_ns < end_ns ? tick_ns : end_ns);
    }
    live_end();
    return waited;
}

/* Takes the origins through the phases; readings[n] is made before phase n, the last at the end. */
static enum exit_status drive(struct demo *demo, struct reading readings[PHASES + 1])
{
    bool waited = pace_until(demo->start_ns);
    readings[HEALTHY] = (struct reading) { .times = guard_times(&demo->guard) }; /* no call yet */
    for (enum phase phase = HEALTHY; phase < PHASES && waited; phase++) {
        if (!enter_phase(demo, phase)) return EXIT_BROKEN;
        demo->entered_s[phase] = (double)(monotonic_ns() - demo->start_ns) / 1e9;
        waited = watch_phase(demo, phase);
        readings[phase + 1] = read_all(demo);
    }
    if (!waited) fprintf(stderr, "weir-demo: interrupted\n");
    return waited ? EXIT_GOOD : EXIT_INTERRUPTED;
}

static struct span phase_span(const struct demo *demo, enum phase phase)
{
    double from_s = (int)phase * phase_seconds(demo);
    return (struct span) { from_s, from_s + phase_seconds(demo), 0, DEADLINE_NS };
}

static bool measure_side(const struct load *load, struct span span, struct side_figures *figures)
{
    struct call_figures of;
    if (!measure_calls(load, span, &of)) return false;
    *figures = (struct side_figures) { .of = of, .goodput = (double)of.fresh / (span.to_s - span.from_s) };
    return true;
}

static double recovery(const struct demo *demo, enum phase phase, const struct call_figures *healthy)
{
    struct span span = phase_span(demo, phase);
    span.from_s = demo->entered_s[phase];
    double share = healthy->calls ? (double)healthy->fresh / (double)healthy->calls : 0;
    return measure_recovery(&demo->loads[GUARDED], span, share);
}

static bool measure(
    const struct demo *demo, const struct reading *readings, struct phase_figures figures[PHASES])
{
    for (enum phase phase = HEALTHY; phase < PHASES; phase++) {
        struct phase_figures *figure = &figures[phase];
        const struct reading *before = &readings[phase], *after = &readings[phase + 1];
        struct span span = phase_span(demo, phase);
        *figure = (struct phase_figures) { .seconds = phase_seconds(demo), .recover_s = NAN };
        struct side_figures *sides[SIDES] = { &figure->bare, &figure->guarded };
        for (int side = 0; side < SIDES; side++) {
            if (!measure_side(&demo->loads[side], span, sides[side])) return false;
            sides[side]->origin_calls = phase == GONE ? after->connects[side] - before->connects[side]
                                                      : after->requests[side] - before->requests[side];
        }
        for (int state = 0; state < 4; state++)
            figure->states.seconds[state] = after->times.seconds[state] - before->times.seconds[state];
        if (phase != HEALTHY) figure->recover_s = recovery(demo, phase, &figures[HEALTHY].guarded.of);
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
    if (demo->options.plot &&
        !plot_write(&demo->loads[BARE], &demo->loads[GUARDED], demo->options.seconds, demo->options.plot))
        return EXIT_BROKEN;
    if (demo->options.json && !report_json(figures, demo->options.json)) return EXIT_BROKEN;
    return report_verdict(figures) ? EXIT_GOOD : EXIT_WORSE;
}

static bool start_loads(struct demo *demo)
{
    static call_function *const calls[SIDES] = { bare_call, guarded_call };
    demo->start_ns = monotonic_ns() + 100000000; /* when all the threads are there */
    for (int side = 0; side < SIDES; side++) {
        struct load *load = &demo->loads[side];
        *load = (struct load) { .call = calls[side],
            .argument = &demo->guard,
            .schedule = &demo->schedule,
            .ports = &demo->origins[side].port,
            .start_ns = demo->start_ns,
            .workers = WORKERS };
        if (!load_start(load)) {
            fprintf(stderr, "weir-demo: cannot start the load\n");
            for (int started = 0; started < side; started++) {
                load_stop(&demo->loads[started]);
                load_join(&demo->loads[started]);
                load_destroy(&demo->loads[started]);
            }
            return false;
        }
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
    static struct witness witness; /* too much for a frame */
    enum exit_status status = EXIT_BROKEN;
    int opened = 0;
    while (opened < SIDES && origin_open(&demo->origins[opened], demo->options.origin, demo->options.seed))
        opened++;
    if (opened == SIDES && witness_begin(&witness, demo->options.origin)) {
        status = run_loads(demo);
        struct testimony testimony = witness_end(&witness);
        if (status == EXIT_WORSE) testimony_excuses(stdout, testimony);
    }
    while (opened-- > 0) origin_close(&demo->origins[opened]);
    return status;
}

enum exit_status phases_run(const struct options *options)
{
    static struct demo room; /* too much for a frame */
    struct demo *demo = &room;
    demo->options = *options;
    enum exit_status status = EXIT_BROKEN;
    if (!schedule_create(&demo->schedule, options->seconds, (unsigned[]) { CALLS_PER_S }, 1, options->seed)) {
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
