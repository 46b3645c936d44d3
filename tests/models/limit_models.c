/* bulkhead: counters and a list of who waits. rate and budget: a log of all that was taken. */
#include "models/model.h"

#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/rate.h"

#include <string.h>

/* ---- bulkhead ---- */

struct permit {
    struct weir_call call;
    struct weir_slot slot;
    uint32_t weight;
    uint64_t until;
    bool taken, waits, granted, dismissed; /* dismissed: granted nothing, it is too heavy now */
};

#define PERMITS 40

struct bulkhead {
    struct weir_policy *policy;
    uint32_t limit, first_limit, queue, in_use;
    uint64_t wait_max;
    struct permit permit[PERMITS];
    struct permit *list[PERMITS]; /* who waits, the first first */
    uint32_t waiting;
    uint64_t full, queue_full, timed_out, queued, handed, left;
};

static bool hand_over(struct bulkhead *model)
{
    bool any = false;
    for (uint32_t i = 0; i < model->waiting; i++) {
        struct permit *first = model->list[i];
        if (first->granted) continue;
        first->dismissed = first->weight > model->limit;
        if (first->dismissed) {
            first->granted = any = true;
            continue;
        }
        if (model->in_use + first->weight > model->limit) break;
        model->in_use += first->weight;
        first->granted = any = true;
    }
    return any;
}

/* Who was handed nothing yet. */
static uint32_t unserved(const struct bulkhead *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->waiting; i++) count += !model->list[i]->granted;
    return count;
}

static void leave_list(struct bulkhead *model, const struct permit *permit)
{
    uint32_t i = 0;
    while (model->list[i] != permit) i++;
    for (model->waiting--; i < model->waiting; i++) model->list[i] = model->list[i + 1];
}

/* What next_woken names must be just those that were newly served. */
static void compare_woken(struct bulkhead *model, struct weir_verdict verdict, bool any)
{
    SAME((verdict.flags & WEIR_VERDICT_WAKE) != 0, any, "bulkhead: somebody is to be woken");
    if ((verdict.flags & WEIR_VERDICT_WAKE) == 0) return;
    while (model->policy->ops->next_woken(model->policy->config, model->policy->state) != 0) continue;
}

static void enter(struct bulkhead *model, struct permit *permit, const struct op *op, uint64_t now)
{
    uint32_t shard = op->b % LINES;
    permit->weight = op->a % 4 == 0 ? 1 + op->a / 4 % 6 : 1;
    permit->call = (struct weir_call) {
        .flags = CALL_WEIGHTED, .weight = permit->weight, .shard = (uint16_t)shard, .cursor = 1
    };
    struct weir_verdict verdict = model->policy->ops->admit(
        model->policy->config, model->policy->state, &permit->slot, &permit->call, now);
    bool fits = model->in_use + permit->weight <= model->limit;
    uint32_t places = model->queue + (model->queue < model->first_limit ? model->queue : model->first_limit);
    if (fits && unserved(model) == 0) {
        SAME(verdict.kind, WEIR_PASS, "bulkhead: a free permit");
        model->in_use += permit->weight;
        permit->taken = true;
    } else if (model->queue == 0 || permit->weight > model->limit) {
        SAME(verdict.kind << 8 | verdict.reason, WEIR_REFUSE << 8 | WEIR_REASON_BULKHEAD_FULL,
            "bulkhead: full");
        model->full++;
    } else if (unserved(model) == model->queue || model->waiting == places) {
        SAME(verdict.kind << 8 | verdict.reason, WEIR_REFUSE << 8 | WEIR_REASON_QUEUE_FULL,
            "bulkhead: queue full");
        model->queue_full++;
    } else {
        permit->until = now + model->wait_max;
        permit->granted = false;
        permit->waits = true;
        permit->call.held = 2;
        model->list[model->waiting++] = permit;
        model->queued++;
        SAME(verdict.kind, WEIR_HOLD, "bulkhead: queued");
        SAME(verdict.at_ns, permit->until, "bulkhead: until when it waits");
    }
    compare_woken(model, verdict, false);
}

