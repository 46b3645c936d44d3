/* Each function does one thing to the server, or says whether it is so; the table at the end puts them together. */
#include "redis/matrix.h"
#include "redis/support/await.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct matrix_place matrix;

static int64_t obey_words(const char *const *words)
{
    static struct redis_answer answer;
    CHECK(redis_client_send_words(&matrix.second, words));
    redis_client_await(&matrix.second, &answer);
    CHECK(answer.kind != REDIS_ERROR && answer.kind != REDIS_NOTHING);
    return answer.integer;
}
#define obey(...) obey_words((const char *const[]) { __VA_ARGS__, NULL })

static bool says_error(const char *beginning)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "SET", "probe", "x");
    return answer.kind == REDIS_ERROR && strncmp(answer.text, beginning, strlen(beginning)) == 0;
}

static void nothing(void)
{
}

static bool always(void)
{
    return true;
}

/* How many the fault has hit, where it is over when it has been obeyed; or of what there was before it. */
static uint64_t hit;

static bool has_hit(void)
{
    return hit > 0;
}
static bool has_reconnected(void)
{
    return AWAIT(proxy_counts(matrix.proxy).connections > hit, MATRIX_WITHIN_MS);
}

static void freeze(void)
{
    redis_server_freeze(&matrix.server);
}
static void thaw(void)
{
    redis_server_thaw(&matrix.server);
}
static bool is_silent(void)
{
    return !redis_server_answers(&matrix.server, 50);
}
static void kill_server(void)
{
    redis_server_kill(&matrix.server);
}
static bool is_away(void)
{
    return redis_server_is_away(&matrix.server);
}
static void restart(void)
{
    redis_server_restart(&matrix.server);
}
static void flush(void)
{
    hit = (uint64_t)obey("EVAL",
        "local keys = redis.call('DBSIZE') redis.call('FLUSHALL') return keys - redis.call('DBSIZE')", "0");
}
static uint64_t unknown_scripts(void)
{
    static const char count[] = "errorstat_NOSCRIPT:count=";
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "INFO", "errorstats");
    const char *at = strstr(answer.text, count);
    return at == NULL ? 0 : strtoull(at + sizeof count - 1, NULL, 10);
}
static void flush_scripts(void)
{
    hit = unknown_scripts();
    obey("SCRIPT", "FLUSH");
}
static bool lacks_scripts(void)
{
    return AWAIT(unknown_scripts() > hit, MATRIX_WITHIN_MS);
}
/* It has none of ours. */
static void flush_functions(void)
{
    obey("FUNCTION", "LOAD", "#!lua name=any\nredis.register_function('any', function() return 1 end)");
    obey("FUNCTION", "FLUSH");
}
static bool has_no_function(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "FUNCTION", "LIST");
    return answer.kind == REDIS_ARRAY && answer.count == 0;
}
static void each_key(const char *does)
{
    char script[256];
    snprintf(script, sizeof script,
        "local hit = 0 for _, key in ipairs(redis.call('KEYS', 'weir:*')) do %s hit = hit + 1 end return hit",
        does);
    hit = (uint64_t)obey("EVAL", script, "0");
}
static void delete_keys(void)
{
    each_key("redis.call('DEL', key)");
}
/* The second key of each object only: the first says what it holds. */
static void delete_halves(void)
{
    each_key("if key:sub(-1) == 'm' then redis.call('DEL', key) end");
}
static void be_lists(void)
{
    each_key("redis.call('DEL', key) redis.call('RPUSH', key, 'mine')");
}
static bool are_lists(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "TYPE", "weir:{default:share}:r");
    return strcmp(answer.text, "list") == 0;
}
static void pause_all(void)
{
    obey("CLIENT", "PAUSE", "1500", "ALL");
}
static void pause_writes(void)
{
    obey("CLIENT", "PAUSE", "1500", "WRITE");
}
/* Who looks at PING thinks that all is well. */
static bool answers_ping(void)
{
    return redis_server_answers(&matrix.server, 500);
}
static void await_writes(void)
{
    CHECK(AWAIT(redis_obeys(&matrix.server, "SET", "probe", "x"), 8000));
}
static void loop(void)
{
    CHECK(redis_client_send(&matrix.second, "EVAL", "while true do end", "0"));
}
static bool is_busy(void)
{
    return AWAIT(says_error("BUSY"), 3000);
}
static void end_loop(void)
{
    CHECK(redis_obeys(&matrix.server, "SCRIPT", "KILL"));
}
static void kill_clients(void)
{
    hit = (uint64_t)obey("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
}
static void be_replica(void)
{
    obey("REPLICAOF", "127.0.0.1", "1");
}
static bool is_read_only(void)
{
    return says_error("READONLY");
}
static void be_master(void)
{
    obey("REPLICAOF", "NO", "ONE");
}
static void be_full(void)
{
    obey("CONFIG", "SET", "maxmemory", "1");
}
static bool is_full(void)
{
    return says_error("OOM");
}
static void have_room(void)
{
    obey("CONFIG", "SET", "maxmemory", "0");
}
static void evict(void)
{
    obey("CONFIG", "SET", "maxmemory-policy", "allkeys-random");
    be_full();
}
static bool has_evicted(void)
{
    return AWAIT(is_full(), 3000) && redis_server_keys(&matrix.server) == 0;
}
static void evict_no_more(void)
{
    have_room();
    obey("CONFIG", "SET", "maxmemory-policy", "noeviction");
}
/* A snapshot cannot be renamed to what is a directory. */
static const char *snapshot(void)
{
    static char path[sizeof matrix.server.directory + 16];
    snprintf(path, sizeof path, "%s/blocked", matrix.server.directory);
    return path;
}
static void fail_snapshots(void)
{
    CHECK_EQ(mkdir(snapshot(), 0700), 0);
    obey("CONFIG", "SET", "save", "3600 1000000");
    obey("BGSAVE");
}
static bool is_misconfigured(void)
{
    return AWAIT(says_error("MISCONF"), 5000);
}
static void need_no_snapshots(void)
{
    CHECK_EQ(rmdir(snapshot()), 0);
    obey("CONFIG", "SET", "save", "");
}
/* Of the link's user. A connection that is there stays logged in. */
static void change_user(const char *rule)
{
    obey("ACL", "SETUSER", MATRIX_USER, rule);
    obey("CLIENT", "KILL", "USER", MATRIX_USER);
}
static void lock_user_out(void)
{
    change_user("off");
}
static bool is_locked_out(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "AUTH", MATRIX_USER, MATRIX_PASSWORD);
    return answer.kind == REDIS_ERROR && strncmp(answer.text, "WRONGPASS", 9) == 0;
}
static void let_user_in(void)
{
    obey("ACL", "SETUSER", MATRIX_USER, "on");
}
static void forbid_scripts(void)
{
    obey("ACL", "SETUSER", MATRIX_USER, "-evalsha");
}
static bool may_not_call_scripts(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "ACL", "DRYRUN", MATRIX_USER, "EVALSHA", "x", "0");
    return strstr(answer.text, "no permissions") != NULL;
}
static void allow_scripts(void)
{
    obey("ACL", "SETUSER", MATRIX_USER, "+evalsha");
}
static void have_too_many(void)
{
    obey("CONFIG", "SET", "maxclients", "1");
    kill_clients();
}
static bool has_too_many(void)
{
    static struct redis_answer answer;
    redis_ask(&matrix.server, &answer, "PING");
    return answer.kind == REDIS_ERROR || answer.kind == REDIS_NOTHING;
}
static void have_few(void)
{
    obey("CONFIG", "SET", "maxclients", "1000");
}
static void clock_ahead(void)
{
    redis_server_set_clock_offset_us(&matrix.server, 40000000);
}
static bool is_ahead(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return redis_server_clock_us(&matrix.server) > (int64_t)time.tv_sec * 1000000 + 30000000;
}
static bool is_behind(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return redis_server_clock_us(&matrix.server) < (int64_t)time.tv_sec * 1000000 - INT64_C(3000000000);
}
static void clock_right(void)
{
    redis_server_set_clock_offset_us(&matrix.server, 0);
}
static void clock_behind(void)
{
    redis_server_set_clock_offset_us(&matrix.server, INT64_C(-3600000000));
}

