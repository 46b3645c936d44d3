#include "headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

bool headers_wanted(const struct weir_curl_options *options)
{
    return options->headers != NULL || options->idempotency_key || options->wire != NULL;
}

/* What is left of the deadline, and the trace: anew for each attempt. */
static CURLcode add_wire(struct headers *headers, const struct weir_wire_out *out,
    const struct weir_attempt *attempt, struct curl_slist **list)
{
    const char *line[WEIR_WIRE_LINES];
    if (headers->wire == NULL) headers->wire = malloc(sizeof *headers->wire);
    struct wire_lines *wire = headers->wire;
    if (wire == NULL) return CURLE_OUT_OF_MEMORY;
    uint64_t now_ns = weir_pipeline_now(attempt->pipeline);
    size_t count = weir_wire_lines(out, attempt, now_ns, wire->text, sizeof wire->text, line);
    while (count-- > 0) {
        wire->header[count] = (struct curl_slist) { (char *)line[count], *list };
        *list = &wire->header[count];
    }
    return CURLE_OK;
}

/* The same for every attempt of the call, and for no other call: not from its seed, which may be given twice. */
static CURLcode add_key(struct headers *headers, struct curl_slist **list)
{
    unsigned char random[KEY_DIGITS / 2];
    if (headers->key_text[0] == 0) {
        if (getentropy(random, sizeof random) != 0) return CURLE_FAILED_INIT;
        memcpy(headers->key_text, KEY_NAME, sizeof KEY_NAME);
        for (size_t i = 0; i < sizeof random; i++) {
            snprintf(headers->key_text + sizeof KEY_NAME - 1 + 2 * i, 3, "%02x", random[i]);
        }
    }
    headers->key = (struct curl_slist) { headers->key_text, *list };
    *list = &headers->key;
    return CURLE_OK;
}

CURLcode headers_make(struct headers *headers, const struct weir_curl_options *options,
    const struct weir_attempt *attempt, struct curl_slist **list)
{
    CURLcode code = CURLE_OK;
    *list = options->headers;
    if (options->wire != NULL) code = add_wire(headers, options->wire, attempt, list);
    if (code == CURLE_OK && options->idempotency_key) code = add_key(headers, list);
    return code;
}

void headers_free(struct headers *headers)
{
    free(headers->wire);
}
