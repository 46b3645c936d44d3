/* A test that does not end; ctest's limit must end it. */
#include "support/test.h"

#include <unistd.h>

TEST(canary, hang)
{
    for (;;) pause();
}
