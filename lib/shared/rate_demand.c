/* How much a process should have in hand, and when it asks for more. */
#include "shared/rate_object.h"

#define HORIZON_MIN_NS (5 * WEIR_MS)
#define RECKON_NS (2 * WEIR_MS) /* demand over less says nothing */
#define FADE_NS (100 * WEIR_MS) /* demand that is gone is forgotten by and by */

/* At the limit a process's turn comes once in as many tokens as there are processes: it asks twice in that time, not
 * more, and has in hand what it uses meanwhile. */
uint64_t rate_pace(const struct rate_object *rate)
{
    uint64_t turn_ns = rate->period_us * WEIR_US / rate->permits * rate->share.shared.stats.instances;
    uint64_t least_ns = time_max(rate->share.shared.stats.round_trip_ns, HORIZON_MIN_NS / 4);
    return time_min(time_max(turn_ns / 2, least_ns), rate->share.config.lease_ns / 4);
}

static uint64_t horizon(const struct rate_object *rate)
{
    return time_min(4 * rate_pace(rate), rate->share.config.lease_ns / 2);
}

static uint64_t tokens_in(uint64_t per_second, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)per_second * ns / WEIR_S);
}

static void reckon(struct rate_object *rate, uint64_t now_ns)
{
    uint64_t passed_ns = time_since(now_ns, rate->sized_ns);
    if (passed_ns < RECKON_NS) return;
    uint64_t seen = (uint64_t)((unsigned __int128)rate->used * WEIR_S / passed_ns);
    uint64_t before = rate->per_second;
    if (seen >= before) {
        rate->per_second = seen;
    } else {
        rate->per_second -= tokens_in(before - seen, time_min(passed_ns, FADE_NS) * (WEIR_S / FADE_NS));
    }
    rate->used = 0;
    rate->sized_ns = now_ns;
}

void rate_look(struct rate_object *rate, uint64_t now_ns)
{
    struct rate_state *words = rate_object_words(rate);
    atomic_store_relaxed(&words->loan.at_ns, now_ns);
    uint64_t left = rate_loan_left(rate_object_config(rate), words);
    uint64_t refused = counters_sum(rate->share.policy->counters, RATE_REFUSED);
    uint64_t used = time_since(rate->left, left) + (refused - rate->refused);
    rate->left = left;
    rate->refused = refused;
    if (used != 0) rate->used_ns = now_ns;
    rate->used += used;
    reckon(rate, now_ns);
    if (now_ns >= words->loan.end_ns && left != 0) rate_lapse(rate);
}

bool rate_is_idle(const struct rate_object *rate, uint64_t now_ns)
{
    return time_since(now_ns, rate->used_ns) > rate->share.config.lease_ns / 2;
}

/* What an idle process keeps, so that its first call need not wait: none if others might lack it. */
static uint64_t kept(const struct rate_object *rate)
{
    return rate->share.config.lease_max >= 2 * (uint64_t)rate->share.shared.stats.instances ? 1 : 0;
}

uint64_t rate_target(struct rate_object *rate, uint64_t wanted, uint64_t now_ns)
{
    if (wanted == 0 && rate_is_idle(rate, now_ns)) return kept(rate);
    uint64_t target = tokens_in(rate->per_second, horizon(rate)) + 1;
    rate->dry = wanted == 0 ? 0 : time_max(2 * rate->dry, wanted);
    return time_min(time_max(target, rate->dry), rate->share.config.lease_max);
}

/* While it is used: before half of what it should have is gone, and before the lease is. */
static uint64_t next_ask_in_use(const struct rate_object *rate, uint64_t now_ns)
{
    uint64_t low = tokens_in(rate->per_second, horizon(rate) / 2);
    uint64_t renew_ns = time_add(rate->asked_ns, rate->share.config.lease_ns / 3);
    if (rate->left <= low || rate->per_second == 0) return rate->left <= low ? now_ns : renew_ns;
    uint64_t lasts_ns = (uint64_t)((unsigned __int128)(rate->left - low) * WEIR_S / rate->per_second);
    return time_min(time_add(now_ns, lasts_ns), renew_ns);
}

uint64_t rate_next_ask(struct rate_object *rate, uint64_t now_ns)
{
    uint64_t at_ns = now_ns;
    bool wanted = atomic_load_relaxed(&rate_object_words(rate)->loan.wanted) != 0;
    if (!wanted && rate_is_idle(rate, now_ns)) {
        uint64_t keeps = kept(rate), pocket = rate_loan_pocket(rate_object_words(rate));
        if (pocket <= keeps) at_ns = rate->asked_ns + rate->share.config.lease_ns / 2;
        if (pocket == 0 && keeps == 0) return WEIR_NEVER;
    } else if (!wanted) {
        at_ns = next_ask_in_use(rate, now_ns);
    }
    uint64_t pace_ns = time_add(rate->asked_ns, rate_pace(rate));
    uint64_t deny_ns = rate_object_words(rate)->loan.deny_until_ns;
    return time_max(time_max(at_ns, pace_ns), deny_ns);
}
