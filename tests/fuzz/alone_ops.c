/* One policy alone: acquire, release, reserve and give back in any order, on any thread, at instants that may lie
 * a little behind one another. Rate: no window of time passes more than its bound, and a greedy caller gets what it
 * is promised. Bulkhead: what is in use is what is out. Breaker: probes out are permits out. */
#include "fuzz/fuzz.h"
#include "policy/breaker.h"
#include "policy/bulkhead.h"
#include "policy/rate.h"

#define PERMITS 12
#define TAKEN 600

struct taken {
    uint64_t at_ns; /* its turn */
    uint64_t cost;
    bool back;
};

struct scene {
    struct bytes in;
    struct weir_policy *policy;
    uint64_t clock_ns, now_ns;
    struct weir_permit permit[PERMITS];
    uint32_t out[PERMITS], cost[PERMITS]; /* out: 1 + the place in taken, or 1 */
    struct taken taken[TAKEN];
    uint32_t count;
    uint32_t limit, in_use;
};

static void move_on(struct scene *scene)
{
    static const uint64_t behind[] = { 0, 0, 0, 0, 1, 3, WEIR_US, WEIR_MS };
    uint32_t choice = take(&scene->in);
    if (choice < 100) scene->clock_ns += choice;
    else if (choice < 200) scene->clock_ns += (uint64_t)(choice - 100) * 50 * WEIR_US;
    else scene->clock_ns += UINT64_C(1) << (choice - 200);
    scene->now_ns = scene->clock_ns - behind[take(&scene->in) & 7];
}

static void be_any_thread(struct scene *scene)
{
    static const uint32_t lines[] = { 0, 1, 7, SHARDS - 1, SHARDS };
    be_thread(PICK(&scene->in, lines));
}

/* ---- rate ---- */

static uint64_t rate_bound(const struct scene *scene, uint64_t from_ns, uint64_t to_ns)
{
    const struct rate_config *config = scene->policy->config;
    const struct rate_state *state = scene->policy->state;
    uint64_t grown = (to_ns - from_ns + 1) * GCRA_UNITS_PER_NS / state->gcra.token + 1;
    return config->burst + grown + (uint64_t)config->lease * SHARDS;
}

static int by_turn(const void *a, const void *b)
{
    uint64_t one = ((const struct taken *)a)->at_ns, other = ((const struct taken *)b)->at_ns;
    return (one > other) - (one < other);
}

/* What passed in every window from one turn to another, of what was not given back. */
static void check_windows(struct scene *scene)
{
    qsort(scene->taken, scene->count, sizeof scene->taken[0], by_turn);
    for (uint32_t first = 0; first < scene->count; first++) {
        uint64_t sum = 0;
        for (uint32_t last = first; last < scene->count; last++) {
            if (!scene->taken[last].back) sum += scene->taken[last].cost;
            MUST(sum <= rate_bound(scene, scene->taken[first].at_ns, scene->taken[last].at_ns));
        }
    }
}

static void note(struct scene *scene, uint64_t at_ns, uint32_t cost)
{
    MUST(scene->count < TAKEN);
    scene->taken[scene->count++] = (struct taken) { at_ns, cost, false };
}

static void rate_operation(struct scene *scene, uint32_t code)
{
    uint32_t which = pick(&scene->in, PERMITS), cost = 1 + pick(&scene->in, 20);
    const struct rate_config *config = scene->policy->config;
    if (code == 3) {
        if (scene->out[which] == 0) return;
        uint64_t before = weir_rate_stats(scene->policy, scene->now_ns).given_back;
        weir_rate_give_back_at(scene->policy, &scene->permit[which], scene->now_ns);
        bool back = weir_rate_stats(scene->policy, scene->now_ns).given_back != before;
        if (back) scene->taken[scene->out[which] - 1].back = true;
        scene->out[which] = 0;
        return;
    }
    if (scene->count == TAKEN) return;
    struct weir_outcome outcome;
    if (code == 2) {
        uint64_t wait_ns = take_wide(&scene->in, 3) * 64, at_ns = 0;
        if (scene->out[which] != 0) return;
        outcome =
            weir_rate_reserve_at(scene->policy, cost, wait_ns, scene->now_ns, &scene->permit[which], &at_ns);
        if (outcome.status == WEIR_OK) {
            MUST(at_ns >= scene->now_ns && at_ns <= scene->now_ns + wait_ns);
            note(scene, at_ns, cost);
            scene->out[which] = scene->count;
        }
    } else {
        outcome = weir_rate_acquire_at(scene->policy, cost, scene->now_ns);
        if (outcome.status == WEIR_OK) note(scene, scene->now_ns, cost);
    }
    if (outcome.status == WEIR_OK) return;
    MUST(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_RATE);
    MUST((outcome.code == -1) == (cost > config->burst));
}

