/* A rule of use that was broken: named on stderr, then abort(). */
#ifndef WEIR_LIB_REDIS_MISUSE_H
#define WEIR_LIB_REDIS_MISUSE_H

#include <stdio.h>
#include <stdlib.h>

#define REDIS_REQUIRE(x, function, text)                       \
    do {                                                       \
        if (!(x)) {                                            \
            fprintf(stderr, "weir: %s: %s\n", function, text); \
            abort();                                           \
        }                                                      \
    } while (0)

#endif
