/* The breaker's words.
 *
 *     word:   generation:32 | fleet:1 | level:5 | issued:8 | won:8 | lease:8 | state:2
 *     until:  tag:16 | time:48, in units of 2^14 ns, rounded up; tag = low byte of the generation, lease
 *     turn:   time, in units of 2^8 ns, rounded down | probes:8
 *
 * `until` means, by the state of the word whose tag it bears: OPEN, when a probe is due; HALF_OPEN, when the
 * lease of the probes that are out ends; RAMP and CLOSED, when it closed. `level` counts how often the open
 * time has doubled. Of `issued` probes `won` have succeeded; the others are out. A lease begins when a probe
 * goes out while none is; later ones share it.
 *
 * A shared breaker (lib/shared/breaker.c) can be opened and closed by its fleet, too. `fleet` marks a word that is OPEN or
 * HALF_OPEN because the fleet is. Until `turn`'s time such a word lets in no more than its `probes`, none if it is
 * another's turn to probe; whoever is refused for that says that he wants to (`wanted`). After that time, or with turn
 * 0, the mark means nothing: whoever is cut off from the fleet, or whose link stands still, is a breaker by itself.
 *
 * Invariants:
 *   1. every change of state is one compare-and-swap of the word to generation + 1 (RAMP -> CLOSED keeps it:
 *      calls let in by the ramp count on), so exactly one thread makes it and tells of it;
 *   2. `until` is used only if its tag is the word's. Its writer is the thread that won the word; whoever comes
 *      before it has written, writes it in its stead, from the same config and its own now. So a word never
 *      borrows the time of another generation, shorter or longer, and nobody waits for a stopped thread;
 *   3. issued <= probes, whatever comes back late: a permit counts in the generation it bears and nowhere else;
 *   4. HALF_OPEN ends: each probe out succeeds, fails, is given back, or its lease runs out;
 *   5. an outcome of a generation that has passed, or that says nothing, changes no count of the window;
 *   6. without the mark, which only fleet_open() sets, nobody reads or writes turn and wanted: it is the same breaker
 *      as one that is not shared, word for word;
 *   7. turn is written by the link alone, before the word that it is for: who sees the mark sees that it is not his turn.
 *
 *     CLOSED, RAMP -> OPEN       trip()        a trigger fires (judge), or an OVERLOADED answer says so
 *     OPEN -> HALF_OPEN          probe_first() time is over; the first probe goes with it
 *     HALF_OPEN -> OPEN          reopen()      a probe failed, or its lease ran out
 *     HALF_OPEN -> RAMP, CLOSED  close()       enough probes succeeded
 *     RAMP -> CLOSED             ramp_over()   time is over
 *     any -> OPEN, marked        breaker_fleet_open()   the fleet says so, also that it opens anew
 *     marked -> RAMP, CLOSED     breaker_fleet_close()  the fleet says so */
#ifndef WEIR_LIB_BREAKER_H
#define WEIR_LIB_BREAKER_H

#include "base/window.h"
#include "policy/handle.h"
#include "policy/outcome.h"

#include <weir/breaker.h>

enum { CLOSED, OPEN, HALF_OPEN, RAMP };

struct breaker_config {
    struct reciprocal bucket;
    uint64_t slow_ns; /* WEIR_NEVER: off */
    uint64_t late_failure_ns;
    uint64_t open_ns, open_max_ns, probe_ns, ramp_ns, overload_open_ns_max;
    uint64_t bucket_ns, seed;
    uint32_t calls_min, failure_percent, z_tenths, plain_percent, consecutive, slow_percent;
    uint32_t jitter_percent, probes, successes, timing;
    bool short_open; /* it may close in the bucket in which it tripped */
};

struct breaker_state {
    uint64_t word, until;
    uint64_t streak;     /* consecutive failures */
    uint64_t filling;    /* successes are judged too, until the window holds calls_min calls */
    uint64_t changed_ns; /* when the word last changed its state; 0: not seen yet */
    uint64_t spent_ns[4];
    uint64_t turn;   /* of the fleet; 0: none */
    uint64_t wanted; /* somebody was refused because it is not this breaker's turn */
    struct window outcomes;
    struct window slow; /* only there if slow_ns is set */
};

/* Counters. */
enum {
    BREAKER_REFUSED_OPEN = POLICY_COUNTERS,
    BREAKER_REFUSED_PROBES,
    BREAKER_REFUSED_RAMP,
    BREAKER_GIVEN_BACK,
    BREAKER_STALE,
    BREAKER_OVERLOADED,
    BREAKER_OPENED,
    BREAKER_HALF_OPENED,
    BREAKER_CLOSED,
    BREAKER_REOPENED,
};

/* What one outcome is to the breaker. */
struct breaker_outcome {
    enum outcome_view view;
    bool slow;
    uint64_t retry_after_ns; /* of an OVERLOADED one */
};

/* Who asks: the line of the thread that drives, and what to draw lots from. */
struct breaker_asker {
    uint32_t line;
    bool solo;
    struct weir_call *call; /* NULL: alone */
};

