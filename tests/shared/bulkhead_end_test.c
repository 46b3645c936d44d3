/* How the sharing of a bulkhead ends: flushed, unshared, closed, in a child; by hand-made answers. */
#include "policy/bulkhead.h"
#include "policy/handle.h"
#include "shared/bulkhead_desk.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct desk desk;

static bool enters(uint64_t now_ns)
{
    static struct guest guest;
    if (come(&guest, desk.pipeline, 1, NULL, now_ns) != WEIR_RUN) return false;
    go(&guest, now_ns);
    return true;
}

TEST(shared_bulkhead, flushed_it_holds_nothing)
{
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    CHECK(desk_pull(&desk, START + WEIR_S)); /* a renewal is under way */
    weir_link_flush(desk.link, at(START + WEIR_S));
    CHECK(!weir_link_is_flushed(desk.link));
    CHECK_EQ(desk_limit(&desk), 0);
    desk_answer(&desk, WEIR_ANSWER_DONE, 5, 1, 12, 0, 1, 1, START + WEIR_S);
    CHECK(!weir_link_is_flushed(desk.link)); /* that was not it */
    CHECK_EQ(desk_limit(&desk), 0);
    CHECK(desk_pull(&desk, START + WEIR_S));
    const int64_t numbers[] = { 3, 12, 0, 0, 0 };
    for (int i = 0; i < 5; i++) CHECK_EQ(desk.ask.number[i], numbers[i]);
    desk_answer(&desk, WEIR_ANSWER_DONE, 5, 0, 12, 0, 0, 0, START + WEIR_S);
    CHECK(weir_link_is_flushed(desk.link));
    weir_link_close(desk.link, at(START + WEIR_S));
    CHECK_EQ(desk_limit(&desk), 12);
    CHECK_EQ(desk_state(&desk), WEIR_SHARE_DETACHED);
    CHECK(enters(START + 100 * WEIR_S));
    weir_pipeline_destroy(desk.pipeline);
    weir_link_release(desk.link);
}

