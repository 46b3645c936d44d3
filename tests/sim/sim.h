/* The simulation: the shipped objects of lib/policy and lib/pipeline on a virtual clock.
 *
 *     seed --> world: policies, lanes (pipelines), callers, a callee, an operator         world.c, draw.c
 *       '----> schedule: the next event is the earliest due, or a disturbance             world.c, operator.c
 *                 '--> caller: weir_call_begin/wake/settle/cancel/arm                     caller.c
 *                        '--> policy hooks, each between two looks                        watch*.c
 *
 * Nothing is mocked: a policy's hooks are the library's own, called by its own machine. watch.c only stands
 * between the two, so that each verdict is checked against what was known before it. Everything is drawn
 * from the seed; a run has a hash over all steps, and the same seed gives the same hash. */
#ifndef WEIR_TEST_SIM_H
#define WEIR_TEST_SIM_H

#include "pipeline/machine.h"
#include "policy/breaker.h"
#include "policy/bulkhead.h"
#include "policy/rate.h"

#include "sim/coverage.h"

#include <weir/weir.h>

#define CALLERS_MAX 200
#define WATCHES_MAX 12
#define LANES_MAX 2
#define SOURCES 8
#define THREADS_MAX 20        /* more than SHARDS: some share the last line */
#define SKEW_NS (3 * WEIR_MS) /* a thread's clock is at most that far from the true one */
#define RESULT_SIZE 8
#define VALUE_OF_FALLBACK UINT64_C(0xfa11bac)
#define FROM_FUNCTION (UINT64_C(1) << 63)

enum kind { TIMEOUT, RETRY, BREAKER, BULKHEAD, RATE, FALLBACK, GATE, SHARE, CHAOS, KINDS };

/* ---- what is known of one policy ---- */

struct breaker_watch {
    struct weir_breaker_config config;
    uint32_t generation, admitted; /* half open: not counting those given back */
    uint32_t level;
    uint64_t opened_ns, asked_ns; /* OPEN: since when; by an OVERLOADED answer for that long */
    uint64_t lease_ns, closed_ns;
    uint32_t streak;
    uint64_t transitions, told; /* seen in the word; events */
};

struct bulkhead_watch {
    uint32_t limit, queue;
    uint64_t wait_max_ns;
    uint64_t held;              /* permits of calls that passed it */
    uint32_t in_use;            /* at the last look */
    struct caller *waiting[64]; /* in the order in which they came */
    uint32_t waiters;
};

struct rate_entry {
    uint64_t turn, amount; /* units of a quarter nanosecond */
};
struct rate_watch {
    uint64_t token, span, wait, burst, slack;
    struct rate_entry *log;
    uint32_t entries, room;
};

struct retry_watch {
    struct weir_retry_config config;
    struct budget_watch *budget;
};

struct budget_watch {
    struct weir_budget *budget;
    double level, capacity, floor_per_s, percent, slack;
    uint64_t last_ns, charged, refunded;
};

/* What its gate has shown: a key stands above every share that refused it and below every share that let it in. */
#define CALLER_KEYS 24
struct share_watch {
    bool by_key;
    uint32_t share, refused[CALLER_KEYS + 1], passed[CALLER_KEYS + 1];
};

/* A custom policy that does what its world tells it to, drawn at each question. */
struct gate_config {
    uint32_t hold_percent, refuse_percent, skip_percent, stale_percent, answer_percent, keep_percent;
    uint64_t hold_ns;
};
struct gate_state {
    uint64_t random, calm, passed;
};
extern const struct weir_policy_ops gate_ops;

struct chaos_watch {
    uint32_t held, held_max; /* calls */
};

struct watch {
    enum kind kind;
    struct weir_policy *policy;
    const struct weir_policy_ops *real;
    admit_hook *first;
    settle_hook *well;
    bool moded; /* an operator has had a hand on it */
    uint64_t timeout_ns, reserve_ns;
    struct breaker_watch breaker;
    struct bulkhead_watch bulkhead;
    struct rate_watch rate;
    struct retry_watch retry;
    struct share_watch share;
    struct chaos_watch chaos;
};

/* ---- pipelines and callers ---- */

struct lane {
    struct weir_pipeline *pipeline;
    struct watch *order[WEIR_POLICIES_MAX];
    uint32_t count;
    uint64_t begun, ended[WEIR_STATUSES], foreign, unfinished; /* unfinished: storage not free yet */
};

