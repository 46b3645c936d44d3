/* What a server may say that is wrong: each is a counted degrade, in bounded memory, and no question is left without its
 * answer or has two. */
#include "redis/desk.h"
#include "support/test.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YES "*1\r\n:1\r\n"
#define PASSWORD "canary-5ecret"
#define USER "canary-u5er"

static struct desk desk;

static void say_where(const char *text)
{
    fprintf(stderr, "at: %.60s\n", text);
}

/* ---- greetings ---- */

struct greeting {
    int at; /* which answer, behind those to AUTH and SELECT */
    const char *text;
    enum weir_redis_error error;
    const char *says;
};

#define SHA_SHORT "$39\r\n0123456789abcdef0123456789abcdef0123456\r\n"

static const struct greeting bad_greetings[] = {
    { -2, "-WRONGPASS invalid username-password pair or user is disabled.\r\n", WEIR_REDIS_REFUSED,
        "AUTH was refused: WRONGPASS" },
    { -2, "-ERR AUTH <password> called without any password configured\r\n", WEIR_REDIS_REFUSED,
        "AUTH was refused" },
    { -2, "-ERR max number of clients reached\r\n", WEIR_REDIS_BUSY, "ERR max number of clients reached" },
    { -2, ":1\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { -1, "-ERR DB index is out of range\r\n", WEIR_REDIS_REFUSED, "ERR DB index is out of range" },
    { -1, "-NOPERM no SELECT for you\r\n", WEIR_REDIS_REFUSED, "NOPERM no SELECT for you" },
    { 0, "-NOAUTH Authentication required.\r\n", WEIR_REDIS_REFUSED, "NOAUTH Authentication required." },
    { 0, "-DENIED Redis is running in protected mode\r\n", WEIR_REDIS_REFUSED, NULL },
    { 0, "$2\r\nOK\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 1, "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:7\r\n", WEIR_REDIS_ROLE,
        "it is not a master (ROLE)" },
    { 1, "*2\r\n$8\r\nsentinel\r\n*0\r\n", WEIR_REDIS_ROLE, NULL },
    { 1, "*0\r\n", WEIR_REDIS_ROLE, NULL },
    { 1, "$6\r\nmaster\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 1, "-LOADING Redis is loading the dataset in memory\r\n", WEIR_REDIS_BUSY, NULL },
    { 1, "-MASTERDOWN Link with MASTER is down\r\n", WEIR_REDIS_ROLE, NULL },
    { 2, "$5\r\nhello\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 2, "$-1\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 2, "+run_id:abc\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 3, "+noeviction\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 4, "-NOPERM no SCRIPT for you\r\n", WEIR_REDIS_REFUSED, NULL },
    { 4, "-ERR Error compiling script\r\n", WEIR_REDIS_REFUSED, NULL },
    { 4, SHA_SHORT, WEIR_REDIS_PROTOCOL, NULL },
    { 4, "+" DESK_SHA "\r\n", WEIR_REDIS_PROTOCOL, NULL },
    { 5, "$40\r\n" DESK_SHA "\r\n:1\r\n", WEIR_REDIS_PROTOCOL, NULL }, /* one more than was asked for */
    { 8, "$40\r\n" DESK_SHA "\r\n$1\r\nx\r\n", WEIR_REDIS_PROTOCOL, NULL },
};

static void open_greeted(void)
{
    desk.settings =
        (struct lane_settings) { USER, PASSWORD, 3, 250 * WEIR_MS, 20 * WEIR_MS, WEIR_S, 2 * WEIR_S };
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_connect(&desk);
}

TEST(lane_bad, greetings)
{
    for (size_t i = 0; i < sizeof bad_greetings / sizeof *bad_greetings; i++) {
        const struct greeting *it = &bad_greetings[i];
        say_where(it->text);
        open_greeted();
        desk_answer_greeting(&desk, 2 + it->at, it->text);
        struct weir_redis_stats stats = lane_stats(desk.lane);
        CHECK_EQ(stats.state, WEIR_LANE_DOWN);
        CHECK(!lane_wants_socket(desk.lane));
        CHECK_EQ(stats.errors[it->error], 1);
        CHECK(stats.error[0] != '\0');
        if (it->says != NULL) CHECK_STR(stats.error, it->says);
        desk_close(&desk);
    }
}

TEST(lane_bad, greetings_that_can_be_borne)
{
    static const char no[] = "-NOPERM this user has no permissions to run it\r\n";
    for (int at = 0; at < 4; at++) {
        open_greeted();
        desk_answer_greeting(&desk, 2 + at, no);
        CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_UP);
        desk_close(&desk);
    }
}

TEST(lane_bad, a_server_that_evicts_is_told_of)
{
    open_greeted();
    desk_answer_greeting(&desk, 2 + 3, "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n");
    CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_UP);
    CHECK(lane_stats(desk.lane).evicts);
    lane_lost(desk.lane, "reset", desk.now);
    desk_up(&desk);
    CHECK(!lane_stats(desk.lane).evicts);
    desk_close(&desk);
}

