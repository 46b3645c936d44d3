/* What changes, told as it happens: to a sink of our own, or as log lines to a descriptor. */
#include "expect.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

static struct weir_outcome fail(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return weir_from_errno(EIO);
}

/* Five failures in a row open the breaker; the call after them is refused. */
static void make_trouble(const struct weir_sink *sink)
{
    struct weir_policy *breaker;
    struct weir_pipeline *pipeline;
    EXPECT(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = "bank"), &breaker) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = "payments", .sink = sink), &breaker,
               1, &pipeline) == WEIR_E_NONE);
    weir_policy_release(breaker);
    for (int i = 0; i < 6; i++) (void)weir_run(pipeline, NULL, fail, NULL);
    weir_pipeline_destroy(pipeline);
}

struct counts {
    int of[WEIR_EVENTS];
};

/* Runs on a thread that made a call, after that call was decided, one event at a time. */
static void count(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    struct counts *counts = argument;
    counts->of[event->kind]++;
    printf("%s: %s, %s\n", weir_pipeline_name(pipeline), weir_event_text((enum weir_event_kind)event->kind),
        weir_reason_text((enum weir_reason)event->reason));
}

static void show_own_sink(void)
{
    struct counts counts = { { 0 } };
    make_trouble(&(struct weir_sink) { .event = count, .argument = &counts });
    EXPECT(counts.of[WEIR_EVENT_BREAKER_OPENED] == 1);
    EXPECT(counts.of[WEIR_EVENT_REFUSED] == 1);
}

/* The ready one. Here to a pipe, so that the example can read it back; usually to STDERR_FILENO. */
static void show_log_lines(void)
{
    int ends[2];
    struct weir_sink *log;
    EXPECT(pipe(ends) == 0);
    EXPECT(weir_log_sink_create(ends[1], 50, &log) == WEIR_E_NONE); /* at most 50 lines a second */
    make_trouble(log);
    weir_log_sink_destroy(log); /* after the pipelines that use it */
    close(ends[1]);

    char lines[2048];
    ssize_t length = read(ends[0], lines, sizeof lines - 1);
    EXPECT(length > 0);
    lines[length] = '\0';
    fputs(lines, stdout);
    EXPECT(strstr(lines, "pipeline=\"payments\" event=breaker.opened policy=breaker name=\"bank\"") != NULL);
    EXPECT(strstr(lines, "event=call.refused") != NULL);
    close(ends[0]);
}

int main(void)
{
    show_own_sink();
    show_log_lines();
    return 0;
}
