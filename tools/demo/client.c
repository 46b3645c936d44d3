#include "client.h"

#include <stdio.h>
#include <sys/socket.h>

static size_t discard(char *data, size_t size, size_t count, void *argument)
{
    (void)data, (void)argument;
    return size * count;
}

/* An origin that is gone cannot count who knocks, so the knocking is counted here. */
static curl_socket_t open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct client *client = argument;
    atomic_fetch_add_explicit(client->connects, 1, memory_order_relaxed);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool client_open(struct client *client, atomic_ulong *connects)
{
    *client = (struct client) { .easy = curl_easy_init(), .connects = connects };
    if (client->easy && !curl_easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L) &&
        !curl_easy_setopt(client->easy, CURLOPT_PROXY, "") /* whatever the environment says */
        && !curl_easy_setopt(client->easy, CURLOPT_WRITEFUNCTION, discard) &&
        !curl_easy_setopt(client->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
        !curl_easy_setopt(client->easy, CURLOPT_OPENSOCKETDATA, client))
        return true;
    client_close(client);
    return false;
}

void client_close(struct client *client)
{
    curl_easy_cleanup(client->easy);
    weir_curl_body_free(&client->body);
    client->easy = NULL;
}

void client_aim(struct client *client, uint16_t port)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    curl_easy_setopt(client->easy, CURLOPT_URL, url);
}

struct answer client_get(struct client *client, long timeout_ms)
{
    long status = 0;
    curl_easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(client->easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    CURLcode error = curl_easy_perform(client->easy);
    if (error == CURLE_OK) curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    return (struct answer) { .error = error, .status = (int)status };
}
