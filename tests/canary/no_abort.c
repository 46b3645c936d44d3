/* A misuse that goes unpunished. */
#include "support/test.h"

static void survive(void)
{
}

TEST(canary, no_abort)
{
    CHECK_ABORTS(survive(), "misuse");
}