/* Where nothing was taken for long enough, the whole burst is there, and what is refused comes when it was said. */
static void rate_end(struct scene *scene)
{
    const struct rate_config *config = scene->policy->config;
    const struct rate_state *state = scene->policy->state;
    check_windows(scene);
    uint64_t full_ns = scene->clock_ns;
    if (state->gcra.tat / GCRA_UNITS_PER_NS + 1 > full_ns) full_ns = state->gcra.tat / GCRA_UNITS_PER_NS + 1;
    MUST(weir_rate_stats(scene->policy, full_ns).tokens == config->burst);
    uint64_t all = config->burst > UINT32_MAX ? UINT32_MAX : config->burst;
    be_thread(SHARDS); /* exact: no credit of a lease helps or hinders */
    MUST(weir_rate_acquire_at(scene->policy, (uint32_t)all, full_ns).status == WEIR_OK);
    struct weir_outcome refused = weir_rate_acquire_at(scene->policy, 1, full_ns);
    MUST(refused.status == WEIR_REJECTED && refused.retry_after_ns != 0);
    if (refused.retry_after_ns > 1)
        MUST(weir_rate_acquire_at(scene->policy, 1, full_ns + refused.retry_after_ns - 1).status != WEIR_OK);
    MUST(weir_rate_acquire_at(scene->policy, 1, full_ns + refused.retry_after_ns).status == WEIR_OK);
}

static bool rate_make(struct scene *scene)
{
    struct weir_rate_config c = weir_rate_config_init();
    c.permits = take_wide(&scene->in, 2);
    c.period_ns = WEIR_US << pick(&scene->in, 24);
    c.burst = take_wide(&scene->in, 2);
    c.form = (enum weir_form)pick(&scene->in, 3);
    c.lease = c.form == WEIR_FORM_SHARDED ? pick(&scene->in, 40) : 0;
    return weir_rate_create(&c, &scene->policy) == WEIR_E_NONE;
}

/* ---- bulkhead ---- */

static void bulkhead_operation(struct scene *scene, uint32_t code)
{
    uint32_t which = pick(&scene->in, PERMITS), weight = 1 + pick(&scene->in, 20);
    if (code == 3) {
        scene->limit = 1 + pick(&scene->in, 60);
        MUST(weir_bulkhead_set_limit(scene->policy, scene->limit) == WEIR_E_NONE);
    } else if (scene->out[which] != 0) {
        weir_bulkhead_release(scene->policy, &scene->permit[which]);
        scene->in_use -= scene->cost[which];
        scene->out[which] = 0;
    } else {
        bool fits = scene->in_use + weight <= scene->limit;
        struct weir_outcome outcome = weir_bulkhead_acquire(scene->policy, weight, &scene->permit[which]);
        MUST((outcome.status == WEIR_OK) == fits); /* alone on it, both forms are exact */
        scene->out[which] = fits;
        scene->cost[which] = weight;
        if (fits) scene->in_use += weight;
    }
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(scene->policy);
    MUST(stats.in_use == scene->in_use && stats.limit == scene->limit && stats.waiting == 0);
}

static bool bulkhead_make(struct scene *scene)
{
    struct weir_bulkhead_config c = weir_bulkhead_config_init();
    c.limit = scene->limit = 1 + pick(&scene->in, 100);
    c.form = (enum weir_form)pick(&scene->in, 3);
    return weir_bulkhead_create(&c, &scene->policy) == WEIR_E_NONE;
}

/* ---- breaker ---- */

