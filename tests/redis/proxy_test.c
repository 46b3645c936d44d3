/* The chaos proxy: each fault does what it says, to what it says, and is over when it is off. */
#include "redis/support/proxy.h"

#include "redis/support/await.h"
#include "redis/support/server.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static struct redis_server server;
static struct proxy *proxy;
static struct redis_client client;
static struct redis_answer answer;

static void open_client(int limit_ms)
{
    const struct redis_address address = proxy_address(proxy);
    CHECK(redis_client_open(&client, &address, limit_ms));
}

static void begin(void)
{
    redis_server_start(&server, NULL);
    const struct redis_address address = redis_server_unix(&server);
    proxy = proxy_start(&address, NULL);
    open_client(5000);
    redis_client_ask(&client, &answer, "PING"); /* the connection is through */
    CHECK_STR(answer.text, "PONG");
}

static void end(void)
{
    redis_client_close(&client);
    proxy_stop(proxy);
    redis_server_stop(&server);
}

static void reopen(int limit_ms)
{
    redis_client_close(&client);
    open_client(limit_ms);
}

/* A reset may come while the client still connects, or after. */
static bool is_refused(void)
{
    const struct redis_address address = proxy_address(proxy);
    redis_client_close(&client);
    if (!redis_client_open(&client, &address, 5000)) return true;
    redis_client_await(&client, &answer);
    return strcmp(answer.text, "Connection reset by peer") == 0;
}

TEST(redis_proxy, passes_counts_and_logs)
{
    struct proxy_command command;
    begin();
    redis_client_ask(&client, &answer, "SET", "key", "two words");
    CHECK_STR(answer.text, "OK");
    for (int i = 0; i < 2; i++) redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_EQ(answer.integer, 2);
    const struct proxy_counts counts = proxy_counts(proxy);
    CHECK_EQ(counts.connections, 1);
    CHECK_EQ(counts.open, 1);
    CHECK_EQ(counts.requests, 4);
    CHECK_EQ(counts.replies, 4);
    CHECK_EQ(counts.request_bytes, 14 + 37 + 2 * 21);
    CHECK_EQ(counts.reply_bytes, 7 + 5 + 4 + 4);
    CHECK_EQ(proxy_commands(proxy), 4);
    CHECK(proxy_command(proxy, 1, &command));
    CHECK_STR(command.text, "SET key two words");
    CHECK_EQ(command.connection, 1);
    CHECK(!proxy_command(proxy, 4, &command));
    CHECK_EQ(proxy_count(proxy, "INCR "), 2);
    CHECK_EQ(proxy_repeated(proxy, "INCR "), 1);
    CHECK_EQ(proxy_repeated(proxy, "SET "), 0);
    end();
}

TEST(redis_proxy, finds_commands_however_they_come)
{
    static const char three[] =
        "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\n";
    begin();
    CHECK(redis_client_send_bytes(&client, three, sizeof three - 1));
    for (int i = 0; i < 3; i++) redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "PONG");
    for (size_t i = 0; i < sizeof three - 1; i++) CHECK(redis_client_send_bytes(&client, three + i, 1));
    for (int i = 0; i < 3; i++) redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "PONG");
    CHECK_EQ(proxy_commands(proxy), 7);
    CHECK_EQ(proxy_counts(proxy).replies, 7);
    end();
}

TEST(redis_proxy, passes_what_is_no_protocol)
{
    begin();
    CHECK(redis_client_send_bytes(&client, "PING\r\n", 6)); /* inline, which only a human types */
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "PONG");
    CHECK_EQ(proxy_commands(proxy), 1);
    CHECK_EQ(proxy_counts(proxy).request_bytes, 14 + 6);
    end();
}

TEST(redis_proxy, delays_each_direction)
{
    begin();
    const struct proxy_faults faults[] = { { .requests.delay_ms = 60 }, { .replies.delay_ms = 60 } };
    for (int i = 0; i < 2; i++) {
        proxy_set(proxy, &faults[i]);
        int64_t begin_ms = await_now_ms();
        redis_client_ask(&client, &answer, "PING");
        CHECK_STR(answer.text, "PONG");
        CHECK(await_now_ms() - begin_ms >= 59);
    }
    end();
}

TEST(redis_proxy, trickles)
{
    begin();
    proxy_set(proxy, &(struct proxy_faults) { .replies.trickle_ms = 10 });
    int64_t begin_ms = await_now_ms();
    redis_client_ask(&client, &answer, "PING");
    CHECK_STR(answer.text, "PONG");
    CHECK(await_now_ms() - begin_ms >= 59); /* +PONG\r\n: six pauses */
    end();
}

