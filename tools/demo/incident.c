#include "incident.h"

#include "control.h"
#include "gauge.h"
#include "pace.h"

#include <sys/resource.h>

#define START_NS UINT64_C(300000000) /* when all the threads are there */

struct side {
    const struct incident *incident;
    struct weir_pipeline *pipelines[KINDS]; /* of the guarded side */
    struct gauge held[KINDS], waiting[KINDS];
    struct origin origins[KINDS];
    uint16_t ports[KINDS];
    struct load load;
};

struct replay {
    const struct incident *incident;
    double seconds;
    struct schedule schedule;
    struct side sides[INCIDENT_SIDES];
};

/* ---- the calls ---- */

static enum answered bare_call(struct client *client, struct arrival arrival, void *argument)
{
    struct side *side = argument;
    gauge_enter(&side->held[arrival.kind]);
    gauge_enter(&side->waiting[arrival.kind]);
    struct answer answer = client_get(client, INCIDENT_TIMEOUT_MS);
    gauge_leave(&side->waiting[arrival.kind]);
    gauge_leave(&side->held[arrival.kind]);
    return answer.error == CURLE_OK && answer.status == 200 ? FRESH : IN_VAIN;
}

static enum answered guarded_call(struct client *client, struct arrival arrival, void *argument)
{
    struct side *side = argument;
    uint64_t deadline_ns = side->incident->deadline_ns;
    struct weir_context context; /* the deadline counts from the arrival, not from this line */
    weir_context_child(
        &context, NULL, deadline_ns == WEIR_NEVER ? WEIR_NEVER : arrival.at_ns + deadline_ns, NULL);
    gauge_enter(&side->held[arrival.kind]);
    struct weir_outcome outcome = weir_curl_perform(side->pipelines[arrival.kind],
        WEIR_CONFIG(weir_curl_options, .body = &client->body,
            .call = WEIR_CONFIG(weir_call_options, .idempotent = true, .context = &context)),
        client->easy);
    gauge_leave(&side->held[arrival.kind]);
    if (outcome.status != WEIR_OK) return IN_VAIN;
    if (outcome.flags & WEIR_DEGRADED) return MARKED;
    return outcome.code == 200 ? FRESH : IN_VAIN;
}

/* ---- the guarded side's pipelines ---- */

/* The same pipeline with one policy more, innermost. */
static enum weir_error add_innermost(struct weir_pipeline **pipeline, struct weir_policy *policy)
{
    struct weir_policy *order[WEIR_POLICIES_MAX];
    struct weir_pipeline *made = NULL;
    size_t count = weir_pipeline_count(*pipeline);
    for (size_t i = 0; i < count; i++) order[i] = weir_pipeline_policy(*pipeline, i);
    order[count] = policy;
    enum weir_error error = weir_pipeline_create(
        WEIR_CONFIG(weir_pipeline_config, .name = weir_pipeline_name(*pipeline)), order, count + 1, &made);
    weir_policy_release(policy);
    if (error) return error;
    weir_pipeline_destroy(*pipeline);
    *pipeline = made;
    return error;
}

/* What the incident wants, and innermost a gauge. */
static enum weir_error open_pipelines(struct side *side)
{
    enum weir_error error = side->incident->open(side->pipelines);
    for (int kind = 0; kind < KINDS && !error; kind++) {
        struct weir_policy *gauge;
        error = gauge_policy(&side->waiting[kind], &gauge);
        if (!error) error = add_innermost(&side->pipelines[kind], gauge);
    }
    return error;
}

/* ---- the run ---- */

static double ill_from(const struct replay *replay)
{
    return replay->seconds * 0.2;
}

static double ill_to(const struct replay *replay)
{
    return replay->seconds * 0.7;
}

static bool become(struct replay *replay, const char *mode)
{
    for (int side = 0; side < INCIDENT_SIDES; side++)
        if (!origin_become(&replay->sides[side].origins[ILL], mode)) {
            fprintf(stderr, "weir-demo: the origin could not be made %s\n", mode);
            return false;
        }
    return true;
}

static enum incident_end drive(struct replay *replay, uint64_t start_ns)
{
    if (!pace_until(start_ns + (uint64_t)(ill_from(replay) * 1e9))) return INCIDENT_INTERRUPTED;
    if (!become(replay, replay->incident->illness)) return INCIDENT_BROKEN;
    if (!pace_until(start_ns + (uint64_t)(ill_to(replay) * 1e9))) return INCIDENT_INTERRUPTED;
    if (!become(replay, "healthy")) return INCIDENT_BROKEN;
    if (!pace_until(start_ns + (uint64_t)(replay->seconds * 1e9))) return INCIDENT_INTERRUPTED;
    return INCIDENT_MEASURED;
}

static bool measure(const struct replay *replay, struct incident_figures *figures)
{
    *figures = (struct incident_figures) { 0 };
    for (int i = 0; i < INCIDENT_SIDES; i++) {
        const struct side *side = &replay->sides[i];
        figures->held[i] = atomic_load(&side->held[ILL].most);
        figures->waiting[i] = atomic_load(&side->waiting[ILL].most);
        for (unsigned kind = 0; kind < KINDS; kind++) {
            struct span span = { ill_from(replay), ill_to(replay), kind, replay->incident->deadline_ns };
            if (!measure_calls(&side->load, span, &figures->of[i][kind])) return false;
        }
    }
    struct weir_pipeline_stats stats = weir_pipeline_stats(replay->sides[INCIDENT_GUARDED].pipelines[ILL]);
    for (int reason = 0; reason < WEIR_REASONS; reason++) figures->refused[reason] = stats.refused[reason];
    return true;
}

