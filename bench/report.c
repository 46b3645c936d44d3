#include "report.h"

#include <math.h>

struct result result_of(const struct row *row, const struct series *series, unsigned rounds,
    const struct quiet *quiet, const struct count *count)
{
    double ns[ROUNDS_MAX], units[ROUNDS_MAX], controls[ROUNDS_MAX];
    struct result result = { .row = row };
    for (unsigned r = 0; r < rounds; r++) {
        result.clean += cell_clean(row, &series->cell[r], quiet);
    }
    unsigned kept = 0;
    for (unsigned r = 0; r < rounds; r++) {
        const struct cell *cell = &series->cell[r];
        if (result.clean > 0 && !cell_clean(row, cell, quiet)) {
            continue;
        }
        ns[kept] = cell->ns;
        units[kept] = cell->ns / series->unit_ns[r];
        controls[kept++] = row->threads > 1 ? cell->ns / cell->control_ns : NAN;
    }
    double operations = (double)count->operations;
    result.ns_op = median(ns, kept); /* sorts them */
    result.ns_min = kept > 0 ? ns[0] : NAN;
    result.ns_max = kept > 0 ? ns[kept - 1] : NAN;
    result.x_unit = median(units, kept);
    result.x_control = row->threads > 1 ? median(controls, kept) : NAN;
    result.allocs_op = (double)count->allocations / operations;
    result.syscalls_op = (double)count->syscalls / operations;
    return result;
}

/* ---- the table ---- */

/* " 1.23", or a dash where it does not apply. */
static void print_cell(int width, int decimals, double value)
{
    if (isnan(value)) {
        printf(" %*s", width, "-");
    } else {
        printf(" %*.*f", width, decimals, value);
    }
}

static void print_verdict(const struct result *result)
{
    const struct row *row = result->row;
    bool by_control = row->reach_control > 0;
    double reach = by_control ? row->reach_control : row->reach_unit;
    double value = by_control ? result->x_control : result->x_unit;
    if (reach == 0) {
        printf("  stated\n");
    } else {
        printf("  %5.2f %-9s ", reach, by_control ? "x control" : "U");
        if (isnan(value)) {
            printf("not measured\n");
        } else if (value <= reach) {
            printf("met\n");
        } else {
            printf("missed by %.1f %%\n", (value / reach - 1) * 100);
        }
    }
}

void report_table(const struct result results[], size_t count, unsigned rounds)
{
    unsigned noisy = 0;
    printf("%-28s thr   ns/op     min     max       U  x ctrl  alloc  sysc  reach\n", "row");
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &results[i];
        noisy += rounds - result->clean;
        printf("%-28s %3u", result->row->name, result->row->threads);
        print_cell(7, 2, result->ns_op);
        print_cell(7, 2, result->ns_min);
        print_cell(7, 2, result->ns_max);
        print_cell(7, 3, result->x_unit);
        print_cell(7, 2, result->x_control);
        printf(" %6.4g %5.4g", result->allocs_op, result->syscalls_op);
        printf("%c", result->clean > 0 || rounds == 0 ? ' ' : '~');
        print_verdict(result);
    }
    if (rounds == 0) {
        printf("counted only\n");
        return;
    }
    printf("medians of %u round(s); %u of %zu cells were measured on a busy machine", rounds, noisy,
        count * rounds);
    printf("%s\n", noisy > 0 ? " and left out (~: no other was there)" : "");
}

bool report_promise(const struct result results[], size_t count)
{
    bool kept = true;
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &results[i];
        if (result->allocs_op == 0 && result->syscalls_op == 0) {
            continue;
        }
        fprintf(stderr, "weir-bench: %s allocates or calls the system\n", result->row->name);
        kept = false;
    }
    return kept;
}

/* ---- JSON ---- */

static void write_field(FILE *file, const char *name, double value)
{
    if (isnan(value)) {
        fprintf(file, ", \"%s\": null", name);
    } else {
        fprintf(file, ", \"%s\": %.6g", name, value);
    }
}

void report_json(FILE *file, const struct result results[], size_t count)
{
    fprintf(file, "\"rows\": [");
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &results[i];
        fprintf(file, "%s\n  {\"name\": \"%s\", \"threads\": %u", i > 0 ? "," : "", result->row->name,
            result->row->threads);
        write_field(file, "ns_op", result->ns_op);
        write_field(file, "ns_min", result->ns_min);
        write_field(file, "ns_max", result->ns_max);
        write_field(file, "x_unit", result->x_unit);
        write_field(file, "x_control", result->x_control);
        write_field(file, "allocs_op", result->allocs_op);
        write_field(file, "syscalls_op", result->syscalls_op);
        fprintf(file, "}");
    }
    fprintf(file, "\n]");
}
