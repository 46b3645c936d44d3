/* The merged history of several processes. */
#include "redis/support/history.h"

#include "redis/support/await.h"
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 3, EACH = 20000 };

/* In a child: no check here, its exit status tells. */
static pid_t spawn(void (*body)(struct history *, const char *, uint16_t), struct history *history,
    const char *path, uint16_t process)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        body(history, path, process);
        _exit(0);
    }
    return child;
}

static void reap(pid_t child)
{
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static int gate[2]; /* closed: they begin, at once */

/* Half of them comes by the file, as after exec, half by fork. */
static void write_all(struct history *history, const char *path, uint16_t process)
{
    if (process % 2 == 0) history_join(history, path, process);
    history->process = process;
    char none;
    close(gate[1]);
    if (read(gate[0], &none, 1) != 0) _exit(1);
    for (int64_t i = 0; i < EACH; i++) history_add(history, 7, process * 10U, i, -i);
}

TEST(redis_history, merges_processes_without_loss)
{
    struct history history;
    struct history_event *events;
    char path[] = "/tmp/weir-history-XXXXXX";
    pid_t children[PROCESSES];
    int64_t next[PROCESSES + 1] = { 0 };
    close(mkstemp(path));
    history_create(&history, path, PROCESSES * EACH);
    CHECK_EQ(pipe(gate), 0);
    for (uint16_t i = 0; i < PROCESSES; i++) children[i] = spawn(write_all, &history, path, i + 1);
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < PROCESSES; i++) reap(children[i]);
    CHECK_EQ(history_missing(&history), 0);
    CHECK_EQ(history_read(&history, &events), PROCESSES * EACH);
    for (size_t i = 0; i < PROCESSES * EACH; i++) {
        const struct history_event *event = &events[i];
        CHECK(i == 0 || event[-1].at_ns <= event->at_ns);
        CHECK(event->process >= 1 && event->process <= PROCESSES);
        CHECK_EQ(event->a, next[event->process]++); /* a process' own order is kept */
        CHECK_EQ(event->b, -event->a);
        CHECK_EQ(event->object, event->process * 10);
        CHECK_EQ(event->kind, 7);
    }
    free(events);
    history_close(&history);
    unlink(path);
}

TEST(redis_history, sorts_by_the_time_that_is_given)
{
    struct history history;
    struct history_event *events;
    history_create(&history, NULL, 5);
    const int64_t now_ns = history_now_ns();
    history_add_at(&history, now_ns, 1, 0, 1, 0);
    history_add_at(&history, now_ns - 5, 1, 0, 2, 0);
    history_add_at(&history, now_ns, 1, 0, 3, 0);
    CHECK_EQ(history_read(&history, &events), 3);
    CHECK_EQ(events[0].a, 2);
    CHECK_EQ(events[1].a, 1);
    CHECK_EQ(events[2].a, 3);
    free(events);
    history_add_at(&history, 0, 1, 0, 4, 0); /* what a writer leaves that died at it */
    CHECK_EQ(history_missing(&history), 1);
    CHECK_EQ(history_read(&history, &events), 3);
    free(events);
    history_close(&history);
}

/* Without end: it is killed in the middle of something. */
static void write_for_ever(struct history *history, const char *path, uint16_t process)
{
    (void)path, (void)process;
    for (;;) history_add(history, 1, 0, 0, 0);
}

TEST(redis_history, counts_what_found_no_place_and_outlives_its_writer)
{
    struct history history;
    struct history_event *events;
    history_create(&history, NULL, 100);
    pid_t child = spawn(write_for_ever, &history, NULL, 0);
    CHECK(AWAIT(history_missing(&history) > 1000, 10000));
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(history_read(&history, &events), 100);
    free(events);
    history_close(&history);
}
