/* A lock's states: lock.h has the diagram and the invariants, lock_nodes.c what is asked. */
#include "shared/lock.h"

#include <stdlib.h>
#include <string.h>

static const char type[] = "weir_lock_config";

/* ---- config ---- */

static enum weir_error validate_times(struct weir_lock_config *c)
{
    enum weir_error error =
        error_range(type, "lease_ns", &c->lease_ns, 10 * WEIR_S, 50 * WEIR_MS, 3600 * WEIR_S);
    if (error != WEIR_E_NONE) return error;
    if (c->grace_ns == WEIR_OFF) c->grace_ns = 0;
    else error = error_range(type, "grace_ns", &c->grace_ns, c->lease_ns / 2, 1, 3600 * WEIR_S);
    if (error == WEIR_E_NONE && c->settle_ns != WEIR_OFF) {
        error =
            error_range(type, "settle_ns", &c->settle_ns, c->lease_ns + c->grace_ns, WEIR_MS, 86400 * WEIR_S);
    }
    if (c->settle_ns == WEIR_OFF) c->settle_ns = 0;
    if (error == WEIR_E_NONE) {
        error =
            error_range(type, "min_validity_ns", &c->min_validity_ns, c->lease_ns / 3, 1, c->lease_ns / 2);
    }
    if (error == WEIR_E_NONE) {
        error = error_range(type, "poll_min_ns", &c->poll_min_ns, 50 * WEIR_MS, WEIR_MS, 60 * WEIR_S);
    }
    if (error == WEIR_E_NONE) {
        uint64_t standard_ns = time_max(500 * WEIR_MS, c->poll_min_ns);
        error = error_range(type, "poll_max_ns", &c->poll_max_ns, standard_ns, c->poll_min_ns, 60 * WEIR_S);
    }
    if (error == WEIR_E_NONE) {
        error = error_range(type, "hold_max_ns", &c->hold_max_ns, WEIR_OFF, c->lease_ns, WEIR_OFF);
    }
    return error;
}

enum weir_error lock_validate(
    const struct weir_lock_config *given, struct weir_lock_config *c, char name[WEIR_NAME_MAX + 1])
{
    enum weir_error error = error_config(type, given, c, sizeof *c);
    if (error == WEIR_E_NONE && c->link == NULL) {
        error = error_set(WEIR_E_INVALID, "%s.link is NULL, expected a link (weir_redis_create())", type);
    }
    if (error == WEIR_E_NONE && c->name == NULL) {
        error = error_set(WEIR_E_INVALID, "%s.name is NULL, expected what the processes agree on", type);
    }
    if (error == WEIR_E_NONE) error = error_name(type, c->name, "", name);
    if (error == WEIR_E_NONE) error = validate_times(c);
    if (c->source_reason == 0) c->source_reason = 1;
    return error;
}

size_t lock_size(const struct weir_link *link)
{
    return sizeof(struct weir_lock) + shared_nodes(link) * sizeof(struct lock_node);
}

/* ---- news ---- */

static void news(struct weir_lock *lock, uint8_t what)
{
    if (lock->quiet || lock->deaf) return;
    lock->news |= what;
    shared_post(&lock->shared);
}

static void want_nothing(struct weir_lock *lock)
{
    for (uint32_t i = 0; i < lock->nodes; i++) lock->node[i].want = LOCK_WANTS_NOTHING;
}

/* ---- what its user does ---- */

void lock_begin(struct weir_lock *lock, uint64_t deadline_ns, bool once)
{
    lock->deadline_ns = deadline_ns;
    lock->once = once;
    lock->next_ns = lock->poll_ns = lock->left_ns = 0;
    lock->reason = WEIR_REASON_NONE;
    lock->outcome = (struct weir_outcome) { .status = WEIR_OK };
    lock->phase = LOCK_WAITS;
    atomic_store_release(&lock->word, (uint64_t)LOCK_WORD_ACQUIRING);
    if (!shared_is_closed(lock->shared.link)) return;
    lock_end(lock, (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_LINK_DOWN });
}

void lock_end(struct weir_lock *lock, struct weir_outcome outcome)
{
    if (atomic_load_relaxed(&lock->word) != LOCK_WORD_ACQUIRING) return;
    lock->phase = LOCK_OFF;
    lock->outcome = outcome;
    lock_retire(lock);
    atomic_store_release(&lock->word, (uint64_t)LOCK_WORD_FREE);
    news(lock, LOCK_NEWS_STATE);
}

struct weir_outcome lock_expired(const struct weir_lock *lock)
{
    return (struct weir_outcome) { .status = WEIR_EXPIRED,
        .reason = lock->reason == WEIR_REASON_NONE ? WEIR_REASON_DEADLINE : lock->reason,
        .retry_after_ns = lock->left_ns };
}

