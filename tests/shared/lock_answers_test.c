/* Answers that hold no number, or come after the news that nobody answers any more. */
#include "shared/lock_case.h"

static void answer_nothing(struct question *question)
{
    question->answer = (struct weir_answer) { .count = 0 };
    question_answer(&carrier, question, WEIR_ANSWER_DONE);
}

static struct question *there(uint32_t node)
{
    struct question *question = question_at(&carrier, node);
    CHECK(question != NULL);
    return question;
}

TEST(lock_answers, a_renewal_that_is_answered_by_nothing_is_tried_again)
{
    struct weir_lock *lock = held(1);
    uint64_t before_ns = weir_lock_valid_until(lock);
    world_ns = carrier.wake_ns;
    answer_nothing(asked(WEIR_ASK_RENEW));
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    CHECK_EQ(weir_lock_valid_until(lock), before_ns);
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    CHECK(carrier.wake_ns <= START_NS + LEASE_NS / 2); /* at the next sixth */
    world_ns = carrier.wake_ns;
    answer(asked(WEIR_ASK_RENEW), 1, 0);
    CHECK(weir_lock_valid_until(lock) > before_ns);
    done(lock);
}

TEST(lock_answers, a_fence_that_is_answered_by_nothing_does_not_stand)
{
    struct weir_lock *lock = fresh(3);
    weir_lock_begin(lock, WEIR_NEVER);
    carrier_pump(&carrier);
    answer(there(0), 1, 50);
    answer(there(1), 1, 60);
    answer(there(2), 0, 500);
    carrier_pump(&carrier);
    struct question *fence = there(0);
    CHECK_EQ(fence->ask.kind, WEIR_ASK_FENCE);
    fence->answer.number[0] = 60;
    answer_nothing(fence);
    CHECK(state_of(lock) != WEIR_LOCK_HELD);
    done(lock);
}

/* The carrier says first that the lane is down, then what came: it holds, and is not asked for twice. */
TEST(lock_answers, a_renewal_that_was_answered_all_the_same_counts)
{
    struct weir_lock *lock = held(1);
    world_ns = carrier.wake_ns;
    struct question *question = asked(WEIR_ASK_RENEW);
    uint64_t sent_ns = world_now().boottime_ns;
    carrier_lane(&carrier, 0, false, 0);
    answer(question, 1, 0);
    CHECK_EQ(weir_lock_valid_until(lock), sent_ns + VALID_NS);
    carrier_lane(&carrier, 0, true, 100);
    carrier_pump(&carrier);
    CHECK(question_at(&carrier, 0) == NULL);
    CHECK_EQ(state_of(lock), WEIR_LOCK_HELD);
    done(lock);
}

TEST(lock_answers, a_config_of_no_size_is_refused_before_all_else)
{
    struct weir_lock *lock;
    const struct weir_lock_config none = { 0 };
    CHECK_EQ(weir_lock_create(&none, &lock), WEIR_E_SIZE);
    CHECK(strstr(weir_error_text(), "weir_lock_config") != NULL);
}
