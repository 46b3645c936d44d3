/* A ready sink: logfmt lines to a descriptor.
 *
 *     ts=12345.678901 pipeline="bank" event=breaker.opened policy=breaker name="bank" attempt=1
 *         reason="breaker open" code=0 suppressed=3                        (one line)
 *
 *     event --> turn taken? --> token left? --> one line --> would the descriptor block? --> one write
 *                   | yes          | no                           | yes, or it failed
 *                   '--------------'------> suppressed <----------'   told in the next line that gets out
 *
 * Invariants:
 *   1. A call is never delayed: the turn is tried, not waited for; the descriptor is asked before it is
 *      written to, and no other thread of this sink's can fill it in between. (Another process that shares a
 *      pipe could; give the sink one of its own, or make it O_NONBLOCK.)
 *   2. Every event is a line or is counted as suppressed.
 *   3. No SIGPIPE reaches the process: it is blocked around the write, and one that the write raised is taken.
 *   4. What the user named is quoted and escaped, so that a line is one line. */
#include <weir/pipeline.h>
#include <weir/policy.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "base/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PER_S_DEFAULT 100
#define ESCAPED (4 * WEIR_NAME_MAX + 1)

const char *weir_event_text(enum weir_event_kind kind)
{
    static const char *const text[WEIR_EVENTS] = {
#define X(name, words) words,
        WEIR_EVENT_MAP(X)
#undef X
    };
    return (unsigned)kind < WEIR_EVENTS ? text[kind] : "?";
}

struct log_sink {
    struct weir_sink sink; /* what the user holds */
    int descriptor;
    uint32_t turn; /* 0, or the process generation of who writes: a forked child takes it over */
    uint64_t suppressed;
    /* What follows belongs to who has the turn. */
    uint64_t per_s;
    uint64_t tokens; /* in 1/per_s of a nanosecond: a line costs WEIR_S of them */
    uint64_t filled_ns;
    bool torn; /* the last line got out only in part: end it first */
};

static bool take_turn(struct log_sink *log)
{
    uint32_t mine = process_generation(), seen = 0;
    if (atomic_cas_acq_rel(&log->turn, &seen, mine)) return true;
    return seen != mine && atomic_cas_acq_rel(&log->turn, &seen, mine);
}

/* A bucket that holds the lines of one second and is full at first. */
static bool take_token(struct log_sink *log, uint64_t now_ns)
{
    uint64_t full = log->per_s * WEIR_S;
    uint64_t grown = multiply_saturating(time_since(now_ns, log->filled_ns), log->per_s);
    log->tokens = time_min(full, time_add(log->tokens, grown));
    log->filled_ns = time_max(log->filled_ns, now_ns);
    if (log->tokens < WEIR_S) return false;
    log->tokens -= WEIR_S;
    return true;
}

/* ---- the line ---- */

struct line {
    char text[1024];
    size_t length;
};

static __attribute__((format(printf, 2, 3))) void say(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof line->text - line->length;
    int wanted = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (wanted > 0) line->length += time_min((size_t)wanted, room - 1);
}

/* A kind is a word of the policy's author; one that isn't a bare word is quoted like a name. */
static void say_kind(struct line *line, const char *kind)
{
    static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    char escaped[ESCAPED];
    bool plain = kind[0] != '\0' && kind[strspn(kind, bare)] == '\0';
    escape(kind, escaped, sizeof escaped);
    say(line, plain ? " policy=%s" : " policy=\"%s\"", escaped);
}

static void say_event(struct line *line, const struct weir_pipeline *pipeline, const struct weir_event *event,
    uint64_t suppressed)
{
    char escaped[ESCAPED];
    say(line, "ts=%" PRIu64 ".%06" PRIu64, event->now_ns / WEIR_S, event->now_ns % WEIR_S / WEIR_US);
    escape(weir_pipeline_name(pipeline), escaped, sizeof escaped);
    say(line, " pipeline=\"%s\" event=%s", escaped, weir_event_text((enum weir_event_kind)event->kind));
    const struct weir_policy *policy = NULL;
    if (event->policy != 0) policy = weir_pipeline_policy(pipeline, event->policy - 1u);
    if (policy != NULL) {
        say_kind(line, weir_policy_kind(policy));
        say(line, " name=\"%s\"", escape(weir_policy_name(policy), escaped, sizeof escaped));
    }
    say(line, " attempt=%u reason=\"%s\" code=%" PRId32, event->attempt,
        weir_reason_text((enum weir_reason)event->reason), event->code);
    if (suppressed > 0) say(line, " suppressed=%" PRIu64, suppressed);
    say(line, "\n");
}

/* ---- the descriptor ---- */

/* A write to a pipe without a reader raises SIGPIPE for this thread. If it was pending before, it stays so. */
static ssize_t write_without_signal(int descriptor, const char *text, size_t length)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE) == 1) return write(descriptor, text, length);
    if (pthread_sigmask(SIG_BLOCK, &pipe_only, &before) != 0) return -1;
    ssize_t written = write(descriptor, text, length);
    if (written < 0 && errno == EPIPE) {
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec) { 0, 0 }) < 0 && errno == EINTR) continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return written;
}

static ssize_t put(int descriptor, const char *text, size_t length)
{
    ssize_t sent = send(descriptor, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || errno != ENOTSOCK) return sent;
    struct pollfd ready = { .fd = descriptor, .events = POLLOUT };
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return -1;
    return write_without_signal(descriptor, text, length);
}

static bool write_line(struct log_sink *log, const struct weir_pipeline *pipeline,
    const struct weir_event *event, uint64_t suppressed)
{
    struct line line;
    line.length = 0;
    if (log->torn) say(&line, "\n");
    say_event(&line, pipeline, event, suppressed);
    ssize_t written = put(log->descriptor, line.text, line.length);
    if (written <= 0) return false;
    log->torn = (size_t)written < line.length;
    return !log->torn;
}

static void log_event(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    struct log_sink *log = argument;
    if (!take_turn(log)) {
        atomic_add_relaxed(&log->suppressed, UINT64_C(1));
        return;
    }
    int error = errno;
    uint64_t lost = 1;
    if (take_token(log, event->now_ns)) {
        uint64_t suppressed = atomic_swap_acq_rel(&log->suppressed, UINT64_C(0));
        lost = write_line(log, pipeline, event, suppressed) ? 0 : suppressed + 1;
    }
    if (lost > 0) atomic_add_relaxed(&log->suppressed, lost);
    atomic_store_release(&log->turn, 0u);
    errno = error;
}

enum weir_error weir_log_sink_create(int descriptor, uint32_t per_s, struct weir_sink **sink)
{
    WEIR_REQUIRE(sink != NULL, "weir_log_sink_create", "sink is NULL");
    struct log_sink *log = calloc(1, sizeof *log);
    if (log == NULL) return error_set(WEIR_E_NOMEM, "no memory for a log sink");
    log->sink = (struct weir_sink) { log_event, log };
    log->descriptor = descriptor;
    log->per_s = per_s == 0 ? PER_S_DEFAULT : per_s;
    log->tokens = log->per_s * WEIR_S;
    *sink = &log->sink;
    return WEIR_E_NONE;
}

void weir_log_sink_destroy(struct weir_sink *sink)
{
    free(sink);
}
