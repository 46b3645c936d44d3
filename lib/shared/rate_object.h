/* A rate limit on a link: what it is lent, how much it asks for, and what holds while the store is away.
 *
 *                    .---- lane slow ---> SLOW --.
 *     begin          |                     |     | lane down; or slow or failing, and what was lent is spent
 *       |            |  <--- lane up ------'     v
 *       '--> DEGRADED ---- 2 good answers ---> SHARED        (unshared, closed, forked: DETACHED)
 *                ^----------- the same ----------'
 *
 *     begin, down, back  rate_settle_state()      a question  fill()      what it brings  answer()
 *
 * While DEGRADED, by .away: SHARE: the object lends the process its share of the rate, as time passes (drip);
 * OPEN: the limit is the process's own; CLOSED: what was lent ends with its lease.
 *
 * Invariants:
 *   1. one question at a time; what its answer brings is good until its lease is over, counted from when it was
 *      pulled, less what clocks may differ by; an answer that comes later than that brings nothing;
 *   2. every question says how much can yet be spent (rate_loan.h 3, 4), so the store's sum of all is never less than
 *      what is out; what is given back has left the pocket before;
 *   3. the store takes from its bucket before it lends, and in the strict form its bucket and what it lends are
 *      together the burst: no window of length t sees more than burst + rate * t;
 *   4. nothing is asked while the store is known to have none (deny_until_ns), nor more than once in a pace. */
#ifndef WEIR_LIB_RATE_OBJECT_H
#define WEIR_LIB_RATE_OBJECT_H

#include "policy/rate_loan.h"
#include "shared/share.h"

struct rate_object {
    struct share share;
    struct shared_ask ask;
    /* Of the config. */
    uint64_t permits, period_us; /* a token takes period_us / permits, reduced */
    uint64_t bucket;             /* of the store: the burst, less hold_max */
    uint64_t hold_max;           /* strict: of all together; else 0 */
    uint64_t burst;
    /* Demand, in tokens. */
    uint64_t left;       /* when it was last looked at */
    uint64_t refused;    /* of the policy's counter, then */
    uint64_t used;       /* spent or refused since sized_ns */
    uint64_t sized_ns;   /* when demand was last reckoned */
    uint64_t per_second; /* what it is: quick to rise, slow to fall */
    uint64_t used_ns;    /* when there was any */
    uint64_t dry;        /* asked for when it last ran dry: the next time twice that */
    /* The question. */
    uint64_t sequence, asked_ns, want, returned;
    uint64_t debit, debit_told;
    uint64_t after_ns; /* a lane that came up is not asked by all at once */
    int64_t arrival;   /* of the store, as last told: the watermark */
    uint64_t server;
    bool fresh; /* another server than the one that told it */
    uint8_t good, bad;
    /* Away, and gone. */
    bool open, dripping; /* the limit is the process's own; all that is left was dripped */
    bool flushing;
    uint64_t drip_ns, dripped;
    uint64_t owed, owed_end_ns; /* to be given back after its user left */
};

static inline const struct rate_config *rate_object_config(const struct rate_object *rate)
{
    return rate->share.policy->config;
}

static inline struct rate_state *rate_object_words(const struct rate_object *rate)
{
    return rate->share.policy->state;
}

static inline bool rate_object_is_degraded(const struct rate_object *rate)
{
    return rate->share.shared.state == WEIR_SHARE_DEGRADED;
}

/* rate_demand.c: how much, and when. */
/* Looks at what is left: reckons demand, and lets what has ended lapse. */
void rate_look(struct rate_object *rate, uint64_t now_ns);
/* How long it waits between two questions. */
uint64_t rate_pace(const struct rate_object *rate);
/* What it should have in hand. `wanted`: the dearest call that was refused. */
uint64_t rate_target(struct rate_object *rate, uint64_t wanted, uint64_t now_ns);
bool rate_is_idle(const struct rate_object *rate, uint64_t now_ns);
/* When to ask next, as far as demand says. */
uint64_t rate_next_ask(struct rate_object *rate, uint64_t now_ns);

/* rate_away.c: the states. */
void rate_settle_state(struct rate_object *rate, uint64_t now_ns);
void rate_degrade(struct rate_object *rate, uint64_t now_ns);
/* Lends the process its share of the rate, if that holds. Answers when next; WEIR_NEVER: it does not. */
uint64_t rate_drip(struct rate_object *rate, uint64_t now_ns);
/* What was lent is worth nothing any more. */
void rate_lapse(struct rate_object *rate);

/* Until when what is lent now is good: before the store's lease is over, by whatever clocks differ. */
static inline uint64_t rate_good_for(const struct rate_object *rate)
{
    uint64_t lease_ns = rate->share.config.lease_ns;
    return lease_ns - lease_ns / 64 - 2 * WEIR_MS;
}

#endif
