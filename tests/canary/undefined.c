/* Undefined behaviour whose result happens to be the one expected. */
#include "support/test.h"

TEST(canary, undefined)
{
    volatile int large = INT32_MAX;
    volatile int sum = large + 1;
    CHECK_EQ(sum, INT32_MIN);
}