TEST(shared_bulkhead, a_flush_that_the_store_cannot_hear_is_over)
{
    desk_open(&desk, BULKHEAD(.limit = 12), SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    desk_report(&desk, WEIR_LANE_DOWN, START);
    weir_link_flush(desk.link, at(START));
    weir_link_step(desk.link, at(START));
    CHECK(weir_link_is_flushed(desk.link));
    desk_close(&desk, START);
}

/* Its own limit at once, also for who waits; what it held is given back. Then it may be shared again. */
TEST(shared_bulkhead, unshared_it_is_as_before)
{
    IN_BOTH_FORMS(form)
    {
        struct guest first, second;
        desk_open(&desk, BULKHEAD(.limit = 8, .queue = 4, .form = form), SHARE(.away = WEIR_AWAY_CLOSED));
        desk_report(&desk, WEIR_LANE_UP, START);
        desk_grant(&desk, 1, 1, START);
        CHECK_EQ(come(&first, desk.pipeline, 1, NULL, START), WEIR_RUN);
        CHECK_EQ(come(&second, desk.pipeline, 1, NULL, START), WEIR_WAIT);
        weir_policy_unshare(desk.bulkhead);
        CHECK_EQ(second.posts, 1);
        CHECK_EQ(desk_limit(&desk), 8);
        CHECK_EQ(desk_state(&desk), WEIR_SHARE_DETACHED);
        CHECK_EQ(look(&second, START), WEIR_RUN);
        CHECK(desk_pull(&desk, START));
        const int64_t numbers[] = { 2, 8, 0, 0, 0 };
        for (int i = 0; i < 5; i++) CHECK_EQ(desk.ask.number[i], numbers[i]);
        desk_share(&desk, desk.bulkhead, SHARE(.away = WEIR_AWAY_SHARE));
        desk_answer(&desk, WEIR_ANSWER_DONE, 5, 0, 8, 0, 0, 0, START);
        CHECK(desk_pull(&desk, START + WEIR_S)); /* of the new one */
        CHECK_EQ(desk.ask.number[2], 2);
        CHECK_EQ(weir_bulkhead_set_limit(desk.bulkhead, 9), WEIR_E_NONE);
        weir_policy_unshare(desk.bulkhead);
        CHECK_EQ(desk_limit(&desk), 9); /* what was set meanwhile */
        go(&first, START);
        go(&second, START);
        desk_close(&desk, START);
    }
}

/* The policy goes while its waiters' post is due. */
TEST(shared_bulkhead, the_policy_goes_first)
{
    desk_link(&desk);
    struct weir_policy *bulkhead = BULKHEAD(.limit = 8);
    desk_share(&desk, bulkhead, SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    CHECK(desk_pull(&desk, START + WEIR_S));
    weir_policy_release(bulkhead);
    desk_fail(&desk, WEIR_ANSWER_UNKNOWN, START + WEIR_S);
    CHECK(desk_pull(&desk, START + WEIR_S));
    CHECK_EQ(desk.ask.number[4], 0);
    desk_fail(&desk, WEIR_ANSWER_UNKNOWN, START + WEIR_S);
    CHECK(!desk_pull(&desk, START + 10 * WEIR_S));
    weir_link_close(desk.link, at(START + WEIR_S));
    weir_link_release(desk.link);
}

TEST(shared_bulkhead, a_child_shares_nothing)
{
    desk_open(&desk, BULKHEAD(.limit = 8), SHARE(.away = WEIR_AWAY_CLOSED));
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 1, 1, START);
    pid_t child = fork();
    if (child == 0) {
        bool good = desk_limit(&desk) == 8 && desk_state(&desk) == WEIR_SHARE_DETACHED;
        for (int i = 0; i < 8; i++) {
            static struct guest guest[8];
            if (come(&guest[i], desk.pipeline, 1, NULL, START + 100 * WEIR_S) != WEIR_RUN) good = false;
        }
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(desk_limit(&desk), 1);
    desk_close(&desk, START);
}

/* Alone there is no instant: the coarse clock is read. */
TEST(shared_bulkhead, alone_a_lease_ends_by_the_clock)
{
    IN_BOTH_FORMS(form)
    {
        struct weir_permit permit;
        uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
        desk_link(&desk);
        desk_share(&desk, BULKHEAD(.limit = 8, .form = form),
            SHARE(.away = WEIR_AWAY_CLOSED, .lease_ns = 60 * WEIR_S));
        desk_report(&desk, WEIR_LANE_UP, now_ns);
        desk_grant(&desk, 1, 1, now_ns);
        CHECK_EQ(weir_bulkhead_acquire(desk.bulkhead, 1, &permit).status, WEIR_OK);
        CHECK_EQ(weir_bulkhead_acquire(desk.bulkhead, 1, &(struct weir_permit) { 0 }).reason,
            WEIR_REASON_BULKHEAD_FULL);
        weir_bulkhead_release(desk.bulkhead, &permit);
        weir_policy_unshare(desk.bulkhead);
        CHECK(desk_pull(&desk, now_ns));
        desk_fail(&desk, WEIR_ANSWER_UNKNOWN, now_ns);
        uint64_t past_ns = now_ns - 120 * WEIR_S; /* asked then, it has ended by now */
        desk_share(&desk, desk.bulkhead, SHARE(.away = WEIR_AWAY_CLOSED, .lease_ns = 60 * WEIR_S));
        desk_grant(&desk, 1, 1, past_ns);
        CHECK_EQ(desk_limit(&desk), 1);
        CHECK_EQ(weir_bulkhead_acquire(desk.bulkhead, 1, &permit).reason, WEIR_REASON_BULKHEAD_FULL);
        desk_close(&desk, now_ns);
    }
}

static bool is_of(const struct weir_ask *ask, const uint64_t id[2])
{
    return ask->id[0] == id[0] && ask->id[1] == id[1];
}

/* Or the store would lend what it keeps for one to both, and take the other's questions for old ones. */
TEST(shared_bulkhead, two_of_one_name_and_one_after_another_are_not_the_same_to_the_store)
{
    desk_open(&desk, BULKHEAD(.limit = 8, .name = "api"), SHARE(.away = WEIR_AWAY_CLOSED));
    struct weir_policy *other = BULKHEAD(.limit = 8, .name = "api");
    struct weir_share_config share = SHARE(.link = desk.link, .away = WEIR_AWAY_CLOSED);
    desk_report(&desk, WEIR_LANE_UP, START);
    desk_grant(&desk, 8, 1, START);
    uint64_t first[2] = { desk.ask.id[0], desk.ask.id[1] };
    CHECK_EQ(weir_policy_share(other, &share), WEIR_E_NONE);
    CHECK(desk_pull(&desk, START));
    CHECK_STR(desk.ask.name, "api");
    CHECK_EQ(desk.ask.number[0], 1);
    CHECK(!is_of(&desk.ask, first));
    desk_fail(&desk, WEIR_ANSWER_UNKNOWN, START);
    weir_policy_release(other);
    CHECK(desk_pull(&desk, START)); /* its last */
    desk_fail(&desk, WEIR_ANSWER_UNKNOWN, START);
    weir_policy_unshare(desk.bulkhead);
    CHECK(desk_pull(&desk, START));
    CHECK(is_of(&desk.ask, first));
    desk_fail(&desk, WEIR_ANSWER_UNKNOWN, START);
    CHECK_EQ(weir_policy_share(desk.bulkhead, &share), WEIR_E_NONE);
    CHECK(desk_pull(&desk, START));
    CHECK_EQ(desk.ask.number[0], 1);
    CHECK(!is_of(&desk.ask, first));
    desk_close(&desk, START);
}

static void count_release(void *argument)
{
    ++*(int *)argument;
}

static void ring_nobody(void *argument)
{
    (void)argument;
}

/* A call that leaves at the same time, on a link that is closed: its permit is handed on, and the object goes all the
 * same. The words are as that moment leaves them. */
TEST(shared_bulkhead, unshared_with_news_for_a_waiter_after_the_close_it_is_freed)
{
    int released = 0;
    struct weir_carrier carrier = { .size = sizeof carrier,
        .nodes = 1,
        .ring = ring_nobody,
        .released = count_release,
        .argument = &released };
    struct weir_link_config config = { .size = sizeof config, .instance = { 1, 2 }, .carrier = &carrier };
    struct weir_link *link = NULL;
    CHECK_EQ(weir_link_create(&config, &link), WEIR_E_NONE);
    struct weir_policy *bulkhead = BULKHEAD(.limit = 1, .queue = 1);
    struct weir_share_config share = SHARE(.link = link, .away = WEIR_AWAY_OPEN);
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_NONE);
    struct weir_pipeline *pipeline = around(bulkhead);
    weir_link_step(link, at(START));
    weir_link_close(link, at(START));
    weir_link_release(link);
    struct guest in, waits;
    CHECK_EQ(come(&in, pipeline, 1, NULL, START), WEIR_RUN);
    CHECK_EQ(come(&waits, pipeline, 1, NULL, START), WEIR_WAIT);
    ((struct bulkhead_state *)bulkhead->state)->own = 2;
    weir_policy_unshare(bulkhead);
    CHECK_EQ(waits.posts, 1);
    CHECK_EQ(released, 1);
    CHECK_EQ(look(&waits, START), WEIR_RUN);
    go(&waits, START);
    go(&in, START);
    weir_pipeline_destroy(pipeline);
}

/* Of two that have news for waiters, the first one's waiter acts on the second before that is told. */
static struct weir_policy *told_second;
static uint32_t references;

static void unshare_second(void *argument)
{
    (void)argument;
    weir_policy_unshare(told_second);
}

static void let_second_go(void *argument)
{
    (void)argument;
    references = told_second->references;
    told_second->references = 0; /* as its last user leaves it, before it is unshared */
}

static void wait_in(
    struct guest *in, struct guest *waits, const struct weir_pipeline *pipeline, void (*post)(void *argument))
{
    struct weir_call_options options = { .size = sizeof options, .weight = 1, .waker = { post, waits } };
    CHECK_EQ(come(in, pipeline, 1, NULL, START), WEIR_RUN);
    waits->posts = 0;
    waits->step = weir_call_begin(&waits->call, pipeline, &options, START);
    CHECK_EQ(waits->step.action, WEIR_WAIT);
}

/* Answers how often the second one's waiter was told. */
static uint32_t tell_two(void (*act)(void *argument))
{
    struct guest in[2], waits[2];
    desk_open(&desk, BULKHEAD(.limit = 1, .queue = 1, .name = "first"), SHARE(.away = WEIR_AWAY_OPEN));
    struct weir_policy *first = desk.bulkhead;
    told_second = BULKHEAD(.limit = 1, .queue = 1, .name = "second");
    const struct weir_share_config share = SHARE(.link = desk.link, .away = WEIR_AWAY_OPEN);
    CHECK_EQ(weir_policy_share(told_second, &share), WEIR_E_NONE);
    struct weir_pipeline *other = around(told_second);
    weir_link_step(desk.link, at(START)); /* in the order of their sharing, from now on */
    wait_in(&in[0], &waits[0], desk.pipeline, act);
    wait_in(&in[1], &waits[1], other, guest_post);
    CHECK_EQ(weir_bulkhead_set_limit(told_second, 2), WEIR_E_NONE);
    CHECK_EQ(weir_bulkhead_set_limit(first, 2), WEIR_E_NONE);
    references = told_second->references;
    weir_link_step(desk.link, at(START + WEIR_S));
    told_second->references = references;
    uint32_t posts = waits[1].posts;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(look(&waits[i], START + WEIR_S), WEIR_RUN);
        go(&waits[i], START + WEIR_S);
        go(&in[i], START + WEIR_S);
    }
    weir_pipeline_destroy(other);
    desk_close(&desk, START + WEIR_S);
    return posts;
}

TEST(shared_bulkhead, unshared_before_its_news_go_out_it_is_told_of_once)
{
    CHECK_EQ(tell_two(unshare_second), 1); /* by who unshares it */
}

TEST(shared_bulkhead, that_is_about_to_go_is_not_touched)
{
    CHECK_EQ(tell_two(let_second_go), 0);
}

TEST(shared_bulkhead, bad_configs_name_the_field)
{
    desk_link(&desk);
    struct weir_policy *bulkhead = BULKHEAD(.limit = 8);
    struct weir_share_config share = SHARE(.link = desk.link);
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_share_config.away is 0") != NULL);
    share = SHARE(.link = desk.link, .away = WEIR_AWAY_OPEN, .lease_ns = 49 * WEIR_MS);
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_share_config.lease_ns is 49000000") != NULL);
    share.lease_ns = 50 * WEIR_MS;
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_NONE);
    CHECK_EQ(weir_policy_share(bulkhead, &share), WEIR_E_INVALID);
    desk.bulkhead = bulkhead;
    desk_close(&desk, START);
}
