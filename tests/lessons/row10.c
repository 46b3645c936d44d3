/* Row 10: breaker, limiter and fallback as one controller of three states. */
#include "lessons/claim.h"
#include "pipeline/scripted.h"

#include "base/arithmetic.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- thresholds, whatever the order ---- */

#define SHUFFLES 2000

static void must(enum weir_error error)
{
    if (error == WEIR_E_NONE) return;
    printf("%s", weir_error_text());
    exit(1);
}

static bool is_open(struct weir_pipeline *controller)
{
    struct weir_policy *breaker = weir_pipeline_policy(controller, WEIR_CONTROLLER_BREAKER);
    return weir_breaker_stats(breaker, scripted_ns).state == WEIR_BREAKER_OPEN;
}

static void shuffle(bool fails[100], uint32_t failures, uint64_t *random)
{
    for (uint32_t i = 0; i < 100; i++) fails[i] = i < failures;
    for (uint32_t i = 99; i > 0; i--) {
        uint64_t j = random_up_to(random, i);
        bool swap = fails[i];
        fails[i] = fails[j];
        fails[j] = swap;
    }
}

/* How many of the orders tripped it. */
static uint32_t tripped(uint32_t failures, uint64_t seed)
{
    uint32_t count = 0;
    uint64_t random = seed;
    for (uint32_t round = 0; round < SHUFFLES; round++) {
        struct weir_pipeline *controller;
        must(weir_controller_create(WEIR_CONFIG(weir_controller_config, .calls_min = 100,
                                        .consecutive = WEIR_OFF32, .clock = &scripted_clock),
            &controller));
        bool fails[100];
        shuffle(fails, failures, &random);
        for (uint32_t i = 0; i < 100; i++) {
            scripted_calls(controller, 1, fails[i] ? WEIR_FAILED : WEIR_OK, 50 * WEIR_MS);
        }
        if (is_open(controller)) count++;
        weir_pipeline_destroy(controller);
        scripted_ns += 60 * WEIR_S;
    }
    printf("%" PRIu32 " of %d orders of %" PRIu32 " failures in 100 tripped it (seed %" PRIu64 ")", count,
        SHUFFLES, failures, seed);
    return count;
}

static bool below(void)
{
    return tripped(59, 1059) == 0;
}

static bool at(void)
{
    return tripped(60, 1060) == SHUFFLES;
}

/* ---- a storm of cancels ---- */

/* Half of them canceled while they run, half before they begin; each operation fails on its way out. */
static bool cancels(void)
{
    struct weir_pipeline *controller;
    must(weir_controller_create(WEIR_CONFIG(weir_controller_config, .clock = &scripted_clock), &controller));
    uint32_t canceled = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        struct weir_source *source;
        struct weir_context context;
        must(weir_source_create(&source));
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        if (i % 2 == 0) weir_source_cancel(source, 1);
        struct script script = {
            .outcome = outcome_of(WEIR_FAILED, 5), .cancel = source, .takes_ns = WEIR_MS / 4
        };
        struct weir_outcome outcome =
            weir_run(controller, WEIR_CONFIG(weir_call_options, .context = &context), scripted, &script);
        if (outcome.status == WEIR_CANCELED) canceled++;
        weir_source_release(source);
    }
    struct weir_policy *breaker = weir_pipeline_policy(controller, WEIR_CONTROLLER_BREAKER);
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, scripted_ns);
    printf("%" PRIu32 " of 10000 calls CANCELED, %" PRIu64 " counted as failures, opened %" PRIu64 " times",
        canceled, stats.counted_failed, stats.opened);
    weir_pipeline_destroy(controller);
    return canceled == 10000 && stats.counted_failed == 0 && stats.opened == 0;
}

/* ---- the state sequence under a scripted outage ---- */

/* What a caller sees, and what ran for it. */
enum answer { OWN, FAILED, LIMIT_EXPIRED, LIMIT_CANCELED, DEGRADED, FELL_BACK, DEFAULT, OTHER };

struct scene {
    const char *what;
    uint64_t later_ns;
    uint32_t calls;
    bool works, light_works; /* the operation, the light function */
    enum { PLAIN, OVER_AT_ENTRY, OVER_DURING, CANCELED_AT_ENTRY, CANCELED_DURING, FORCED } how;
    enum answer answer;
    bool runs, runs_light; /* in each of these calls */
};

static bool light_works;
static uint32_t light_ran;

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    uint32_t value = 2;
    light_ran++;
    if (light_works) memcpy(attempt->value, &value, sizeof value);
    return light_works ? outcome_of(WEIR_OK, 0) : outcome_of(WEIR_FAILED, 9);
}

