/* A lane that goes well, and one that is slow, late, lost or has lost its scripts; byte by byte. What a server may say that is
 * wrong: lane_bad_test.c. */
#include "redis/desk.h"
#include "redis/lane_state.h"
#include "redis/question.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#define YES "*1\r\n:1\r\n"

static struct desk desk;

static enum weir_lane_state state(void)
{
    return lane_stats(desk.lane).state;
}

/* So many questions on their way. */
static void ask(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) desk_queue(&desk, i);
    desk_step(&desk);
    desk_send_all(&desk);
}

static uint32_t times_sent(const char *what)
{
    uint32_t times = 0;
    size_t length = strlen(what);
    for (size_t at = 0; at + length <= desk.sent_count; at++) {
        times += memcmp(desk.sent + at, what, length) == 0;
    }
    return times;
}

/* ---- greeting ---- */

TEST(lane, greets_in_one_write)
{
    static const char head[] =
        "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
        "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$4\r\nweir\r\n*1\r\n$4\r\nROLE\r\n"
        "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"
        "*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$16\r\nmaxmemory-policy\r\n";
    desk.settings = (struct lane_settings) { "me", "secret", 3, WEIR_S, WEIR_MS, WEIR_S, WEIR_S };
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_connect(&desk);
    CHECK(desk.sent_count > sizeof head);
    desk.sent[sizeof head - 1] = '\0';
    CHECK_STR(desk.sent, head);
    CHECK_EQ(desk_greeting_count(&desk), 11); /* and five scripts */
    CHECK_EQ(lane_stats(desk.lane).commands, 11);
    desk_close(&desk);
}

TEST(lane, keeps_no_password_once_it_is_sent)
{
    static const char password[] = "n0t-t0-be-kept";
    desk.settings = (struct lane_settings) { "me", password, 3, WEIR_S, WEIR_MS, WEIR_S, WEIR_S };
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_connect(&desk);
    CHECK_EQ(times_sent(password), 1);
    for (size_t at = 0; at + sizeof password <= sizeof *desk.lane; at++) {
        CHECK(memcmp((const char *)desk.lane + at, password, sizeof password - 1) != 0);
    }
    desk_close(&desk);
}

TEST(lane, is_up_after_the_last_answer)
{
    desk_open(&desk, WEIR_LANE_BULK, "one");
    CHECK(!lane_wants_socket(desk.lane));
    desk_connect(&desk);
    int count = desk_greeting_count(&desk);
    desk_answer_greeting(&desk, count - 1, "");
    desk_queue(&desk, 0);
    desk_step(&desk);
    CHECK_EQ(state(), WEIR_LANE_DOWN);
    CHECK_EQ(desk.came_up, 0);
    desk_type(&desk, "$40\r\n" DESK_SHA "\r\n");
    CHECK_EQ(state(), WEIR_LANE_UP);
    CHECK_EQ(desk.came_up, 1);
    CHECK_EQ(lane_stats(desk.lane).connected, 1);
    desk_close(&desk);
}

TEST(lane, connects_and_greets_within_a_time)
{
    desk_open(&desk, WEIR_LANE_BULK, "one");
    desk_step(&desk);
    CHECK(lane_wants_socket(desk.lane));
    CHECK_EQ(desk_pass(&desk, WEIR_S - 1), 101 * WEIR_S);
    CHECK(lane_wants_socket(desk.lane));
    desk_pass(&desk, 1);
    CHECK(!lane_wants_socket(desk.lane));
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_TIMEOUT], 1);
    desk_connect(&desk);
    desk_type(&desk, "+OK\r\n");
    desk_pass(&desk, WEIR_S);
    CHECK(!lane_wants_socket(desk.lane));
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_TIMEOUT], 2);
    CHECK_EQ(desk.came_up, 0);
    desk_close(&desk);
}

/* ---- questions ---- */

TEST(lane, asks_all_that_is_due_in_one_write)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(3);
    CHECK_EQ(
        times_sent("*6\r\n$7\r\nEVALSHA\r\n$40\r\n" DESK_SHA "\r\n$1\r\n1\r\n$17\r\nweir:{desk:one}:k\r\n"
                   "$32\r\n00000000000000010000000000000002\r\n$1\r\n"),
        3);
    desk_type(&desk, YES "*1\r\n:0\r\n" YES);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(desk.ask[i].answered, 1);
        CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_DONE);
        CHECK_EQ(desk.ask[i].answer.count, 1);
        CHECK_EQ(desk.ask[i].answer.number[0], i != 1);
    }
    desk_close(&desk);
}

