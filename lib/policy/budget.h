/* A retry budget: a token bucket (gcra.h) that calls fill as well as time.
 *
 * A retry takes one token; a call puts percent / 100 of one in; floor_per_s grow in a second; full is what grows
 * in BUDGET_SAVED_S. Invariant: in any window of length t, retries charged less those refunded are at most
 *     capacity + floor_per_s * t + percent / 100 * calls deposited in it,
 * because nothing else lowers tat, and tat never lies more than a full bucket ahead. */
#ifndef WEIR_LIB_BUDGET_H
#define WEIR_LIB_BUDGET_H

#include "policy/gcra.h"

#include <weir/retry.h>

#define BUDGET_SAVED_S 10

struct weir_budget {
    struct gcra gcra;
    uint64_t charged, refunded, denied;
    uint32_t percent, floor_per_s;
    uint32_t references;
    char name[WEIR_NAME_MAX + 1];
} CACHE_ALIGNED;

struct weir_budget *budget_acquire(struct weir_budget *budget);

/* One retry, decided now. False: there is no token, do not make it. */
bool budget_charge(struct weir_budget *budget, uint64_t now_ns);
/* A retry that was charged and never ran. */
void budget_refund(struct weir_budget *budget, uint64_t now_ns);
/* That many calls have ended. */
void budget_deposit(struct weir_budget *budget, uint64_t calls, uint64_t now_ns);

#endif