TEST(lane_bad, a_server_may_say_the_credentials_and_nobody_hears_them)
{
    static const char *const says[] = { "-ERR unknown command AUTH " USER " " PASSWORD "\r\n",
        "-" PASSWORD "\r\n", "-ERR the user " USER " is off\r\n",
        "-NOAUTH "
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
        "78901234567890123456789012345678901234567890123456789 " PASSWORD "\r\n" };
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        for (int at = 0; at < 3; at++) {
            open_greeted();
            desk_answer_greeting(&desk, at, says[i]);
            struct weir_redis_stats stats = lane_stats(desk.lane);
            CHECK_EQ(stats.state, WEIR_LANE_DOWN);
            CHECK(strstr(stats.error, "canary") == NULL);
            CHECK(strstr(stats.error, "5ecret") == NULL);
            CHECK(strstr(stats.error, "u5er") == NULL);
            desk_close(&desk);
        }
    }
}

TEST(lane_bad, what_a_server_says_is_printable)
{
    open_greeted();
    desk_answer_greeting(&desk, 3, "-ERR \x1b[31m\x80\tred\r\n");
    CHECK_STR(lane_stats(desk.lane).error, "ERR ?[31m??red");
    desk_close(&desk);
}

/* ---- errors ---- */

struct refusal {
    const char *text;
    enum weir_answer_kind kind;
    bool up;
    enum weir_redis_error error;
};

#define WRAPPED "ERR Error running script (call to f_0123): @user_script:9: @user_script: 9: "

