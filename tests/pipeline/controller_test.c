/* The table as a whole, the thresholds in any order and the storm of cancels are in tests/lessons/row10.c. */
#include "pipeline/scripted.h"
#include "support/test.h"

#include <string.h>

enum { FULL = 3, LIGHT = 2, GOOD = 1 }; /* values: the default, the light function's, the operation's */

static uint32_t light_ran;
static struct weir_outcome light_outcome;
static struct weir_source *light_cancels;

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    uint32_t value = LIGHT;
    light_ran++;
    if (attempt->value != NULL) memcpy(attempt->value, &value, sizeof value);
    if (light_cancels != NULL) weir_source_cancel(light_cancels, 1);
    return light_outcome;
}

static struct weir_pipeline *made(struct weir_controller_config config)
{
    static const uint32_t standard = FULL;
    struct weir_pipeline *controller;
    config.size = sizeof config;
    config.clock = &scripted_clock;
    if (config.result_size != 0) config.value = &standard;
    light_ran = 0;
    light_outcome = outcome_of(WEIR_OK, 0);
    light_cancels = NULL;
    CHECK_EQ(weir_controller_create(&config, &controller), WEIR_E_NONE);
    return controller;
}

/* One call: its outcome, what it answered, and whether the operation ran. */
static uint32_t answer;
static bool ran;

static struct weir_outcome called(
    struct weir_pipeline *controller, enum weir_status status, const struct weir_context *context)
{
    struct script script = { .outcome = outcome_of(status, 7), .value = GOOD };
    answer = 0;
    struct weir_outcome outcome = weir_run(
        controller, WEIR_CONFIG(weir_call_options, .value = &answer, .context = context), scripted, &script);
    ran = script.ran != 0;
    return outcome;
}

static struct weir_policy *breaker_of(struct weir_pipeline *controller)
{
    return weir_pipeline_policy(controller, WEIR_CONTROLLER_BREAKER);
}

static void trip(struct weir_pipeline *controller)
{
    scripted_calls(controller, 20, WEIR_FAILED, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_OPEN);
    light_ran = 0;
}

static void degraded_by(struct weir_outcome outcome, uint32_t position, uint32_t value)
{
    CHECK_EQ(outcome.status, WEIR_OK);
    CHECK_EQ(outcome.flags, WEIR_DEGRADED);
    CHECK_EQ(outcome.by, position + 1);
    CHECK_EQ(answer, value);
    CHECK(!ran);
}

TEST(controller, parts_and_names)
{
    static const char *const kinds[] = { "fallback", "fallback", "breaker" };
    static const char *const names[] = { "c.last_good", "c.light", "c.breaker" };
    struct weir_pipeline *controller = made((struct weir_controller_config) { .name = "c" });
    CHECK_STR(weir_pipeline_name(controller), "c");
    CHECK_EQ(weir_pipeline_count(controller), 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_STR(weir_policy_kind(weir_pipeline_policy(controller, i)), kinds[i]);
        CHECK_STR(weir_policy_name(weir_pipeline_policy(controller, i)), names[i]);
    }
    weir_pipeline_destroy(controller);
    CHECK_EQ(weir_controller_create(NULL, &controller), WEIR_E_NONE);
    CHECK_STR(weir_pipeline_name(controller), "controller");
    weir_pipeline_destroy(controller);
}

/* Neither degraded nor fallen back: the failure is the operation's own, whatever it is. */
TEST(controller, failures_below_the_threshold_are_the_callers)
{
    static const enum weir_status statuses[] = { WEIR_FAILED, WEIR_OVERLOADED, WEIR_IGNORED, WEIR_EXPIRED,
        WEIR_CANCELED };
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        scripted_calls(controller, 10, WEIR_OK, 0);
        struct weir_outcome outcome = called(controller, statuses[i], NULL);
        CHECK_EQ(outcome.status, statuses[i]);
        CHECK_EQ(outcome.flags, 0);
        CHECK_EQ(outcome.by, 0);
        CHECK_EQ(outcome.code, 7);
        CHECK_EQ(answer, 0); /* only an OK call's result is copied */
    }
    CHECK_EQ(light_ran, 0);
    weir_pipeline_destroy(controller);
}

TEST(controller, trips_at_its_percentage_and_not_before)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .percent = 30 });
    scripted_calls(controller, 70, WEIR_OK, WEIR_MS);
    scripted_calls(controller, 29, WEIR_FAILED, WEIR_MS); /* 29 of 99 */
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_CLOSED);
    scripted_calls(controller, 1, WEIR_FAILED, WEIR_MS); /* 30 of 100 */
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(controller);
}

