/* Keys from bytes. XXH3's value is promised by its specification to be the same for ever, on every machine. */
#include "base/check.h"

#include <weir/call.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t weir_key(const void *bytes, size_t size)
{
    if (size != 0) WEIR_REQUIRE(bytes != NULL, "weir_key", "bytes is NULL");
    uint64_t key = XXH3_64bits(bytes, size);
    return key != 0 ? key : 1; /* 0 is nobody's */
}
