#include "handles.h"

#include <stdint.h>
#include <stdlib.h>

#define BITS_MIN 4
#define GOLDEN \
    UINT64_C(0x9e3779b97f4a7c15) /* Fibonacci hashing: its high bits depend on all of a pointer's */

static size_t next(const struct handles *handles, size_t at)
{
    return (at + 1) & (((size_t)1 << handles->bits) - 1);
}

static size_t home(const struct handles *handles, CURL *easy)
{
    return (size_t)((uint64_t)(uintptr_t)easy * GOLDEN >> (64 - handles->bits));
}

/* Where it is, or the empty slot where it would be. */
static size_t place(const struct handles *handles, CURL *easy)
{
    size_t at = home(handles, easy);
    while (handles->slot[at].easy != NULL && handles->slot[at].easy != easy) at = next(handles, at);
    return at;
}

bool handles_reserve(struct handles *handles)
{
    size_t room = handles->bits == 0 ? 0 : (size_t)1 << handles->bits;
    if (2 * (handles->count + 1) <= room) return true;
    struct handles larger = { .bits = handles->bits == 0 ? BITS_MIN : handles->bits + 1 };
    larger.slot = calloc((size_t)1 << larger.bits, sizeof *larger.slot);
    if (larger.slot == NULL) return false;
    for (size_t i = 0; i < room; i++) {
        if (handles->slot[i].easy != NULL)
            handles_add(&larger, handles->slot[i].easy, handles->slot[i].transfer);
    }
    free(handles->slot);
    *handles = larger;
    return true;
}

void handles_free(struct handles *handles)
{
    free(handles->slot);
}

void handles_add(struct handles *handles, CURL *easy, struct transfer *transfer)
{
    handles->slot[place(handles, easy)] = (struct handle) { easy, transfer };
    handles->count++;
}

struct transfer *handles_find(const struct handles *handles, CURL *easy)
{
    return handles->count == 0 || easy == NULL ? NULL : handles->slot[place(handles, easy)].transfer;
}

/* Whether a search that begins at `from` passes `at` on its way to `to`. */
static bool is_between(size_t from, size_t at, size_t to)
{
    return from <= to ? from <= at && at <= to : from <= at || at <= to;
}

void handles_remove(struct handles *handles, CURL *easy)
{
    size_t hole = place(handles, easy);
    for (size_t at = next(handles, hole); handles->slot[at].easy != NULL; at = next(handles, at)) {
        if (!is_between(home(handles, handles->slot[at].easy), hole, at)) continue;
        handles->slot[hole] = handles->slot[at];
        hole = at;
    }
    handles->slot[hole] = (struct handle) { NULL, NULL };
    handles->count--;
}
