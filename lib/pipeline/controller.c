/* The three-state controller: fallback (last good) > fallback (light function) > breaker.
 *
 *     what ends the operation          answer                                   .by
 *     OK                               its own                                  0
 *     FAILED below the threshold       its own: nothing is degraded yet         0
 *     the context is over              EXPIRED or CANCELED (no fallback acts)   0
 *     the breaker refuses              the light function's, DEGRADED           LIGHT + 1
 *       and light fails or rests       the last good or default, DEGRADED       LAST_GOOD + 1
 *       or an operator forced it       the same, light is passed by             LAST_GOOD + 1
 *
 * Both fallbacks act on REJECTED only; a light function that fails hands the refusal outwards as it was. It then
 * rests until the instant that the breaker named: when its next probe is due. (An operation that itself answers
 * REJECTED, passing on a refusal further in, is degraded like the breaker's own.) */
#include "pipeline/preset.h"

#include <weir/breaker.h>
#include <weir/controller.h>
#include <weir/retry.h> /* WEIR_ON */

static const char type[] = "weir_controller_config";

static enum weir_error validate(struct weir_controller_config *c)
{
    const uint64_t hour = 3600 * WEIR_S;
    enum weir_error error = error_range32(type, "percent", &c->percent, 60, 1, 100);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "window_ns", &c->window_ns, 10 * WEIR_S, 16 * WEIR_MS, hour);
    }
    if (error == WEIR_E_NONE) error = error_range32(type, "calls_min", &c->calls_min, 10, 1, 1u << 20);
    if (error == WEIR_E_NONE && c->consecutive != WEIR_OFF32) {
        error = error_range32(type, "consecutive", &c->consecutive, 5, 1, 255);
    }
    if (error == WEIR_E_NONE) error = error_range(type, "open_ns", &c->open_ns, 5 * WEIR_S, WEIR_MS, hour);
    if (error == WEIR_E_NONE) error = error_range32(type, "probes", &c->probes, 1, 1, 255);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "age_max_ns", &c->age_max_ns, 60 * WEIR_S, WEIR_US, hour * 24 * 365);
    }
    if (error == WEIR_E_NONE) error = error_timing(type, c->timing);
    if (error == WEIR_E_NONE && c->result_size != 0) {
        error = error_range32(type, "result_size", &c->result_size, 0, 1, WEIR_RESULT_MAX);
    }
    if (error == WEIR_E_NONE && c->value != NULL && c->result_size == 0) {
        error = error_set(WEIR_E_INVALID, "%s.result_size is 0, expected the size of value", type);
    }
    return error;
}

/* Stands for a light function that is missing: the last good answer is next. */
static struct weir_outcome no_light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_IGNORED };
}

enum { PARTS = WEIR_CONTROLLER_BREAKER + 1 };

/* Without a result there is nothing to remember: a fallback with nothing to answer answers a bare OK. */
static enum weir_error make_fallbacks(
    const struct weir_controller_config *c, const char *name, struct weir_policy *part[PARTS])
{
    static const unsigned char zeroes[WEIR_RESULT_MAX];
    const void *value = c->value != NULL ? c->value : zeroes;
    enum weir_error error = weir_fallback_create(
        WEIR_CONFIG(weir_fallback_config, .name = part_name(name, "last_good").text,
            .value = c->result_size == 0 ? NULL : value, .value_size = c->result_size,
            .last_good = c->result_size != 0, .age_max_ns = c->age_max_ns, .on = WEIR_ON(WEIR_REJECTED)),
        &part[WEIR_CONTROLLER_LAST_GOOD]);
    if (error != WEIR_E_NONE) return error;
    return weir_fallback_create(
        WEIR_CONFIG(weir_fallback_config, .name = part_name(name, "light").text,
            .function = c->light != NULL ? c->light : no_light, .on = WEIR_ON(WEIR_REJECTED),
            .not_when_forced = true, .rest_after_failure = true),
        &part[WEIR_CONTROLLER_LIGHT]);
}

/* The table knows no doubling, no jitter and no ramp: open for open_ns, then a probe. */
static enum weir_error make_breaker(
    const struct weir_controller_config *c, const char *name, struct weir_policy *part[PARTS])
{
    return weir_breaker_create(
        WEIR_CONFIG(weir_breaker_config, .name = part_name(name, "breaker").text, .window_ns = c->window_ns,
            .calls_min = c->calls_min, .z_tenths = WEIR_OFF32, .plain_percent = c->percent,
            .consecutive = c->consecutive, .jitter_percent = WEIR_OFF32, .open_ns = c->open_ns,
            .open_max_ns = c->open_ns, .probes = c->probes, .ramp_ns = WEIR_OFF),
        &part[WEIR_CONTROLLER_BREAKER]);
}

enum weir_error weir_controller_create(
    const struct weir_controller_config *given, struct weir_pipeline **controller)
{
    WEIR_REQUIRE(controller != NULL, "weir_controller_create", "controller is NULL");
    struct weir_controller_config c;
    struct weir_policy *part[PARTS] = { NULL };
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = error_name(type, c.name, "controller", name);
    if (error == WEIR_E_NONE) error = validate(&c);
    if (error != WEIR_E_NONE) return error;
    error = make_fallbacks(&c, name, part);
    if (error == WEIR_E_NONE) error = make_breaker(&c, name, part);
    return preset_finish(error,
        WEIR_CONFIG(weir_pipeline_config, .name = name, .timing = c.timing, .clock = c.clock, .sink = c.sink,
            .result_size = c.result_size),
        part, PARTS, controller);
}
