/* A shared rate limit's hooks: rate_object.h has the diagram and the invariants. */
#include "shared/rate_object.h"

#include <inttypes.h>
#include <stdlib.h>

#define DEADLINE_NS (500 * WEIR_MS) /* of a question */
#define PROBE_NS (20 * WEIR_MS)     /* while it is degraded and the lane is there */
#define SPREAD_NS (50 * WEIR_MS)    /* of a fleet's first questions to a store that came back */
#define PACE_MIN_NS WEIR_MS

static struct rate_object *of(struct shared *object)
{
    return (struct rate_object *)object;
}

/* ---- the config ---- */

static const char type[] = "weir_share_config";
#define LEASE_MAX (1u << 30)
#define EXACT (UINT64_C(1) << 53) /* scripts count in doubles */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A token takes period / permits us; both as small as can be. */
static void reduce(const struct rate_config *config, uint64_t *permits, uint64_t *period)
{
    *permits = config->permits * WEIR_US;
    *period = config->period_ns;
    uint64_t divisor = common_divisor(*permits, *period);
    *permits /= divisor;
    *period /= divisor;
}

static enum weir_error validate_rate(const struct rate_config *config)
{
    uint64_t permits, period;
    reduce(config, &permits, &period);
    uint64_t burst_max = EXACT / 16 / period - 1; /* permits is 10^12 at most: far below EXACT */
    if (config->burst > burst_max) {
        return error_set(WEIR_E_INVALID,
            "weir_rate_config.burst is %" PRIu64 ", expected at most %" PRIu64
            " where it is shared: permits and period_ns have too few divisors in common",
            config->burst, burst_max);
    }
    if (config->wait != 0) {
        return error_set(WEIR_E_INVALID,
            "weir_rate_config.wait_max_ns is set, expected 0 where it is shared: nobody knows when its turn "
            "is. "
            "A retry waits for as long as the refusal says");
    }
    return WEIR_E_NONE;
}

/* The store's bucket holds a token, and what it takes to grow one can be told from nothing. */
static enum weir_error validate_strict(
    const struct rate_config *config, const struct weir_share_config *c, uint64_t bucket)
{
    uint64_t permits, period;
    reduce(config, &permits, &period);
    if (bucket != 0 && bucket * 16 * period / permits != 0) return WEIR_E_NONE;
    return error_set(WEIR_E_INVALID,
        "weir_rate_config.burst is %" PRIu64 ", expected more where it is shared%s: the store keeps %" PRIu64
        " of it, which is less than it can tell from nothing",
        config->burst, c->strict ? " strictly" : "", bucket);
}

static enum weir_error validate(const struct weir_policy *policy, struct weir_share_config *c)
{
    const struct rate_config *config = policy->config;
    uint64_t most = time_min(config->burst, LEASE_MAX);
    enum weir_error error = share_check_away(c);
    if (error == WEIR_E_NONE) error = validate_rate(config);
    if (error == WEIR_E_NONE) {
        error = error_range(type, "lease_ns", &c->lease_ns, WEIR_S, 50 * WEIR_MS, 60 * WEIR_S);
    }
    if (error == WEIR_E_NONE) {
        error = error_range(type, "lease_max", &c->lease_max, time_max(1, most / 2), 1, most);
    }
    if (error != WEIR_E_NONE) return error;
    return validate_strict(config, c, config->burst - (c->strict ? c->lease_max : 0));
}

static void prepare(struct share *share)
{
    struct rate_object *rate = of(&share->shared);
    const struct rate_config *config = rate_object_config(rate);
    reduce(config, &rate->permits, &rate->period_us);
    rate->burst = config->burst;
    rate->hold_max = share->config.strict ? share->config.lease_max : 0;
    rate->bucket = config->burst - rate->hold_max;
    rate->ask = (struct shared_ask) { .object = &share->shared, .node = 0, .lane = WEIR_LANE_BULK };
    share->shared.stats.instances = share->config.instances;
    struct rate_state *words = rate_object_words(rate);
    rate->refused = counters_sum(share->policy->counters, RATE_REFUSED);
    words->loan.instances = share->config.instances;
    words->loan.deny_until_ns = 0;
    words->loan.wanted = 0;
    words->loan.pace_ns = PACE_MIN_NS;
    rate_loan_begin(config, words, (uint32_t)share->config.lease_max);
}

/* ---- when ---- */

