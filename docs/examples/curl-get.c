#include <stdio.h>
#include <weir/curl.h>
#include <weir/weir.h>

int main(int count, char **arguments)
{
    CURL *easy = curl_easy_init();
    struct weir_pipeline *bank;
    struct weir_curl_body body = { 0 };
    if (easy == NULL || weir_pipeline_standard(NULL, &bank) != WEIR_E_NONE) return 1;
    curl_easy_setopt(easy, CURLOPT_URL, count > 1 ? arguments[1] : "https://bank.example/balance");
    struct weir_outcome outcome = weir_curl_perform(bank,
        WEIR_CONFIG(
            weir_curl_options, .body = &body, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
        easy);
    puts(weir_outcome_text((char[160]) { 0 }, 160, bank, outcome));
    if (outcome.status == WEIR_OK) puts(body.data);
    weir_curl_body_free(&body);
    curl_easy_cleanup(easy);
    weir_pipeline_destroy(bank);
    return outcome.status != WEIR_OK;
}
