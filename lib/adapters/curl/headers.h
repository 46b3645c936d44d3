/* The header list of an attempt: ours first, leading into the user's list, which is only read.
 *
 *     key --> wire --> wire --> the user's first --> ... */
#ifndef WEIR_LIB_CURL_HEADERS_H
#define WEIR_LIB_CURL_HEADERS_H

#include <weir/curl.h>

#define KEY_NAME "Idempotency-Key: "
#define KEY_DIGITS 32

/* The lines that say what is left of an attempt's deadline, and its trace. */
struct wire_lines {
    struct curl_slist header[WEIR_WIRE_LINES];
    char text[WEIR_WIRE_SIZE];
};

/* Zero before its first use; headers_free() after its last. */
struct headers {
    struct wire_lines *wire; /* allocated for the first attempt that has options.wire */
    struct curl_slist key;
    char key_text[sizeof KEY_NAME + KEY_DIGITS]; /* "": not made yet */
};

/* Whether the options ask for headers at all, and so own the handle's HTTPHEADER. */
bool headers_wanted(const struct weir_curl_options *options);

/* Makes *list, for this attempt; it lives as long as the headers and the user's list. */
CURLcode headers_make(struct headers *headers, const struct weir_curl_options *options,
    const struct weir_attempt *attempt, struct curl_slist **list);
void headers_free(struct headers *headers);

#endif
