/* The scripts of locks are what their model is: a random sequence of questions from several ids, put to a real
 * redis-server and to store_lock.c, under a clock that stands, creeps, and jumps. LOCK_SEED=n repeats one. */
#include "redis/support/server.h"
#include "shared/store_lock.h"
#include "support/test.h"

#include "base/arithmetic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 12
#define STEPS 1500
#define LOCK_KEY "weir:{test:x}:k"
#define FENCE_KEY "weir:{test:x}:kf"

static struct redis_server server;
static struct redis_client client;
static char sha[WEIR_ASKS][64];
static uint64_t seed, state;

static int64_t draw(int64_t low, int64_t high)
{
    return low + (int64_t)random_up_to(&state, (uint64_t)(high - low));
}

static void must(bool condition, const char *what, const char *text)
{
    if (!condition) fprintf(stderr, "seed %" PRIu64 ": %s: %s\n", seed, what, text);
    CHECK(condition);
}

static void load(enum weir_ask_kind kind, const char *name)
{
    static char text[4096];
    static struct redis_answer answer;
    char path[512];
    snprintf(path, sizeof path, "%s/%s.lua", WEIR_SCRIPTS, name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    redis_client_ask(&client, &answer, "SCRIPT", "LOAD", text);
    must(answer.length == 40, "SCRIPT LOAD", answer.text);
    memcpy(sha[kind], answer.text, 41);
}

static void start(void)
{
    redis_server_start(&server, &(struct redis_options) { .clock = true });
    const struct redis_address address = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &address, 5000));
    load(WEIR_ASK_LOCK, "lock");
    load(WEIR_ASK_RENEW, "renew");
    load(WEIR_ASK_UNLOCK, "unlock");
    load(WEIR_ASK_FENCE, "fence");
}

static void stop(void)
{
    redis_client_close(&client);
    redis_server_stop(&server);
}

static void ask_redis(const struct weir_ask *ask, struct redis_answer *answer)
{
    char id[40], number[3][24];
    const char *words[16], **word = words;
    bool both = ask->kind == WEIR_ASK_LOCK;
    snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, ask->id[0], ask->id[1]);
    *word++ = "EVALSHA";
    *word++ = sha[ask->kind];
    *word++ = both ? "2" : "1";
    if (ask->kind != WEIR_ASK_FENCE) *word++ = LOCK_KEY;
    if (both || ask->kind == WEIR_ASK_FENCE) *word++ = FENCE_KEY;
    *word++ = id;
    for (uint32_t i = 0; i < ask->count; i++) {
        snprintf(number[i], sizeof number[i], "%" PRId64, ask->number[i]);
        *word++ = number[i];
    }
    *word = NULL;
    redis_client_ask_words(&client, answer, words);
}

/* As of one of three locks of two different leases; tokens mostly near the clock, some far ahead of it. */
static void draw_ask(struct weir_ask *ask, int64_t now_us)
{
    int64_t who = draw(1, 3), ttl_ms = who == 1 ? 300 : 5000;
    int64_t token = draw(0, 9) == 0 ? now_us + draw(0, INT64_C(7200000000)) : now_us - draw(0, 1000000);
    *ask = (struct weir_ask) { .id = { (uint64_t)who << 60, (uint64_t)who } };
    switch (draw(0, 9)) {
    case 0:
    case 1:
    case 2:
    case 3:
        ask->kind = WEIR_ASK_LOCK;
        ask->count = 3;
        ask->number[0] = ttl_ms;
        ask->number[1] = draw(0, 3) == 0 ? token : 0;
        ask->number[2] = 86400000;
        break;
    case 4:
    case 5:
    case 6:
        ask->kind = WEIR_ASK_RENEW;
        ask->count = 1;
        ask->number[0] = ttl_ms;
        break;
    case 7:
    case 8: ask->kind = WEIR_ASK_UNLOCK; break;
    default:
        ask->kind = WEIR_ASK_FENCE;
        ask->count = 2;
        ask->number[0] = token;
        ask->number[1] = 86400000;
    }
}

