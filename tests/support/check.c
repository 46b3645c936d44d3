/* The checks of test.h; the same code under Criterion and without it. */
#include "support/test.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void check_true(bool condition, const char *text, const char *file, int line)
{
    if (!condition) check_failed(file, line, "not true: %s", text);
}

/* 128 bits hold every signed and every unsigned 64-bit value; printf knows neither at once. */
static const char *decimal(check_integer value, char text[static 24])
{
    if (value < 0) {
        snprintf(text, 24, "%" PRId64, (int64_t)value);
    } else {
        snprintf(text, 24, "%" PRIu64, (uint64_t)value);
    }
    return text;
}

void check_equal(check_integer left, check_integer right, const char *left_text, const char *right_text,
    const char *file, int line)
{
    if (left == right) return;
    char left_value[24], right_value[24];
    check_failed(file, line, "%s is %s, %s is %s", left_text, decimal(left, left_value), right_text,
        decimal(right, right_value));
}

void check_string(const char *left, const char *right, const char *left_text, const char *right_text,
    const char *file, int line)
{
    if (left && right && strcmp(left, right) == 0) return;
    check_failed(file, line, "%s is \"%s\", %s is \"%s\"", left_text, left ? left : "(null)", right_text,
        right ? right : "(null)");
}

bool check_fork(struct check_child *child)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) check_failed(__FILE__, __LINE__, "pipe: %s", strerror(errno));
    child->pid = fork();
    if (child->pid < 0) check_failed(__FILE__, __LINE__, "fork: %s", strerror(errno));
    if (child->pid == 0) {
        const struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        return true;
    }
    close(ends[1]);
    child->errors = ends[0];
    return false;
}

void check_survived(void)
{
    _exit(0);
}

/* Reads to the end, so that the child never blocks, and keeps what fits. */
static void drain(int descriptor, char *text, size_t size)
{
    size_t used = 0;
    for (;;) {
        char rest[512];
        bool room = used < size - 1;
        ssize_t got =
            room ? read(descriptor, text + used, size - 1 - used) : read(descriptor, rest, sizeof rest);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (room) used += (size_t)got;
    }
    text[used] = '\0';
    close(descriptor);
}

void check_aborted(
    const struct check_child *child, const char *message, const char *text, const char *file, int line)
{
    char said[4096];
    drain(child->errors, said, sizeof said);
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) { }
    if (WIFEXITED(status)) {
        check_failed(
            file, line, "did not abort: %s; exit %d, on stderr: \"%s\"", text, WEXITSTATUS(status), said);
    }
    if (WTERMSIG(status) != SIGABRT) {
        check_failed(file, line, "died by signal %d instead of abort(): %s; on stderr: \"%s\"",
            WTERMSIG(status), text, said);
    }
    if (strstr(said, message) == NULL) {
        check_failed(file, line, "%s aborted, but not with \"%s\"; on stderr: \"%s\"", text, message, said);
    }
}
