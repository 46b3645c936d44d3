/* A world from its seed: small limits, so that every queue fills and every refusal is met. */
#include "sim/sim.h"

#include <string.h>

uint64_t draw(void)
{
    uint64_t z = sim->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    z = (z ^ (z >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return z ^ (z >> 32);
}

uint64_t draw_below(uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)draw() * bound) >> 64);
}

uint64_t draw_between(uint64_t low, uint64_t high)
{
    return low + draw_below(high - low + 1);
}

bool chance(uint32_t percent)
{
    return draw_below(100) < percent;
}

static uint64_t draw_ms(uint64_t low, uint64_t high)
{
    return draw_between(low * WEIR_MS, high * WEIR_MS);
}

static struct weir_policy *made(enum weir_error error, struct weir_policy *policy)
{
    MUST(error == WEIR_E_NONE, "a policy was not created: %s", weir_error_text());
    return policy;
}

/* ---- policies ---- */

static void draw_timeout(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    watch->timeout_ns = draw_ms(20, chance(50) ? 100 : 1000);
    struct weir_timeout_config config = { .size = sizeof config, .timeout_ns = watch->timeout_ns };
    enum weir_error error = weir_timeout_create(&config, &policy);
    watch_policy(watch, made(error, policy), TIMEOUT);
}

static struct budget_watch *draw_budget(void)
{
    if (sim->budgets > 0 && chance(30)) return &sim->budget[draw_below(sim->budgets)];
    struct budget_watch *budget = &sim->budget[sim->budgets++];
    struct weir_budget_config config = { .size = sizeof config,
        .percent = (uint32_t)draw_between(1, chance(50) ? 100 : 20),
        .floor_per_s = (uint32_t)draw_between(1, chance(50) ? 3 : 50) };
    enum weir_error error = weir_budget_create(&config, &budget->budget);
    MUST(error == WEIR_E_NONE, "a budget was not created: %s", weir_error_text());
    budget->percent = config.percent / 100.0;
    budget->floor_per_s = config.floor_per_s;
    budget->capacity = 10.0 * config.floor_per_s;
    /* Calls that went well are reported by 16 for each thread's line: a report may come while the budget,
     * meanwhile charged, has more use for it than at the call's end. */
    budget->slack = 16.0 * LINES * budget->percent * LANES_MAX + 1;
    return budget;
}

static void draw_retry(struct watch *watch)
{
    const uint32_t on[] = { 0, WEIR_ON(WEIR_FAILED), WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_REJECTED),
        WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED) | WEIR_ON(WEIR_REJECTED) };
    struct weir_policy *policy = NULL;
    watch->retry.budget = draw_budget();
    struct weir_retry_config *config = &watch->retry.config;
    *config = (struct weir_retry_config) { .size = sizeof *config,
        .attempts = (uint32_t)draw_between(1, 5),
        .backoff = (enum weir_backoff)draw_below(4),
        .base_ns = chance(30) ? WEIR_US : draw_between(WEIR_US, 20 * WEIR_MS),
        .max_ns = draw_ms(20, 300),
        .on = on[draw_below(4)],
        .budget = watch->retry.budget->budget };
    enum weir_error error = weir_retry_create(config, &policy);
    watch_policy(watch, made(error, policy), RETRY);
}

static void draw_breaker(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct weir_breaker_config *config = &watch->breaker.config;
    uint32_t probes = (uint32_t)draw_between(1, 5);
    *config = (struct weir_breaker_config) { .size = sizeof *config,
        .window_ns = draw_ms(16, chance(50) ? 500 : 5000),
        .calls_min = (uint32_t)draw_between(1, 12),
        .failure_percent = (uint32_t)draw_between(20, 80),
        .z_tenths = chance(30) ? WEIR_OFF32 : (uint32_t)draw_between(1, 40),
        .plain_percent = chance(60) ? 0 : (uint32_t)draw_between(10, 100),
        .consecutive = chance(30) ? WEIR_OFF32 : (uint32_t)draw_between(1, 8),
        .slow_ns = chance(50) ? 0 : draw_ms(20, 100),
        .slow_percent = (uint32_t)draw_between(10, 100),
        .jitter_percent = chance(30) ? WEIR_OFF32 : (uint32_t)draw_between(1, 90),
        .open_ns = draw_ms(1, 200),
        .open_max_ns = draw_ms(200, 1500),
        .probes = probes,
        .successes = (uint32_t)draw_between(1, probes),
        .probe_ns = draw_ms(20, chance(50) ? 100 : 1000),
        .ramp_ns = chance(40) ? WEIR_OFF : draw_ms(10, 1000),
        .late_failure_ns = draw_ms(10, 500),
        .overload_open_ns_max = chance(50) ? 0 : draw_ms(10, 500),
        .seed = draw() | 1 };
    if (config->z_tenths == WEIR_OFF32 && config->plain_percent == 0) config->consecutive = 3;
    enum weir_error error = weir_breaker_create(config, &policy);
    watch_policy(watch, made(error, policy), BREAKER);
}

