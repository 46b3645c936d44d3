/* Deadlines and traces on the wire: from the headers of a request into its context, and from there into those of the
 * calls that it makes.
 *
 *     struct weir_wire wire;
 *     weir_wire_init(&wire, NULL);
 *     for (each header of the request) weir_wire_header(&wire, name, name_size, value, value_size);
 *     weir_wire_context(&request, NULL, &wire, received_ns, source);      the deadline and the trace are in it
 *     ...
 *     size_t count = weir_wire_lines(NULL, attempt, now_ns, buffer, sizeof buffer, lines);      in an operation
 *
 * What it reads and writes: grpc-timeout (the grammar of "gRPC over HTTP2"), x-envoy-expected-rq-timeout-ms,
 * traceparent and tracestate (W3C Trace Context, version 00) and baggage (W3C Baggage).
 *
 * What comes in is not trusted: a header can only shorten. One that is overlong, has CR, LF, NUL or another control
 * character, or breaks its grammar is as absent, and counted; it never fails the request. Where a header comes again,
 * the order of the two makes no difference:
 *   deadlines    all that are valid count, the smallest wins: dropping both would give the request more time;
 *   traceparent  none counts: to choose one would join two traces that have nothing to do with each other;
 *   tracestate, baggage  are lists and may come in up to WEIR_WIRE_PARTS parts; one bad part drops all parts.
 *
 * Pure texts: no clock, no memory, no lock. */
#ifndef WEIR_WIRE_H
#define WEIR_WIRE_H

#include <weir/call.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_WIRE_PARTS 4 /* headers that one tracestate or baggage may be spread over */

/* The headers, as bits. */
enum weir_wire_what {
    WEIR_WIRE_GRPC_TIMEOUT = 1,
    WEIR_WIRE_ENVOY_TIMEOUT = 2,
    WEIR_WIRE_TRACEPARENT = 4,
    WEIR_WIRE_TRACESTATE = 8, /* never without a traceparent */
    WEIR_WIRE_BAGGAGE = 16,
    WEIR_WIRE_ALL = 31
};

/* Why a header was refused. */
#define WEIR_WIRE_REFUSAL_MAP(X)                                     \
    X(NONE, "not refused")                                           \
    X(LONG, "more bytes, members or parts than the header may have") \
    X(CONTROL, "a control character")                                \
    X(SYNTAX, "breaks the header's grammar")                         \
    X(DUPLICATE, "comes a second time, and it may come only once")

enum weir_wire_refusal {
#define X(name, text) WEIR_WIRE_REFUSED_##name,
    WEIR_WIRE_REFUSAL_MAP(X)
#undef X
        WEIR_WIRE_REFUSALS
};

struct weir_wire_text {
    const char *text; /* borrowed; not terminated */
    size_t size;
};

/* Where a piece of work stands in a trace. Yours to fill in where requests do not come by headers; what
 * weir_wire_header() filled in borrows the texts of the headers. All zeroes: none. */
struct weir_trace {
    uint8_t trace_id[16]; /* all zeroes: no trace, perhaps baggage */
    uint8_t span_id[8];   /* of the work that asked for this */
    uint8_t flags;        /* W3C trace-flags: 1: sampled, 2: the trace id is random; others are dropped */
    struct weir_wire_text state[WEIR_WIRE_PARTS];   /* tracestate; an empty part ends it */
    struct weir_wire_text baggage[WEIR_WIRE_PARTS]; /* the same */
};

/* ---- in ---- */

struct weir_wire_config {
    uint32_t size;
    /* Headers to read, enum weir_wire_what bits: others are ignored; default: WEIR_WIRE_ALL. */
    uint32_t accept;
    uint64_t max_ns; /* a duration: no request gets more, whatever its headers say or do not say; default: no
                        limit */
};
WEIR_CONFIG_INIT(weir_wire_config)

/* Private: what the parts of a list have so far. */
struct weir_wire_list {
    uint32_t parts, members, bytes;
};

/* What the headers of one request say. Private fields but trace; in your frame, one thread at a time. */
struct weir_wire {
    struct weir_trace trace; /* complete once all headers were given */
    uint64_t left_ns;        /* the smallest of the deadlines; WEIR_NEVER: none */
    uint64_t max_ns;
    uint32_t accept, seen, refused; /* enum weir_wire_what bits */
    struct weir_wire_list state, baggage;
};

