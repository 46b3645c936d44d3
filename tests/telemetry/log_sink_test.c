/* The log sink: what a line says, and that no descriptor can hurt the process. */
#include "support/test.h"

#include <weir/weir.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct scene {
    int out, in; /* what the sink writes to, and where the test reads it */
    struct weir_policy *breaker;
    struct weir_pipeline *pipeline;
    struct weir_sink *sink;
};

static struct scene scene_on(int out, int in, uint32_t per_s, const char *pipeline, const char *policy)
{
    struct scene scene = { .out = out, .in = in };
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = policy), &scene.breaker), 0);
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .name = pipeline), &scene.breaker, 1, &scene.pipeline),
        0);
    CHECK_EQ(weir_log_sink_create(out, per_s, &scene.sink), 0);
    return scene;
}

static struct scene scene_with(uint32_t per_s)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    return scene_on(ends[1], ends[0], per_s, "bank", "bank");
}

static void scene_end(struct scene *scene)
{
    weir_log_sink_destroy(scene->sink);
    weir_pipeline_destroy(scene->pipeline);
    weir_policy_release(scene->breaker);
    if (scene->out >= 0) close(scene->out);
    if (scene->in >= 0) close(scene->in);
}

static void tell(const struct scene *scene, uint64_t now_ns)
{
    struct weir_event event = { .kind = WEIR_EVENT_BREAKER_OPENED,
        .policy = 1,
        .attempt = 1,
        .reason = WEIR_REASON_BREAKER_OPEN,
        .now_ns = now_ns };
    scene->sink->event(scene->sink->argument, scene->pipeline, &event);
}

/* What has come out since; one text for the whole program. */
static const char *said(const struct scene *scene)
{
    static char text[1 << 18];
    ssize_t length = read(scene->in, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = '\0';
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    while ((text = strstr(text, word)) != NULL) n++, text++;
    return n;
}

TEST(log_sink, a_line_says_it_all)
{
    struct scene scene = scene_with(0);
    struct weir_event event = { .kind = WEIR_EVENT_REFUSED, .attempt = 3, .code = -7, .now_ns = 5 * WEIR_US };
    tell(&scene, UINT64_C(12345678901234));
    CHECK_STR(said(&scene),
        "ts=12345.678901 pipeline=\"bank\" event=breaker.opened policy=breaker "
        "name=\"bank\" attempt=1 reason=\"breaker open\" code=0\n");
    scene.sink->event(scene.sink->argument, scene.pipeline, &event);
    CHECK_STR(
        said(&scene), "ts=0.000005 pipeline=\"bank\" event=call.refused attempt=3 reason=\"none\" code=-7\n");
    scene_end(&scene);
}

TEST(log_sink, names_cannot_forge_lines)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    struct scene scene = scene_on(ends[1], ends[0], 0, "a\"b\\c\r\nts=0", "\x1b[31m\xc3\xa9");
    tell(&scene, 0);
    CHECK_STR(said(&scene),
        "ts=0.000000 pipeline=\"a\\x22b\\x5cc\\x0d\\x0ats=0\" event=breaker.opened "
        "policy=breaker name=\"\\x1b[31m\\xc3\\xa9\" attempt=1 reason=\"breaker open\" "
        "code=0\n");
    scene_end(&scene);
}

TEST(log_sink, the_longest_names_fit)
{
    int ends[2];
    char name[WEIR_NAME_MAX + 1];
    memset(name, '\n', WEIR_NAME_MAX);
    name[WEIR_NAME_MAX] = '\0';
    CHECK_EQ(pipe(ends), 0);
    struct scene scene = scene_on(ends[1], ends[0], 0, name, name);
    tell(&scene, UINT64_MAX);
    const char *line = said(&scene);
    CHECK_EQ(count(line, "\\x0a"), 2 * WEIR_NAME_MAX);
    CHECK(strstr(line, " code=0\n") != NULL);
    scene_end(&scene);
}

TEST(log_sink, more_than_per_s_is_counted_and_told)
{
    struct scene scene = scene_with(10);
    for (int i = 0; i < 25; i++) tell(&scene, 100 * WEIR_S);
    CHECK_EQ(count(said(&scene), "\n"), 10);
    tell(&scene, 100 * WEIR_S + 99 * WEIR_MS);
    CHECK_STR(said(&scene), "");
    tell(&scene, 100 * WEIR_S + 100 * WEIR_MS);
    const char *line = said(&scene);
    CHECK_EQ(count(line, "\n"), 1);
    CHECK_EQ(count(line, " suppressed=16\n"), 1);
    tell(&scene, 99 * WEIR_S); /* late: takes nothing and gives nothing */
    tell(&scene, 200 * WEIR_S);
    CHECK_EQ(count(said(&scene), " suppressed=1\n"), 1);
    tell(&scene, 200 * WEIR_S);
    CHECK_EQ(count(said(&scene), "suppressed"), 0);
    scene_end(&scene);
}