/* What has expired by then is gone for both, before the clock can go back. */
static int64_t move_clock(int64_t now_us, struct store_lock *store)
{
    static struct redis_answer answer;
    switch (draw(0, 19)) {
    case 0: now_us += draw(0, INT64_C(3600000000)); break;
    case 1: now_us -= draw(0, INT64_C(3600000000)); break;
    case 2:
    case 3: now_us = store->until_ms * 1000 + draw(-1000, 1999); break; /* about its very end */
    case 4:
    case 5: now_us += draw(0, 2000000); break;
    default: now_us += draw(0, 5000);
    }
    if (now_us < INT64_C(1700000000000000)) now_us += INT64_C(3600000000);
    redis_server_freeze_clock_us(&server, now_us);
    redis_client_ask(&client, &answer, "EXISTS", LOCK_KEY, FENCE_KEY);
    struct weir_ask look = { .kind = WEIR_ASK_UNLOCK };
    struct weir_answer ignored;
    store_lock_ask(store, &look, now_us, &ignored);
    return now_us;
}

static void run_seed(void)
{
    static struct redis_answer real;
    struct store_lock store = { 0 };
    struct weir_ask ask;
    struct weir_answer model;
    int64_t now_us = INT64_C(1790000000000000);
    state = seed;
    redis_server_freeze_clock_us(&server, now_us);
    redis_client_ask(&client, &real, "FLUSHALL");
    for (int step = 0; step < STEPS; step++) {
        now_us = move_clock(now_us, &store);
        draw_ask(&ask, now_us);
        ask_redis(&ask, &real);
        store_lock_ask(&store, &ask, now_us, &model);
        must(real.kind == REDIS_ARRAY && real.count == model.count, "another kind of answer", real.text);
        for (uint32_t i = 0; i < model.count; i++) {
            must(real.integers[i] == model.number[i], "another number", real.text);
        }
    }
}

TEST(lock_script, is_its_model)
{
    const char *one = getenv("LOCK_SEED");
    start();
    for (seed = one == NULL ? 1 : strtoull(one, NULL, 10); seed <= (one == NULL ? SEEDS : seed); seed++) {
        run_seed();
        if (one != NULL) break;
    }
    stop();
}

TEST(lock_script, leaves_no_key_without_an_end)
{
    static struct redis_answer answer;
    struct weir_ask ask = {
        .kind = WEIR_ASK_LOCK, .count = 3, .id = { 1, 2 }, .number = { 900, 0, 86400000 }
    };
    start();
    ask_redis(&ask, &answer);
    CHECK_EQ(answer.integers[0], 1);
    redis_client_ask(&client, &answer, "PTTL", LOCK_KEY);
    CHECK(answer.integer > 0 && answer.integer <= 900);
    redis_client_ask(&client, &answer, "PTTL", FENCE_KEY);
    CHECK(answer.integer > 86000000 && answer.integer <= 86400000);
    stop();
}

TEST(lock_script, refuses_keys_that_hold_something_else)
{
    static const char *const others[] = { "", "abc", "1 2", "9007199254740993", "nan", "0x1p70", "inf" };
    static struct redis_answer answer;
    start();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        for (int key = 0; key < 2; key++) {
            struct weir_ask ask = {
                .kind = WEIR_ASK_LOCK, .count = 3, .id = { 1, 2 }, .number = { 900, 0, 86400000 }
            };
            redis_client_ask(&client, &answer, "FLUSHALL");
            redis_client_ask(&client, &answer, "SET", key == 0 ? LOCK_KEY : FENCE_KEY, others[i]);
            ask_redis(&ask, &answer);
            must(answer.kind == REDIS_ERROR, "taken over", others[i]);
            redis_client_ask(&client, &answer, "GET", key == 0 ? LOCK_KEY : FENCE_KEY);
            CHECK_STR(answer.text, others[i]);
        }
    }
    redis_client_ask(&client, &answer, "FLUSHALL");
    redis_client_ask(&client, &answer, "LPUSH", LOCK_KEY, "x");
    struct weir_ask renew = { .kind = WEIR_ASK_RENEW, .count = 1, .number = { 900 } };
    ask_redis(&renew, &answer);
    CHECK_EQ(answer.kind, REDIS_ERROR);
    stop();
}