static bool start_loads(struct replay *replay, uint64_t start_ns)
{
    static call_function *const calls[INCIDENT_SIDES] = { bare_call, guarded_call };
    for (int i = 0; i < INCIDENT_SIDES; i++) {
        struct side *side = &replay->sides[i];
        side->load = (struct load) { .call = calls[i],
            .argument = side,
            .schedule = &replay->schedule,
            .ports = side->ports,
            .start_ns = start_ns,
            .workers = replay->incident->threads };
        if (load_start(&side->load)) continue;
        fprintf(stderr, "weir-demo: cannot start the load\n");
        while (i-- > 0) {
            load_stop(&replay->sides[i].load);
            load_join(&replay->sides[i].load);
            load_destroy(&replay->sides[i].load);
        }
        return false;
    }
    return true;
}

static enum incident_end run_loads(struct replay *replay, struct incident_figures *figures)
{
    uint64_t start_ns = monotonic_ns() + START_NS;
    if (!start_loads(replay, start_ns)) return INCIDENT_BROKEN;
    enum incident_end end = drive(replay, start_ns);
    for (int i = 0; i < INCIDENT_SIDES && end != INCIDENT_MEASURED; i++) {
        load_stop(&replay->sides[i].load);
        /* calls that hang end with their origin */
        for (int kind = 0; kind < KINDS; kind++) origin_stop(&replay->sides[i].origins[kind]);
    }
    for (int i = 0; i < INCIDENT_SIDES; i++) load_join(&replay->sides[i].load);
    if (end == INCIDENT_MEASURED && !measure(replay, figures)) end = INCIDENT_BROKEN;
    for (int i = 0; i < INCIDENT_SIDES; i++) load_destroy(&replay->sides[i].load);
    return end;
}

static enum incident_end run_origins(
    struct replay *replay, const char *program, uint64_t seed, struct incident_figures *figures)
{
    static struct witness witness; /* too much for a frame */
    enum incident_end end = INCIDENT_BROKEN;
    int opened = 0;
    for (; opened < INCIDENT_SIDES * KINDS; opened++) {
        struct side *side = &replay->sides[opened / KINDS];
        struct origin *origin = &side->origins[opened % KINDS];
        if (!origin_open(origin, program, seed)) break;
        side->ports[opened % KINDS] = origin->port;
    }
    if (opened == INCIDENT_SIDES * KINDS && witness_begin(&witness, program)) {
        end = run_loads(replay, figures);
        figures->testimony = witness_end(&witness);
    }
    while (opened-- > 0) origin_close(&replay->sides[opened / KINDS].origins[opened % KINDS]);
    return end;
}

static enum incident_end run_guarded(
    struct replay *replay, const char *program, uint64_t seed, struct incident_figures *figures)
{
    struct side *side = &replay->sides[INCIDENT_GUARDED];
    enum incident_end end = INCIDENT_BROKEN;
    enum weir_error error = open_pipelines(side);
    if (error) fprintf(stderr, "weir-demo: %s: %s\n", weir_error_name(error), weir_error_text());
    else end = run_origins(replay, program, seed, figures);
    for (int kind = 0; kind < KINDS; kind++) weir_pipeline_destroy(side->pipelines[kind]);
    return end;
}

/* Each thread of a side may keep a connection to either dependency, and two descriptors of libcurl's. */
static bool allow_files(unsigned threads)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)threads * INCIDENT_SIDES * (KINDS + 2) + 100;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return false;
    if (limit.rlim_cur >= wanted) return true;
    limit.rlim_cur = wanted;
    if (limit.rlim_max >= wanted && setrlimit(RLIMIT_NOFILE, &limit) == 0) return true;
    fprintf(stderr, "weir-demo: it needs %llu open files, and the limit is %llu (ulimit -n)\n",
        (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return false;
}

enum incident_end incident_measure(const struct incident *incident, const char *origin, double seconds,
    uint64_t seed, struct incident_figures *figures)
{
    struct replay replay = { .incident = incident, .seconds = seconds };
    if (!allow_files(incident->threads)) return INCIDENT_BROKEN;
    if (!schedule_create(&replay.schedule, seconds, incident->per_s, KINDS, seed)) {
        fprintf(stderr, "weir-demo: out of memory\n");
        return INCIDENT_BROKEN;
    }
    for (int i = 0; i < INCIDENT_SIDES; i++) replay.sides[i].incident = incident;
    enum incident_end end = run_guarded(&replay, origin, seed, figures);
    schedule_destroy(&replay.schedule);
    return end;
}

/* ---- for the tables ---- */

double percent(size_t part, size_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

bool goal(FILE *file, const char *what, double value, bool met, const char *expected)
{
    if (!met) fprintf(file, "FAILED %s: %.2f, expected %s\n", what, value, expected);
    return met;
}