/* Of the way: the proxy's log says that it is on, by what does not come through. */
static void way(struct proxy_faults faults)
{
    proxy_set(matrix.proxy, &faults);
}
static void way_is_well(void)
{
    proxy_set(matrix.proxy, NULL);
}
static void slow_replies(void)
{
    way((struct proxy_faults) { .replies.delay_ms = 100 });
}
/* How many times PING is answered on the way, of so many that are waited for; and after how many ms. */
static int ping_on_the_way(int most, int64_t *took_ms)
{
    static struct redis_answer answer;
    struct redis_client client;
    const struct redis_address address = proxy_address(matrix.proxy);
    int64_t began_ms = await_now_ms();
    int answers = 0;
    CHECK(redis_client_open(&client, &address, 1000));
    CHECK(redis_client_send(&client, "PING"));
    for (int i = 0; i < most; i++) {
        redis_client_await(&client, &answer);
        *took_ms = await_now_ms() - began_ms;
        if (answer.kind == REDIS_NOTHING) break;
        answers++;
    }
    redis_client_close(&client);
    return answers;
}
static bool is_slow(void)
{
    int64_t took_ms;
    return ping_on_the_way(1, &took_ms) == 1 && took_ms >= 100;
}
static bool is_cut(void)
{
    int64_t took_ms;
    return ping_on_the_way(2, &took_ms) < 2;
}
static bool is_doubled(void)
{
    int64_t took_ms;
    return ping_on_the_way(2, &took_ms) == 2;
}
static void very_slow_replies(void)
{
    way((struct proxy_faults) { .replies.delay_ms = 400 });
}
static void held_requests(void)
{
    way((struct proxy_faults) { .requests.hold = true });
}
static bool holds_requests(void)
{
    int64_t took_ms;
    return ping_on_the_way(1, &took_ms) == 0;
}
static void half_close(void)
{
    hit = proxy_counts(matrix.proxy).connections;
    proxy_break(matrix.proxy, PROXY_HALF_CLOSES);
}
static void lost_replies(void)
{
    way((struct proxy_faults) { .replies.drop = true });
}
static bool loses_replies(void)
{
    return AWAIT(proxy_counts(matrix.proxy).dropped_replies != 0, 3000);
}
static void lost_requests(void)
{
    way((struct proxy_faults) { .requests.drop = true });
}
static bool loses_requests(void)
{
    return AWAIT(proxy_counts(matrix.proxy).dropped_requests != 0, 3000);
}
static void refusals(void)
{
    way((struct proxy_faults) { .refuse = true });
    proxy_break(matrix.proxy, PROXY_RESETS);
}
static bool refuses(void)
{
    return AWAIT(proxy_counts(matrix.proxy).refused != 0, 3000);
}
static void cut_replies(void)
{
    way((struct proxy_faults) { .replies = { .end = PROXY_RESETS, .after = 10 } });
}
/* Of each connection: what it asked has run, and nobody is told. */
static void reset_before_replies(void)
{
    way((struct proxy_faults) { .replies.end = PROXY_RESETS });
}
static void dribbled_replies(void)
{
    way((struct proxy_faults) { .replies.trickle_ms = 20 });
}
static void doubled_replies(void)
{
    way((struct proxy_faults) { .replies.twice = true });
}
static void garbage(void)
{
    hit = proxy_counts(matrix.proxy).connections;
    proxy_inject(matrix.proxy, "garbage\r\n", 9);
}
/* To a question that is under way: the server itself is frozen, and says nothing to it. */
static bool passes_one_more(void)
{
    return proxy_counts(matrix.proxy).requests > hit;
}
static bool is_told(void)
{
    for (int lane = 0; lane < WEIR_LANES; lane++) {
        if (strstr(matrix_stats((enum weir_lane)lane).error, " are told") != NULL) return true;
    }
    return false;
}
static bool is_told_secrets(void)
{
    static const char error[] = "-ERR " MATRIX_USER " and " MATRIX_PASSWORD " are told\r\n";
    hit = proxy_counts(matrix.proxy).requests;
    if (!AWAIT(passes_one_more(), MATRIX_WITHIN_MS)) return false;
    proxy_inject(matrix.proxy, error, sizeof error - 1);
    return AWAIT(is_told(), MATRIX_WITHIN_MS);
}

