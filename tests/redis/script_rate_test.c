/* lib/redis/scripts/rate.lua in a real server against its model in C: the same questions at the same times have the
 * same answers, whatever the clock does. */
#include "base/arithmetic.h"
#include "redis/support/server.h"
#include "shared/store_rate.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "weir:{default:api}:r"
#define SET "weir:{default:api}:rm"
#define MS INT64_C(1000)
#define S (1000 * MS)

enum {
    SEQUENCE,
    PERMITS,
    PERIOD,
    BURST,
    WANT,
    UNSPENT,
    RETURNED,
    DEBIT,
    HOLD_MAX,
    LEASE,
    WATERMARK,
    PRESENCE
};
enum { NUMBERS = 12, IDS = 5 };

static struct redis_server server;
static struct redis_client client;
static struct redis_answer reply;
static struct store_rate model;
static char script[16384], sha[64];
static int64_t now_us;
static uint64_t first, seed;

static void open_server(void)
{
    FILE *file = fopen(WEIR_SCRIPTS "/rate.lua", "r");
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
}

static void begin(uint64_t with)
{
    first = seed = with;
    memset(&model, 0, sizeof model);
    redis_server_flush(&server);
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

static void ask_server(uint64_t id, const int64_t number[NUMBERS])
{
    char word[NUMBERS + 1][33];
    snprintf(word[0], sizeof word[0], "%016llx%016llx", 0x1234567890abcdefull, (unsigned long long)id);
    for (int i = 0; i < NUMBERS; i++) snprintf(word[i + 1], sizeof word[0], "%lld", (long long)number[i]);
    redis_client_ask(&client, &reply, "EVALSHA", sha, "2", HASH, SET, word[0], word[1], word[2], word[3],
        word[4], word[5], word[6], word[7], word[8], word[9], word[10], word[11], word[12]);
}

static struct weir_answer ask_model(uint64_t id, const int64_t number[NUMBERS])
{
    struct weir_answer answer;
    struct weir_ask ask = { .id = { 0x1234567890abcdef, id }, .kind = WEIR_ASK_RATE, .count = NUMBERS };
    memcpy(ask.number, number, NUMBERS * sizeof *number);
    store_rate_ask(&model, &ask, now_us, &answer);
    return answer;
}

/* Asks both; answers what was granted. */
static int64_t ask(uint64_t id, const int64_t number[NUMBERS])
{
    struct weir_answer answer = ask_model(id, number);
    ask_server(id, number);
    bool same = reply.kind == REDIS_ARRAY && reply.count == answer.count;
    for (uint32_t i = 0; same && i < answer.count; i++) same = reply.integers[i] == answer.number[i];
    if (!same) {
        fprintf(stderr, "seed %llu, id %llu, at %lld:", (unsigned long long)first, (unsigned long long)id,
            (long long)now_us);
        for (int i = 0; i < NUMBERS; i++) fprintf(stderr, " %lld", (long long)number[i]);
        fprintf(stderr, "\nmodel:");
        for (int i = 0; i < answer.count; i++) fprintf(stderr, " %lld", (long long)answer.number[i]);
        fprintf(stderr, "\nscript: %s\n", reply.text);
    }
    CHECK(same);
    return answer.number[0];
}

static uint64_t up_to(uint64_t bound)
{
    return random_up_to(&seed, bound);
}

static void pass_some(void)
{
    switch (up_to(19)) {
    case 0: pass((int64_t)up_to(3600) * S); break;
    case 1: pass(-(int64_t)up_to(3600) * S); break;
    case 2: pass((int64_t)up_to(1500) * MS); break;
    case 3: break;
    default: pass((int64_t)up_to(20 * MS)); break;
    }
}

static const int64_t limits[][3] = { /* permits, period, burst */
    { 1, 1000, 100 }, { 1000, 1, 1000000 }, { 3, 1000000, 7 }, { 7, 3000001, 1000 }, { 1, 86400000000, 1000 },
    { 999983, 1000003, 4000 }
};

TEST(redis_script_rate, answers_as_its_model)
{
    open_server();
    for (uint64_t run = 1; run <= 40; run++) {
        begin(run);
        int64_t sequence[IDS] = { 0 }, held[IDS] = { 0 }, arrival = 0;
        const int64_t *limit = limits[run % (sizeof limits / sizeof *limits)];
        int64_t hold_max = run % 2 == 0 ? limit[2] / 2 : 0, lease = 100 + (int64_t)up_to(900);
        for (int i = 0; i < 250; i++) {
            uint64_t id = up_to(IDS - 1);
            int64_t returned = up_to(4) == 0 ? (int64_t)up_to((uint64_t)held[id]) : 0;
            int64_t unspent = (int64_t)up_to((uint64_t)(held[id] - returned));
            bool old = up_to(30) == 0;
            sequence[id] += !old;
            const int64_t number[NUMBERS] = { sequence[id], limit[0], limit[1], limit[2] - hold_max,
                (int64_t)up_to((uint64_t)limit[2]), unspent, returned,
                up_to(9) == 0 ? (int64_t)up_to((uint64_t)limit[2]) : 0, hold_max, lease,
                up_to(5) == 0 ? arrival * (up_to(1) == 0 ? 1 : -1) : 0, lease + (int64_t)up_to(1) * 200 };
            int64_t granted = ask(id, number);
            if (granted >= 0) {
                held[id] = unspent + granted;
                arrival = reply.integers[1];
            }
            if (!old) pass_some();
            if (up_to(60) == 0) { /* all is lost */
                redis_server_flush(&server);
                memset(&model, 0, sizeof model);
            }
            if (up_to(60) == 0) model.unordered = redis_integer(&server, "DEL", SET) == 1;
        }
    }
    close_server();
}

/* ---- by hand ---- */

static const int64_t plain[NUMBERS] = {
    [PERMITS] = 1, [PERIOD] = 1000, [BURST] = 10, [LEASE] = 1000, [PRESENCE] = 1000
};

static int64_t want(uint64_t id, int64_t sequence, int64_t n)
{
    int64_t number[NUMBERS];
    memcpy(number, plain, sizeof number);
    number[SEQUENCE] = sequence;
    number[WANT] = n;
    return ask(id, number);
}

TEST(redis_script_rate, an_old_question_changes_nothing)
{
    open_server();
    begin(0);
    CHECK_EQ(want(1, 5, 4), 4);
    CHECK_EQ(want(1, 5, 4), -1);
    CHECK_EQ(want(1, 4, 4), -1);
    CHECK_EQ(want(1, 6, 10), 6);
    close_server();
}

TEST(redis_script_rate, a_clock_that_goes_back_costs_a_bucket_at_most)
{
    open_server();
    begin(0);
    CHECK_EQ(want(1, 1, 10), 10);
    pass(-3600 * S);
    CHECK_EQ(want(1, 2, 10), 0);
    CHECK_EQ(reply.integers[4], 1000);
    pass(10 * MS);
    CHECK_EQ(want(1, 3, 10), 10);
    close_server();
}

TEST(redis_script_rate, a_watermark_repairs_what_was_lost)
{
    open_server();
    begin(0);
    CHECK_EQ(want(1, 1, 10), 10);
    int64_t number[NUMBERS];
    memcpy(number, plain, sizeof number);
    number[WANT] = 10;
    number[WATERMARK] = -reply.integers[1];
    redis_server_flush(&server);
    memset(&model, 0, sizeof model);
    pass(3 * MS);
    number[SEQUENCE] = 2;
    CHECK_EQ(ask(1, number), 3);
    /* It knows of the bucket, and of the instance. */
    pass(5 * MS);
    number[SEQUENCE] = 3;
    number[WATERMARK] *= 100;
    CHECK_EQ(ask(1, number), 5);
    close_server();
}

TEST(redis_script_rate, every_key_has_its_time_to_live)
{
    open_server();
    begin(0);
    want(1, 1, 10);
    want(2, 1, 0);
    const char *const keys[] = { HASH, SET };
    for (int i = 0; i < 2; i++) {
        int64_t ttl = redis_integer(&server, "PTTL", keys[i]);
        CHECK(ttl > 1000);
        CHECK(ttl <= 2010);
    }
    CHECK_EQ(redis_server_keys(&server), 2);
    close_server();
}

/* What a stranger wrote is as if it were lost: neither tokens without end nor none for ever. */
TEST(redis_script_rate, garbage_in_a_field_is_a_lost_state)
{
    static const char *const garbage[] = { "x", "nan", "-nan", "-1", "1e300", "inf", "" };
    open_server();
    begin(0);
    for (size_t i = 0; i < 2 * (sizeof garbage / sizeof *garbage); i++) {
        redis_server_flush(&server);
        memset(&model, 0, sizeof model);
        redis_client_ask(&client, &reply, "HSET", HASH, i % 2 == 0 ? "t" : "h", garbage[i / 2]);
        CHECK_EQ(want(1, 1, 1000), 10);
        CHECK_EQ(want(1, 2, 1000), 0);
        CHECK(redis_integer(&server, "PTTL", HASH) > 0);
    }
    close_server();
}

static int64_t hold(uint64_t id, int64_t sequence, int64_t unspent, int64_t n)
{
    int64_t number[NUMBERS];
    memcpy(number, plain, sizeof number);
    number[HOLD_MAX] = 5;
    number[SEQUENCE] = sequence;
    number[UNSPENT] = unspent;
    number[WANT] = n;
    return ask(id, number);
}

/* One of the keys is evicted: what those held of whom nothing is known any more does not stay lent for ever. */
TEST(redis_script_rate, what_nobody_holds_is_not_lent)
{
    open_server();
    begin(0);
    CHECK_EQ(hold(1, 1, 0, 10), 5);
    CHECK_EQ(redis_integer(&server, "DEL", SET), 1);
    model.unordered = true;
    pass(S);
    CHECK_EQ(hold(2, 1, 0, 10), 0);
    pass(S);
    CHECK_EQ(hold(2, 2, 0, 10), 5);
    close_server();
}

/* They are there yet, and hold it: nobody is lent it once more. */
TEST(redis_script_rate, what_others_hold_is_known_without_the_key_of_their_ends)
{
    open_server();
    begin(0);
    CHECK_EQ(hold(1, 1, 0, 2), 2);
    CHECK_EQ(hold(2, 1, 0, 2), 1);
    CHECK_EQ(hold(2, 2, 1, 2), 1);
    CHECK_EQ(redis_integer(&server, "DEL", SET), 1);
    model.unordered = true;
    for (int64_t i = 2; i < 6; i++) {
        pass(10 * MS);
        CHECK_EQ(hold(1, i, 2, 0), 0);
        CHECK_EQ(reply.integers[5], 4);
        CHECK_EQ(hold(2, i + 1, 2, 0), 0);
        CHECK_EQ(reply.integers[5], 4);
    }
    close_server();
}

/* One of the ends is lost: the others stay as they are, or who is gone would be kept for as long as ends get lost. */
TEST(redis_script_rate, what_is_counted_anew_leaves_the_ends_that_are_there)
{
    char ids[2][33];
    open_server();
    begin(0);
    for (uint64_t id = 1; id <= 2; id++) {
        snprintf(ids[id - 1], sizeof ids[0], "%016llx%016llx", 0x1234567890abcdefull, (unsigned long long)id);
        CHECK_EQ(hold(id, 1, 0, 1), 1);
    }
    redis_client_ask(&client, &reply, "ZSCORE", SET, ids[0]);
    int64_t end_ms = strtoll(reply.text, NULL, 10);
    CHECK_EQ(redis_integer(&server, "ZREM", SET, ids[1]), 1);
    pass(100 * MS);
    int64_t number[NUMBERS];
    memcpy(number, plain, sizeof number);
    number[SEQUENCE] = 1;
    number[WANT] = 0;
    ask_server(3, number);
    CHECK_EQ(reply.integers[5], 2);
    CHECK_EQ(redis_integer(&server, "ZCARD", SET), 3);
    redis_client_ask(&client, &reply, "ZSCORE", SET, ids[0]);
    CHECK_EQ(strtoll(reply.text, NULL, 10), end_ms);
    close_server();
}

/* A stranger's field is no instance: it goes, and what the others hold is counted anew. */
TEST(redis_script_rate, a_field_that_is_nobodys_goes)
{
    open_server();
    begin(0);
    CHECK_EQ(hold(1, 1, 0, 2), 2);
    redis_client_ask(&client, &reply, "HSET", HASH, "stranger", "1 2 3");
    redis_client_ask(&client, &reply, "HSET", HASH, "h", "0");
    CHECK_EQ(hold(2, 1, 0, 0), 0);
    CHECK_EQ(reply.integers[5], 2);
    CHECK_EQ(redis_integer(&server, "HLEN", HASH), 4);
    close_server();
}
