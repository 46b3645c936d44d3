/* A bulkhead that is shared: this instance's part of the fleet's permits, lent as one block.
 *
 *     AWAY ----answer in time----> LEASED ----its end, or the machine slept----> AWAY
 *       both --leave, close--> OVER: the policy's own limit holds; what it held is given back, or ends by itself
 *
 *     answer   take_lease()         end   lapse()         leave, close   detach()
 *
 * What it asks is absolute ("I hold this much in use, want that much"), so a question may be lost or come twice. While
 * LEASED the limit in force is what was lent, and good until lease_end_ns, which is counted from before the question was
 * sent. AWAY it is what the config's .away says.
 *
 * Invariants:
 *   1. LEASED: the limit in force <= what the store has granted this instance, at every instant before the lease's end.
 *      The store takes nothing that was not offered; what is offered is out of force before the question leaves;
 *   2. permits in use beyond the limit (it was lowered, or a lease ended) are told, and the store counts them;
 *   3. what is given back to instances that have less than their fair share goes as calls finish: no call is disturbed;
 *   4. the away limit is in force a little before the lease's end, so that no call meets a lease that has ended, unless
 *      nobody drives the link. */
#include "policy/bulkhead.h"
#include "shared/share.h"

#include <stdlib.h>

#define LOOK_MIN_NS (5 * WEIR_MS)
#define LOOK_MAX_NS (100 * WEIR_MS)
#define CLOCK_SLACK_NS (10 * WEIR_MS) /* who acquires alone looks at the coarse clock */
#define RENEWALS 3                    /* in the time of a lease */
#define NUMBERS 5                     /* of an answer */

struct block {
    struct share share;
    struct shared_ask ask;
    uint64_t sequence;
    uint64_t lease_end_ns; /* 0: AWAY */
    uint64_t ask_at_ns, pause_ns;
    uint64_t look_ns; /* between two looks at what is in use */
    uint64_t turn_ns; /* it has had permits since then */
    uint64_t rest_ns; /* it wants none until then; WEIR_NEVER: until what is in use has come back */
    uint64_t peak_at_ns;
    uint64_t refused;                              /* calls, as last seen */
    uint32_t own;                                  /* the fleet's limit, as last seen */
    uint32_t limit;                                /* in force while LEASED */
    uint32_t want, asked, told, peak, peak_before; /* told: to be in use */
    uint32_t granted, fair, shorts, active, all;   /* as last answered */
    bool news;                                     /* the fleet's limit is another */
    bool flushing;
    bool last; /* the question under way gives all back */
};

static struct block *block_of(struct shared *object)
{
    return (struct block *)object;
}

static uint64_t lease_of(const struct block *block)
{
    return block->share.config.lease_ns;
}

/* ---- the policy's words ---- */

/* Under the lock that set_limit() takes, too. */
static void set_terms(struct block *block, struct bulkhead_terms terms, uint64_t now_ns)
{
    struct weir_policy *policy = block->share.policy;
    if (policy == NULL) return;
    lock_take(&weir_registry_lock);
    bool handed = bulkhead_set_terms(policy->config, policy->state, &terms, now_ns);
    lock_drop(&weir_registry_lock);
    if (handed) shared_post(&block->share.shared);
}

static void lease_limit(struct block *block, uint32_t limit, uint64_t now_ns)
{
    block->limit = limit;
    set_terms(block,
        (struct bulkhead_terms) { limit, block->active, block->lease_end_ns, block->share.config.strict },
        now_ns);
}

static uint32_t away_limit(const struct block *block)
{
    switch (block->share.config.away) {
    case WEIR_AWAY_SHARE: return block->own / block->active;
    case WEIR_AWAY_OPEN: return block->own;
    default: return 0;
    }
}

static struct bulkhead_terms away_terms(const struct block *block)
{
    return (struct bulkhead_terms) { away_limit(block), block->active, WEIR_NEVER, false };
}

static void go_away(struct block *block, uint64_t now_ns)
{
    block->lease_end_ns = 0;
    block->limit = block->granted = 0;
    set_terms(block, away_terms(block), now_ns);
    shared_become(&block->share.shared, WEIR_SHARE_DEGRADED, now_ns);
}

static void lapse(struct block *block, uint64_t now_ns)
{
    block->share.shared.stats.expired += block->limit;
    go_away(block, now_ns);
}

