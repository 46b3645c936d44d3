/* What the headers of a request say. Each is refused or taken on its own, in any order:
 *
 *     header --> named, accepted? --> short, plain? --> its grammar --> merged
 *                      | no               | no             | no        deadline: minimum
 *                      '-> nothing        '----------------'-------.   list: one part more
 *                                                                  v
 *                                               counted; a trace header then counts for nothing
 *
 * Invariants:
 *   1. left_ns never grows;
 *   2. a bit in refused: the trace has nothing of that header. Both hold whatever order the headers come in. */
#include "base/arithmetic.h"
#include "base/context.h"
#include "base/error.h"
#include "wire/wire.h"

#include <string.h>

struct counters weir_wire_counters;

static const struct header {
    const char *name;
    size_t bytes_max;
    enum weir_wire_what what;
} headers[] = {
    { "grpc-timeout", 9, WEIR_WIRE_GRPC_TIMEOUT },
    { "x-envoy-expected-rq-timeout-ms", 20, WEIR_WIRE_ENVOY_TIMEOUT }, /* 2^64 has so many digits */
    { "traceparent", 256, WEIR_WIRE_TRACEPARENT }, /* of a version that is not known yet */
    { "tracestate", 512, WEIR_WIRE_TRACESTATE },
    { "baggage", 8192, WEIR_WIRE_BAGGAGE },
};

static bool is_named(const char *known, const char *name, size_t size)
{
    if (strlen(known) != size) return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != known[i]) return false;
    }
    return true;
}

static const struct header *find(const struct weir_wire *wire, const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        if (!is_named(headers[i].name, name, size)) continue;
        return (wire->accept & headers[i].what) != 0 ? &headers[i] : NULL;
    }
    return NULL;
}

void weir_wire_init(struct weir_wire *wire, const struct weir_wire_config *given)
{
    WEIR_REQUIRE(wire != NULL, "weir_wire_init", "wire is NULL");
    struct weir_wire_config config;
    enum weir_error error = error_config("weir_wire_config", given, &config, sizeof config);
    WEIR_REQUIRE(error == WEIR_E_NONE, "weir_wire_init",
        "config.size is unknown (use WEIR_CONFIG or weir_wire_config_init)");
    *wire = (struct weir_wire) {
        .left_ns = WEIR_NEVER,
        .max_ns = config.max_ns == 0 ? WEIR_NEVER : config.max_ns,
        .accept = config.accept == 0 ? WEIR_WIRE_ALL : config.accept,
    };
}

/* ---- one header ---- */

static enum weir_wire_refusal take_deadline(
    struct weir_wire *wire, enum weir_wire_what what, struct weir_wire_text value)
{
    uint64_t left_ns;
    bool good = what == WEIR_WIRE_GRPC_TIMEOUT ? wire_grpc_timeout(value, &left_ns)
                                               : wire_envoy_timeout(value, &left_ns);
    if (!good) return WEIR_WIRE_REFUSED_SYNTAX;
    wire->left_ns = time_min(wire->left_ns, left_ns);
    return WEIR_WIRE_REFUSED_NONE;
}

static enum weir_wire_refusal take_list(enum wire_list_kind kind, struct weir_wire_list *list,
    struct weir_wire_text parts[WEIR_WIRE_PARTS], struct weir_wire_text value)
{
    if (value.size == 0) return WEIR_WIRE_REFUSED_NONE;
    enum weir_wire_refusal refusal = wire_list_add(kind, list, value);
    if (refusal == WEIR_WIRE_REFUSED_NONE) parts[list->parts - 1] = value;
    return refusal;
}

static enum weir_wire_refusal take(
    struct weir_wire *wire, enum weir_wire_what what, struct weir_wire_text value)
{
    struct weir_trace *trace = &wire->trace;
    switch (what) {
    case WEIR_WIRE_TRACEPARENT:
        return wire_traceparent(value, trace) ? WEIR_WIRE_REFUSED_NONE : WEIR_WIRE_REFUSED_SYNTAX;
    case WEIR_WIRE_TRACESTATE: return take_list(LIST_TRACESTATE, &wire->state, trace->state, value);
    case WEIR_WIRE_BAGGAGE: return take_list(LIST_BAGGAGE, &wire->baggage, trace->baggage, value);
    default: return take_deadline(wire, what, value);
    }
}

