/* The three-state controller: breaker, light function and last good answer as one.
 *
 *     state      entered when                                          answer
 *     limit      the context is over, at entry or during the call      EXPIRED or CANCELED, at once
 *     degrade    the breaker is open: 60 % of the last 10 s' calls      the light function's, marked
 *                (10 at least) failed, or, below 10 calls, N in a row   DEGRADED; probes apart
 *     fall back  the light function failed, is missing, or the breaker  the last good answer within its
 *                is forced open; until the next probe is due            age, else the default, DEGRADED
 */
#ifndef WEIR_CONTROLLER_H
#define WEIR_CONTROLLER_H

#include <weir/fallback.h>
#include <weir/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_controller_config {
    uint32_t size;
    const char *name;      /* copied; default: "controller" */
    uint32_t percent;      /* plain failure rate that trips; default: 60 */
    uint64_t window_ns;    /* over this long; default: 10 s */
    uint32_t calls_min;    /* and this many calls; default: 10 */
    uint32_t consecutive;  /* in a row, while the window holds fewer; default: 5; WEIR_OFF32: off */
    uint64_t open_ns;      /* until a probe is let through; default: 5 s */
    uint32_t probes;       /* successes that close it; default: 1 */
    weir_operation *light; /* the light function; default: none */
    uint32_t result_size;  /* of the answer, 0..WEIR_RESULT_MAX */
    const void *value;     /* the default answer, result_size bytes, copied; default: zeroes */
    uint64_t age_max_ns;   /* of the last good answer; default: 60 s */
    enum weir_timing timing;
    const struct weir_clock *clock;
    const struct weir_sink *sink;
};
WEIR_CONFIG_INIT(weir_controller_config)

/* A pipeline: fallback (last good), fallback (light), breaker at the positions below. Yours to destroy.
 * config may be NULL. INVALID, SIZE, NOMEM. */
enum { WEIR_CONTROLLER_LAST_GOOD, WEIR_CONTROLLER_LIGHT, WEIR_CONTROLLER_BREAKER };
WEIR_API WEIR_MUST_USE enum weir_error weir_controller_create(
    const struct weir_controller_config *config, struct weir_pipeline **controller);

#ifdef __cplusplus
}
#endif
#endif
