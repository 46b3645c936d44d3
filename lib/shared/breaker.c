/* A breaker that is shared: what its window holds is told, what the fleet makes of it is done.
 *
 * The store (breaker.lua) merges what all tell, and has one state for the fleet, each change of which is an *epoch*:
 *
 *     CLOSED --(merged rates are ill, and a quorum votes)--> OPEN --(time is over, one wants to probe)--> HALF_OPEN
 *        ^                                                    ^                                            |   |
 *        |                                                    '---------(a probe of the turn failed)-------'   |
 *        '------------------------------(enough probes of all turns succeeded)---------------------------------'
 *
 * To probe is one instance's *turn* at a time. Its breaker is half open then as ever, and what comes of it is told. All
 * other breakers stay marked OPEN, with a turn of no probes (policy/breaker.h), until a later epoch says otherwise.
 *
 *     question goes out            answer comes: apply()                            nobody answers: degrade()
 *     evidence, vote, want,  --->  a greater epoch: fleet_open(), fleet_close()     turn = 0: the words go on
 *     what came of the turn        any: turn renewed, as far as that answer goes    as an ordinary breaker's
 *
 * Invariants:
 *   1. the words change only for an epoch above the last one that was seen: an answer that comes late changes nothing;
 *   2. evidence is what the window holds of the buckets that began in this epoch, and absolute: nothing is lost or
 *      counted twice, whatever becomes of a question;
 *   3. a breaker that tripped by itself is not the fleet's: it heals as it would alone, unless the fleet opens it anew;
 *   4. whatever was answered is good for hold_ns from before its question went out. The store keeps a turn for a
 *      probe's time longer, so that what began in it has ended when another's begins: at most `probes` are out in the
 *      whole fleet;
 *   5. a turn is used for half of hold_ns; so the link has the other half to end it in, before its words are free;
 *   6. an operator's hand is not overruled: what the fleet says is put off until the mode is ON or SHADOW. */
#include "shared/share.h"

#include "policy/breaker.h"

#include <stdlib.h>
#include <string.h>

enum { EPOCH, STATE, LEFT, PROBES, ACTIVE, VOTES, CALLS, FAILED, LEVEL, ANSWERS }; /* places in an answer */
enum { FLEET_CLOSED, FLEET_OPEN, FLEET_HALF_OPEN };

#define TERMS 13
#define POLL_NS WEIR_S       /* between questions, of who has nothing to tell */
#define HOLD_NS (2 * WEIR_S) /* at least */
#define PRESENCE_NS (4 * WEIR_S)
#define LEFT_MAX_MS INT64_C(86400000)

struct turn {
    bool mine;
    uint32_t probes;
    uint32_t generation; /* of the half-open word that it makes */
    uint64_t end_ns;     /* of what may begin in it, by the store */
    uint64_t use_ns;     /* until then it is used */
};

struct fleet_breaker {
    struct share share;
    struct shared_ask ask;
    int64_t terms[TERMS];               /* what it goes by: the end of every question */
    uint64_t hold_ns, due_ns, fresh_ns; /* fresh_ns: until then the last answer is good */
    uint64_t sequence, epoch, first;    /* the bucket from which on evidence is of this epoch */
    uint64_t until_ns;                  /* while the fleet is open */
    uint64_t tripped, votes, calls;     /* calls: that its window held, when last told */
    uint32_t level;
    uint8_t state; /* of the fleet */
    bool put_off;  /* an operator's hand lies on it */
    bool own_trip; /* its own breaker tripped in this epoch */
    bool parting;  /* it is to tell that it leaves */
    bool parted;   /* it has */
    struct turn turn;
};

static struct fleet_breaker *of(struct shared *object)
{
    return (struct fleet_breaker *)object;
}

static const struct breaker_config *config_of(const struct fleet_breaker *breaker)
{
    return breaker->share.policy->config;
}

static struct breaker_state *words(const struct fleet_breaker *breaker)
{
    return breaker->share.policy->state;
}

/* ---- config ---- */

static const char type[] = "weir_share_config";

static enum weir_error validate(const struct weir_policy *policy, struct weir_share_config *c)
{
    (void)policy;
    enum weir_error error =
        error_range(type, "sync_ns", &c->sync_ns, 100 * WEIR_MS, 10 * WEIR_MS, 10 * WEIR_S);
    if (error != WEIR_E_NONE) return error;
    return error_range32(type, "quorum_percent", &c->quorum_percent, 30, 1, 100);
}