/* The word as it is then: one that has passed is LOST from here on. */
static uint64_t look(struct weir_lock *lock, uint64_t boottime_ns)
{
    uint64_t word = atomic_load_acquire(&lock->word);
    if (unlikely(!process_is(lock->process))) return word >= LOCK_WORD_LOST ? LOCK_WORD_LOST : LOCK_WORD_FREE;
    while (word >= LOCK_WORDS && boottime_ns >= word) {
        if (!atomic_cas_acq_rel(&lock->word, &word, (uint64_t)LOCK_WORD_LOST)) continue;
        word = LOCK_WORD_LOST;
        shared_ring(&lock->shared);
    }
    return word;
}

static void count_loss(struct weir_lock *lock, uint64_t monotonic_ns)
{
    lock->phase = LOCK_OFF;
    lock->stats.lost++;
    shared_tell(&lock->shared, WEIR_SHARE_LOCK_LOST, lock->fence.token, monotonic_ns);
}

/* The word goes first: from there on nobody holds it, and nothing renews it. Its holder may be the first to see that the
 * lease has ended. */
bool lock_release(struct weir_lock *lock, struct weir_instants now)
{
    lock_end(lock, (struct weir_outcome) { .status = WEIR_CANCELED, .reason = WEIR_REASON_CANCELED });
    if (atomic_load_relaxed(&lock->word) == LOCK_WORD_FREE) return false;
    bool untold = (lock->news & LOCK_NEWS_LOST) != 0;
    (void)look(lock, now.boottime_ns);
    bool held = atomic_swap_acq_rel(&lock->word, (uint64_t)LOCK_WORD_FREE) != LOCK_WORD_LOST;
    if (held) shared_tell(&lock->shared, WEIR_SHARE_LOCK_RELEASED, lock->fence.token, now.monotonic_ns);
    else if (lock->phase == LOCK_HOLDS) {
        count_loss(lock, now.monotonic_ns);
        untold = true;
    }
    lock->phase = LOCK_OFF;
    lock->news &= (uint8_t)~LOCK_NEWS_LOST;
    lock_retire(lock);
    news(lock, LOCK_NEWS_STATE);
    return untold;
}

bool lock_is_given_back(const struct weir_lock *lock)
{
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        uint32_t untold = i == lock->current ? 0 : (uint32_t)__builtin_popcount(lock->acquisition[i].untold);
        if (lock->nodes - untold < lock->quorum) return false;
    }
    return true;
}

uint64_t lock_valid_until(struct weir_lock *lock, uint64_t boottime_ns)
{
    uint64_t word = look(lock, boottime_ns);
    return word < LOCK_WORDS ? 0 : word;
}

enum weir_lock_state lock_check(struct weir_lock *lock, uint64_t boottime_ns)
{
    static const uint8_t states[] = { WEIR_LOCK_FREE, WEIR_LOCK_ACQUIRING, WEIR_LOCK_LOST };
    uint64_t word = look(lock, boottime_ns);
    if (word < LOCK_WORDS) return (enum weir_lock_state)states[word];
    return boottime_ns < word - lock->suspect_ns ? WEIR_LOCK_HELD : WEIR_LOCK_SUSPECT;
}

/* ---- what time and answers bring ---- */

static void lose(struct weir_lock *lock, uint64_t monotonic_ns)
{
    atomic_store_release(&lock->word, (uint64_t)LOCK_WORD_LOST);
    count_loss(lock, monotonic_ns);
    want_nothing(lock);
    news(lock, LOCK_NEWS_LOST | LOCK_NEWS_STATE);
}

static uint64_t valid_until(const struct weir_lock *lock)
{
    return time_min(lock_majority_valid(lock), time_add(lock->held_ns, lock->hold_max_ns));
}

static void look_whether_suspect(struct weir_lock *lock, uint64_t word, struct weir_instants now)
{
    bool suspect = now.boottime_ns >= word - lock->suspect_ns;
    if (suspect && !lock->told_suspect) {
        lock->stats.overdue++;
        shared_tell(&lock->shared, WEIR_SHARE_LOCK_SUSPECT, lock->fence.token, now.monotonic_ns);
    }
    lock->told_suspect = suspect;
}

/* A word that has passed, for whoever has seen it or not, is not renewed any more. */
static void hold(struct weir_lock *lock, struct weir_instants now)
{
    uint64_t word = atomic_load_acquire(&lock->word), valid_ns = valid_until(lock);
    bool over = word < LOCK_WORDS || now.boottime_ns >= time_min(word, valid_ns);
    if (over || (valid_ns != word && !atomic_cas_acq_rel(&lock->word, &word, valid_ns))) {
        lose(lock, now.monotonic_ns);
        return;
    }
    look_whether_suspect(lock, valid_ns, now);
    lock_renew(lock, now.boottime_ns);
}

