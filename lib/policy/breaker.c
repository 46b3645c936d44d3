/* The breaker's transitions: breaker.h has the words, the invariants and the name of each arrow. */
#include "policy/breaker.h"

#include "policy/breaker_hot.h"

#define RAMP_FIRST_PERCENT 10

static void count(struct breaker_state *state, struct breaker_asker asker, uint32_t which)
{
    struct policy_head *head = policy_head_of(state);
    struct counters *counters = (struct counters *)((char *)state + head->counters_offset);
    counters_add(counters, asker.line, asker.solo, which, 1);
}

/* ---- the time that belongs to a word ---- */

/* What the word's time would be if it had become so now. */
static uint64_t expected(const struct breaker_config *config, uint64_t word, uint64_t now_ns)
{
    switch (word_state(word)) {
    case OPEN: return time_add(now_ns, breaker_open_time(config, word));
    case HALF_OPEN: return time_add(now_ns, config->probe_ns);
    default: return now_ns;
    }
}

/* The winner of the word says what its time is, unless the word has moved on. */
static void publish(struct breaker_state *state, uint64_t word, uint64_t time_ns)
{
    uint64_t until = atomic_load_acquire(&state->until);
    do {
        if (word_tag(atomic_load_acquire(&state->word)) != word_tag(word)) return;
    } while (!atomic_cas_acq_rel(&state->until, &until, until_of(word_tag(word), time_ns)));
}

/* The word's time, said in its winner's stead if need be. False: the word is no longer the latest. */
static bool find_until(const struct breaker_config *config, struct breaker_state *state, uint64_t word,
    uint64_t now_ns, uint64_t *time_ns)
{
    uint64_t until = atomic_load_acquire(&state->until);
    while (until >> 48 != word_tag(word)) {
        if (atomic_load_acquire(&state->word) != word) return false;
        uint64_t want = until_of(word_tag(word), expected(config, word, now_ns));
        if (atomic_cas_acq_rel(&state->until, &until, want)) until = want;
    }
    *time_ns = until_time(until);
    return true;
}

/* ---- arrows ---- */

/* One thread wins the arrow; it accounts for it and says the new word's time. */
static bool change(
    struct breaker_state *state, uint64_t word, uint64_t want, uint64_t time_ns, uint64_t now_ns)
{
    if (!atomic_cas_acq_rel(&state->word, &word, want)) return false;
    publish(state, want, time_ns);
    uint64_t since_ns = atomic_swap_acq_rel(&state->changed_ns, now_ns);
    if (since_ns != 0) {
        atomic_add_relaxed(&state->spent_ns[word_state(word)], time_since(now_ns, since_ns));
    }
    return true;
}

static struct weir_verdict tell(struct weir_verdict verdict, enum weir_event_kind event)
{
    verdict.flags |= WEIR_VERDICT_EVENT;
    verdict.event = (uint8_t)event;
    return verdict;
}

static struct weir_verdict trip(const struct breaker_config *config, struct breaker_state *state,
    uint64_t word, uint64_t open_ns, struct breaker_asker asker, uint64_t now_ns)
{
    uint32_t level = word_state(word) == RAMP ? word_level(word) : 0;
    uint64_t want = word_of(word_generation(word) + 1, level, 0, 0, 0, OPEN);
    if (open_ns == 0) open_ns = breaker_open_time(config, want);
    if (!change(state, word, want, time_add(now_ns, open_ns), now_ns)) return verdict(WEIR_PASS);
    atomic_store_relaxed(&state->streak, 0);
    count(state, asker, BREAKER_OPENED);
    return tell(verdict(WEIR_PASS), WEIR_EVENT_BREAKER_OPENED);
}

static bool probe_first(const struct breaker_config *config, struct breaker_state *state, uint64_t word,
    struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t want = word_of(word_generation(word) + 1, word_spell(word), 1, 0, 1, HALF_OPEN);
    if (!change(state, word, want, time_add(now_ns, config->probe_ns), now_ns)) return false;
    count(state, asker, BREAKER_HALF_OPENED);
    return true;
}

static bool reopen(const struct breaker_config *config, struct breaker_state *state, uint64_t word,
    struct breaker_asker asker, uint64_t now_ns)
{
    uint32_t spell = word_level(word) < LEVEL_MAX ? word_spell(word) + 1 : word_spell(word);
    uint64_t want = word_of(word_generation(word) + 1, spell, 0, 0, 0, OPEN);
    uint64_t until_ns = time_add(now_ns, breaker_open_time(config, want));
    if (!change(state, word, want, until_ns, now_ns)) return false;
    count(state, asker, BREAKER_REOPENED);
    return true;
}

