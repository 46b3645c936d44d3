#include "redis/fleet_check.h"

#include <stdlib.h>

static int by_end(const void *left, const void *right)
{
    const struct history_event *a = left, *b = right;
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

int64_t fleet_stall_ns(const struct history_event *events, size_t count, enum fleet_stage wanted)
{
    int64_t most_ns = 0;
    uint32_t stage = UP;
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        if (event->kind == LOG_STAGE) stage = event->object;
        if (event->kind == LOG_STALL && stage == wanted && most_ns < event->b) most_ns = event->b;
    }
    return most_ns;
}

bool fleet_check(struct history_event *events, size_t count, struct fleet_figures *figures, FILE *stream)
{
    *figures = (struct fleet_figures) { 0 };
    qsort(events, count, sizeof *events, by_end);
    bool rates = fleet_check_rates(events, count, figures, stream);
    bool permits = fleet_check_permits(events, count, figures, stream);
    bool breakers = fleet_check_breakers(events, count, figures, stream);
    return rates && permits && breakers;
}
