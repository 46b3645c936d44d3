/* A lock's nodes and acquisitions: which question goes to which node, and what its answer makes true. Everything holds
 * for one server as for several: a majority of one is one. lock.h has the invariants. */
#include "shared/lock.h"

#include <string.h>

#define FENCE_TTL_MS INT64_C(86400000) /* a day */

static uint32_t index_of(const struct weir_lock *lock, const struct lock_node *node)
{
    return (uint32_t)(node - lock->node);
}

static uint8_t bit_of(const struct weir_lock *lock, const struct lock_node *node)
{
    return (uint8_t)(1u << index_of(lock, node));
}

static bool is_present(const struct weir_lock *lock, uint32_t slot)
{
    return slot == lock->current && lock->phase >= LOCK_ASKS;
}

static uint64_t ttl_of(const struct weir_lock *lock)
{
    return lock->lease_ns + lock->grace_ns;
}

/* Four tries within a lease, and the time that each has for its answer. */
static uint64_t sixth_of(const struct weir_lock *lock)
{
    return lock->lease_ns / 6;
}

/* ---- acquisitions ---- */

static bool is_asked_about(const struct weir_lock *lock, uint32_t slot)
{
    for (uint32_t i = 0; i < lock->nodes; i++) {
        if (lock->node[i].ask.state == ASK_FLYING && lock->node[i].slot == slot) return true;
    }
    return false;
}

static void forget(struct lock_acquisition *acquisition, uint8_t bits)
{
    acquisition->there &= (uint8_t)~bits;
    acquisition->doubtful &= (uint8_t)~bits;
    acquisition->due &= (uint8_t)~bits;
    acquisition->untold &= (uint8_t)~bits;
}

void lock_retire(struct weir_lock *lock)
{
    for (uint32_t i = 0; i < lock->nodes; i++) {
        lock->node[i].want = LOCK_WANTS_NOTHING;
        lock->node[i].valid_ns = 0;
    }
    lock->fence = (struct weir_fence) { 0, 0 };
    if (lock->current == LOCK_ACQUISITIONS) return;
    struct lock_acquisition *ghost = &lock->acquisition[lock->current];
    lock->current = LOCK_ACQUISITIONS;
    ghost->due = ghost->untold = ghost->there;
    ghost->retry_ns = WEIR_NEVER;
}

void lock_keep_ghosts(struct weir_lock *lock, uint64_t boottime_ns)
{
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        struct lock_acquisition *ghost = &lock->acquisition[i];
        if (i == lock->current || ghost->there == 0) continue;
        if (boottime_ns >= ghost->over_ns && !is_asked_about(lock, i)) {
            forget(ghost, ghost->there);
            lock->stats.ghosts_ended++;
        } else if (boottime_ns >= ghost->retry_ns) {
            ghost->due = ghost->there;
            ghost->retry_ns = WEIR_NEVER;
        }
    }
}

bool lock_has_ghosts(const struct weir_lock *lock, bool untold)
{
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        const struct lock_acquisition *ghost = &lock->acquisition[i];
        if (i != lock->current && (untold ? ghost->untold : ghost->there) != 0) return true;
    }
    return false;
}

/* One that wants an UNLOCK of this node, or LOCK_ACQUISITIONS. */
static uint32_t due_at(const struct weir_lock *lock, uint8_t bit)
{
    uint32_t i = 0;
    while (i < LOCK_ACQUISITIONS && (lock->acquisition[i].due & bit) == 0) i++;
    return i;
}

/* Unique as the instance's number is: for one draw it is a bijection of that number's halves, and draws do not repeat.
 * Not a secret: who can send UNLOCK to the store can as well delete the key. */
static void draw_id(struct weir_lock *lock, uint64_t id[2])
{
    uint64_t instance[2], draw = random_next(shared_random(lock->shared.link));
    weir_link_instance(lock->shared.link, instance);
    id[0] = mix64(instance[0] ^ draw);
    id[1] = mix64(instance[1] + draw);
}

static bool find_room(struct weir_lock *lock, uint64_t boottime_ns, uint64_t *retry_ns)
{
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        struct lock_acquisition *acquisition = &lock->acquisition[i];
        *retry_ns = time_min(*retry_ns, acquisition->over_ns);
        if (acquisition->there != 0 || is_asked_about(lock, i)) continue;
        *acquisition = (struct lock_acquisition) { .retry_ns = WEIR_NEVER };
        draw_id(lock, acquisition->id);
        lock->current = (uint8_t)i;
        return true;
    }
    *retry_ns = time_min(*retry_ns, boottime_ns + lock->poll_max_ns); /* an UNLOCK's answer makes room */
    return false;
}

/* ---- an attempt ---- */