static bool close(const struct breaker_config *config, struct breaker_state *state, uint64_t word,
    struct breaker_asker asker, uint64_t now_ns)
{
    bool ramp = config->ramp_ns != 0;
    uint64_t want =
        word_of(word_generation(word) + 1, ramp ? word_level(word) : 0, 0, 0, 0, ramp ? RAMP : CLOSED);
    if (!change(state, word, want, now_ns, now_ns)) return false;
    atomic_store_relaxed(&state->streak, 0);
    count(state, asker, BREAKER_CLOSED);
    return true;
}

static bool ramp_over(struct breaker_state *state, uint64_t word, uint64_t closed_ns, uint64_t now_ns)
{
    return change(state, word, word_of(word_generation(word), 0, 0, 0, 0, CLOSED), closed_ns, now_ns);
}

static struct breaker_asker nobody(void)
{
    uint32_t line = thread_shard();
    return (struct breaker_asker) { line, line < SHARDS, NULL };
}

/* Also of a word that is OPEN: with a new generation, whoever is about to probe in the old one fails. */
uint64_t breaker_fleet_open(struct breaker_state *state, uint32_t level, uint64_t until_ns, uint64_t now_ns)
{
    uint64_t word, want;
    do {
        word = atomic_load_acquire(&state->word);
        want = word_of(word_generation(word) + 1, SPELL_FLEET | level, 0, 0, 0, OPEN);
    } while (!change(state, word, want, until_ns, now_ns));
    bool was_closed = word_state(word) == CLOSED;
    if (word_state(word) == RAMP) was_closed = true;
    atomic_store_relaxed(&state->streak, 0);
    count(state, nobody(), was_closed ? BREAKER_OPENED : BREAKER_REOPENED);
    return want;
}

uint64_t breaker_fleet_close(
    const struct breaker_config *config, struct breaker_state *state, uint64_t now_ns)
{
    uint64_t word = atomic_load_acquire(&state->word);
    while (word_is_fleets(word)) {
        (void)close(config, state, word, nobody(), now_ns);
        word = atomic_load_acquire(&state->word);
    }
    return word;
}

/* ---- admit ---- */

/* Not this breaker's turn: its link will ask for one. Refused calls share a line of memory; only the first writes. */
static struct weir_verdict refuse_turn(struct breaker_state *state, struct weir_verdict answer)
{
    if (atomic_load_relaxed(&state->wanted) == 0) atomic_store_relaxed(&state->wanted, 1);
    return answer;
}

static struct weir_verdict admit_open(const struct breaker_config *config, struct breaker_state *state,
    struct weir_slot *slot, uint64_t word, uint64_t until_ns, struct breaker_asker asker, uint64_t now_ns)
{
    if (now_ns < until_ns) {
        count(state, asker, BREAKER_REFUSED_OPEN);
        return verdict_refuse(WEIR_REASON_BREAKER_OPEN, until_ns);
    }
    if (breaker_probes(config, state, word, now_ns) == 0) {
        count(state, asker, BREAKER_REFUSED_OPEN);
        uint64_t at_ns = turn_end(atomic_load_acquire(&state->turn));
        return refuse_turn(state, verdict_refuse(WEIR_REASON_BREAKER_OPEN, at_ns));
    }
    if (!probe_first(config, state, word, asker, now_ns)) return verdict(WEIR_AGAIN);
    slot->word[0] = word_generation(word) + 1;
    slot->word[1] = now_ns;
    return tell(verdict(WEIR_PASS), WEIR_EVENT_BREAKER_HALF_OPENED);
}

