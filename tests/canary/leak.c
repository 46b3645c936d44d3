/* Memory that nobody frees, in a test that otherwise passes: Criterion alone says "passing". */
#include "support/test.h"

#include <stdlib.h>

static void *volatile forgotten;

TEST(canary, leak)
{
    forgotten = malloc(4711);
    CHECK(forgotten != NULL);
    forgotten = NULL;
}