struct caller {
    struct weir_call call;
    uint64_t room[ROWS]; /* for results, right behind the call */
    uint32_t index;
    struct lane *lane;
    bool begun, over, idempotent, watched, foreign;
    uint32_t thread;
    /* the context */
    struct weir_context context[2];
    const struct weir_context *given;
    struct weir_watch watch;
    /* what runs: [0] the operation, [1] the fallback function */
    struct job {
        bool runs;
        uint32_t attempt, inside; /* inside: of that position, for a function that of its fallback */
        uint64_t *value, token;
        struct weir_outcome outcome;
    } job[2];
    uint64_t answered; /* the token of the latest OK answer */
    uint64_t value;
    uint32_t runs;
    uint64_t last_at_ns;
    /* what policies owe it, by position */
    uint16_t owed, held, ignored;
    uint16_t harmed; /* held by a chaos, before or after it ran */
    struct weir_slot kept[WEIR_POLICIES_MAX];
    uint32_t again[WEIR_POLICIES_MAX];
    uint64_t deadline_ns[WEIR_POLICIES_MAX]; /* before a timeout's or fallback's admit */
    uint32_t entry[WEIR_POLICIES_MAX];       /* in a rate's log */
    uint32_t generation[WEIR_POLICIES_MAX];  /* of the breaker that let it in */
    uint64_t waits_until_ns;
    bool granted, dismissed; /* dismissed: refused in the queue, the limit was lowered */
    uint32_t weight;
    uint64_t key;         /* 0: none */
    struct caller *outer; /* a call of the same thread that this one is nested in */
};

enum mood { HEALTHY, FAILING, SLOW, SILENT, OVERLOADED, NOT_SENT, MOODS };

struct world {
    uint64_t seed, random, now_ns, steps, steps_max, hash, settled;
    uint32_t callers, lanes, watches, budgets, threads;
    bool calm, beating, modes, limits, cancels, forks, results, nesting, skewed;
    uint64_t think_ns;
    int64_t skew_ns[THREADS_MAX];
    enum mood mood;
    uint64_t mood_until_ns, mood_ns;
    struct lane lane[LANES_MAX];
    struct watch watch[WATCHES_MAX];
    struct budget_watch budget[WATCHES_MAX];
    struct weir_source *source[SOURCES];
    struct caller *caller;
    uint64_t *due; /* three for each caller: look or begin, operation ends, function ends */
};
extern struct world *sim; /* the one that runs: hooks and wakers have no other way to it */

enum event { BEGIN, WAKE, SETTLE, CANCEL, ARM, EVENTS };

/* ---- draw.c ---- */
uint64_t draw(void);
uint64_t draw_below(uint64_t bound);
uint64_t draw_between(uint64_t low, uint64_t high); /* both included */
bool chance(uint32_t percent);
void draw_world(void);

/* ---- world.c ---- */
struct world *world_run(uint64_t seed, uint64_t steps);
void world_free(struct world *world);
void world_check(void);
__attribute__((noreturn, format(printf, 1, 2))) void broken(const char *format, ...);
#define MUST(condition, ...)                   \
    do {                                       \
        if (!(condition)) broken(__VA_ARGS__); \
    } while (0)
static inline void hash_in(uint64_t value)
{
    sim->hash = (sim->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    sim->hash ^= sim->hash >> 29;
}

/* ---- caller.c ---- */
void caller_begin(struct caller *caller);
void caller_wake(struct caller *caller);
void caller_end(struct caller *caller, uint32_t which);
void caller_cancel(struct caller *caller);
void caller_free(struct caller *caller);
uint64_t caller_now(const struct caller *caller);

/* ---- callee.c ---- */
void callee_look(void);
void callee_answer(struct caller *caller, struct job *job, uint64_t *takes_ns);
struct weir_outcome callee_function(void *argument, const struct weir_attempt *attempt);

/* ---- operator.c ---- */
void disturb(void);
void calm_down(void);

/* ---- watch.c ---- */
void watch_policy(struct watch *watch, struct weir_policy *policy, enum kind kind);
void watch_run(const struct caller *caller, uint64_t at_ns, uint64_t now_ns);
void watch_done(struct caller *caller, struct weir_step step);
void watch_event(struct watch *watch, const struct weir_event *event);

/* One question to a hook. */
struct visit {
    struct watch *watch;
    struct caller *caller;
    uint32_t at; /* position */
    struct weir_slot *slot;
    const struct weir_outcome *outcome; /* settle: as it came */
    bool beside;                        /* and whether it is not the call's own */
    uint64_t now_ns;
    uint64_t before[8]; /* what a look has noted */
};
void breaker_before(struct visit *visit);
void breaker_admitted(struct visit *visit, struct weir_verdict verdict);
void breaker_settled(struct visit *visit, struct weir_verdict verdict);
void breaker_check(struct watch *watch);
void bulkhead_admitted(struct visit *visit, struct weir_verdict verdict);
void bulkhead_settled(struct visit *visit, struct weir_verdict verdict);
void bulkhead_check(struct watch *watch);
void bulkhead_forget(struct watch *watch, struct caller *caller);
void bulkhead_posted(struct caller *caller);
void rate_before(struct visit *visit);
void rate_admitted(struct visit *visit, struct weir_verdict verdict);
void rate_settled(struct visit *visit, struct weir_verdict verdict);
void rate_check(struct watch *watch);
void retry_settled(struct visit *visit, struct weir_verdict verdict);
void share_admitted(struct visit *visit, struct weir_verdict verdict);
void chaos_admitted(struct visit *visit, struct weir_verdict verdict);
void chaos_settled(struct visit *visit, struct weir_verdict verdict);
void chaos_check(const struct watch *watch);
void budget_saw_end(struct lane *lane, uint64_t now_ns);

#endif
