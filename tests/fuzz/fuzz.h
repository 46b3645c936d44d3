/* What the fuzzers share: input taken byte by byte, checks that abort, and other threads' places. */
#ifndef WEIR_TESTS_FUZZ_H
#define WEIR_TESTS_FUZZ_H

#include "base/thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                   \
    do {                                                                          \
        if (!(x)) {                                                               \
            fprintf(stderr, "fuzz: %s:%d: broken: %s\n", __FILE__, __LINE__, #x); \
            abort();                                                              \
        }                                                                         \
    } while (0)

/* After its end the input is zeroes. */
struct bytes {
    const uint8_t *at, *end;
};

static inline bool bytes_left(const struct bytes *bytes)
{
    return bytes->at < bytes->end;
}

static inline uint32_t take(struct bytes *bytes)
{
    return bytes->at < bytes->end ? *bytes->at++ : 0;
}

static inline uint64_t take_wide(struct bytes *bytes, uint32_t count)
{
    uint64_t value = 0;
    while (count-- > 0) value = value << 8 | take(bytes);
    return value;
}

/* A number below `below`. */
static inline uint32_t pick(struct bytes *bytes, uint32_t below)
{
    return take(bytes) % below;
}

#define PICK(bytes, list) ((list)[pick((bytes), sizeof(list) / sizeof((list)[0]))])

/* This thread goes on as the one with that line; SHARDS: as one of the many that share the last. */
static inline void be_thread(uint32_t line)
{
    if (line < SHARDS) weir_shards_ever |= UINT32_C(1) << line;
    weir_thread.shard = line + 1;
}

#endif
