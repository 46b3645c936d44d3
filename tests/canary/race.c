/* Two threads that write one word without order, in a test that otherwise passes. */
#include "support/test.h"

#include <pthread.h>

static int word;

static void *body(void *argument)
{
    word++;
    return argument;
}

TEST(canary, race)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, body, NULL) == 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    CHECK(word >= 1);
}
