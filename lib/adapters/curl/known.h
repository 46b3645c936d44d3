/* A struct that carries its size: a newer caller's is good as long as what this version does not know is zero. */
#ifndef WEIR_LIB_CURL_KNOWN_H
#define WEIR_LIB_CURL_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool is_known(const void *config, uint32_t size, size_t known)
{
    if (size < known || size > 4096) return false;
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)config)[i] != 0) return false;
    }
    return true;
}

#endif