static int64_t ms_of(uint64_t ns)
{
    return (int64_t)((ns + WEIR_MS - 1) / WEIR_MS);
}

/* The turn is the store's: from when it hears of it, longer than all that may begin in it. */
static void prepare(struct share *share)
{
    struct fleet_breaker *breaker = (struct fleet_breaker *)share;
    const struct breaker_config *c = config_of(breaker);
    uint64_t sync_ns = share->config.sync_ns;
    bool slow = c->slow_ns != WEIR_NEVER;
    breaker->hold_ns = time_max(HOLD_NS, 8 * sync_ns);
    const int64_t terms[TERMS] = { c->calls_min, c->failure_percent, c->z_tenths, c->plain_percent,
        slow ? c->slow_percent : 0, share->config.quorum_percent, ms_of(c->open_ns), ms_of(c->open_max_ns),
        ms_of(c->ramp_ns), c->probes, c->successes, ms_of(breaker->hold_ns + c->probe_ns),
        ms_of(time_max(PRESENCE_NS, 4 * sync_ns)) };
    memcpy(breaker->terms, terms, sizeof terms);
    breaker->ask = (struct shared_ask) { .object = &share->shared, .lane = WEIR_LANE_BULK };
}

/* ---- the turn ---- */

/* How its word stands to the turn: 0 before or in it, more: after it. */
static int32_t after_turn(const struct fleet_breaker *breaker, uint64_t word)
{
    return (int32_t)(word_generation(word) - breaker->turn.generation);
}

static bool probes_are_out(const struct fleet_breaker *breaker, uint64_t word)
{
    return after_turn(breaker, word) == 0 && word_issued(word) > word_won(word);
}

/* Says to the words what holds of them: as long as an answer is good, and no longer. */
static void hold(struct fleet_breaker *breaker, uint64_t now_ns)
{
    struct turn *turn = &breaker->turn;
    uint64_t word = turn_of(breaker->fresh_ns, 0);
    if (turn->mine && now_ns < turn->use_ns) word = turn_of(turn->end_ns, turn->probes);
    if (breaker->state == FLEET_CLOSED) word = 0;
    atomic_store_release(&words(breaker)->turn, word);
}

static void take_turn(struct fleet_breaker *breaker, uint32_t probes, uint64_t sent_ns)
{
    struct turn *turn = &breaker->turn;
    uint64_t word = atomic_load_acquire(&words(breaker)->word);
    turn->probes = probes;
    if (turn->mine) return;
    turn->mine = true;
    turn->generation = word_generation(word) + (word_state(word) == OPEN);
    turn->end_ns = time_add(sent_ns, breaker->hold_ns);
    turn->use_ns = time_add(sent_ns, breaker->hold_ns / 2);
}

/* ---- what the fleet says ---- */

/* How long it is left open, and never for longer than its own config has it; each instance comes back a little later than
 * that, in its own time. */
static uint64_t until_of_left(const struct fleet_breaker *breaker, int64_t left_ms, uint64_t now_ns)
{
    uint64_t left_ns = time_min((uint64_t)left_ms * WEIR_MS, config_of(breaker)->open_max_ns);
    uint64_t spread = left_ns / 100 * config_of(breaker)->jitter_percent;
    return time_add(now_ns, left_ns + random_up_to(shared_random(breaker->share.shared.link), spread));
}

static void close_by_fleet(struct fleet_breaker *breaker, uint64_t now_ns)
{
    breaker_fleet_close(config_of(breaker), words(breaker), now_ns);
    atomic_store_release(&words(breaker)->turn, 0);
}

/* A turn of no probes is there before the word is. What is marked already goes on if only the turn is new. */
static void open_by_fleet(struct fleet_breaker *breaker, uint64_t now_ns)
{
    struct breaker_state *state = words(breaker);
    uint64_t word = atomic_load_acquire(&state->word);
    bool waits = word_state(word) == OPEN && word_is_fleets(word);
    if (waits && breaker->state == FLEET_HALF_OPEN) return;
    uint64_t until_ns = breaker->state == FLEET_OPEN ? breaker->until_ns : now_ns;
    atomic_store_release(&state->turn, turn_of(breaker->fresh_ns, 0));
    breaker_fleet_open(state, breaker->level, until_ns, now_ns);
}

