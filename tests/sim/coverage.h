/* What a run must have seen. A line that stays at zero fails the run: the simulation would promise what it
 * never tried. What cannot occur has no line, and its reason stands here:
 *   reason NONE    is the absence of a reason. */
#ifndef WEIR_TEST_SIM_COVERAGE_H
#define WEIR_TEST_SIM_COVERAGE_H

#include <weir/outcome.h>

#define COVER_MAP(X)                                                              \
    X(CLOSED_OPEN, "breaker closed -> open")                                      \
    X(CLOSED_OPEN_OVERLOADED, "breaker closed -> open, callee overloaded")        \
    X(CLOSED_OPEN_STREAK, "breaker closed -> open, too few calls, a streak")      \
    X(CLOSED_OPEN_SLOW, "breaker closed -> open, by a slow success")              \
    X(CLOSED_OPEN_FILLED, "breaker closed -> open, by the call that was missing") \
    X(RAMP_OPEN, "breaker ramp -> open")                                          \
    X(OPEN_HALF, "breaker open -> half open")                                     \
    X(HALF_OPEN_FAILED, "breaker half open -> open, a probe failed")              \
    X(HALF_OPEN_LEASE, "breaker half open -> open, a lease ran out")              \
    X(HALF_RAMP, "breaker half open -> ramp")                                     \
    X(HALF_CLOSED, "breaker half open -> closed")                                 \
    X(RAMP_CLOSED, "breaker ramp -> closed")                                      \
    X(PROBE_BACK, "probe given back")                                             \
    X(STALE_OUTCOME, "outcome of another generation")                             \
    X(STALE_READMITTED, "waited, then admitted anew by an outer policy")          \
    X(STALE_REFUSED, "waited, then refused by an outer policy")                   \
    X(QUEUED, "bulkhead: queued")                                                 \
    X(HANDED_OVER, "bulkhead: permit handed over")                                \
    X(DISMISSED, "bulkhead: too heavy for a lowered limit")                       \
    X(GRANTED_LEFT, "bulkhead: left the queue after the hand-over")               \
    X(WAITING_LEFT, "bulkhead: left the queue before")                            \
    X(LIMIT_BELOW_USE, "bulkhead: limit lowered below what is in use")            \
    X(RATE_TURN, "rate: waited for its turn")                                     \
    X(RATE_BACK, "rate: given back")                                              \
    X(GATE_DRAWN_IN, "gate: drawn, let in")                                       \
    X(GATE_DRAWN_OUT, "gate: drawn, refused")                                     \
    X(GATE_KEYLESS, "gate: by key, refused a call without")                       \
    X(GATE_KEY_ADDED, "gate: let in a key that a smaller share refused")          \
    X(RETRY_AGAIN, "retry: tried again")                                          \
    X(RETRY_AWAITED, "retry: awaited an abandoned attempt")                       \
    X(RETRY_NO_BUDGET, "retry: no budget")                                        \
    X(RETRY_NO_TIME, "retry: no time")                                            \
    X(RETRY_EXHAUSTED, "retry: exhausted")                                        \
    X(RETRY_NOT_IDEMPOTENT, "retry: not idempotent")                              \
    X(RETRY_NOT_REPEATABLE, "retry: not repeatable")                              \
    X(RETRY_NOT_WANTED, "retry: outcome not wanted")                              \
    X(REFUNDED, "budget: refunded")                                               \
    X(FELL_FUNCTION, "fallback: by its function")                                 \
    X(FELL_LAST_GOOD, "fallback: by the last good answer")                        \
    X(FELL_VALUE, "fallback: by its value")                                       \
    X(FUNCTION_FAILED, "fallback: the function failed")                           \
    X(SKIPPED, "an attempt that a policy skipped")                                \
    X(KEPT, "an outcome that a policy kept")                                      \
    X(CHAOS_LATENCY, "chaos: latency")                                            \
    X(CHAOS_ERROR, "chaos: an error")                                             \
    X(CHAOS_RESULT, "chaos: a result replaced")                                   \
    X(CHAOS_LOST, "chaos: a completion lost")                                     \
    X(CHAOS_LOST_FREED, "chaos: a lost completion arrived, switched off")         \
    X(CHAOS_LOST_ENDED, "chaos: a lost completion, ended from outside")           \
    X(CHAOS_LOST_FAILED, "chaos: a lost completion, given up")                    \
    X(CHAOS_SPARED, "chaos: spared, too many were held")                          \
    X(CHAOS_WOULD, "chaos: in shadow")                                            \
    X(CHAOS_ENDED, "chaos: ended by itself")                                      \
    X(LASTED, "permit kept for abandoned work")                                   \
    X(LATE, "an OK after its timeout")                                            \
    X(SHADOWED, "a refusal in shadow")                                            \
    X(ABANDONED_BOTH, "operation and function abandoned at once")                 \
    X(FOREIGN, "a settle of the parent's call, after a fork")                     \
    X(RECOVERED, "all faults stopped and everything recovered")

enum cover {
#define X(name, text) COVER_##name,
    COVER_MAP(X)
#undef X
        COVERS
};

struct coverage {
    uint64_t seen[COVERS];
    uint64_t status[WEIR_STATUSES], reason[WEIR_REASONS];
    uint64_t arrow[5][9][9]; /* event, phase before, phase after */
};
extern struct coverage coverage;

static inline void cover(enum cover what)
{
    coverage.seen[what]++;
}

void cover_arrow(uint32_t event, uint32_t before, uint32_t after); /* aborts the run if it is unknown */
bool coverage_whole(bool print);

#endif