/* After its user left: what it had in hand goes back, if it can. */
static void step_left(struct rate_object *rate, uint64_t now_ns)
{
    bool worth = rate->owed != 0 && now_ns < rate->owed_end_ns;
    if (rate->ask.state != ASK_IDLE) return;
    if (worth && shared_ask_queue(&rate->ask)) return;
    rate->share.shared.unflushed = false;
    rate->share.shared.done = true;
}

static uint64_t next_ask(struct rate_object *rate, uint64_t now_ns)
{
    uint64_t at_ns = rate_next_ask(rate, now_ns);
    if (rate->flushing) at_ns = rate->share.shared.unflushed ? now_ns : WEIR_NEVER;
    else if (rate_object_is_degraded(rate)) at_ns = rate->asked_ns == 0 ? now_ns : rate->asked_ns + PROBE_NS;
    else if (at_ns == WEIR_NEVER) return WEIR_NEVER;
    return time_max(at_ns, rate->after_ns);
}

/* Asks if it is time, and answers when to look again: after a lease at the latest. */
static uint64_t next_look(struct rate_object *rate, uint64_t now_ns)
{
    uint64_t drip_ns = rate_drip(rate, now_ns), at_ns = WEIR_NEVER;
    if (rate->ask.state == ASK_IDLE && shared_lane_is_up(rate->share.shared.link, 0, WEIR_LANE_BULK)) {
        at_ns = next_ask(rate, now_ns);
        if (at_ns <= now_ns) {
            shared_ask_queue(&rate->ask);
            at_ns = WEIR_NEVER; /* until it is answered */
        }
    }
    uint64_t look_ns = now_ns + rate->share.config.lease_ns;
    uint64_t deny_ns = rate_object_words(rate)->loan.deny_until_ns;
    if (deny_ns > now_ns) look_ns = time_min(look_ns, deny_ns);
    return time_min(time_min(at_ns, drip_ns), look_ns);
}

/* An answer is due soon, and it looks then. One that is late may not come: who is refused meanwhile has to be heard. */
static bool is_answered_soon(const struct rate_object *rate)
{
    enum weir_lane_state lane = shared_lane_state(rate->share.shared.link, 0, WEIR_LANE_BULK);
    return rate->ask.state != ASK_IDLE && lane == WEIR_LANE_UP && rate->bad == 0;
}

/* Who is refused rings only if the answer to a question, or the next look, is farther than a pace. */
static void plan(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    uint64_t wake_ns;
    uint32_t wanted;
    rate_settle_state(rate, now_ns);
    do {
        wanted = atomic_load_relaxed(&words->loan.wanted);
        wake_ns = next_look(rate, now_ns);
    } while (!rate_loan_look_at(words, is_answered_soon(rate) ? 0 : wake_ns, wanted));
    shared_wake_at(&rate->share.shared, wake_ns);
}

static void step(struct shared *object, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    if (rate->share.policy == NULL) {
        step_left(rate, now.monotonic_ns);
        return;
    }
    if (object->state == WEIR_SHARE_DETACHED) {
        rate->sized_ns = rate->used_ns = now.monotonic_ns;
        rate_degrade(rate, now.monotonic_ns);
        rate->good = 1; /* there was no absence yet */
    }
    rate_look(rate, now.monotonic_ns);
    plan(rate, now.monotonic_ns);
}

static void lane(struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    (void)node;
    if (lane != WEIR_LANE_BULK) return;
    uint64_t server = shared_lane_server(object->link, 0, WEIR_LANE_BULK);
    if (shared_lane_is_up(object->link, 0, WEIR_LANE_BULK) && server != rate->server) {
        rate->fresh = rate->server != 0;
        rate->server = server;
    }
    if (rate_object_is_degraded(rate) && rate->sequence != 0) {
        uint64_t spread_ns = time_min(rate->share.config.lease_ns / 4, SPREAD_NS);
        rate->after_ns = now.monotonic_ns + random_up_to(shared_random(object->link), spread_ns);
    }
    step(object, now);
}

/* ---- the question ---- */

/* What is more than it should have goes back, as far as it lies in the pocket. */
static uint64_t give_up(struct rate_object *rate, uint64_t target, uint64_t now_ns)
{
    bool idle = rate->flushing || rate_is_idle(rate, now_ns);
    uint64_t keeps = idle ? target : 2 * target;
    return rate_loan_withdraw(rate_object_words(rate), time_since(rate->left, keeps));
}

