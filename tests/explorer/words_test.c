/* The smaller words: a window's shared line, and the wakers of held calls. */
#include "base/window.h"
#include "explorer/explorer.h"
#include "policy/wakers.h"

#include <string.h>

/* ---- the window ---- */

static struct {
    struct window window;
    struct { /* by thread: what it adds, and when */
        uint64_t epoch[2], one[2];
    } adds[EXPLORE_THREADS_MAX];
} w;

static void window_create(const uint64_t (*epochs)[2])
{
    memset(&w, 0, sizeof w);
    for (uint32_t i = 0; i < explore_scenario()->threads; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            w.adds[i].epoch[j] = epochs[i][j];
            w.adds[i].one[j] = (i + j) % 2 == 0 ? WINDOW_GOOD : WINDOW_BAD;
        }
    }
    explore_region(&w.window.shard[SHARDS], sizeof w.window.shard[SHARDS], "shard");
}

static void create_turning(void)
{
    static const uint64_t epochs[][2] = { { 17, 17 }, { 17, 18 }, { 18, 18 } };
    window_create(epochs);
    window_add(&w.window, SHARDS, false, 1, WINDOW_GOOD);
    window_add(&w.window, SHARDS, false, 2, WINDOW_BAD);
}

/* One thread's clock is a whole ring ahead of the other's. */
static void create_apart(void)
{
    static const uint64_t epochs[][2] = { { 20, 20 }, { 36, 36 }, { 24, 36 } };
    window_create(epochs);
    window_add(&w.window, SHARDS, false, 16, WINDOW_GOOD);
}

/* Full to the brim: it is halved by whoever comes. */
static void create_full(void)
{
    static const uint64_t epochs[][2] = { { 17, 17 }, { 17, 17 }, { 17, 18 } };
    window_create(epochs);
    window_add(&w.window, SHARDS, false, 17, WINDOW_GOOD);
    w.window.shard[SHARDS].bucket[17 % WINDOW_BUCKETS] += (WINDOW_COUNT_MAX / 2) * WINDOW_GOOD;
}

static void add_two(uint32_t thread)
{
    for (uint32_t i = 0; i < 2; i++) {
        explore_progress();
        window_add(&w.window, SHARDS, false, w.adds[thread].epoch[i], w.adds[thread].one[i]);
    }
}

static void window_end(void)
{
    struct window_sum before = { 0, 0 }, sum = { 0, 0 };
    struct window_sum total = window_total(&w.window);
    uint64_t newest = 0;
    for (uint32_t i = 0; i < explore_scenario()->threads; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            newest = time_max(newest, w.adds[i].epoch[j]);
            if (w.adds[i].one[j] == WINDOW_GOOD) sum.good++;
            else sum.bad++;
        }
    }
    if (explore_scenario()->create == create_turning) before = (struct window_sum) { 1, 1 };
    if (explore_scenario()->create == create_apart) before = (struct window_sum) { 1, 0 };
    if (explore_scenario()->create == create_full)
        before = (struct window_sum) { 1 + WINDOW_COUNT_MAX / 2, 0 };
    EXPLORE_CHECK(total.good == before.good + sum.good);
    EXPLORE_CHECK(total.bad == before.bad + sum.bad);
    EXPLORE_CHECK(w.window.shard[SHARDS].epoch == newest);
    /* What belongs to the newest epoch must be seen in it. */
    struct window_sum now = window_sum(&w.window, newest, newest);
    uint64_t good = 0, bad = 0;
    for (uint32_t i = 0; i < explore_scenario()->threads; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            if (w.adds[i].epoch[j] != newest) continue;
            if (w.adds[i].one[j] == WINDOW_GOOD) good++;
            else bad++;
        }
    }
    EXPLORE_CHECK(now.good >= good);
    EXPLORE_CHECK(now.bad >= bad);
    explore_outcome(now.good << 32 | now.bad);
}

/* ---- the wakers ---- */

static struct {
    struct waker_cell cell;
    struct wakers wakers;
    uint32_t granted, flag;
    uint32_t armed[EXPLORE_THREADS_MAX], running, late;
} k;

static void create_wakers(void)
{
    memset(&k, 0, sizeof k);
    k.wakers = (struct wakers) { &k.cell, 1 };
    explore_region(&k, sizeof k, "wakers");
}

static void arm(uint32_t thread);

static void create_armed(void)
{
    create_wakers();
    arm(1);
}

/* After disarm it does not run; whose it is, is asked while it runs. */
static void post(void *owner)
{
    uint32_t thread = (uint32_t)((uint32_t *)owner - k.armed);
    weir_explore_point(&k.armed[thread]);
    EXPLORE_CHECK(k.armed[thread] == 1);
    EXPLORE_CHECK(k.running == 0);
    k.running = 1;
    weir_explore_point(&k.armed[thread]);
    k.running = 0;
    EXPLORE_CHECK(k.armed[thread] == 1);
    if (thread == 0) explore_post(&k.flag);
}

static void arm(uint32_t thread)
{
    weir_explore_point(&k.armed[thread]);
    k.armed[thread] = 1;
    wakers_arm(&k.wakers, 0, &k.armed[thread], (struct weir_waker) { post, &k.armed[thread] });
}

static void disarm(uint32_t thread)
{
    wakers_disarm(&k.wakers, 0, &k.armed[thread]);
    weir_explore_point(&k.armed[thread]);
    k.armed[thread] = 0;
}

/* The waiter arms and looks; the other grants and posts. */
static void arm_and_post(uint32_t thread)
{
    if (thread == 0) {
        arm(0);
        while (atomic_load_seq_cst(&k.granted) == 0) explore_await(&k.flag);
        disarm(0);
    } else if (thread == 1) {
        atomic_or_acq_rel(&k.granted, 1u);
        wakers_post(&k.wakers, 0);
    } else {
        wakers_post(&k.wakers, 0);
    }
}

/* The index goes to thread 0 before thread 1, its last owner, has disarmed; thread 0 must get its post. */
static void take_over(uint32_t thread)
{
    if (thread == 1) disarm(1);
    else arm_and_post(thread == 0 ? 0 : 1);
}

static void wakers_end(void)
{
    EXPLORE_CHECK(k.cell.state == 0);
    explore_outcome(k.flag);
}

static const struct scenario scenarios[] = {
    { "window/turn_2", 2, create_turning, add_two, NULL, window_end, .never_waits = true, .bound = 4 },
    { "window/turn_3", 3, create_turning, add_two, NULL, window_end, .never_waits = true, .bound = 2 },
    { "window/full", 2, create_full, add_two, NULL, window_end, .never_waits = true },
    { "window/apart", 2, create_apart, add_two, NULL, window_end, .never_waits = true, .bound = 3 },
    { "window/apart_3", 3, create_apart, add_two, NULL, window_end, .never_waits = true, .bound = 2 },
    { "wakers/post", 2, create_wakers, arm_and_post, NULL, wakers_end },
    { "wakers/post_twice", 3, create_wakers, arm_and_post, NULL, wakers_end },
    { "wakers/take_over", 3, create_armed, take_over, NULL, wakers_end },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
