/* One process with one lock, of one server or several, whose questions the test answers by hand. */
#ifndef WEIR_LOCK_CASE_H
#define WEIR_LOCK_CASE_H

#include "shared/lock_words.h"

#define LEASE_NS (600 * WEIR_MS)
#define VALID_NS (LEASE_NS - LEASE_NS / 100 - 2 * WEIR_MS)

static struct carrier carrier;
static struct store_lock stores[WEIR_NODES_MAX];

static inline struct weir_lock *lock_of(struct carrier *of, struct weir_lock_config *config)
{
    struct weir_lock *lock;
    config->link = of->link;
    if (config->name == NULL) config->name = "nightly";
    if (config->lease_ns == 0) config->lease_ns = LEASE_NS;
    CHECK_EQ(weir_lock_create(config, &lock), WEIR_E_NONE);
    return lock;
}

static inline struct weir_lock *fresh(uint32_t nodes)
{
    world_ns = START_NS;
    memset(stores, 0, sizeof stores);
    carrier_open(&carrier, nodes, 1);
    struct weir_lock_config config = weir_lock_config_init();
    return lock_of(&carrier, &config);
}

static inline struct weir_lock *held(uint32_t nodes)
{
    struct weir_lock *lock = fresh(nodes);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_serve(&carrier, stores);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    return lock;
}

static inline void done(struct weir_lock *lock)
{
    weir_lock_destroy(lock);
    carrier_close(&carrier);
}

static inline void pass(uint64_t ns)
{
    world_ns += ns;
}

/* The only question there is, of that kind. */
static inline struct question *asked(enum weir_ask_kind kind)
{
    carrier_pump(&carrier);
    struct question *question = question_at(&carrier, 0);
    CHECK(question != NULL);
    CHECK_EQ(question->ask.kind, kind);
    return question;
}

static inline void answer(struct question *question, int64_t first, int64_t second)
{
    question->answer = (struct weir_answer) { .count = 2, .number = { first, second } };
    question_answer(&carrier, question, WEIR_ANSWER_DONE);
}

#endif
