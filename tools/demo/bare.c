/* The call as it is often written: a timeout chosen once and generously (libcurl itself has none),
 * and a loop that tries again at once. Nobody meant harm: each line is reasonable alone. */
#include "sides.h"

enum { TIMEOUT_MS = 2000, ATTEMPTS = 3 };

const char bare_footer[] =
    "bare:    curl_easy_perform, a fixed timeout of 2 s, up to 3 attempts, no back-off, no budget.";

enum answered bare_call(struct client *client, struct arrival arrival, void *argument)
{
    (void)arrival, (void)argument;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct answer answer = client_get(client, TIMEOUT_MS);
        if (answer.error == CURLE_OK && answer.status < 500) return answer.status == 200 ? FRESH : IN_VAIN;
    }
    return IN_VAIN;
}