TEST(controller, failures_in_a_row_while_the_window_holds_few)
{
    struct weir_pipeline *controller = made((struct weir_controller_config) { .light = light });
    scripted_calls(controller, 3, WEIR_OK, WEIR_MS);
    scripted_calls(controller, 4, WEIR_FAILED, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_CLOSED);
    scripted_calls(controller, 1, WEIR_FAILED, WEIR_MS); /* 5 in a row, 8 calls */
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(controller);
    controller = made((struct weir_controller_config) { .light = light, .consecutive = WEIR_OFF32 });
    scripted_calls(controller, 9, WEIR_FAILED, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_CLOSED);
    scripted_calls(controller, 1, WEIR_FAILED, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(controller);
}

/* The sixth failure of ten may come before the fourth success: the tenth call makes the rate count. */
TEST(controller, trips_on_a_success_that_fills_the_minimum)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .consecutive = WEIR_OFF32 });
    scripted_calls(controller, 6, WEIR_FAILED, WEIR_MS);
    scripted_calls(controller, 3, WEIR_OK, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_CLOSED);
    scripted_calls(controller, 1, WEIR_OK, WEIR_MS);
    CHECK_EQ(weir_breaker_stats(breaker_of(controller), scripted_ns).state, WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(controller);
}

TEST(controller, the_light_function_answers_while_open)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    trip(controller);
    for (uint32_t i = 1; i <= 10; i++) {
        struct weir_outcome outcome = called(controller, WEIR_OK, NULL);
        degraded_by(outcome, WEIR_CONTROLLER_LIGHT, LIGHT);
        CHECK_EQ(outcome.reason, WEIR_REASON_BREAKER_OPEN);
        CHECK_EQ(light_ran, i);
    }
    weir_pipeline_destroy(controller);
}

/* It failed once: no user code until the breaker's next probe is due, then both have their turn again. */
TEST(controller, the_light_function_rests_until_the_probe_is_due)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    trip(controller);
    uint64_t due_ns = weir_breaker_stats(breaker_of(controller), scripted_ns).until_ns;
    light_outcome = outcome_of(WEIR_FAILED, 9);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, FULL);
    CHECK_EQ(light_ran, 1);
    light_outcome = outcome_of(WEIR_OK, 0);
    while (scripted_ns + 100 * WEIR_MS < due_ns) {
        scripted_ns += 100 * WEIR_MS;
        degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, FULL);
    }
    CHECK_EQ(light_ran, 1);
    scripted_ns = due_ns;
    struct weir_outcome outcome = called(controller, WEIR_FAILED, NULL);
    CHECK(ran); /* the probe */
    CHECK_EQ(outcome.status, WEIR_FAILED);
    CHECK_EQ(outcome.flags, 0);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LIGHT, LIGHT);
    weir_pipeline_destroy(controller);
}

/* While the probe is out the others are degraded, not failed. */
TEST(controller, probes_apart)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    _Alignas(64) char storage[sizeof(struct weir_call) + 64];
    struct weir_call *probe = (struct weir_call *)(void *)storage;
    CHECK(weir_pipeline_call_size(controller) <= sizeof storage);
    trip(controller);
    scripted_ns = weir_breaker_stats(breaker_of(controller), scripted_ns).until_ns;
    struct weir_step step = weir_call_begin(probe, controller, NULL, scripted_ns);
    CHECK_EQ(step.action, WEIR_RUN);
    CHECK_EQ(step.what, WEIR_OPERATION);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LIGHT, LIGHT);
    step = weir_call_settle(probe, step.attempt, outcome_of(WEIR_OK, 0), scripted_ns);
    CHECK_EQ(step.action, WEIR_DONE);
    CHECK_EQ(called(controller, WEIR_OK, NULL).flags, 0); /* closed: no ramp */
    CHECK(ran);
    weir_pipeline_destroy(controller);
}

/* Each open time is the same: no doubling, no jitter. */
TEST(controller, a_probe_every_open_time)
{
    struct weir_pipeline *controller = made((struct weir_controller_config) { .open_ns = 2 * WEIR_S });
    trip(controller);
    for (int i = 0; i < 6; i++) {
        uint64_t until_ns = weir_breaker_stats(breaker_of(controller), scripted_ns).until_ns;
        CHECK(until_ns - scripted_ns <= 2 * WEIR_S + WEIR_MS);
        scripted_ns = until_ns - WEIR_MS;
        called(controller, WEIR_FAILED, NULL);
        CHECK(!ran);
        scripted_ns = until_ns;
        called(controller, WEIR_FAILED, NULL);
        CHECK(ran);
    }
    weir_pipeline_destroy(controller);
}

TEST(controller, without_a_light_function_it_falls_back)
{
    struct weir_pipeline *controller = made((struct weir_controller_config) { .result_size = sizeof answer });
    called(controller, WEIR_OK, NULL);
    trip(controller);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, GOOD);
    weir_pipeline_destroy(controller);
}

TEST(controller, without_a_result_the_answer_is_the_outcome)
{
    struct weir_pipeline *controller = made((struct weir_controller_config) { .calls_min = 10 });
    trip(controller);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, 0);
    weir_pipeline_destroy(controller);
}

