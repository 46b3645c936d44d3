/* What a real Redis does to a link: refuses it, is a replica, stops, dies, comes back, is busy. Each fault is proved to be on by a
 * second connection. */
#include "redis/carrier.h"

#define CANARY "c4n4ry-s3cr3t"

/* All that a link tells; read after it is closed. */
struct told {
    uint32_t count, ups, downs, slows;
    struct weir_share_event events[64];
};

static void note(void *argument, const struct weir_share_event *event)
{
    struct told *told = argument;
    uint32_t at = atomic_add_seq_cst(&told->count, 1);
    if (at < 64) told->events[at] = *event;
    if (event->kind == WEIR_SHARE_LINK_UP) atomic_add_seq_cst(&told->ups, 1);
    if (event->kind == WEIR_SHARE_LINK_DOWN) atomic_add_seq_cst(&told->downs, 1);
    if (event->kind == WEIR_SHARE_LINK_SLOW) atomic_add_seq_cst(&told->slows, 1);
}

static bool holds_canary(const void *memory, size_t size)
{
    return memmem(memory, size, CANARY, sizeof CANARY - 1) != NULL;
}

static struct weir_redis_stats stats_of(const struct weir_link *link)
{
    return weir_redis_stats(link, 0, WEIR_LANE_BULK);
}

/* Drives it until an error of that class was counted; it never came up, and nothing it says holds the password. */
static void check_refused(
    struct weir_redis_config config, const char *address, enum weir_redis_error error, const char *text)
{
    struct told told = { 0 };
    struct weir_share_sink sink = { note, &told };
    config.sink = &sink;
    struct weir_link *link = link_with(config, address);
    UNTIL(link, config.thread, stats_of(link).errors[error] >= 2); /* it tries again */
    struct weir_redis_stats stats = stats_of(link);
    weir_redis_close(link, 0);
    CHECK_EQ(stats.state, WEIR_LANE_DOWN);
    CHECK_EQ(stats.connected, 0);
    CHECK_EQ(told.ups, 0);
    if (strstr(stats.error, text) == NULL) CHECK_STR(stats.error, text);
    CHECK(!holds_canary(&stats, sizeof stats));
    CHECK(!holds_canary(&told, sizeof told));
    CHECK(!holds_canary(weir_error_text(), strlen(weir_error_text())));
    if (config.user != NULL) CHECK(strstr(stats.error, config.user) == NULL);
}

static void check_accepted(struct weir_redis_config config, const char *address)
{
    struct asker asker = { 0 };
    struct weir_link *link = link_with(config, address);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, 0), WEIR_E_NONE);
    UNTIL(link, config.thread, SEEN(asker.answered) >= 1);
    struct weir_redis_stats stats = stats_of(link);
    CHECK_EQ(stats.state, WEIR_LANE_UP);
    CHECK(!holds_canary(&stats, sizeof stats));
    asker_stop(&asker);
    weir_redis_close(link, 0);
    CHECK_EQ(asker.gone, 1);
}

TEST(redis_faults, a_password_is_right_or_it_is_refused_and_never_told)
{
    struct redis_server server;
    redis_server_start(&server, &(struct redis_options) { .password = CANARY });
    const struct place place = unix_of(&server);
    for (int thread = 0; thread < 2; thread++) {
        struct weir_redis_config config = { .thread = thread != 0 };
        check_refused(config, place.text, WEIR_REDIS_REFUSED, "NOAUTH");
        config.password = CANARY "?";
        check_refused(config, place.text, WEIR_REDIS_REFUSED, "AUTH was refused: WRONGPASS");
        config.user = "nobody";
        check_refused(config, place.text, WEIR_REDIS_REFUSED, "AUTH was refused: WRONGPASS");
        config.user = NULL;
        config.password = CANARY;
        check_accepted(config, place.text);
    }
    redis_server_stop(&server);
}

/* The least that an ACL user must be allowed, and what more lets the link know its server. docs: operations. */
#define SCRIPTS_USE                                                                                        \
    " +time +get +set +del +pexpire +pexpireat +hget +hmget +hgetall +hlen +hset +hdel +zadd +zcard +zrem" \
    " +zrangebyscore"
#define LEAST "-@all +evalsha +script|load" SCRIPTS_USE
#define WELL LEAST " +select +client|setname +role +info +config|get"