static const struct refusal refusals[] = {
    { "READONLY You can't write against a read only replica.", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { WRAPPED "-READONLY You can't write against a read only replica.", WEIR_ANSWER_NOT_RUN, false,
        WEIR_REDIS_ROLE },
    { "MASTERDOWN Link with MASTER is down", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { "MOVED 3999 127.0.0.1:6381", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { "ASK 3999 127.0.0.1:6381", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { "CROSSSLOT Keys in request don't hash to the same slot", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { "CLUSTERDOWN The cluster is down", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_ROLE },
    { "TRYAGAIN Multiple keys request during rehashing of slot", WEIR_ANSWER_NOT_RUN, true, WEIR_REDIS_BUSY },
    { "LOADING Redis is loading the dataset in memory", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_BUSY },
    { "BUSY Redis is busy running a script.", WEIR_ANSWER_NOT_RUN, true, WEIR_REDIS_BUSY },
    { "BUSYGROUP is another word", WEIR_ANSWER_ERROR, true, WEIR_REDIS_OTHER },
    { "NOAUTH Authentication required.", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_REFUSED },
    { "WRONGPASS", WEIR_ANSWER_NOT_RUN, false, WEIR_REDIS_REFUSED },
    { "NOPERM this user has no permissions", WEIR_ANSWER_ERROR, false, WEIR_REDIS_REFUSED },
    { "MISCONF Redis is configured to save RDB snapshots", WEIR_ANSWER_ERROR, true, WEIR_REDIS_MEMORY },
    { "OOM command not allowed when used memory > 'maxmemory'.", WEIR_ANSWER_ERROR, true, WEIR_REDIS_MEMORY },
    { WRAPPED "-OOM command not allowed", WEIR_ANSWER_ERROR, true, WEIR_REDIS_MEMORY },
    { "NOREPLICAS Not enough good replicas to write.", WEIR_ANSWER_ERROR, true, WEIR_REDIS_MEMORY },
    { "WRONGTYPE Operation against a key holding the wrong kind of value", WEIR_ANSWER_ERROR, true,
        WEIR_REDIS_OTHER },
    { WRAPPED "attempt to compare nil with number", WEIR_ANSWER_ERROR, true, WEIR_REDIS_OTHER },
    { "ERR Error running script", WEIR_ANSWER_ERROR, true, WEIR_REDIS_OTHER },
    { "", WEIR_ANSWER_ERROR, true, WEIR_REDIS_OTHER },
};

/* Two questions are under way; the first is answered so. */
static void open_asked(enum weir_lane which)
{
    memset(&desk.settings, 0, sizeof desk.settings);
    desk_open(&desk, which, "one");
    desk_up(&desk);
    desk_queue(&desk, 0);
    desk_queue(&desk, 1);
    desk_step(&desk);
    desk_send_all(&desk);
    desk_forget(&desk);
}

TEST(lane_bad, errors_are_counted_and_none_is_sent_again)
{
    char said[300];
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *it = &refusals[i];
        say_where(it->text);
        open_asked(WEIR_LANE_LOCK);
        snprintf(said, sizeof said, "-%s\r\n", it->text);
        desk_type(&desk, said);
        struct weir_redis_stats stats = lane_stats(desk.lane);
        CHECK_EQ(desk.ask[0].answered, 1);
        CHECK_EQ(desk.ask[0].answer.kind, it->kind);
        CHECK_EQ(stats.state, it->up ? WEIR_LANE_UP : WEIR_LANE_DOWN);
        CHECK_EQ(stats.errors[it->error], 1);
        CHECK_EQ(desk.ask[1].answered, !it->up);
        if (!it->up) CHECK_EQ(desk.ask[1].answer.kind, WEIR_ANSWER_UNKNOWN);
        desk_send_all(&desk);
        CHECK_EQ(desk.sent_count, 0);
        desk_close(&desk);
    }
}

/* ---- no answers ---- */

static const char *const broken[] = {
    "+OK\r\n",
    ":1\r\n",
    "$1\r\n1\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "$0\r\n\r\n", /* wrong types */
    "*1\r\n$1\r\n1\r\n",
    "*1\r\n+1\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n-ERR in it\r\n",
    "*1\r\n*0\r\n",
    "*1\r\n*1\r\n:1\r\n",
    "*2\r\n:1\r\n:2\r\n",
    "*1\r\n:99999999999999999999999\r\n",
    "*1\r\n:\r\n",
    "*1\r\n:1x\r\n",
    "*64\r\n", /* answered in part */
    "*65\r\n",
    "*2147483647\r\n",
    "*4294967297\r\n",
    "*9223372036854775807\r\n",
    "*99999999999999999999\r\n",
    "*-2\r\n",
    "*x\r\n",
    "*\r\n",
    "$536870913\r\n",
    "$-2\r\n",
    "$9223372036854775807\r\n",
    "$x\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "_\r\n",
    "#t\r\n",
    ",3.14\r\n",
    "(12345678901234567890\r\n",
    "!5\r\nERR x\r\n",
    "=7\r\ntxt:abc\r\n",
    "%1\r\n+a\r\n:1\r\n",
    "~1\r\n:1\r\n",
    "|1\r\n+a\r\n:1\r\n",
    ">2\r\n+invalidate\r\n*0\r\n",
    "*1\r\n_\r\n",
    "*1\r\n#t\r\n", /* RESP3 */
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "\r\n",
    "\n",
    "1\r\n",
    "\x16\x03\x01\x02",
};

/* Some are the beginning of something that never comes: then the deadline ends it. */
static void check_broken(const char *text, enum weir_lane which)
{
    say_where(text);
    open_asked(which);
    desk_type(&desk, text);
    if (lane_wants_socket(desk.lane)) desk_pass(&desk, 250 * WEIR_MS);
    struct weir_redis_stats stats = lane_stats(desk.lane);
    CHECK_EQ(stats.state, WEIR_LANE_DOWN);
    CHECK_EQ(stats.errors[WEIR_REDIS_PROTOCOL] + stats.errors[WEIR_REDIS_TIMEOUT], 1);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQ(desk.ask[i].answered, 1);
        CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_UNKNOWN);
    }
    desk_close(&desk);
}

TEST(lane_bad, answers)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        check_broken(broken[i], WEIR_LANE_LOCK);
        check_broken(broken[i], WEIR_LANE_BULK);
    }
}

TEST(lane_bad, answers_of_another_number_of_numbers)
{
    check_broken("*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n", WEIR_LANE_BULK);
    check_broken("*6\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", WEIR_LANE_BULK);
    check_broken("*1\r\n:0\r\n", WEIR_LANE_BULK);
    check_broken("*33\r\n", WEIR_LANE_BULK);
    open_asked(WEIR_LANE_BULK);
    desk_type(&desk, "*1\r\n:-1\r\n"); /* an old sequence */
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_DONE);
    CHECK_EQ(desk.ask[0].answer.number[0], -1);
    desk_close(&desk);
}

