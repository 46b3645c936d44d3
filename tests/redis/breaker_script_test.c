/* breaker.lua answers as its model does: random questions of several instances, at times that jump, to a real server. */
#include "redis/support/clockshim.h"
#include "redis/support/server.h"
#include "shared/store_breaker.h"
#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_US INT64_C(1800000000000000)
#define WORDS (3 + 2 + 1 + 26)

enum {
    SEQUENCE,
    EPOCH,
    STATE,
    LEFT,
    LEVEL,
    GOOD,
    BAD,
    SLOW,
    VOTE,
    WANT,
    WON,
    LOST,
    HOLDS,
    TERMS,
    PRESENCE = 25,
    COUNT
};

static struct redis_server server;
static struct redis_client client;
static struct redis_answer answer;
static uint64_t random_state;
static char source[32768], digest[64];

static uint64_t draw(uint64_t bound)
{
    random_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = (random_state ^ random_state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % bound;
}

static void load_script(void)
{
    FILE *file = fopen(WEIR_SCRIPTS "/breaker.lua", "r");
    CHECK(file != NULL);
    source[fread(source, 1, sizeof source - 1, file)] = 0;
    fclose(file);
    redis_client_ask(&client, &answer, "SCRIPT", "LOAD", source);
    CHECK_EQ(answer.kind, REDIS_STRING);
    memcpy(digest, answer.text, 41);
}

static void ask_server(const struct weir_ask *ask)
{
    static char text[COUNT][24], id[33];
    const char *words[WORDS + 1] = { "EVALSHA", digest, "2", "weir:{t}:b", "weir:{t}:bm", id };
    snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, ask->id[0], ask->id[1]);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof text[i], "%" PRId64, ask->number[i]);
        words[6 + i] = text[i];
    }
    redis_client_ask_words(&client, &answer, words);
}

/* What one instance last heard. */
struct heard {
    int64_t sequence, epoch, state, turn, won;
};

static void draw_terms(int64_t *number)
{
    static const int64_t terms[] = { 10, 50, 30, 0, 0, 30, 1000, 8000, 2000, 3, 2, 3000, 4000 };
    memcpy(number + TERMS, terms, sizeof terms);
    if (draw(4) == 0) number[TERMS + 2] = 0, number[TERMS + 3] = 60;
    if (draw(4) == 0) number[TERMS + 4] = 70;
    if (draw(30) == 0) number[PRESENCE] = 0;
}

/* Mostly what a link would ask, now and then what no link ever would. */
static void draw_question(struct weir_ask *ask, struct heard *heard, uint64_t who)
{
    int64_t *number = ask->number;
    bool ill = draw(3) != 0;
    *ask = (struct weir_ask) { .id = { who + 1, who * 77 }, .kind = WEIR_ASK_BREAKER, .count = COUNT };
    heard->sequence += draw(20) != 0;
    number[SEQUENCE] = heard->sequence;
    number[EPOCH] = heard->epoch;
    number[STATE] = heard->state;
    if (draw(50) == 0) number[EPOCH] += (int64_t)draw(5), number[STATE] = (int64_t)draw(3);
    number[LEFT] = (int64_t)draw(2000);
    number[LEVEL] = (int64_t)draw(3);
    number[GOOD] = (int64_t)draw(ill ? 5 : 50);
    number[BAD] = (int64_t)draw(ill ? 50 : 5);
    number[SLOW] = (int64_t)draw(50);
    number[VOTE] = ill && draw(4) != 0;
    number[WANT] = draw(2) == 0;
    if (heard->turn != 0 || draw(20) == 0) {
        heard->won += draw(3) == 0;
        number[WON] = heard->won;
        number[LOST] = draw(6) == 0;
        number[HOLDS] = draw(5) != 0;
    }
    draw_terms(number);
}

static void hear(struct heard *heard, const struct weir_answer *got)
{
    if (got->number[0] < heard->epoch) return;
    if (got->number[0] > heard->epoch) heard->won = 0;
    heard->epoch = got->number[0];
    heard->state = got->number[1];
    heard->turn = got->number[3];
}

static int64_t draw_time(int64_t now_us)
{
    switch (draw(60)) {
    case 0: return now_us + (int64_t)draw(100000000);
    case 1: return now_us - (int64_t)draw(5000000);
    case 2: return now_us - (int64_t)draw(3600000000);
    default: return now_us + (int64_t)draw(400000);
    }
}

static void run(uint64_t seed, uint32_t *seen)
{
    struct store_breaker model = { 0 };
    struct heard heard[6] = { 0 };
    int64_t now_us = BEGIN_US;
    random_state = seed;
    redis_server_flush(&server);
    for (int i = 0; i < 1200; i++) {
        uint64_t who = draw(6);
        struct weir_ask ask;
        struct weir_answer expected;
        now_us = draw_time(now_us);
        redis_server_freeze_clock_us(&server, now_us);
        draw_question(&ask, &heard[who], who);
        int64_t before = model.epoch;
        store_breaker_ask(&model, &ask, now_us, &expected);
        ask_server(&ask);
        bool same = answer.kind == REDIS_ARRAY && answer.count == expected.count;
        for (int n = 0; same && n < expected.count; n++) same = answer.integers[n] == expected.number[n];
        if (!same) fprintf(stderr, "seed %" PRIu64 ", question %d: %s\n", seed, i, answer.text);
        for (int n = 0; !same && n < expected.count; n++)
            fprintf(stderr, "want %" PRId64 "\n", expected.number[n]);
        CHECK(same);
        if (expected.count > 1) hear(&heard[who], &expected);
        if (model.epoch > before) seen[model.state]++;
        seen[3] += expected.count > 3 && expected.number[3] > 0;
        seen[4] += expected.count == 1;
        if (draw(60) != 0 || redis_integer(&server, "DEL", "weir:{t}:bm") == 0) continue;
        model.unordered = true;
        seen[5]++;
    }
}

