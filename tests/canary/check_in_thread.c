/* A check that fails in a thread that is not the test's own. */
#include "support/test.h"

#include <pthread.h>

static void *body(void *argument)
{
    int left = 1, right = 2;
    CHECK_EQ(left, right);
    return argument;
}

TEST(canary, check_in_thread)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    pthread_join(thread, NULL);
}
