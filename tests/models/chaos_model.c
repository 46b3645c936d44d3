/* chaos: the n-th call's fate by a table of thresholds, and one call's way through it, written down once more. */
#include "models/model.h"

#include "policy/handle.h"

#include <weir/chaos.h>

#include <string.h>

#define LIVE 8 /* calls at once */

enum fate { UNHARMED, LATE, ERROR, RESULT, LOST };
enum place { NOWHERE, WAITING, RUNS, KEPT }; /* of a call */

struct chaos {
    struct weir_policy *policy;
    struct weir_chaos_config config;
    uint64_t seed; /* of the draws */
    bool on, started;
    uint64_t until, number, held, harmed[4], spared[4];
    struct {
        struct weir_call call;
        enum place place;
        enum fate fate;
        uint64_t since, until;
    } live[LIVE];
};

/* The number-th pair of splitmix64 from a mixed seed. */
static uint64_t mixed(uint64_t z)
{
    z ^= z >> 30;
    z *= UINT64_C(0xbf58476d1ce4e5b9);
    z ^= z >> 27;
    z *= UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t drawn(const struct chaos *model, uint64_t which, uint64_t below)
{
    uint64_t word = mixed(model->seed + (2 * model->number + which + 1) * UINT64_C(0x9e3779b97f4a7c15));
    return (uint64_t)((unsigned __int128)word * below >> 64);
}

static enum fate fate_of(const struct chaos *model, uint64_t now)
{
    const struct weir_chaos_config *c = &model->config;
    uint64_t rates[4] = { c->latency_ppm, c->error_ppm, c->result_ppm, c->lost_ppm };
    uint64_t sum = rates[0] + rates[1] + rates[2] + rates[3], hit = sum;
    uint64_t began = model->until - c->duration_ns;
    if (c->burst_ns != 0 && (now < began ? 0 : now - began) % c->burst_every_ns < c->burst_ns) {
        hit = sum * c->burst_factor;
    }
    if (hit > 1000000) hit = 1000000;
    uint64_t draw = drawn(model, 0, 1000000);
    if (draw >= hit) return UNHARMED;
    uint64_t share = draw * sum / hit, upper = 0;
    for (int i = 0; i < 4; i++) {
        upper += rates[i];
        if (share < upper) return (enum fate)(LATE + i);
    }
    return UNHARMED;
}

static bool place_for(struct chaos *model, enum fate fate)
{
    bool room = model->held < model->config.held_max;
    if (room) model->held++;
    if (room) model->harmed[fate - LATE]++;
    else model->spared[fate - LATE]++;
    return room;
}

static struct weir_verdict ask(struct chaos *model, uint32_t i, uint64_t now)
{
    struct weir_call *call = &model->live[i].call;
    call->held = model->live[i].place == WAITING ? call->cursor + 1 : 0;
    return model->policy->ops->admit(model->policy->config, model->policy->state, &call->slot[3], call, now);
}

static struct weir_verdict tell(struct chaos *model, uint32_t i, struct weir_outcome *outcome, uint64_t now)
{
    struct weir_call *call = &model->live[i].call;
    return model->policy->ops->settle(
        model->policy->config, model->policy->state, &call->slot[3], call, outcome, now);
}

static void came_in(struct chaos *model, uint32_t i, uint64_t now)
{
    enum fate fate = UNHARMED;
    memset(&model->live[i], 0, sizeof model->live[i]);
    model->live[i].call.cursor = 3;
    if (model->on && !model->started) {
        model->started = true;
        model->until = now + model->config.duration_ns;
    }
    if (model->on && now >= model->until) model->on = false;
    if (model->on) {
        fate = fate_of(model, now);
        model->live[i].until = now + model->config.latency_min_ns +
            drawn(model, 1, model->config.latency_max_ns - model->config.latency_min_ns + 1);
        model->number++;
    }
    if (fate == LATE && !place_for(model, fate)) fate = UNHARMED;
    static const enum weir_verdict_kind kinds[] = { WEIR_PASS, WEIR_HOLD, WEIR_SKIP, WEIR_PASS, WEIR_PASS };
    SAME(ask(model, i, now).kind, kinds[fate], "chaos: admit");
    model->live[i].place = fate == LATE ? WAITING : RUNS;
    model->live[i].fate = fate;
    model->live[i].since = now;
}

static void waited(struct chaos *model, uint32_t i, uint64_t now)
{
    bool over = now >= model->live[i].until || !model->on || (model->started && now >= model->until);
    struct weir_verdict verdict = ask(model, i, now);
    SAME(verdict.kind, over ? WEIR_PASS : WEIR_HOLD, "chaos: admit of a held call");
    if (!over) {
        uint64_t look = now + 100 * WEIR_MS, end = model->live[i].until;
        SAME(verdict.at_ns, look < end ? look : end, "chaos: when it looks again");
        return;
    }
    model->held--;
    model->live[i].place = RUNS;
}

/* Comes out, or is lost; over: its time is over, or it was canceled. */
static void came_out(struct chaos *model, uint32_t i, bool over, uint64_t now)
{
    enum fate fate = model->live[i].fate;
    bool kept = model->live[i].place == KEPT, freed = !model->on || (model->started && now >= model->until);
    struct weir_outcome outcome = { .status = fate == ERROR ? WEIR_IGNORED : WEIR_OK, .code = 5 };
    enum weir_verdict_kind kind = WEIR_PASS;
    if (fate == ERROR) outcome.by = 4;
    if (fate == ERROR) model->harmed[ERROR - LATE]++;
    if (fate == ERROR) kind = WEIR_ANSWER;
    if (fate == RESULT && !over) model->harmed[RESULT - LATE]++;
    if (fate == RESULT && !over) kind = WEIR_ANSWER;
    if (fate == LOST && !kept && !over && place_for(model, fate)) kind = WEIR_HOLD;
    if (kept && !over && !freed) {
        kind = now >= model->live[i].since + model->config.lost_max_ns ? WEIR_ANSWER : WEIR_HOLD;
    }
    model->live[i].call.ending = over;
    model->live[i].call.ran_ns = 1;
    SAME(tell(model, i, &outcome, now).kind, kind, "chaos: settle");
    SAME(outcome.reason, kind == WEIR_ANSWER ? WEIR_REASON_CHAOS : WEIR_REASON_NONE, "chaos: reason");
    if (kind != WEIR_ANSWER) SAME(outcome.code, 5, "chaos: what is not harmed");
    if (kind == WEIR_HOLD) {
        if (!kept) model->live[i].since = now;
        model->live[i].place = KEPT;
        return;
    }
    model->held -= kept;
    model->live[i].place = NOWHERE;
}

static struct weir_chaos_config draw_config(uint64_t *seed)
{
    struct weir_chaos_config c = { .size = sizeof c,
        .seed = model_draw(seed) | 1,
        .latency_ppm = (uint32_t)model_below(seed, 250001),
        .error_ppm = (uint32_t)model_below(seed, 250001),
        .result_ppm = (uint32_t)model_below(seed, 250001),
        .lost_ppm = (uint32_t)model_between(seed, 1, 250000),
        .duration_ns = model_between(seed, 1, 3000) * WEIR_MS,
        .latency_min_ns = model_between(seed, 1, 50) * WEIR_MS,
        .latency_max_ns = model_between(seed, 50, 400) * WEIR_MS,
        .lost_max_ns = model_between(seed, 1, 500) * WEIR_MS,
        .held_max = (uint32_t)model_between(seed, 1, 4) };
    if (model_below(seed, 2) == 0) return c;
    c.burst_ns = model_between(seed, 1, 50) * WEIR_MS;
    c.burst_every_ns = c.burst_ns + model_below(seed, 100) * WEIR_MS;
    c.burst_factor = (uint32_t)model_between(seed, 2, 50);
    return c;
}

static void compare(const struct chaos *model)
{
    struct weir_chaos_stats stats = weir_chaos_stats(model->policy);
    SAME(stats.held, model->held, "chaos: held");
    SAME(stats.calls, model->number, "chaos: calls");
    SAME(stats.enabled, model->on, "chaos: enabled");
    for (int i = 0; i < 4; i++) {
        SAME(stats.injected[i], model->harmed[i], "chaos: injected");
        SAME(stats.spared[i], model->spared[i], "chaos: spared");
    }
}

static void flip(struct chaos *model, bool on)
{
    weir_chaos_set_enabled(model->policy, on);
    model->on = on;
    model->started = false;
    if (on) model->number = 0;
}

void chaos_model(const struct program *program)
{
    static struct chaos model;
    uint64_t seed = program->seed, now = 1000 * WEIR_S;
    memset(&model, 0, sizeof model);
    model.config = draw_config(&seed);
    model.seed = mixed(model.config.seed);
    model.on = true;
    HOLDS(weir_chaos_create(&model.config, &model.policy) == WEIR_E_NONE, "chaos: create");
    for (uint32_t k = 0; k < program->count; k++) {
        const struct op *op = &program->op[k];
        uint32_t i = op->a % LIVE;
        now += op->b % (40 * WEIR_MS);
        if (op->kind < 8) {
            flip(&model, op->kind < 6);
        } else if (model.live[i].place == NOWHERE) {
            came_in(&model, i, now);
        } else if (model.live[i].place == WAITING) {
            waited(&model, i, now);
        } else {
            came_out(&model, i, op->kind % 4 == 0 && model.live[i].fate != ERROR, now);
        }
        compare(&model);
    }
    weir_policy_release(model.policy);
}