/* From when on the node may be asked for the lock; WEIR_NEVER: not before its lane is up. */
static uint64_t usable_from(const struct weir_lock *lock, uint32_t node)
{
    const struct weir_link *link = lock->shared.link;
    if (!shared_lane_is_up(link, node, WEIR_LANE_LOCK)) return WEIR_NEVER;
    uint64_t changed_ns = shared_lane_changed(link, node, WEIR_LANE_LOCK);
    return changed_ns == 0 ? 0 : time_add(changed_ns, lock->settle_ns);
}

bool lock_attempt(struct weir_lock *lock, uint64_t boottime_ns, enum weir_reason *why, uint64_t *retry_ns)
{
    uint32_t usable = 0;
    *why = WEIR_REASON_LINK_DOWN;
    *retry_ns = WEIR_NEVER;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        uint64_t from_ns = usable_from(lock, i);
        if (boottime_ns >= from_ns) usable++;
        else *retry_ns = time_min(*retry_ns, from_ns);
    }
    if (usable < lock->quorum || !find_room(lock, boottime_ns, retry_ns)) return false;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        struct lock_node *node = &lock->node[i];
        node->valid_ns = node->token = node->tries = 0;
        node->renew_ns = WEIR_NEVER;
        node->want = boottime_ns >= usable_from(lock, i) ? LOCK_WANTS_LOCK : LOCK_WANTS_NOTHING;
    }
    return true;
}

void lock_tally(const struct weir_lock *lock, uint32_t *granted, uint32_t *pending)
{
    bool writes = lock->phase == LOCK_WRITES;
    *granted = *pending = 0;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        const struct lock_node *node = &lock->node[i];
        bool has = writes ? node->token >= lock->fence.token : node->valid_ns != 0;
        if (has) ++*granted;
        else if (node->want == (writes ? LOCK_WANTS_FENCE : LOCK_WANTS_LOCK)) ++*pending;
    }
}

void lock_write_back(struct weir_lock *lock)
{
    lock->fence.nonce = lock->acquisition[lock->current].id[0] >> 11;
    lock->fence.token = 0;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        if (lock->node[i].valid_ns == 0) continue;
        lock->fence.token = time_max(lock->fence.token, lock->node[i].token);
    }
    for (uint32_t i = 0; i < lock->nodes; i++) {
        struct lock_node *node = &lock->node[i];
        if (node->token >= lock->fence.token || node->want == LOCK_WANTS_LOCK) continue;
        node->want = LOCK_WANTS_FENCE;
    }
}

uint64_t lock_majority_valid(const struct weir_lock *lock)
{
    uint64_t valid_ns = 0;
    for (uint32_t i = 0; i < lock->nodes; i++) {
        uint64_t mine_ns = lock->node[i].valid_ns;
        uint32_t as_long = 0;
        for (uint32_t k = 0; k < lock->nodes; k++) as_long += lock->node[k].valid_ns >= mine_ns;
        if (as_long >= lock->quorum) valid_ns = time_max(valid_ns, mine_ns);
    }
    return valid_ns;
}

/* ---- renewals ---- */

/* At a third of the lease, give or take a tenth of that; then each sixth; the last at five. */
static void plan(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns)
{
    uint64_t sixth_ns = sixth_of(lock), spread_ns = lock->lease_ns / 30;
    uint64_t first_ns = node->good_ns + 2 * sixth_ns - spread_ns;
    first_ns += random_up_to(shared_random(lock->shared.link), 2 * spread_ns);
    while (
        node->tries != 0 && node->tries < 4 && node->good_ns + (2 + node->tries) * sixth_ns <= boottime_ns) {
        node->tries++;
    }
    if (node->tries == 0) node->renew_ns = first_ns;
    else if (node->tries < 4) node->renew_ns = node->good_ns + (2 + node->tries) * sixth_ns;
    else node->renew_ns = boottime_ns + 2 * sixth_ns; /* it is to be added again, then */
}

static void failed_to_renew(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns)
{
    if (node->tries < 4) node->tries++;
    plan(lock, node, boottime_ns);
}

/* A node that has it not is asked for it, while the others' grants hold: LOCK of an id takes it only if it is free. */
void lock_renew(struct weir_lock *lock, uint64_t boottime_ns)
{
    for (uint32_t i = 0; i < lock->nodes; i++) {
        struct lock_node *node = &lock->node[i];
        if (boottime_ns >= node->valid_ns) node->valid_ns = 0;
        if (node->want != LOCK_WANTS_NOTHING) continue;
        if (node->renew_ns == WEIR_NEVER && node->valid_ns == 0)
            node->renew_ns = boottime_ns + 2 * sixth_of(lock);
        if (boottime_ns < node->renew_ns) continue;
        node->renew_ns = WEIR_NEVER;
        if (node->valid_ns != 0) node->want = LOCK_WANTS_RENEW;
        else if (boottime_ns >= usable_from(lock, i)) node->want = LOCK_WANTS_LOCK;
    }
}

