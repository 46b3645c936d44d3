/* What a breaker may do: legal arrows only, at their time, told once each; at most P probes a generation;
 * outcomes of another generation, and those that say nothing, change nothing. */
#include "sim/sim.h"

#include <inttypes.h>

enum { WORD, GOOD, BAD, STREAK, FILLING, UNTIL }; /* of visit.before */

#define ROUNDED_NS (UINT64_C(1) << UNTIL_UNIT_BITS)

void breaker_before(struct visit *visit)
{
    const struct breaker_state *state = visit->watch->policy->state;
    struct window_sum total = window_total(&state->outcomes);
    visit->before[WORD] = state->word;
    visit->before[GOOD] = total.good;
    visit->before[BAD] = total.bad;
    visit->before[STREAK] = state->streak;
    visit->before[FILLING] = state->filling;
    visit->before[UNTIL] = state->until;
}

static const char *state_name(uint64_t word)
{
    static const char *const names[] = { "closed", "open", "half open", "ramp" };
    return names[word & 3];
}

/* ---- times ---- */

static uint64_t open_base(const struct breaker_watch *own)
{
    uint64_t open_ns = own->config.open_ns;
    for (uint32_t i = 0; i < own->level && open_ns < own->config.open_max_ns; i++) open_ns += open_ns;
    return time_min(open_ns, own->config.open_max_ns);
}

static uint64_t jitter_of(const struct breaker_watch *own)
{
    uint32_t percent = own->config.jitter_percent == WEIR_OFF32 ? 0 : own->config.jitter_percent;
    return open_base(own) / 100 * percent;
}

static uint64_t open_at_least(const struct breaker_watch *own)
{
    if (own->asked_ns != 0) return own->opened_ns + own->asked_ns;
    return own->opened_ns + open_base(own) - jitter_of(own);
}

static uint64_t open_at_most(const struct breaker_watch *own)
{
    if (own->asked_ns != 0) return own->opened_ns + own->asked_ns + ROUNDED_NS;
    return own->opened_ns + open_base(own) + jitter_of(own) + ROUNDED_NS;
}

/* ---- arrows ---- */

static void opened(struct breaker_watch *own, uint64_t asked_ns, uint64_t now_ns)
{
    own->opened_ns = now_ns;
    own->asked_ns = asked_ns;
    own->streak = 0;
}

static bool moved(struct visit *visit, uint64_t word)
{
    struct breaker_watch *own = &visit->watch->breaker;
    uint64_t before = visit->before[WORD];
    bool other = word_state(word) != word_state(before);
    uint32_t steps = word_generation(word) - word_generation(before);
    MUST(steps <= 1, "breaker: %" PRIu32 " generations at once", steps);
    if (!other) MUST(steps == 0, "breaker: a generation passed while %s", state_name(word));
    else
        MUST(steps == 1 || word_state(before) == RAMP, "breaker: %s -> %s in one generation",
            state_name(before), state_name(word));
    if (other) own->transitions++;
    return other;
}

/* ---- admit ---- */

static void went_half_open(struct visit *visit, uint64_t word)
{
    struct breaker_watch *own = &visit->watch->breaker;
    MUST(visit->now_ns >= open_at_least(own), "breaker: a probe %" PRIu64 " ns before its time",
        open_at_least(own) - visit->now_ns);
    own->generation = word_generation(word);
    own->admitted = 0;
    cover(COVER_OPEN_HALF);
}

static void moved_at_admit(struct visit *visit, uint64_t word, struct weir_verdict verdict)
{
    struct breaker_watch *own = &visit->watch->breaker;
    uint32_t from = word_state(visit->before[WORD]), to = word_state(word);
    if (from == OPEN && to == HALF_OPEN) {
        MUST(verdict.kind == WEIR_PASS, "breaker: half open without a probe");
        went_half_open(visit, word);
    } else if (from == HALF_OPEN && to == OPEN) {
        MUST(visit->now_ns >= own->lease_ns + own->config.probe_ns, "breaker: a lease ended early");
        own->level = own->level < 63 ? own->level + 1 : 63;
        opened(own, 0, visit->now_ns);
        cover(COVER_HALF_OPEN_LEASE);
    } else if (from == RAMP && to == CLOSED) {
        MUST(visit->now_ns >= own->closed_ns + own->config.ramp_ns, "breaker: the ramp ended early");
        own->level = 0;
        cover(COVER_RAMP_CLOSED);
    } else {
        broken("breaker: %s -> %s at an admit", state_name(visit->before[WORD]), state_name(word));
    }
}

