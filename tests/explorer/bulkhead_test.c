/* The bulkhead: words, queue, hand-over, limit. */
#include "explorer/bulkhead_world.h"

static void pass(uint32_t thread)
{
    if (world_enter(thread)) world_leave(thread);
}

static void pass_twice(uint32_t thread)
{
    pass(thread);
    pass(thread);
}

/* Thread 0 is inside from the start. */
static void first_leaves(uint32_t thread)
{
    if (thread == 0) world_leave(0);
    else pass(thread);
}

/* Thread 1's time is over just when it is handed the permit, or before. */
static void second_gives_up(uint32_t thread)
{
    if (thread != 1) first_leaves(thread);
    else if (world_enter_or_leave(thread)) world_leave(thread);
}

static void create_queued(void)
{
    world_create();
    world_begin_to_wait(1);
}

/* Thread 1 gives up, and thread 2 behind it fits. Thread 0 stays until then. */
static void heavy_gives_up(uint32_t thread)
{
    if (thread == 0) {
        explore_await(&world.flag[0]);
        world_leave(0);
    } else if (thread == 1) {
        if (world_enter_or_leave(1)) world_leave(1);
    } else {
        world_enter(2);
        explore_post(&world.flag[0]);
        world_leave(2);
    }
}

/* Thread 2 fits into what thread 0 collected and puts back, because it needs more. Thread 1 stays until then. */
static void collects_in_vain(uint32_t thread)
{
    if (thread == 0) {
        if (world_enter_or_leave(0)) world_leave(0);
    } else if (thread == 1) {
        explore_await(&world.flag[0]);
        world_leave(1);
    } else {
        bool entered = world_enter(2);
        explore_post(&world.flag[0]);
        if (entered) world_leave(2);
    }
}

/* Both were in the queue from the start, thread 1 first. */
static void create_two_queued(void)
{
    world_create();
    world_begin_to_wait(1);
    world_begin_to_wait(2);
}

static void in_order(uint32_t thread)
{
    if (thread == 0) {
        world_leave(0);
    } else {
        world_wait(thread);
        world_leave(thread);
    }
}

/* Thread 1 was in the queue; it is canceled while it is handed the permit. */
static void second_canceled(uint32_t thread)
{
    if (thread == 1) world_cancel(1);
    else first_leaves(thread);
}

/* Thread 0 keeps what it has until thread 1 is inside, which only the raised limit makes possible. */
static void third_raises(uint32_t thread)
{
    if (thread == 0) {
        explore_await(&world.flag[0]);
        world_leave(0);
    } else if (thread == 1) {
        world_enter(1);
        explore_post(&world.flag[0]);
        world_leave(1);
    } else {
        world_set_limit(2);
    }
}

static void third_lowers(uint32_t thread)
{
    if (thread == 2) world_set_limit(1);
    else pass(thread);
}

static void lower_and_raise(uint32_t thread)
{
    if (thread == 2) {
        world_set_limit(1);
        world_set_limit(2);
    } else {
        pass(thread);
    }
}

/* Thread 1 needs more than the limit that thread 2 lowers to: it gets in before, or is refused, but waits for
 * nothing that cannot be. */
static void heavy_and_lowered(uint32_t thread)
{
    if (thread == 0) world_leave(0);
    else if (thread == 2) world_set_limit(1);
    else if (world_enter(1)) world_leave(1);
}

static void create_lapsed(void)
{
    world_create();
    world_lapse();
}

/* Thread 0's permit is handed to nobody before the lease is there; then thread 1 gets it. */
static void third_lends(uint32_t thread)
{
    if (thread == 2) world_lend(1);
    else first_leaves(thread);
}

/* The new lease is for less than the old one was: nobody is let in by the old limit. */
static void first_lends_less(uint32_t thread)
{
    if (thread == 0) world_lend(1);
    else if (world_enter_or_leave(thread)) world_leave(thread);
}

