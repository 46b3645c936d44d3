/* The headers of one attempt, each a line in the caller's buffer. */
#include "base/arithmetic.h"
#include "base/error.h"
#include "wire/wire.h"

#include <stdio.h>
#include <string.h>

/* What is to be said, and where: at and room move on with each line. */
struct job {
    const struct weir_trace *trace; /* may be NULL */
    uint64_t left_ns, span_id;
    char *at;
    size_t room;
};

enum written { NOTHING_TO_SAY, WRITTEN, UNSENT };

static enum written put(const struct job *job, const char *name, const char *value, size_t length)
{
    if (length == 0) return NOTHING_TO_SAY;
    int needs = snprintf(job->at, job->room, "%s: %s", name, value);
    return (size_t)needs < job->room ? WRITTEN : UNSENT;
}

/* All parts as one list. They may be the user's own: what would be refused coming in does not go out. */
static enum written put_list(const struct job *job, const char *name, enum wire_list_kind kind,
    const struct weir_wire_text parts[WEIR_WIRE_PARTS])
{
    struct weir_wire_list list = { 0, 0, 0 };
    size_t used = strlen(name);
    if (parts[0].size == 0) return NOTHING_TO_SAY;
    if (used >= job->room) return UNSENT;
    memcpy(job->at, name, used);
    for (uint32_t i = 0; i < WEIR_WIRE_PARTS && parts[i].size != 0; i++) {
        const char *before = i == 0 ? ": " : ",";
        size_t more = strlen(before);
        if (wire_list_add(kind, &list, parts[i]) != WEIR_WIRE_REFUSED_NONE) return UNSENT;
        if (wire_has_control(parts[i]) || used + more + parts[i].size >= job->room) return UNSENT;
        memcpy(job->at + used, before, more);
        memcpy(job->at + used + more, parts[i].text, parts[i].size);
        used += more + parts[i].size;
    }
    job->at[used] = '\0';
    return WRITTEN;
}

static enum written put_line(const struct job *job, enum weir_wire_what what)
{
    char value[WEIR_WIRE_TRACEPARENT_SIZE];
    bool traced = job->trace != NULL && wire_is_traced(job->trace);
    switch (what) {
    case WEIR_WIRE_GRPC_TIMEOUT:
        return put(job, "grpc-timeout", value, weir_wire_grpc_timeout(value, sizeof value, job->left_ns));
    case WEIR_WIRE_ENVOY_TIMEOUT:
        return put(job, "x-envoy-expected-rq-timeout-ms", value,
            weir_wire_envoy_timeout(value, sizeof value, job->left_ns));
    case WEIR_WIRE_TRACEPARENT:
        if (!traced) return NOTHING_TO_SAY;
        return put(
            job, "traceparent", value, weir_wire_traceparent(value, sizeof value, job->trace, job->span_id));
    case WEIR_WIRE_TRACESTATE:
        if (!traced) return NOTHING_TO_SAY;
        return put_list(job, "tracestate", LIST_TRACESTATE, job->trace->state);
    default:
        if (job->trace == NULL) return NOTHING_TO_SAY;
        return put_list(job, "baggage", LIST_BAGGAGE, job->trace->baggage);
    }
}

static struct job job_of(const struct weir_wire_out *out, const struct weir_attempt *attempt, uint64_t now_ns)
{
    struct job job = { .trace = out->trace, .left_ns = WEIR_NEVER, .span_id = out->span_id };
    if (job.trace == NULL) job.trace = weir_context_trace(attempt->context);
    if (job.trace != NULL && job.span_id == 0) job.span_id = weir_wire_span(job.trace, now_ns);
    if (attempt->deadline_ns != WEIR_NEVER) {
        job.left_ns = time_since(time_since(attempt->deadline_ns, now_ns), out->slack_ns);
    }
    return job;
}

size_t weir_wire_lines(const struct weir_wire_out *given, const struct weir_attempt *attempt, uint64_t now_ns,
    char *buffer, size_t size, const char *lines[WEIR_WIRE_LINES])
{
    WEIR_REQUIRE(attempt != NULL, "weir_wire_lines", "attempt is NULL");
    WEIR_REQUIRE(lines != NULL, "weir_wire_lines", "lines is NULL");
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_wire_lines", "buffer is NULL");
    struct weir_wire_out out;
    enum weir_error error = error_config("weir_wire_out", given, &out, sizeof out);
    WEIR_REQUIRE(error == WEIR_E_NONE, "weir_wire_lines",
        "out.size is unknown (use WEIR_CONFIG or weir_wire_out_init)");
    struct job job = job_of(&out, attempt, now_ns);
    job.at = buffer;
    job.room = size;
    size_t count = 0;
    for (uint32_t what = 1; what <= WEIR_WIRE_ALL; what <<= 1) {
        if (out.send != 0 && (out.send & what) == 0) continue;
        enum written written = put_line(&job, (enum weir_wire_what)what);
        if (written == UNSENT) wire_count(WIRE_UNSENT);
        if (written != WRITTEN) continue;
        lines[count++] = job.at;
        size_t used = strlen(job.at) + 1;
        job.at += used;
        job.room -= used;
    }
    return count;
}
