/* Models: each policy against an obvious slow one that shares no code with lib.
 *
 * A program is a config drawn from a seed and a list of operations, three random words each. A model carries
 * it out on the policy and on plain lists, and compares all that can be seen after each operation. When the
 * two differ, the runner drops operations as long as they still do, and prints what is left. */
#ifndef WEIR_TEST_MODEL_H
#define WEIR_TEST_MODEL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#define OPS_MAX 200

struct op {
    uint32_t kind, a, b;
};

struct program {
    uint64_t seed;
    uint32_t count;
    struct op op[OPS_MAX];
};

typedef void model_run(const struct program *program);
model_run breaker_model, wilson_model, bulkhead_model, rate_model, budget_model, retry_model, timeout_model,
    fallback_model, gate_model, chaos_model, window_model, histogram_model;
void breaker_model_end(void); /* what only many programs together can show */

/* From the program's own sequence, for its config: the same whatever operations are dropped. */
uint64_t model_draw(uint64_t *seed);
uint64_t model_below(uint64_t *seed, uint64_t bound);
uint64_t model_between(uint64_t *seed, uint64_t low, uint64_t high);

/* The two differ: does not return. */
__attribute__((noreturn, format(printf, 1, 2))) void differs(const char *format, ...);
#define SAME(left, right, what)                                                                     \
    do {                                                                                            \
        uint64_t left_ = (uint64_t)(left), right_ = (uint64_t)(right);                              \
        if (left_ != right_) differs("%s: lib %" PRIu64 ", model %" PRIu64, (what), left_, right_); \
    } while (0)
#define HOLDS(condition, what)                 \
    do {                                       \
        if (!(condition)) differs("%s", what); \
    } while (0)

#endif
