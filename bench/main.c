/* weir-bench: what a decision costs, and that it allocates nothing and calls no system. bench.h says what
 * rows, cells and rounds are, live.h what the rows with real libraries are. */
#include "live.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *json, *prefix, *known;
    unsigned rounds;
};

static const char usage[] =
    "usage: weir-bench [--json FILE] [--filter PREFIX] [--rounds N]\n"
    "  --json FILE      write the rows there as well\n"
    "  --filter PREFIX  only rows whose name starts so\n"
    "  --rounds N       processes that measure, at most 100; 0: only count; default: 5\n";

static bool parse_rounds(const char *text, unsigned *rounds)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > ROUNDS_MAX) {
        return false;
    }
    *rounds = (unsigned)value;
    return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1]; /* argv ends with NULL */
        if (!value) {
            return false;
        }
        if (strcmp(argv[i], "--json") == 0) {
            options->json = value;
        } else if (strcmp(argv[i], "--filter") == 0) {
            options->prefix = value;
        } else if (strcmp(argv[i], ROUND_OPTION) == 0) {
            options->known = value;
        } else if (strcmp(argv[i], "--rounds") != 0 || !parse_rounds(value, &options->rounds)) {
            return false;
        }
    }
    return true;
}

/* The rows of decisions: counted, measured, printed; their results are written to results. */
static bool decisions(
    const struct options *options, const struct row *const rows[], size_t count, struct result results[])
{
    static struct count counts[ROWS_MAX];
    static struct series series[ROWS_MAX];
    struct quiet quiet = { { 0 } };
    if (count == 0) {
        return true;
    }
    count_rows(rows, count, counts);
    rounds_run(options->rounds, options->prefix, count, series, &quiet);
    for (size_t i = 0; i < count; i++) {
        results[i] = result_of(rows[i], &series[i], options->rounds, &quiet, &counts[i]);
    }
    report_table(results, count, options->rounds);
    return report_promise(results, count);
}

static void write_json(FILE *file, const struct result results[], size_t count)
{
    fprintf(file, "{");
    report_json(file, results, count);
    live_json(file);
    fprintf(file, "}\n");
}

int main(int argc, char **argv)
{
    static const struct row *rows[ROWS_MAX];
    static struct result results[ROWS_MAX];
    struct options options = { .prefix = "", .rounds = 5 };
    if (!parse(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    size_t count = rows_select(options.prefix, rows);
    if (count == 0 && !live_selects(options.prefix)) {
        fprintf(stderr, "weir-bench: no row starts with \"%s\"\n", options.prefix);
        return 2;
    }
    if (options.known) {
        round_main(rows, count, options.known);
        return 0;
    }
    FILE *json = options.json ? fopen(options.json, "w") : NULL;
    require(json || !options.json, "%s cannot be written", options.json);
    bool kept = decisions(&options, rows, count, results);
    if (options.rounds > 0) {
        live_run(options.prefix);
    }
    if (json) {
        write_json(json, results, count);
        require(!ferror(json) && fclose(json) == 0, "%s cannot be written", options.json);
    }
    return kept ? 0 : 1;
}