static void become_held(struct weir_lock *lock, struct weir_instants now)
{
    lock->held_ns = now.boottime_ns;
    lock->phase = LOCK_HOLDS;
    lock->told_suspect = false;
    lock->stats.acquired++;
    atomic_store_release(&lock->word, valid_until(lock));
    shared_tell(&lock->shared, WEIR_SHARE_LOCK_HELD, lock->fence.token, now.monotonic_ns);
    news(lock, LOCK_NEWS_STATE);
}

/* Decorrelated jitter: between the least and three times the last pause; not longer than its holder's lease has left. */
static uint64_t pause(struct weir_lock *lock)
{
    uint64_t most_ns = time_min(lock->poll_max_ns, 3 * time_max(lock->poll_ns, lock->poll_min_ns));
    lock->poll_ns =
        lock->poll_min_ns + random_up_to(shared_random(lock->shared.link), most_ns - lock->poll_min_ns);
    return lock->left_ns == 0 ? lock->poll_ns : time_min(lock->poll_ns, time_add(lock->left_ns, WEIR_MS));
}

static void refuse(struct weir_lock *lock)
{
    lock_end(lock,
        (struct weir_outcome) {
            .status = WEIR_REJECTED, .reason = lock->reason, .retry_after_ns = lock->left_ns });
}

static void failed(struct weir_lock *lock, uint64_t monotonic_ns)
{
    lock->reason = lock->refused ? WEIR_REASON_LOCK_HELD : WEIR_REASON_LINK_DOWN;
    if (!lock->refused) lock->left_ns = 0;
    lock_retire(lock);
    lock->phase = LOCK_WAITS;
    lock->next_ns = monotonic_ns + pause(lock);
    if (lock->once) refuse(lock);
}

static void attempt(struct weir_lock *lock, struct weir_instants now)
{
    enum weir_reason why;
    uint64_t retry_ns;
    lock->refused = false;
    if (lock_attempt(lock, now.boottime_ns, &why, &retry_ns)) {
        lock->phase = LOCK_ASKS;
        return;
    }
    lock->reason = (uint8_t)why;
    lock->left_ns = 0;
    lock->next_ns = retry_ns;
    if (retry_ns != WEIR_NEVER) {
        lock->next_ns = now.monotonic_ns + time_max(WEIR_MS, time_since(retry_ns, now.boottime_ns));
    }
    if (lock->once) refuse(lock);
}

/* A majority granted it, and the token stands on a majority; but too little of the lease may be left. */
static void tally(struct weir_lock *lock, struct weir_instants now)
{
    uint32_t granted, pending;
    lock_tally(lock, &granted, &pending);
    if (lock->phase == LOCK_ASKS && granted >= lock->quorum) {
        lock->phase = LOCK_WRITES;
        lock_write_back(lock);
        lock_ask_all(lock, now.boottime_ns);
        lock_tally(lock, &granted, &pending);
    }
    if (granted + pending < lock->quorum) {
        failed(lock, now.monotonic_ns);
    } else if (lock->phase == LOCK_WRITES && granted >= lock->quorum) {
        bool long_enough = lock_majority_valid(lock) >= now.boottime_ns + lock->min_validity_ns;
        if (long_enough) become_held(lock, now);
        else failed(lock, now.monotonic_ns);
    }
}

static void acquire(struct weir_lock *lock, struct weir_instants now)
{
    if (now.monotonic_ns >= lock->deadline_ns) {
        lock_end(lock, lock_expired(lock));
        return;
    }
    if (lock->phase == LOCK_WAITS && now.monotonic_ns >= lock->next_ns) attempt(lock, now);
    lock_ask_all(lock, now.boottime_ns);
    if (lock->phase == LOCK_ASKS || lock->phase == LOCK_WRITES) tally(lock, now);
}

/* The next instant at which time alone has something to do. */
static uint64_t next_wake(const struct weir_lock *lock, struct weir_instants now)
{
    uint64_t wake_ns = lock_nodes_wake(lock, now.boottime_ns);
    uint64_t word = atomic_load_relaxed(&lock->word);
    if (lock->phase == LOCK_HOLDS && word >= LOCK_WORDS) {
        wake_ns = time_min(wake_ns, lock->told_suspect ? word : word - lock->suspect_ns);
    }
    if (wake_ns != WEIR_NEVER) wake_ns = now.monotonic_ns + time_max(1, time_since(wake_ns, now.boottime_ns));
    if (word == LOCK_WORD_ACQUIRING) wake_ns = time_min(wake_ns, lock->deadline_ns);
    if (lock->phase == LOCK_WAITS) wake_ns = time_min(wake_ns, time_max(lock->next_ns, now.monotonic_ns + 1));
    return wake_ns;
}