TEST(redis_faults, a_user_with_few_rights_will_do)
{
    struct redis_server server;
    redis_server_start(&server,
        &(struct redis_options) { .config = "user least on >" CANARY " ~weir:* resetchannels " LEAST "\n"
                                            "user well on >" CANARY " ~weir:* resetchannels " WELL "\n"
                                            "user bare on >" CANARY " ~weir:* resetchannels -@all\n" });
    const struct place place = unix_of(&server);
    check_accepted((struct weir_redis_config) { .user = "least", .password = CANARY }, place.text);
    check_accepted(
        (struct weir_redis_config) { .user = "well", .password = CANARY, .database = 3 }, place.text);
    check_refused((struct weir_redis_config) { .user = "bare", .password = CANARY }, place.text,
        WEIR_REDIS_REFUSED, "NOPERM");
    check_refused((struct weir_redis_config) { .user = "least", .password = CANARY, .database = 3 },
        place.text, WEIR_REDIS_REFUSED, "NOPERM");
    check_refused((struct weir_redis_config) { .database = 16 }, place.text, WEIR_REDIS_REFUSED,
        "DB index is out of range");
    redis_server_stop(&server);
}

/* Commands that a script calls, and those that it calls seldom. */
static void check_rights(const char *script)
{
    static const char call[] = "redis.call('";
    int calls = 0;
    for (const char *at = script; (at = strstr(at, call)) != NULL; calls++) {
        char right[32] = " +";
        size_t length = 2;
        for (at += sizeof call - 1; *at != '\'' && length < sizeof right - 2; at++)
            right[length++] = (char)(*at | 32);
        if (strstr(SCRIPTS_USE " ", strcat(right, " ")) == NULL) CHECK_STR(right, SCRIPTS_USE);
    }
    CHECK(calls > 0);
}

TEST(redis_faults, what_scripts_call_is_among_the_rights)
{
    static char text[32768];
    DIR *scripts = opendir(WEIR_SCRIPTS);
    CHECK(scripts != NULL);
    for (struct dirent *entry; (entry = readdir(scripts)) != NULL;) {
        char path[512];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, WEIR_SCRIPTS "/%s", entry->d_name);
        FILE *file = fopen(path, "r");
        CHECK(file != NULL);
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        if (strcmp(entry->d_name, "probe.lua") != 0) check_rights(text);
    }
    closedir(scripts);
}

