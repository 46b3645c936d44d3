#include "base/window.h"

#define EPOCH_MASK ((UINT64_C(1) << (64 - WINDOW_EPOCH_SHIFT)) - 1)

static uint64_t good_of(uint64_t bucket)
{
    return bucket & WINDOW_COUNT_MAX;
}

static uint64_t bad_of(uint64_t bucket)
{
    return (bucket >> WINDOW_COUNT_BITS) & WINDOW_COUNT_MAX;
}

static uint64_t tag_of(uint64_t epoch)
{
    return epoch << WINDOW_EPOCH_SHIFT;
}

/* Replaces *bucket and puts what left it into the totals. False: another thread was faster. */
static bool replace(struct window_shard *shard, uint64_t *bucket, uint64_t seen, uint64_t want,
    struct window_sum gone, bool solo)
{
    if (solo) atomic_store_relaxed(bucket, want);
    else if (!atomic_cas_relaxed(bucket, &seen, want)) return false;
    if (gone.good != 0) line_add(&shard->good, gone.good, solo);
    if (gone.bad != 0) line_add(&shard->bad, gone.bad, solo);
    return true;
}

/* Time has passed these buckets by: whatever their tags say, the counts are old. */
static void empty(struct window_shard *shard, uint64_t first, uint64_t end, bool solo)
{
    if (end - first > WINDOW_BUCKETS) first = end - WINDOW_BUCKETS;
    for (uint64_t epoch = first; epoch < end; epoch++) {
        uint64_t *bucket = &shard->bucket[epoch % WINDOW_BUCKETS], seen = atomic_load_relaxed(bucket);
        bool ahead = ((seen >> WINDOW_EPOCH_SHIFT) - epoch) % (EPOCH_MASK + 1) <= EPOCH_MASK / 2;
        if (!solo && ahead) continue; /* another thread was faster */
        struct window_sum gone = { good_of(seen), bad_of(seen) };
        replace(shard, bucket, seen, tag_of(epoch), gone, solo);
    }
}

static void advance(struct window_shard *shard, uint64_t epoch, bool solo)
{
    uint64_t newest = atomic_load_relaxed(&shard->epoch);
    if (epoch <= newest) return;
    empty(shard, newest + 1, epoch + solo, solo);
    if (solo) atomic_store_relaxed(&shard->epoch, epoch);
    else
        while (newest < epoch && !atomic_cas_relaxed(&shard->epoch, &newest, epoch)) continue;
}

COLD bool window_turn(struct window_shard *shard, uint64_t epoch, uint64_t one, bool solo)
{
    advance(shard, epoch, solo);
    uint64_t *bucket = &shard->bucket[epoch % WINDOW_BUCKETS];
    for (;;) {
        uint64_t seen = atomic_load_relaxed(bucket), want;
        uint64_t ahead = ((seen >> WINDOW_EPOCH_SHIFT) - epoch) & EPOCH_MASK;
        struct window_sum gone = { good_of(seen), bad_of(seen) };
        uint64_t newest = atomic_load_relaxed(&shard->epoch);
        bool late = newest > epoch && ahead <= newest - epoch; /* no bucket is newer than its shard */
        bool full = false;
        if (ahead == 0 || late) { /* its own bucket, or the newer one in its place: only room is needed */
            full = ((gone.good | gone.bad) >> (WINDOW_COUNT_BITS - 1)) != 0;
            if (full) {
                gone.good -= gone.good / 2;
                gone.bad -= gone.bad / 2;
            } else {
                gone = (struct window_sum) { 0, 0 };
            }
            want = seen - gone.good * WINDOW_GOOD - gone.bad * WINDOW_BAD + one;
        } else {
            want = tag_of(epoch) + one;
        }
        if (replace(shard, bucket, seen, want, gone, solo)) return full;
    }
}

COLD void window_halve(struct window *window, uint32_t line, bool solo, uint64_t epoch)
{
    struct window_shard *shard = &window->shard[line];
    uint64_t *bucket = &shard->bucket[epoch % WINDOW_BUCKETS];
    for (;;) {
        uint64_t seen = atomic_load_relaxed(bucket);
        if (((seen ^ tag_of(epoch)) >> WINDOW_EPOCH_SHIFT) != 0) return;
        struct window_sum gone = { good_of(seen) / 2, bad_of(seen) / 2 };
        uint64_t want = seen - gone.good * WINDOW_GOOD - gone.bad * WINDOW_BAD;
        if (replace(shard, bucket, seen, want, gone, solo)) return;
    }
}

struct window_sum window_sum(const struct window *window, uint64_t first, uint64_t now)
{
    struct window_sum sum = { 0, 0 };
    if (first > now) first = now; /* a clock behind the one that set it */
    if (now - first >= WINDOW_BUCKETS) first = now - WINDOW_BUCKETS + 1;
    for_each_line(line)
    {
        const struct window_shard *shard = &window->shard[line];
        uint64_t newest = atomic_load_relaxed(&shard->epoch);
        if (newest + WINDOW_BUCKETS <= now) continue;
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) {
            uint64_t bucket = atomic_load_relaxed(&shard->bucket[i]);
            /* A bucket of a thread whose clock is ahead counts too: it is the newest there is. */
            uint64_t age = (now - (bucket >> WINDOW_EPOCH_SHIFT)) & EPOCH_MASK;
            if (age > now - first && age <= EPOCH_MASK - WINDOW_BUCKETS) continue;
            sum.good += good_of(bucket);
            sum.bad += bad_of(bucket);
        }
    }
    return sum;
}

struct window_sum window_total(const struct window *window)
{
    struct window_sum sum = { 0, 0 };
    for_each_line(line)
    {
        const struct window_shard *shard = &window->shard[line];
        sum.good += atomic_load_relaxed(&shard->good);
        sum.bad += atomic_load_relaxed(&shard->bad);
        for (uint32_t i = 0; i < WINDOW_BUCKETS; i++) {
            uint64_t bucket = atomic_load_relaxed(&shard->bucket[i]);
            sum.good += good_of(bucket);
            sum.bad += bad_of(bucket);
        }
    }
    return sum;
}