/* What was set last, also since it last looked. Answers whether calls were handed something, and are to be told. */
static bool detach(struct block *block)
{
    const struct weir_policy *policy = block->share.policy;
    block->lease_end_ns = 0;
    if (policy == NULL) return false;
    lock_take(&weir_registry_lock);
    bool handed = bulkhead_restore(policy->config, policy->state);
    lock_drop(&weir_registry_lock);
    return handed;
}

/* ---- what it wants ---- */

static uint32_t in_use(const struct block *block)
{
    return bulkhead_in_use(block->share.policy->config, block->share.policy->state);
}

/* What is in use and waits, at its peak of late; what was refused since the last look; and a quarter to spare. */
static void measure(struct block *block)
{
    const struct weir_policy *policy = block->share.policy;
    const struct bulkhead_state *state = policy->state;
    uint64_t use = in_use(block) + bulkhead_wanted(policy->config, state);
    uint64_t refused = counters_sum(policy->counters, BULKHEAD_REFUSED_FULL);
    uint64_t unmet = refused - block->refused;
    block->refused = refused;
    uint32_t own = atomic_load_acquire(&state->own);
    block->news = block->news || own != block->own;
    block->own = own;
    uint64_t peak = time_max(time_min(use + unmet, LIMIT_MAX), block->peak);
    block->peak = (uint32_t)peak;
    peak = time_max(peak, block->peak_before);
    block->want = (uint32_t)time_min(block->own, peak + time_max(1, peak / 4));
    bool busy = unmet != 0 || (use != 0 && use * 4 >= (uint64_t)block->limit * 3);
    block->look_ns = busy ? LOOK_MIN_NS : time_min(2 * block->look_ns, LOOK_MAX_NS);
}

static bool is_contended(const struct block *block)
{
    return block->shorts != 0 || block->all > block->own;
}

/* Where a fair share is not even one permit, they take turns: who had some for long enough gives all back, and rests
 * until the others have asked. */
static void take_turns(struct block *block, uint64_t now_ns)
{
    bool crowded = is_contended(block) && block->fair == 0;
    bool over = now_ns >= time_add(block->turn_ns, lease_of(block) / RENEWALS);
    if (!crowded) block->rest_ns = 0;
    else if (block->granted != 0 && over) block->rest_ns = WEIR_NEVER;
}

/* Others have less than their fair share, or the limit was lowered: it asks for no more than its own. */
static uint32_t bid(const struct block *block, uint64_t now_ns)
{
    if (now_ns < block->rest_ns) return 0;
    bool all = !is_contended(block) || block->fair == 0;
    return (uint32_t)time_min(block->want, all ? block->want : block->fair);
}

/* When it has to ask, if nothing changes: soon if it wants more, now and then if it has more than others might get. */
static uint64_t next_ask(struct block *block, uint64_t now_ns)
{
    uint64_t pause_ns = lease_of(block) / RENEWALS;
    if (block->granted < block->want) {
        block->pause_ns = time_min(2 * block->pause_ns, LOOK_MAX_NS);
        pause_ns = time_min(pause_ns, block->pause_ns);
    } else {
        block->pause_ns = LOOK_MIN_NS;
        if (block->granted > block->fair) pause_ns /= 4;
    }
    uint64_t jitter_ns = random_up_to(shared_random(block->share.shared.link), pause_ns / 8);
    return now_ns + pause_ns - jitter_ns;
}

/* It has lately begun to want more, or another limit; or less is in use beyond it, which others may have. */
static bool has_news(const struct block *block, uint64_t now_ns)
{
    if (block->news) return true;
    if (now_ns >= block->rest_ns && block->want > time_max(block->granted, block->asked)) return true;
    return block->told > block->granted && block->told > in_use(block);
}

/* ---- a step ---- */

static bool is_ending(const struct block *block)
{
    return block->share.policy == NULL || block->flushing;
}

/* Nobody asks for more: it ends once the store has said that it knows, or cannot be told. */
static void end(struct block *block, bool told)
{
    block->share.shared.unflushed = false;
    if (block->share.policy == NULL) block->share.shared.done = true;
    if (told) block->share.shared.stats.returned += block->granted;
    block->granted = 0;
}

/* The instant at which the away limit comes into force. */
static uint64_t lapses_at(const struct block *block)
{
    return block->lease_end_ns - lease_of(block) / 64;
}