static void step_lent_one(void)
{
    const struct bulkhead_state *state = bulkhead->state;
    EXPLORE_CHECK(world.held <= 1);
    if (((const struct bulkhead_config *)bulkhead->config)->cells == 0)
        EXPLORE_CHECK((uint32_t)state->word <= 1);
}

/* Two hands on the limit at once. */
static void two_set(uint32_t thread)
{
    if (thread < 2) world_set_limit(thread == 0 ? 1 : 3);
    else pass(thread);
}

/* Once no more than the new limit was in use, it is never exceeded again. */
static void step_lowered(void)
{
    const struct bulkhead_state *state = bulkhead->state;
    if (world.lowered == 0) return;
    if ((uint32_t)state->word <= world.lowered) world.calm = 1;
    if (world.calm != 0) EXPLORE_CHECK((uint32_t)state->word <= world.lowered);
}

/* The limit goes between 1 and 3: no more than 3 may ever be inside. */
static void step_two_set(void)
{
    EXPLORE_CHECK(world.held <= 3);
    const struct bulkhead_state *state = bulkhead->state;
    if (((const struct bulkhead_config *)bulkhead->config)->cells == 0)
        EXPLORE_CHECK((uint32_t)state->word <= 3);
    else EXPLORE_CHECK(world_free() + world.held <= 3 + (uint64_t)(uint32_t)state->word);
}

#define SETUP(...)                     \
    (uintptr_t) & (const struct setup) \
    {                                  \
        __VA_ARGS__                    \
    }
#define ONE_WORD .form = WEIR_FORM_SINGLE
#define SHARDED .form = WEIR_FORM_SHARDED