static void impose(struct fleet_breaker *breaker, uint64_t now_ns)
{
    enum weir_mode mode = weir_policy_mode(breaker->share.policy);
    breaker->put_off = mode != WEIR_MODE_ON && mode != WEIR_MODE_SHADOW;
    if (breaker->put_off) return;
    if (breaker->state == FLEET_CLOSED) close_by_fleet(breaker, now_ns);
    else open_by_fleet(breaker, now_ns);
}

static void tell(struct fleet_breaker *breaker, bool was_closed, uint64_t now_ns)
{
    struct shared *object = &breaker->share.shared;
    bool is_closed = breaker->state == FLEET_CLOSED;
    if (is_closed == was_closed) return;
    if (!is_closed) breaker->tripped++;
    enum weir_share_event_kind kind = is_closed ? WEIR_SHARE_FLEET_CLOSED : WEIR_SHARE_FLEET_OPENED;
    shared_tell(object, kind, breaker->votes, now_ns);
}

/* What the window holds is of the former epoch, its newest bucket too. */
static void begin_epoch(struct fleet_breaker *breaker, const int64_t *number, uint64_t now_ns)
{
    bool was_closed = breaker->state == FLEET_CLOSED;
    breaker->epoch = (uint64_t)number[EPOCH];
    breaker->state = (uint8_t)number[STATE];
    breaker->level = (uint32_t)number[LEVEL];
    breaker->until_ns = until_of_left(breaker, number[LEFT], now_ns);
    breaker->first = window_epoch(config_of(breaker)->bucket, now_ns) + 1;
    breaker->own_trip = breaker->turn.mine = false;
    impose(breaker, now_ns);
    tell(breaker, was_closed, now_ns);
}

static void apply(struct fleet_breaker *breaker, const int64_t *number, uint64_t sent_ns, uint64_t now_ns)
{
    uint64_t epoch = (uint64_t)number[EPOCH];
    breaker->votes = (uint64_t)number[VOTES];
    breaker->share.shared.stats.instances = (uint32_t)number[ACTIVE];
    breaker->fresh_ns = time_add(sent_ns, breaker->hold_ns);
    if (epoch > breaker->epoch) begin_epoch(breaker, number, now_ns);
    else if (breaker->put_off) impose(breaker, now_ns);
    bool granted = epoch == breaker->epoch && number[PROBES] > 0;
    bool marked = word_is_fleets(atomic_load_acquire(&words(breaker)->word));
    if (granted && !breaker->turn.mine && !marked) impose(breaker, now_ns);
    if (granted) take_turn(breaker, (uint32_t)number[PROBES], sent_ns);
    else breaker->turn.mine = false;
    hold(breaker, now_ns);
}

/* What is believed is told to the store again, which goes on from there. No fleet comes so far by itself. */
#define EPOCH_MAX (INT64_C(1) << 48)

static bool is_sound(const struct weir_answer *answer)
{
    static const int64_t most[ANSWERS] = { [EPOCH] = EPOCH_MAX,
        [STATE] = FLEET_HALF_OPEN,
        [LEFT] = LEFT_MAX_MS,
        [PROBES] = TURN_PROBES,
        [ACTIVE] = UINT32_MAX,
        [VOTES] = UINT32_MAX,
        [CALLS] = INT64_MAX,
        [FAILED] = INT64_MAX,
        [LEVEL] = LEVEL_MAX };
    if (answer->kind != WEIR_ANSWER_DONE || answer->count != ANSWERS) return false;
    for (int i = 0; i < ANSWERS; i++) {
        if (answer->number[i] < 0 || answer->number[i] > most[i]) return false;
    }
    return true;
}

/* ---- when to ask ---- */

static void degrade(struct fleet_breaker *breaker, uint64_t now_ns)
{
    atomic_store_release(&words(breaker)->turn, 0);
    shared_become(&breaker->share.shared, WEIR_SHARE_DEGRADED, now_ns);
}

