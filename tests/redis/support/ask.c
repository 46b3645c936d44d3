/* What is asked of a server on a second connection. */
#include "redis/support/server.h"

#include <string.h>

enum { ASK_MS = 5000 };

static bool open_as_default(
    const struct redis_server *server, struct redis_client *client, struct redis_answer *answer, int limit_ms)
{
    const struct redis_address address = redis_server_unix(server);
    *answer = (struct redis_answer) { .kind = REDIS_NOTHING, .text = "no connection" };
    if (!redis_client_open(client, &address, limit_ms)) return false;
    if (!server->options.password) return true;
    redis_client_ask(client, answer, "AUTH", server->options.password);
    if (answer->kind == REDIS_STATUS) return true;
    redis_client_close(client);
    return false;
}

static void ask_within(
    const struct redis_server *server, struct redis_answer *answer, const char *const *words, int limit_ms)
{
    struct redis_client client;
    if (!open_as_default(server, &client, answer, limit_ms)) return;
    redis_client_ask_words(&client, answer, words);
    redis_client_close(&client);
}

void redis_ask_words(const struct redis_server *server, struct redis_answer *answer, const char *const *words)
{
    ask_within(server, answer, words, ASK_MS);
}

int64_t redis_integer_words(const struct redis_server *server, const char *const *words)
{
    struct redis_answer answer;
    redis_ask_words(server, &answer, words);
    if (answer.kind == REDIS_NOTHING || answer.kind == REDIS_ERROR)
        redis_die("%s: %s", words[0], answer.text);
    return answer.integer;
}

bool redis_obeys_words(const struct redis_server *server, const char *const *words)
{
    struct redis_answer answer;
    redis_ask_words(server, &answer, words);
    return answer.kind != REDIS_NOTHING && answer.kind != REDIS_ERROR;
}

bool redis_server_answers(const struct redis_server *server, int within_ms)
{
    struct redis_answer answer;
    ask_within(server, &answer, (const char *const[]) { "PING", NULL }, within_ms);
    return strcmp(answer.text, "PONG") == 0;
}

bool redis_server_is_away(const struct redis_server *server)
{
    struct redis_client client;
    const struct redis_address ways[] = { redis_server_unix(server), redis_server_tcp(server) };
    for (int i = 0; i < 2; i++) {
        if (redis_client_open(&client, &ways[i], ASK_MS)) {
            redis_client_close(&client);
            return false;
        }
    }
    return true;
}

/* ROLE of a master: master, offset, replicas; of a replica: slave, address, port, state of the link, offset. */
bool redis_server_is_master(const struct redis_server *server)
{
    struct redis_answer answer;
    redis_ask(server, &answer, "ROLE");
    return strncmp(answer.text, "master\n", 7) == 0;
}

bool redis_server_is_linked(const struct redis_server *server)
{
    struct redis_answer answer;
    redis_ask(server, &answer, "ROLE");
    return strncmp(answer.text, "slave\n", 6) == 0 && strstr(answer.text, "\nconnected\n") != NULL;
}

uint64_t redis_server_keys(const struct redis_server *server)
{
    return (uint64_t)redis_integer(server, "DBSIZE");
}

int64_t redis_server_clock_us(const struct redis_server *server)
{
    struct redis_answer answer;
    redis_ask(server, &answer, "TIME");
    if (answer.kind != REDIS_ARRAY || answer.count != 2) redis_die("TIME: %s", answer.text);
    return answer.integers[0] * 1000000 + answer.integers[1];
}