static const struct scenario scenarios[] = {
    { "word/2x2", 2, world_create, pass_twice, world_step, world_end, .never_waits = true,
        .argument = SETUP(ONE_WORD, 1, 0) },
    { "word/3x1", 3, world_create, pass, world_step, world_end, .never_waits = true,
        .argument = SETUP(ONE_WORD, 2, 0, .ordered = true) },
    { "word/3x2", 3, world_create, pass_twice, world_step, world_end, .never_waits = true, .bound = 4,
        .argument = SETUP(ONE_WORD, 2, 0) },
    { "word/weights", 3, world_create, pass, world_step, world_end, .never_waits = true,
        .argument = SETUP(ONE_WORD, 3, 0, .weight = { 1, 2, 3 }) },
    { "queue/hand_over", 2, world_create, first_leaves, world_step, world_end,
        .argument = SETUP(ONE_WORD, 1, 1, .held = { 1 }) },
    { "queue/gives_up", 2, world_create, second_gives_up, world_step, world_end,
        .argument = SETUP(ONE_WORD, 1, 1, .held = { 1 }) },
    { "queue/2x2", 2, world_create, pass_twice, world_step, world_end, .bound = 5,
        .argument = SETUP(ONE_WORD, 1, 1) },
    { "queue/two_wait", 3, world_create, first_leaves, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 2, .held = { 1 }) },
    { "queue/first_in_first_out", 3, world_create, first_leaves, world_step, world_end, .bound = 2,
        .argument = SETUP(ONE_WORD, 1, 2, .held = { 1 }, .ordered = true) },
    { "queue/full", 3, world_create, first_leaves, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 1, .held = { 1 }) },
    { "queue/weights", 3, world_create, first_leaves, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 2, 2, .held = { 2 }, .weight = { 0, 2, 1 }) },
    { "queue/gives_up_first", 3, world_create, second_gives_up, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 2, .held = { 1 }) },
    { "queue/canceled_first", 3, create_queued, second_canceled, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 2, .held = { 1 }) },
    { "queue/heavy_gives_up", 3, world_create, heavy_gives_up, world_step, world_end, .bound = 2,
        .argument = SETUP(ONE_WORD, 2, 2, .held = { 1 }, .weight = { 0, 2, 1 }) },
    { "queue/in_order", 3, create_two_queued, in_order, world_step, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 2, .held = { 1 }, .ordered = true) },
    { "queue/3x2", 3, world_create, pass_twice, world_step, world_end, .bound = 2,
        .argument = SETUP(ONE_WORD, 1, 2) },
    { "limit/raised", 3, world_create, third_raises, NULL, world_end,
        .argument = SETUP(ONE_WORD, 1, 1, .held = { 1 }) },
    { "limit/lowered", 3, world_create, third_lowers, step_lowered, world_end,
        .argument = SETUP(ONE_WORD, 2, 0, .ordered = true) },
    { "limit/lowered_and_raised", 3, world_create, lower_and_raise, NULL, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 2, 2, .weight = { 2, 2 }) },
    { "limit/too_heavy", 3, world_create, heavy_and_lowered, NULL, world_end,
        .argument = SETUP(ONE_WORD, 2, 1, .held = { 1 }, .weight = { 0, 2 }) },
    { "lease/comes", 3, create_lapsed, third_lends, NULL, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 1, 1, .held = { 1 }) },
    { "lease/of_less", 3, create_lapsed, first_lends_less, step_lent_one, world_end, .bound = 2,
        .argument = SETUP(ONE_WORD, 2, 1) },
    { "limit/two_set", 4, world_create, two_set, step_two_set, world_end, .bound = 3,
        .argument = SETUP(ONE_WORD, 2, 0) },
    { "sharded/3x1", 3, world_create, pass, world_step, world_end, .never_waits = true,
        .argument = SETUP(SHARDED, 2, 0) },
    { "sharded/2x2", 2, world_create, pass_twice, world_step, world_end, .never_waits = true,
        .argument = SETUP(SHARDED, 2, 0, .weight = { 2, 1 }) },
    { "sharded/hand_over", 2, world_create, first_leaves, world_step, world_end,
        .argument = SETUP(SHARDED, 2, 1, .held = { 2 }) },
    { "sharded/queue", 2, world_create, pass_twice, world_step, world_end, .bound = 4,
        .argument = SETUP(SHARDED, 2, 1, .weight = { 2, 1 }) },
    { "sharded/two_wait", 3, world_create, first_leaves, world_step, world_end, .bound = 2,
        .argument = SETUP(SHARDED, 2, 2, .held = { 2 }) },
    { "sharded/gives_up_first", 3, world_create, second_gives_up, world_step, world_end, .bound = 2,
        .argument = SETUP(SHARDED, 2, 2, .held = { 2 }, .weight = { 0, 2, 1 }) },
    { "sharded/collects_in_vain", 3, world_create, collects_in_vain, world_step, world_end, .bound = 3,
        .argument = SETUP(SHARDED, 2, 1, .held = { 0, 1 }, .weight = { 2, 1, 1 }) },
    { "sharded/gather_and_wait", 3, world_create, pass, world_step, world_end, .bound = 2,
        .argument = SETUP(SHARDED, 3, 2, .weight = { 1, 2, 3 }) },
    { "sharded/lease_comes", 3, create_lapsed, third_lends, NULL, world_end, .bound = 3,
        .argument = SETUP(SHARDED, 1, 1, .held = { 1 }) },
    { "sharded/lease_of_less", 3, create_lapsed, first_lends_less, step_lent_one, world_end, .bound = 2,
        .argument = SETUP(SHARDED, 2, 1) },
    { "sharded/lowered", 3, world_create, third_lowers, world_step, world_end, .bound = 4,
        .argument = SETUP(SHARDED, 2, 0, .ordered = true) },
    { "sharded/lowered_and_raised", 3, world_create, lower_and_raise, NULL, world_end, .bound = 2,
        .argument = SETUP(SHARDED, 2, 2, .weight = { 2, 1 }) },
    { "sharded/too_heavy", 3, world_create, heavy_and_lowered, NULL, world_end, .bound = 3,
        .argument = SETUP(SHARDED, 2, 1, .held = { 1 }, .weight = { 0, 2 }) },
    { "sharded/two_set", 3, world_create, two_set, step_two_set, world_end, .bound = 3,
        .argument = SETUP(SHARDED, 2, 0, .weight = { 0, 0, 4 }) },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
