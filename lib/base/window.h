/* A sliding window of two counts, by time, in shards.
 *
 * Each shard is a ring of 16 buckets, one word each: { epoch:20 | bad:22 | good:22 }, two cache lines.
 * The epoch is time / bucket length; a bucket whose epoch has passed is turned: emptied into the totals and
 * given the new epoch.
 *
 *     a bucket:   [epoch e] --add at epoch e--> [epoch e, +1]
 *                 [epoch e] --add at epoch e + 16k: turn--> [epoch e + 16k, 1]       window_turn
 *                 [full]    --add: half of it goes to the totals--> [half + 1]       window_turn
 *
 * Invariants:
 *   1. a solo shard has one writer; the shared one is changed by compare-and-swap and add only;
 *   2. totals + buckets = everything ever added (nothing is lost when a bucket turns or is halved);
 *   3. an add that comes late counts in its own bucket while that exists, else in the bucket that took
 *      its place: it is never dropped;
 *   4. buckets that time has skipped are emptied when the shard next turns, and a shard untouched for a whole
 *      ring is not summed: 20 bits of epoch do not pass for another lap of them. (A thread that comes back
 *      after exactly k * 2^20 buckets, a week at 10 s, may find its first bucket unturned: what it adds there
 *      is not summed until the next.) */
#ifndef WEIR_LIB_WINDOW_H
#define WEIR_LIB_WINDOW_H

#include "base/arithmetic.h"
#include "base/thread.h"

#define WINDOW_BUCKETS 16
#define WINDOW_COUNT_BITS 22
#define WINDOW_COUNT_MAX ((UINT64_C(1) << WINDOW_COUNT_BITS) - 1)
#define WINDOW_GOOD UINT64_C(1)
#define WINDOW_BAD (UINT64_C(1) << WINDOW_COUNT_BITS)
#define WINDOW_EPOCH_SHIFT (2 * WINDOW_COUNT_BITS)

struct window_shard {
    uint64_t bucket[WINDOW_BUCKETS];
    uint64_t epoch;     /* the newest that was turned to */
    uint64_t good, bad; /* totals of what has left the buckets */
    uint64_t reserved[5];
} CACHE_ALIGNED;

struct window {
    struct window_shard shard[LINES];
};

struct window_sum {
    uint64_t good, bad;
};

static inline uint64_t window_epoch(struct reciprocal bucket, uint64_t now_ns)
{
    return reciprocal_divide(now_ns, bucket);
}

/* For the epoch's bucket: which it is, turned or halved if needed; one is WINDOW_GOOD or WINDOW_BAD. True: it was
 * halved, and what is judged against it must be, too. */
bool window_turn(struct window_shard *shard, uint64_t epoch, uint64_t one, bool solo);

/* Whether adding to the bucket needs window_turn(): another epoch, or a count that is nearly full. */
static inline bool window_must_turn(uint64_t bucket, uint64_t epoch)
{
    const uint64_t nearly_full = (WINDOW_GOOD | WINDOW_BAD) << (WINDOW_COUNT_BITS - 1);
    const uint64_t looked_at = nearly_full | UINT64_MAX << WINDOW_EPOCH_SHIFT;
    return ((bucket ^ epoch << WINDOW_EPOCH_SHIFT) & looked_at) != 0;
}

/* Halves what the epoch's bucket holds, if it is there. */
void window_halve(struct window *window, uint32_t line, bool solo, uint64_t epoch);

/* Answers as window_turn(). */
static inline bool window_add(struct window *window, uint32_t line, bool solo, uint64_t epoch, uint64_t one)
{
    struct window_shard *shard = &window->shard[line];
    uint64_t *bucket = &shard->bucket[epoch % WINDOW_BUCKETS], seen = atomic_load_relaxed(bucket);
    if (unlikely(window_must_turn(seen, epoch))) {
        return window_turn(shard, epoch, one, solo);
    }
    if (likely(solo)) atomic_store_relaxed(bucket, seen + one);
    else atomic_add_relaxed(bucket, one);
    return false;
}

/* Of the buckets from epoch `first` to epoch `now`, both included; at most the ring. */
struct window_sum window_sum(const struct window *window, uint64_t first, uint64_t now);

/* Everything ever added. */
struct window_sum window_total(const struct window *window);

#endif
