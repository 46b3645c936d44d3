/* One call over its attempts, for both drivers: what each attempt's transfer is told, and what it meant.
 *
 *     open --> prepare --(the driver runs the transfer)--> end --.--> close
 *                ^                                               |
 *                '----------------- another attempt -------------'
 *
 * Invariants: after close the easy handle points to nothing that belongs to the exchange; the user's header list is only
 * read. */
#ifndef WEIR_LIB_CURL_EXCHANGE_H
#define WEIR_LIB_CURL_EXCHANGE_H

#include "headers.h"

struct exchange {
    CURL *easy;
    struct weir_curl_options options; /* .call only until the call has begun */
    struct weir_wire_out wire;        /* of options.wire */
    uint32_t begun;                   /* attempts that were prepared */
    size_t emptied;                   /* the body's, when this exchange last emptied it */
    bool head_open;                   /* a response's head has begun and not ended */
    bool uploads;                     /* with .body: a response to a method that uploads has begun */
    struct headers headers;
};

/* function: of the public API, for its message about options that are none. */
void exchange_open(
    struct exchange *exchange, CURL *easy, const struct weir_curl_options *options, const char *function);
/* outcome: how the call ended. */
void exchange_close(struct exchange *exchange, struct weir_outcome outcome);

/* Why the attempt may not go on, canceled or out of time; CURLE_OK: it may. */
CURLcode exchange_over(const struct weir_attempt *attempt, uint64_t now_ns);

/* CURLE_OK: the handle is ready for this attempt, and its transfer must be run and ended. Anything else: it cannot be
 * made, and exchange_refusal() of that code is its outcome. */
CURLcode exchange_prepare(struct exchange *exchange, const struct weir_attempt *attempt);
struct weir_outcome exchange_refusal(CURLcode code);

/* The outcome of the transfer that libcurl ended so. While the handle is in its multi handle. */
struct weir_outcome exchange_end(struct exchange *exchange, CURLcode code);
/* The outcome of one that the driver stops, or does not even begin, for what exchange_over() said: told as a failure, the
 * machine knows whose cancel or deadline it was. */
struct weir_outcome exchange_stop(struct exchange *exchange, CURLcode code);
struct weir_outcome exchange_too_late(CURLcode code);

#endif
