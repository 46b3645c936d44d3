/* What has happened, brought to the transfers; and the object itself. */
#include "multi.h"

#include "known.h"
#include "misuse.h"
#include "process.h"

#define HOUR_MS 3600000

/* ---- create, destroy ---- */

enum weir_error weir_curl_multi_create(
    CURLM *multi, const struct weir_curl_multi_config *config, struct weir_curl_multi **created)
{
    CURL_REQUIRE(multi != NULL, "weir_curl_multi_create", "multi is NULL");
    CURL_REQUIRE(created != NULL, "weir_curl_multi_create", "guarded is NULL");
    if (config != NULL && !is_known(config, config->size, sizeof *config)) return WEIR_E_SIZE;
    struct weir_curl_multi *guarded = calloc(1, sizeof *guarded);
    if (guarded == NULL) return WEIR_E_NOMEM;
    guarded->multi = multi;
    guarded->process = process_number();
    if (config != NULL) guarded->config = *config;
    if (guarded->process == 0 || !ready_open(&guarded->ready, multi)) {
        free(guarded);
        return WEIR_E_SYSTEM;
    }
    *created = guarded;
    return WEIR_E_NONE;
}

static void free_pool(struct weir_curl_multi *guarded)
{
    while (guarded->pool != NULL) {
        struct transfer *transfer = guarded->pool;
        guarded->pool = transfer->pooled;
        free(transfer->call);
        free(transfer);
    }
}

void weir_curl_multi_destroy(struct weir_curl_multi *guarded)
{
    static const char function[] = "weir_curl_multi_destroy";
    if (guarded == NULL) return;
    bool inherited = guarded->process != process_number();
    CURL_REQUIRE(inherited || guarded->inside == 0, function, "called from within done");
    CURL_REQUIRE(inherited || guarded->transfers == 0, function, "transfers are left in it");
    ready_close(&guarded->ready);
    timers_free(&guarded->timers);
    free_pool(guarded);
    free(guarded);
}

/* ---- turn ---- */

static void take_messages(struct weir_curl_multi *guarded)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(guarded->multi, &left)) != NULL) {
        struct transfer *transfer = multi_find(guarded, message->easy_handle);
        if (transfer != NULL && transfer->attempt != 0) multi_ended(transfer, message->data.result);
        else if (guarded->config.message != NULL) guarded->config.message(guarded->config.argument, message);
    }
}

static void take_due(struct weir_curl_multi *guarded)
{
    struct timer *timer;
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    while ((timer = timers_due(&guarded->timers, now_ns)) != NULL) multi_look((struct transfer *)timer);
}

static void take_posted(struct weir_curl_multi *guarded)
{
    struct ready_node *node = ready_take(&guarded->ready);
    while (node != NULL) {
        struct transfer *transfer = (struct transfer *)((char *)node - offsetof(struct transfer, node));
        node = ready_next(node);
        multi_look(transfer);
    }
}

uint64_t weir_curl_multi_turn(struct weir_curl_multi *guarded)
{
    CURL_REQUIRE(guarded != NULL, "weir_curl_multi_turn", "guarded is NULL");
    CURL_REQUIRE(guarded->process == process_number(), "weir_curl_multi_turn",
        "it was made by another process, before a fork");
    CURL_REQUIRE(guarded->stepping == 0, "weir_curl_multi_turn",
        "called from within a reset, rewind or fallback function");
    guarded->inside++;
    ready_come(&guarded->ready);
    take_messages(guarded);
    take_due(guarded);
    do take_posted(guarded);
    while (!ready_go(&guarded->ready));
    guarded->inside--;
    return timers_next(&guarded->timers);
}

int weir_curl_multi_timeout_ms(const struct weir_curl_multi *guarded)
{
    CURL_REQUIRE(guarded != NULL, "weir_curl_multi_timeout_ms", "guarded is NULL");
    uint64_t next_ns = timers_next(&guarded->timers), now_ns = weir_now(WEIR_TIMING_PRECISE);
    if (next_ns <= now_ns) return 0;
    uint64_t left_ms = (next_ns - now_ns - 1) / WEIR_MS + 1;
    return left_ms < HOUR_MS ? (int)left_ms : HOUR_MS;
}

int weir_curl_multi_descriptor(const struct weir_curl_multi *guarded)
{
    CURL_REQUIRE(guarded != NULL, "weir_curl_multi_descriptor", "guarded is NULL");
    return guarded->ready.descriptor;
}

struct weir_curl_multi_stats weir_curl_multi_stats(const struct weir_curl_multi *guarded)
{
    CURL_REQUIRE(guarded != NULL, "weir_curl_multi_stats", "guarded is NULL");
    return (struct weir_curl_multi_stats) { .transfers = guarded->transfers,
        .waiting = guarded->transfers - guarded->running };
}