TEST(redis_proxy, holds_until_it_lets_go)
{
    begin();
    reopen(50);
    proxy_set(proxy, &(struct proxy_faults) { .requests.hold = true });
    redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_STR(answer.text, "no answer in time");
    CHECK_EQ(redis_server_keys(&server), 0);
    proxy_set(proxy, &(struct proxy_faults) { .replies.hold = true });
    CHECK(AWAIT(redis_server_keys(&server) == 1, 5000));
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "no answer in time");
    proxy_set(proxy, NULL);
    client.limit_ms = 5000;
    redis_client_await(&client, &answer);
    CHECK_EQ(answer.integer, 1);
    end();
}

TEST(redis_proxy, drops_requests_and_leaves_no_hole)
{
    begin();
    reopen(50);
    proxy_set(proxy, &(struct proxy_faults) { .requests.drop = true });
    redis_client_ask(&client, &answer, "SET", "key", "1");
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    proxy_set(proxy, NULL);
    redis_client_ask(&client, &answer, "SET", "key", "2");
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    CHECK_EQ(proxy_counts(proxy).dropped_requests, 2);
    CHECK_EQ(proxy_count(proxy, "SET"), 0);
    CHECK_EQ(redis_server_keys(&server), 0);
    reopen(5000);
    redis_client_ask(&client, &answer, "SET", "key", "3");
    CHECK_STR(answer.text, "OK");
    end();
}

TEST(redis_proxy, drops_replies_of_what_is_done)
{
    begin();
    reopen(50);
    proxy_set(proxy, &(struct proxy_faults) { .replies.drop = true });
    redis_client_ask(&client, &answer, "SET", "key", "1");
    CHECK_STR(answer.text, "no answer in time");
    CHECK(AWAIT(proxy_counts(proxy).dropped_replies == 1, 5000));
    CHECK_EQ(redis_server_keys(&server), 1);
    CHECK_EQ(proxy_count(proxy, "SET"), 1);
    proxy_set(proxy, NULL);
    redis_client_ask(&client, &answer, "PING");
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    end();
}

TEST(redis_proxy, ends_after_so_many_bytes)
{
    begin();
    proxy_set(proxy, &(struct proxy_faults) { .replies = { .end = PROXY_CLOSES, .after = 9 } });
    redis_client_ask(&client, &answer, "PING");
    CHECK_STR(answer.text, "PONG");
    redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_STR(answer.text, "closed");
    CHECK_EQ(redis_integer(&server, "GET", "n"), 1);
    CHECK_EQ(proxy_counts(proxy).reply_bytes, 7 + 9);
    CHECK_EQ(proxy_counts(proxy).replies, 2);
    CHECK_EQ(proxy_counts(proxy).open, 0);

    proxy_set(proxy, &(struct proxy_faults) { .replies = { .end = PROXY_RESETS, .after = 0 } });
    reopen(5000);
    redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_STR(answer.text, "Connection reset by peer");
    CHECK_EQ(redis_integer(&server, "GET", "n"), 2);

    proxy_set(proxy, &(struct proxy_faults) { .requests = { .end = PROXY_CLOSES, .after = 20 } });
    reopen(5000);
    redis_client_ask(&client, &answer, "INCR", "n"); /* all but its last byte */
    CHECK_STR(answer.text, "closed");
    CHECK_EQ(redis_integer(&server, "GET", "n"), 2);
    end();
}

TEST(redis_proxy, half_closes)
{
    begin();
    proxy_set(proxy, &(struct proxy_faults) { .replies = { .end = PROXY_HALF_CLOSES, .after = 0 } });
    redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_STR(answer.text, "closed");
    CHECK(redis_client_send(&client, "INCR", "n")); /* this direction goes on */
    CHECK(AWAIT(redis_integer(&server, "GET", "n") == 2, 5000));
    proxy_set(proxy, &(struct proxy_faults) { .requests = { .end = PROXY_HALF_CLOSES, .after = 0 } });
    reopen(5000);
    redis_client_ask(&client, &answer, "INCR", "n"); /* the server sees an end, and ends */
    CHECK_STR(answer.text, "closed");
    CHECK_EQ(redis_integer(&server, "GET", "n"), 2);
    end();
}