static void refused(const struct visit *visit, uint64_t word, struct weir_verdict verdict)
{
    const struct breaker_watch *own = &visit->watch->breaker;
    switch ((enum weir_reason)verdict.reason) {
    case WEIR_REASON_BREAKER_OPEN:
        MUST(word_state(word) == OPEN && visit->now_ns < open_at_most(own), "breaker: refused, though %s",
            state_name(word));
        break;
    case WEIR_REASON_BREAKER_PROBES:
        MUST(word_state(word) == HALF_OPEN && own->admitted >= own->config.probes,
            "breaker: refused after %" PRIu32 " of %" PRIu32 " probes", own->admitted, own->config.probes);
        break;
    case WEIR_REASON_BREAKER_RAMP:
        MUST(word_state(word) == RAMP && visit->now_ns < own->closed_ns + own->config.ramp_ns + ROUNDED_NS,
            "breaker: refused by a ramp that is over");
        break;
    default: broken("breaker: refused for %s", weir_reason_text((enum weir_reason)verdict.reason));
    }
}

void breaker_admitted(struct visit *visit, struct weir_verdict verdict)
{
    struct breaker_watch *own = &visit->watch->breaker;
    const struct breaker_state *state = visit->watch->policy->state;
    uint64_t word = state->word;
    if (moved(visit, word)) moved_at_admit(visit, word, verdict);
    if (verdict.kind == WEIR_REFUSE) {
        refused(visit, word, verdict);
        return;
    }
    MUST(verdict.kind == WEIR_PASS, "breaker: verdict %u", verdict.kind);
    MUST(word_state(word) != OPEN, "breaker: let in while open");
    MUST(visit->slot->word[0] == word_generation(word), "breaker: let in with another generation");
    visit->caller->generation[visit->at] = word_generation(word);
    if (word_state(word) != HALF_OPEN) return;
    if (own->admitted == word_won(visit->before[WORD]) || own->admitted == 0) own->lease_ns = visit->now_ns;
    own->admitted++;
    MUST(own->generation == word_generation(word), "breaker: half open in an unknown generation");
    MUST(own->admitted <= own->config.probes, "breaker: %" PRIu32 " probes of %" PRIu32, own->admitted,
        own->config.probes);
}

/* ---- settle ---- */

enum view { SUCCESS, SLOW_SUCCESS, FAILURE, NOTHING, ASKED };

/* The outcome table of the blueprint, written down once more. */
static enum view view_of(const struct visit *visit)
{
    const struct weir_outcome *outcome = visit->outcome;
    const struct weir_call *call = &visit->caller->call;
    const struct weir_breaker_config *config = &visit->watch->breaker.config;
    bool slow_path = (call->flags & CALL_SLOW) != 0;
    uint64_t ran_ns = slow_path ? call->ran_ns : time_since(visit->now_ns, call->began_ns);
    uint32_t me = visit->at + 1;
    bool inside = outcome->by > me || (outcome->by == 0 && outcome->reason != WEIR_REASON_DEADLINE);
    if (outcome->status == WEIR_FAILED) return FAILURE;
    if (outcome->status == WEIR_OVERLOADED) return ASKED;
    if (outcome->status == WEIR_EXPIRED)
        return inside || ran_ns >= config->late_failure_ns ? FAILURE : NOTHING;
    if (outcome->status != WEIR_OK) return NOTHING;
    if (config->slow_ns == 0) return SUCCESS;
    bool late_outside = (outcome->flags & WEIR_LATE) != 0 && call->late_by < me;
    return late_outside || ran_ns >= config->slow_ns ? SLOW_SUCCESS : SUCCESS;
}

static void check_unchanged(const struct visit *visit, bool word_too)
{
    const struct breaker_state *state = visit->watch->policy->state;
    struct window_sum total = window_total(&state->outcomes);
    bool same = total.good == visit->before[GOOD] && total.bad == visit->before[BAD];
    MUST(same, "breaker: an outcome that says nothing was counted");
    MUST(state->streak == visit->before[STREAK] || word_state(state->word) == OPEN,
        "breaker: the streak changed");
    if (!word_too) return;
    MUST(state->word == visit->before[WORD], "breaker: the word changed");
    MUST(state->until == visit->before[UNTIL], "breaker: its time changed");
}

