/* The last good answer of a fallback: written by many at once, read while it is written, never torn. */
#include "explorer/explorer.h"
#include "policy/fallback.h"

#include <stdlib.h>
#include <string.h>

enum { NOW = 1000000000, FIRST = 7 };

static struct {
    struct weir_call call[EXPLORE_THREADS_MAX];
    uint64_t value[EXPLORE_THREADS_MAX][2]; /* both halves of an answer are the same */
    uint32_t found;
} w;
static struct weir_policy *fallback;

static struct weir_verdict settle(uint32_t thread, enum weir_status status, struct weir_outcome *outcome)
{
    struct weir_call *call = &w.call[thread];
    *outcome = (struct weir_outcome) { .status = (uint8_t)status };
    return fallback->ops->settle(fallback->config, fallback->state, &call->slot[0], call, outcome, NOW);
}

/* A call that goes well by the fast lists. */
static void answer_well(uint32_t thread, uint64_t value)
{
    struct weir_outcome outcome;
    w.value[thread][0] = w.value[thread][1] = value;
    explore_progress();
    EXPLORE_CHECK(settle(thread, WEIR_OK, &outcome).kind == WEIR_PASS);
}

/* One that failed is answered by what was there, or is left as it was if others wrote all the time. */
static void fail(uint32_t thread)
{
    struct weir_call *call = &w.call[thread];
    struct weir_outcome outcome;
    explore_progress();
    call->flags = CALL_SLOW;
    (void)fallback->ops->admit(fallback->config, fallback->state, &call->slot[0], call, NOW);
    EXPLORE_CHECK(settle(thread, WEIR_FAILED, &outcome).kind == WEIR_ANSWER);
    if (outcome.status != WEIR_OK) return;
    EXPLORE_CHECK(w.value[thread][0] != 0);
    EXPLORE_CHECK(w.value[thread][0] == w.value[thread][1]);
    w.found = (uint32_t)w.value[thread][0];
}

/* ---- programs ---- */

static void all_write(uint32_t thread)
{
    answer_well(thread, thread + 1);
}

static void last_reads(uint32_t thread)
{
    if (thread + 1 < explore_scenario()->threads) answer_well(thread, thread + 1);
    else fail(thread);
}

static void write_then_read(uint32_t thread)
{
    answer_well(thread, thread + 1);
    fail(thread);
}

/* ---- the world ---- */

static void create(void)
{
    memset(&w, 0, sizeof w);
    struct weir_fallback_config config = {
        .size = sizeof config, .last_good = true, .value_size = sizeof w.value[0]
    };
    if (weir_fallback_create(&config, &fallback) != WEIR_E_NONE) abort();
    for (uint32_t i = 0; i < EXPLORE_THREADS_MAX; i++) {
        w.call[i].shard = (uint16_t)i;
        w.call[i].attempt.deadline_ns = WEIR_NEVER;
        w.call[i].attempt.value = w.value[i];
    }
    answer_well(0, FIRST);
    explore_region(fallback->state, sizeof(struct fallback_state) + sizeof w.value[0], "fallback");
    explore_region(fallback->counters, sizeof *fallback->counters, "counters");
    explore_region(&w, sizeof w, "world");
}

/* Some writer's answer is there, whole, and the next one can be kept. */
static void end(void)
{
    const struct fallback_state *state = fallback->state;
    EXPLORE_CHECK((state->sequence & 1) == 0);
    EXPLORE_CHECK(state->sequence > 2);
    EXPLORE_CHECK(state->word[0] == state->word[1]);
    EXPLORE_CHECK(state->word[0] != FIRST);
    explore_outcome(state->sequence * 10000 + state->word[0] * 100 + w.found);
}

static const struct scenario scenarios[] = {
    { "fallback/two_write", 2, create, all_write, NULL, end },
    { "fallback/write_and_read", 2, create, last_reads, NULL, end },
    { "fallback/two_write_one_reads", 3, create, last_reads, NULL, end, .bound = 2 },
    { "fallback/2x2", 2, create, write_then_read, NULL, end, .bound = 3 },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