TEST(redis_proxy, doubles)
{
    begin();
    proxy_set(proxy, &(struct proxy_faults) { .replies.twice = true });
    redis_client_ask(&client, &answer, "INCR", "n");
    CHECK_EQ(answer.integer, 1);
    redis_client_await(&client, &answer);
    CHECK_EQ(answer.integer, 1);
    proxy_set(proxy, &(struct proxy_faults) { .requests.twice = true });
    redis_client_ask(&client, &answer, "INCR", "n");
    redis_client_await(&client, &answer);
    CHECK_EQ(answer.integer, 3);
    CHECK_EQ(proxy_repeated(proxy, "INCR"), 2);
    end();
}

TEST(redis_proxy, injects_breaks_and_refuses)
{
    begin();
    proxy_inject(proxy, "-NONSENSE\r\n", 11);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "NONSENSE");
    proxy_break(proxy, PROXY_CLOSES);
    CHECK_EQ(proxy_counts(proxy).open, 0);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "closed");
    reopen(5000);
    redis_client_ask(&client, &answer, "PING");
    proxy_break(proxy, PROXY_RESETS);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "Connection reset by peer");
    reopen(5000);
    redis_client_ask(&client, &answer, "PING");
    proxy_break(proxy, PROXY_HALF_CLOSES);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "closed");
    proxy_set(proxy, &(struct proxy_faults) { .refuse = true });
    CHECK(is_refused());
    CHECK_EQ(proxy_counts(proxy).refused, 1);
    end();
}

/* What a server leaves unread makes its end a reset, and so it comes through. */
TEST(redis_proxy, passes_a_reset_on)
{
    begin();
    const struct redis_address address = redis_server_tcp(&server);
    proxy_point(proxy, &address);
    reopen(5000);
    redis_client_ask(&client, &answer, "PING");
    redis_server_freeze(&server);
    CHECK(redis_client_send(&client, "PING"));
    CHECK(AWAIT(proxy_counts(proxy).requests == 3, 5000));
    redis_server_kill(&server);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "Connection reset by peer");
    CHECK(!redis_client_send(&client, "PING")); /* and no SIGPIPE */
    end();
}

TEST(redis_proxy, tells_that_the_server_is_away)
{
    begin();
    redis_server_kill(&server);
    redis_client_await(&client, &answer);
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    CHECK(strcmp(answer.text, "no answer in time") != 0);
    CHECK(is_refused());
    redis_server_restart(&server);
    reopen(5000);
    redis_client_ask(&client, &answer, "PING");
    CHECK_STR(answer.text, "PONG");
    CHECK(AWAIT(proxy_counts(proxy).open == 1, 5000));
    end();
}

/* A fail-over that loses what was acknowledged: the replica's link goes through a proxy too. */
TEST(redis_proxy, loses_writes_in_a_fail_over)
{
    struct redis_server replica;
    begin();
    const struct redis_address master = redis_server_tcp(&server);
    struct proxy *link = proxy_start(&master, NULL);
    redis_server_start(&replica, &(struct redis_options) { .master = proxy_address(link).port });
    CHECK(AWAIT(redis_server_is_linked(&replica), 10000));
    redis_client_ask(&client, &answer, "SET", "kept", "1");
    CHECK(AWAIT(redis_server_keys(&replica) == 1, 5000));
    proxy_set(link, &(struct proxy_faults) { .requests.drop = true, .replies.drop = true });
    redis_client_ask(&client, &answer, "SET", "lost", "1");
    CHECK_STR(answer.text, "OK");
    redis_server_kill(&server);
    redis_server_promote(&replica);
    const struct redis_address other = redis_server_unix(&replica);
    proxy_point(proxy, &other);
    reopen(5000);
    redis_client_ask(&client, &answer, "EXISTS", "kept", "lost");
    CHECK_EQ(answer.integer, 1);
    redis_client_ask(&client, &answer, "SET", "lost", "2", "NX");
    CHECK_STR(answer.text, "OK");
    redis_server_stop(&replica);
    proxy_stop(link);
    end();
}

TEST(redis_proxy, listens_on_a_unix_socket_too)
{
    char path[128];
    begin();
    snprintf(path, sizeof path, "%s/proxy", server.directory);
    const struct redis_address address = redis_server_tcp(&server);
    struct proxy *local = proxy_start(&address, path);
    redis_client_close(&client);
    const struct redis_address there = proxy_address(local);
    CHECK(redis_client_open(&client, &there, 5000));
    redis_client_ask(&client, &answer, "PING");
    CHECK_STR(answer.text, "PONG");
    proxy_stop(local);
    redis_client_await(&client, &answer);
    CHECK_STR(answer.text, "closed");
    end();
}
