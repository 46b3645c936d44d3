/* A clock that stands still until it is told, and operations that answer as they are told. */
#ifndef WEIR_TESTS_SCRIPTED_H
#define WEIR_TESTS_SCRIPTED_H

#include <weir/weir.h>

static uint64_t scripted_ns = 1000 * WEIR_S;

static uint64_t scripted_now(void *argument)
{
    (void)argument;
    return scripted_ns;
}

static void scripted_wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    if (until_ns > scripted_ns) scripted_ns = until_ns;
}

static const struct weir_clock scripted_clock = { scripted_now, scripted_wait, NULL };

struct script {
    struct weir_outcome outcome;
    uint64_t takes_ns;          /* the clock goes on by that much while it runs */
    struct weir_source *cancel; /* canceled while it runs */
    uint32_t value;             /* what it writes, if there is a place for it */
    uint32_t ran;
};

static inline struct weir_outcome scripted(void *argument, const struct weir_attempt *attempt)
{
    struct script *script = argument;
    script->ran++;
    scripted_ns += script->takes_ns;
    if (attempt->value != NULL) __builtin_memcpy(attempt->value, &script->value, sizeof script->value);
    if (script->cancel != NULL) weir_source_cancel(script->cancel, 1);
    return script->outcome;
}

static inline struct weir_outcome outcome_of(enum weir_status status, int32_t code)
{
    return (struct weir_outcome) { .status = (uint8_t)status, .code = code };
}

/* So many calls, each ending with that status, that far apart. */
static inline void scripted_calls(
    struct weir_pipeline *pipeline, uint32_t count, enum weir_status status, uint64_t apart_ns)
{
    struct script script = { .outcome = outcome_of(status, 0) };
    for (uint32_t i = 0; i < count; i++) {
        (void)weir_run(pipeline, NULL, scripted, &script);
        scripted_ns += apart_ns;
    }
}

#endif
