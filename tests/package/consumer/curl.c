/* Uses weir-curl and libcurl beside it the way any program does; prints weir's version. */
#include <stdio.h>
#include <weir/curl.h>

int main(void)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL) return 1;
    struct weir_outcome outcome = weir_curl_outcome(easy, CURLE_COULDNT_RESOLVE_HOST);
    curl_easy_cleanup(easy);
    puts(weir_version());
    return outcome.status != WEIR_FAILED;
}