static const struct scene outage[] = {
    { "well", 0, 8, true, true, PLAIN, OWN, true, false },
    { "out, below 60 %", 0, 12, false, true, PLAIN, FAILED, true, false },
    { "12 of 20 failed: the light function instead", 0, 5, false, true, PLAIN, DEGRADED, false, true },
    { "over at entry", 0, 1, false, true, OVER_AT_ENTRY, LIMIT_EXPIRED, false, false },
    { "canceled at entry", 0, 1, false, true, CANCELED_AT_ENTRY, LIMIT_CANCELED, false, false },
    { "the light function fails", 0, 1, false, false, PLAIN, FELL_BACK, false, true },
    { "no user code until the probe is due", 0, 20, false, true, PLAIN, FELL_BACK, false, false },
    { "the probe fails", 5001 * WEIR_MS, 1, false, true, PLAIN, FAILED, true, false },
    { "degraded again", 0, 5, false, true, PLAIN, DEGRADED, false, true },
    { "forced open: straight to the last good", 0, 5, true, true, FORCED, FELL_BACK, false, false },
    { "no longer forced", 0, 5, false, true, PLAIN, DEGRADED, false, true },
    { "the snapshot is too old", 61 * WEIR_S, 1, true, false, FORCED, DEFAULT, false, false },
    { "a probe runs out of time", 0, 1, true, true, OVER_DURING, LIMIT_EXPIRED, true, false },
    { "a probe is canceled", 0, 1, true, true, CANCELED_DURING, LIMIT_CANCELED, true, false },
    { "a probe succeeds", 0, 1, true, true, PLAIN, OWN, true, false },
    { "well", 0, 50, true, true, PLAIN, OWN, true, false },
};

static enum answer answer_of(struct weir_outcome outcome, uint32_t value)
{
    bool degraded = (outcome.flags & WEIR_DEGRADED) != 0;
    switch ((enum weir_status)outcome.status) {
    case WEIR_OK: break;
    case WEIR_FAILED: return outcome.by == 0 && outcome.code == 7 && !degraded ? FAILED : OTHER;
    case WEIR_EXPIRED: return LIMIT_EXPIRED;
    case WEIR_CANCELED: return LIMIT_CANCELED;
    default: return OTHER;
    }
    if (!degraded) return outcome.by == 0 && value == 1 ? OWN : OTHER;
    if (outcome.by == WEIR_CONTROLLER_LIGHT + 1) return value == 2 ? DEGRADED : OTHER;
    if (outcome.by != WEIR_CONTROLLER_LAST_GOOD + 1) return OTHER;
    return value == 1 ? FELL_BACK : value == 3 ? DEFAULT : OTHER;
}

static bool call_is_so(struct weir_pipeline *controller, const struct scene *scene)
{
    struct weir_source *source;
    struct weir_context context;
    uint32_t value = 0;
    struct script script = { .outcome = scene->works ? outcome_of(WEIR_OK, 0) : outcome_of(WEIR_FAILED, 7),
        .value = scene->works ? 1 : 99,
        .takes_ns = 10 * WEIR_MS };
    must(weir_source_create(&source));
    uint64_t deadline_ns = scene->how == OVER_AT_ENTRY ? scripted_ns : scripted_ns + WEIR_S;
    if (scene->how == OVER_DURING) {
        script.takes_ns = WEIR_S - 1;
        deadline_ns = scripted_ns + 500 * WEIR_MS;
        script.outcome = outcome_of(WEIR_FAILED, 7);
    }
    weir_context_child(&context, NULL, deadline_ns, source);
    if (scene->how == CANCELED_AT_ENTRY) weir_source_cancel(source, 1);
    if (scene->how == CANCELED_DURING) {
        script.cancel = source;
        script.outcome = outcome_of(WEIR_FAILED, 7);
    }
    struct weir_policy *breaker = weir_pipeline_policy(controller, WEIR_CONTROLLER_BREAKER);
    weir_policy_set_mode(breaker, scene->how == FORCED ? WEIR_MODE_FORCED_OPEN : WEIR_MODE_ON);
    light_works = scene->light_works;
    light_ran = 0;
    struct weir_outcome outcome = weir_run(
        controller, WEIR_CONFIG(weir_call_options, .context = &context, .value = &value), scripted, &script);
    weir_source_release(source);
    return answer_of(outcome, value) == scene->answer && (script.ran == 1) == scene->runs &&
        (light_ran == 1) == scene->runs_light && script.ran <= 1 && light_ran <= 1;
}

static bool table(void)
{
    const size_t scenes = sizeof outage / sizeof *outage;
    uint32_t calls = 0, standard = 3;
    struct weir_pipeline *controller;
    must(weir_controller_create(WEIR_CONFIG(weir_controller_config, .light = light, .clock = &scripted_clock,
                                    .result_size = sizeof standard, .value = &standard),
        &controller));
    for (size_t i = 0; i < scenes; i++) {
        scripted_ns += outage[i].later_ns;
        for (uint32_t call = 0; call < outage[i].calls; call++, calls++) {
            if (call_is_so(controller, &outage[i])) continue;
            printf("call %" PRIu32 " of \"%s\" differs from the table", call + 1, outage[i].what);
            weir_pipeline_destroy(controller);
            return false;
        }
    }
    printf("%" PRIu32 " calls in %zu scenes answered as the table says", calls, scenes);
    weir_pipeline_destroy(controller);
    return true;
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "table", table }, { "59", below }, { "60", at },
        { "cancels", cancels } };
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
