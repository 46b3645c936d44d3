/* test-models [--model NAME] [--seed N] [--programs N]
 *
 * Without --seed: 200 000 programs, shared out among the models. With both: that program alone. */
#include "models/model.h"

#include "base/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRAMS UINT64_C(200000)

static const struct {
    const char *name;
    model_run *run;
    uint32_t share; /* percent of the programs */
} models[] = {
    { "breaker", breaker_model, 28 },
    { "wilson", wilson_model, 5 },
    { "bulkhead", bulkhead_model, 20 },
    { "rate", rate_model, 15 },
    { "budget", budget_model, 4 },
    { "retry", retry_model, 6 },
    { "timeout", timeout_model, 2 },
    { "fallback", fallback_model, 5 },
    { "gate", gate_model, 2 },
    { "chaos", chaos_model, 5 },
    { "window", window_model, 6 },
    { "histogram", histogram_model, 2 },
};
#define MODELS (sizeof models / sizeof *models)

static jmp_buf failed;
static char difference[512];

uint64_t model_draw(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    z = (z ^ (z >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return z ^ (z >> 32);
}

uint64_t model_below(uint64_t *seed, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)model_draw(seed) * bound) >> 64);
}

uint64_t model_between(uint64_t *seed, uint64_t low, uint64_t high)
{
    return low + model_below(seed, high - low + 1);
}

void differs(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(difference, sizeof difference, format, arguments);
    va_end(arguments);
    longjmp(failed, 1);
}

static bool fails(model_run *run, const struct program *program)
{
    if (setjmp(failed) != 0) return true;
    run(program);
    return false;
}

static struct program program_of(uint64_t seed)
{
    struct program program = { .seed = seed };
    uint64_t random = seed ^ UINT64_C(0x5bd1e995);
    program.count = (uint32_t)model_between(&random, 1, OPS_MAX);
    for (uint32_t i = 0; i < program.count; i++) {
        uint64_t words = model_draw(&random);
        program.op[i] =
            (struct op) { (uint32_t)(words >> 56), (uint32_t)(words & 0xffffff), (uint32_t)(words >> 24) };
    }
    return program;
}

/* Drops runs of operations, long ones first, while it still fails. What a failed program has made is lost. */
static void shrink(model_run *run, struct program *program)
{
    for (uint32_t length = program->count / 2; length > 0; length /= 2) {
        for (uint32_t at = 0; at + length <= program->count;) {
            struct program less = *program;
            less.count -= length;
            memmove(&less.op[at], &less.op[at + length], (less.count - at) * sizeof *less.op);
            if (fails(run, &less)) *program = less;
            else at += length;
        }
    }
}

static void check(uint32_t which, uint64_t seed, uint64_t *operations)
{
    static struct program program; /* what setjmp must not forget */
    program = program_of(seed);
    *operations += program.count;
    if (!fails(models[which].run, &program)) return;
    fprintf(stderr, "models: %s: %s\n  replay: test-models --model %s --seed %" PRIu64 "\n",
        models[which].name, difference, models[which].name, seed);
    shrink(models[which].run, &program);
    (void)fails(models[which].run, &program);
    fprintf(stderr, "  shrunk to %" PRIu32 " operations: %s\n", program.count, difference);
    for (uint32_t i = 0; i < program.count; i++) {
        fprintf(stderr, "    { %3" PRIu32 ", %8" PRIu32 ", %10" PRIu32 " }\n", program.op[i].kind,
            program.op[i].a, program.op[i].b);
    }
    fflush(NULL);
    _Exit(1);
}

static bool ends_well(void)
{
    if (setjmp(failed) == 0) {
        breaker_model_end();
        return true;
    }
    fprintf(stderr, "models: %s\n", difference);
    return false;
}

static const char *option(int count, char **arguments, const char *name)
{
    for (int i = 1; i + 1 < count; i++) {
        if (strcmp(arguments[i], name) == 0) return arguments[i + 1];
    }
    return NULL;
}

int main(int count, char **arguments)
{
    const char *name = option(count, arguments, "--model"), *seed = option(count, arguments, "--seed");
    const char *wanted = option(count, arguments, "--programs");
    uint64_t programs = wanted != NULL ? strtoull(wanted, NULL, 0) : PROGRAMS, run = 0, operations = 0;
    clock_t start = clock();
    weir_thread.shard = 1;
    weir_shards_ever = (1u << SHARDS) - 1; /* every line is summed */
    for (uint32_t i = 0; i < MODELS; i++) {
        if (name != NULL && strcmp(name, models[i].name) != 0) continue;
        uint64_t share = seed != NULL ? 1 : name != NULL ? programs : programs * models[i].share / 100;
        uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) : 1;
        for (uint64_t j = 0; j < share; j++) check(i, first + j, &operations);
        printf("%-10s %" PRIu64 " programs\n", models[i].name, share);
        run += share;
    }
    if (seed == NULL && !ends_well()) return 1;
    printf("models: %" PRIu64 " programs, %" PRIu64 " operations in %.1f s\n", run, operations,
        (double)(clock() - start) / CLOCKS_PER_SEC);
    return run > 0 ? 0 : 1;
}