static struct weir_verdict admit_half_open(const struct breaker_config *config, struct breaker_state *state,
    struct weir_slot *slot, uint64_t word, uint64_t lease_end_ns, struct breaker_asker asker, uint64_t now_ns)
{
    uint32_t out = word_issued(word) - word_won(word);
    if (out > 0 && now_ns >= lease_end_ns) {
        bool over = reopen(config, state, word, asker, now_ns);
        return over ? tell(verdict(WEIR_AGAIN), WEIR_EVENT_BREAKER_REOPENED) : verdict(WEIR_AGAIN);
    }
    uint32_t probes = breaker_probes(config, state, word, now_ns);
    if (word_issued(word) >= probes) {
        count(state, asker, BREAKER_REFUSED_PROBES);
        struct weir_verdict answer = verdict_refuse(WEIR_REASON_BREAKER_PROBES, lease_end_ns);
        return probes < config->probes ? refuse_turn(state, answer) : answer;
    }
    uint32_t lease = out == 0 ? word_lease(word) + 1 : word_lease(word);
    uint64_t want = word_of(
        word_generation(word), word_spell(word), word_issued(word) + 1, word_won(word), lease, HALF_OPEN);
    if (!atomic_cas_acq_rel(&state->word, &word, want)) return verdict(WEIR_AGAIN);
    if (out == 0) publish(state, want, time_add(now_ns, config->probe_ns));
    breaker_take(slot, want, now_ns);
    return verdict(WEIR_PASS);
}

/* The share let in rises linearly from RAMP_FIRST_PERCENT to all. */
static struct weir_verdict admit_ramp(const struct breaker_config *config, struct breaker_state *state,
    struct weir_slot *slot, uint64_t word, uint64_t closed_ns, struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t elapsed = time_since(now_ns, closed_ns);
    if (elapsed >= config->ramp_ns) {
        bool over = ramp_over(state, word, closed_ns, now_ns);
        struct weir_verdict again = verdict(WEIR_AGAIN);
        return over ? tell(again, WEIR_EVENT_BREAKER_RAMP_OVER) : again;
    }
    uint64_t alone = now_ns ^ (uint64_t)(uintptr_t)slot;
    uint64_t *random = asker.call == NULL ? &alone : call_random(asker.call);
    uint64_t share = RAMP_FIRST_PERCENT * config->ramp_ns + (100 - RAMP_FIRST_PERCENT) * elapsed;
    if (random_up_to(random, 100 * config->ramp_ns) > share) {
        count(state, asker, BREAKER_REFUSED_RAMP);
        return verdict_refuse(WEIR_REASON_BREAKER_RAMP, now_ns + config->ramp_ns / 100);
    }
    breaker_take(slot, word, now_ns);
    return verdict(WEIR_PASS);
}

COLD struct weir_verdict breaker_admit_slow(const struct breaker_config *config, struct breaker_state *state,
    struct weir_slot *slot, struct breaker_asker asker, uint64_t now_ns)
{
    for (uint8_t event = 0;;) {
        uint64_t word = atomic_load_acquire(&state->word), time_ns;
        struct weir_verdict answer = verdict(WEIR_AGAIN);
        if (word_state(word) == CLOSED) {
            breaker_take(slot, word, now_ns);
            answer = verdict(WEIR_PASS);
        } else if (find_until(config, state, word, now_ns, &time_ns)) {
            switch (word_state(word)) {
            case OPEN: answer = admit_open(config, state, slot, word, time_ns, asker, now_ns); break;
            case HALF_OPEN:
                answer = admit_half_open(config, state, slot, word, time_ns, asker, now_ns);
                break;
            default: answer = admit_ramp(config, state, slot, word, time_ns, asker, now_ns); break;
            }
        }
        if (answer.event != 0) event = answer.event;
        if (answer.kind != WEIR_AGAIN) return event == 0 ? answer : tell(answer, (enum weir_event_kind)event);
    }
}

/* ---- settle ---- */

/* A probe whose outcome says nothing does not count as admitted. */
static void give_back(struct breaker_state *state, uint64_t word, struct breaker_asker asker)
{
    uint32_t generation = word_generation(word);
    while (word_generation(word) == generation) {
        WEIR_ASSERT(word_issued(word) > word_won(word));
        uint64_t want = word_of(
            generation, word_spell(word), word_issued(word) - 1, word_won(word), word_lease(word), HALF_OPEN);
        if (!atomic_cas_acq_rel(&state->word, &word, want)) continue;
        count(state, asker, BREAKER_GIVEN_BACK);
        return;
    }
}

