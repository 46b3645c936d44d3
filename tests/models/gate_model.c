/* The gate: where each call stands among a million, written down once more, and who is let in up to where. */
#include "models/model.h"

#include "policy/handle.h"

#include <weir/gate.h>

#define MILLION 1000000

/* splitmix64's output function, by the paper. */
static uint64_t stir(uint64_t z)
{
    z ^= z >> 30;
    z *= UINT64_C(13787848793156543929);
    z ^= z >> 27;
    z *= UINT64_C(10723151780598845931);
    z ^= z >> 31;
    return z;
}

/* 32 bits are a fraction of 2^32: that fraction of a million, rounded down. */
static uint64_t stands_at(uint64_t bits)
{
    return (bits / 4294967296) * MILLION / 4294967296;
}

struct twin {
    struct weir_policy *policy;
    uint64_t salt, share, refused, keyless;
    bool by_key;
};

static bool lets_in(const struct twin *model, uint64_t key, uint64_t seed)
{
    if (!model->by_key) return stands_at(stir(seed + UINT64_C(11400714819323198485))) < model->share;
    uint64_t stands = key == 0 ? MILLION - 1 : stands_at(stir(key ^ stir(model->salt)));
    return stands < model->share;
}

static void ask(struct twin *model, const struct op *op)
{
    struct weir_call call = { .shard = 0, .flags = CALL_SEEDED, .random = op->b };
    call.key = op->a % 5 == 0 ? 0 : op->a % 1000 * (op->kind % 2 == 0 ? 1 : UINT64_C(1) << 40);
    call.keyed = call.key != 0;
    bool first = op->b % 2 == 0, in = lets_in(model, call.key, op->b);
    admit_hook *admit = first ? model->policy->first : model->policy->ops->admit;
    struct weir_verdict verdict =
        admit(model->policy->config, model->policy->state, &call.slot[0], &call, op->b);
    SAME(verdict.kind, in ? WEIR_PASS : WEIR_REFUSE, "gate: lets in");
    SAME(verdict.reason, in ? WEIR_REASON_NONE : WEIR_REASON_GATE, "gate: reason");
    SAME(verdict.at_ns, 0, "gate: when to ask again");
    if (in) return;
    if (model->by_key && call.key == 0) model->keyless++;
    else model->refused++;
}

static void change(struct twin *model, const struct op *op)
{
    static const uint32_t special[] = { 0, 1, MILLION - 1, MILLION, MILLION + 1, UINT32_MAX, UINT32_MAX - 1 };
    uint32_t share = op->b % 3 == 0 ? special[op->a % 7] : op->a % MILLION;
    bool none = share == UINT32_MAX, good = none || share <= MILLION;
    enum weir_error error = weir_gate_set_share(model->policy, share);
    SAME(error, good ? WEIR_E_NONE : WEIR_E_INVALID, "gate: set_share");
    if (good) model->share = none ? 0 : share;
}

void gate_model(const struct program *program)
{
    uint64_t seed = program->seed;
    struct twin model = { .share = model_below(&seed, 4) == 0 ? MILLION : model_below(&seed, MILLION),
        .salt = model_between(&seed, 1, 1000),
        .by_key = model_below(&seed, 3) != 0 };
    struct weir_gate_config config = { .size = sizeof config,
        .share = model.share == 0 ? WEIR_OFF32 : (uint32_t)model.share,
        .by = model.by_key ? WEIR_GATE_BY_KEY : WEIR_GATE_BY_CALL,
        .salt = model.salt };
    HOLDS(weir_gate_create(&config, &model.policy) == WEIR_E_NONE, "gate: create");
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        if (op->kind % 8 == 7) change(&model, op);
        else ask(&model, op);
        struct weir_gate_stats stats = weir_gate_stats(model.policy);
        SAME(stats.share, model.share, "gate: share");
        SAME(stats.salt, model.salt, "gate: salt");
        SAME(stats.refused, model.refused, "gate: refused");
        SAME(stats.refused_keyless, model.keyless, "gate: refused without a key");
    }
    weir_policy_release(model.policy);
}