TEST(breaker_script, answers_as_its_model)
{
    uint32_t seen[6] = { 0 };
    redis_server_start(&server, &(struct redis_options) { .clock = true });
    struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    load_script();
    for (uint64_t seed = 1; seed <= 8; seed++) run(seed, seen);
    for (int i = 0; i < 6; i++) CHECK(seen[i] > 50);
    fprintf(stderr, "closed %u, opened %u, half opened %u, turns %u, old %u, without the set %u\n", seen[0],
        seen[1], seen[2], seen[3], seen[4], seen[5]);
    redis_client_ask(&client, &answer, "PTTL", "weir:{t}:b");
    CHECK(answer.integer > 0);
    redis_client_ask(&client, &answer, "PTTL", "weir:{t}:bm");
    CHECK(answer.integer > 0);
    redis_client_close(&client);
    redis_server_stop(&server);
}

/* The state was lost: of five instances it knows none but who asks first, and that one is bad. */
TEST(breaker_script, one_alone_opens_nothing)
{
    redis_server_start(&server, &(struct redis_options) { 0 });
    struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    load_script();
    struct weir_ask ask = { .id = { 1, 2 } };
    draw_terms(ask.number);
    ask.number[SEQUENCE] = 1;
    ask.number[BAD] = 100;
    ask.number[VOTE] = 1;
    ask.number[PRESENCE] = 4000;
    ask_server(&ask);
    CHECK_EQ(answer.integers[1], 0);
    ask.id[0] = 3; /* another sees it, too */
    ask_server(&ask);
    CHECK_EQ(answer.integers[1], 1);
    redis_client_close(&client);
    redis_server_stop(&server);
}

/* One of the ends is lost: the others stay as they are, or who is gone would be kept for as long as ends get lost. */
TEST(breaker_script, what_is_counted_anew_leaves_the_ends_that_are_there)
{
    char ids[2][33];
    int64_t end_ms = 0;
    struct weir_ask ask = { .number = { 1 } };
    redis_server_start(&server, &(struct redis_options) { .clock = true });
    struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    load_script();
    draw_terms(ask.number);
    ask.number[PRESENCE] = 4000;
    for (uint64_t i = 0; i < 3; i++) {
        redis_server_freeze_clock_us(&server, BEGIN_US + (int64_t)i * 100000);
        ask.id[1] = i + 1;
        if (i == 2) {
            redis_client_ask(&client, &answer, "ZSCORE", "weir:{t}:bm", ids[0]);
            end_ms = strtoll(answer.text, NULL, 10);
            CHECK_EQ(redis_integer(&server, "ZREM", "weir:{t}:bm", ids[1]), 1);
        } else {
            snprintf(ids[i], sizeof ids[i], "%016" PRIx64 "%016" PRIx64, ask.id[0], ask.id[1]);
        }
        ask_server(&ask);
        CHECK_EQ(answer.count, 9);
    }
    CHECK_EQ(answer.integers[4], 3);
    redis_client_ask(&client, &answer, "ZSCORE", "weir:{t}:bm", ids[0]);
    CHECK_EQ(strtoll(answer.text, NULL, 10), end_ms);
    redis_client_close(&client);
    redis_server_stop(&server);
}

/* What a stranger wrote is as if it were lost: every answer is one that a link takes, and both keys end. */
TEST(breaker_script, garbage_in_a_field_is_a_lost_state)
{
    static const char *const garbage[] = { "x", "nan", "-1", "0.5", "9223372036854775808", "1e300", "" };
    static const char *const fields[] = { "e", "s", "u", "l", "w", "g", "b", "c", "v", "n" };
    redis_server_start(&server, &(struct redis_options) { 0 });
    struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    load_script();
    struct weir_ask ask = { .id = { 1, 2 }, .number = { 1 } };
    draw_terms(ask.number);
    ask.number[PRESENCE] = 4000;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            redis_server_flush(&server);
            redis_client_ask(&client, &answer, "HSET", "weir:{t}:b", fields[f], garbage[i]);
            ask_server(&ask);
            CHECK_EQ(answer.kind, REDIS_ARRAY);
            CHECK_EQ(answer.count, 9);
            for (int n = 0; n < 9; n++) CHECK_EQ(answer.integers[n], n == 4);
            CHECK(redis_integer(&server, "PTTL", "weir:{t}:b") > 0);
        }
    }
    redis_server_flush(&server);
    redis_client_ask(&client, &answer, "HSET", "weir:{t}:b", "s", "1", "u", "9000000000000000");
    ask_server(&ask);
    CHECK_EQ(answer.integers[1], 1);
    CHECK_EQ(answer.integers[2], 86400000); /* as long as a link may hear of */
    redis_client_close(&client);
    redis_server_stop(&server);
}
