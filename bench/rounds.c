/* The parent runs this program again for each round and reads from a pipe: the unit's cell, the rows'
 * cells, what the child saw of the machine's quiet. Both are the same program, so structs travel as they
 * are. */
#include "rounds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(const void *bytes, size_t size)
{
    require(fwrite(bytes, size, 1, stdout) == 1, "a round could not tell its results");
}

static void take(FILE *pipe, void *bytes, size_t size)
{
    require(fread(bytes, size, 1, pipe) == 1, "a round ended early");
}

/* What an earlier process saw travels in the command line: one number for each count of threads. */
static void quiet_print(const struct quiet *quiet, char *text, size_t size)
{
    snprintf(text, size, "%.4f,%.4f", quiet->alu_ns[1], quiet->alu_ns[2]);
}

static void quiet_parse(struct quiet *quiet, const char *text)
{
    char *comma, *end;
    quiet->alu_ns[1] = strtod(text, &comma);
    require(*comma == ',', "%s is not for the hand", ROUND_OPTION);
    quiet->alu_ns[2] = strtod(comma + 1, &end);
    require(*end == 0, "%s is not for the hand", ROUND_OPTION);
}

void round_main(const struct row *const rows[], size_t rows_count, const char *known)
{
    struct quiet quiet = { { 0 } };
    quiet_parse(&quiet, known);
    struct cell unit = measure(rows_unit(), &quiet);
    put(&unit, sizeof unit);
    for (size_t i = 0; i < rows_count; i++) {
        struct cell cell = rows[i] == rows_unit() ? unit : measure(rows[i], &quiet);
        put(&cell, sizeof cell);
    }
    put(&quiet, sizeof quiet);
    require(fflush(stdout) == 0, "a round could not tell its results");
}

/* Starts the child of a round; answers the reading end of its pipe. */
static FILE *round_start(const char *prefix, const struct quiet *quiet, pid_t *child)
{
    int ends[2];
    char known[64];
    quiet_print(quiet, known, sizeof known);
    require(pipe(ends) == 0, "no pipe");
    *child = fork();
    require(*child >= 0, "no process for a round");
    if (*child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "weir-bench", ROUND_OPTION, known, "--filter", prefix, (char *)NULL);
        perror("weir-bench: /proc/self/exe");
        _exit(1);
    }
    close(ends[1]);
    FILE *pipe_end = fdopen(ends[0], "r");
    require(pipe_end != NULL, "out of memory");
    return pipe_end;
}

void rounds_run(
    unsigned rounds, const char *prefix, size_t rows_count, struct series series[], struct quiet *quiet)
{
    require(rounds <= ROUNDS_MAX, "more than %d rounds", ROUNDS_MAX);
    for (unsigned r = 0; r < rounds; r++) {
        pid_t child;
        int status;
        struct cell unit;
        FILE *results = round_start(prefix, quiet, &child);
        take(results, &unit, sizeof unit);
        for (size_t i = 0; i < rows_count; i++) {
            take(results, &series[i].cell[r], sizeof unit);
            series[i].unit_ns[r] = unit.ns;
        }
        take(results, quiet, sizeof *quiet);
        fclose(results);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) { }
        require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a round failed");
        fprintf(stderr, "round %u of %u\n", r + 1, rounds);
    }
}