static inline uint32_t word_state(uint64_t word)
{
    return (uint32_t)word & 3;
}

static inline uint32_t word_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t word_lease(uint64_t word)
{
    return (uint32_t)(word >> 2) & 0xff;
}

static inline uint32_t word_won(uint64_t word)
{
    return (uint32_t)(word >> 10) & 0xff;
}

static inline uint32_t word_issued(uint64_t word)
{
    return (uint32_t)(word >> 18) & 0xff;
}

#define LEVEL_MAX 0x1fu /* 2^31 ms are longer than any open time */
#define SPELL_FLEET 0x20u

static inline uint32_t word_level(uint64_t word)
{
    return (uint32_t)(word >> 26) & LEVEL_MAX;
}

/* The level and the fleet's mark: what a word that is OPEN hands on to the HALF_OPEN one after it, and back. */
static inline uint32_t word_spell(uint64_t word)
{
    return (uint32_t)(word >> 26) & (SPELL_FLEET | LEVEL_MAX);
}

static inline bool word_is_fleets(uint64_t word)
{
    return (word_spell(word) & SPELL_FLEET) != 0;
}

static inline uint64_t word_of(
    uint32_t generation, uint32_t spell, uint32_t issued, uint32_t won, uint32_t lease, uint32_t state)
{
    return (uint64_t)generation << 32 | (uint64_t)spell << 26 | (uint64_t)issued << 18 | (uint64_t)won << 10 |
        (uint64_t)(lease & 0xff) << 2 | state;
}

static inline uint64_t word_tag(uint64_t word)
{
    return (uint64_t)(word_generation(word) & 0xff) << 8 | word_lease(word);
}

#define UNTIL_UNIT_BITS 14
#define UNTIL_TIME_MAX ((UINT64_C(1) << 48) - 1)

static inline uint64_t until_of(uint64_t tag, uint64_t time_ns)
{
    uint64_t units = (time_ns >> UNTIL_UNIT_BITS) + ((time_ns & ((1u << UNTIL_UNIT_BITS) - 1)) != 0);
    return tag << 48 | time_min(units, UNTIL_TIME_MAX);
}

static inline uint64_t until_time(uint64_t until)
{
    return (until & UNTIL_TIME_MAX) << UNTIL_UNIT_BITS;
}

#define TURN_PROBES 0xffu

/* Until end_ns at most that many probes of a marked word. */
static inline uint64_t turn_of(uint64_t end_ns, uint32_t probes)
{
    return (end_ns & ~(uint64_t)TURN_PROBES) | probes;
}

static inline uint64_t turn_end(uint64_t turn)
{
    return turn & ~(uint64_t)TURN_PROBES;
}

/* How many probes that word may have let in at now_ns. */
static inline uint32_t breaker_probes(
    const struct breaker_config *config, const struct breaker_state *state, uint64_t word, uint64_t now_ns)
{
    if (!word_is_fleets(word)) return config->probes;
    uint64_t turn = atomic_load_acquire(&state->turn);
    if (now_ns >= turn_end(turn)) return config->probes;
    return (uint32_t)time_min(turn & TURN_PROBES, config->probes);
}

struct weir_verdict breaker_admit_slow(const struct breaker_config *config, struct breaker_state *state,
    struct weir_slot *slot, struct breaker_asker asker, uint64_t now_ns);
struct weir_verdict breaker_settle_slow(const struct breaker_config *config, struct breaker_state *state,
    const struct weir_slot *slot, struct breaker_outcome outcome, struct breaker_asker asker,
    uint64_t now_ns);

/* breaker_judge.c: whether a trigger fires. FILLING: there are failures, but too few calls to judge the rates,
 * so that a success may be what completes them. `since_ns`: when it closed. */
enum judgement { JUDGED_WELL, JUDGED_FILLING, JUDGED_ILL };
enum judgement breaker_judge(const struct breaker_config *config, const struct breaker_state *state,
    uint64_t since_ns, uint64_t now_ns);
struct window_sum breaker_window(
    const struct breaker_config *config, const struct window *window, uint64_t since_ns, uint64_t now_ns);
/* What the window holds of the buckets from epoch `first` on, and whether its rates make a trigger fire. */
struct breaker_evidence {
    uint64_t good, bad, slow;
    bool ill;
};
struct breaker_evidence breaker_evidence(
    const struct breaker_config *config, const struct breaker_state *state, uint64_t first, uint64_t now_ns);
bool breaker_wilson_above(uint64_t failures, uint64_t calls, uint32_t percent, uint32_t z_tenths);

/* The fleet's hand, on the thread that drives its link. Until when an opened one stays so; a word without the mark is
 * not closed: that is its own affair. Both answer what is the word after that. */
uint64_t breaker_fleet_open(struct breaker_state *state, uint32_t level, uint64_t until_ns, uint64_t now_ns);
uint64_t breaker_fleet_close(
    const struct breaker_config *config, struct breaker_state *state, uint64_t now_ns);

/* How long it stays open in that word's generation. */
uint64_t breaker_open_time(const struct breaker_config *config, uint64_t word);

#endif
