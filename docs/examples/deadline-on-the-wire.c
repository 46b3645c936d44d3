/* A server's handler: what the request's headers say goes into its context, and from there, less what was spent
 * meanwhile, into the headers of the call that it makes itself. */
#include "expect.h"

#include <string.h>
#include <weir/weir.h>
#include <weir/wire.h>

/* Stands for your HTTP parser: hands over one "name: value" after the other. */
static void read_headers(struct weir_wire *wire, const char *head)
{
    for (const char *end; (end = strstr(head, "\r\n")) != head && end != NULL; head = end + 2) {
        const char *colon = memchr(head, ':', (size_t)(end - head));
        if (colon == NULL) continue;
        enum weir_wire_refusal refusal =
            weir_wire_header(wire, head, (size_t)(colon - head), colon + 1, (size_t)(end - colon - 1));
        if (refusal != WEIR_WIRE_REFUSED_NONE)
            printf("%.*s: %s\n", (int)(colon - head), head, weir_wire_refusal_text(refusal));
    }
}

struct nested {
    const struct weir_pipeline *pipeline;
    uint64_t now_ns; /* weir_pipeline_now() in a real one; here the clock stands still */
    char sent[WEIR_WIRE_SIZE + 2 * WEIR_WIRE_LINES];
};

/* Each attempt says afresh what is left; 5 ms are kept back for the way there and back. */
static struct weir_outcome ask_stock(void *argument, const struct weir_attempt *attempt)
{
    struct nested *nested = argument;
    char buffer[WEIR_WIRE_SIZE];
    const char *lines[WEIR_WIRE_LINES];
    size_t count = weir_wire_lines(WEIR_CONFIG(weir_wire_out, .slack_ns = 5 * WEIR_MS), attempt,
        nested->now_ns, buffer, sizeof buffer, lines);
    for (size_t i = 0; i < count; i++) { /* curl_slist_append(list, lines[i]), or what your client has */
        strcat(nested->sent, lines[i]);
        strcat(nested->sent, "\r\n");
    }
    return (struct weir_outcome) { .status = WEIR_OK };
}

/* received_ns: when it arrived; it may have waited for a thread since. */
static void handle(struct nested *nested, const char *head, uint64_t received_ns)
{
    struct weir_wire wire;
    weir_wire_init(&wire, WEIR_CONFIG(weir_wire_config, .max_ns = 2 * WEIR_S));
    read_headers(&wire, head);
    struct weir_context request;
    weir_wire_context(&request, NULL, &wire, received_ns, NULL);
    weir_context_enter(&request);
    nested->sent[0] = '\0';
    (void)weir_run_at(nested->pipeline, NULL, ask_stock, nested, nested->now_ns);
    weir_context_leave(&request);
}

int main(void)
{
    struct weir_pipeline *pipeline;
    EXPECT(weir_pipeline_create(NULL, NULL, 0, &pipeline) == WEIR_E_NONE);
    uint64_t received_ns = weir_now(WEIR_TIMING_PRECISE);
    struct nested nested = { .pipeline = pipeline,
        .now_ns = received_ns + 45 * WEIR_MS }; /* waited in accept */

    handle(&nested,
        "Host: shop\r\n"
        "X-Envoy-Expected-RQ-Timeout-MS: 250\r\n"
        "grpc-timeout: 1S\r\n"
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
        "baggage: customer=4242\r\n\r\n",
        received_ns);
    fputs(nested.sent, stdout);
    EXPECT(strstr(nested.sent, "grpc-timeout: 200000u\r\n") != NULL); /* 250 - 45 - 5 */
    EXPECT(strstr(nested.sent, "x-envoy-expected-rq-timeout-ms: 200\r\n") != NULL);
    EXPECT(strstr(nested.sent, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-") != NULL);
    EXPECT(strstr(nested.sent, "00f067aa0ba902b7") == NULL); /* a span of its own */
    EXPECT(strstr(nested.sent, "baggage: customer=4242\r\n") != NULL);

    /* A header that lies or is broken is as absent: our own limit remains. */
    struct weir_wire_stats before = weir_wire_stats();
    handle(&nested, "grpc-timeout: 1 hour\r\nX-Envoy-Expected-RQ-Timeout-MS: 86400000\r\n\r\n", received_ns);
    EXPECT(strstr(nested.sent, "grpc-timeout: 1950000u\r\n") != NULL); /* 2 s - 45 ms - 5 ms */
    struct weir_wire_stats after = weir_wire_stats();
    EXPECT(after.refused[WEIR_WIRE_REFUSED_SYNTAX] == before.refused[WEIR_WIRE_REFUSED_SYNTAX] + 1);

    weir_pipeline_destroy(pipeline);
    return 0;
}
