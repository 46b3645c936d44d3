/* lib/redis/scripts/bulkhead.lua in a real server against its model in C: the same questions at the same times have the
 * same answers. */
#include "redis/support/server.h"
#include "shared/store_bulkhead.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "weir:{default:api}:s"
#define SET "weir:{default:api}:sm"
#define MS INT64_C(1000)
#define S (1000 * MS)

static struct redis_server server;
static struct redis_client client;
static struct redis_answer reply;
static struct store_bulkhead model;
static char script[16384], sha[64];
static int64_t now_us;

static void open_server(void)
{
    FILE *file = fopen(WEIR_SCRIPTS "/bulkhead.lua", "r");
    CHECK(file != NULL);
    size_t length = fread(script, 1, sizeof script - 1, file);
    fclose(file);
    CHECK(length > 0 && length < sizeof script - 1);
    redis_server_start(&server, &(struct redis_options) { .clock = true });
    struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    redis_client_ask(&client, &reply, "SCRIPT", "LOAD", script);
    CHECK_EQ(reply.length, 40);
    memcpy(sha, reply.text, 41);
    memset(&model, 0, sizeof model);
    now_us = INT64_C(1800000000) * S;
    redis_server_freeze_clock_us(&server, now_us);
}

static void close_server(void)
{
    redis_client_close(&client);
    redis_server_stop(&server);
}

static void pass(int64_t us)
{
    now_us += us;
    redis_server_freeze_clock_us(&server, now_us);
}

static void ask_server(uint64_t id, const int64_t number[5])
{
    char word[6][33];
    snprintf(word[0], sizeof word[0], "%016llx%016llx", 0x1234567890abcdefull, (unsigned long long)id);
    for (int i = 0; i < 5; i++) snprintf(word[i + 1], sizeof word[0], "%lld", (long long)number[i]);
    redis_client_ask(&client, &reply, "EVALSHA", sha, "2", HASH, SET, word[0], word[1], word[2], word[3],
        word[4], word[5]);
}

/* The model's answer, after it was compared. */
static struct weir_answer ask(
    uint64_t id, int64_t sequence, int64_t limit, int64_t in_use, int64_t want, int64_t lease_ms)
{
    struct weir_ask question = { .id = { 0x1234567890abcdefull, id },
        .kind = WEIR_ASK_BULKHEAD,
        .count = 5,
        .number = { sequence, limit, in_use, want, lease_ms } };
    struct weir_answer answer;
    ask_server(id, question.number);
    store_bulkhead_ask(&model, &question, now_us, &answer);
    if (reply.kind != REDIS_ARRAY) CHECK_STR(reply.text, "an array");
    CHECK_EQ(reply.count, answer.count);
    for (size_t i = 0; i < reply.count; i++) CHECK_EQ(reply.integers[i], answer.number[i]);
    return answer;
}

static uint64_t random_state;

static int64_t draw(int64_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int64_t)(random_state >> 33) % below;
}

TEST(script_bulkhead, random_questions_are_answered_as_by_the_model)
{
    open_server();
    int64_t sequence[12] = { 0 };
    random_state = 20260101;
    for (int round = 0; round < 8000; round++) {
        int64_t who = draw(12), limit = draw(30) == 0 ? 1 + draw(80) : 40;
        int64_t back = draw(20) == 0 ? draw(3) : 0; /* an old question, again */
        sequence[who] += back == 0;
        int64_t lease = draw(15) == 0 ? 0 : 100 + draw(3000);
        int64_t in_use = draw(12), want = draw(4) == 0 ? draw(90) : draw(8);
        ask((uint64_t)who, sequence[who] - back, limit, in_use, want, lease);
        if (draw(3) == 0) pass(draw(200 * MS));
        if (draw(200) == 0) pass(draw(10 * S));
        if (draw(500) == 0) pass(-3600 * S);
        if (draw(500) == 0) pass(3600 * S);
        if (draw(100) == 0) model.unordered = redis_integer(&server, "DEL", SET) == 1;
        if (draw(300) != 0) continue;
        redis_server_flush(&server);
        memset(&model, 0, sizeof model);
    }
    close_server();
}

/* The key with what is held is evicted, or taken away: that is a lost state, and nothing leaks. */
TEST(script_bulkhead, without_the_records_all_is_lost)
{
    open_server();
    ask(1, 1, 10, 0, 10, 1000);
    CHECK_EQ(ask(2, 1, 10, 0, 10, 1000).number[0], 0);
    CHECK_EQ(redis_integer(&server, "DEL", HASH), 1);
    memset(&model, 0, sizeof model);
    CHECK_EQ(ask(2, 2, 10, 0, 10, 1000).number[0], 10);
    CHECK_EQ(ask(1, 2, 10, 7, 10, 1000).number[0], 0);
    close_server();
}

/* The key with the ends is: what is held stays held for a lease, and by nobody who is gone for longer. */
TEST(script_bulkhead, without_the_ends_nothing_is_granted_twice)
{
    open_server();
    ask(1, 1, 10, 0, 10, 1000);
    CHECK_EQ(ask(2, 1, 10, 0, 10, 1000).number[0], 0);
    CHECK_EQ(redis_integer(&server, "DEL", SET), 1);
    model.unordered = true;
    CHECK_EQ(ask(2, 2, 10, 0, 10, 1000).number[0], 0);
    pass(S);
    CHECK_EQ(ask(2, 3, 10, 0, 10, 1000).number[0], 10);
    close_server();
}

