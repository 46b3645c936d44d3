#include "redis/support/history.h"

#include "redis/support/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct history_file {
    uint64_t taken; /* may pass the limit */
    uint64_t limit;
    struct history_event events[];
};

static void map(struct history *history, int descriptor, size_t size)
{
    history->size = size;
    history->file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (history->file == MAP_FAILED) redis_die("history: %s", strerror(errno));
    close(descriptor);
}

void history_create(struct history *history, const char *path, uint32_t limit)
{
    const size_t size = sizeof(struct history_file) + limit * sizeof(struct history_event);
    int descriptor = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                          : memfd_create("history", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)size) != 0) {
        redis_die("history: %s: %s", path ? path : "memory", strerror(errno));
    }
    history->process = 0;
    map(history, descriptor, size);
    history->file->limit = limit;
}

void history_join(struct history *history, const char *path, uint16_t process)
{
    struct stat status;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        redis_die("history: %s: %s", path, strerror(errno));
    }
    history->process = process;
    map(history, descriptor, (size_t)status.st_size);
}

void history_close(struct history *history)
{
    munmap(history->file, history->size);
    history->file = NULL;
}

int64_t history_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void history_add_at(
    const struct history *history, int64_t at_ns, uint16_t kind, uint32_t object, int64_t a, int64_t b)
{
    uint64_t place = __atomic_fetch_add(&history->file->taken, 1, __ATOMIC_RELAXED);
    if (place >= history->file->limit) return;
    struct history_event *event = &history->file->events[place];
    event->order = (uint32_t)place;
    event->process = history->process;
    event->kind = kind;
    event->object = object;
    event->a = a;
    event->b = b;
    __atomic_store_n(&event->at_ns, at_ns, __ATOMIC_RELEASE);
}

void history_add(const struct history *history, uint16_t kind, uint32_t object, int64_t a, int64_t b)
{
    history_add_at(history, history_now_ns(), kind, object, a, b);
}

/* Of so many taken, those that exist. */
static uint64_t places(const struct history *history, uint64_t taken)
{
    return taken < history->file->limit ? taken : history->file->limit;
}

static uint64_t taken_now(const struct history *history)
{
    return __atomic_load_n(&history->file->taken, __ATOMIC_ACQUIRE);
}

static bool is_written(const struct history_event *event)
{
    return __atomic_load_n(&event->at_ns, __ATOMIC_ACQUIRE) != 0;
}

static int by_time(const void *left, const void *right)
{
    const struct history_event *a = left, *b = right;
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

size_t history_read(const struct history *history, struct history_event **events)
{
    const uint64_t there = places(history, taken_now(history));
    size_t count = 0;
    struct history_event *copy = malloc((there + 1) * sizeof *copy);
    if (!copy) redis_die("history: no memory");
    for (uint64_t i = 0; i < there; i++) {
        const struct history_event *event = &history->file->events[i];
        if (is_written(event)) copy[count++] = *event;
    }
    qsort(copy, count, sizeof *copy, by_time);
    *events = copy;
    return count;
}

uint64_t history_missing(const struct history *history)
{
    const uint64_t taken = taken_now(history);
    uint64_t written = 0;
    for (uint64_t i = 0; i < places(history, taken); i++) written += is_written(&history->file->events[i]);
    return taken - written;
}