static void write_numbers(const struct rate_object *rate, uint64_t unspent, struct weir_ask *question)
{
    const struct weir_share_config *c = &rate->share.config;
    int64_t lease_ms = (int64_t)((c->lease_ns + WEIR_MS - 1) / WEIR_MS);
    const int64_t numbers[] = { (int64_t)rate->sequence, (int64_t)rate->permits, (int64_t)rate->period_us,
        (int64_t)rate->bucket, (int64_t)rate->want, (int64_t)unspent, (int64_t)rate->returned,
        (int64_t)rate->debit_told, (int64_t)rate->hold_max, lease_ms,
        rate->fresh ? rate->arrival : -rate->arrival, lease_ms };
    question->kind = WEIR_ASK_RATE;
    question->count = sizeof numbers / sizeof *numbers;
    for (uint32_t i = 0; i < question->count; i++) question->number[i] = numbers[i];
}

/* Open, nothing is lent: it is only asked whether the store is back. */
static uint64_t fill_lent(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    rate_look(rate, now_ns);
    uint64_t wanted = atomic_swap_acq_rel(&words->loan.wanted, 0u);
    uint64_t target = rate->flushing ? 0 : rate_target(rate, wanted, now_ns);
    rate->returned = give_up(rate, target, now_ns);
    rate->left = rate_loan_report(rate_object_config(rate), words);
    rate->want = rate->open ? 0 : time_since(target, rate->left);
    return rate->left;
}

static bool fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    struct rate_object *rate = of(object);
    uint64_t unspent = 0;
    (void)ask;
    if (rate->share.policy != NULL) {
        unspent = fill_lent(rate, now.monotonic_ns);
    } else {
        rate->want = 0;
        rate->returned = rate->owed;
        rate->owed = 0;
    }
    rate->sequence++;
    rate->debit_told = rate->debit;
    rate->asked_ns = now.monotonic_ns;
    question->deadline_ns = time_add(now.monotonic_ns, DEADLINE_NS);
    write_numbers(rate, unspent, question);
    return true;
}

/* ---- the answer ---- */

enum { GRANTED, ARRIVAL, NOW, INSTANCES, WAIT_US, OF_ALL, NUMBERS };

/* What it says is told to the store again: numbers that none can be are not taken. */
static bool is_good(const struct weir_answer *answer)
{
    if (answer->kind != WEIR_ANSWER_DONE || answer->count < NUMBERS) return false;
    if (answer->number[GRANTED] < 0 || answer->number[INSTANCES] < 1) return false;
    return answer->number[ARRIVAL] >= 0 && (uint64_t)answer->number[ARRIVAL] < EXACT;
}

/* Whatever is left is good for as long as what was granted: the store was told of it. */
static void lend(struct rate_object *rate, uint64_t granted, uint64_t now_ns)
{
    struct shared *shared = &rate->share.shared;
    struct rate_state *words = rate_object_words(rate);
    uint64_t end_ns = rate->asked_ns + rate_good_for(rate);
    shared->stats.lent += granted;
    if (now_ns >= end_ns || rate->open) {
        shared->stats.expired += granted;
        return;
    }
    if (granted != 0) rate->dripping = false;
    rate_loan_add(words, granted, time_max(end_ns, words->loan.end_ns));
    rate->left = rate_loan_left(rate_object_config(rate), words);
    if (granted >= atomic_load_relaxed(&words->loan.wanted)) atomic_store_relaxed(&words->loan.wanted, 0);
}

/* None was there: nobody asks before there is one; and not all at once. An empty bucket is full again, and a lease over, in a
 * time that is known: no answer keeps anybody away for longer. */
static void deny(struct rate_object *rate, uint64_t wait_us, uint64_t now_ns)
{
    struct shared *shared = &rate->share.shared;
    uint64_t full_ns = multiply_saturating(rate->burst + 1, rate->period_us * WEIR_US) / rate->permits;
    uint64_t wait_ns = time_min(wait_us * WEIR_US, time_add(full_ns, rate->share.config.lease_ns));
    wait_ns = time_max(wait_ns, rate_pace(rate));
    wait_ns += random_up_to(shared_random(shared->link), wait_ns / 8);
    atomic_store_relaxed(&rate_object_words(rate)->loan.deny_until_ns, now_ns + wait_ns);
}

