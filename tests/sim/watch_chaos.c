/* A chaos holds no more calls than it may, takes each off once, and harms what ran only. */
#include "sim/sim.h"

#include <inttypes.h>

static bool holds(const struct visit *visit)
{
    return (visit->caller->harmed >> visit->at & 1) != 0;
}

static void note(struct visit *visit, bool held)
{
    if (held == holds(visit)) return;
    visit->caller->harmed ^= (uint16_t)(1u << visit->at);
    if (held) visit->watch->chaos.held++;
    else visit->watch->chaos.held--;
}

void chaos_admitted(struct visit *visit, struct weir_verdict verdict)
{
    MUST(verdict.kind != WEIR_REFUSE, "a chaos refused");
    note(visit, verdict.kind == WEIR_HOLD);
    chaos_check(visit->watch);
}

void chaos_settled(struct visit *visit, struct weir_verdict verdict)
{
    const struct weir_outcome *came = visit->outcome;
    bool held = holds(visit), lost = held && visit->caller->call.phase == PHASE_KEEPING;
    if (verdict.kind == WEIR_HOLD) {
        MUST(visit->caller->call.ran_ns != 0, "what never ran is lost");
        MUST(!weir_call_is_ending(&visit->caller->call), "lost, but the call is ending");
    } else if (lost) {
        bool ended = came->status == WEIR_EXPIRED || came->status == WEIR_CANCELED;
        cover(verdict.kind == WEIR_ANSWER ? COVER_CHAOS_LOST_FAILED
                : ended                   ? COVER_CHAOS_LOST_ENDED
                                          : COVER_CHAOS_LOST_FREED);
    }
    note(visit, verdict.kind == WEIR_HOLD);
    chaos_check(visit->watch);
}

void chaos_check(const struct watch *watch)
{
    struct weir_chaos_stats stats = weir_chaos_stats(watch->policy);
    MUST(stats.held == watch->chaos.held, "chaos holds %" PRIu64 " calls, counted %" PRIu32, stats.held,
        watch->chaos.held);
    MUST(stats.held <= watch->chaos.held_max, "chaos holds %" PRIu64 " calls, at most %" PRIu32, stats.held,
        watch->chaos.held_max);
}