static void draw_bulkhead(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct bulkhead_watch *own = &watch->bulkhead;
    own->limit = (uint32_t)draw_between(1, chance(70) ? 8 : 40);
    own->queue = chance(25) ? 0 : (uint32_t)draw_between(1, 12);
    own->wait_max_ns = draw_ms(1, 400);
    struct weir_bulkhead_config config = { .size = sizeof config,
        .limit = own->limit,
        .queue = own->queue,
        .wait_max_ns = own->wait_max_ns,
        .form = (enum weir_form)draw_below(3) };
    enum weir_error error = weir_bulkhead_create(&config, &policy);
    watch_policy(watch, made(error, policy), BULKHEAD);
}

static void draw_rate(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct rate_watch *own = &watch->rate;
    struct weir_rate_config config = { .size = sizeof config,
        .permits = draw_between(1, 100),
        .period_ns = draw_ms(1, 50),
        .burst = draw_between(1, chance(50) ? 10 : 500),
        .wait_max_ns = chance(50) ? 0 : draw_ms(1, 300),
        .form = (enum weir_form)draw_below(3) };
    if (config.form == WEIR_FORM_SHARDED) config.lease = (uint32_t)draw_between(1, config.burst);
    enum weir_error error = weir_rate_create(&config, &policy);
    made(error, policy);
    own->token = (config.period_ns * 4 + config.permits - 1) / config.permits;
    own->burst = config.burst;
    own->span = config.burst * own->token;
    own->wait = config.wait_max_ns * 4;
    /* In the sharded form each thread's line may hold a lease that was taken before the window began. */
    own->slack = weir_rate_stats(policy, 0).lease * own->token * SHARDS;
    /* A call that is given back by a clock behind the others' lets later ones begin that much too early. */
    if (sim->skewed) own->slack += 2 * SKEW_NS * 4;
    watch_policy(watch, policy, RATE);
}

static void draw_fallback(struct watch *watch)
{
    static const uint64_t value = VALUE_OF_FALLBACK;
    struct weir_policy *policy = NULL;
    struct weir_fallback_config config = { .size = sizeof config,
        .value = sim->results && chance(50) ? &value : NULL,
        .value_size = sim->results ? RESULT_SIZE : 0,
        .last_good = chance(50),
        .age_max_ns = draw_ms(1, 500),
        .function = chance(60) ? callee_function : NULL,
        .not_when_forced = chance(30),
        .rest_after_failure = chance(30) };
    if (config.function != NULL && chance(50)) config.reserve_ns = draw_ms(1, 10);
    watch->reserve_ns = config.reserve_ns;
    enum weir_error error = weir_fallback_create(&config, &policy);
    watch_policy(watch, made(error, policy), FALLBACK);
}

static void draw_gate(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct gate_config own = { .hold_percent = (uint32_t)draw_below(20),
        .refuse_percent = (uint32_t)draw_below(10),
        .skip_percent = (uint32_t)draw_below(10),
        .stale_percent = (uint32_t)draw_below(20),
        .answer_percent = (uint32_t)draw_below(10),
        .keep_percent = (uint32_t)draw_below(20),
        .hold_ns = draw_ms(1, 50) };
    struct weir_policy_spec spec = { .size = sizeof spec,
        .ops = &gate_ops,
        .name = "gate",
        .config = &own,
        .config_size = sizeof own,
        .state_size = sizeof(struct gate_state) };
    enum weir_error error = weir_policy_create(&spec, &policy);
    made(error, policy);
    ((struct gate_state *)weir_policy_state(policy))->random = draw();
    watch_policy(watch, policy, GATE);
}

static void draw_share(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct share_watch *own = &watch->share;
    own->by_key = chance(60);
    own->share = chance(20) ? 100 * WEIR_PERCENT : (uint32_t)draw_between(1, 100) * WEIR_PERCENT;
    for (uint32_t i = 0; i <= CALLER_KEYS; i++) own->passed[i] = UINT32_MAX;
    struct weir_gate_config config = { .size = sizeof config,
        .share = own->share,
        .by = own->by_key ? WEIR_GATE_BY_KEY : WEIR_GATE_BY_CALL,
        .salt = draw() };
    enum weir_error error = weir_gate_create(&config, &policy);
    watch_policy(watch, made(error, policy), SHARE);
}