/* For a new request. config may be NULL, is copied, and aborts if its size is unknown. */
WEIR_API void weir_wire_init(struct weir_wire *wire, const struct weir_wire_config *config);

/* One header of the request, any header: names are compared without regard to case, blanks around the value do not
 * count. Answers why it was refused, which is already counted; NONE also for a header that is none of these. The
 * values of tracestate and baggage are borrowed, as long as the wire's trace is in use. */
WEIR_API enum weir_wire_refusal weir_wire_header(
    struct weir_wire *wire, const char *name, size_t name_size, const char *value, size_t value_size);

/* The instant by which the request must be answered; WEIR_NEVER: it did not say, and there is no max_ns.
 * received_ns: the instant at which the request arrived, not that at which somebody has time for it: what it
 * waited for since is spent. */
WEIR_API uint64_t weir_wire_deadline(const struct weir_wire *wire, uint64_t received_ns);

/* weir_context_child() with that deadline, never later than the parent's, and with the wire's trace if it has one
 * (else the parent's): wire is borrowed and must outlive the context. */
WEIR_API void weir_wire_context(struct weir_context *context, const struct weir_context *parent,
    const struct weir_wire *wire, uint64_t received_ns, struct weir_source *source);

/* ---- out ---- */

#define WEIR_WIRE_LINES 5   /* that one call can have */
#define WEIR_WIRE_SIZE 9216 /* bytes in which they always fit */
#define WEIR_WIRE_GRPC_SIZE 10
#define WEIR_WIRE_ENVOY_SIZE 16
#define WEIR_WIRE_TRACEPARENT_SIZE 56

struct weir_wire_out {
    uint32_t size;
    uint32_t send;     /* headers to write, enum weir_wire_what bits; default: WEIR_WIRE_ALL */
    uint64_t slack_ns; /* a duration: kept back from what is left, for the way there and back; default: 0 */
    const struct weir_trace *trace; /* borrowed; default: that of the attempt's context */
    uint64_t span_id; /* of this attempt, as a number; default: drawn, another for each attempt */
};
WEIR_CONFIG_INIT(weir_wire_out)

/* The headers to add to one attempt, afresh for each: what is left of its deadline, less slack_ns, by both deadline
 * headers; its trace, with a span id of its own; tracestate and baggage as they came. Each is written into buffer as
 * "name: value", terminated, without CR LF, and pointed to by lines[]; answers how many there are, 0 with neither
 * deadline nor trace. out may be NULL. A line that does not fit (WEIR_WIRE_SIZE bytes always do) is left out and
 * counted; so is a text of your own in the trace that weir_wire_header() would refuse. Aborts if the size of out is
 * unknown. */
WEIR_API size_t weir_wire_lines(const struct weir_wire_out *out, const struct weir_attempt *attempt,
    uint64_t now_ns, char *buffer, size_t size, const char *lines[WEIR_WIRE_LINES]);

/* The values alone, terminated; both answer their length, 0 (and an empty text) for WEIR_NEVER or if size is too
 * small. Rounded down, so that nobody is promised more than is left; but what rounds to 0 is written as the
 * smallest value there is, 1n and 1 ms: 0 is no value of grpc-timeout, and means "no limit" to Envoy. */
WEIR_API size_t weir_wire_grpc_timeout(char *buffer, size_t size, uint64_t left_ns);
WEIR_API size_t weir_wire_envoy_timeout(char *buffer, size_t size, uint64_t left_ns);

/* A span id for a child of the trace's; never 0. Not for secrets. */
WEIR_API uint64_t weir_wire_span(const struct weir_trace *trace, uint64_t now_ns);
/* The traceparent of that child, terminated; answers 55, or 0 if the trace's id or span_id is 0 or size is too
 * small. */
WEIR_API size_t weir_wire_traceparent(
    char *buffer, size_t size, const struct weir_trace *trace, uint64_t span_id);

/* Of the process, since its start. */
struct weir_wire_stats {
    uint64_t refused[WEIR_WIRE_REFUSALS]; /* headers, by why; those of WEIR_WIRE_REFUSED_NONE are 0 */
    uint64_t unsent;                      /* lines that weir_wire_lines() had to leave out */
};
WEIR_API struct weir_wire_stats weir_wire_stats(void);
/* Static texts; "?" for a number that is none. */
WEIR_API const char *weir_wire_refusal_text(enum weir_wire_refusal refusal);

#ifdef __cplusplus
}
#endif
#endif
