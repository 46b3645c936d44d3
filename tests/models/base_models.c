/* window: a list of what was added, with the bucket it lies in. histogram: a sorted array. */
#include "models/model.h"

#include "base/window.h"

#include <weir/histogram.h>

#include <stdlib.h>
#include <string.h>

/* ---- window ---- */

struct addition {
    uint32_t line;
    uint64_t epoch;
    bool bad;
};

/* An addition that comes late, when its bucket has been taken by an epoch 16 or more after it, counts there. */
static uint64_t epoch_it_counts_in(uint64_t epoch, uint64_t newest)
{
    while (epoch + 16 <= newest) epoch += 16;
    return epoch;
}

static void compare_window(const struct window *window, const struct addition *list, uint32_t count,
    const uint64_t *newest, uint64_t first, uint64_t now)
{
    uint64_t good = 0, bad = 0, from = now < 15 ? 0 : now - 15;
    if (first > now) first = now;
    if (from < first) from = first;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].epoch + 16 <= newest[list[i].line]) continue; /* its bucket was emptied */
        if (list[i].epoch < from) continue;
        good += !list[i].bad;
        bad += list[i].bad;
    }
    struct window_sum sum = window_sum(window, first, now), total = window_total(window);
    SAME(sum.good, good, "window: good");
    SAME(sum.bad, bad, "window: bad");
    SAME(total.good + total.bad, count, "window: everything ever added");
}

void window_model(const struct program *program)
{
    static struct window window;
    struct addition list[OPS_MAX];
    uint64_t newest[LINES] = { 0 }, seed = program->seed, now = 1000 + model_below(&seed, 3);
    uint64_t ahead = model_below(&seed, 4);
    memset(&window, 0, sizeof window);
    uint32_t count = 0;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        if (op->kind % 4 == 0) now += op->a % 8 == 0 ? op->b % 40 : op->b % 3;
        uint32_t line = op->a % 3 == 0 ? SHARDS : op->a % 5;
        uint64_t epoch = op->kind % 8 == 7 ? now - op->b % 40 : now + (ahead != 0 ? op->b % ahead : 0);
        bool bad = (op->kind & 8) != 0;
        window_add(&window, line, line < SHARDS, epoch, bad ? WINDOW_BAD : WINDOW_GOOD);
        if (epoch > newest[line]) newest[line] = epoch;
        list[count++] = (struct addition) { line, epoch_it_counts_in(epoch, newest[line]), bad };
        compare_window(&window, list, count, newest, 0, now);
        compare_window(&window, list, count, newest, now - op->b % 20, now);
    }
}

/* ---- histogram ---- */

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void compare_quantile(
    const struct weir_histogram *histogram, const uint64_t *sorted, uint32_t count, uint32_t millionths)
{
    uint64_t rank = 0; /* the first value with at least that share at or below it */
    while (rank + 1 < count && (rank + 1) * 1000000 < (uint64_t)count * millionths) rank++;
    uint64_t said = weir_histogram_quantile(histogram, millionths), is = sorted[rank];
    uint64_t off = said > is ? said - is : is - said;
    if (off * 1000 > is * 16) {
        differs("histogram: %" PRIu32 " millionths of %" PRIu32 ": lib %" PRIu64 ", model %" PRIu64,
            millionths, count, said, is);
    }
}

void histogram_model(const struct program *program)
{
    struct weir_histogram *part[2];
    uint64_t values[OPS_MAX], seed = program->seed;
    for (int i = 0; i < 2; i++) HOLDS(weir_histogram_create(&part[i]) == WEIR_E_NONE, "histogram: create");
    for (uint32_t i = 0; i < program->count; i++) {
        const struct op *op = &program->op[i];
        values[i] = ((uint64_t)op->a << 32 | op->b) >> (20 + op->kind % 36);
        if (model_below(&seed, 20) == 0) values[i] = (UINT64_C(1) << op->kind % 40) - (op->a & 1);
        weir_histogram_record(part[op->a >> 20 & 1], values[i]);
    }
    qsort(values, program->count, sizeof *values, by_value);
    weir_histogram_merge(part[0], part[1]);
    SAME(weir_histogram_count(part[0]), program->count, "histogram: count");
    for (uint32_t millionths = 0; millionths <= 1000000; millionths += 50000) {
        compare_quantile(part[0], values, program->count, millionths);
    }
    compare_quantile(part[0], values, program->count, 999999);
    for (int i = 0; i < 2; i++) weir_histogram_destroy(part[i]);
}
