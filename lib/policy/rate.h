/* The rate limit's words.
 *
 * One word, tat, is the limit (gcra.h). In the leased form each thread with a line of its own also has *credit*:
 * tokens that it took from tat earlier, `lease` at once, and spends without another look at the shared line.
 *
 * Invariants:
 *   1. in any window of length t at most burst + rate * t tokens pass that are not given back; by leases at
 *      most SHARDS * lease more: the credit that the window found when it began;
 *   2. a cell never holds more than `lease`, and only the thread whose line it is writes it, but for its end;
 *   3. what goes back never adds to what invariant 1 allows: to tat what has not grown back (gcra.h), to a
 *      cell only in the instant in which it was taken, so that no window holds the one without the other;
 *   4. while the limit is shared, tat lies at the end of time: nobody takes from it, and who is refused there
 *      looks at what the process was lent (rate_loan.h). What threads took before stays theirs. */
#ifndef WEIR_LIB_RATE_H
#define WEIR_LIB_RATE_H

#include "policy/gcra.h"
#include "policy/handle.h"

#include <weir/rate.h>

struct rate_config {
    uint64_t permits, period_ns, burst;
    uint64_t wait;   /* units; 0: refuse at once */
    uint32_t lease;  /* 0: the single-word form */
    uint32_t timing; /* enum weir_timing, never AUTO */
};

struct rate_cell {
    uint64_t credit; /* taken from tat: it has no end */
    uint64_t lent;   /* out of the loan's pocket */
    uint64_t end_ns; /* of `lent`; swapped by the thread whose line it is, and to 0 by whoever ends an era */
    uint64_t era;    /* the loan's, of which `lent` is */
    uint64_t moving; /* tokens that may be on their way from the pocket into `lent` */
} CACHE_ALIGNED;

/* What a process was lent by its fleet: rate_loan.h. */
struct rate_loan {
    uint64_t pocket; /* { generation:32 | credit:32 } */
    uint64_t end_ns;
    uint64_t era;
    uint64_t deny_until_ns; /* the store had none, and will have none before */
    uint64_t at_ns;         /* when the link last looked */
    uint64_t look_ns;       /* when it looks by itself; 0: it waits for an answer, and looks then */
    uint32_t most;          /* tokens that it is lent at most; 0: the limit is not shared */
    uint32_t pace_ns;       /* what it takes to be lent more */
    uint32_t wanted;        /* the dearest call that was refused since it last asked; 0: none was */
    uint32_t instances;
} CACHE_ALIGNED;

struct rate_state {
    struct gcra gcra;
    uint64_t burst; /* in tokens; here too, so that one line is all that a take needs */
    struct rate_loan loan;
    struct rate_cell cell[SHARDS]; /* only there in the leased form */
};

enum {
    RATE_REFUSED = POLICY_COUNTERS,
    RATE_REFUSED_WAIT,
    RATE_WAITED,
    RATE_GIVEN_BACK,
    RATE_DENIED, /* of the refused: while a store was known to have none */
};

struct weir_verdict rate_admit(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns);
struct weir_verdict rate_first_leased(
    const void *config, void *state, struct weir_slot *slot, struct weir_call *call, uint64_t now_ns);
struct weir_verdict rate_settle(const void *config, void *state, struct weir_slot *slot,
    struct weir_call *call, struct weir_outcome *outcome, uint64_t now_ns);

#endif