TEST(lane, holds_back_what_is_too_much_at_once)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(DESK_ASKS);
    uint64_t before = 0, asked = times_sent("EVALSHA");
    CHECK(asked < LANE_COMMANDS_MAX);
    for (; asked < DESK_ASKS; asked = times_sent("EVALSHA")) {
        for (; before < asked; before++) desk_type(&desk, YES);
        desk_step(&desk);
        desk_send_all(&desk);
        CHECK(times_sent("EVALSHA") > asked);
    }
    for (; before < asked; before++) desk_type(&desk, YES);
    for (uint32_t i = 0; i < DESK_ASKS; i++) CHECK_EQ(desk.ask[i].answered, 1);
    desk_close(&desk);
}

TEST(lane, an_answer_may_come_byte_by_byte)
{
    static const char answer[] = "*5\r\n:1\r\n:-2\r\n:9007199254740991\r\n:0\r\n:5\r\n";
    desk_open(&desk, WEIR_LANE_BULK, "one");
    desk_up(&desk);
    ask(1);
    for (size_t i = 0; i + 1 < sizeof answer; i++) {
        CHECK_EQ(desk.ask[0].answered, 0);
        desk_say(&desk, answer + i, 1);
    }
    CHECK_EQ(desk.ask[0].answered, 1);
    CHECK_EQ(desk.ask[0].answer.count, 5);
    CHECK_EQ(desk.ask[0].answer.number[1], -2);
    CHECK_EQ(desk.ask[0].answer.number[2], INT64_C(9007199254740991));
    desk_close(&desk);
}

/* ---- time ---- */

TEST(lane, gives_up_at_the_first_deadline_of_all)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    desk.ask[1].in_ns = 30 * WEIR_MS; /* sooner than the one before it */
    ask(2);
    desk_pass(&desk, 25 * WEIR_MS);
    CHECK_EQ(state(), WEIR_LANE_SLOW);
    desk_pass(&desk, 5 * WEIR_MS - 1);
    CHECK(lane_wants_socket(desk.lane));
    desk_pass(&desk, 1);
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_TIMEOUT], 1);
    CHECK_EQ(lane_stats(desk.lane).given_up, 2);
    for (uint32_t i = 0; i < 2; i++) CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_UNKNOWN);
    CHECK_EQ(desk.went_down, 1);
    desk_close(&desk);
}

TEST(lane, a_deadline_that_was_kept_is_forgotten)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    desk.ask[0].in_ns = 30 * WEIR_MS;
    ask(2);
    desk_type(&desk, YES);
    desk_pass(&desk, 30 * WEIR_MS);
    CHECK(lane_wants_socket(desk.lane));
    CHECK_EQ(
        desk_step(&desk), 100 * WEIR_S + 250 * WEIR_MS); /* the other's: as long as any command may take */
    desk_pass(&desk, 220 * WEIR_MS);
    CHECK_EQ(desk.ask[1].answer.kind, WEIR_ANSWER_UNKNOWN);
    desk_close(&desk);
}

TEST(lane, is_slow_until_two_answers_came_in_time)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(1);
    CHECK_EQ(desk_pass(&desk, 20 * WEIR_MS - 1), 100 * WEIR_S + 20 * WEIR_MS);
    CHECK_EQ(state(), WEIR_LANE_UP);
    desk_pass(&desk, 1);
    CHECK_EQ(state(), WEIR_LANE_SLOW);
    CHECK_EQ(desk.slowed, 1);
    desk_type(&desk, YES); /* late: does not count */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(state(), WEIR_LANE_SLOW);
        ask(1);
        desk_type(&desk, YES);
    }
    CHECK_EQ(state(), WEIR_LANE_UP);
    CHECK_EQ(desk.came_up, 2);
    desk_close(&desk);
}

