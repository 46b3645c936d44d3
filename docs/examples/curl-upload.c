/* A payment that is sent by a read function: tried again, because it can be rewound, and because the server knows it
 * again by its key. */
#include "expect.h"
#include "http-server.h"

#include <string.h>
#include <sys/wait.h>
#include <weir/curl.h>
#include <weir/weir.h>

struct payment {
    const char *text;
    size_t sent;
};

static size_t read_payment(char *buffer, size_t size, size_t count, void *argument)
{
    struct payment *payment = argument;
    size_t left = strlen(payment->text) - payment->sent;
    if (left > size * count) left = size * count;
    memcpy(buffer, payment->text + payment->sent, left);
    payment->sent += left;
    return left;
}

static int rewind_payment(void *argument)
{
    struct payment *payment = argument;
    payment->sent = 0;
    return 0;
}

int main(void)
{
    const int statuses[] = { 500, 503, 200 };
    char url[64];
    pid_t server = http_server_start(statuses, 3, 3, url);
    struct payment payment = { "{ \"to\": \"4242\", \"cents\": 100 }", 0 };
    struct weir_curl_body body = { 0 };
    struct weir_pipeline *bank;
    EXPECT(weir_pipeline_standard(NULL, &bank) == WEIR_E_NONE);
    CURL *easy = curl_easy_init();
    EXPECT(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(payment.text));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_payment);
    curl_easy_setopt(easy, CURLOPT_READDATA, &payment);
    struct weir_outcome outcome = weir_curl_perform(bank,
        WEIR_CONFIG(weir_curl_options, .body = &body, .rewind = rewind_payment, .argument = &payment,
            .idempotency_key = true, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
        easy);
    printf("%s after %d attempts\n", weir_outcome_text((char[160]) { 0 }, 160, bank, outcome),
        (int)weir_curl_stats().attempts);
    EXPECT(outcome.status == WEIR_OK && weir_curl_stats().attempts == 3);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(bank);
    EXPECT(waitpid(server, NULL, 0) == server);
    return 0;
}