static void step(struct shared *object, struct weir_instants instants)
{
    struct block *block = block_of(object);
    uint64_t now_ns = instants.monotonic_ns;
    if (is_ending(block)) {
        if (!shared_ask_queue(&block->ask)) end(block, false);
        return;
    }
    measure(block);
    bool unborn = object->state == WEIR_SHARE_DETACHED;
    if (unborn || (block->news && block->lease_end_ns == 0)) go_away(block, now_ns);
    if (block->lease_end_ns != 0 && now_ns >= lapses_at(block)) lapse(block, now_ns);
    if (now_ns >= block->ask_at_ns || has_news(block, now_ns)) shared_ask_queue(&block->ask);
    uint64_t wake_ns = now_ns + time_min(block->look_ns, lease_of(block) / 8);
    if (block->lease_end_ns != 0) wake_ns = time_min(wake_ns, lapses_at(block));
    shared_wake_at(object, wake_ns);
}

/* ---- questions ---- */

static bool fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    (void)ask;
    struct block *block = block_of(object);
    uint64_t now_ns = now.monotonic_ns;
    question->kind = WEIR_ASK_BULKHEAD;
    question->count = NUMBERS;
    question->deadline_ns = now_ns + lease_of(block) / RENEWALS;
    question->number[0] = (int64_t)++block->sequence;
    question->number[1] = block->own;
    block->last = is_ending(block);
    if (block->last) return true; /* nothing in use, nothing wanted, for no time */
    measure(block);
    take_turns(block, now_ns);
    block->asked = bid(block, now_ns);
    if (block->lease_end_ns != 0 && block->asked < block->limit) lease_limit(block, block->asked, now_ns);
    question->number[1] = block->own;
    block->told = in_use(block); /* after the limit was lowered */
    question->number[2] = block->told;
    question->number[3] = block->asked;
    question->number[4] = (int64_t)(lease_of(block) / WEIR_MS);
    block->ask_at_ns = WEIR_NEVER; /* until it is answered */
    block->news = false;
    return true;
}

/* Whatever a store answers. */
static uint32_t within(int64_t number, uint32_t least, uint32_t most)
{
    if (number < (int64_t)least) return least;
    return number > (int64_t)most ? most : (uint32_t)number;
}

static void become_leased(struct block *block, uint64_t now_ns)
{
    enum weir_lane_state lane = shared_lane_state(block->share.shared.link, 0, WEIR_LANE_BULK);
    shared_become(&block->share.shared, lane == WEIR_LANE_UP ? WEIR_SHARE_SHARED : WEIR_SHARE_SLOW, now_ns);
}

/* A new peak for each renewal: what was wanted before the last but one is forgotten. */
static void forget_peak(struct block *block, uint64_t now_ns)
{
    if (now_ns < block->peak_at_ns) return;
    block->peak_at_ns = now_ns + lease_of(block) / RENEWALS;
    block->peak_before = block->peak;
    block->peak = 0;
}

static void take_lease(struct block *block, const int64_t *number, uint64_t sent_ns, uint64_t now_ns)
{
    uint64_t lease_ns = lease_of(block), end_ns = sent_ns + lease_ns - lease_ns / 64 - CLOCK_SLACK_NS;
    struct weir_share_stats *stats = &block->share.shared.stats;
    uint32_t before = block->granted;
    block->granted = within(number[0], 0, LIMIT_MAX);
    block->fair = within(number[1], 0, LIMIT_MAX);
    block->shorts = within(number[2], 0, UINT32_MAX);
    block->active = within(number[3], 1, LIMIT_MAX);
    block->all = within(number[4], 0, UINT32_MAX);
    if (block->granted > before) stats->lent += block->granted - before;
    else stats->returned += before - block->granted;
    if (before == 0) block->turn_ns = now_ns;
    block->ask_at_ns = next_ask(block, now_ns);
    if (block->rest_ns == WEIR_NEVER && block->told == 0) {
        block->rest_ns = block->ask_at_ns = now_ns + 2 * time_min(LOOK_MAX_NS, lease_ns / RENEWALS);
    }
    if (now_ns >= end_ns - lease_ns / 64) { /* it came too late to be of use */
        block->ask_at_ns = now_ns;
        return;
    }
    forget_peak(block, now_ns);
    block->lease_end_ns = end_ns;
    lease_limit(block, (uint32_t)time_min(block->granted, block->asked), now_ns);
    become_leased(block, now_ns);
}