static enum weir_wire_refusal judge(
    struct weir_wire *wire, const struct header *header, struct weir_wire_text value)
{
    const uint32_t once = WEIR_WIRE_GRPC_TIMEOUT | WEIR_WIRE_ENVOY_TIMEOUT | WEIR_WIRE_TRACEPARENT;
    bool again = (wire->seen & header->what & once) != 0;
    wire->seen |= header->what;
    if (value.size > header->bytes_max) return WEIR_WIRE_REFUSED_LONG;
    if (wire_has_control(value)) return WEIR_WIRE_REFUSED_CONTROL;
    enum weir_wire_refusal refusal = take(wire, header->what, value);
    return refusal == WEIR_WIRE_REFUSED_NONE && again ? WEIR_WIRE_REFUSED_DUPLICATE : refusal;
}

/* The trace has nothing more of the header. */
static void forget(struct weir_trace *trace, enum weir_wire_what what)
{
    switch (what) {
    case WEIR_WIRE_TRACEPARENT:
        memset(trace->trace_id, 0, sizeof trace->trace_id);
        memset(trace->span_id, 0, sizeof trace->span_id);
        trace->flags = 0;
        break;
    case WEIR_WIRE_TRACESTATE: memset(trace->state, 0, sizeof trace->state); break;
    case WEIR_WIRE_BAGGAGE: memset(trace->baggage, 0, sizeof trace->baggage); break;
    default: break;
    }
}

enum weir_wire_refusal weir_wire_header(
    struct weir_wire *wire, const char *name, size_t name_size, const char *value, size_t value_size)
{
    WEIR_REQUIRE(wire != NULL, "weir_wire_header", "wire is NULL");
    if (name_size != 0) WEIR_REQUIRE(name != NULL, "weir_wire_header", "name is NULL");
    if (value_size != 0) WEIR_REQUIRE(value != NULL, "weir_wire_header", "value is NULL");
    const struct header *header = find(wire, name, name_size);
    if (header == NULL) return WEIR_WIRE_REFUSED_NONE;
    enum weir_wire_refusal refusal =
        judge(wire, header, wire_trim((struct weir_wire_text) { value, value_size }));
    if (refusal != WEIR_WIRE_REFUSED_NONE) {
        wire->refused |= header->what;
        wire_count(refusal);
    }
    if ((wire->refused & header->what) != 0) forget(&wire->trace, header->what);
    return refusal;
}

/* ---- what they say together ---- */

uint64_t weir_wire_deadline(const struct weir_wire *wire, uint64_t received_ns)
{
    WEIR_REQUIRE(wire != NULL, "weir_wire_deadline", "wire is NULL");
    return time_add(received_ns, time_min(wire->left_ns, wire->max_ns));
}

void weir_wire_context(struct weir_context *context, const struct weir_context *parent,
    const struct weir_wire *wire, uint64_t received_ns, struct weir_source *source)
{
    WEIR_REQUIRE(context != NULL, "weir_wire_context", "context is NULL");
    WEIR_REQUIRE(wire != NULL, "weir_wire_context", "wire is NULL");
    weir_context_child(context, parent, weir_wire_deadline(wire, received_ns), source);
    if (wire_is_traced(&wire->trace) || wire->trace.baggage[0].size != 0) context->trace = &wire->trace;
}

struct weir_wire_stats weir_wire_stats(void)
{
    struct weir_wire_stats stats = { .unsent = counters_sum(&weir_wire_counters, WIRE_UNSENT) };
    for (uint32_t i = 0; i < WEIR_WIRE_REFUSALS; i++) stats.refused[i] = counters_sum(&weir_wire_counters, i);
    return stats;
}

const char *weir_wire_refusal_text(enum weir_wire_refusal refusal)
{
    static const char *const texts[] = {
#define X(name, text) text,
        WEIR_WIRE_REFUSAL_MAP(X)
#undef X
    };
    return (unsigned)refusal < WEIR_WIRE_REFUSALS ? texts[refusal] : "?";
}
