/* Words for the tests of promises that other libraries broke: each is named after the library and the number of the
 * report, or what describes it where there is none. Instants are given; nothing sleeps. */
#ifndef WEIR_TEST_PEERS_WORDS_H
#define WEIR_TEST_PEERS_WORDS_H

#include "pipeline/machine_words.h"

/* Instants that can be told exactly, and everybody let in after it closed. */
#define BREAKER(...) POLICY(breaker, .jitter_percent = WEIR_OFF32, .ramp_ns = WEIR_OFF, __VA_ARGS__)

static inline bool let_in(struct weir_policy *breaker, struct weir_permit *permit, uint64_t now_ns)
{
    return weir_breaker_acquire_at(breaker, permit, now_ns).status == WEIR_OK;
}

static inline void through(struct weir_policy *breaker, int count, enum weir_status status, uint64_t now_ns)
{
    for (int i = 0; i < count; i++) {
        struct weir_permit permit;
        CHECK(let_in(breaker, &permit, now_ns));
        weir_breaker_release_at(breaker, &permit, outcome_of(status), now_ns);
    }
}

/* By five failures in a row; answers when the first probe is due. */
static inline uint64_t trip(struct weir_policy *breaker, uint64_t now_ns)
{
    through(breaker, 5, WEIR_FAILED, now_ns);
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, now_ns);
    CHECK_EQ(stats.state, WEIR_BREAKER_OPEN);
    return stats.until_ns;
}

static inline enum weir_breaker_state state_at(const struct weir_policy *breaker, uint64_t now_ns)
{
    return weir_breaker_stats(breaker, now_ns).state;
}

/* A call, its last step, and how often its waker was posted. */
struct guest {
    struct weir_call call;
    struct weir_step step;
    uint32_t posts;
};

static inline void guest_post(void *argument)
{
    ((struct guest *)argument)->posts++;
}

static inline enum weir_action come_under(struct guest *guest, const struct weir_pipeline *pipeline,
    const struct weir_context *context, uint64_t now_ns)
{
    guest->posts = 0;
    guest->step = weir_call_begin(&guest->call, pipeline,
        WEIR_CONFIG(
            weir_call_options, .idempotent = true, .context = context, .waker = { guest_post, guest }),
        now_ns);
    return (enum weir_action)guest->step.action;
}

static inline enum weir_action come(
    struct guest *guest, const struct weir_pipeline *pipeline, uint64_t now_ns)
{
    return come_under(guest, pipeline, NULL, now_ns);
}

static inline enum weir_action look(struct guest *guest, uint64_t now_ns)
{
    guest->step = weir_call_wake(&guest->call, now_ns);
    return (enum weir_action)guest->step.action;
}

static inline enum weir_action end_as(struct guest *guest, struct weir_outcome outcome, uint64_t now_ns)
{
    guest->step = weir_call_settle(&guest->call, guest->step.attempt, outcome, now_ns);
    return (enum weir_action)guest->step.action;
}

static inline enum weir_action end(struct guest *guest, enum weir_status status, uint64_t now_ns)
{
    return end_as(guest, outcome_of(status), now_ns);
}

static inline struct weir_outcome answer(const struct guest *guest)
{
    CHECK_EQ(guest->step.action, WEIR_DONE);
    return weir_call_outcome(&guest->call);
}

#define IN_BOTH_FORMS(form) for (enum weir_form form = WEIR_FORM_SINGLE; form <= WEIR_FORM_SHARDED; form++)

#endif