TEST(lane, asks_a_silent_server_whether_it_runs_scripts)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    CHECK_EQ(desk_step(&desk), 101 * WEIR_S);
    desk_pass(&desk, WEIR_S);
    desk_send_all(&desk);
    CHECK_EQ(times_sent("EVALSHA"), 1);
    desk_type(&desk, ":1\r\n");
    CHECK_EQ(desk_step(&desk), 102 * WEIR_S);
    desk_pass(&desk, WEIR_S);
    desk_send_all(&desk);
    desk_type(&desk, "-NOSCRIPT No matching script.\r\n"); /* it answers: that will do */
    CHECK_EQ(state(), WEIR_LANE_UP);
    desk_pass(&desk, WEIR_S);
    desk_pass(&desk, 250 * WEIR_MS);
    CHECK_EQ(state(), WEIR_LANE_DOWN);
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_TIMEOUT], 1);
    desk_close(&desk);
}

TEST(lane, waits_longer_between_attempts_that_fail)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    uint64_t before_ns = 0, longest_ns = 0;
    for (int i = 0; i < 200; i++) {
        desk_step(&desk);
        CHECK(lane_wants_socket(desk.lane));
        lane_lost(desk.lane, "refused", desk.now);
        CHECK(!lane_wants_socket(desk.lane));
        uint64_t wait_ns = desk_step(&desk) - desk.now.monotonic_ns;
        CHECK(wait_ns >= 10 * WEIR_MS);
        CHECK(wait_ns <= 2 * WEIR_S);
        CHECK(wait_ns <= (before_ns == 0 ? 10 * WEIR_MS : 3 * before_ns));
        before_ns = wait_ns;
        longest_ns = wait_ns > longest_ns ? wait_ns : longest_ns;
        desk.now.monotonic_ns += wait_ns;
    }
    CHECK(longest_ns > WEIR_S);
    desk_close(&desk);
}

TEST(lane, comes_back_at_once_if_it_was_up_for_a_while)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    lane_lost(desk.lane, "reset", desk.now);
    CHECK_EQ(
        desk_step(&desk), 100 * WEIR_S + 10 * WEIR_MS); /* no hurry to a server that drops who it greets */
    desk_up(&desk);
    desk_pass(&desk, WEIR_S);
    lane_lost(desk.lane, "reset", desk.now);
    desk_step(&desk);
    CHECK(lane_wants_socket(desk.lane));
    CHECK_EQ(lane_stats(desk.lane).lost, 2);
    CHECK_STR(lane_stats(desk.lane).error, "reset");
    desk_close(&desk);
}

/* ---- lost ---- */

TEST(lane, what_never_left_was_not_run)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    for (uint32_t i = 0; i < 3; i++) desk_queue(&desk, i);
    desk_step(&desk);
    const void *bytes;
    size_t each = lane_output(desk.lane, &bytes) / 3;
    desk_send(&desk, each + 1); /* the first, and a byte of the second */
    lane_lost(desk.lane, "reset", desk.now);
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_UNKNOWN);
    CHECK_EQ(desk.ask[1].answer.kind, WEIR_ANSWER_UNKNOWN);
    CHECK_EQ(desk.ask[2].answer.kind, WEIR_ANSWER_NOT_RUN);
    CHECK_EQ(lane_output(desk.lane, &bytes), 0);
    desk_close(&desk);
}

TEST(lane, that_has_ended_stays_so)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(1);
    lane_end(desk.lane, desk.now);
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_UNKNOWN);
    CHECK_EQ(desk_pass(&desk, WEIR_S), WEIR_NEVER);
    CHECK(!lane_wants_socket(desk.lane));
    desk_type(&desk, YES);
    desk_close(&desk);
}

/* ---- scripts that are gone ---- */

#define NOSCRIPT "-NOSCRIPT No matching script. Please use EVAL.\r\n"
#define LOADED "$40\r\n" DESK_SHA "\r\n"

TEST(lane, loads_a_script_once_for_all_that_miss_it)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(DESK_ASKS);
    uint32_t asked = times_sent("EVALSHA");
    for (uint32_t i = 0; i < asked; i++) desk_type(&desk, NOSCRIPT);
    CHECK_EQ(state(), WEIR_LANE_UP);
    desk_send_all(&desk);
    CHECK_EQ(times_sent("EVALSHA"), 2 * asked);
    CHECK_EQ(times_sent("LOAD"), 1);
    CHECK_EQ(lane_stats(desk.lane).scripts_loaded, 1);
    desk_type(&desk, LOADED);
    for (uint32_t i = 0; i < asked; i++) desk_type(&desk, YES);
    for (uint32_t i = 0; i < asked; i++) CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_DONE);
    desk_close(&desk);
}