/* Whose window holds calls must hear of a trip within one sync; who has none may take longer. */
static void schedule(struct fleet_breaker *breaker)
{
    uint64_t sync_ns = breaker->share.config.sync_ns;
    if (breaker->state == FLEET_CLOSED && breaker->calls == 0) sync_ns = time_max(sync_ns, POLL_NS);
    uint64_t less_ns = random_up_to(shared_random(breaker->share.shared.link), sync_ns / 5);
    breaker->due_ns = time_add(breaker->ask.sent_ns, sync_ns - less_ns);
}

/* Tells that it leaves, unless there is nobody to tell; done when that is answered. */
static void part(struct fleet_breaker *breaker)
{
    struct shared *object = &breaker->share.shared;
    object->unflushed = !breaker->parted && shared_ask_queue(&breaker->ask);
    object->done = object->left && !object->unflushed;
}

static bool is_lent(const struct shared *object)
{
    return object->state == WEIR_SHARE_SHARED || object->state == WEIR_SHARE_SLOW;
}

static void renew(struct fleet_breaker *breaker, uint64_t now_ns)
{
    if (!is_lent(&breaker->share.shared)) return;
    if (now_ns >= breaker->fresh_ns) degrade(breaker, now_ns);
    else hold(breaker, now_ns);
}

static uint64_t next_wake(const struct fleet_breaker *breaker, uint64_t now_ns)
{
    uint64_t wake_ns = now_ns < breaker->due_ns ? breaker->due_ns : WEIR_NEVER;
    if (is_lent(&breaker->share.shared)) wake_ns = time_min(wake_ns, breaker->fresh_ns);
    if (breaker->turn.mine && now_ns < breaker->turn.use_ns) {
        wake_ns = time_min(wake_ns, breaker->turn.use_ns);
    }
    return wake_ns;
}

static void step(struct shared *object, struct weir_instants now)
{
    struct fleet_breaker *breaker = of(object);
    if (object->left) breaker->parting = true;
    if (breaker->parting) {
        part(breaker);
        return;
    }
    renew(breaker, now.monotonic_ns);
    bool due = now.monotonic_ns >= breaker->due_ns;
    if (due && !shared_ask_queue(&breaker->ask)) degrade(breaker, now.monotonic_ns);
    shared_wake_at(object, next_wake(breaker, now.monotonic_ns));
}

/* ---- questions ---- */

struct telling {
    int64_t good, bad, slow, vote, want, won, lost, holds;
};

/* A vote lasts while its window has something bad to show. */
static void tell_evidence(struct fleet_breaker *breaker, uint64_t word, uint64_t now_ns, struct telling *told)
{
    struct breaker_evidence seen =
        breaker_evidence(config_of(breaker), words(breaker), breaker->first, now_ns);
    bool tripped = word_state(word) == OPEN || word_state(word) == HALF_OPEN;
    if (tripped && !word_is_fleets(word)) breaker->own_trip = true;
    if (seen.bad + seen.slow == 0) breaker->own_trip = false;
    breaker->calls = seen.good + seen.bad;
    told->good = (int64_t)seen.good;
    told->bad = (int64_t)seen.bad;
    told->slow = (int64_t)seen.slow;
    told->vote = seen.ill || breaker->own_trip;
}

/* Its words show what came of a turn: half open yet; marked, but open once more; or closed by its own successes. */
static void tell_turn(
    const struct fleet_breaker *breaker, uint64_t word, uint64_t now_ns, struct telling *told)
{
    if (!breaker->turn.mine) return;
    bool over = after_turn(breaker, word) > 0;
    told->holds = now_ns < breaker->turn.use_ns || probes_are_out(breaker, word);
    told->lost = over && word_is_fleets(word);
    if (over && !word_is_fleets(word)) told->won = config_of(breaker)->successes;
    else if (after_turn(breaker, word) == 0) told->won = word_won(word);
}

/* A call was refused for want of a turn. Or it closed by its own proof while cut off, and the fleet did not: it refuses
 * nobody, but has to show that proof, or a fleet of which all did so would stay open for ever. */
static bool wants_turn(const struct fleet_breaker *breaker, uint64_t word)
{
    if (breaker->turn.mine) return false;
    bool refused = atomic_swap_acq_rel(&words(breaker)->wanted, UINT64_C(0)) != 0;
    bool closed_alone = word_state(word) == CLOSED || word_state(word) == RAMP;
    if (breaker->state == FLEET_CLOSED || breaker->put_off) closed_alone = false;
    return refused || closed_alone;
}

