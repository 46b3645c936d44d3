/* GCRA (ITU-T I.371, "Generic Cell Rate Algorithm"): a token bucket in one word.
 *
 * The word, tat, is the theoretical arrival time. What takes c tokens takes the next c * token of virtual time
 * behind it, an interval [b, e] with b = max(tat, now), and has its turn at once if e <= now + span, else at
 * e - span. The bucket is full when tat <= now; it grows by time passing, without anybody writing.
 *
 * Units are quarters of a nanosecond. Nothing here can overflow: an instant counts up to 2^61 ns (73 years),
 * spans, waits and amounts up to 2^61 units (18 years), so every sum stays below 2^64. */
#ifndef WEIR_LIB_GCRA_H
#define WEIR_LIB_GCRA_H

#include "base/arithmetic.h"
#include "base/atomic.h"
#include "base/check.h"

#define GCRA_UNITS_PER_NS 4
#define GCRA_NS_MAX ((UINT64_C(1) << 61) - 1)
#define GCRA_SPAN_MAX (UINT64_C(1) << 61)

struct gcra {
    uint64_t tat;
    uint64_t token;    /* units that one token takes to grow: fixed */
    uint64_t span;     /* of a full bucket: fixed */
    uint64_t promised; /* the latest turn that was ever told to somebody who waits for it */
};

static ALWAYS_INLINE uint64_t gcra_units(uint64_t ns)
{
    return time_min(ns, GCRA_NS_MAX) * GCRA_UNITS_PER_NS;
}

static inline uint64_t gcra_ns_up(uint64_t units)
{
    return units / GCRA_UNITS_PER_NS + (units % GCRA_UNITS_PER_NS != 0);
}

/* Takes amount if its turn is now. */
static ALWAYS_INLINE bool gcra_take(struct gcra *gcra, uint64_t amount, uint64_t now)
{
    uint64_t tat = atomic_load_relaxed(&gcra->tat), next;
    do {
        next = time_max(tat, now) + amount;
        if (unlikely(next > now + gcra->span)) return false;
    } while (unlikely(!atomic_cas_relaxed(&gcra->tat, &tat, next)));
    return true;
}

/* When amount would have its turn. */
static inline uint64_t gcra_turn(const struct gcra *gcra, uint64_t amount, uint64_t now)
{
    uint64_t next = time_max(atomic_load_relaxed(&gcra->tat), now) + amount;
    return time_max(time_since(next, gcra->span), now);
}

/* Takes amount if its turn comes by `latest`, and says when. */
static inline bool gcra_reserve(
    struct gcra *gcra, uint64_t amount, uint64_t now, uint64_t latest, uint64_t *turn)
{
    uint64_t tat = atomic_load_relaxed(&gcra->tat), next;
    do {
        next = time_max(tat, now) + amount;
        *turn = time_max(time_since(next, gcra->span), now);
        if (*turn > latest) return false;
        uint64_t promised = atomic_load_relaxed(&gcra->promised);
        while (*turn > now && *turn > promised) {
            if (atomic_cas_acq_rel(&gcra->promised, &promised, *turn)) break;
        }
    } while (!atomic_cas_acq_rel(&gcra->tat, &tat, next));
    return true;
}

/* Gives back of an amount whose turn was or is `turn` what has not grown back; answers how much that is.
 *
 * Why in every window of length t no more than span + t passes of what is not given back:
 *   Each taker has an interval of virtual time; they are disjoint, in the order of taking; the interval of one
 *   whose turn is p lies in [p, p + span]. So what has its turns in [p, p + t] fits into t + span.
 *   To lower tat by x is to move the intervals behind the given one to the left by x. They stay disjoint and
 *   end no later; it remains that none begins before its own turn. They begin at the given one's end or later,
 *   which is turn + amount or later, by this very rule; so after a move by
 *       x <= turn + amount - max(now, promised)
 *   they begin at max(now, promised) or later; and no turn that was ever given or promised is later than that.
 * The end that the taker's own interval had when it was taken must not be used for this: it moves. Nor are the
 * turns of those who wait moved, as they have been told: what is given back before others' turns is lost.
 *
 * `promised` belongs to the tat that was read before it: a promise made in between moves tat, and the swap
 * fails (unless another thread takes back exactly that much in the same few nanoseconds). */
static inline uint64_t gcra_give_back(struct gcra *gcra, uint64_t amount, uint64_t turn, uint64_t now)
{
    uint64_t tat = atomic_load_acquire(&gcra->tat), left;
    do {
        uint64_t grown = time_max(now, atomic_load_acquire(&gcra->promised));
        left = time_min(amount, time_since(turn + amount, grown));
        if (left == 0) break;
    } while (!atomic_cas_acq_rel(&gcra->tat, &tat, time_since(tat, left)));
    return left;
}

/* Puts amount in, from elsewhere; what is more than full is lost. */
static inline void gcra_deposit(struct gcra *gcra, uint64_t amount, uint64_t now)
{
    uint64_t tat = atomic_load_relaxed(&gcra->tat);
    do {
        if (tat <= now) return;
    } while (!atomic_cas_relaxed(&gcra->tat, &tat, time_since(tat, amount)));
}

/* Whole tokens that could be taken. */
static inline uint64_t gcra_tokens(const struct gcra *gcra, uint64_t now)
{
    uint64_t tat = time_max(atomic_load_relaxed(&gcra->tat), now);
    return time_since(now + gcra->span, tat) / gcra->token;
}

#endif
