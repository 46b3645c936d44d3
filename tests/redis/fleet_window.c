#include "redis/fleet_window.h"

#include "redis/support/client.h"

#include <stdlib.h>

#define NOT_BEGUN (INT64_MIN / 2)

struct node {
    int64_t most; /* of all below, with what is added here and below */
    int64_t add;
};

struct windows {
    size_t leaves; /* a power of two */
    struct node node[];
};

struct windows *windows_create(size_t count)
{
    size_t leaves = 1;
    while (leaves < count) leaves *= 2;
    struct windows *windows = malloc(sizeof *windows + 2 * leaves * sizeof(struct node));
    if (windows == NULL) redis_die("windows: no memory");
    windows->leaves = leaves;
    for (size_t i = 0; i < 2 * leaves; i++) windows->node[i] = (struct node) { NOT_BEGUN, 0 };
    return windows;
}

void windows_destroy(struct windows *windows)
{
    free(windows);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* To those from `first` to before `last`, of the `width` leaves from `from` on that are below the node. */
static void add(
    struct windows *windows, size_t at, size_t from, size_t width, size_t first, size_t last, int64_t value)
{
    struct node *node = &windows->node[at];
    if (last <= from || from + width <= first) return;
    if (first <= from && from + width <= last) {
        node->most += value;
        node->add += value;
        return;
    }
    add(windows, 2 * at, from, width / 2, first, last, value);
    add(windows, 2 * at + 1, from + width / 2, width / 2, first, last, value);
    node->most = larger(windows->node[2 * at].most, windows->node[2 * at + 1].most) + node->add;
}

void windows_add(struct windows *windows, size_t count, int64_t value)
{
    add(windows, 1, 0, windows->leaves, 0, count, value);
}

void windows_begin(struct windows *windows, size_t index, int64_t value)
{
    add(windows, 1, 0, windows->leaves, index, index + 1, value - NOT_BEGUN);
}

int64_t windows_worst(const struct windows *windows, size_t *index)
{
    size_t at = 1;
    while (at < windows->leaves) {
        at *= 2;
        if (windows->node[at + 1].most > windows->node[at].most) at++;
    }
    *index = at - windows->leaves;
    return windows->node[1].most;
}