void lock_node_up(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns)
{
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        struct lock_acquisition *ghost = &lock->acquisition[i];
        if (i != lock->current) ghost->due |= ghost->there & bit_of(lock, node);
    }
    if (lock->phase == LOCK_HOLDS && node->tries != 0) node->renew_ns = boottime_ns;
}

uint64_t lock_nodes_wake(const struct weir_lock *lock, uint64_t boottime_ns)
{
    uint64_t wake_ns = WEIR_NEVER;
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        const struct lock_acquisition *ghost = &lock->acquisition[i];
        if (i == lock->current || ghost->there == 0) continue;
        if (ghost->over_ns > boottime_ns) wake_ns = time_min(wake_ns, ghost->over_ns);
        wake_ns = time_min(wake_ns, ghost->retry_ns);
    }
    for (uint32_t i = 0; i < lock->nodes && lock->phase == LOCK_HOLDS; i++) {
        const struct lock_node *node = &lock->node[i];
        if (node->want == LOCK_WANTS_NOTHING) wake_ns = time_min(wake_ns, node->renew_ns);
    }
    return wake_ns;
}

/* ---- questions ---- */

/* A want whose lane is down. */
static void cannot_ask(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns)
{
    if (node->want == LOCK_WANTS_NOTHING) return;
    node->want = LOCK_WANTS_NOTHING;
    if (lock->phase == LOCK_HOLDS) failed_to_renew(lock, node, boottime_ns);
}

void lock_ask_all(struct weir_lock *lock, uint64_t boottime_ns)
{
    for (uint32_t i = 0; i < lock->nodes; i++) {
        struct lock_node *node = &lock->node[i];
        bool gives_back = due_at(lock, bit_of(lock, node)) != LOCK_ACQUISITIONS;
        if (node->want == LOCK_WANTS_NOTHING && !gives_back) continue;
        if (!shared_ask_queue(&node->ask)) cannot_ask(lock, node, boottime_ns);
    }
}

/* The present acquisition's: a LOCK or a RENEW may put its id there. */
static void ask_for(
    struct weir_lock *lock, struct lock_node *node, struct weir_instants now, struct weir_ask *question)
{
    static const uint8_t kinds[] = { 0, WEIR_ASK_LOCK, WEIR_ASK_RENEW, WEIR_ASK_FENCE };
    struct lock_acquisition *acquisition = &lock->acquisition[lock->current];
    node->slot = lock->current;
    node->kind = kinds[node->want];
    if (node->kind == WEIR_ASK_FENCE) {
        question->count = 2;
        question->number[0] = (int64_t)lock->fence.token;
        question->number[1] = FENCE_TTL_MS;
        return;
    }
    acquisition->there |= bit_of(lock, node);
    acquisition->over_ns = now.boottime_ns + ttl_of(lock);
    question->count = node->kind == WEIR_ASK_LOCK ? 3 : 1;
    question->number[0] = (int64_t)((ttl_of(lock) + WEIR_MS - 1) / WEIR_MS);
    question->number[1] = (int64_t)lock->floor;
    question->number[2] = FENCE_TTL_MS;
}

/* Renewals first; what is to be given back before what is to be taken, which it may stand in the way of. */
bool lock_fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    struct weir_lock *lock = (struct weir_lock *)object;
    struct lock_node *node = &lock->node[ask->node];
    uint8_t bit = bit_of(lock, node);
    uint32_t ghost = due_at(lock, bit);
    if (node->want != LOCK_WANTS_RENEW && ghost != LOCK_ACQUISITIONS) {
        lock->acquisition[ghost].due &= (uint8_t)~bit;
        node->slot = (uint8_t)ghost;
        node->kind = WEIR_ASK_UNLOCK;
    } else if (node->want != LOCK_WANTS_NOTHING) {
        ask_for(lock, node, now, question);
    } else {
        return false;
    }
    node->sent_ns = now.boottime_ns;
    question->kind = node->kind;
    question->deadline_ns = now.monotonic_ns + sixth_of(lock);
    memcpy(question->id, lock->acquisition[node->slot].id, sizeof question->id);
    return true;
}

/* ---- answers ---- */

/* It is told to the store again, and one more must be possible: none above is believed. */
#define TOKEN_MAX ((INT64_C(1) << 53) - 2)

static bool is_token(int64_t token)
{
    return token >= 0 && token <= TOKEN_MAX;
}

static void learn_token(struct weir_lock *lock, int64_t token)
{
    lock->floor = time_max(lock->floor, (uint64_t)token);
}

