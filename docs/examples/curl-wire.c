/* A call under the context of a request: each attempt tells the callee what is left, and goes on with the trace. */
#include "expect.h"
#include "http-server.h"

#include <string.h>
#include <sys/wait.h>
#include <weir/curl.h>
#include <weir/weir.h>

static struct weir_outcome ask_stock(const struct weir_pipeline *stock, CURL *easy)
{
    return weir_curl_perform(stock,
        WEIR_CONFIG(weir_curl_options, .wire = WEIR_CONFIG(weir_wire_out, .slack_ns = 5 * WEIR_MS)), easy);
}

/* The request's headers that went out, as libcurl tells them. */
static int keep_sent(CURL *easy, curl_infotype type, char *data, size_t size, void *sent)
{
    (void)easy;
    if (type == CURLINFO_HEADER_OUT && size < 4096) memcpy(sent, data, size);
    return 0;
}

int main(void)
{
    const int statuses[] = { 200 };
    char url[64], sent[4096] = { 0 };
    pid_t server = http_server_start(statuses, 1, 1, url);
    struct weir_pipeline *stock;
    CURL *easy = curl_easy_init();
    EXPECT(easy != NULL && weir_pipeline_standard(NULL, &stock) == WEIR_E_NONE);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, keep_sent);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, sent);

    /* Of the 300 ms that the request has, its callee is told less than that, whatever the pipeline would grant. */
    struct weir_context request;
    weir_context_child(&request, NULL, weir_now(WEIR_TIMING_PRECISE) + 300 * WEIR_MS, NULL);
    weir_context_enter(&request);
    struct weir_outcome outcome = ask_stock(stock, easy);
    weir_context_leave(&request);
    const char *told = strstr(sent, "x-envoy-expected-rq-timeout-ms: ");
    EXPECT(outcome.status == WEIR_OK && told != NULL);
    EXPECT(strtol(strchr(told, ' '), NULL, 10) <= 295);

    curl_easy_cleanup(easy);
    weir_pipeline_destroy(stock);
    EXPECT(waitpid(server, NULL, 0) == server);
    return 0;
}