TEST(lane, a_script_that_is_missed_again_was_not_run)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(1);
    desk_type(&desk, NOSCRIPT);
    CHECK_EQ(desk.ask[0].answered, 0);
    desk_type(&desk, LOADED NOSCRIPT);
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_NOT_RUN);
    CHECK_EQ(state(), WEIR_LANE_UP);
    desk_forget(&desk);
    desk_step(&desk);
    desk_send_all(&desk);
    CHECK_EQ(times_sent("EVALSHA"), 1); /* the second time, which had waited to be sent */
    desk_close(&desk);
}

TEST(lane, a_deadline_goes_on_while_a_script_is_loaded)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    ask(1);
    desk_pass(&desk, 200 * WEIR_MS);
    desk_type(&desk, NOSCRIPT);
    desk_pass(&desk, 50 * WEIR_MS);
    CHECK_EQ(desk.ask[0].answered, 1);
    CHECK_EQ(state(), WEIR_LANE_DOWN);
    desk_close(&desk);
}

/* ---- the server ---- */

static uint64_t server_of(const char *info)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_connect(&desk);
    desk_answer_greeting(&desk, 2, info);
    CHECK_EQ(state(), WEIR_LANE_UP);
    uint64_t server = desk_server(&desk);
    desk_close(&desk);
    return server;
}

TEST(lane, tells_one_life_of_a_server_from_another)
{
    uint64_t one = server_of("$10\r\nrun_id:abc\r\n"), same = server_of("$12\r\nrun_id:abc\r\n\r\n");
    CHECK_EQ(one, same);
    CHECK(one != server_of("$10\r\nrun_id:abd\r\n"));
    CHECK(one != 0);
    uint64_t hidden = server_of("-NOPERM this user has no permissions to run the 'info' command\r\n");
    CHECK(hidden != 0);
    CHECK(hidden != one);
}

TEST(lane, that_may_not_know_the_server_takes_each_connection_for_a_new_one)
{
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_connect(&desk);
    desk_answer_greeting(&desk, 2, "-NOPERM\r\n");
    uint64_t first = desk_server(&desk);
    lane_lost(desk.lane, "reset", desk.now);
    desk_connect(&desk);
    desk_answer_greeting(&desk, 2, "-NOPERM\r\n");
    CHECK(first != desk_server(&desk));
    desk_close(&desk);
}

/* ---- keys ---- */

static void check_key(const char *space, const char *name, const char *key)
{
    struct question question;
    struct weir_ask lock = { .name = name, .kind = WEIR_ASK_LOCK };
    question_make(&question, &lock, space, DESK_SHA);
    CHECK_EQ(question.length[3], strlen(key));
    CHECK_STR(question.word[3], key);
    CHECK_EQ(question.length[4], strlen(key) + 1);
}

TEST(lane, nothing_in_a_name_means_anything)
{
    char longest[WEIR_NAME_MAX + 1], key[512], *at = key;
    check_key("default", "orders.v2_a-b", "weir:{default:orders.v2_a-b}:k");
    check_key("a:b", "c", "weir:{a%3Ab:c}:k");
    check_key("a", "b:c", "weir:{a:b%3Ac}:k");
    check_key("x", "}:{\r\n%7D", "weir:{x:%7D%3A%7B%0D%0A%257D}:k");
    check_key("", "\x01\x7f\x80\xff *?[", "weir:{:%01%7F%80%FF%20%2A%3F%5B}:k");
    memset(longest, '{', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    at += sprintf(at, "weir:{");
    for (int i = 0; i < WEIR_NAME_MAX; i++) at += sprintf(at, "%%7B");
    *at++ = ':';
    for (int i = 0; i < WEIR_NAME_MAX; i++) at += sprintf(at, "%%7B");
    sprintf(at, "}:k");
    check_key(longest, longest, key);
}

TEST(lane, every_number_fits)
{
    struct question question;
    struct weir_ask ask = { .name = "n", .kind = WEIR_ASK_BREAKER, .count = WEIR_NUMBERS_MAX };
    for (int i = 0; i < WEIR_NUMBERS_MAX; i++) ask.number[i] = INT64_MIN;
    question_make(&question, &ask, "s", DESK_SHA);
    CHECK_EQ(question.count, 3 + 2 + 1 + WEIR_NUMBERS_MAX);
    CHECK_STR(question.word[question.count - 1], "-9223372036854775808");
}