static void settled_probe(struct visit *visit, uint64_t word, enum view view)
{
    struct breaker_watch *own = &visit->watch->breaker;
    const struct weir_breaker_config *config = &own->config;
    check_unchanged(visit, false);
    uint32_t to = word_state(word), won = word_won(visit->before[WORD]);
    bool over =
        visit->now_ns > visit->slot->word[1] && visit->now_ns - visit->slot->word[1] > config->probe_ns;
    if (view == NOTHING || view == ASKED) {
        MUST(to == HALF_OPEN && word_won(word) == won, "breaker: a probe was not given back");
        own->admitted--;
        cover(COVER_PROBE_BACK);
    } else if (view == SUCCESS && !over) {
        bool last = won + 1 >= config->successes;
        uint32_t expected = !last ? HALF_OPEN : config->ramp_ns == WEIR_OFF ? CLOSED : RAMP;
        MUST(to == expected, "breaker: %s after a probe's success", state_name(word));
        if (!last) return;
        own->closed_ns = visit->now_ns;
        own->streak = 0;
        if (to == CLOSED) own->level = 0;
        cover(to == RAMP ? COVER_HALF_RAMP : COVER_HALF_CLOSED);
    } else {
        MUST(to == OPEN, "breaker: %s after a probe's failure", state_name(word));
        own->level = own->level < 63 ? own->level + 1 : 63;
        opened(own, 0, visit->now_ns);
        cover(COVER_HALF_OPEN_FAILED);
    }
}

static void tripped(struct visit *visit, enum view view)
{
    struct breaker_watch *own = &visit->watch->breaker;
    const struct weir_breaker_config *config = &own->config;
    bool ramp = word_state(visit->before[WORD]) == RAMP;
    MUST(weir_policy_mode(visit->watch->policy) != WEIR_MODE_FORCED_CLOSED,
        "breaker: tripped, though forced closed");
    bool filling = visit->before[FILLING] != 0; /* then a success may be the call that was missing */
    MUST(view != NOTHING && (view != SUCCESS || filling), "breaker: tripped by a success");
    uint64_t counted = visit->before[GOOD] + visit->before[BAD] + 1;
    bool streak = config->consecutive != WEIR_OFF32 && own->streak + (view == FAILURE) >= config->consecutive;
    if (view != ASKED) {
        MUST(counted >= config->calls_min || streak,
            "breaker: tripped by %" PRIu64 " calls, a streak of %" PRIu32, counted, own->streak);
    }
    if (view == SUCCESS) cover(COVER_CLOSED_OPEN_FILLED);
    cover(ramp ? COVER_RAMP_OPEN : COVER_CLOSED_OPEN);
    if (view == ASKED) cover(COVER_CLOSED_OPEN_OVERLOADED);
    if (view == SLOW_SUCCESS) cover(COVER_CLOSED_OPEN_SLOW);
    if (view == FAILURE && counted < config->calls_min) cover(COVER_CLOSED_OPEN_STREAK);
    if (!ramp) own->level = 0;
    uint64_t asked_ns = time_min(visit->outcome->retry_after_ns, config->overload_open_ns_max);
    opened(own, view == ASKED ? asked_ns : 0, visit->now_ns);
}

static void settled_counting(struct visit *visit, uint64_t word, enum view view)
{
    struct breaker_watch *own = &visit->watch->breaker;
    const struct breaker_state *state = visit->watch->policy->state;
    struct window_sum total = window_total(&state->outcomes);
    bool open = word_state(word) == OPEN;
    if (open) tripped(visit, view);
    if (view == NOTHING || view == ASKED) {
        check_unchanged(visit, !open);
        return;
    }
    bool failed = view == FAILURE;
    MUST(total.bad == visit->before[BAD] + failed && total.good == visit->before[GOOD] + !failed,
        "breaker: an outcome was counted wrongly");
    if (open) return;
    own->streak = failed ? own->streak + 1 : 0;
    uint64_t streak = state->streak;
    MUST(streak == own->streak, "breaker: a streak of %" PRIu64 ", it is %" PRIu32, streak, own->streak);
}

void breaker_settled(struct visit *visit, struct weir_verdict verdict)
{
    const struct breaker_state *state = visit->watch->policy->state;
    uint64_t word = state->word, before = visit->before[WORD];
    MUST(verdict.kind == WEIR_PASS, "breaker: settle answered %u", verdict.kind);
    bool other = moved(visit, word);
    if (visit->caller->generation[visit->at] != word_generation(before)) {
        check_unchanged(visit, true);
        cover(COVER_STALE_OUTCOME);
        return;
    }
    if (word_state(before) == HALF_OPEN) {
        settled_probe(visit, word, view_of(visit));
    } else {
        MUST(!other || word_state(word) == OPEN, "breaker: %s -> %s at a settle", state_name(before),
            state_name(word));
        settled_counting(visit, word, view_of(visit));
    }
}

/* Each transition is told once, in whatever pipeline it happened. */
void breaker_check(struct watch *watch)
{
    const struct breaker_watch *own = &watch->breaker;
    MUST(own->told == own->transitions, "breaker: %" PRIu64 " transitions, %" PRIu64 " told",
        own->transitions, own->told);
}