static struct telling telling_of(struct fleet_breaker *breaker, uint64_t now_ns)
{
    struct telling told = { 0 };
    struct breaker_state *state = words(breaker);
    uint64_t word = atomic_load_acquire(&state->word);
    tell_evidence(breaker, word, now_ns, &told);
    tell_turn(breaker, word, now_ns, &told);
    told.want = wants_turn(breaker, word);
    return told;
}

static bool fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    (void)ask;
    struct fleet_breaker *breaker = of(object);
    struct telling told = { 0 };
    if (!breaker->parting) told = telling_of(breaker, now.monotonic_ns);
    bool open = breaker->state == FLEET_OPEN;
    int64_t left_ms = open ? ms_of(time_since(breaker->until_ns, now.monotonic_ns)) : 0;
    const int64_t first[] = { (int64_t)++breaker->sequence, (int64_t)breaker->epoch, breaker->state, left_ms,
        breaker->level, told.good, told.bad, told.slow, told.vote, told.want, told.won, told.lost,
        told.holds };
    const uint32_t count = sizeof first / sizeof *first;
    memcpy(question->number, first, sizeof first);
    memcpy(question->number + count, breaker->terms, sizeof breaker->terms);
    question->kind = WEIR_ASK_BREAKER;
    question->count = (uint8_t)(count + TERMS);
    question->deadline_ns = time_add(now.monotonic_ns, breaker->hold_ns);
    if (breaker->parting) question->number[question->count - 1] = 0;
    breaker->parted = breaker->parting;
    return true;
}

static void answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *answer, struct weir_instants now)
{
    struct fleet_breaker *breaker = of(object);
    if (breaker->parting) {
        part(breaker);
        return;
    }
    bool late = answer->kind == WEIR_ANSWER_DONE && answer->number[0] < 0;
    if (is_sound(answer)) {
        bool slow = shared_lane_state(object->link, 0, WEIR_LANE_BULK) == WEIR_LANE_SLOW;
        apply(breaker, answer->number, ask->sent_ns, now.monotonic_ns);
        shared_become(object, slow ? WEIR_SHARE_SLOW : WEIR_SHARE_SHARED, now.monotonic_ns);
    } else if (!late) {
        degrade(breaker, now.monotonic_ns);
    }
    schedule(breaker);
    step(object, now);
}

static void lane(struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now)
{
    (void)node;
    struct fleet_breaker *breaker = of(object);
    if (lane != WEIR_LANE_BULK) return;
    bool slow = shared_lane_state(object->link, 0, lane) == WEIR_LANE_SLOW;
    if (is_lent(object)) {
        shared_become(object, slow ? WEIR_SHARE_SLOW : WEIR_SHARE_SHARED, now.monotonic_ns);
    }
    breaker->due_ns = 0;
    step(object, now);
}

/* The turn may be over by the store's clock, which did not stop. */
static void slept(struct shared *object, struct weir_instants now)
{
    (void)now;
    of(object)->turn.use_ns = 0;
    of(object)->due_ns = 0;
    shared_ring(object);
}

static void flush(struct shared *object, struct weir_instants now)
{
    of(object)->parting = true;
    step(object, now);
}

static void let_go(struct fleet_breaker *breaker)
{
    if (breaker->share.policy != NULL) atomic_store_release(&words(breaker)->turn, 0);
}

static void closed(struct shared *object, struct weir_instants now)
{
    (void)now;
    let_go(of(object));
}

static void leave(struct shared *object)
{
    let_go(of(object));
    of(object)->share.policy = NULL;
    of(object)->parting = true;
}

static void report(const struct shared *object, struct weir_share_stats *stats)
{
    const struct fleet_breaker *breaker = (const struct fleet_breaker *)object;
    stats->epoch = breaker->epoch;
    stats->tripped = breaker->tripped;
    stats->votes = breaker->votes;
}

static void destroy(struct shared *object)
{
    free(object);
}

static const struct shared_ops ops = {
    .step = step,
    .fill = fill,
    .answer = answer,
    .lane = lane,
    .slept = slept,
    .flush = flush,
    .closed = closed,
    .leave = leave,
    .report = report,
    .destroy = destroy,
};

const struct share_kind share_breaker = {
    .ops = &ops, .size = sizeof(struct fleet_breaker), .validate = validate, .prepare = prepare
};