static void ask_again(struct bulkhead *model, struct permit *permit, uint64_t now)
{
    struct weir_verdict verdict = model->policy->ops->admit(
        model->policy->config, model->policy->state, &permit->slot, &permit->call, now);
    bool any = false;
    if (permit->dismissed) {
        SAME(verdict.kind << 8 | verdict.reason, WEIR_REFUSE << 8 | WEIR_REASON_BULKHEAD_FULL,
            "bulkhead: too heavy for the limit now");
        permit->granted = permit->dismissed = false;
        model->full++;
        model->left++;
    } else if (permit->granted) {
        SAME(verdict.kind, WEIR_PASS, "bulkhead: handed over");
        permit->taken = true;
        model->handed++;
    } else if (now < permit->until) {
        SAME(verdict.kind, WEIR_HOLD, "bulkhead: waits on");
        return;
    } else {
        SAME(verdict.kind << 8 | verdict.reason, WEIR_REFUSE << 8 | WEIR_REASON_QUEUE_WAIT,
            "bulkhead: waited too long");
        model->timed_out++;
        model->left++;
    }
    leave_list(model, permit);
    permit->waits = false;
    permit->call.held = 0;
    if (!permit->taken) any = hand_over(model);
    compare_woken(model, verdict, any);
}

static void give_back(struct bulkhead *model, struct permit *permit, uint64_t now)
{
    struct weir_outcome outcome = { .status = WEIR_FAILED };
    struct weir_verdict verdict = model->policy->ops->settle(
        model->policy->config, model->policy->state, &permit->slot, &permit->call, &outcome, now);
    if (permit->waits) {
        leave_list(model, permit);
        model->left++;
    }
    bool held = permit->taken || permit->granted;
    if (held && !permit->dismissed) model->in_use -= permit->weight;
    permit->taken = permit->waits = permit->granted = permit->dismissed = false;
    permit->call.held = 0;
    compare_woken(model, verdict, hand_over(model));
}

static void compare_bulkhead(const struct bulkhead *model)
{
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(model->policy);
    SAME(stats.limit, model->limit, "bulkhead: limit");
    SAME(stats.in_use, model->in_use, "bulkhead: in use");
    SAME(stats.waiting, model->waiting, "bulkhead: waiting");
    SAME(stats.refused_full, model->full, "bulkhead: refused full");
    SAME(stats.refused_queue_full, model->queue_full, "bulkhead: refused queue full");
    SAME(stats.refused_wait, model->timed_out, "bulkhead: refused wait");
    SAME(stats.queued, model->queued, "bulkhead: queued");
    SAME(stats.handed_over, model->handed, "bulkhead: handed over");
    SAME(stats.left, model->left, "bulkhead: left");
}

static void bulkhead_operation(struct bulkhead *model, const struct op *op, uint64_t *now)
{
    struct permit *permit = &model->permit[op->a % PERMITS];
    *now += op->kind % 8 == 0 ? op->b % (2 * model->wait_max) : op->b % 100;
    if (op->kind % 32 == 31) {
        uint32_t limit = 1 + op->a % 12;
        HOLDS(weir_bulkhead_set_limit(model->policy, limit) == WEIR_E_NONE, "bulkhead: set_limit");
        model->limit = limit;
        hand_over(model);
    } else if (permit->taken || (permit->waits && op->kind % 4 == 3)) {
        give_back(model, permit, *now);
    } else if (permit->waits) {
        ask_again(model, permit, *now);
    } else {
        enter(model, permit, op, *now);
    }
}

void bulkhead_model(const struct program *program)
{
    static struct bulkhead model;
    uint64_t seed = program->seed, now = 1000;
    memset(&model, 0, sizeof model);
    struct weir_bulkhead_config config = { .size = sizeof config };
    model.limit = model.first_limit = config.limit =
        (uint32_t)model_between(&seed, 1, model_below(&seed, 2) != 0 ? 6 : 40);
    model.queue = config.queue = (uint32_t)model_below(&seed, 9);
    model.wait_max = config.wait_max_ns = model_between(&seed, 10, 5000);
    config.form = (enum weir_form)model_below(&seed, 3);
    HOLDS(weir_bulkhead_create(&config, &model.policy) == WEIR_E_NONE, "bulkhead: create");
    for (uint32_t i = 0; i < program->count; i++) {
        bulkhead_operation(&model, &program->op[i], &now);
        compare_bulkhead(&model);
    }
    for (uint32_t i = 0; i < PERMITS; i++) {
        if (model.permit[i].taken || model.permit[i].waits) give_back(&model, &model.permit[i], now);
    }
    SAME(weir_bulkhead_stats(model.policy).in_use, 0, "bulkhead: in use at the end");
    weir_policy_release(model.policy);
}

/* ---- a log ---- */

struct entry {
    uint64_t at;     /* taken then, in quarters of a nanosecond */
    __int128 amount; /* what was given back is an entry below 0 */
    uint64_t turn;
    __int128 kept;
};

struct log {
    struct entry entry[2 * OPS_MAX];
    uint32_t count;
    uint64_t span, promised;
};

