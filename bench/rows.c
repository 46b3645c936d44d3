/* All rows, in the order of the table. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row *const groups[] = {
    floor_rows,
    breaker_rows,
    context_rows,
    pipeline_rows,
    rate_rows,
    bulkhead_rows,
    gate_rows,
    histogram_rows,
    shared_rows,
    NULL,
};

size_t rows_select(const char *prefix, const struct row *rows[ROWS_MAX])
{
    size_t count = 0;
    for (const struct row *const *group = groups; *group; group++) {
        for (const struct row *row = *group; row->name; row++) {
            if (strncmp(row->name, prefix, strlen(prefix)) == 0) {
                require(count < ROWS_MAX, "more than %d rows", ROWS_MAX);
                rows[count++] = row;
            }
        }
    }
    return count;
}

const struct row *rows_unit(void)
{
    return &floor_rows[0];
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("weir-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void created(enum weir_error error, const char *what)
{
    require(error == WEIR_E_NONE, "%s was not created: %s", what, weir_error_text());
}