/* What an earlier answer had does not stand in for what is missing. */
TEST(lane_bad, an_answer_is_not_mixed_with_the_one_before)
{
    open_asked(WEIR_LANE_LOCK);
    desk_type(&desk, YES "*1\r\n_\r\n");
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_DONE);
    if (lane_wants_socket(desk.lane)) desk_pass(&desk, 250 * WEIR_MS);
    CHECK_EQ(desk.ask[1].answer.kind, WEIR_ANSWER_UNKNOWN);
    desk_close(&desk);
}

TEST(lane_bad, one_answer_too_many_ends_it)
{
    open_asked(WEIR_LANE_LOCK);
    desk_type(&desk, YES YES);
    CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_UP);
    desk_type(&desk, YES);
    CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_DOWN);
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_PROTOCOL], 1);
    for (uint32_t i = 0; i < 2; i++) CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_DONE);
    desk_close(&desk);
}

TEST(lane_bad, cut_at_every_byte)
{
    static const char both[] = YES "*1\r\n:0\r\n";
    for (size_t cut = 0; cut < sizeof both; cut++) {
        open_asked(WEIR_LANE_LOCK);
        desk_say(&desk, both, cut);
        lane_lost(desk.lane, "the other side has closed it", desk.now);
        for (uint32_t i = 0; i < 2; i++) {
            CHECK_EQ(desk.ask[i].answered, 1);
            bool whole = cut >= (i + 1) * (sizeof YES - 1);
            CHECK_EQ(desk.ask[i].answer.kind, whole ? WEIR_ANSWER_DONE : WEIR_ANSWER_UNKNOWN);
        }
        desk_close(&desk);
    }
}

/* ---- memory ---- */

/* What a key holds may be nonsense, and so is what a script makes of it: that is the question's matter alone. */
TEST(lane_bad, a_number_that_none_can_be_is_an_error_of_its_question)
{
    static const char *const numbers[] = { "*1\r\n:9007199254740992\r\n", "*1\r\n:-9223372036854775808\r\n" };
    for (int i = 0; i < 2; i++) {
        open_asked(WEIR_LANE_LOCK);
        desk_type(&desk, numbers[i]);
        CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_ERROR);
        CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_UP);
        CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_OTHER], 1);
        desk_type(&desk, "*1\r\n:1\r\n");
        CHECK_EQ(desk.ask[1].answer.kind, WEIR_ANSWER_DONE);
        desk_close(&desk);
    }
}

static void check_bounded(const char *begin, const char *more, size_t times)
{
    open_asked(WEIR_LANE_LOCK);
    size_t before = mallinfo2().uordblks;
    desk_type(&desk, begin);
    size_t fed = 0;
    for (; fed < times && lane_wants_socket(desk.lane); fed++) {
        desk_type(&desk, more);
        CHECK(mallinfo2().uordblks < before + 4 * (size_t)LANE_INPUT_MAX);
    }
    CHECK(fed < times);
    CHECK_EQ(lane_stats(desk.lane).errors[WEIR_REDIS_PROTOCOL], 1);
    desk_close(&desk);
}

TEST(lane_bad, memory_is_bounded_whatever_comes)
{
    static char kilobyte[1025];
    memset(kilobyte, 'x', 1024);
    check_bounded("$536870912\r\n", kilobyte, 1000); /* half a gigabyte is announced */
    check_bounded("-", kilobyte, 1000);              /* a line without an end */
    check_bounded("*1\r\n$60000\r\n", kilobyte, 1000);
    check_bounded("", kilobyte, 1000);
    check_bounded("*64\r\n", "*64\r\n", 1000);
}

/* A great many good answers in one piece are no reason to give up. */
TEST(lane_bad, many_answers_at_once_are_none_too_many)
{
    enum { MANY = 100 };
    static char all[MANY * 1200];
    char *at = all, text[1001];
    memset(text, 'e', 1000);
    text[1000] = '\0';
    memset(&desk.settings, 0, sizeof desk.settings);
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    desk_up(&desk);
    for (uint32_t i = 0; i < MANY; i++) desk_queue(&desk, i);
    desk_step(&desk);
    desk_send_all(&desk);
    for (uint32_t i = 0; i < MANY; i++) at += sprintf(at, "-ERR %s\r\n", text);
    CHECK(at - all > LANE_INPUT_MAX);
    desk_say(&desk, all, (size_t)(at - all));
    CHECK_EQ(lane_stats(desk.lane).state, WEIR_LANE_UP);
    for (uint32_t i = 0; i < MANY; i++) CHECK_EQ(desk.ask[i].answer.kind, WEIR_ANSWER_ERROR);
    desk_close(&desk);
}