static void take_answer(struct rate_object *rate, const struct weir_answer *answer, uint64_t now_ns)
{
    struct shared *shared = &rate->share.shared;
    struct rate_state *words = rate_object_words(rate);
    uint64_t granted = time_min((uint64_t)answer->number[GRANTED], rate->want);
    rate->arrival = answer->number[ARRIVAL];
    rate->fresh = false;
    shared->stats.instances = (uint32_t)time_min((uint64_t)answer->number[INSTANCES], 100000);
    shared->stats.returned += rate->returned;
    shared->stats.debited += rate->debit_told;
    rate->debit -= rate->debit_told;
    atomic_store_relaxed(&words->loan.instances, shared->stats.instances);
    uint64_t pace_ns = time_min(time_max(shared->stats.round_trip_ns, PACE_MIN_NS), UINT32_MAX);
    atomic_store_relaxed(&words->loan.pace_ns, (uint32_t)pace_ns);
    rate_look(rate, now_ns);
    if (!rate_object_is_degraded(rate)) atomic_store_relaxed(&words->loan.deny_until_ns, 0);
    lend(rate, granted, now_ns);
    if (rate->want != 0 && granted == 0)
        deny(rate, time_min((uint64_t)answer->number[WAIT_US], UINT32_MAX * UINT64_C(1000)), now_ns);
}

/* Its user left while it was asked, or it gave back what was left: what came goes back, too. */
static void answer_left(struct rate_object *rate, const struct weir_answer *answer, uint64_t now_ns)
{
    if (answer != NULL) {
        rate->owed += time_min((uint64_t)answer->number[GRANTED], rate->want);
        rate->owed_end_ns = rate->asked_ns + rate_good_for(rate);
        rate->share.shared.stats.returned += rate->returned;
    }
    rate->returned = rate->want = 0;
    step_left(rate, now_ns);
}

static void answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *answer, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    rate->asked_ns = ask->sent_ns; /* earlier by what the machine has slept since */
    bool good = is_good(answer);
    if (rate->share.policy == NULL) {
        answer_left(rate, good ? answer : NULL, now.monotonic_ns);
        return;
    }
    rate->good = good ? (uint8_t)time_min(rate->good + 1u, 100) : 0;
    rate->bad = good ? 0 : (uint8_t)time_min(rate->bad + 1u, 100);
    if (good) take_answer(rate, answer, now.monotonic_ns);
    else rate_look(rate, now.monotonic_ns);
    rate->returned = 0;
    object->unflushed = rate->flushing && good && rate_loan_pocket(rate_object_words(rate)) != 0;
    plan(rate, now.monotonic_ns);
}

/* ---- the end ---- */

static void slept(struct shared *object, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    if (rate->share.policy == NULL) rate->owed = 0;
    else if (!rate->open && rate->left != 0) rate_lapse(rate);
    shared_wake_at(object, now.monotonic_ns);
}

static void flush(struct shared *object, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    if (rate->share.policy == NULL || rate->open) return;
    rate->flushing = true;
    rate_look(rate, now.monotonic_ns);
    object->unflushed = rate->left != 0 && shared_lane_is_up(object->link, 0, WEIR_LANE_BULK);
    plan(rate, now.monotonic_ns);
}

static void closed(struct shared *object, struct weir_instants now)
{
    struct rate_object *rate = of(object);
    object->unflushed = false;
    if (rate->share.policy == NULL || rate->open) return;
    rate_loan_end(rate_object_config(rate), rate_object_words(rate), 0, now.monotonic_ns);
}

/* Its own limit holds at once, from an empty bucket: what was lent goes back. */
static void leave(struct shared *object)
{
    struct rate_object *rate = of(object);
    struct rate_state *words = rate_object_words(rate);
    if (!rate->open && rate_is_shared(words)) {
        rate->owed_end_ns = words->loan.end_ns;
        rate->owed = rate_loan_end(rate_object_config(rate), words, 0, words->loan.at_ns);
    }
    object->unflushed = rate->owed != 0;
    rate->share.policy = NULL;
}

static void report(const struct shared *object, struct weir_share_stats *stats)
{
    const struct rate_object *rate = (const struct rate_object *)object;
    const struct rate_state *words = rate_object_words(rate);
    stats->held = rate_is_shared(words) ? rate_loan_left(rate_object_config(rate), words) : 0;
    stats->lease_end_ns = atomic_load_relaxed(&words->loan.end_ns);
    stats->denied = counters_sum(rate->share.policy->counters, RATE_DENIED);
}

static void destroy(struct shared *object)
{
    free(object);
}

static const struct shared_ops rate_ops = {
    .step = step,
    .fill = fill,
    .answer = answer,
    .lane = lane,
    .slept = slept,
    .flush = flush,
    .closed = closed,
    .leave = leave,
    .report = report,
    .destroy = destroy,
};

const struct share_kind share_rate = {
    .ops = &rate_ops, .size = sizeof(struct rate_object), .validate = validate, .prepare = prepare
};
