/* The breaker's triggers: pure functions of what the window holds. */
#include "policy/breaker.h"

/* The lower bound of Wilson's score interval lies above p0 exactly if p > p0 and
 * n (p - p0)^2 > z^2 p0 (1 - p0) (E. B. Wilson, "Probable Inference", JASA 22, 1927, solved for p0 instead of
 * p). With f of n calls failed, p0 = percent / 100 and z in tenths:
 * 100 (100 f - percent n)^2 > z^2 percent (100 - percent) n. Counts are below 2^40, so 128 bits hold it. */
bool breaker_wilson_above(uint64_t failures, uint64_t calls, uint32_t percent, uint32_t z_tenths)
{
    unsigned __int128 have = (unsigned __int128)failures * 100, want = (unsigned __int128)calls * percent;
    if (have <= want) return false;
    unsigned __int128 excess = have - want;
    return excess * excess * 100 >
        (unsigned __int128)((uint64_t)z_tenths * z_tenths * percent * (100 - percent)) * calls;
}

/* What the window holds since the breaker closed. While open nothing is counted, so the bucket in which it
 * closed holds later outcomes only, unless it was open for less than a bucket: then it is left out. */
struct window_sum breaker_window(
    const struct breaker_config *config, const struct window *window, uint64_t since_ns, uint64_t now_ns)
{
    uint64_t now = window_epoch(config->bucket, now_ns);
    uint64_t first = since_ns == 0 ? 0 : window_epoch(config->bucket, since_ns) + config->short_open;
    if (first > now) return (struct window_sum) { 0, 0 };
    return window_sum(window, first, now);
}

static bool rates_are_ill(const struct breaker_config *config, struct window_sum sum)
{
    uint64_t calls = sum.good + sum.bad;
    if (config->z_tenths != 0) {
        if (breaker_wilson_above(sum.bad, calls, config->failure_percent, config->z_tenths)) return true;
    }
    if (config->plain_percent != 0) {
        if (sum.bad * 100 >= calls * config->plain_percent) return true;
    }
    return false;
}

static bool slow_is_ill(const struct breaker_config *config, struct window_sum sum, struct window_sum slow)
{
    return slow.bad * 100 >= (sum.good + sum.bad) * config->slow_percent;
}

static bool is_ill(const struct breaker_config *config, const struct breaker_state *state,
    struct window_sum sum, uint64_t since_ns, uint64_t now_ns)
{
    if (rates_are_ill(config, sum)) return true;
    if (config->slow_ns == WEIR_NEVER) return false;
    return slow_is_ill(config, sum, breaker_window(config, &state->slow, since_ns, now_ns));
}

struct breaker_evidence breaker_evidence(
    const struct breaker_config *config, const struct breaker_state *state, uint64_t first, uint64_t now_ns)
{
    uint64_t now = window_epoch(config->bucket, now_ns);
    if (first > now) return (struct breaker_evidence) { 0 };
    struct window_sum sum = window_sum(&state->outcomes, first, now), slow = { 0, 0 };
    if (config->slow_ns != WEIR_NEVER) slow = window_sum(&state->slow, first, now);
    bool ill = rates_are_ill(config, sum);
    if (config->slow_ns != WEIR_NEVER && slow_is_ill(config, sum, slow)) ill = true;
    if (sum.good + sum.bad < config->calls_min) ill = false;
    return (struct breaker_evidence) { sum.good, sum.bad, slow.bad, ill };
}

enum judgement breaker_judge(const struct breaker_config *config, const struct breaker_state *state,
    uint64_t since_ns, uint64_t now_ns)
{
    struct window_sum sum = breaker_window(config, &state->outcomes, since_ns, now_ns);
    if (sum.good + sum.bad >= config->calls_min) {
        return is_ill(config, state, sum, since_ns, now_ns) ? JUDGED_ILL : JUDGED_WELL;
    }
    uint64_t streak = atomic_load_relaxed(&state->streak);
    if (config->consecutive != 0 && streak >= config->consecutive) return JUDGED_ILL;
    if (sum.bad != 0 || config->slow_ns != WEIR_NEVER) return JUDGED_FILLING;
    return JUDGED_WELL;
}

/* base * 2^level, capped, and varied by its own generation: whoever computes it for a generation gets the
 * same. */
uint64_t breaker_open_time(const struct breaker_config *config, uint64_t word)
{
    uint64_t open_ns = config->open_ns;
    for (uint32_t level = word_level(word); level > 0 && open_ns < config->open_max_ns; level--) open_ns *= 2;
    open_ns = time_min(open_ns, config->open_max_ns);
    if (config->jitter_percent == 0) return open_ns;
    uint64_t random = config->seed ^ word_generation(word);
    uint64_t spread = open_ns / 100 * config->jitter_percent;
    return open_ns - spread + random_up_to(&random, 2 * spread);
}
