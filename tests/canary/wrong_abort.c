/* A misuse that aborts with another message than the one promised. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

TEST(canary, wrong_abort)
{
    CHECK_ABORTS((fputs("another reason\n", stderr), abort()), "the right reason");
}