/* When all that was taken would have flowed off, and `amount` more: of every suffix, its start and its sum. */
static uint64_t flown_off(const struct log *log, uint64_t now, uint64_t amount)
{
    __int128 sum = amount, latest = (__int128)now + amount;
    for (uint32_t i = log->count; i-- > 0;) {
        sum += log->entry[i].amount;
        if (log->entry[i].at + sum > latest) latest = log->entry[i].at + sum;
    }
    return (uint64_t)latest;
}

static uint64_t turn_of(const struct log *log, uint64_t now, uint64_t amount)
{
    uint64_t end = flown_off(log, now, amount);
    return end > now + log->span ? end - log->span : now;
}

static struct entry *take(struct log *log, uint64_t now, uint64_t turn, uint64_t amount)
{
    struct entry *entry = &log->entry[log->count++];
    *entry = (struct entry) { now, (__int128)amount, turn, (__int128)amount };
    if (turn > now && turn > log->promised) log->promised = turn;
    return entry;
}

/* Only what has not grown back, and what nobody was promised a turn on. */
static void return_entry(struct log *log, struct entry *entry, uint64_t now, uint64_t amount)
{
    uint64_t grown = now > log->promised ? now : log->promised;
    uint64_t left = entry->turn + amount > grown ? entry->turn + amount - grown : 0;
    if (left > amount) left = amount;
    if (left > flown_off(log, 0, 0)) left = flown_off(log, 0, 0);
    entry->kept -= left;
    log->entry[log->count++] = (struct entry) { 0, -(__int128)left, 0, 0 };
}

/* Every window, each by itself: what had its turn in it is at most a full bucket and what grew meanwhile. */
static void check_windows(const struct log *log, __int128 slack)
{
    for (uint32_t i = 0; i < log->count; i++) {
        if (log->entry[i].kept <= 0) continue;
        for (uint32_t j = 0; j < log->count; j++) {
            if (log->entry[j].kept <= 0 || log->entry[j].turn < log->entry[i].turn) continue;
            __int128 sum = 0;
            for (uint32_t k = 0; k < log->count; k++) {
                bool within =
                    log->entry[k].turn >= log->entry[i].turn && log->entry[k].turn <= log->entry[j].turn;
                if (within) sum += log->entry[k].kept;
            }
            __int128 most = (__int128)log->span + (log->entry[j].turn - log->entry[i].turn) + slack;
            HOLDS(sum <= most, "rate: a window held more than burst + rate * t");
        }
    }
}

/* ---- rate ---- */

struct turn {
    struct weir_permit permit;
    struct entry *entry;
    uint64_t amount;
    bool out;
};

struct rate {
    struct weir_policy *policy;
    struct log log;
    uint64_t token, burst, lease;
    struct turn turn[8];
};

static void acquire(struct rate *model, const struct op *op, uint64_t now_ns)
{
    uint32_t cost = 1 + (op->a % 4 == 0 ? op->a / 4 % 12 : 0), shard = op->b % LINES;
    uint64_t now = now_ns * 4, amount = cost * model->token;
    weir_thread.shard = shard + 1;
    struct weir_outcome outcome = weir_rate_acquire_at(model->policy, cost, now_ns);
    bool passed = outcome.status == WEIR_OK;
    if (model->lease == 0) {
        bool fits = cost <= model->burst && turn_of(&model->log, now, amount) == now;
        SAME(passed, fits, "rate: acquire");
        uint64_t wait = cost > model->burst ? 0 : (turn_of(&model->log, now, amount) - now + 3) / 4;
        if (!passed) SAME(outcome.retry_after_ns, wait, "rate: retry after");
    } else if (!passed) { /* leases may hide at most this much from it */
        uint64_t hidden = SHARDS * model->lease * model->token;
        bool fits = cost <= model->burst && turn_of(&model->log, now, amount + hidden) == now;
        HOLDS(!fits, "rate: refused though there is enough, leases counted");
    }
    if (passed) take(&model->log, now, now, amount);
}

static void reserve(struct rate *model, struct turn *turn, const struct op *op, uint64_t now_ns)
{
    uint32_t cost = 1 + op->a % 5;
    uint64_t wait_ns = op->b % 4 == 0 ? 0 : op->b % 5000000, now = now_ns * 4, at_ns;
    turn->amount = cost * model->token;
    struct weir_outcome outcome =
        weir_rate_reserve_at(model->policy, cost, wait_ns, now_ns, &turn->permit, &at_ns);
    uint64_t when = turn_of(&model->log, now, turn->amount);
    bool fits = cost <= model->burst && when <= now + wait_ns * 4;
    SAME(outcome.status == WEIR_OK, fits, "rate: reserve");
    if (!fits) return;
    SAME(at_ns, when == now ? now_ns : (when + 3) / 4, "rate: its turn");
    turn->entry = take(&model->log, now, when, turn->amount);
    turn->out = true;
}