TEST(redis_faults, a_replica_is_none_to_ask_until_it_is_promoted)
{
    struct redis_server master, replica;
    struct asker asker = { 0 };
    redis_server_start(&master, NULL);
    redis_server_start(&replica, &(struct redis_options) { .master = master.port });
    CHECK(!redis_server_is_master(&replica));
    check_refused((struct weir_redis_config) { 0 }, unix_of(&replica).text, WEIR_REDIS_ROLE, "master");
    struct weir_link *link =
        link_with((struct weir_redis_config) { .thread = true, .reconnect_max_ns = 50 * WEIR_MS },
            unix_of(&replica).text);
    CHECK_EQ(asker_start(&asker, link, "asker", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
    UNTIL(link, true, stats_of(link).errors[WEIR_REDIS_ROLE] >= 1);
    CHECK_EQ(SEEN(asker.answered), 0);
    redis_server_promote(&replica);
    UNTIL(link, true, SEEN(asker.answered) >= 1);
    asker_stop(&asker);
    weir_redis_close(link, 0);
    redis_server_stop(&replica);
    redis_server_stop(&master);
}

/* Told by the first to be there: nothing to connect to, a file that is no socket, a port that nobody has. */
TEST(redis_faults, a_server_that_is_not_there_is_no_error)
{
    check_refused(
        (struct weir_redis_config) { 0 }, "unix:/nonexistent/redis", WEIR_REDIS_CONNECTION, "No such file");
    check_refused(
        (struct weir_redis_config) { .thread = true }, "unix:/dev/null", WEIR_REDIS_CONNECTION, "refused");
    check_refused(
        (struct weir_redis_config) { .thread = true }, "tcp://127.0.0.1:1", WEIR_REDIS_CONNECTION, "refused");
}

/* ---- one that was there ---- */

struct scene {
    struct redis_server server;
    struct told told;
    struct asker asker;
    struct weir_link *link;
    bool thread;
};

static void begin(struct scene *of, bool thread)
{
    memset(of, 0, sizeof *of);
    of->thread = thread;
    redis_server_start(&of->server, NULL);
    struct weir_share_sink sink = { note, &of->told };
    of->link = link_with(
        (struct weir_redis_config) { .thread = thread, .sink = &sink, .reconnect_max_ns = 10 * WEIR_MS },
        unix_of(&of->server).text);
    CHECK_EQ(asker_start(&of->asker, of->link, "asker", WEIR_LANE_BULK, WEIR_MS), WEIR_E_NONE);
    UNTIL(of->link, thread, SEEN(of->asker.answered) >= 5);
}

static void end(struct scene *of)
{
    asker_stop(&of->asker);
    weir_redis_close(of->link, 0);
    CHECK_EQ(of->asker.gone, 1);
    redis_server_stop(&of->server);
}

/* It works again, soon after it could. */
static void check_recovers(struct scene *of)
{
    int64_t since_ms = await_now_ms();
    uint32_t before = SEEN(of->asker.answered);
    UNTIL(of->link, of->thread, SEEN(of->asker.answered) >= before + 5);
    int64_t took_ms = await_now_ms() - since_ms;
    if (took_ms > 4000)
        check_failed(__FILE__, __LINE__, "recovered after %d ms", (int)took_ms); /* 2 s at most + load */
    CHECK_EQ(stats_of(of->link).state, WEIR_LANE_UP);
}

TEST(redis_faults, a_frozen_server_is_slow_then_given_up_then_back)
{
    for (int thread = 0; thread < 2; thread++) {
        struct scene of;
        begin(&of, thread != 0);
        redis_server_freeze(&of.server);
        CHECK(!redis_server_answers(&of.server, 20));
        int64_t since_ms = await_now_ms();
        UNTIL(of.link, of.thread, SEEN(of.told.downs) >= 1);
        int64_t took_ms = await_now_ms() - since_ms;
        if (took_ms > 1000) check_failed(__FILE__, __LINE__, "given up after %d ms", (int)took_ms);
        CHECK(SEEN(of.told.slows) >= 1);
        CHECK_EQ(SEEN(of.asker.unknown), 1);
        UNTIL(of.link, of.thread, stats_of(of.link).given_up == 1);
        /* A frozen one accepts connections: they must not count as being up. */
        UNTIL(of.link, of.thread, stats_of(of.link).errors[WEIR_REDIS_TIMEOUT] >= 2);
        CHECK_EQ(stats_of(of.link).connected, 1);
        redis_server_thaw(&of.server);
        check_recovers(&of);
        end(&of);
    }
}

TEST(redis_faults, a_killed_server_is_noticed_at_once_and_asked_again_when_it_is_back)
{
    for (int thread = 0; thread < 2; thread++) {
        struct scene of;
        begin(&of, thread != 0);
        redis_server_kill(&of.server);
        CHECK(redis_server_is_away(&of.server));
        int64_t since_ms = await_now_ms();
        UNTIL(of.link, of.thread, SEEN(of.told.downs) >= 1);
        int64_t took_ms = await_now_ms() - since_ms;
        if (took_ms > 200) check_failed(__FILE__, __LINE__, "noticed after %d ms", (int)took_ms);
        UNTIL(of.link, of.thread, stats_of(of.link).errors[WEIR_REDIS_CONNECTION] >= 3);
        redis_server_restart(&of.server);
        check_recovers(&of);
        CHECK_EQ(stats_of(of.link).connected, 2);
        CHECK_EQ(stats_of(of.link).lost, 1);
        end(&of);
    }
}

/* PING would be answered: who is paused for writing is not asked whether it lives, but the like of what it is for. */
TEST(redis_faults, a_paused_server_is_slow_though_it_answers_ping)
{
    struct scene of;
    struct redis_answer answer;
    begin(&of, true);
    redis_ask(&of.server, &answer, "CLIENT", "PAUSE", "100", "WRITE");
    CHECK_STR(answer.text, "OK");
    CHECK(redis_server_answers(&of.server, 50));
    UNTIL(of.link, true, SEEN(of.told.slows) >= 1);
    check_recovers(&of);
    CHECK_EQ(stats_of(of.link).lost, 0);
    UNTIL(of.link, true, SEEN(of.told.ups) >= 2);
    end(&of);
}

/* ---- again and again ---- */

#ifndef ROUNDS
#define ROUNDS 500
#endif

/* The server throws the link out each time; what it uses does not grow. */
TEST(redis_faults, many_connections_leave_nothing)
{
    for (int thread = 0; thread < 2; thread++) {
        struct scene of;
        struct redis_client client;
        struct redis_answer answer;
        begin(&of, thread != 0);
        const struct redis_address address = redis_server_unix(&of.server);
        CHECK(redis_client_open(&client, &address, 5000));
        int descriptors_before = descriptors();
        for (uint64_t round = 1; round <= ROUNDS; round++) {
            redis_client_ask(&client, &answer, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            CHECK_EQ(answer.kind, REDIS_INTEGER);
            UNTIL(of.link, of.thread, stats_of(of.link).connected > round);
        }
        CHECK_EQ(stats_of(of.link).lost, ROUNDS);
        CHECK_EQ(descriptors(), descriptors_before);
        CHECK(threads() <= 1);
        check_recovers(&of);
        redis_client_close(&client);
        end(&of);
    }
}
