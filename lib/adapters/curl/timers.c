#include "timers.h"

#include <weir/base.h>

#include <stdlib.h>

bool timers_reserve(struct timers *timers, size_t count)
{
    if (count <= timers->room) return true;
    size_t room = timers->room * 2 > count ? timers->room * 2 : count;
    struct timer **heap = realloc(timers->heap, (room + 1) * sizeof(struct timer *));
    if (heap == NULL) return false;
    timers->heap = heap;
    timers->room = room;
    return true;
}

void timers_free(struct timers *timers)
{
    free(timers->heap);
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void sift(struct timers *timers, size_t place, struct timer *timer)
{
    struct timer **heap = timers->heap;
    while (place > 1 && heap[place / 2]->due_ns > timer->due_ns) {
        put(timers, place, heap[place / 2]);
        place /= 2;
    }
    for (size_t child; (child = 2 * place) <= timers->count; place = child) {
        if (child < timers->count && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= timer->due_ns) break;
        put(timers, place, heap[child]);
    }
    put(timers, place, timer);
}

static void take_out(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last != timer) sift(timers, place, last);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
    timer->due_ns = due_ns;
    if (due_ns != WEIR_NEVER) sift(timers, timer->place != 0 ? timer->place : ++timers->count, timer);
    else if (timer->place != 0) take_out(timers, timer);
}

uint64_t timers_next(const struct timers *timers)
{
    return timers->count == 0 ? WEIR_NEVER : timers->heap[1]->due_ns;
}

struct timer *timers_due(struct timers *timers, uint64_t now_ns)
{
    if (timers_next(timers) > now_ns || timers->count == 0) return NULL;
    struct timer *timer = timers->heap[1];
    take_out(timers, timer);
    return timer;
}
