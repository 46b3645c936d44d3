/* A read of memory that was given back. */
#include "support/test.h"

#include <stdlib.h>

TEST(canary, use_after_free)
{
    int *volatile word = calloc(1, sizeof *word);
    CHECK(word != NULL);
    free((void *)word);
    CHECK_EQ(*word, 0);
}
