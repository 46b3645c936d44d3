#include "plot.h"

#include "control.h"
#include "phases.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_S 0.2
#define WINDOW_S 0.5 /* about each step: long enough that its count is not noise */

static bool write_step(FILE *file, const struct load *loads[SIDES], double at_s, double seconds)
{
    double from_s = at_s < WINDOW_S / 2 ? 0 : at_s - WINDOW_S / 2, to_s = at_s + WINDOW_S / 2;
    struct span span = { from_s, to_s < seconds ? to_s : seconds, 0, DEADLINE_NS };
    struct call_figures of[SIDES];
    for (int side = 0; side < SIDES; side++)
        if (!measure_calls(loads[side], span, &of[side])) return false;
    double window_s = span.to_s - span.from_s;
    return fprintf(file, "%.1f\t%.1f\t%.1f\t%.2f\t%.2f\n", at_s, (double)of[BARE].fresh / window_s,
               (double)of[GUARDED].fresh / window_s, of[BARE].p99_ms, of[GUARDED].p99_ms) > 0;
}

static bool write_data(const struct load *loads[SIDES], double seconds, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) return false;
    bool written =
        fprintf(file, "# seconds\tbare goodput/s\tguarded goodput/s\tbare p99 ms\tguarded p99 ms\n") > 0;
    for (int step = 0; written && step * STEP_S <= seconds; step++)
        written = write_step(file, loads, step * STEP_S, seconds);
    return fclose(file) == 0 && written;
}

/* gnuplot takes the name and the length of the run as arguments of the script, which lies beside the demo. */
static bool draw(const char *name, double seconds)
{
    char script[PATH_MAX], length[32];
    if (!beside_program("plot.gp", script, sizeof script)) return false;
    snprintf(length, sizeof length, "%.0f", seconds);
    /* posix_spawn() takes char * and changes nothing */
    char *arguments[] = { (char *)"gnuplot", (char *)"-c", script, (char *)name, length, NULL };
    pid_t pid;
    int status, error = posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ);
    if (error) {
        fprintf(stderr, "weir-demo: no plot, gnuplot (Debian package gnuplot-nox): %s\n", strerror(error));
        return false;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    fprintf(stderr, "weir-demo: no plot, gnuplot failed\n");
    return false;
}

bool plot_write(const struct load *bare, const struct load *guarded, double seconds, const char *name)
{
    const struct load *loads[SIDES] = { [BARE] = bare, [GUARDED] = guarded };
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s.tsv", name) >= (int)sizeof path ||
        !write_data(loads, seconds, path)) {
        fprintf(stderr, "weir-demo: cannot write %s.tsv: %s\n", name, strerror(errno));
        return false;
    }
    return draw(name, seconds);
}
