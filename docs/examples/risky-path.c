/* A new parser that may fail, hang or crash, behind a gate and a breaker; who does not get through it, or falls in it,
 * gets the old parser's answer. Once in this process, once in a child of its own, whose crash is an outcome. */
#include "expect.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

/* ---- two parsers of "1,2,3" ---- */

struct document {
    const char *text;
    long sum;
    int old; /* the old parser read it */
};

static int parse_old(const char *text, long *sum)
{
    for (*sum = 0; *text != '\0'; text += *text == ',') {
        char *end;
        *sum += strtol(text, &end, 10);
        if (end == text) return EINVAL;
        text = end + strspn(end, " !?");
    }
    return 0;
}

/* Faster, but it does not know blanks, falls over "!" and never comes back from "?". */
static int parse_new(const char *text, long *sum)
{
    long number = 0;
    for (*sum = 0; *text != '\0'; text++) {
        if (*text == '!') abort();
        if (*text == '?') pause();
        if (*text == ' ') return EILSEQ;
        number = *text == ',' ? 0 : number * 10 + (*text - '0');
        if (text[1] == ',' || text[1] == '\0') *sum += number;
    }
    return 0;
}

/* The fallback's function: whatever happened to the new parser, the old one answers. */
static struct weir_outcome read_by_old(void *argument, const struct weir_attempt *attempt)
{
    struct document *document = argument;
    (void)attempt;
    document->old = 1;
    return weir_from_errno(parse_old(document->text, &document->sum));
}

/* ---- the pipeline: the old path around all, then who may, then whether it works at all, then for how long ---- */

static struct weir_pipeline *create_pipeline(uint32_t share, struct weir_policy *kept[4])
{
    struct weir_pipeline *pipeline;
    EXPECT(
        weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .name = "old parser", .function = read_by_old),
            &kept[0]) == WEIR_E_NONE);
    EXPECT(weir_gate_create(
               WEIR_CONFIG(weir_gate_config, .name = "new parser", .by = WEIR_GATE_BY_KEY, .share = share),
               &kept[1]) == WEIR_E_NONE);
    EXPECT(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = "new parser", .consecutive = 3,
                                   .open_ns = 60 * WEIR_S),
               &kept[2]) == WEIR_E_NONE);
    EXPECT(
        weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = WEIR_S), &kept[3]) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = "parser"), kept, 4, &pipeline) ==
        WEIR_E_NONE);
    for (int i = 0; i < 4; i++) weir_policy_release(kept[i]); /* the pipeline has its own references */
    return pipeline;
}

/* ---- in this process ---- */

static struct document parse_here(const struct weir_pipeline *parser, const char *user, const char *text)
{
    struct document document = { .text = text };
    struct weir_guard guard = { .argument = &document }; /* for the old parser */
    WEIR_GUARD(&guard, parser, WEIR_CONFIG(weir_call_options, .key = weir_key(user, strlen(user))))
    {
        guard.outcome = weir_from_errno(parse_new(text, &document.sum));
    }
    EXPECT(guard.outcome.status == WEIR_OK);
    EXPECT(document.old == ((guard.outcome.flags & WEIR_DEGRADED) != 0));
    return document;
}

static void show_it_here(void)
{
    struct weir_policy *part[4];
    struct weir_pipeline *parser = create_pipeline(20 * WEIR_PERCENT, part);
    int by_new = 0;
    for (int i = 0; i < 500; i++) {
        char user[16];
        snprintf(user, sizeof user, "user-%d", i);
        struct document document = parse_here(parser, user, "1,20,300");
        EXPECT(document.sum == 321 && document.old == parse_here(parser, user, "4").old);
        by_new += !document.old;
    }
    EXPECT(by_new > 50 && by_new < 150); /* a fifth of the users, and always the same */

    EXPECT(weir_gate_set_share(part[1], 100 * WEIR_PERCENT) == WEIR_E_NONE);
    for (int i = 0; i < 500; i++) {
        struct document document = parse_here(parser, "ann", "1, 2");
        EXPECT(
            document.sum == 3 && document.old); /* the new one failed, and at last was not asked any more */
    }
    EXPECT(weir_breaker_stats(part[2], weir_now(WEIR_TIMING_PRECISE)).state == WEIR_BREAKER_OPEN);
    weir_pipeline_destroy(parser);
}

/* ---- in a child ---- */

/* Its answer, or nothing before it ended or the time was over. */
static int await(int answer, const struct weir_attempt *attempt, long *sum)
{
    struct pollfd readable = { .fd = answer, .events = POLLIN };
    if (poll(&readable, 1, (int)weir_attempt_left_ms(attempt)) != 1) return ETIMEDOUT;
    return read(answer, sum, sizeof *sum) == (ssize_t)sizeof *sum ? 0 : EPIPE;
}

/* An operation. The child does nothing but parse: of a program with threads it has only this one. */
static struct weir_outcome parse_in_child(void *argument, const struct weir_attempt *attempt)
{
    struct document *document = argument;
    int answer[2], status;
    long sum;
    if (pipe(answer) != 0) return weir_from_errno(errno);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        int error = parse_new(document->text, &sum);
        if (error == 0 && write(answer[1], &sum, sizeof sum) != (ssize_t)sizeof sum) error = errno;
        _exit(error);
    }
    close(answer[1]);
    int error = child < 0 ? errno : await(answer[0], attempt, &sum);
    close(answer[0]);
    if (child < 0) return weir_from_errno(error);
    if (error == ETIMEDOUT) kill(child, SIGKILL);
    waitpid(child, &status, 0); /* it has ended, or is about to */
    if (error == 0) document->sum = sum;
    if (error != EPIPE) return weir_from_errno(error);
    return weir_from_int(WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status));
}

static struct document parse_apart(
    const struct weir_pipeline *parser, const char *text, struct weir_outcome *outcome)
{
    struct document document = { .text = text };
    *outcome = weir_run(
        parser, WEIR_CONFIG(weir_call_options, .key = weir_key("ann", 3)), parse_in_child, &document);
    EXPECT(outcome->status == WEIR_OK);
    return document;
}

static void show_it_apart(void)
{
    struct weir_policy *part[4];
    struct weir_pipeline *parser = create_pipeline(100 * WEIR_PERCENT, part);
    struct weir_outcome outcome;
    struct document document = parse_apart(parser, "1,20,300", &outcome);
    EXPECT(document.sum == 321 && !document.old);

    document = parse_apart(parser, "1,2!", &outcome); /* it crashes, and we do not */
    EXPECT(document.sum == 3 && document.old);
    EXPECT((outcome.flags & WEIR_DEGRADED) != 0 && outcome.code == 1000 + SIGABRT);

    document = parse_apart(parser, "1,2 ,3", &outcome);
    EXPECT(document.sum == 6 && document.old && outcome.code == EILSEQ);

    document = parse_apart(parser, "1,2?", &outcome); /* it hangs, and is killed at the deadline */
    EXPECT(document.sum == 3 && document.old && outcome.reason == WEIR_REASON_TIMEOUT);

    document = parse_apart(parser, "1,20,300", &outcome); /* three in a row: no child is started any more */
    EXPECT(document.sum == 321 && document.old && outcome.reason == WEIR_REASON_BREAKER_OPEN);

    char text[160];
    puts(weir_outcome_text(text, sizeof text, parser, outcome));
    weir_pipeline_destroy(parser);
}

int main(void)
{
    show_it_here();
    show_it_apart();
    return 0;
}