static void answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *reply, struct weir_instants now)
{
    struct block *block = block_of(object);
    uint64_t now_ns = now.monotonic_ns;
    bool good = reply->kind == WEIR_ANSWER_DONE && reply->count == NUMBERS && reply->number[0] >= 0;
    if (block->last) {
        end(block, good);
        return;
    }
    if (is_ending(block)) {
        /* this one was asked before */
    } else if (good) {
        take_lease(block, reply->number, ask->sent_ns, now_ns);
    } else {
        block->pause_ns = time_min(2 * block->pause_ns, LOOK_MAX_NS);
        block->ask_at_ns = now_ns + block->pause_ns;
        if (block->lease_end_ns != 0) shared_become(object, WEIR_SHARE_SLOW, now_ns);
    }
    shared_wake_at(object, now_ns); /* to look at the time of the next */
}

/* ---- what happens to it ---- */

static void lane(struct shared *object, uint32_t node, enum weir_lane which, struct weir_instants now)
{
    struct block *block = block_of(object);
    if (which != WEIR_LANE_BULK) return;
    block->ask_at_ns = now.monotonic_ns; /* another server may know nothing of what it holds */
    bool slow = shared_lane_state(object->link, node, which) != WEIR_LANE_UP;
    if (slow && block->lease_end_ns != 0) shared_become(object, WEIR_SHARE_SLOW, now.monotonic_ns);
    shared_wake_at(object, now.monotonic_ns);
}

static void slept(struct shared *object, struct weir_instants now)
{
    struct block *block = block_of(object);
    if (block->lease_end_ns != 0) lapse(block, now.monotonic_ns);
    block->ask_at_ns = now.monotonic_ns;
    shared_wake_at(object, now.monotonic_ns);
}

/* Nobody is let in any more until the link is closed, as all it holds is given back. */
static void flush(struct shared *object, struct weir_instants now)
{
    struct block *block = block_of(object);
    if (is_ending(block)) return;
    block->flushing = object->unflushed = true;
    if (block->lease_end_ns != 0) lease_limit(block, 0, now.monotonic_ns);
    shared_wake_at(object, now.monotonic_ns);
}

static void closed(struct shared *object, struct weir_instants now)
{
    (void)now;
    if (detach(block_of(object))) shared_post(object);
}

static void leave(struct shared *object)
{
    struct block *block = block_of(object);
    (void)detach(block); /* who unshares tells the calls */
    block->share.policy = NULL;
}

static void report(const struct shared *object, struct weir_share_stats *stats)
{
    const struct block *block = (const struct block *)object;
    stats->instances = block->active;
    stats->held = block->limit;
    stats->lease_end_ns = block->lease_end_ns;
}

/* Calls that were handed something are told, under no lock; the policy may be about to go. */
static void post(struct shared *object)
{
    shared_lock(object->link);
    struct weir_policy *policy = block_of(object)->share.policy;
    bool living = policy != NULL && policy_hold(policy);
    shared_unlock(object->link);
    if (!living) return;
    policy_post(policy);
    weir_policy_release(policy);
}

static void destroy(struct shared *object)
{
    free(block_of(object));
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
    .post = post,
    .destroy = destroy,
};

/* ---- how it begins ---- */

static enum weir_error validate(const struct weir_policy *policy, struct weir_share_config *config)
{
    (void)policy;
    enum weir_error error = share_check_away(config);
    if (error != WEIR_E_NONE) return error;
    return error_range(
        "weir_share_config", "lease_ns", &config->lease_ns, 3 * WEIR_S, 50 * WEIR_MS, 60 * WEIR_S);
}

/* What holds while the store is away holds from here on: nobody knows when the link is first driven. */
static void prepare(struct share *share)
{
    struct block *block = (struct block *)share;
    struct bulkhead_state *state = share->policy->state;
    block->ask.object = &share->shared;
    block->ask.lane = WEIR_LANE_BULK;
    block->own = atomic_load_acquire(&state->own);
    block->active = share->config.instances;
    block->look_ns = block->pause_ns = LOOK_MIN_NS;
    block->refused = counters_sum(share->policy->counters, BULKHEAD_REFUSED_FULL);
    struct bulkhead_terms terms = away_terms(block);
    lock_take(&weir_registry_lock);
    (void)bulkhead_set_terms(
        share->policy->config, state, &terms, 0); /* not above its own: nobody is handed any */
    lock_drop(&weir_registry_lock);
}

const struct share_kind share_bulkhead = {
    .ops = &ops, .size = sizeof(struct block), .validate = validate, .prepare = prepare
};
