#include "policy/budget.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum weir_error weir_budget_create(const struct weir_budget_config *given, struct weir_budget **result)
{
    static const char type[] = "weir_budget_config";
    WEIR_REQUIRE(result != NULL, "weir_budget_create", "budget is NULL");
    struct weir_budget_config c;
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = error_config(type, given, &c, sizeof c);
    if (error == WEIR_E_NONE) error = error_name(type, c.name, "budget", name);
    if (error == WEIR_E_NONE) error = error_range32(type, "percent", &c.percent, 20, 1, 100);
    if (error == WEIR_E_NONE) error = error_range32(type, "floor_per_s", &c.floor_per_s, 10, 1, 1000000);
    if (error != WEIR_E_NONE) return error;
    struct weir_budget *budget = aligned_alloc(CACHE_LINE, sizeof *budget);
    if (budget == NULL) return error_set(WEIR_E_NOMEM, "%s: out of memory", type);
    uint64_t second = WEIR_S * GCRA_UNITS_PER_NS, capacity = (uint64_t)BUDGET_SAVED_S * c.floor_per_s;
    uint64_t token = (second + c.floor_per_s - 1) / c.floor_per_s;
    *budget = (struct weir_budget) {
        .gcra = { .token = token, .span = capacity * token },
        .percent = c.percent,
        .floor_per_s = c.floor_per_s,
        .references = 1,
    };
    memcpy(budget->name, name, sizeof name);
    *result = budget;
    return WEIR_E_NONE;
}

struct weir_budget *budget_acquire(struct weir_budget *budget)
{
    atomic_add_relaxed(&budget->references, 1);
    return budget;
}

void weir_budget_release(struct weir_budget *budget)
{
    if (budget == NULL) return;
    uint32_t before = atomic_sub_seq_cst(&budget->references, 1);
    WEIR_REQUIRE(before != 0, "weir_budget_release", "the budget has no reference left");
    if (before == 1) free(budget);
}

bool budget_charge(struct weir_budget *budget, uint64_t now_ns)
{
    bool taken = gcra_take(&budget->gcra, budget->gcra.token, gcra_units(now_ns));
    atomic_add_relaxed(taken ? &budget->charged : &budget->denied, 1);
    return taken;
}

void budget_refund(struct weir_budget *budget, uint64_t now_ns)
{
    gcra_deposit(&budget->gcra, budget->gcra.token, gcra_units(now_ns));
    atomic_add_relaxed(&budget->refunded, 1);
}

void budget_deposit(struct weir_budget *budget, uint64_t calls, uint64_t now_ns)
{
    uint64_t amount = multiply_saturating(calls, budget->percent * budget->gcra.token) / 100;
    gcra_deposit(&budget->gcra, amount, gcra_units(now_ns));
}

struct weir_budget_stats weir_budget_stats(const struct weir_budget *budget, uint64_t now_ns)
{
    WEIR_REQUIRE(budget != NULL, "weir_budget_stats", "budget is NULL");
    return (struct weir_budget_stats) {
        .tokens = gcra_tokens(&budget->gcra, gcra_units(now_ns)),
        .capacity = (uint64_t)BUDGET_SAVED_S * budget->floor_per_s,
        .charged = atomic_load_relaxed(&budget->charged),
        .refunded = atomic_load_relaxed(&budget->refunded),
        .denied = atomic_load_relaxed(&budget->denied),
    };
}
