/* A check that fails. */
#include "support/test.h"

TEST(canary, check)
{
    int left = 1, right = 2;
    CHECK_EQ(left, right);
}