TEST(log_sink, a_full_pipe_loses_lines_and_delays_nobody)
{
    struct scene scene = scene_with(1000000);
    uint64_t now_ns = 100 * WEIR_S, told = 0;
    CHECK_EQ(fcntl(scene.out, F_GETFL) & O_NONBLOCK, 0);
    for (; told < 2000; told++) tell(&scene, now_ns += WEIR_MS); /* some 120 bytes each, 64 KiB in all */
    uint64_t got = (uint64_t)count(said(&scene), "\n");
    CHECK(got > 100);
    CHECK(got < told);
    char tail[64];
    snprintf(tail, sizeof tail, " suppressed=%llu\n", (unsigned long long)(told - got));
    tell(&scene, now_ns);
    CHECK_EQ(count(said(&scene), tail), 1);
    scene_end(&scene);
}

static volatile sig_atomic_t pipes_broken;

static void on_pipe(int number)
{
    (void)number;
    pipes_broken++;
}

TEST(log_sink, a_pipe_without_a_reader_raises_no_signal)
{
    struct scene scene = scene_with(0);
    signal(SIGPIPE, on_pipe);
    close(scene.in);
    scene.in = -1;
    errno = 77;
    for (int i = 0; i < 3; i++) tell(&scene, 0);
    CHECK_EQ(errno, 77);
    CHECK_EQ(pipes_broken, 0);
    sigset_t mask;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQ(sigismember(&mask, SIGPIPE), 0);
    scene_end(&scene);
}

TEST(log_sink, a_signal_that_was_pending_stays_so)
{
    struct scene scene = scene_with(0);
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &mask, &before), 0);
    CHECK_EQ(pthread_kill(pthread_self(), SIGPIPE), 0);
    close(scene.in);
    scene.in = -1;
    tell(&scene, 0);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
    CHECK_EQ(sigtimedwait(&mask, NULL, &(struct timespec) { 0, 0 }), SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    scene_end(&scene);
}

TEST(log_sink, a_socket_neither_blocks_nor_raises)
{
    int ends[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct scene scene = scene_on(ends[0], ends[1], 1000000, "bank", "bank");
    signal(SIGPIPE, on_pipe);
    tell(&scene, 0);
    CHECK_EQ(count(said(&scene), "event=breaker.opened"), 1);
    for (uint64_t i = 0; i < 5000; i++) tell(&scene, i * WEIR_MS);
    close(scene.in);
    scene.in = -1;
    tell(&scene, 10 * WEIR_S);
    CHECK_EQ(pipes_broken, 0);
    scene_end(&scene);
}

TEST(log_sink, a_descriptor_that_is_none_loses_lines)
{
    struct scene scene = scene_on(-1, -1, 0, "bank", "bank");
    tell(&scene, 0);
    scene_end(&scene);
}

TEST(log_sink, a_torn_line_is_ended_first)
{
    char path[] = "/tmp/weir-log-sink-XXXXXX";
    int out = mkstemp(path);
    CHECK(out >= 0);
    struct scene scene = scene_on(out, open(path, O_RDONLY), 0, "bank", "bank");
    unlink(path);
    struct rlimit limit, small;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 20;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    tell(&scene, 0);
    tell(&scene, 0);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    tell(&scene, 0);
    const char *text = said(&scene);
    CHECK_EQ(strncmp(text, "ts=0.000000 pipeline\nts=0.000000 pipeline=", 42), 0);
    CHECK_EQ(count(text, " suppressed=2\n"), 1);
    scene_end(&scene);
}

/* Events of two pipelines at once: every one is a line or is counted. */
#define EACH 300

static void *tell_many(void *argument)
{
    for (uint64_t i = 0; i < EACH; i++) tell(argument, i * WEIR_MS);
    return NULL;
}

TEST(log_sink, threads_share_it)
{
    struct scene scene = scene_with(1000000);
    CHECK(fcntl(scene.out, F_SETPIPE_SZ, 1 << 20) > 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, tell_many, &scene), 0);
    tell_many(&scene);
    pthread_join(thread, NULL);
    tell(&scene, WEIR_S);
    const char *text = said(&scene);
    uint64_t lines = (uint64_t)count(text, "\n"), suppressed = 0;
    while ((text = strstr(text, " suppressed=")) != NULL) {
        text += strlen(" suppressed=");
        suppressed += strtoull(text, NULL, 10);
    }
    CHECK_EQ(lines + suppressed, 2 * EACH + 1);
    scene_end(&scene);
}

TEST(log_sink, every_kind_has_a_text)
{
    for (unsigned kind = 0; kind < WEIR_EVENTS; kind++) {
        CHECK(strlen(weir_event_text((enum weir_event_kind)kind)) > 1);
    }
    CHECK_STR(weir_event_text(WEIR_EVENT_BREAKER_OPENED), "breaker.opened");
    CHECK_STR(weir_event_text((enum weir_event_kind)WEIR_EVENTS), "?");
    CHECK_STR(weir_event_text((enum weir_event_kind)99), "?");
}

TEST(log_sink, misuse_aborts_by_name)
{
    CHECK_ABORTS(CHECK_EQ(weir_log_sink_create(2, 0, NULL), 0), "weir_log_sink_create: sink is NULL");
    weir_log_sink_destroy(NULL);
}