static void draw_chaos(struct watch *watch)
{
    struct weir_policy *policy = NULL;
    struct weir_chaos_config config = { .size = sizeof config,
        .seed = draw(),
        .off = chance(20),
        .latency_ppm = (uint32_t)draw_below(200000),
        .error_ppm = (uint32_t)draw_below(100000),
        .result_ppm = (uint32_t)draw_below(100000),
        .lost_ppm = (uint32_t)draw_between(1, 100000),
        .duration_ns = draw_ms(10, 5000),
        .latency_max_ns = draw_ms(1, 300),
        .error_not_sent = chance(50),
        .result_status = chance(50) ? WEIR_FAILED : WEIR_OVERLOADED,
        .result_retry_after_ns = chance(50) ? 0 : draw_ms(1, 100),
        .lost_max_ns = draw_ms(1, 1000),
        .held_max = (uint32_t)draw_between(1, chance(50) ? 3 : 100) };
    if (chance(30)) config.burst_ns = draw_ms(1, 100);
    watch->chaos.held_max = config.held_max;
    enum weir_error error = weir_chaos_create(&config, &policy);
    watch_policy(watch, made(error, policy), CHAOS);
}

/* ---- lanes ---- */

static void draw_policy(struct watch *watch)
{
    static void (*const how[KINDS])(struct watch *) = { draw_timeout, draw_retry, draw_breaker, draw_bulkhead,
        draw_rate, draw_fallback, draw_gate, draw_share, draw_chaos };
    static const enum kind often[] = { TIMEOUT, TIMEOUT, TIMEOUT, RETRY, RETRY, BREAKER, BREAKER, BREAKER,
        BULKHEAD, BULKHEAD, BULKHEAD, RATE, RATE, FALLBACK, GATE, SHARE, CHAOS };
    how[often[draw_below(sizeof often / sizeof *often)]](watch);
}

static void draw_order(struct lane *lane, uint32_t share_percent)
{
    lane->count = 0;
    for (uint32_t i = 0; i < sim->watches; i++) {
        if (!chance(share_percent) && i + 1 < sim->watches) continue; /* never none: see fork */
        uint32_t at = (uint32_t)draw_below(++lane->count);
        memmove(&lane->order[at + 1], &lane->order[at], (lane->count - 1 - at) * sizeof *lane->order);
        lane->order[at] = &sim->watch[i];
    }
}

static void sink(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    struct lane *lane = argument;
    if (event->policy != 0) watch_event(lane->order[event->policy - 1], event);
}

static void draw_lane(struct lane *lane, uint32_t share_percent)
{
    draw_order(lane, share_percent);
    struct weir_policy *order[WEIR_POLICIES_MAX];
    for (uint32_t i = 0; i < lane->count; i++) order[i] = lane->order[i]->policy;
    struct weir_sink own = { sink, lane };
    struct weir_pipeline_config config = {
        .size = sizeof config, .sink = &own, .result_size = sim->results ? RESULT_SIZE : 0
    };
    enum weir_error error = weir_pipeline_create(&config, order, lane->count, &lane->pipeline);
    MUST(error == WEIR_E_NONE, "a pipeline was not created: %s", weir_error_text());
}

void draw_world(void)
{
    static const uint32_t crowd[] = { 3, 20, 60, CALLERS_MAX };
    sim->callers = (uint32_t)draw_between(1, crowd[draw_below(4)]);
    sim->think_ns = draw_between(1, 20) * (chance(50) ? WEIR_MS : WEIR_MS / 10) * sim->callers / 4 + 1;
    sim->mood_ns = (chance(60) ? 60 : 1500) * WEIR_MS;
    sim->modes = chance(40);
    sim->limits = chance(50);
    sim->cancels = chance(60);
    sim->forks = chance(15);
    sim->results = chance(50);
    sim->nesting = chance(20);
    sim->threads = (uint32_t)draw_between(1, chance(50) ? 3 : THREADS_MAX);
    sim->skewed = chance(50);
    for (uint32_t i = 0; i < sim->threads; i++) {
        sim->skew_ns[i] = sim->skewed ? (int64_t)draw_below(2 * SKEW_NS) - (int64_t)SKEW_NS : 0;
    }
    for (uint32_t i = 0; i < SOURCES; i++) {
        enum weir_error error = weir_source_create(&sim->source[i]);
        MUST(error == WEIR_E_NONE, "a source was not created: %s", weir_error_text());
    }
    sim->watches = (uint32_t)draw_between(1, 8);
    for (uint32_t i = 0; i < sim->watches; i++) draw_policy(&sim->watch[i]);
    sim->lanes = (uint32_t)draw_between(1, LANES_MAX);
    for (uint32_t i = 0; i < sim->lanes; i++) draw_lane(&sim->lane[i], i == 0 ? 100 : 60);
    for (uint32_t i = 0; i < sim->watches; i++) weir_policy_release(sim->watch[i].policy);
}
