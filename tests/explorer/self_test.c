/* The explorer itself: it finds what it must, ends where it must, and its reduction loses nothing. */
#include "support/test.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "explorer/explorer.h"

#include <string.h>

static struct {
    uint64_t count, other[3];
    uint32_t lock, flag, asleep;
} shared;

static void create(void)
{
    memset(&shared, 0, sizeof shared);
    explore_region(&shared, sizeof shared, "shared");
}

static void end_two(void)
{
    EXPLORE_CHECK(shared.count == 2);
    explore_outcome(shared.count);
}

static void add_in_two(uint32_t thread)
{
    (void)thread;
    uint64_t seen = atomic_load_relaxed(&shared.count);
    atomic_store_relaxed(&shared.count, seen + 1);
}

static void add_by_cas(uint32_t thread)
{
    uint64_t seen = atomic_load_relaxed(&shared.count);
    while (!atomic_cas_relaxed(&shared.count, &seen, seen + 1)) continue;
    atomic_add_relaxed(&shared.other[thread], UINT64_C(1));
}

static void add_in_lock(uint32_t thread)
{
    (void)thread;
    lock_take(&shared.lock);
    add_in_two(thread);
    lock_drop(&shared.lock);
}

static struct explore_result search(struct scenario scenario, bool full)
{
    scenario.create = create;
    scenario.name = "toy";
    return explore(
        &scenario, &(struct explore_options) { .schedules_max = 1000000, .quiet = true, .full = full });
}

TEST(explorer, finds_a_lost_update)
{
    struct scenario toy = { .threads = 2, .run = add_in_two, .end = end_two };
    CHECK(search(toy, false).failed);
    CHECK(search(toy, true).failed);
    toy.bound = 1;
    CHECK(search(toy, false).failed);
}

TEST(explorer, passes_what_is_right)
{
    struct explore_result result =
        search((struct scenario) { .threads = 2, .run = add_by_cas, .end = end_two }, false);
    CHECK(!result.failed);
    CHECK(result.exhausted);
}

TEST(explorer, ends_in_spite_of_spinning)
{
    struct explore_result result =
        search((struct scenario) { .threads = 2, .run = add_in_lock, .end = end_two }, false);
    CHECK(!result.failed);
    CHECK(result.exhausted);
}

TEST(explorer, tells_who_waits)
{
    struct explore_result result = search(
        (struct scenario) { .threads = 2, .run = add_in_lock, .end = end_two, .never_waits = true }, false);
    CHECK(result.failed);
    CHECK_STR(result.failure, "a thread waits for another");
}

/* Looks, then sleeps: the wake-up in between is lost. */
static void sleep_or_wake(uint32_t thread)
{
    if (thread == 0) {
        if (atomic_load_seq_cst(&shared.flag) != 0) return;
        atomic_or_acq_rel(&shared.lock, 1u);
        explore_await(&shared.asleep);
    } else {
        atomic_or_acq_rel(&shared.flag, 1u);
        if (atomic_load_seq_cst(&shared.lock) != 0) explore_post(&shared.asleep);
    }
}

TEST(explorer, finds_a_lost_wake_up)
{
    struct explore_result result = search((struct scenario) { .threads = 2, .run = sleep_or_wake }, false);
    CHECK(result.failed);
    CHECK_STR(result.failure, "nobody can go on: 0 sleeps");
}

/* Each thread does a few accesses of its own program to three words; what comes out is all it saw. */
static void wander(uint32_t thread)
{
    static const uint8_t programs[3][4] = { { 0x10, 0x01, 0x12, 0x00 }, { 0x00, 0x11, 0x02, 0x10 },
        { 0x12, 0x00 } };
    for (uint32_t i = 0; i < (thread == 2 ? 2 : 4); i++) {
        uint64_t *word = &shared.other[programs[thread][i] & 3], seen = atomic_load_relaxed(word);
        if (programs[thread][i] >> 4 != 0) atomic_cas_relaxed(word, &seen, seen * 3 + thread + 1);
    }
}

static void end_wander(void)
{
    explore_outcome(shared.other[0] * 1000003 + shared.other[1] * 1009 + shared.other[2]);
}

TEST(explorer, the_reduction_loses_no_outcome)
{
    struct scenario toy = { .threads = 3, .run = wander, .end = end_wander };
    struct explore_result reduced = search(toy, false);
    toy.threads = 2;
    struct explore_result two = search(toy, false), full = search(toy, true);
    CHECK(reduced.exhausted && two.exhausted && full.exhausted);
    CHECK(full.outcomes > 2);
    CHECK_EQ(two.outcomes, full.outcomes);
    CHECK_EQ(two.digest, full.digest);
    CHECK(two.schedules < full.schedules);
}

TEST(explorer, a_schedule_repeats)
{
    struct scenario toy = {
        .name = "toy", .threads = 2, .create = create, .run = add_in_two, .end = end_two
    };
    struct explore_result found = search(toy, false);
    struct explore_result again =
        explore(&toy, &(struct explore_options) { .schedule = found.schedule, .quiet = true });
    CHECK(again.failed);
    CHECK_STR(again.failure, found.failure);
    again = explore(&toy, &(struct explore_options) { .schedule = "0*2 1*2", .quiet = true });
    CHECK(!again.failed);
}