static void turn(struct weir_lock *lock, struct weir_instants now)
{
    uint64_t ended = lock->stats.ghosts_ended;
    lock_keep_ghosts(lock, now.boottime_ns);
    if (lock->stats.ghosts_ended != ended) news(lock, LOCK_NEWS_STATE); /* a release may wait for it */
    if (lock->phase == LOCK_HOLDS) hold(lock, now);
    else if (atomic_load_relaxed(&lock->word) == LOCK_WORD_ACQUIRING) acquire(lock, now);
    lock_ask_all(lock, now.boottime_ns);
    lock->shared.unflushed = lock_has_ghosts(lock, true);
    lock->shared.done = lock->shared.left && !lock_has_ghosts(lock, false);
    shared_wake_at(&lock->shared, next_wake(lock, now));
}

/* ---- hooks ---- */

static void on_time(struct shared *object, struct weir_instants now)
{
    turn((struct weir_lock *)object, now);
}

static void on_answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *answer, struct weir_instants now)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    lock_note(lock, &lock->node[ask->node], answer, now);
    if (lock->node[ask->node].kind == WEIR_ASK_UNLOCK)
        news(lock, LOCK_NEWS_STATE); /* a release may wait for it */
    turn(lock, now);
}

static void on_lane(struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    if (lane != WEIR_LANE_LOCK) return;
    if (shared_lane_is_up(object->link, node, lane)) {
        lock_node_up(lock, &lock->node[node], now.boottime_ns);
        if (lock->phase == LOCK_WAITS && lock->reason == WEIR_REASON_LINK_DOWN)
            lock->next_ns = now.monotonic_ns;
    }
    turn(lock, now);
}

static void forget_all(struct weir_lock *lock)
{
    lock_retire(lock);
    memset(lock->acquisition, 0, sizeof lock->acquisition);
    lock->shared.unflushed = false;
}

static void on_close(struct shared *object, struct weir_instants now)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    if (lock->phase == LOCK_HOLDS) lose(lock, now.monotonic_ns);
    lock_end(lock, (struct weir_outcome) { .status = WEIR_REJECTED, .reason = WEIR_REASON_LINK_DOWN });
    if (lock_has_ghosts(lock, true)) news(lock, LOCK_NEWS_STATE); /* a release may wait for them */
    forget_all(lock);
    lock->deaf = true;
}

/* Its user has seen to it that nothing is posted any more. */
static void on_leave(struct shared *object)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    lock->quiet = true;
    atomic_store_release(&lock->word, (uint64_t)LOCK_WORD_FREE);
    lock->phase = LOCK_OFF;
    lock_retire(lock);
}

static void on_post(struct shared *object)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    lock->post(lock);
}

static void destroy(struct shared *object)
{
    free(object);
}

static const struct shared_ops lock_ops = { .locks = true,
    .step = on_time,
    .fill = lock_fill,
    .answer = on_answer,
    .lane = on_lane,
    .slept = on_time,
    .closed = on_close,
    .leave = on_leave,
    .post = on_post,
    .destroy = destroy };

enum weir_error lock_enrol(struct weir_lock *lock, const struct weir_lock_config *config, const char *name,
    void (*post)(struct weir_lock *lock))
{
    lock->process = process_generation();
    lock->config = *config;
    lock->post = post;
    lock->lease_ns = config->lease_ns;
    lock->grace_ns = config->grace_ns;
    lock->drift_ns = config->lease_ns / 100 + 2 * WEIR_MS;
    lock->suspect_ns = config->lease_ns / 3 - lock->drift_ns;
    lock->min_validity_ns = config->min_validity_ns;
    lock->hold_max_ns = config->hold_max_ns;
    lock->poll_min_ns = config->poll_min_ns;
    lock->poll_max_ns = config->poll_max_ns;
    lock->settle_ns = config->settle_ns;
    lock->current = LOCK_ACQUISITIONS;
    lock->stats.margin_min_ns = WEIR_NEVER;
    lock->nodes = shared_nodes(config->link);
    lock->quorum = lock->nodes / 2 + 1;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        lock->node[i].ask =
            (struct shared_ask) { .object = &lock->shared, .node = (uint8_t)i, .lane = WEIR_LANE_LOCK };
    }
    return shared_enrol(config->link, &lock->shared, &lock_ops, name);
}
