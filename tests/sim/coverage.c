#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

struct coverage coverage;

static const char *const events[] = { "begin", "wake", "settle", "cancel", "arm" };
static const char *const phases[] = { "none", "fast", "running", "holding", "backing off", "awaiting",
    "falling", "keeping", "over" };

#define PHASES (PHASE_OVER + 1)

enum {
    N = 1u << PHASE_NONE,
    F = 1u << PHASE_FAST,
    R = 1u << PHASE_RUNNING,
    H = 1u << PHASE_HOLDING,
    B = 1u << PHASE_BACKING_OFF,
    A = 1u << PHASE_AWAITING,
    L = 1u << PHASE_FALLING,
    K = 1u << PHASE_KEEPING,
    O = 1u << PHASE_OVER
};

/* Where an event may lead from a phase, and of these where it must have led at least once in a run. What may
 * but need not is rare: it takes a retry with no delay, or a retry around the fallback or timeout that ended
 * its step. */
static const struct {
    uint32_t may, must;
} arrows[EVENTS][PHASES] = {
    [BEGIN][PHASE_NONE] = { F | R | H | B | L | K | O, F | R | H | B | L | O },

    [WAKE][PHASE_FAST] = { F | R | H | B | A | L | K | O, F | A | L | O },
    [WAKE][PHASE_RUNNING] = { R | H | B | A | L | K | O, R | A | L | O },
    [WAKE][PHASE_HOLDING] = { R | H | B | L | K | O, R | H | B | L | O },
    [WAKE][PHASE_BACKING_OFF] = { R | H | B | L | K | O, R | H | B | L | O },
    [WAKE][PHASE_AWAITING] = { A | B | L | K | O, A | O },
    [WAKE][PHASE_FALLING] = { R | H | B | A | L | K | O, L | O },
    [WAKE][PHASE_KEEPING] = { R | H | B | A | L | K | O, B | L | K | O },
    [WAKE][PHASE_OVER] = { O, O },

    [SETTLE][PHASE_FAST] = { R | H | B | L | K | O, B | L | O },
    [SETTLE][PHASE_RUNNING] = { R | H | B | L | K | O, B | L | O },
    [SETTLE][PHASE_HOLDING] = { H, 0 },
    [SETTLE][PHASE_BACKING_OFF] = { B, 0 },
    [SETTLE][PHASE_AWAITING] = { R | H | B | A | L | K | O, R | B | O },
    [SETTLE][PHASE_FALLING] = { R | H | B | A | L | K | O, B | L | O },
    [SETTLE][PHASE_KEEPING] = { K, 0 },
    [SETTLE][PHASE_OVER] = { O, O },

    [CANCEL][PHASE_FAST] = { O, O },
    [CANCEL][PHASE_RUNNING] = { O, O },
    [CANCEL][PHASE_HOLDING] = { O, O },
    [CANCEL][PHASE_BACKING_OFF] = { O, O },
    [CANCEL][PHASE_AWAITING] = { O, O },
    [CANCEL][PHASE_FALLING] = { O, O },
    [CANCEL][PHASE_KEEPING] = { O, O },
    [CANCEL][PHASE_OVER] = { O, O },

    [ARM][PHASE_HOLDING] = { R | H | B | L | K | O, H },
    [ARM][PHASE_BACKING_OFF] = { B | R | H | L | K | O, B },
    [ARM][PHASE_KEEPING] = { R | H | B | A | L | K | O, K },
};

void cover_arrow(uint32_t event, uint32_t before, uint32_t after)
{
    MUST(before < PHASES && after < PHASES && (arrows[event][before].may >> after & 1) != 0,
        "%s: %s -> %s is no arrow", events[event], before < PHASES ? phases[before] : "?",
        after < PHASES ? phases[after] : "?");
    coverage.arrow[event][before][after]++;
}

static bool line(bool print, const char *what, const char *detail, uint64_t seen, bool must)
{
    bool missing = must && seen == 0;
    if (print && (seen != 0 || missing)) {
        printf("%12" PRIu64 "  %s%s%s\n", seen, what, detail, missing ? "   <-- NEVER SEEN" : "");
    }
    return !missing;
}

static bool arrows_whole(bool print)
{
    bool whole = true;
    for (uint32_t event = 0; event < EVENTS; event++) {
        for (uint32_t i = 0; i < PHASES * PHASES; i++) {
            uint32_t before = i / PHASES, after = i % PHASES;
            char text[64];
            snprintf(text, sizeof text, "%s: %s -> %s", events[event], phases[before], phases[after]);
            bool must = (arrows[event][before].must >> after & 1) != 0;
            whole &= line(print, text, "", coverage.arrow[event][before][after], must);
        }
    }
    return whole;
}

bool coverage_whole(bool print)
{
    static const char *const texts[] = {
#define X(name, text) text,
        COVER_MAP(X)
#undef X
    };
    bool whole = arrows_whole(print);
    for (uint32_t i = 0; i < COVERS; i++) whole &= line(print, texts[i], "", coverage.seen[i], true);
    for (uint32_t i = 0; i < WEIR_STATUSES; i++) {
        whole &= line(print, "ended ", weir_status_text((enum weir_status)i), coverage.status[i], true);
    }
    for (uint32_t i = 1; i <= WEIR_REASON_CUSTOM; i++) { /* those of policies */
        whole &= line(print, "reason: ", weir_reason_text((enum weir_reason)i), coverage.reason[i], true);
    }
    return whole;
}