static void granted(struct weir_lock *lock, struct lock_node *node, uint64_t boottime_ns)
{
    node->good_ns = node->sent_ns;
    node->valid_ns = node->sent_ns + lock->lease_ns - lock->drift_ns;
    node->tries = 0;
    plan(lock, node, boottime_ns);
}

/* It is not there, or was not taken; the UNLOCK of another one may stand in line yet. */
static void note_lock(struct weir_lock *lock, struct lock_node *node, const struct weir_answer *answer,
    struct weir_instants now)
{
    struct lock_acquisition *acquisition = &lock->acquisition[node->slot];
    uint8_t bit = bit_of(lock, node);
    bool done = answer->kind == WEIR_ANSWER_DONE && answer->count >= 2;
    int64_t token = !done ? 0 : answer->number[answer->number[0] == 1 ? 1 : answer->count - 1];
    if (!is_token(token)) done = false;
    bool taken = done && answer->number[0] == 1, present = is_present(lock, node->slot);
    if (done) learn_token(lock, token);
    if (taken && present) {
        node->token = (uint64_t)answer->number[1];
        granted(lock, node, now.boottime_ns);
    }
    if (done && !taken) {
        lock->stats.contended++;
        lock->left_ns = answer->number[1] > 0 ? multiply_saturating((uint64_t)answer->number[1], WEIR_MS) : 0;
        if (present) lock->refused = true;
    }
    bool clean = (acquisition->doubtful & bit) == 0;
    if (answer->kind == WEIR_ANSWER_UNKNOWN) acquisition->doubtful |= bit;
    else if (!taken && clean && (done || answer->kind == WEIR_ANSWER_NOT_RUN)) forget(acquisition, bit);
    if (!taken && present && lock->phase == LOCK_HOLDS) node->renew_ns = now.boottime_ns + 2 * sixth_of(lock);
}

static void note_renew(struct weir_lock *lock, struct lock_node *node, const struct weir_answer *answer,
    struct weir_instants now)
{
    if (!is_present(lock, node->slot)) return;
    uint64_t before_ns = atomic_load_relaxed(&lock->word);
    if (answer->kind != WEIR_ANSWER_DONE || answer->count < 1) {
        failed_to_renew(lock, node, now.boottime_ns);
    } else if (answer->number[0] != 1) {
        node->valid_ns = 0;
        node->renew_ns = now.boottime_ns + 2 * sixth_of(lock);
    } else {
        granted(lock, node, now.boottime_ns);
        uint64_t left_ns = time_since(before_ns, now.boottime_ns);
        uint64_t tenth = left_ns * 10 / lock->lease_ns;
        lock->stats.renewed++;
        lock->stats.margin[tenth < 9 ? tenth : 9]++;
        lock->stats.margin_min_ns = time_min(lock->stats.margin_min_ns, left_ns);
    }
}

static void note_unlock(struct weir_lock *lock, struct lock_node *node, const struct weir_answer *answer,
    struct weir_instants now)
{
    struct lock_acquisition *ghost = &lock->acquisition[node->slot];
    uint8_t bit = bit_of(lock, node);
    bool done = answer->kind == WEIR_ANSWER_DONE;
    if (done) ghost->untold &= (uint8_t)~bit;
    if (done && (ghost->doubtful & bit) == 0) forget(ghost, bit);
    else ghost->retry_ns = time_min(ghost->retry_ns, now.boottime_ns + sixth_of(lock));
    if (ghost->there == 0) lock->stats.ghosts_ended++;
}

void lock_note(struct weir_lock *lock, struct lock_node *node, const struct weir_answer *answer,
    struct weir_instants now)
{
    static const uint8_t wants[WEIR_ASKS] = { [WEIR_ASK_LOCK] = LOCK_WANTS_LOCK,
        [WEIR_ASK_RENEW] = LOCK_WANTS_RENEW,
        [WEIR_ASK_FENCE] = LOCK_WANTS_FENCE };
    if (node->kind != WEIR_ASK_UNLOCK && is_present(lock, node->slot) && node->want == wants[node->kind]) {
        node->want = LOCK_WANTS_NOTHING;
    }
    switch (node->kind) {
    case WEIR_ASK_LOCK: note_lock(lock, node, answer, now); break;
    case WEIR_ASK_RENEW: note_renew(lock, node, answer, now); break;
    case WEIR_ASK_UNLOCK: note_unlock(lock, node, answer, now); break;
    default:
        if (answer->kind != WEIR_ANSWER_DONE || answer->count < 1 || !is_present(lock, node->slot)) return;
        if (!is_token(answer->number[0])) return;
        node->token = (uint64_t)answer->number[0];
        learn_token(lock, answer->number[0]);
    }
}