static void rate_operation(struct rate *model, const struct op *op, uint64_t now_ns)
{
    struct turn *turn = &model->turn[op->a % 8];
    bool single = model->lease == 0;
    if (single && op->kind % 4 == 1 && turn->out) {
        weir_rate_give_back_at(model->policy, &turn->permit, now_ns);
        return_entry(&model->log, turn->entry, now_ns * 4, turn->amount);
        turn->out = false;
    } else if (single && op->kind % 4 == 2 && !turn->out) {
        reserve(model, turn, op, now_ns);
    } else {
        acquire(model, op, now_ns);
    }
    if (!single) return;
    uint64_t end = flown_off(&model->log, now_ns * 4, 0);
    uint64_t room = now_ns * 4 + model->log.span > end ? now_ns * 4 + model->log.span - end : 0;
    SAME(weir_rate_stats(model->policy, now_ns).tokens, room / model->token, "rate: tokens");
}

void rate_model(const struct program *program)
{
    static struct rate model;
    uint64_t seed = program->seed, now_ns = 1000000000;
    memset(&model, 0, sizeof model);
    struct weir_rate_config config = { .size = sizeof config };
    config.permits = model_between(&seed, 1, 1000);
    config.period_ns = model_between(&seed, 1000, 10000000);
    if (config.permits > config.period_ns * 4) config.permits = config.period_ns;
    config.burst = model_between(&seed, 1, model_below(&seed, 2) != 0 ? 10 : 500);
    config.form = (enum weir_form)model_below(&seed, 3);
    HOLDS(weir_rate_create(&config, &model.policy) == WEIR_E_NONE, "rate: create");
    model.token = (config.period_ns * 4 + config.permits - 1) / config.permits;
    model.burst = config.burst;
    model.lease = weir_rate_stats(model.policy, 0).lease;
    model.log.span = config.burst * model.token;
    bool ordered = model_below(&seed, 4) != 0;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        uint64_t step = op->kind % 16 == 0 ? op->b % (model.log.span / 2 + 1) : op->b % (model.token / 4 + 2);
        now_ns += step;
        if (!ordered && op->kind % 16 == 5) now_ns -= op->b % 50000; /* a clock behind */
        rate_operation(&model, op, now_ns);
    }
    bool cheap = model.log.count <= 60; /* each window by itself is cubic */
    if (ordered && cheap) check_windows(&model.log, (__int128)SHARDS * model.lease * model.token);
    weir_thread.shard = 1;
    weir_policy_release(model.policy);
}

/* ---- budget ---- */

void budget_model(const struct program *program)
{
    struct weir_budget *budget;
    uint64_t seed = program->seed, now_ns = 1000000000, charged = 0, denied = 0, refunded = 0;
    struct weir_budget_config config = { .size = sizeof config,
        .percent = (uint32_t)model_between(&seed, 1, 100),
        .floor_per_s = (uint32_t)model_between(&seed, 1, 50) };
    HOLDS(weir_budget_create(&config, &budget) == WEIR_E_NONE, "budget: create");
    /* Debt, in units that flow off one each quarter of a nanosecond; full at ten seconds' worth of tokens. */
    __int128 token = (4000000000 + config.floor_per_s - 1) / config.floor_per_s, debt = 0;
    __int128 full = 10 * config.floor_per_s * token;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        uint64_t passed = op->kind % 8 == 0 ? op->b : op->b % 20000000;
        now_ns += passed;
        debt = debt > passed * 4 ? debt - passed * 4 : 0;
        if (op->kind / 8 % 4 == 0) {
            uint64_t calls = 1 + op->a % 40;
            budget_deposit(budget, calls, now_ns);
            __int128 amount = calls * config.percent * token / 100;
            debt = debt > amount ? debt - amount : 0;
        } else if (op->kind / 8 % 8 == 1) {
            budget_refund(budget, now_ns);
            debt = debt > token ? debt - token : 0;
            refunded++;
        } else {
            bool may = debt + token <= full;
            SAME(budget_charge(budget, now_ns), may, "budget: charge");
            if (may) debt += token;
            charged += may;
            denied += !may;
        }
        struct weir_budget_stats stats = weir_budget_stats(budget, now_ns);
        SAME(stats.tokens, (full - debt) / token, "budget: tokens");
        SAME(stats.charged << 40 | stats.denied << 20 | stats.refunded,
            charged << 40 | denied << 20 | refunded, "budget: counters");
    }
    weir_budget_release(budget);
}
