/* Pipelines that these tests guard their calls with, and what they look at. */
#ifndef WEIR_TESTS_CURL_GUARD_H
#define WEIR_TESTS_CURL_GUARD_H

#include "curl/origin.h"
#include "support/test.h"

#include <weir/curl.h>
#include <weir/weir.h>

/* retry (attempts, 1 ms apart, a budget that lets all of them) around a timeout of that duration, each but if 0 */
static inline struct weir_pipeline *guard(uint32_t attempts, uint64_t timeout_ns)
{
    struct weir_policy *order[2] = { NULL };
    struct weir_pipeline *pipeline = NULL;
    size_t count = 0;
    if (attempts != 0) {
        struct weir_budget *budget = NULL;
        CHECK_EQ(weir_budget_create(WEIR_CONFIG(weir_budget_config, .floor_per_s = 1000000), &budget),
            WEIR_E_NONE);
        CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .attempts = attempts, .base_ns = WEIR_MS,
                                       .backoff = WEIR_BACKOFF_CONSTANT, .budget = budget),
                     &order[count++]),
            WEIR_E_NONE);
        weir_budget_release(budget);
    }
    if (timeout_ns != 0) {
        CHECK_EQ(
            weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = timeout_ns), &order[count++]),
            WEIR_E_NONE);
    }
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &pipeline), WEIR_E_NONE);
    for (size_t i = 0; i < count; i++) weir_policy_release(order[i]);
    return pipeline;
}

static inline CURL *handle_for(const struct origin *origin, const char *path)
{
    CURL *easy = curl_easy_init();
    CHECK(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_URL, origin_url(origin, path));
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    return easy;
}

#endif
