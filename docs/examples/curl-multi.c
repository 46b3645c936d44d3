/* One thread, a multi handle of its own, and two hundred guarded transfers: eight at once, the others queue. */
#include "expect.h"
#include "http-server.h"

#include <sys/wait.h>
#include <weir/curl.h>
#include <weir/weir.h>

enum { TRANSFERS = 200 };

struct page {
    CURL *easy;
    struct weir_curl_body body;
    struct weir_outcome outcome;
};

static void got(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct page *page = argument;
    page->outcome = outcome;
    curl_easy_cleanup(easy);
}

static void fetch(
    struct weir_curl_multi *guarded, struct weir_pipeline *shop, struct page *page, const char *url)
{
    page->easy = curl_easy_init();
    EXPECT(page->easy != NULL);
    curl_easy_setopt(page->easy, CURLOPT_URL, url);
    EXPECT(weir_curl_multi_start(guarded, shop,
               WEIR_CONFIG(weir_curl_options, .body = &page->body,
                   .call = WEIR_CONFIG(weir_call_options, .idempotent = true)),
               page->easy, got, page) == WEIR_E_NONE);
}

static void run(CURLM *multi, struct weir_curl_multi *guarded)
{
    while (weir_curl_multi_stats(guarded).transfers != 0) {
        int running;
        curl_multi_poll(multi, NULL, 0, weir_curl_multi_timeout_ms(guarded), NULL);
        curl_multi_perform(multi, &running);
        weir_curl_multi_turn(guarded);
    }
}

int main(void)
{
    static struct page pages[TRANSFERS];
    const int statuses[] = { 503, 200 }; /* the first that asks must ask again */
    char url[64];
    pid_t server = http_server_start(statuses, 2, TRANSFERS + 1, url);
    struct weir_pipeline *shop;
    struct weir_curl_multi *guarded;
    CURLM *multi = curl_multi_init();
    EXPECT(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "shop",
                                      .deadline_ns = 10 * WEIR_S, .concurrency = 8, .queue = TRANSFERS),
               &shop) == WEIR_E_NONE);
    EXPECT(multi != NULL && weir_curl_multi_create(multi, NULL, &guarded) == WEIR_E_NONE);
    for (int i = 0; i < TRANSFERS; i++) fetch(guarded, shop, &pages[i], url);
    run(multi, guarded);
    int ok = 0;
    for (int i = 0; i < TRANSFERS; i++) {
        if (pages[i].outcome.status == WEIR_OK) ok++;
        weir_curl_body_free(&pages[i].body);
    }
    struct weir_bulkhead_stats bulkhead = weir_bulkhead_stats(weir_pipeline_policy(shop, 3));
    printf("%d of %d, %d of them queued\n", ok, TRANSFERS, (int)bulkhead.queued);
    EXPECT(ok == TRANSFERS && bulkhead.in_use == 0);
    weir_curl_multi_destroy(guarded);
    curl_multi_cleanup(multi);
    weir_pipeline_destroy(shop);
    EXPECT(waitpid(server, NULL, 0) == server);
    return 0;
}
