#include "versus.h"

#include "liars/liar.h"
#include "live.h"
#include "measure.h"

#include <stdlib.h>
#include <string.h>
#include <weir/curl.h>
#include <weir/weir.h>

#define HEALTHY "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
#define BROKEN "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"

enum { CALLS = 20000, WARM_UP = 500, OFFERED = 2000, BARE_TRIES = 4 };

static const struct versus_row {
    const char *name, *unit;
    double reach;
    bool at_least; /* the ratio must be at least that; else at most the figure that judged() takes */
} rows[VERSUS_ROWS] = {
    [VERSUS_EASY] = { "curl/easy", "us", 1.03, false },
    [VERSUS_MULTI] = { "curl/multi-1000", "calls/s", 0.95, true },
    [VERSUS_OUTAGE] = { "outage/retries", "requests/call", 1.2, false },
};

static size_t dropped(char *data, size_t size, size_t count, void *argument)
{
    (void)data, (void)argument;
    return size * count;
}

CURL *versus_handle(const struct liar *origin)
{
    char url[64];
    CURL *easy = curl_easy_init();
    require(easy != NULL, "out of memory");
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", origin->port);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 60000L); /* who waits for ever needs no guard */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 60000L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, dropped);
    return easy;
}

static struct weir_pipeline *standard(void)
{
    struct weir_pipeline *pipeline;
    created(
        weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "origin"), &pipeline), "a pipeline");
    return pipeline;
}

/* ---- curl/easy ---- */

static double bare_us(CURL *easy)
{
    uint64_t began = live_now();
    require(curl_easy_perform(easy) == CURLE_OK, "a bare call failed");
    return (double)(live_now() - began) / 1e3;
}

static double guarded_us(const struct weir_pipeline *pipeline, CURL *easy)
{
    uint64_t began = live_now();
    require(weir_curl_perform(pipeline, NULL, easy).status == WEIR_OK, "a guarded call failed");
    return (double)(live_now() - began) / 1e3;
}

/* Call by call, each side first every other time. A handle for each: one that changes between the two
 * loses its connection. */
static struct versus_result easy_row(const struct liar *origin)
{
    static double bare[CALLS], guarded[CALLS];
    struct weir_pipeline *pipeline = standard();
    CURL *ours = versus_handle(origin), *theirs = versus_handle(origin);
    for (unsigned i = 0; i < CALLS + WARM_UP; i++) {
        unsigned at = i < WARM_UP ? 0 : i - WARM_UP;
        if (i % 2 == 0) {
            bare[at] = bare_us(theirs);
        }
        guarded[at] = guarded_us(pipeline, ours);
        if (i % 2 == 1) {
            bare[at] = bare_us(theirs);
        }
    }
    curl_easy_cleanup(ours);
    curl_easy_cleanup(theirs);
    weir_curl_thread_cleanup();
    weir_pipeline_destroy(pipeline);
    struct versus_result result = { true, median(bare, CALLS), median(guarded, CALLS), 0 };
    result.ratio = result.guarded / result.bare;
    return result;
}

/* ---- outage/retries ---- */

static void retry_bare(CURL *easy)
{
    long status = 500;
    for (unsigned i = 0; i < BARE_TRIES && status >= 500; i++) {
        require(curl_easy_perform(easy) == CURLE_OK, "a bare call failed");
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    }
}

static struct versus_result outage_row(const struct liar *origin)
{
    struct weir_pipeline *pipeline = standard();
    CURL *easy = versus_handle(origin);
    uint64_t before = liar_requests(origin);
    for (unsigned i = 0; i < OFFERED; i++) {
        retry_bare(easy);
    }
    uint64_t bare = liar_requests(origin);
    for (unsigned i = 0; i < OFFERED; i++) {
        weir_curl_perform(pipeline,
            WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .idempotent = true)), easy);
    }
    uint64_t guarded = liar_requests(origin);
    curl_easy_cleanup(easy);
    weir_curl_thread_cleanup();
    weir_pipeline_destroy(pipeline);
    struct versus_result result = { true, (double)(bare - before) / OFFERED,
        (double)(guarded - bare) / OFFERED, 0 };
    result.ratio = result.guarded / result.bare;
    return result;
}

/* ---- the group ---- */

bool versus_selects(const char *prefix)
{
    bool any = false;
    for (unsigned i = 0; i < VERSUS_ROWS; i++) {
        any = any || live_row(rows[i].name, prefix);
    }
    return any;
}

void versus_measure(const char *prefix, void *argument)
{
    static struct versus_result (*const measure_row[VERSUS_ROWS])(
        const struct liar *) = { easy_row, versus_multi, outage_row };
    struct versus_result *results = argument;
    for (unsigned i = 0; i < VERSUS_ROWS; i++) {
        if (!live_row(rows[i].name, prefix)) {
            continue;
        }
        struct liar origin;
        liar_start(&origin,
            &(struct liar_script) { .says = i == VERSUS_OUTAGE ? BROKEN : HEALTHY, .end = LIAR_GOES_ON });
        results[i] = measure_row[i](&origin);
        liar_stop(&origin);
        fprintf(stderr, "%s\n", rows[i].name);
    }
}

/* ---- what it came to ---- */

static bool met(unsigned row, const struct versus_result *result)
{
    if (rows[row].at_least) {
        return result->ratio >= rows[row].reach;
    }
    return (row == VERSUS_OUTAGE ? result->guarded : result->ratio) <= rows[row].reach;
}

void versus_table(const struct versus_result results[VERSUS_ROWS])
{
    printf("\n%-20s %-14s %9s %9s %7s  reach\n", "against bare", "unit", "bare", "guarded", "ratio");
    for (unsigned i = 0; i < VERSUS_ROWS; i++) {
        if (results[i].measured) {
            printf("%-20s %-14s %9.5g %9.5g %7.3f  %s %g%s %s\n", rows[i].name, rows[i].unit, results[i].bare,
                results[i].guarded, results[i].ratio, rows[i].at_least ? ">=" : "<=", rows[i].reach,
                i == VERSUS_OUTAGE ? " guarded" : "", met(i, &results[i]) ? "met" : "missed");
        }
    }
}

void versus_json(FILE *file, const struct versus_result results[VERSUS_ROWS])
{
    const char *separator = "";
    fprintf(file, ",\n\"versus\": [");
    for (unsigned i = 0; i < VERSUS_ROWS; i++) {
        if (results[i].measured) {
            fprintf(
                file, "%s\n  {\"name\": \"%s\", \"unit\": \"%s\", ", separator, rows[i].name, rows[i].unit);
            fprintf(file, "\"bare\": %.6g, \"guarded\": %.6g, \"ratio\": %.4f}", results[i].bare,
                results[i].guarded, results[i].ratio);
            separator = ",";
        }
    }
    fprintf(file, "\n]");
}
