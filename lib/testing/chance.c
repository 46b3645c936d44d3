/* Seeds, draws, and hashes over what happened. */
#include <weir/testing.h>

#include "misuse.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- seeds ---- */

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void find_seed(void)
{
    const char *text = getenv("WEIR_SEED");
    if (text == NULL) {
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
            seed = mix((uint64_t)getpid());
        return;
    }
    bool hexadecimal = strncmp(text, "0x", 2) == 0;
    const char *digits = hexadecimal ? text + 2 : text;
    const char *known = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
    if (digits[0] == '\0' || digits[strspn(digits, known)] != '\0') {
        fprintf(stderr, "weir: weir_test_seed: WEIR_SEED is no number\n");
        abort();
    }
    seed = strtoull(digits, NULL, hexadecimal ? 16 : 10);
}

uint64_t weir_test_seed(void)
{
    pthread_once(&seed_once, find_seed);
    return seed;
}

void weir_test_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nto see it again: WEIR_SEED=0x%016" PRIx64 "\n", weir_test_seed());
    abort();
}

/* By multiplication (Lemire), whose bias is below 2^-32 for ranges below 2^32. */
uint64_t weir_test_draw(uint64_t *state, uint64_t low, uint64_t high)
{
    TEST_REQUIRE(state != NULL, "weir_test_draw", "state is NULL");
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t number = mix(*state), span = high - low + 1;
    if (span == 0) return number;
    return low + (uint64_t)(((unsigned __int128)number * span) >> 64);
}

/* ---- traces ---- */

void weir_test_trace_number(struct weir_test_trace *trace, uint64_t number)
{
    TEST_REQUIRE(trace != NULL, "weir_test_trace_number", "trace is NULL");
    trace->hash = mix(trace->hash * UINT64_C(0x9e3779b97f4a7c15) + number + ++trace->length);
}

/* Field by field: padding says nothing. */
void weir_test_trace_outcome(struct weir_test_trace *trace, struct weir_outcome outcome)
{
    TEST_REQUIRE(trace != NULL, "weir_test_trace_outcome", "trace is NULL");
    uint64_t small = outcome.status | (uint64_t)outcome.reason << 8 | (uint64_t)outcome.by << 16 |
        (uint64_t)outcome.flags << 24 | (uint64_t)(uint32_t)outcome.code << 32;
    weir_test_trace_number(trace, small);
    weir_test_trace_number(trace, outcome.retry_after_ns);
}

void weir_test_trace_step(struct weir_test_trace *trace, struct weir_step step)
{
    TEST_REQUIRE(trace != NULL, "weir_test_trace_step", "trace is NULL");
    uint64_t small = step.action | (uint64_t)step.what << 8 | (uint64_t)step.attempt << 16 |
        (uint64_t)step.pending << 24 | (uint64_t)step.abandon_mask << 32;
    weir_test_trace_number(trace, small);
    weir_test_trace_number(trace, step.at_ns);
}

static void trace_event(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    struct weir_test_trace *trace = argument;
    uint64_t small = event->kind | (uint64_t)event->policy << 8 | (uint64_t)event->attempt << 16 |
        (uint64_t)event->reason << 24 | (uint64_t)(uint32_t)event->code << 32;
    weir_test_trace_number(trace, small);
    weir_test_trace_number(trace, event->now_ns);
}

struct weir_sink weir_test_trace_sink(struct weir_test_trace *trace)
{
    TEST_REQUIRE(trace != NULL, "weir_test_trace_sink", "trace is NULL");
    return (struct weir_sink) { trace_event, trace };
}