/* Nor does it stay for ever in the key with the ends, and have all counted anew by every question. */
TEST(script_bulkhead, who_has_an_end_and_no_record_goes)
{
    open_server();
    CHECK_EQ(ask(1, 1, 10, 0, 4, 1000).number[0], 4);
    CHECK_EQ(redis_integer(&server, "ZADD", SET, "+inf", "stranger"), 1);
    const int64_t number[5] = { 2, 10, 0, 4, 1000 };
    ask_server(1, number);
    CHECK_EQ(reply.integers[0], 4);
    CHECK_EQ(reply.integers[3], 1);
    CHECK_EQ(redis_integer(&server, "ZCARD", SET), 1);
    close_server();
}

/* A clock that goes back leaves no lease for longer than the longest; nothing lives on by itself. */
TEST(script_bulkhead, every_key_ends)
{
    open_server();
    ask(1, 1, 10, 0, 10, 60000);
    pass(-3600 * S);
    CHECK_EQ(ask(2, 1, 10, 0, 10, 1000).number[0], 0);
    pass(60 * S);
    CHECK_EQ(ask(2, 2, 10, 0, 10, 1000).number[0], 10);
    CHECK_EQ(redis_integer(&server, "PEXPIRETIME", HASH), now_us / 1000 + 120000);
    CHECK_EQ(redis_integer(&server, "PEXPIRETIME", SET), now_us / 1000 + 120000);
    CHECK_EQ(redis_server_keys(&server), 2);
    close_server();
}

/* 1,000 instances that died are forgotten by and by, 64 in one question. */
TEST(script_bulkhead, many_that_ended_are_purged_in_parts)
{
    open_server();
    for (uint64_t id = 1; id <= 1000; id++) {
        const int64_t number[5] = { 1, 1000, 0, 1, 100 };
        ask_server(id, number);
        CHECK_EQ(reply.integers[0], 1);
    }
    pass(S);
    const int64_t number[5] = { 1, 1000, 0, 1000, 1000 };
    ask_server(5000, number);
    CHECK_EQ(reply.integers[0], 64);
    CHECK_EQ(reply.integers[3], 1000 - 64 + 1);
    for (int64_t i = 2; i <= 16; i++) {
        const int64_t again[5] = { i, 1000, 0, 1000, 1000 };
        ask_server(5000, again);
    }
    CHECK_EQ(reply.integers[0], 1000);
    CHECK_EQ(reply.integers[3], 1);
    close_server();
}

/* A key that holds something else is an error of the store, no more. */
TEST(script_bulkhead, a_key_of_another_kind_is_an_error)
{
    open_server();
    redis_client_ask(&client, &reply, "SET", HASH, "mine");
    const int64_t number[5] = { 1, 10, 0, 1, 100 };
    ask_server(1, number);
    CHECK_EQ(reply.kind, REDIS_ERROR);
    CHECK(strstr(reply.text, "WRONGTYPE") != NULL);
    close_server();
}

/* What a stranger wrote is counted for nothing, and what instances have stays: no key, without an end perhaps, is in the way for ever. */
TEST(script_bulkhead, garbage_in_a_field_is_a_lost_state)
{
    static const char *const garbage[] = { "x", "nan", "-1", "9223372036854775808", "1e300", "" };
    static const char *const fields[] = { "t", "m", "g", "h", "n" };
    open_server();
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            redis_server_flush(&server);
            memset(&model, 0, sizeof model);
            redis_client_ask(&client, &reply, "HSET", HASH, fields[f], garbage[i]);
            CHECK_EQ(ask(1, 1, 10, 0, 10, 1000).number[0], 10);
            redis_client_ask(&client, &reply, "HSET", HASH, fields[f], garbage[i]);
            CHECK_EQ(ask(2, 1, 10, 0, 10, 1000).number[0], 0);
            CHECK(redis_integer(&server, "PTTL", HASH) > 0);
        }
    }
    redis_server_flush(&server);
    memset(&model, 0, sizeof model);
    CHECK_EQ(ask(1, 1, 10, 0, 10, 1000).number[0], 10);
    char id[33];
    snprintf(id, sizeof id, "%016llx%016llx", 0x1234567890abcdefull, 1ull);
    redis_client_ask(&client, &reply, "HSET", HASH, id, "1 10 99999999999999999999 10 0 0");
    const int64_t number[5] = { 2, 10, 0, 10, 1000 };
    ask_server(1, number);
    CHECK_EQ(reply.kind, REDIS_ARRAY);
    memset(&model, 0, sizeof model);
    CHECK_EQ(ask(1, 3, 10, 0, 10, 1000).number[0], 10);
    redis_client_ask(&client, &reply, "HSET", HASH, "stranger", "1 10 99999999999999999999 10 0 0", "t", "x");
    CHECK_EQ(ask(1, 4, 10, 0, 10, 1000).number[0], 10);
    CHECK_EQ(redis_integer(&server, "HLEN", HASH), 5 + 1);
    close_server();
}