const struct matrix_row matrix_rows[] = {
    { "nothing", nothing, always, nothing, GOES_ON, false },
    { "SIGSTOP", freeze, is_silent, thaw, AWAY, false },
    { "SIGKILL, started empty", kill_server, is_away, restart, AWAY, true },
    { "FLUSHALL", flush, has_hit, nothing, GOES_ON, false },
    { "DEL of every key", delete_keys, has_hit, nothing, GOES_ON, false },
    { "DEL of the keys of ends", delete_halves, has_hit, nothing, GOES_ON, false },
    { "SCRIPT FLUSH", flush_scripts, lacks_scripts, nothing, GOES_ON, true },
    { "FUNCTION FLUSH", flush_functions, has_no_function, nothing, GOES_ON, false },
    { "WRONGTYPE", be_lists, are_lists, delete_keys, AWAY, false },
    { "CLIENT PAUSE ALL", pause_all, is_silent, await_writes, AWAY, false },
    { "CLIENT PAUSE WRITE", pause_writes, answers_ping, await_writes, AWAY, false },
    { "a busy script", loop, is_busy, end_loop, AWAY, false },
    { "CLIENT KILL", kill_clients, has_hit, nothing, GOES_ON, false },
    { "READONLY", be_replica, is_read_only, be_master, AWAY, false },
    { "OOM", be_full, is_full, have_room, AWAY, false },
    { "evicted, then OOM", evict, has_evicted, evict_no_more, AWAY, false },
    { "MISCONF", fail_snapshots, is_misconfigured, need_no_snapshots, AWAY, false },
    { "WRONGPASS", lock_user_out, is_locked_out, let_user_in, AWAY, false },
    { "NOPERM", forbid_scripts, may_not_call_scripts, allow_scripts, AWAY, false },
    { "too many clients", have_too_many, has_too_many, have_few, AWAY, false },
    { "clock 40 s ahead", clock_ahead, is_ahead, clock_right, GOES_ON, false },
    { "clock 1 h behind", clock_behind, is_behind, clock_right, GOES_ON, false },
    { "replies 100 ms late", slow_replies, is_slow, way_is_well, GOES_ON, false },
    { "replies 400 ms late", very_slow_replies, is_slow, way_is_well, AWAY, false },
    { "replies lost", lost_replies, loses_replies, way_is_well, AWAY, false },
    { "requests lost", lost_requests, loses_requests, way_is_well, AWAY, false },
    { "requests held", held_requests, holds_requests, way_is_well, AWAY, false },
    { "connections reset", refusals, refuses, way_is_well, AWAY, false },
    { "replies end", half_close, has_reconnected, nothing, GOES_ON, false },
    { "replies cut", cut_replies, is_cut, way_is_well, AWAY, false },
    { "resets before replies", reset_before_replies, is_cut, way_is_well, AWAY, false },
    { "replies dribbled", dribbled_replies, is_slow, way_is_well, AWAY, false },
    { "replies doubled", doubled_replies, is_doubled, way_is_well, AWAY, false },
    { "an error of secrets", freeze, is_told_secrets, thaw, AWAY, false },
    { "garbage", garbage, has_reconnected, nothing, GOES_ON, false },
};
const size_t matrix_row_count = sizeof matrix_rows / sizeof *matrix_rows;