static void breaker_operation(struct scene *scene, uint32_t code)
{
    uint32_t which = pick(&scene->in, PERMITS);
    const struct breaker_state *state = scene->policy->state;
    struct weir_breaker_stats before = weir_breaker_stats(scene->policy, scene->now_ns);
    if (scene->out[which] == 0) {
        struct weir_outcome outcome =
            weir_breaker_acquire_at(scene->policy, &scene->permit[which], scene->now_ns);
        scene->out[which] = outcome.status == WEIR_OK;
        if (before.state == WEIR_BREAKER_CLOSED) MUST(outcome.status == WEIR_OK);
        if (before.state == WEIR_BREAKER_OPEN) {
            MUST(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_BREAKER_OPEN);
            MUST(outcome.retry_after_ns == before.until_ns - scene->now_ns);
        }
    } else {
        static const uint8_t statuses[] = { WEIR_OK, WEIR_FAILED, WEIR_FAILED, WEIR_OVERLOADED };
        struct weir_outcome outcome = { .status = statuses[code], .retry_after_ns = WEIR_MS * code };
        weir_breaker_release_at(scene->policy, &scene->permit[which], outcome, scene->now_ns);
        scene->out[which] = 0;
    }
    struct weir_breaker_stats after = weir_breaker_stats(scene->policy, scene->now_ns);
    uint64_t probes = 0;
    for (uint32_t i = 0; i < PERMITS; i++)
        probes += scene->out[i] != 0 && scene->permit[i].slot.word[0] == after.generation;
    if (word_state(state->word) == HALF_OPEN) MUST(after.probes_out == probes);
    MUST(after.generation - before.generation <= 2);
    MUST(after.counted_ok + after.counted_failed <= before.counted_ok + before.counted_failed + 1);
}

static bool breaker_make(struct scene *scene)
{
    struct weir_breaker_config c = weir_breaker_config_init();
    c.window_ns = WEIR_S;
    c.calls_min = 1 + pick(&scene->in, 10);
    c.plain_percent = pick(&scene->in, 101);
    c.consecutive = 1 + pick(&scene->in, 4);
    c.open_ns = WEIR_MS;
    c.probes = 1 + pick(&scene->in, 4);
    c.ramp_ns = pick(&scene->in, 2) != 0 ? WEIR_MS : WEIR_OFF;
    c.probe_ns = 5 * WEIR_MS;
    c.overload_open_ns_max = WEIR_S;
    c.seed = 1;
    return weir_breaker_create(&c, &scene->policy) == WEIR_E_NONE;
}

static void give_all_back(struct scene *scene, uint32_t kind)
{
    struct weir_outcome ignored = { .status = WEIR_IGNORED };
    for (uint32_t i = 0; i < PERMITS; i++) {
        if (scene->out[i] == 0) continue;
        if (kind == 0) weir_rate_give_back_at(scene->policy, &scene->permit[i], scene->now_ns);
        else if (kind == 1) weir_bulkhead_release(scene->policy, &scene->permit[i]);
        else weir_breaker_release_at(scene->policy, &scene->permit[i], ignored, scene->now_ns);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const make[])(struct scene *) = { rate_make, bulkhead_make, breaker_make };
    static void (*const operation[])(
        struct scene *, uint32_t) = { rate_operation, bulkhead_operation, breaker_operation };
    uint32_t own = thread_shard();
    struct scene *scene = calloc(1, sizeof *scene);
    MUST(scene != NULL);
    scene->in = (struct bytes) { data, data + size };
    scene->clock_ns = scene->now_ns = UINT64_C(1) << 50;
    uint32_t kind = pick(&scene->in, 3);
    if (make[kind](scene)) {
        while (bytes_left(&scene->in)) {
            uint32_t code = take(&scene->in);
            if (code >= 224) be_any_thread(scene);
            else if (code >= 128) move_on(scene);
            else operation[kind](scene, code & 3);
        }
        scene->now_ns = scene->clock_ns;
        if (kind == 0) rate_end(scene);
        give_all_back(scene, kind);
        if (kind == 1) MUST(weir_bulkhead_stats(scene->policy).in_use == 0);
        weir_policy_release(scene->policy);
    } else {
        MUST(weir_error_text()[0] != '\0');
    }
    free(scene);
    be_thread(own);
    return 0;
}