static struct weir_verdict settle_probe(const struct breaker_config *config, struct breaker_state *state,
    const struct weir_slot *slot, uint64_t word, struct breaker_outcome outcome, struct breaker_asker asker,
    uint64_t now_ns)
{
    uint32_t generation = word_generation(word);
    if (outcome.view == VIEW_NOTHING || outcome.view == VIEW_OVERLOADED) {
        give_back(state, word, asker);
        return verdict(WEIR_PASS);
    }
    bool well = outcome.view == VIEW_SUCCESS;
    if (outcome.slow) well = false;
    if (time_since(now_ns, slot->word[1]) > config->probe_ns) well = false; /* its lease was over */
    while (word_generation(word) == generation) {
        if (!well) {
            if (reopen(config, state, word, asker, now_ns)) {
                return tell(verdict(WEIR_PASS), WEIR_EVENT_BREAKER_REOPENED);
            }
        } else if (word_won(word) + 1 >= config->successes) {
            if (close(config, state, word, asker, now_ns)) {
                return tell(verdict(WEIR_PASS), WEIR_EVENT_BREAKER_CLOSED);
            }
        } else {
            uint64_t want = word_of(generation, word_spell(word), word_issued(word), word_won(word) + 1,
                word_lease(word), HALF_OPEN);
            if (atomic_cas_acq_rel(&state->word, &word, want)) return verdict(WEIR_PASS);
        }
        word = atomic_load_acquire(&state->word);
    }
    return verdict(WEIR_PASS);
}

/* Adds the outcome to the window; answers whether it is one that may make a trigger fire. */
static bool add(const struct breaker_config *config, struct breaker_state *state,
    struct breaker_outcome outcome, struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t epoch = window_epoch(config->bucket, now_ns);
    bool failed = outcome.view == VIEW_FAILURE;
    breaker_count(config, state, asker.line, asker.solo, epoch, failed ? WINDOW_BAD : WINDOW_GOOD);
    if (outcome.slow) window_add(&state->slow, asker.line, asker.solo, epoch, WINDOW_BAD);
    if (failed) {
        atomic_add_relaxed(&state->streak, UINT64_C(1));
        return true;
    }
    atomic_store_relaxed(&state->streak, 0);
    return atomic_load_relaxed(&state->filling) != 0 || outcome.slow;
}

static struct weir_verdict settle_counted(const struct breaker_config *config, struct breaker_state *state,
    uint64_t word, struct breaker_outcome outcome, struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t since_ns;
    if (!add(config, state, outcome, asker, now_ns)) return verdict(WEIR_PASS);
    if (atomic_load_relaxed(&policy_head_of(state)->mode) == WEIR_MODE_FORCED_CLOSED)
        return verdict(WEIR_PASS);
    if (!find_until(config, state, word, now_ns, &since_ns)) return verdict(WEIR_PASS);
    switch (breaker_judge(config, state, since_ns, now_ns)) {
    case JUDGED_ILL: return trip(config, state, word, 0, asker, now_ns);
    case JUDGED_FILLING: atomic_store_relaxed(&state->filling, 1); break;
    case JUDGED_WELL: atomic_store_relaxed(&state->filling, 0); break;
    }
    return verdict(WEIR_PASS);
}

NOINLINE struct weir_verdict breaker_settle_slow(const struct breaker_config *config,
    struct breaker_state *state, const struct weir_slot *slot, struct breaker_outcome outcome,
    struct breaker_asker asker, uint64_t now_ns)
{
    uint64_t word = atomic_load_acquire(&state->word), unseen = 0;
    if (word_generation(word) != slot->word[0]) {
        count(state, asker, BREAKER_STALE);
        return verdict(WEIR_PASS);
    }
    if (atomic_load_relaxed(&state->changed_ns) == 0) atomic_cas_acq_rel(&state->changed_ns, &unseen, now_ns);
    if (outcome.view == VIEW_OVERLOADED) count(state, asker, BREAKER_OVERLOADED);
    if (word_state(word) == HALF_OPEN) {
        return settle_probe(config, state, slot, word, outcome, asker, now_ns);
    }
    if (outcome.view == VIEW_OVERLOADED) {
        uint64_t open_ns = time_min(outcome.retry_after_ns, config->overload_open_ns_max);
        if (atomic_load_relaxed(&policy_head_of(state)->mode) == WEIR_MODE_FORCED_CLOSED) open_ns = 0;
        if (open_ns != 0) return trip(config, state, word, open_ns, asker, now_ns);
    }
    if (outcome.view == VIEW_NOTHING || outcome.view == VIEW_OVERLOADED) return verdict(WEIR_PASS);
    return settle_counted(config, state, word, outcome, asker, now_ns);
}
