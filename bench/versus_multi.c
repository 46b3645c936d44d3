/* curl/multi-1000: a closed loop of a thousand transfers on one thread; whichever ends begins anew. */
#include "liars/liar.h"
#include "live.h"
#include "measure.h"
#include "versus.h"

#include <weir/curl.h>
#include <weir/weir.h>

enum { AT_ONCE = 1000, TRANSFERS = 5000, ROUNDS = 21 };

struct side {
    CURLM *multi;
    struct weir_curl_multi *guarded; /* NULL: the bare side */
    struct weir_pipeline *pipeline;
    CURL *easy[AT_ONCE];
    unsigned left, under_way; /* transfers to begin, and begun */
};

/* ---- begin and end of one ---- */

static void ended_guarded(void *argument, CURL *easy, struct weir_outcome outcome);

static void begin(struct side *side, CURL *easy)
{
    side->left--;
    side->under_way++;
    if (!side->guarded) {
        require(curl_multi_add_handle(side->multi, easy) == CURLM_OK, "a bare transfer did not begin");
    } else {
        created(weir_curl_multi_start(side->guarded, side->pipeline, NULL, easy, ended_guarded, side),
            "a transfer");
    }
}

static void ended(struct side *side, CURL *easy, bool well)
{
    require(well, "a transfer failed");
    side->under_way--;
    if (side->left > 0) {
        begin(side, easy);
    }
}

static void ended_guarded(void *argument, CURL *easy, struct weir_outcome outcome)
{
    ended(argument, easy, outcome.status == WEIR_OK);
}

static void take_messages(struct side *side)
{
    CURLMsg *message;
    int queued;
    while ((message = curl_multi_info_read(side->multi, &queued)) != NULL) {
        CURL *easy = message->easy_handle;
        bool well = message->data.result == CURLE_OK;
        curl_multi_remove_handle(side->multi, easy);
        ended(side, easy, well);
    }
}

/* ---- a round ---- */

static double transfers_a_second(struct side *side, unsigned transfers)
{
    uint64_t began = live_now();
    side->left = transfers;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        begin(side, side->easy[i]);
    }
    while (side->under_way > 0) {
        int running, timeout_ms = 1000;
        require(curl_multi_perform(side->multi, &running) == CURLM_OK, "curl_multi_perform() failed");
        if (side->guarded) {
            weir_curl_multi_turn(side->guarded);
            timeout_ms = weir_curl_multi_timeout_ms(side->guarded);
        } else {
            take_messages(side);
        }
        require(side->under_way == 0 ||
                curl_multi_poll(side->multi, NULL, 0, timeout_ms < 0 ? 1000 : timeout_ms, NULL) == CURLM_OK,
            "curl_multi_poll() failed");
    }
    return transfers / ((double)(live_now() - began) / 1e9);
}

static void side_make(struct side *side, const struct liar *origin, bool guarded)
{
    *side = (struct side) { .multi = curl_multi_init() };
    require(side->multi != NULL, "out of memory");
    curl_multi_setopt(side->multi, CURLMOPT_MAXCONNECTS, (long)AT_ONCE);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        side->easy[i] = versus_handle(origin);
    }
    if (guarded) {
        created(weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "origin",
                                           .deadline_ns = 60 * WEIR_S, .concurrency = AT_ONCE),
                    &side->pipeline),
            "a pipeline");
        created(weir_curl_multi_create(side->multi, NULL, &side->guarded), "a guarded multi");
    }
}

static void side_free(struct side *side)
{
    if (side->guarded) {
        weir_curl_multi_destroy(side->guarded);
        weir_pipeline_destroy(side->pipeline);
    }
    for (unsigned i = 0; i < AT_ONCE; i++) {
        curl_easy_cleanup(side->easy[i]);
    }
    curl_multi_cleanup(side->multi);
}

struct versus_result versus_multi(const struct liar *origin)
{
    static struct side sides[2];
    double rates[2][ROUNDS], ratios[ROUNDS];
    for (unsigned s = 0; s < 2; s++) {
        side_make(&sides[s], origin, s == 1);
        transfers_a_second(&sides[s], AT_ONCE); /* connects */
    }
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned s = 0; s < 2; s++) {
            unsigned side = (r + s) % 2; /* each first every other round */
            rates[side][r] = transfers_a_second(&sides[side], TRANSFERS);
        }
        ratios[r] = rates[1][r] / rates[0][r];
    }
    side_free(&sides[0]);
    side_free(&sides[1]);
    return (struct versus_result) { true, median(rates[0], ROUNDS), median(rates[1], ROUNDS),
        median(ratios, ROUNDS) };
}
