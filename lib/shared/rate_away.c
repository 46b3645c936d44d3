/* How a shared rate limit stands to its fleet, and what holds while the store is away. */
#include "shared/rate_object.h"

#define GOOD_ANSWERS 2        /* in a row, until an absence is over */
#define DRIP_NS (5 * WEIR_MS) /* not more often */
#define ERRORS_MAX 3          /* in a row, until the store counts as away */

void rate_lapse(struct rate_object *rate)
{
    rate->share.shared.stats.expired += rate_loan_void(rate_object_config(rate), rate_object_words(rate));
    rate->left = 0;
}

static uint64_t share_of_burst(const struct rate_object *rate)
{
    return time_max(1, rate->burst / rate->share.shared.stats.instances);
}

/* ---- there and back ---- */

/* In an open absence the burst is what was lent, and no more; the rest is that of time. */
void rate_degrade(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    rate->good = 0;
    rate->drip_ns = now_ns;
    rate->dripped = 0;
    rate->dripping = rate->left == 0;
    shared_become(&rate->share.shared, WEIR_SHARE_DEGRADED, now_ns);
    if (rate->share.config.away != WEIR_AWAY_OPEN) return;
    rate_loan_end(rate_object_config(rate), words, rate->left, now_ns);
    rate->left = 0;
    rate->open = true;
}

/* What was used meanwhile, as far as it has not grown back, is still to be paid. */
static void come_back(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    if (rate->open) {
        rate->debit += time_since(rate->burst, gcra_tokens(&words->gcra, gcra_units(now_ns)));
        rate_loan_begin(rate_object_config(rate), words, (uint32_t)rate->share.config.lease_max);
        rate->open = false;
    }
    rate->debit += time_min(rate->dripped, share_of_burst(rate));
    rate->debit = time_min(rate->debit, rate->burst);
    rate->dripped = 0;
    shared_become(&rate->share.shared, WEIR_SHARE_SHARED, now_ns);
}

void rate_settle_state(struct rate_object *rate, uint64_t now_ns)
{
    struct shared *shared = &rate->share.shared;
    enum weir_lane_state lane = shared_lane_state(shared->link, 0, WEIR_LANE_BULK);
    if (rate_object_is_degraded(rate)) {
        if (lane == WEIR_LANE_UP && rate->good >= GOOD_ANSWERS) come_back(rate, now_ns);
        return;
    }
    bool ill = lane == WEIR_LANE_SLOW || rate->bad != 0;
    bool spent = rate->left == 0 && atomic_load_relaxed(&rate_object_words(rate)->loan.wanted) != 0;
    if (lane == WEIR_LANE_DOWN || rate->bad >= ERRORS_MAX || (ill && spent)) rate_degrade(rate, now_ns);
    else shared_become(shared, lane == WEIR_LANE_SLOW ? WEIR_SHARE_SLOW : WEIR_SHARE_SHARED, now_ns);
}

/* ---- its share of the rate ---- */

static uint64_t quarter(const struct rate_object *rate)
{
    return time_min(rate->share.config.lease_ns / 4, 50 * WEIR_MS);
}

/* Tokens of its share that have grown since drip_ns, and when that was for the last of them. */
static uint64_t grown(const struct rate_object *rate, uint64_t now_ns, uint64_t *until_ns)
{
    uint64_t instances = rate->share.shared.stats.instances;
    unsigned __int128 token = (unsigned __int128)rate->period_us * WEIR_US * instances;
    uint64_t tokens =
        (uint64_t)((unsigned __int128)time_since(now_ns, rate->drip_ns) * rate->permits / token);
    *until_ns = rate->drip_ns + (uint64_t)((tokens * token + rate->permits - 1) / rate->permits);
    return tokens;
}

static uint64_t next_drip(const struct rate_object *rate, bool full, uint64_t now_ns)
{
    unsigned __int128 token =
        (unsigned __int128)rate->period_us * WEIR_US * rate->share.shared.stats.instances;
    uint64_t token_ns = (uint64_t)((token + rate->permits - 1) / rate->permits);
    return full ? now_ns + quarter(rate) : time_max(rate->drip_ns + token_ns, now_ns + DRIP_NS);
}

/* What the store lent keeps its end; once that is gone what is dripped is good for as long as it drips. */
uint64_t rate_drip(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    if (!rate_object_is_degraded(rate) || rate->open) return WEIR_NEVER;
    if (rate->share.config.away == WEIR_AWAY_CLOSED) {
        atomic_store_relaxed(&words->loan.deny_until_ns, now_ns + quarter(rate));
        return WEIR_NEVER;
    }
    if (rate->left == 0) rate->dripping = true;
    uint64_t most = time_min(share_of_burst(rate), rate->share.config.lease_max), until_ns;
    uint64_t tokens = time_min(grown(rate, now_ns, &until_ns), time_since(most, rate->left));
    bool full = rate->left + tokens >= most;
    rate->drip_ns = full ? now_ns : until_ns;
    uint64_t end_ns = rate->dripping ? now_ns + rate_good_for(rate) : words->loan.end_ns;
    if (tokens != 0 || rate->dripping) rate_loan_add(words, tokens, end_ns);
    rate->left += tokens;
    rate->dripped += tokens;
    uint64_t next_ns = next_drip(rate, full, now_ns);
    atomic_store_relaxed(&words->loan.deny_until_ns, full ? 0 : next_ns);
    atomic_store_relaxed(&words->loan.wanted, 0);
    return next_ns;
}
