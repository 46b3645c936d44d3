/* A rule of the kit's use that was broken: named on stderr, then abort(). */
#ifndef WEIR_LIB_TESTING_MISUSE_H
#define WEIR_LIB_TESTING_MISUSE_H

#include <stdio.h>
#include <stdlib.h>

#define TEST_REQUIRE(x, function, text)                        \
    do {                                                       \
        if (!(x)) {                                            \
            fprintf(stderr, "weir: %s: %s\n", function, text); \
            abort();                                           \
        }                                                      \
    } while (0)

#endif