TEST(controller, the_last_good_answer_has_an_age)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .result_size = sizeof answer, .age_max_ns = 3 * WEIR_S });
    called(controller, WEIR_OK, NULL);
    uint64_t good_ns = scripted_ns;
    trip(controller);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, GOOD);
    scripted_ns = good_ns + 3 * WEIR_S;
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, GOOD);
    scripted_ns++;
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, FULL);
    weir_pipeline_destroy(controller);
}

TEST(controller, the_default_is_zeroes)
{
    struct weir_pipeline *controller;
    CHECK_EQ(weir_controller_create(
                 WEIR_CONFIG(weir_controller_config, .clock = &scripted_clock, .result_size = sizeof answer),
                 &controller),
        WEIR_E_NONE);
    trip(controller);
    degraded_by(called(controller, WEIR_OK, NULL), WEIR_CONTROLLER_LAST_GOOD, 0);
    weir_pipeline_destroy(controller);
}

TEST(controller, forced_open_runs_no_user_code)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    called(controller, WEIR_OK, NULL);
    weir_policy_set_mode(breaker_of(controller), WEIR_MODE_FORCED_OPEN);
    for (int i = 0; i < 5; i++) {
        struct weir_outcome outcome = called(controller, WEIR_OK, NULL);
        degraded_by(outcome, WEIR_CONTROLLER_LAST_GOOD, GOOD);
        CHECK_EQ(outcome.reason, WEIR_REASON_FORCED);
        scripted_ns += 10 * WEIR_S;
    }
    CHECK_EQ(light_ran, 0);
    weir_policy_set_mode(breaker_of(controller), WEIR_MODE_ON);
    CHECK_EQ(called(controller, WEIR_OK, NULL).flags, 0);
    CHECK(ran);
    weir_pipeline_destroy(controller);
}

/* ---- limit ---- */

TEST(controller, an_ended_context_is_told_at_once_and_runs_nothing)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    struct weir_source *source;
    struct weir_context expired, canceled;
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    weir_context_child(&expired, NULL, scripted_ns, NULL);
    weir_context_child(&canceled, NULL, WEIR_NEVER, source);
    weir_source_cancel(source, 1);
    for (int open = 0; open < 2; open++) {
        CHECK_EQ(called(controller, WEIR_OK, &expired).status, WEIR_EXPIRED);
        CHECK(!ran);
        CHECK_EQ(called(controller, WEIR_OK, &canceled).status, WEIR_CANCELED);
        CHECK(!ran);
        CHECK_EQ(light_ran, 0);
        if (open == 0) trip(controller);
    }
    weir_source_release(source);
    weir_pipeline_destroy(controller);
}

TEST(controller, a_context_that_ends_during_the_light_function)
{
    struct weir_pipeline *controller =
        made((struct weir_controller_config) { .light = light, .result_size = sizeof answer });
    struct weir_context canceled;
    trip(controller);
    CHECK_EQ(weir_source_create(&light_cancels), WEIR_E_NONE);
    weir_context_child(&canceled, NULL, WEIR_NEVER, light_cancels);
    light_outcome = outcome_of(WEIR_FAILED, 9);
    struct weir_outcome outcome = called(controller, WEIR_OK, &canceled);
    CHECK_EQ(outcome.status, WEIR_CANCELED);
    CHECK_EQ(outcome.flags, 0);
    CHECK_EQ(light_ran, 1);
    weir_source_release(light_cancels);
    weir_pipeline_destroy(controller);
}

/* ---- create ---- */

static void refused(struct weir_controller_config config, const char *field)
{
    struct weir_pipeline *controller = NULL;
    config.size = sizeof config;
    CHECK_EQ(weir_controller_create(&config, &controller), WEIR_E_INVALID);
    CHECK(controller == NULL);
    CHECK(strstr(weir_error_text(), field) != NULL);
    CHECK(strstr(weir_error_text(), "expected") != NULL);
}

TEST(controller, refuses_and_names_the_field)
{
    const uint64_t day = 24 * 3600 * WEIR_S;
    refused((struct weir_controller_config) { .name = "" }, "weir_controller_config.name");
    refused((struct weir_controller_config) { .percent = 101 }, "weir_controller_config.percent is 101");
    refused((struct weir_controller_config) { .window_ns = WEIR_MS }, "weir_controller_config.window_ns");
    refused((struct weir_controller_config) { .calls_min = 1u << 21 }, "weir_controller_config.calls_min");
    refused((struct weir_controller_config) { .consecutive = 256 }, "weir_controller_config.consecutive");
    refused((struct weir_controller_config) { .open_ns = day }, "weir_controller_config.open_ns");
    refused((struct weir_controller_config) { .probes = 256 }, "weir_controller_config.probes");
    refused((struct weir_controller_config) { .age_max_ns = 1 }, "weir_controller_config.age_max_ns");
    refused((struct weir_controller_config) { .result_size = 4097 }, "weir_controller_config.result_size");
    refused((struct weir_controller_config) { .value = "x" }, "weir_controller_config.result_size is 0");
    refused((struct weir_controller_config) { .timing = (enum weir_timing)9 }, "timing");
}
