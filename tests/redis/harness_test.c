/* The harness itself: every fault that it promises is on when it says so, and off again. */
#include "redis/support/await.h"
#include "redis/support/server.h"
#include "support/test.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct redis_answer answer;

TEST(redis_server, starts_answers_and_leaves_nothing)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    redis_ask(&server, &answer, "SET", "key", "4242");
    CHECK_STR(answer.text, "OK");
    CHECK_EQ(redis_integer(&server, "GET", "key"), 4242);
    CHECK(redis_server_is_master(&server));
    const pid_t process = server.process;
    redis_server_stop(&server);
    CHECK(redis_server_is_away(&server));
    CHECK_EQ(kill(process, 0), -1);
    CHECK_EQ(access(server.directory, F_OK), -1);
}

/* Even a frozen one. */
TEST(redis_server, goes_with_its_program)
{
    struct redis_server *server =
        mmap(NULL, sizeof *server, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(server != MAP_FAILED);
    pid_t program = fork();
    CHECK(program >= 0);
    if (program == 0) {
        redis_server_start(server, NULL);
        redis_server_freeze(server);
        raise(SIGKILL);
    }
    CHECK_EQ(waitpid(program, NULL, 0), program);
    CHECK(server->frozen);
    CHECK(AWAIT(redis_server_is_away(server), 5000));
    CHECK(AWAIT(access(server->directory, F_OK) != 0, 5000));
    munmap(server, sizeof *server);
}

/* A child that lives on has all descriptors of its parent; stop does not wait for it. */
TEST(redis_server, stops_beside_a_forked_child)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (;;) pause();
    }
    redis_server_stop(&server);
    CHECK_EQ(access(server.directory, F_OK), -1);
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

TEST(redis_server, takes_config_and_password)
{
    struct redis_server server;
    struct redis_client client;
    redis_server_start(&server,
        &(struct redis_options) {
            .password = "open sesame", .config = "maxmemory 4mb\nuser weir on >word ~weir:* +get\n" });
    redis_ask(&server, &answer, "CONFIG", "GET", "maxmemory");
    CHECK_STR(answer.text, "maxmemory\n4194304");
    const struct redis_address tcp = redis_server_tcp(&server);
    CHECK(redis_client_open(&client, &tcp, 5000));
    redis_client_ask(&client, &answer, "GET", "weir:a");
    CHECK_EQ(answer.kind, REDIS_ERROR);
    CHECK_EQ(strncmp(answer.text, "NOAUTH ", 7), 0);
    redis_client_ask(&client, &answer, "AUTH", "weir", "word");
    CHECK_STR(answer.text, "OK");
    redis_client_ask(&client, &answer, "GET", "weir:a");
    CHECK_EQ(answer.kind, REDIS_NIL);
    redis_client_ask(&client, &answer, "GET", "a");
    CHECK_EQ(strncmp(answer.text, "NOPERM ", 7), 0);
    redis_client_close(&client);
    redis_server_stop(&server);
}

TEST(redis_server, freezes_and_thaws)
{
    struct redis_server server;
    struct redis_client client;
    redis_server_start(&server, NULL);
    redis_server_freeze(&server);
    CHECK(!redis_server_answers(&server, 50));
    CHECK(!redis_server_is_away(&server)); /* it accepts, and is silent */
    const struct redis_address path = redis_server_unix(&server);
    CHECK(redis_client_open(&client, &path, 20));
    redis_client_ask(&client, &answer, "SET", "late", "1");
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    CHECK_STR(answer.text, "no answer in time");
    redis_server_thaw(&server);
    CHECK(AWAIT(redis_server_keys(&server) == 1, 5000)); /* given up, executed all the same */
    redis_client_close(&client);
    redis_server_freeze(&server);
    redis_server_stop(&server);
}

TEST(redis_server, killed_comes_back_empty_at_its_place)
{
    struct redis_server server;
    redis_server_start(&server, NULL);
    const uint16_t port = server.port;
    CHECK(redis_obeys(&server, "SET", "key", "1"));
    redis_server_kill(&server);
    CHECK(redis_server_is_away(&server));
    redis_ask(&server, &answer, "PING");
    CHECK_EQ(answer.kind, REDIS_NOTHING);
    CHECK_STR(answer.text, "no connection");
    redis_server_restart(&server);
    CHECK_EQ(server.port, port);
    CHECK_EQ(redis_server_keys(&server), 0);
    redis_server_stop(&server);
}

TEST(redis_server, persists_if_told_and_flushes)
{
    struct redis_server server;
    redis_server_start(&server, &(struct redis_options) { .config = "appendonly yes\nappendfsync always\n" });
    CHECK(redis_obeys(&server, "SET", "key", "1"));
    redis_server_restart(&server);
    CHECK_EQ(redis_server_keys(&server), 1);
    redis_server_flush(&server);
    CHECK_EQ(redis_server_keys(&server), 0);
    redis_server_stop(&server);
}

TEST(redis_server, promotes_a_replica)
{
    struct redis_server master, replica;
    redis_server_start(&master, &(struct redis_options) { .password = "same" });
    redis_server_start(&replica, &(struct redis_options) { .password = "same", .master = master.port });
    CHECK(AWAIT(redis_server_is_linked(&replica), 10000));
    CHECK(!redis_server_is_master(&replica));
    CHECK(!redis_obeys(&replica, "SET", "key", "1"));
    CHECK(redis_obeys(&master, "SET", "key", "1"));
    CHECK(AWAIT(redis_server_keys(&replica) == 1, 5000));
    redis_server_kill(&master);
    CHECK(AWAIT(!redis_server_is_linked(&replica), 5000));
    redis_server_promote(&replica);
    CHECK(redis_server_is_master(&replica));
    CHECK(redis_obeys(&replica, "SET", "key", "2"));
    redis_server_restart(&replica);
    CHECK(redis_server_is_master(&replica));
    redis_server_stop(&replica);
    redis_server_stop(&master);
}

TEST(redis_server, jumps_and_stops_its_clock)
{
    enum { SECOND = 1000000 };
    struct redis_server server;
    redis_server_start(&server, &(struct redis_options) { .clock = true });
    CHECK(redis_obeys(&server, "SET", "key", "1", "PX", "30000"));
    const int64_t begin_us = redis_server_clock_us(&server);
    redis_server_set_clock_offset_us(&server, -3600LL * SECOND);
    const int64_t back_us = redis_server_clock_us(&server) - begin_us;
    CHECK(back_us >= -3600LL * SECOND);
    CHECK(back_us < -3600LL * SECOND + 60 * SECOND);
    CHECK(redis_integer(&server, "PTTL", "key") > 3600 * 1000);
    redis_server_set_clock_offset_us(&server, 100LL * SECOND);
    CHECK(redis_server_clock_us(&server) - begin_us >= 100 * SECOND);
    CHECK_EQ(redis_integer(&server, "EXISTS", "key"), 0); /* its 30 s are over */
    redis_server_freeze_clock_us(&server, 1700000000LL * SECOND + 123456);
    CHECK_EQ(redis_server_clock_us(&server), 1700000000LL * SECOND + 123456);
    CHECK_EQ(redis_server_clock_us(&server), 1700000000LL * SECOND + 123456);
    redis_server_set_clock_offset_us(&server, 0);
    CHECK(redis_server_clock_us(&server) >= begin_us);
    redis_server_stop(&server);
}
